"""Metered days: local days of accounts, each with its terms; those with the same bounds are metered in one pass.

Every run begins by saying what it knows (`Cutoff`): the catalog, and how far into the event log it reads. Whatever
arrives later is for the next run.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl

from billing import __version__, account_day, periods
from billing.account_day import Balances, DayTerms, tier_rule
from billing.catalog import Account, Catalog, known_policies
from billing.errors import BillingError
from billing.metering.meter import Metered, meter
from billing.metering.rows import NUMBER, STATE_SCHEMA
from billing.metering.tiers import TierRule
from billing.rating.deductions import WindowUsage
from billing.rating.policies import Policy
from billing.storage import bills
from billing.storage.catalog_store import last_change, load_catalog, terms_on
from billing.storage.database import Connection
from billing.storage.event_log import EventLog
from billing.storage.home import Home
from billing.storage.runs import Run, read_through

# What meters a span, from the log up to an ingest: see `meter_log`.
Metering = Callable[[EventLog, int, pl.DataFrame, int, int, Mapping[int, TierRule]], Metered]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cutoff:
    """What a run knows. `ingest_id`: the last ingest that it reads; `started_at_ms`: when it looked."""

    log: EventLog
    ingest_id: int
    log_version: int | None
    catalog: Catalog
    catalog_change: int
    started_at_ms: int

    def run(
        self,
        command: str,
        *,
        account_id: str | None,
        day: date | None,
        terms: DayTerms | None = None,
        counts: Mapping[str, int] | None = None,
        result: str,
        detail: str = "",
        from_day: date | None = None,
        cause: str | None = None,
    ) -> Run:
        """The record of what was done with it, ended now."""
        return Run(
            command=command,
            account_id=account_id,
            day=day,
            from_day=from_day,
            started_at_ms=self.started_at_ms,
            finished_at_ms=max(self.started_at_ms, now_ms()),
            engine_version=__version__,
            policy_id=terms.policy.id if terms else None,
            policy_hash=terms.policy.hash if terms else None,
            price_hash=terms.price_hash if terms else None,
            ingest_id=self.ingest_id,
            log_version=self.log_version,
            counts=counts or {},
            result=result,
            detail=detail,
            cause=cause,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountDay:
    """One day of one account, `[start, end)` in epoch seconds."""

    account: Account
    apps: frozenset[int]
    day: date
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A day to meter, from the stays carried into it, under its terms."""

    each: AccountDay
    terms: DayTerms
    carried: pl.DataFrame


def cutoff_now(conn: Connection, home: Home) -> Cutoff:
    """What is known at this moment. A `BillingError` when the books rest on events that the log does not have."""
    log = EventLog(directory=home.events)
    ingest_id, read = log.last_ingest_id(), max(read_through(conn).values(), default=0)
    if read > ingest_id:
        raise BillingError(
            f"the books rest on {read} ingests, but the event log in {home.events} has {ingest_id}: restore the log "
            "from the same backup as the database"
        )
    return Cutoff(
        log=log,
        ingest_id=ingest_id,
        log_version=log.version(),
        catalog=load_catalog(conn),
        catalog_change=last_change(conn),
        started_at_ms=now_ms(),
    )


def now_ms() -> int:
    """This moment in epoch milliseconds."""
    return int(periods.now().timestamp() * 1000)


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
    return account_day.day_terms(catalog, each.account, zone, each.day, policy=policy, free_minutes=held.free_minutes)


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


def meter_log(
    log: EventLog, ingest_id: int, carried: pl.DataFrame, start: int, end: int, rules: Mapping[int, TierRule]
) -> Metered:
    """Meters the span `[start, end)` (epoch seconds) of the apps in `rules`, as the first `ingest_id` ingests have it
    and from the stays that were open at `start`, on this machine."""
    events = log.scan(start, end, ingest_id=ingest_id, apps=rules.keys(), number=NUMBER)
    return meter(events, carried, start, end, rules, ranges=log.room_ranges(start, end, ingest_id=ingest_id))


def meter_days(tasks: Sequence[Task], cutoff: Cutoff, metering: Metering = meter_log) -> Iterator[tuple[Task, Metered]]:
    """Meters days of one pair of bounds in one pass, and gives each its share."""
    if not tasks:
        return
    rules = {app: tier_rule(task.terms.version) for task in tasks for app in task.each.apps}
    start, end = tasks[0].each.start, tasks[0].each.end
    carried = pl.concat([task.carried for task in tasks])
    metered = metering(cutoff.log, cutoff.ingest_id, carried, start, end, rules)
    for task in tasks:
        yield task, of_apps(metered, task.each.apps)


def of_apps(metered: Metered, apps: Iterable[int]) -> Metered:
    """The share of some apps."""
    mine = pl.col("app_id").is_in(sorted(apps))
    return Metered(
        usage=metered.usage.filter(mine), state=metered.state.filter(mine), findings=metered.findings.filter(mine)
    )


def window_usage(usage: pl.DataFrame) -> list[WindowUsage]:
    """The seconds of each window, app and item, over all reasons, in order."""
    sums = usage.group_by("window_start", "app_id", "item").agg(pl.col("seconds").sum())
    return [WindowUsage(*row) for row in sums.sort("window_start", "app_id").iter_rows()]
