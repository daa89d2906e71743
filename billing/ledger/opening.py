"""The opening of a day: its bounds, its terms, and the stays that are carried into it."""

from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl

from billing.catalog.terms import DayTerms
from billing.ledger.account_ledger import AccountLedger
from billing.metering.schemas import FINDINGS_SCHEMA
from billing.periods import day_bounds, days_between, local_day

# Findings about the day itself and about the account: no rerating takes them away.
ZONE_CHANGED = "zone_changed"
ENTERED_SUSPENDED = "entered_suspended"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountDay:
    """One day of one account, `[start, end)` in epoch seconds, and the apps that the account has.

    `moved_seconds`: how much later it begins than the time-zone database says now.
    """

    account_id: str
    apps: frozenset[int]
    day: date
    start: int
    end: int
    moved_seconds: int = 0

    @property
    def bounds(self) -> tuple[int, int]:
        """Days with the same bounds are metered together."""
        return self.start, self.end


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """A day before it is metered: what holds on it, and the stays open at its start (`STATE_SCHEMA`)."""

    account_day: AccountDay
    terms: DayTerms
    carried: pl.DataFrame


def first_due_day(ledger: AccountLedger, *, settled: date | None, oldest: int | None) -> date | None:
    """The first day of an account that is not settled: the one after the last settled day, or without any the local day
    of its oldest event (epoch second). None: it has no events yet."""
    if settled:
        return settled + timedelta(days=1)
    return None if oldest is None else local_day(oldest, ledger.zone)


def account_days(ledger: AccountLedger, first: date, last: date) -> list[AccountDay]:
    """The days of an account from `first` to `last`, both included.

    A settled day keeps the bounds that it was settled with, and the next day begins where it ended, whatever a newer
    time-zone database says.
    """
    apps = frozenset(app.id for app in ledger.catalog.apps.values() if app.account == ledger.account_id)
    settled = ledger.settled_bounds(first - timedelta(days=1), last + timedelta(days=1))
    days = []
    for day in days_between(first, last):
        expected = day_bounds(day, ledger.zone)
        start, end = settled.get(day, expected)
        # Neighbours meet where the settled one of them says.
        before, after = settled.get(day - timedelta(days=1)), settled.get(day + timedelta(days=1))
        start = before[1] if before else start
        end = after[0] if after and day not in settled else end
        days.append(
            AccountDay(
                account_id=ledger.account_id,
                apps=apps,
                day=day,
                start=start,
                end=end,
                moved_seconds=start - expected[0],
            )
        )
    return days


def zone_changed(account_day: AccountDay) -> pl.DataFrame:
    """The finding of a day that does not begin where the time-zone database says now, in `FINDINGS_SCHEMA`."""
    moved = account_day.moved_seconds
    if not moved or not account_day.apps:
        return pl.DataFrame(schema=FINDINGS_SCHEMA)
    where = f"{abs(moved):,} s {'later' if moved > 0 else 'earlier'} than the time-zone database says now"
    detail = f"the day begins {where}: where the settled day before it ended"
    row = (min(account_day.apps), "", None, account_day.start * 1000, ZONE_CHANGED, detail)
    return pl.DataFrame([row], schema=FINDINGS_SCHEMA, orient="row")


def opening_of(ledger: AccountLedger, account_day: AccountDay, carried: pl.DataFrame | None = None) -> Opening:
    """The opening of a day; `carried`: the stays carried into it, None: those that the ledger has.

    A `BillingError` when its terms are not known any more.
    """
    if carried is None:
        carried = ledger.state_before(account_day.day)
    return Opening(account_day=account_day, terms=ledger.terms_on(account_day.day)[0], carried=carried)
