"""The nightly: bills every account's last finished local day, earlier unbilled days first and in order.

    catalog -> unbilled days -> for each day: meter once -> for each account: rate, settle

A day's bill is a pure function of its events, the stays carried into it, the policy, the prices and the packages.
Accounts whose days have the same bounds are metered in one pass; their money then commits account by account, each day
in one transaction. What fails stays unbilled, with every later day of its account, and the next nightly tries it again.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import groupby

import polars as pl

from billing import __version__, account_day, periods
from billing.account_day import DayTerms, tier_rule
from billing.catalog import Account, Catalog
from billing.errors import BillingError, UsageError
from billing.metering.meter import Metered, meter
from billing.metering.rows import STATE_SCHEMA
from billing.rating.charges import rate_day
from billing.rating.deductions import WindowUsage
from billing.storage import bills
from billing.storage.bills import AlreadyBilled, DayBill, Run
from billing.storage.catalog_store import load_catalog, terms_on
from billing.storage.database import Connection, Engine, reading
from billing.storage.event_log import EventLog
from billing.storage.home import Home

BILLED, ALREADY_BILLED, FAILED = "billed", "already_billed", "failed"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the nightly did about one day of one account. `run`: the run that billed it, now or before."""

    account: str
    day: date
    result: str
    run: int | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _AccountDay:
    """One unbilled day of one account, `[start, end)` in epoch seconds."""

    account: Account
    apps: frozenset[int]
    day: date
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cutoff:
    """How far into the event log this nightly reads; it is stored with every run."""

    ingest_id: int
    log_version: int | None


def run_nightly(home: Home, engine: Engine, *, day: date | None = None) -> Iterator[Outcome]:
    """Bills what is due, one outcome at a time; `day` stands for the last finished day and must be finished itself.

    Raises `UsageError` if `day` is not over in the time zone of some account, before anything is billed.
    """
    with home.lock("nightly"):
        log = EventLog(directory=home.events)
        cutoff = _Cutoff(ingest_id=log.last_ingest_id(), log_version=log.version())
        with reading(engine) as conn:
            catalog = load_catalog(conn)
            targets = _targets(catalog, day)
            settled = bills.last_settled_days(conn)
            yield from _already_billed(conn, targets, settled)
        due = _unbilled_days(catalog, targets, settled, log)
        failed: set[str] = set()
        for _, same_bounds in groupby(due, key=lambda each: (each.start, each.end)):
            group = [each for each in same_bounds if each.account.id not in failed]
            for outcome in _bill_group(group, catalog, engine, log, cutoff):
                if outcome.result == FAILED:
                    failed.add(outcome.account)
                yield outcome


def _targets(catalog: Catalog, day: date | None) -> dict[str, date]:
    """The day up to which each account is to be billed."""
    moment = periods.now()
    targets = {}
    for account in catalog.accounts.values():
        finished = periods.last_finished_day(moment, periods.time_zone(account.timezone))
        if day and day > finished:
            raise UsageError(
                f"{day} is not over yet in {account.timezone} (account {account.id}): "
                f"the last finished day is {finished}"
            )
        targets[account.id] = day or finished
    return targets


def _already_billed(conn: Connection, targets: Mapping[str, date], settled: Mapping[str, date]) -> Iterator[Outcome]:
    for account_id, target in targets.items():
        if settled.get(account_id, date.min) >= target:
            runs = bills.settled_days(conn, account_id, target, target)
            run = runs[target].id if target in runs else None
            yield Outcome(account=account_id, day=target, result=ALREADY_BILLED, run=run)


