"""Usage of one app as it was billed, in the names that `billing usage` prints.

By window and by day it is what stands in the books. By room and by user it is metered again from the event log, day by
day, as the run that billed the day read it: the same events, the stays carried in from the day before, the policy of
that day. So it sums to what was billed, and that is checked. Days that are not billed are left out.

Minutes follow from the day's cumulative seconds, rounded up: a window shows those that it adds. They exist by window
and by day, never by room or user.
"""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

import polars as pl

from billing import periods
from billing.account_day import tier_rule
from billing.catalog import Catalog, known_policies
from billing.errors import UsageError
from billing.metering.meter import USER_USAGE_SCHEMA, meter_by_user
from billing.metering.rows import STATE_SCHEMA
from billing.rating.deductions import WindowUsage, minutes_by_window
from billing.rating.items import ITEMS
from billing.storage import bills
from billing.storage.catalog_store import load_catalog
from billing.storage.database import Connection, Engine, reading
from billing.storage.event_log import EventLog
from billing.storage.home import Home

By = Literal["window", "day", "room", "user"]
Unit = Literal["seconds", "minutes"]

# What the rows of each view are told apart by, before the item and, where seconds are counted, the reason.
_KEYS: dict[By, tuple[str, ...]] = {
    "window": ("app_id", "start"),
    "day": ("app_id", "day"),
    "room": ("app_id", "day", "room_id"),
    "user": ("app_id", "day", "room_id", "user_id"),
}


def app_usage(
    home: Home, engine: Engine, app_id: int, first: date, last: date, *, by: By = "window", unit: Unit = "seconds"
) -> pl.DataFrame:
    """Usage of the days `first` to `last`, both included.

    Columns: `app_id`; `start` or `day`; by room `room_id`, by user `room_id, user_id`; `item`; then `reason, seconds`
    or `minutes`. Rows are in their order. `start` is an instant in the account's time zone (RFC 3339). Every row has
    used seconds, though a window that only goes on with a started minute adds 0 minutes.
    """
    if last < first:
        raise UsageError(f"{first} is after {last}: give the earlier day first")
    if unit == "minutes" and by in ("room", "user"):
        raise UsageError(f"there are no minutes by {by}: seconds are rounded up per app, day and item only")
    with reading(engine) as conn:
        catalog = load_catalog(conn)
        account = catalog.account(catalog.app(app_id).account)
        usage = bills.usage(conn, account.id, first, last, apps=[app_id])
        if by in ("room", "user"):
            usage = pl.concat(_days_by_user(home, conn, catalog, app_id, first, last, usage))
    if unit == "minutes":
        usage = _minutes(usage)
    if by == "window":
        usage = _with_start(usage, periods.time_zone(account.timezone))
    keys = [*_KEYS[by], "item", *(["reason"] if unit == "seconds" else [])]
    # Text of instants does not sort where clocks go back.
    instant = ["window_start"] if by == "window" else []
    sums = usage.group_by(*instant, *keys).agg(pl.col(unit).sum())
    rank = pl.col("item").cast(pl.Enum(ITEMS))
    return sums.sort(*instant, *(rank if key == "item" else pl.col(key) for key in keys)).select(*keys, unit)


def _with_start(usage: pl.DataFrame, zone: ZoneInfo) -> pl.DataFrame:
    starts = {second: periods.local_iso(second, zone) for second in usage["window_start"].unique()}
    return usage.with_columns(start=pl.col("window_start").replace_strict(starts, return_dtype=pl.String))


def _minutes(usage: pl.DataFrame) -> pl.DataFrame:
    """The minutes that each window adds to those of its day."""
    rows: list[tuple[date, int, int, str, int]] = []
    for (day,), of_day in usage.group_by("day"):
        sums = of_day.group_by("window_start", "app_id", "item").agg(pl.col("seconds").sum())
        windows = [WindowUsage(*row) for row in sums.iter_rows()]
        rows += [(day, *added) for added in minutes_by_window(windows)]
    schema = {"day": pl.Date, "window_start": pl.Int64, "app_id": pl.Int64, "item": pl.String, "minutes": pl.Int64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _days_by_user(
    home: Home, conn: Connection, catalog: Catalog, app_id: int, first: date, last: date, billed: pl.DataFrame
) -> Iterator[pl.DataFrame]:
    """Each settled day by room and user: `day` and the columns of `USER_USAGE_SCHEMA`."""
    yield pl.DataFrame(schema={"day": pl.Date, **USER_USAGE_SCHEMA})
    account, policies = catalog.account(catalog.app(app_id).account), known_policies(catalog)
    zone, log = periods.time_zone(account.timezone), EventLog(directory=home.events)
    for day, run in bills.settled_days(conn, account.id, first, last).items():
        start, end = periods.day_bounds(day, zone)
        carried = bills.carried_state(conn, account.id, day - timedelta(days=1))
        of_day = meter_by_user(
            log.scan(start, end, ingest_id=run.ingest_id, apps=[app_id]),
            pl.DataFrame(schema=STATE_SCHEMA) if carried is None else carried.filter(pl.col("app_id") == app_id),
            start,
            end,
            {app_id: tier_rule(policies[run.policy_id].version_on(day))},
        )
        _check_sums(of_day, billed.filter(pl.col("day") == day), day)
        yield of_day.select(pl.lit(day).alias("day"), *USER_USAGE_SCHEMA)


def _check_sums(by_user: pl.DataFrame, billed: pl.DataFrame, day: date) -> None:
    """Crashes where users do not sum to what was billed."""
    keys = ["item", "reason"]
    sums = [dict(frame.group_by(keys).agg(pl.col("seconds").sum()).rows_by_key(keys)) for frame in (by_user, billed)]
    if sums[0] != sums[1]:
        raise AssertionError(f"{day}: the users' seconds are {sums[0]}, but billed were {sums[1]}")
