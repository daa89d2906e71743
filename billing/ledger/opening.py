"""The opening of a day: its bounds, its terms, the stays carried into it, and what its payers have left."""

from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl

from billing import periods
from billing.catalog import terms
from billing.catalog.catalog import Account, Catalog, known_policies
from billing.catalog.policies import Policy
from billing.catalog.terms import DayTerms
from billing.errors import BillingError
from billing.ledger import settled_days as bills
from billing.ledger.catalog_store import terms_on
from billing.ledger.database import Connection
from billing.ledger.runs import Run
from billing.metering.engine.keyed_rows import STATE_SCHEMA
from billing.rating.day import Balances


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountDay:
    """One day of one account, `[start, end)` in epoch seconds."""

    account: Account
    apps: frozenset[int]
    day: date
    start: int
    end: int


def account_days(catalog: Catalog, account_id: str, first: date, last: date) -> list[AccountDay]:
    """The days of an account from `first` to `last`, both included."""
    account = catalog.accounts[account_id]
    apps = frozenset(app.id for app in catalog.apps.values() if app.account == account_id)
    zone = periods.time_zone(account.timezone)
    days = []
    for day in periods.days_between(first, last):
        start, end = periods.day_bounds(day, zone)
        days.append(AccountDay(account=account, apps=apps, day=day, start=start, end=end))
    return days


def terms_of(conn: Connection, catalog: Catalog, each: AccountDay) -> DayTerms:
    """The terms of a day: the policy is the one that it was billed with, if it is settled."""
    held = terms_on(conn, each.account.id, each.day)
    run = bills.settled_days(conn, each.account.id, each.day, each.day).get(each.day)
    policy = billed_policy(conn, catalog, run) if run else known_policies(catalog)[held.policy]
    zone = periods.time_zone(each.account.timezone)
    return terms.day_terms(catalog, each.account, zone, each.day, policy=policy, free_minutes=held.free_minutes)


def billed_policy(conn: Connection, catalog: Catalog, run: Run) -> Policy:
    """The policy that a run billed with, whatever a later version of the program says."""
    kept = bills.used_policy(conn, str(run.policy_hash))
    # Runs of the first version of the database did not keep it.
    policy = kept or known_policies(catalog).get(str(run.policy_id))
    if policy is None or policy.hash != run.policy_hash:
        raise BillingError(
            f'the policy "{run.policy_id}" that run {run.id} billed with is no longer known as it was: '
            "use the version of this program that billed then"
        )
    return policy


def carried_into(conn: Connection, each: AccountDay) -> pl.DataFrame:
    """The stays that go on into a day, as the books know them now."""
    state = bills.carried_state(conn, each.account.id, each.day - timedelta(days=1))
    return pl.DataFrame(schema=STATE_SCHEMA) if state is None else state


def balances_before(conn: Connection, account_id: str, day: date = date.max) -> Balances:
    """What the settled days before a day have left to the payers of an account."""
    return Balances(
        granted=bills.free_grants(conn, account_id),
        used=bills.used_units(conn, account_id, before=day),
        lapsed=bills.lapsed_units(conn, account_id, before=day),
    )
