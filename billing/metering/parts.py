"""Parts: the rows of a span, cut into parts of whole rooms that are metered side by side.

A part is small enough for the processor's cache, which is worth more than anything else here: the tables of users and
streams are looked up once for every event.
"""

import mmap
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from billing.metering.compiled import compiled, inlined
from billing.metering.rows import VIDEO_ON, HashCollisionError, Rows
from billing.metering.stays import ABSENT, COLLISION, CONNECTED, UNKNOWN_APP, WAITING, run
from billing.metering.tables import (
    FINDINGS,
    STAYS,
    STREAMS,
    USERS,
    Events,
    Records,
    Rules,
    Sources,
    Sums,
    World,
    code_of,
    make_sums,
    make_world,
)

ROWS_PER_PART = 150_000
MOST_COMPARED = 64

_EVENT_TYPES = {
    "user_key": np.uint64,
    "stream_key": np.uint64,
    "checks": np.uint64,
    "order": np.int64,
    "what": np.int64,
    "source": np.uint32,
}


@dataclass(frozen=True, slots=True)
class Share:
    """What one worker found out about its parts; `source` is a row of the texts, seconds count from the span's start.

    `findings`: `kind, source, second`. `stays`: `source` (of its first event), `second, stay_end, begins` (in this
    span). `open_stays`: `stay` (its source), `last_event, wait_ends`. `open_streams`: `stay, source` (of its last
    event). `users`: `source` (of the user's first event), `class, seconds`, if asked for.
    """

    sums: Sums
    findings: pl.DataFrame
    stays: pl.DataFrame
    open_stays: pl.DataFrame
    open_streams: pl.DataFrame
    users: pl.DataFrame


def metered_shares(rows: Rows, rules: Rules, start: int, end: int, *, by_user: bool) -> list[Share]:
    """Runs every part through to its last second, on all processors."""
    looked_up = rows.texts.select("app_id", "room_key", "room_check").rechunk()
    sources = Sources(
        app_id=_read_only(looked_up["app_id"]),
        room_key=_read_only(looked_up["room_key"]),
        room_check=_read_only(looked_up["room_check"]),
        last_event=_read_only(rows.carried["last_event"]),
        wait_ends=_read_only(rows.carried["wait_ends"]),
        first_carried=rows.texts.height - rows.carried.height,
    )

    def share(parts: Iterable[Events]) -> Share | None:
        sums = make_sums(len(rules.app_id), rules.tops.shape[1], start, end)
        worlds = [_found(_run(part, sources, rules, sums, by_user=by_user)) for part in parts]
        if not worlds:
            return None
        return Share(sums=sums, **{name: pl.concat([world[name] for world in worlds]) for name in worlds[0]})

    workers = os.cpu_count() or 1
    tied: list[tuple[Events, NDArray[np.bool_]]] = []
    with ThreadPoolExecutor(workers) as pool:
        parts = _parts(rows, pool)
        shares = list(pool.map(share, [_in_order(parts[worker::workers], tied) for worker in range(workers)]))
        untied = list(_without_ties(tied, rows)) if tied else []
        shares += pool.map(share, [untied[worker::workers] for worker in range(workers)])
    return [each for each in shares if each]


def _read_only(column: pl.Series) -> NDArray[Any]:
    """The column as an array of one kind, whether it was copied or not: for another kind the meter would be compiled
    again."""
    array = column.to_numpy()
    array.flags.writeable = False
    return array


def _run(events: Events, sources: Sources, rules: Rules, sums: Sums, *, by_user: bool) -> World:
    """The world of a part after its last second; `sums` has grown by it."""
    world = make_world(events, rules, sums, by_user=by_user)
    result = run(events, sources, rules, world)
    if result == UNKNOWN_APP:
        raise KeyError("an app of the events has no tier rule")
    if result == COLLISION:
        raise HashCollisionError("two users, rooms or streams have one key")
    return world


