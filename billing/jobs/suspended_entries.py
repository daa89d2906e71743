"""Entries while suspended: users of an account in arrears who entered a room all the same, against the answer of
`billing status`. They are billed like any others, with a finding."""

import polars as pl

from billing.jobs.cutoff import Cutoff
from billing.ledger.account_ledger import AccountLedger
from billing.ledger.arrears import refusals
from billing.ledger.opening import ENTERED_SUSPENDED, AccountDay
from billing.metering.schemas import FINDINGS_SCHEMA

_DETAIL = "entered while the account was suspended: billed all the same"


def suspended_entries(ledger: AccountLedger, cutoff: Cutoff, account_day: AccountDay) -> pl.DataFrame:
    """The findings of a day, in `FINDINGS_SCHEMA`."""
    start, end = account_day.bounds
    policy = ledger.catalog.overdue_policy_of(ledger.account)
    refused = refusals(ledger, policy, start * 1000, end * 1000) if policy else []
    found = [pl.DataFrame(schema=FINDINGS_SCHEMA)]
    for from_ms, to_ms in refused:
        events = cutoff.log.scan(
            from_ms // 1000, -(-to_ms // 1000), ingest_id=cutoff.ingest_id, apps=account_day.apps
        ).filter((pl.col("type") == "enter") & pl.col("at").is_between(from_ms, to_ms, closed="left"))
        with cutoff.log.naming_damage():
            entries = events.select("app_id", "room_id", "user_id", "at").sort("at", "app_id", "room_id").collect()
        named = entries.with_columns(finding=pl.lit(ENTERED_SUSPENDED), detail=pl.lit(_DETAIL))
        found.append(named.select(*FINDINGS_SCHEMA).cast(FINDINGS_SCHEMA))
    return pl.concat(found)
