"""Usage of one app, in the names that `billing usage` prints.

By window and by day it is what stands in the books. By room and by user it is metered again from the event log, day by
day, as the run that billed the day read it: the same events, the stays carried in from the day before, the policy of
that day. So it sums to what was billed, and that is checked. Days that are not billed are left out.

What a correction found different stands in rows of its own, signed, below what is settled (`kind`, `run`). Rows of the
runs up to a number are what was known then. Provisional rows, of days not yet billed, have no run and are not settled.

Minutes follow from the day's cumulative seconds, rounded up: a window shows those that it adds. They exist by window
and by day, never by room or user.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

import polars as pl

from billing import periods
from billing.catalog.catalog import Account, Catalog
from billing.catalog.items import ITEMS, WindowUsage
from billing.catalog.policies import Policy
from billing.errors import UsageError
from billing.events.log import EventLog
from billing.home import Home
from billing.ledger import corrections
from billing.ledger import settled_days as bills
from billing.ledger.catalog_store import load_catalog
from billing.ledger.database import Connection, Engine, reading
from billing.ledger.opening import billed_policy
from billing.ledger.runs import BILLED, Run, corrections_of, find_run
from billing.metering.engine.keyed_rows import STATE_SCHEMA
from billing.metering.meter import USER_USAGE_SCHEMA, meter_by_user
from billing.metering.tiers import tier_rule
from billing.rating.deductions import minutes_by_window
from billing.reports.provisional import ProvisionalBill, provisional_bills

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
_WINDOWS = pl.Schema({"day": pl.Date(), **bills.USAGE_SCHEMA, **_ORIGIN})
_USERS = pl.Schema({"day": pl.Date(), **USER_USAGE_SCHEMA, **_ORIGIN})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Books:
    """Where the usage of an app is read, up to a run or to now."""

    conn: Connection
    log: EventLog
    catalog: Catalog
    account: Account
    app_id: int
    upto: int | None

    @property
    def zone(self) -> ZoneInfo:
        """The account's time zone."""
        return periods.time_zone(self.account.timezone)


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
        account = catalog.account(catalog.app(app_id).account)
        books = _Books(
            conn=conn,
            log=EventLog(directory=home.events),
            catalog=catalog,
            account=account,
            app_id=app_id,
            upto=run,
        )
        open_days = provisional_bills(conn, catalog, account.id) if provisional else []
        open_days = [bill for bill in open_days if first <= bill.day <= last]
        rows = pl.concat([_windows(books, first, last), *(_open_windows(books, bill) for bill in open_days)])
        if by in ("room", "user"):
            rows = pl.concat(
                [*_days_by_user(books, first, last, rows), *(_open_day_by_user(books, bill) for bill in open_days)]
            )
    if unit == "minutes":
        rows = _minutes(rows)
    if by == "window":
        rows = _with_start(rows, books.zone)
    keys = [*_KEYS[by], "item", *(["reason"] if unit == "seconds" else [])]
    # Text of instants does not sort where clocks go back.
    instant = ["window_start"] if by == "window" else []
    sums = rows.group_by(*instant, *keys, *_ORIGIN).agg(pl.col(unit).sum())
    shown = sums.filter((pl.col("kind") == "usage") | (pl.col(unit) != 0))
    rank = pl.col("item").cast(pl.Enum(ITEMS))
    order: list[str | pl.Expr] = [*instant, *(rank if key == "item" else pl.col(key) for key in keys), "run"]
    return shown.sort(*order, nulls_last=True).select(*keys, unit, *_ORIGIN)


def _windows(books: _Books, first: date, last: date) -> pl.DataFrame:
    """Settled seconds and the corrections to them, in `_WINDOWS`."""
    settled = _settled_runs(books, first, last)
    run_of = pl.DataFrame({"day": list(settled), "run": [run.id for run in settled.values()]}, schema=_RUN_OF_DAY)
    usage = bills.usage(books.conn, books.account.id, first, last, apps=[books.app_id])
    corrected = corrections.usage(books.conn, books.account.id, first, last, apps=[books.app_id])
    if books.upto is not None:
        corrected = corrected.filter(pl.col("run_id") <= books.upto)
    return pl.concat(
        [
            _of(usage.join(run_of, on="day"), "usage").select(*_WINDOWS),
            _of(corrected.rename({"run_id": "run"}), "correction").select(*_WINDOWS),
        ]
    )


