"""Other rules: settled days metered again from the event log, as other rules would classify their seconds.

Each day is metered from the events and the stays that the last run knew which settled or corrected it. So under its own
rules a day gives what is settled, with all corrections.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import date

import polars as pl

from billing.events.log import EventLog
from billing.ledger.account_ledger import AccountLedger
from billing.ledger.day_runs import runs_of_days
from billing.metering.schemas import STATE_SCHEMA
from billing.metering.tiers import TierRule

_USER = ("app_id", "room_id", "user_id")


def metered_again(
    ledger: AccountLedger, log: EventLog, apps: Iterable[int], rules: Mapping[date, TierRule]
) -> Iterator[tuple[date, pl.DataFrame]]:
    """The days that have rules and are settled, in their order, each with its usage (`USAGE_SCHEMA`)."""
    if not rules:
        return
    # What is compiled is loaded only here.
    from billing.metering.meter import Span
    from billing.metering.spans import meter_log

    apps = sorted(apps)
    before = pl.DataFrame(schema=STATE_SCHEMA)
    bounds = ledger.settled_bounds(min(rules), max(rules))
    for day, runs in runs_of_days(ledger, min(rules), max(rules)).items():
        if day not in rules:
            continue
        start, end = bounds[day]
        carried = replace(ledger, as_of=runs[-1].id).state_before(day).filter(pl.col("app_id").is_in(apps))
        # Under the rules that settled the day the beginnings of stays may not have counted.
        begun = pl.when(pl.col("begun_before").list.len() > 0).then("begun_before").otherwise("begun")
        known = before.select(*_USER, begun_before="begun")
        carried = carried.join(known, on=_USER, how="left").with_columns(begun=begun).select(*STATE_SCHEMA)
        span = Span(start=start, end=end, rules=dict.fromkeys(apps, rules[day]))
        metered = meter_log(log, runs[-1].ingest_id, carried, span)
        before = metered.state
        yield day, metered.usage