def _parts(rows: Rows, pool: ThreadPoolExecutor) -> list[Events]:
    """The events of each part, cut by room, in the order in which they came."""
    frame = rows.keyed.with_columns(rows.texts["room_key"])
    count = max(1, frame.height // ROWS_PER_PART)
    sizes = np.zeros(count, np.int64)
    chunks = list(_chunks(frame))
    for chunk in chunks:
        count_rows(chunk["room_key"], sizes)
    begins = np.concatenate([[0], np.cumsum(sizes)])

    def column(name: str, dtype: type[Any]) -> NDArray[Any]:
        cut_column = _space(frame.height, dtype)
        ends = begins[:-1].copy()
        first = 0
        for chunk in chunks:
            room_key = chunk["room_key"]
            if name == "source":
                cut_rows(first, room_key, ends, cut_column)
            else:
                cut(chunk[name], room_key, ends, cut_column)
            first += len(room_key)
        return cut_column

    columns = dict(zip(_EVENT_TYPES, pool.map(column, _EVENT_TYPES, _EVENT_TYPES.values()), strict=True))
    return [Events(**{name: column[begin:end] for name, column in columns.items()}) for begin, end in pairwise(begins)]


def _space(size: int, dtype: type[Any]) -> NDArray[Any]:
    """An array on pages of the usual size, all mapped at once: numpy asks for huge pages, and where memory is in use by
    file caches, making room for those takes longer than metering."""
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_POPULATE", 0)
    return np.frombuffer(mmap.mmap(-1, max(1, size * np.dtype(dtype).itemsize), flags=flags), dtype, count=size)


def _chunks(frame: pl.DataFrame) -> Iterator[dict[str, NDArray[Any]]]:
    """The columns piece by piece as they lie in memory, without making one piece of them."""
    if len({column.n_chunks() for column in frame.iter_columns()}) > 1:
        frame = frame.rechunk()
    for chunks in zip(*(column.get_chunks() for column in frame.iter_columns()), strict=True):
        yield {chunk.name: _read_only(chunk) for chunk in chunks}


def _in_order(parts: Sequence[Events], tied: list[tuple[Events, NDArray[np.bool_]]]) -> Iterator[Events]:
    """The events of each part in order; a part in which some are tied is put aside, with where they are."""
    for part in parts:
        is_sorted = bool((part.order[1:] >= part.order[:-1]).all())
        turn = np.arange(len(part.order)) if is_sorted else np.argsort(part.order, kind="stable")
        events = Events(**{name: column[turn] for name, column in part._asdict().items()})
        ties = np.zeros(len(turn), np.bool_)
        mark_ties(events, ties)
        if ties.any():
            tied.append((events, ties))
        else:
            yield events


def _without_ties(parts: Sequence[tuple[Events, NDArray[np.bool_]]], rows: Rows) -> Iterator[Events]:
    """The parts with their tied events in the order of their ids, which are read for these alone."""
    sources = np.concatenate([events.source[ties] for events, ties in parts])
    same = ["app_id", "room_id", "user_id", "at", "seq", "stream", "width", "height"]
    texts = rows.texts[sources].select(*same, source=sources)
    moments = rows.events.filter(pl.col("at").is_in(texts["at"].unique().implode()), pl.col("type") == "video_on")
    named = moments.select(*same, "event_id").sort("event_id").collect()
    # Events that agree in all but their ids are told apart by a number.
    number = pl.int_range(pl.len()).over(same)
    ids = named.with_columns(number=number).join(texts.with_columns(number=number), on=[*same, "number"])
    for events, ties in parts:
        found = pl.DataFrame({name: column[ties] for name, column in events._asdict().items()})
        in_order = found.join(ids.select("source", "event_id"), on="source").sort("order", "event_id")
        for name, column in events._asdict().items():
            column[ties] = in_order[name].to_numpy()
        yield events


def _found(world: World) -> dict[str, pl.DataFrame]:
    users, streams = world.users[: world.made[USERS]], world.streams[: world.made[STREAMS]]
    present = users[users["state"] != ABSENT]
    streams = streams[streams["size"] > 0]
    receivers = users[streams["user"]]
    received = (streams["epoch"] == receivers["epoch"]) & (receivers["state"] == CONNECTED)
    number, seconds_class = np.nonzero(world.user_seconds)
    waits = pl.Series(present["state"] == WAITING, dtype=pl.Boolean)
    return {
        "findings": _frame(world.findings[: world.made[FINDINGS]]),
        "stays": _frame(world.stays[: world.made[STAYS]]),
        "open_stays": pl.DataFrame(
            {"stay": present["source"], "last_event": present["last_event"], "wait_ends": present["wait_ends"]}
        ).with_columns(pl.when(waits).then("wait_ends")),
        "open_streams": pl.DataFrame({"stay": receivers["source"][received], "source": streams["source"][received]}),
        "users": pl.DataFrame(
            {
                "source": users["first_source"][number],
                "class": seconds_class.astype(np.uint8),
                "seconds": world.user_seconds[number, seconds_class],
            }
        ),
    }


def _frame(records: Records) -> pl.DataFrame:
    return pl.DataFrame({name: np.ascontiguousarray(records[name]) for name in records.dtype.names or ()})


@compiled
def count_rows(room_key: NDArray[np.uint64], sizes: NDArray[np.int64]) -> None:
    """Adds to `sizes` how many rows are in each part. A room is in the part that its key says."""
    count = np.uint64(len(sizes))
    for row in range(len(room_key)):
        sizes[room_key[row] % count] += 1


@compiled
def cut(column: NDArray[Any], room_key: NDArray[np.uint64], ends: NDArray[np.int64], parts: NDArray[Any]) -> None:
    """Appends the values of a column to their parts, which so far end at `ends`. (Writing to all parts at once takes a
    sixth of the time of gathering one part after the other.)"""
    count = np.uint64(len(ends))
    for row in range(len(room_key)):
        part = room_key[row] % count
        parts[ends[part]] = column[row]
        ends[part] += 1


@compiled
def cut_rows(first: int, room_key: NDArray[np.uint64], ends: NDArray[np.int64], parts: NDArray[np.uint32]) -> None:
    """The same for the numbers of the rows, from `first` on."""
    count = np.uint64(len(ends))
    for row in range(len(room_key)):
        part = room_key[row] % count
        parts[ends[part]] = first + row
        ends[part] += 1


@compiled
def mark_ties(events: Events, tied: NDArray[np.bool_]) -> None:
    """Marks the events that the order leaves in one place with another of the same stream and another size: there the
    event id has the last word.

    Comparing costs the square of the events in one place; from `MOST_COMPARED` on, all of them count as tied.
    """
    order = events.order
    first = 0
    while first < len(order):
        end = first + 1
        while end < len(order) and order[end] == order[first]:
            end += 1
        if end - first > 1 and code_of(events.what[first]) == VIDEO_ON and order[first] >= 0:
            ambiguous = end - first > MOST_COMPARED
            for one in range(first, end):
                for other in range(one + 1, min(end, one + MOST_COMPARED)):
                    ambiguous = ambiguous or same_stream(events, one, other)
            tied[first:end] = ambiguous
        first = end


@inlined
def same_stream(events: Events, one: int, other: int) -> bool:
    """Are two events about one stream of one user, with different sizes?"""
    return bool(
        events.user_key[one] == events.user_key[other]
        and events.stream_key[one] == events.stream_key[other]
        and events.what[one] != events.what[other]
    )
