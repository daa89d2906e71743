"""Usage of one app, in the names that `billing usage` prints.

By window and by day it is what stands in the books. By room and by user it is metered again from the event log, day by
day, as the run that billed the day read it: the same events, the stays carried in from the day before, the policy of
that day. So it sums to what was billed, and that is checked. Days that are not billed are left out.

What a correction found different stands in rows of its own, signed, below what is settled (`kind`, `run`). Rows of the
runs up to a number are what was known then. Provisional rows, of days not yet billed, have no run and are not settled.

Minutes follow from the day's cumulative seconds, rounded up: a window shows those that it adds. They exist by window
and by day, never by room or user.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

import polars as pl

from billing import periods
from billing.catalog.items import ITEMS, WindowUsage
from billing.errors import UsageError
from billing.events.log import EventLog
from billing.home import Home
from billing.ledger.account_ledger import AccountLedger
from billing.ledger.catalog_store import load_catalog
from billing.ledger.database import Engine, reading
from billing.ledger.day_runs import runs_of_days
from billing.ledger.difference import signed_difference
from billing.ledger.provisional_bills import ProvisionalBill, provisional_bills
from billing.ledger.runs import BILLED, Run, find_run
from billing.metering.schemas import USAGE_SCHEMA, USER_USAGE_SCHEMA
from billing.metering.tiers import TierRule, tier_rule
from billing.rating.deductions import minutes_by_window

By = Literal["window", "day", "room", "user"]
Unit = Literal["seconds", "minutes"]

# What the rows of each view are told apart by, before the item and, where seconds are counted, the reason.
_KEYS: dict[By, tuple[str, ...]] = {
    "window": ("app_id", "start"),
    "day": ("app_id", "day"),
    "room": ("app_id", "day", "room_id"),
    "user": ("app_id", "day", "room_id", "user_id"),
}
# Whose rows they are.
_ORIGIN = pl.Schema({"kind": pl.String(), "run": pl.Int64(), "settled": pl.Boolean()})
_WINDOWS = pl.Schema({"day": pl.Date(), **USAGE_SCHEMA, **_ORIGIN})
_USERS = pl.Schema({"day": pl.Date(), **USER_USAGE_SCHEMA, **_ORIGIN})


@dataclass(frozen=True, slots=True, kw_only=True)
class _AppLedger:
    """Where the usage of an app is read: the ledger of its account, and the event log."""

    ledger: AccountLedger
    log: EventLog
    app_id: int

    def state_before(self, day: date, run: int | None) -> pl.DataFrame:
        """The app's stays that are carried into a day, as a run knew them; None: as they are now."""
        carried = replace(self.ledger, as_of=run).state_before(day)
        return carried.filter(pl.col("app_id") == self.app_id)


def app_usage(
    home: Home,
    engine: Engine,
    app_id: int,
    first: date,
    last: date,
    *,
    by: By = "window",
    unit: Unit = "seconds",
    provisional: bool = False,
    run: int | None = None,
) -> pl.DataFrame:
    """Usage of the days `first` to `last`, both included; as it was known when `run` had ended, if that is given.

    Columns: `app_id`; `start` or `day`; by room `room_id`, by user `room_id, user_id`; `item`; then `reason, seconds`
    or `minutes`; `kind` (`usage`, `correction`), `run`, `settled`. Rows are in their order. `start` is an instant in
    the account's time zone (RFC 3339). Every row has used seconds, though a window that only goes on with a started
    minute adds 0 minutes. `provisional` includes the days that are not billed yet, up to the last refresh.
    """
    if last < first:
        raise UsageError(f"{first} is after {last}: give the earlier day first")
    if unit == "minutes" and by in ("room", "user"):
        raise UsageError(f"there are no minutes by {by}: seconds are rounded up per app, day and item only")
    if provisional and run is not None:
        raise UsageError("what was known at a run is settled: give either --provisional or --run")
    with reading(engine) as conn:
        if run is not None:
            find_run(conn, run)
        catalog = load_catalog(conn)
        account_id = catalog.app(app_id).account
        ledger = AccountLedger(conn=conn, account_id=account_id, catalog=catalog, as_of=run)
        books = _AppLedger(ledger=ledger, log=EventLog(directory=home.events), app_id=app_id)
        unsettled = provisional_bills(ledger) if provisional else []
        open_days = [bill for bill in unsettled if first <= bill.day <= last and bill.stored]
        settled = _days(books, first, last) if by == "day" else _windows(books, first, last)
        rows = pl.concat([settled, *(_open_windows(books, bill) for bill in open_days)])
        if by in ("room", "user"):
            states = {bill.day + timedelta(days=1): bill.stored.state for bill in unsettled if bill.stored}
            rows = pl.concat(
                [
                    *_days_by_user(books, first, last, rows),
                    *(_open_day_by_user(books, bill, states.get(bill.day)) for bill in open_days),
                ]
            )
    if unit == "minutes":
        rows = _minutes(rows)
    if by == "window":
        rows = _with_start(rows, ledger.zone)
    keys = [*_KEYS[by], "item", *(["reason"] if unit == "seconds" else [])]
    # Text of instants does not sort where clocks go back.
    instant = ["window_start"] if by == "window" else []
    sums = rows.group_by(*instant, *keys, *_ORIGIN).agg(pl.col(unit).sum())
    shown = sums.filter((pl.col("kind") == "usage") | (pl.col(unit) != 0))
    rank = pl.col("item").cast(pl.Enum(ITEMS))
    order: list[str | pl.Expr] = [*instant, *(rank if key == "item" else pl.col(key) for key in keys), "run"]
    return shown.sort(*order, nulls_last=True).select(*keys, unit, *_ORIGIN)


