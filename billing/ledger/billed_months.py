"""Billed months: what the ledger has of one month of an account, from which its invoice is made."""

from collections.abc import Mapping
from datetime import date

from billing.catalog.policies import Policy, PolicyVersion
from billing.catalog.quantities import ALL_APPS
from billing.invoicing.invoice import BilledMonth
from billing.ledger.account_ledger import AccountLedger
from billing.ledger.runs import BILLED, Run
from billing.periods import month_days


def billed_days(ledger: AccountLedger, month: date) -> dict[date, Run]:
    """The days of the month that were billed when their time came, each with its run.

    Days before the first billed one came with a correction, which is in the month in which it was posted.
    """
    settled = ledger.settled_days(month, month_days(month)[-1])
    return {day: run for day, run in settled.items() if run.result == BILLED}


def billed_month(ledger: AccountLedger, month: date, runs: Mapping[date, Run]) -> BilledMonth:
    """The month with its charges and the corrections posted in it; `runs` are those of its `billed_days`."""
    catalog, account_id = ledger.catalog, ledger.account_id
    apps = sorted((app for app in catalog.apps.values() if app.account == account_id), key=lambda app: app.id)
    charges = ledger.charges(month, month_days(month)[-1])
    together = {ALL_APPS: "all apps"} if any(each.charge.app_id == ALL_APPS for each in charges) else {}
    return BilledMonth(
        account=ledger.account,
        seller=catalog.seller_of(ledger.account),
        month=month,
        days=list(runs),
        apps={app.id: app.name for app in apps} | together,
        charges=charges,
        contracts=[contract for contract in catalog.contracts.values() if contract.account == account_id],
        policies=_policies(ledger, runs),
    )


def _policies(ledger: AccountLedger, runs: Mapping[date, Run]) -> list[tuple[Policy, PolicyVersion]]:
    """The policy versions that billed days of the month, in the order of their use."""
    of_hash = {run.policy_hash: run for run in runs.values()}
    policies = {policy_hash: ledger.policy_of(run) for policy_hash, run in of_hash.items()}
    used = {}
    for day, run in runs.items():
        version = policies[run.policy_hash].version_on(day)
        used[run.policy_hash, version.valid_from] = policies[run.policy_hash], version
    return list(used.values())