_RUN_OF_DAY = pl.Schema({"day": pl.Date(), "run": pl.Int64()})


def _of(rows: pl.DataFrame, kind: str) -> pl.DataFrame:
    return rows.with_columns(kind=pl.lit(kind), settled=pl.lit(True))


def _settled_runs(books: _Books, first: date, last: date) -> dict[date, Run]:
    return bills.settled_days(books.conn, books.account.id, first, last, upto=books.upto)


def _open_windows(books: _Books, bill: ProvisionalBill) -> pl.DataFrame:
    """Provisional seconds, in `_WINDOWS`."""
    mine = bill.stored.usage.filter(pl.col("app_id") == books.app_id)
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


def _days_by_user(books: _Books, first: date, last: date, windows: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Each settled day by room and user, and what its corrections changed, in `_USERS`."""
    yield pl.DataFrame(schema=_USERS)
    corrected = corrections_of(books.conn, books.account.id, books.upto)
    for day, settled in _settled_runs(books, first, last).items():
        policy = billed_policy(books.conn, books.catalog, settled)
        replays = [
            run for run in corrected if run.from_day and run.from_day <= day and (run.id or 0) > (settled.id or 0)
        ]
        known = pl.DataFrame(schema=USER_USAGE_SCHEMA)
        for run in (settled, *replays):
            now = _day_by_user(books, day, policy, run)
            different = _difference(known, now)
            _check_sums(different, windows.filter(pl.col("day") == day, pl.col("run") == run.id), day)
            kind = "usage" if run.result == BILLED else "correction"
            origin = [pl.lit(day).alias("day"), pl.lit(kind).alias("kind"), pl.lit(run.id, pl.Int64).alias("run")]
            yield different.with_columns(*origin, settled=pl.lit(True)).select(*_USERS)
            known = now


def _day_by_user(books: _Books, day: date, policy: Policy, run: Run) -> pl.DataFrame:
    """A day by room and user as a run knew it: `USER_USAGE_SCHEMA`."""
    start, end = periods.day_bounds(day, books.zone)
    carried = bills.carried_state(books.conn, books.account.id, day - timedelta(days=1), upto=run.id)
    return meter_by_user(
        books.log.scan(start, end, ingest_id=run.ingest_id, apps=[books.app_id]),
        _state_of(carried, books.app_id),
        start,
        end,
        {books.app_id: tier_rule(policy.version_on(day))},
    )


def _open_day_by_user(books: _Books, bill: ProvisionalBill) -> pl.DataFrame:
    """A provisional day by room and user, in `_USERS`."""
    stored, previous = bill.stored, bill.day - timedelta(days=1)
    carried = bills.carried_state(books.conn, books.account.id, previous)
    for earlier in provisional_bills(books.conn, books.catalog, books.account.id):
        if earlier.day == previous:
            carried = earlier.stored.state
    by_user = meter_by_user(
        books.log.scan(bill.each.start, stored.cut_at, ingest_id=stored.ingest_id, apps=[books.app_id]),
        _state_of(carried, books.app_id),
        bill.each.start,
        stored.cut_at,
        {books.app_id: tier_rule(bill.terms.version)},
    )
    return _unsettled(by_user, bill.day).select(*_USERS)


def _state_of(carried: pl.DataFrame | None, app_id: int) -> pl.DataFrame:
    return pl.DataFrame(schema=STATE_SCHEMA) if carried is None else carried.filter(pl.col("app_id") == app_id)


def _difference(before: pl.DataFrame, after: pl.DataFrame) -> pl.DataFrame:
    """What is to be added to `before` to give `after`, by user."""
    keys = USER_USAGE_SCHEMA.names()[:-1]
    both = pl.concat([after, before.with_columns(-pl.col("seconds"))])
    return both.group_by(keys).agg(pl.col("seconds").sum()).filter(pl.col("seconds") != 0)


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