def settled_windows(ledger: AccountLedger, home: Home, app_id: int, first: date, last: date) -> pl.DataFrame:
    """Settled seconds and the corrections to them, by window: `day, window_start, app_id, item, reason, seconds, kind,
    run, settled`; `window_start` in epoch seconds."""
    return _windows(_AppLedger(ledger=ledger, log=EventLog(directory=home.events), app_id=app_id), first, last)


def _windows(books: _AppLedger, first: date, last: date) -> pl.DataFrame:
    """Settled seconds and the corrections to them, in `_WINDOWS`."""
    usage = books.ledger.usage(first, last, apps=[books.app_id])
    corrected = books.ledger.corrected_usage(first, last, apps=[books.app_id])
    return _settled(usage, corrected, books.ledger.settled_days(first, last))


def _days(books: _AppLedger, first: date, last: date) -> pl.DataFrame:
    """The same as if each day were one window: the minutes of a day follow from all its seconds."""
    usage = books.ledger.usage_by_day(first, last, apps=[books.app_id])
    corrected = books.ledger.corrected_usage_by_day(first, last, apps=[books.app_id])
    return _settled(usage, corrected, books.ledger.settled_days(first, last))


def _settled(usage: pl.DataFrame, corrected: pl.DataFrame, settled: Mapping[date, Run]) -> pl.DataFrame:
    run_of = pl.DataFrame({"day": list(settled), "run": [run.id for run in settled.values()]}, schema=_RUN_OF_DAY)
    return pl.concat(
        [
            _of(usage.join(run_of, on="day"), "usage").select(*_WINDOWS),
            _of(corrected.rename({"run_id": "run"}), "correction").select(*_WINDOWS),
        ]
    )


_RUN_OF_DAY = pl.Schema({"day": pl.Date(), "run": pl.Int64()})


def _of(rows: pl.DataFrame, kind: str) -> pl.DataFrame:
    return rows.with_columns(kind=pl.lit(kind), settled=pl.lit(True))


def _open_windows(books: _AppLedger, bill: ProvisionalBill) -> pl.DataFrame:
    """Provisional seconds, in `_WINDOWS`."""
    usage = bill.stored.usage if bill.stored else pl.DataFrame(schema=USAGE_SCHEMA)
    mine = usage.filter(pl.col("app_id") == books.app_id)
    return _unsettled(mine, bill.day).select(*_WINDOWS)


def _unsettled(rows: pl.DataFrame, day: date) -> pl.DataFrame:
    return rows.with_columns(day=pl.lit(day), kind=pl.lit("usage"), run=pl.lit(None, pl.Int64), settled=pl.lit(False))


def _with_start(usage: pl.DataFrame, zone: ZoneInfo) -> pl.DataFrame:
    starts = {second: periods.local_iso(second, zone) for second in usage["window_start"].unique()}
    return usage.with_columns(start=pl.col("window_start").replace_strict(starts, return_dtype=pl.String))


