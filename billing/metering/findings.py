"""Findings: facts about accepted events that changed nothing or had to be interpreted.

| finding | what happened |
|---|---|
| `outside_stay` | ignored: an event of a user not in the room, or a video event or second disconnect in the wait |
| `reentered` | an enter of a user already in the room; the stay continued, received streams were cleared |
| `stale_stay` | no event of the user for 86,400 s; the stay ended there |
| `closed_connection` | ignored: an event over a connection that an exit had closed |
| `implied_enter` | a publish over a connection that was never seen opened it |
| `concurrent_rooms` | a stay began while the user was in another room of the app; both are billed |

Example: a user enters a at 10:00:00 and b at 10:00:20 without leaving a: `concurrent_rooms` at 10:00:20 in b, "also in
room a".
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import polars as pl

from billing.metering.engine.keyed_rows import USER_COLUMNS, Names
from billing.metering.engine.other_rooms import RoomStays, other_rooms
from billing.metering.engine.room_tables import (
    CLOSED_CONNECTION,
    IMPLIED_ENTER,
    OUTSIDE_STAY,
    REENTERED,
    STALE_STAY,
)
from billing.metering.schemas import FINDINGS_SCHEMA, STAY_SCHEMA

STAYS_PER_GROUP = 100_000

_NAMES = {OUTSIDE_STAY: "outside_stay", REENTERED: "reentered", STALE_STAY: "stale_stay"}
_NAMES |= {CLOSED_CONNECTION: "closed_connection", IMPLIED_ENTER: "implied_enter"}
_DETAILS = {
    OUTSIDE_STAY: "ignored: the user was not in the room, or in the wait after a disconnect",
    REENTERED: "already in the room: the stay went on, what was received was cleared",
    STALE_STAY: "no event for 24 hours: the stay ended here",
    CLOSED_CONNECTION: "ignored: this connection was closed by an exit",
    IMPLIED_ENTER: "a publish over a connection that was never seen: it opened the connection",
}


def findings(found: pl.DataFrame, names: Names) -> pl.DataFrame:
    """Findings of the pass over the events (`kind, row_number, at`), in `FINDINGS_SCHEMA`."""
    named = pl.concat([found, names.of(found["row_number"], *USER_COLUMNS)], how="horizontal")
    return named.select(
        *USER_COLUMNS,
        "at",
        finding=pl.col("kind").replace_strict(_NAMES, return_dtype=pl.String),
        detail=pl.col("kind").replace_strict(_DETAILS, return_dtype=pl.String),
    )


def named_stays(stays: pl.DataFrame, names: Names) -> pl.DataFrame:
    """Stays in `STAY_SCHEMA`."""
    users = names.of(stays["row_number"], *USER_COLUMNS)
    return pl.concat([stays, users], how="horizontal").select(*STAY_SCHEMA)


def concurrent_rooms(stays: pl.DataFrame, start: int) -> pl.DataFrame:
    """The stays (`STAY_SCHEMA`) that began while their user was in another room of the app, in `FINDINGS_SCHEMA`. All
    stays of a user must be among them, or none.

    Of two stays that begin in one second, the one in the room with the later id is the finding. Of several other rooms
    the one with the first id is named.
    """
    stays = stays.filter(pl.col("stay_end") > pl.col("second"))
    if stays.is_empty():
        return pl.DataFrame(schema=FINDINGS_SCHEMA)
    other, rooms = _other_rooms(stays)
    found = stays.with_columns(other=other).filter("begins", pl.col("other") >= 0)
    return found.select(
        *USER_COLUMNS,
        at=(pl.col("second").cast(pl.Int64) + start) * 1000,
        finding=pl.lit("concurrent_rooms"),
        detail=pl.lit("also in room ") + rooms.gather(found["other"]),
    )


def _other_rooms(stays: pl.DataFrame) -> tuple[pl.Series, pl.Series]:
    """For each stay the number of another room in which its user was when it began, or -1; and the ids of all rooms,
    by number."""
    apps, users, rooms = (stays[name].unique().sort() for name in ("app_id", "user_id", "room_id"))
    app, user, room = (
        stays[name].replace_strict(ids, np.arange(len(ids)), return_dtype=pl.Int64).to_numpy()
        for name, ids in (("app_id", apps), ("user_id", users), ("room_id", rooms))
    )
    person, second = user * len(apps) + app, stays["second"].to_numpy()
    # Of one second, stays that were carried in come first.
    moment = (second.astype(np.int64) * 2 + stays["begins"].to_numpy()) * len(rooms) + room
    order = np.lexsort((moment, person))
    stay_end = stays["stay_end"].to_numpy()
    found = other_rooms(RoomStays(order=order, user=person, second=second, stay_end=stay_end, room=room))
    return pl.Series(found), rooms


def suspected_stays(stays: pl.DataFrame) -> pl.DataFrame:
    """All stays of the users who may have been in two rooms at once.

    Users are identified by hashes here (`person_key`, beside `second, stay_end` and other columns), so the result may
    have too many users, never too few.
    """
    # Groups of whole persons: as they are small, the time of sorting does not grow with the day.
    count = stays.height // STAYS_PER_GROUP + 1
    groups = stays.with_columns(group=pl.col("person_key") % count).partition_by("group", include_key=False)
    with ThreadPoolExecutor(pl.thread_pool_size()) as pool:
        return pl.concat([stays.clear(), *pool.map(_suspected, groups)])


def _suspected(stays: pl.DataFrame) -> pl.DataFrame:
    """Sorts by one number: the high bits of the person's key, which are enough for suspicions, above the second, for
    which there are bits enough for a span of days."""
    bits = 20
    person = stays["person_key"].to_numpy().view(np.int64) >> bits
    second, stay_end = stays["second"].to_numpy(), stays["stay_end"].to_numpy()
    order = np.argsort((person << bits) + second)
    person, second, stay_end = person[order], second[order], stay_end[order]
    number = np.zeros(len(order), np.int64)
    number[1:] = np.cumsum(person[1:] != person[:-1])
    # The person's number in the high bits makes the running maximum begin anew with each.
    ended_before = np.maximum.accumulate(number * 2**32 + stay_end)[:-1] - number[1:] * 2**32
    persons = np.zeros(len(order), np.bool_)
    persons[number[1:][ended_before > second[1:]]] = True
    return stays[order[persons[number]]]