def _unbilled_days(
    catalog: Catalog, targets: Mapping[str, date], settled: Mapping[str, date], log: EventLog
) -> list[_AccountDay]:
    """Every day to bill, oldest first. The first of a new account is the local day of its oldest event."""
    apps: dict[str, set[int]] = {account_id: set() for account_id in catalog.accounts}
    for app in catalog.apps.values():
        apps[app.account].add(app.id)
    new_apps = [app for account_id in apps if account_id not in settled for app in apps[account_id]]
    first_events = log.first_event_at(new_apps)
    due = []
    for account in catalog.accounts.values():
        zone = periods.time_zone(account.timezone)
        first_ms = min((first_events[app] for app in apps[account.id] if app in first_events), default=None)
        if account.id in settled:
            first = settled[account.id] + timedelta(days=1)
        elif first_ms is not None:
            first = periods.local_day(first_ms // 1000, zone)
        else:
            continue
        for day in periods.days_between(first, targets[account.id]):
            start, end = periods.day_bounds(day, zone)
            due.append(_AccountDay(account=account, apps=frozenset(apps[account.id]), day=day, start=start, end=end))
    return sorted(due, key=lambda each: (each.start, each.end, each.account.id))


def _bill_group(
    group: Sequence[_AccountDay], catalog: Catalog, engine: Engine, log: EventLog, cutoff: _Cutoff
) -> Iterator[Outcome]:
    """Meters the days of one pair of bounds together, then bills account by account."""
    if not group:
        return
    started = periods.now()
    with reading(engine) as conn:
        terms = {each.account.id: _terms(conn, catalog, each) for each in group}
        carried = [_carried(conn, each) for each in group]
    rules = {app: tier_rule(terms[each.account.id].version) for each in group for app in each.apps}
    start, end = group[0].start, group[0].end
    events = log.scan(start, end, ingest_id=cutoff.ingest_id, apps=rules.keys())
    metered = meter(events, pl.concat(carried), start, end, rules)
    for each in group:
        yield _bill_account(each, terms[each.account.id], _of_apps(metered, each.apps), engine, cutoff, started)


def _bill_account(
    each: _AccountDay, terms: DayTerms, metered: Metered, engine: Engine, cutoff: _Cutoff, started: datetime
) -> Outcome:
    account_id = each.account.id
    try:
        bill = _day_bill(each, terms, metered, engine, cutoff, started)
        run = bills.settle(engine, bill)
    except AlreadyBilled:
        return Outcome(account=account_id, day=each.day, result=ALREADY_BILLED, detail="by another process")
    except BillingError as error:
        return Outcome(account=account_id, day=each.day, result=FAILED, detail=str(error))
    # The one broad except of the program: whatever is wrong with one account, the others are billed.
    except Exception as error:
        _log.exception("account %s, %s", account_id, each.day)
        return Outcome(account=account_id, day=each.day, result=FAILED, detail=f"{type(error).__name__}: {error}")
    return Outcome(account=account_id, day=each.day, result=BILLED, run=run, detail=_summary(bill))


def _day_bill(
    each: _AccountDay, terms: DayTerms, metered: Metered, engine: Engine, cutoff: _Cutoff, started: datetime
) -> DayBill:
    """The day's bill: seconds to minutes, minutes to payers, the rest to money."""
    with reading(engine) as conn:
        used = bills.used_units(conn, each.account.id)
        given = bills.free_grants(conn, each.account.id).get(each.day.replace(day=1))
    granted = terms.free_minutes if given is None else given
    rated = rate_day(_window_usage(metered.usage), account_day.payers(terms, granted, used), terms.prices)
    return DayBill(
        run=Run(
            command="nightly",
            account_id=each.account.id,
            day=each.day,
            started_at_ms=int(started.timestamp() * 1000),
            finished_at_ms=int(periods.now().timestamp() * 1000),
            engine_version=__version__,
            policy_id=terms.policy.id,
            policy_hash=terms.policy.hash,
            price_hash=terms.price_hash,
            ingest_id=cutoff.ingest_id,
            log_version=cutoff.log_version,
            counts={
                "seconds": int(metered.usage["seconds"].sum()),
                "usage_rows": metered.usage.height,
                "deductions": len(rated.deductions),
                "findings": metered.findings.height,
                "open_stays": metered.state.height,
            },
        ),
        currency=each.account.currency,
        usage=metered.usage,
        deductions=rated.deductions,
        charges=rated.charges,
        list_prices=terms.list_prices,
        findings=metered.findings,
        state=metered.state,
        free_grant=granted if given is None and granted > 0 else None,
        lapses=account_day.lapses(terms, granted, used, rated.deductions),
    )


def _terms(conn: Connection, catalog: Catalog, each: _AccountDay) -> DayTerms:
    held = terms_on(conn, each.account.id, each.day)
    zone = periods.time_zone(each.account.timezone)
    return account_day.day_terms(
        catalog, each.account, zone, each.day, policy_id=held.policy, free_minutes=held.free_minutes
    )


def _carried(conn: Connection, each: _AccountDay) -> pl.DataFrame:
    state = bills.carried_state(conn, each.account.id, each.day - timedelta(days=1))
    return pl.DataFrame(schema=STATE_SCHEMA) if state is None else state


def _of_apps(metered: Metered, apps: frozenset[int]) -> Metered:
    mine = pl.col("app_id").is_in(apps)
    return Metered(
        usage=metered.usage.filter(mine), state=metered.state.filter(mine), findings=metered.findings.filter(mine)
    )


def _window_usage(usage: pl.DataFrame) -> list[WindowUsage]:
    """The seconds of each window, app and item, over all reasons, in order."""
    sums = usage.group_by("window_start", "app_id", "item").agg(pl.col("seconds").sum())
    return [WindowUsage(*row) for row in sums.sort("window_start", "app_id").iter_rows()]


def _summary(bill: DayBill) -> str:
    minutes = sum(charge.minutes for charge in bill.charges)
    findings = f", {bill.findings.height:,} findings" if bill.findings.height else ""
    return f"{minutes:,} minutes{findings}"