def _minutes(rows: pl.DataFrame) -> pl.DataFrame:
    """The minutes that each window adds to those of its day; of a correction, those that it adds or takes away."""
    origin = ["kind", "run", "settled"]
    schema = pl.Schema(
        {
            "day": pl.Date(),
            "window_start": pl.Int64(),
            "app_id": pl.Int64(),
            "item": pl.String(),
            "minutes": pl.Int64(),
            **_ORIGIN,
        }
    )
    found: list[tuple[object, ...]] = []
    for (day,), of_day in rows.group_by("day", maintain_order=True):
        so_far: list[pl.DataFrame] = []
        before: dict[tuple[int, int, str], int] = {}
        for key, of_run in of_day.sort("run", nulls_last=True).group_by(origin, maintain_order=True):
            so_far.append(of_run)
            now = _minutes_of_day(pl.concat(so_far))
            for place in now.keys() | before.keys():
                minutes = now.get(place, 0) - before.get(place, 0)
                if key[0] == "usage" or minutes:
                    found.append((day, *place, minutes, *key))
            before = now
    return pl.DataFrame(found, schema=schema, orient="row")


def _minutes_of_day(usage: pl.DataFrame) -> dict[tuple[int, int, str], int]:
    """Minutes by window, app and item."""
    sums = usage.group_by("window_start", "app_id", "item").agg(pl.col("seconds").sum())
    windows = [WindowUsage(*row) for row in sums.iter_rows()]
    return {(window_start, app_id, item): minutes for window_start, app_id, item, minutes in minutes_by_window(windows)}


def _days_by_user(books: _AppLedger, first: date, last: date, windows: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Each settled day by room and user, and what its corrections changed, in `_USERS`."""
    yield pl.DataFrame(schema=_USERS)
    bounds = books.ledger.settled_bounds(first, last)
    for day, runs in runs_of_days(books.ledger, first, last).items():
        rule = tier_rule(books.ledger.policy_of(runs[0]).version_on(day))
        known = pl.DataFrame(schema=USER_USAGE_SCHEMA)
        for each in runs:
            now = _by_user(books, bounds[day], rule, each.ingest_id, books.state_before(day, each.id))
            different = signed_difference(known, now, USER_USAGE_SCHEMA.names()[:-1], ["seconds"])
            _check_sums(different, windows.filter(pl.col("day") == day, pl.col("run") == each.id), day)
            kind = "usage" if each.result == BILLED else "correction"
            origin = [pl.lit(day).alias("day"), pl.lit(kind).alias("kind"), pl.lit(each.id, pl.Int64).alias("run")]
            yield different.with_columns(*origin, settled=pl.lit(True)).select(*_USERS)
            known = now


def _by_user(
    books: _AppLedger, bounds: tuple[int, int], rule: TierRule, ingest_id: int, carried: pl.DataFrame
) -> pl.DataFrame:
    """A span by room and user, as the ingests up to `ingest_id` tell it: `USER_USAGE_SCHEMA`."""
    # What is compiled is loaded only here: usage by window and by day stands in the books.
    from billing.metering.meter import Span, meter_by_user

    start, end = bounds
    events = books.log.scan(start, end, ingest_id=ingest_id, apps=[books.app_id])
    with books.log.naming_damage():
        return meter_by_user(events, carried, Span(start=start, end=end, rules={books.app_id: rule}))


def _open_day_by_user(books: _AppLedger, bill: ProvisionalBill, carried: pl.DataFrame | None) -> pl.DataFrame:
    """A provisional day by room and user, in `_USERS`; `carried`: the stays of the unsettled day before."""
    if bill.stored is None:
        return pl.DataFrame(schema=_USERS)
    state = books.state_before(bill.day, None) if carried is None else carried.filter(pl.col("app_id") == books.app_id)
    bounds = (bill.account_day.start, bill.stored.cut_at)
    by_user = _by_user(books, bounds, tier_rule(bill.terms.version), bill.stored.ingest_id, state)
    return _unsettled(by_user, bill.day).select(*_USERS)


def _check_sums(by_user: pl.DataFrame, billed: pl.DataFrame, day: date) -> None:
    """Crashes where users do not sum to what was billed."""
    keys = ["item", "reason"]
    sums = [
        {
            key: seconds
            for *key_parts, seconds in frame.group_by(keys).agg(pl.col("seconds").sum()).iter_rows()
            if seconds
            for key in [tuple(key_parts)]
        }
        for frame in (by_user, billed)
    ]
    if sums[0] != sums[1]:
        raise AssertionError(f"{day}: the users' seconds are {sums[0]}, but billed were {sums[1]}")
