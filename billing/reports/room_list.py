"""Rooms of one app: when each was in use, who was in it, and how many there were a day.

A *room session* lasts from the first second in which somebody is in a room to the first in which nobody is; a room may
have several. Its creator is the first user in it; of one second, the first by name. Example: the class of the sample
data is one session of `math` from 10:00:00 to 10:16:30, created by the teacher.

A stay over midnight counts on both days, and so does its room. What is open is open as far as it is known: to the end
of the last settled day, or to the last refresh.
"""

from collections.abc import Collection
from datetime import date

import polars as pl

from billing.events.log import EventLog
from billing.home import Home
from billing.ledger.account_ledger import AccountLedger
from billing.ledger.catalog_store import load_catalog
from billing.ledger.database import Connection, Engine, reading
from billing.reports.app_stays import AppDays, stays_on, whole_stays

SCALE = pl.Schema(
    {
        "day": pl.Date(),
        "start": pl.Int64(),  # epoch second
        "rooms": pl.Int64(),
        "users": pl.Int64(),  # a user of two rooms counts twice
        "stays": pl.Int64(),
    }
)


def room_sessions(
    home: Home, engine: Engine, app_id: int, start: int, end: int, *, room_id: str | None = None
) -> pl.DataFrame:
    """The sessions that have seconds of a span, by time: `room_id, created_at, ended_at` (epoch seconds), `is_open,
    user_id` (the creator)."""
    with reading(engine) as conn:
        stays = whole_stays(_days(home, conn, app_id), start, end, None if room_id is None else [room_id])
    return (
        _in_sessions(stays)
        .group_by("room_id", "created_at", maintain_order=True)
        .agg(ended_at=pl.col("end").max(), is_open=pl.col("is_open").any(), user_id=pl.col("user_id").first())
        .filter((pl.col("created_at") < end) & (pl.col("ended_at") > start))
        .sort("created_at", "room_id")
    )


def session_stays(
    home: Home,
    engine: Engine,
    app_id: int,
    start: int,
    end: int,
    *,
    session: tuple[str, int],
    users: Collection[str] | None = None,
) -> pl.DataFrame | None:
    """The stays of one session (its room and when it was created) with seconds of a span, by time: `room_id, user_id,
    start, end, is_open`. None: there is no such session in the span."""
    room_id, created_at = session
    with reading(engine) as conn:
        stays = whole_stays(_days(home, conn, app_id), start, end, [room_id])
    of_session = _in_sessions(stays).filter(pl.col("created_at") == created_at)
    if of_session.is_empty():
        return None
    found = of_session.filter((pl.col("start") < end) & (pl.col("end") > start)).drop("created_at")
    return found if users is None else found.filter(pl.col("user_id").is_in(sorted(users)))


def daily_scale(home: Home, engine: Engine, app_id: int, start: int, end: int) -> pl.DataFrame:
    """The settled days that have seconds of a span, in `SCALE`."""
    with reading(engine) as conn:
        days = _days(home, conn, app_id)
        known = [day for day in days.in_span(start, end) if day.day in days.settled]
        in_use = days.ledger.days_in_use(known[0].day, known[-1].day) if known else set[date]()
        counts = [_counts(stays_on(days, day)) if day.day in in_use else (0, 0, 0) for day in known]
    rows = [(day.day, day.start, *of_day) for day, of_day in zip(known, counts, strict=True)]
    return pl.DataFrame(rows, schema=SCALE, orient="row")


def _days(home: Home, conn: Connection, app_id: int) -> AppDays:
    catalog = load_catalog(conn)
    ledger = AccountLedger(conn=conn, account_id=catalog.app(app_id).account, catalog=catalog)
    return AppDays.of(ledger, EventLog(directory=home.events), app_id)


def _in_sessions(stays: pl.DataFrame) -> pl.DataFrame:
    """The stays with `created_at`, the start of their session, by room and time."""
    ordered = stays.sort("room_id", "start", "user_id")
    emptied_at = pl.col("end").cum_max().shift(1).over("room_id")
    is_first = emptied_at.is_null() | (pl.col("start") > emptied_at)
    return ordered.with_columns(
        created_at=pl.when(is_first).then("start").forward_fill().over("room_id").cast(pl.Int64)
    )


def _counts(stays: pl.DataFrame) -> tuple[int, int, int]:
    return stays["room_id"].n_unique(), stays.select("room_id", "user_id").n_unique(), stays.height
