"""Findings: facts about accepted events that changed nothing or had to be interpreted.

| finding | what happened |
|---|---|
| `outside_stay` | ignored: an event of somebody not in the room, or a video event or second disconnect in the wait |
| `reentered` | an enter of somebody already in the room; the stay went on, what was received was cleared |
| `stale_stay` | no event of the user for 86,400 s; the stay ended there |
| `concurrent_rooms` | a stay began while the user was in another room of the app; both are billed |
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import polars as pl
from numpy.typing import NDArray

from billing.metering.engine.keyed_rows import Words
from billing.metering.engine.stays import OUTSIDE_STAY, REENTERED, STALE_STAY
from billing.metering.schemas import FINDINGS_SCHEMA
from billing.numba_cache import compiled, inlined

# A stay in words. Seconds count from the start of the span; `begins`: in it.
STAY_SCHEMA = pl.Schema(
    {
        "app_id": pl.Int64,
        "room_id": pl.String,
        "user_id": pl.String,
        "second": pl.Int32,
        "stay_end": pl.Int32,
        "begins": pl.Boolean,
    }
)

STAYS_PER_SHARE = 100_000

_NAMES = {OUTSIDE_STAY: "outside_stay", REENTERED: "reentered", STALE_STAY: "stale_stay"}
_DETAILS = {
    OUTSIDE_STAY: "ignored: the user was not in the room, or in the wait after a disconnect",
    REENTERED: "already in the room: the stay went on, what was received was cleared",
    STALE_STAY: "no event for 24 hours: the stay ended here",
}


def findings(found: pl.DataFrame, words: Words) -> pl.DataFrame:
    """Findings of the pass over the events (`kind, source, at`), in `FINDINGS_SCHEMA`."""
    named = pl.concat([found, words.of(found["source"], "app_id", "room_id", "user_id")], how="horizontal")
    return named.select(
        "app_id",
        "room_id",
        "user_id",
        "at",
        finding=pl.col("kind").replace_strict(_NAMES, return_dtype=pl.String),
        detail=pl.col("kind").replace_strict(_DETAILS, return_dtype=pl.String),
    )


def named_stays(stays: pl.DataFrame, words: Words) -> pl.DataFrame:
    """Stays in `STAY_SCHEMA`."""
    who = words.of(stays["source"], "app_id", "room_id", "user_id")
    return pl.concat([stays, who], how="horizontal").select(*STAY_SCHEMA)


def concurrent_rooms(stays: pl.DataFrame, start: int) -> pl.DataFrame:
    """Of the stays (`STAY_SCHEMA`), those that began while their user was in another room of the app, in
    `FINDINGS_SCHEMA`. All stays of a user are among them, or none.

    Of two stays that begin in one second, the one in the room with the later id is the finding. Of several other rooms
    the one with the first id is named.
    """
    stays = stays.filter(pl.col("stay_end") > pl.col("second"))
    if stays.is_empty():
        return pl.DataFrame(schema=FINDINGS_SCHEMA)
    apps, users, rooms = (stays[name].unique().sort() for name in ("app_id", "user_id", "room_id"))
    app, user, room = (
        stays[name].replace_strict(names, np.arange(len(names)), return_dtype=pl.Int64).to_numpy()
        for name, names in (("app_id", apps), ("user_id", users), ("room_id", rooms))
    )
    person, second = user * len(apps) + app, stays["second"].to_numpy()
    # Of one second, stays that were carried in come first.
    moment = (second.astype(np.int64) * 2 + stays["begins"].to_numpy()) * len(rooms) + room
    turn = np.lexsort((moment, person))
    other = np.empty(len(turn), np.int64)
    find_other_rooms(
        turn, person, second, stays["stay_end"].to_numpy(), room, np.empty_like(turn), np.empty_like(turn), other
    )
    found = stays.with_columns(other=pl.Series(other)).filter("begins", pl.col("other") >= 0)
    return found.select(
        "app_id",
        "room_id",
        "user_id",
        at=(pl.col("second").cast(pl.Int64) + start) * 1000,
        finding=pl.lit("concurrent_rooms"),
        detail=pl.lit("also in room ") + rooms.gather(found["other"]),
    )


def suspected_stays(stays: pl.DataFrame) -> pl.DataFrame:
    """All stays of those who seem to have been in two rooms at once.

    It goes through the stays of all rooms (`person_key, second, stay_end` and others) by hashes, and so may suspect too
    many, never too few.
    """
    # Shares of whole persons: as they are smaller, the time that sorting takes does not grow with the day.
    count = stays.height // STAYS_PER_SHARE + 1
    shares = stays.with_columns(share=pl.col("person_key") % count).partition_by("share", include_key=False)
    with ThreadPoolExecutor(pl.thread_pool_size()) as pool:
        return pl.concat([stays.clear(), *pool.map(_suspected, shares)])


def _suspected(stays: pl.DataFrame) -> pl.DataFrame:
    """One number to sort by, whose high bits are the person's: for suspicions they are enough. The low bits have room
    for the seconds of a span of days."""
    bits = 20
    person = stays["person_key"].to_numpy().view(np.int64) >> bits
    second, stay_end = stays["second"].to_numpy(), stays["stay_end"].to_numpy()
    turn = np.argsort((person << bits) + second)
    person, second, stay_end = person[turn], second[turn], stay_end[turn]
    number = np.zeros(len(turn), np.int64)
    number[1:] = np.cumsum(person[1:] != person[:-1])
    # The person's number in the high bits makes the running maximum begin anew with each.
    ended_before = np.maximum.accumulate(number * 2**32 + stay_end)[:-1] - number[1:] * 2**32
    persons = np.zeros(len(turn), np.bool_)
    persons[number[1:][ended_before > second[1:]]] = True
    return stays[turn[persons[number]]]


@compiled
def find_other_rooms(
    turn: NDArray[np.int64],
    person: NDArray[np.int64],
    second: NDArray[np.int32],
    stay_end: NDArray[np.int32],
    room: NDArray[np.int64],
    heap_room: NDArray[np.int64],
    heap_end: NDArray[np.int64],
    other: NDArray[np.int64],
) -> None:
    """Fills, for each stay, the least room in which its person was when it began; -1: in none. `turn`: the stays by
    person and time; the heap is room for as many rooms, the least first, with the ends of the stays there."""
    size = 0
    for place in range(len(turn)):
        stay = turn[place]
        # (The first is compared with the last, which does no harm.)
        if person[stay] != person[turn[place - 1]]:
            size = 0
        while size > 0 and heap_end[0] <= second[stay]:
            size -= 1
            sink(heap_room, heap_end, heap_room[size], heap_end[size], size)
        other[stay] = heap_room[0] if size > 0 else -1
        rise(heap_room, heap_end, room[stay], stay_end[stay], size)
        size += 1


@inlined
def rise(heap_room: NDArray[np.int64], heap_end: NDArray[np.int64], room: int, end: int, size: int) -> None:
    """Puts a room into a heap of `size`."""
    place = size
    while place > 0 and heap_room[(place - 1) // 2] > room:
        above = (place - 1) // 2
        heap_room[place], heap_end[place] = heap_room[above], heap_end[above]
        place = above
    heap_room[place], heap_end[place] = room, end


@inlined
def sink(heap_room: NDArray[np.int64], heap_end: NDArray[np.int64], room: int, end: int, size: int) -> None:
    """Puts a room into a heap of `size` in place of the least one."""
    place = 0
    while 2 * place + 1 < size:
        below = 2 * place + 1
        if below + 1 < size and heap_room[below + 1] < heap_room[below]:
            below += 1
        if heap_room[below] >= room:
            break
        heap_room[place], heap_end[place] = heap_room[below], heap_end[below]
        place = below
    heap_room[place], heap_end[place] = room, end
