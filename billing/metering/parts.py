"""Parts: the rows of a span, cut into parts of whole rooms that are metered side by side.

A part is small enough for the processor's cache, which is worth more than anything else here: the tables of users and
streams are looked up once for every event.
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from billing.compiled import compiled, inlined
from billing.event_keys import CODE_BITS, SIZE_BITS, VIDEO_ON
from billing.metering.rows import HashCollisionError, Rows
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


@dataclass(frozen=True, slots=True)
class Share:
    """What one worker found out about its parts; `source` is a row of the texts, seconds count from the span's start.

    `findings`: `kind, source, second`. `stays`: `source` (of its first event), `person_key`, `room_key`, `second,
    stay_end, begins` (in this span). `open_stays`: `stay` (its source), `last_event, wait_ends`. `open_streams`:
    `stay, source` (of its last event). `users`: `source` (of the user's first event), `class, seconds`, if asked for.
    """

    sums: Sums
    findings: pl.DataFrame
    stays: pl.DataFrame
    open_stays: pl.DataFrame
    open_streams: pl.DataFrame
    users: pl.DataFrame


def metered_shares(rows: Rows, rules: Rules, start: int, end: int, *, by_user: bool) -> list[Share]:
    """Runs every part through to its last second, on all processors."""
    keyed = rows.keyed.select("app_id", "room_key", "room_check", "person_key").rechunk()
    sources = Sources(
        app_id=_read_only(keyed["app_id"]),
        room_key=_unsigned(_read_only(keyed["room_key"])),
        room_check=_unsigned(_read_only(keyed["room_check"])),
        person_key=_read_only(keyed["person_key"]),
        last_event=_read_only(rows.carried["last_event"]),
        wait_ends=_read_only(rows.carried["wait_ends"]),
        first_carried=rows.texts.count,
    )

    def share(parts: Iterable[Events]) -> Share | None:
        sums = make_sums(len(rules.app_id), rules.tops.shape[1], start, end)
        worlds = [_found(_run(part, sources, rules, sums, by_user=by_user), sources) for part in parts]
        if not worlds:
            return None
        return Share(sums=sums, **{name: pl.concat([world[name] for world in worlds]) for name in worlds[0]})

    workers = pl.thread_pool_size()  # one for each processor, unless POLARS_MAX_THREADS says how many
    tied: list[tuple[Events, NDArray[np.bool_]]] = []
    parts = list(_parts(rows))
    with ThreadPoolExecutor(workers) as pool:
        shares = list(pool.map(share, [_untied(parts[worker::workers], tied) for worker in range(workers)]))
        untied = list(_without_ties(tied, rows, start)) if tied else []
        shares += pool.map(share, [untied[worker::workers] for worker in range(workers)])
    return [each for each in shares if each]


def _read_only(column: pl.Series) -> NDArray[Any]:
    """The column as an array of one kind, whether it was copied or not: for another kind the meter would be compiled
    again."""
    array = column.to_numpy()
    array.flags.writeable = False
    return array


def _unsigned(array: NDArray[Any]) -> NDArray[Any]:
    """The same bits, as hashes are meant."""
    return array.view(np.dtype(f"u{array.itemsize}"))


def _run(events: Events, sources: Sources, rules: Rules, sums: Sums, *, by_user: bool) -> World:
    """The world of a part after its last second; `sums` has grown by it."""
    world = make_world(events, rules, sums, by_user=by_user)
    result = run(events, sources, rules, world)
    if result == UNKNOWN_APP:
        raise KeyError("an app of the events has no tier rule")
    if result == COLLISION:
        raise HashCollisionError("two users, rooms or streams have one key")
    return world


class _Run(NamedTuple):
    """Rows that follow each other in the log, in the order of their rooms; `first` is the number of the first row, and
    `bounds` say where each part begins and ends."""

    columns: dict[str, NDArray[Any]]
    first: int
    bounds: NDArray[np.intp]


def _parts(rows: Rows) -> Iterator[list[_Run]]:
    """The runs that have rows of a part. A part is a range of room keys."""
    count = max(1, rows.keyed.height // ROWS_PER_PART)
    low, high = rows.keyed.select(low=pl.col("room_key").min(), high=pl.col("room_key").max()).fill_null(0).row(0)
    limits = np.array([low + (high - low) * part // count for part in range(1, count)], np.int64)
    runs = []
    for columns, first in _runs(rows.keyed):
        room_key = columns["room_key"]
        inner = np.searchsorted(room_key, limits)
        runs.append(_Run(columns, first, np.concatenate([[0], inner, [len(room_key)]])))
    for part in range(count):
        found = [run for run in runs if run.bounds[part] < run.bounds[part + 1]]
        if count == 1 and not found:
            found = runs[:1]
        if found:
            yield [_Run(run.columns, run.first, run.bounds[part : part + 2]) for run in found]


def _runs(frame: pl.DataFrame) -> Iterator[tuple[dict[str, NDArray[Any]], int]]:
    """The columns run by run, as they lie in memory, each with the number of its first row."""
    if len({column.n_chunks() for column in frame.iter_columns()}) > 1:
        frame = frame.rechunk()
    first = 0
    for chunks in zip(*(column.get_chunks() for column in frame.iter_columns()), strict=True):
        columns = {chunk.name: _read_only(chunk) for chunk in chunks}
        room_key = columns["room_key"]
        begins = [0, *(np.flatnonzero(room_key[1:] < room_key[:-1]) + 1).tolist(), len(room_key)]
        for begin, end in pairwise(begins):
            yield {name: column[begin:end] for name, column in columns.items()}, first + begin
        first += len(room_key)


def _untied(parts: Sequence[list[_Run]], tied: list[tuple[Events, NDArray[np.bool_]]]) -> Iterator[Events]:
    """The events of each part in order; a part in which some are tied is put aside, with where they are."""
    for part in parts:
        events = _in_order(part)
        ties = np.zeros(len(events.order), np.bool_)
        mark_ties(events, ties)
        if ties.any():
            tied.append((events, ties))
        else:
            yield events


def _in_order(part: Sequence[_Run]) -> Events:
    """The events of a part, room by room, each room's in order."""

    def column(name: str) -> NDArray[Any]:
        return np.concatenate([run.columns[name][slice(*run.bounds)] for run in part])

    room_key, order = column("room_key"), column("order")
    turn = np.argsort(room_key, kind="stable") if len(part) > 1 else np.arange(len(room_key))
    sort_rooms(room_key, order, turn, np.empty_like(turn))
    source = np.concatenate([np.arange(*(run.first + run.bounds), dtype=np.uint32) for run in part])
    return Events(
        user_key=_unsigned(column("user_key"))[turn],
        stream_key=_unsigned(column("stream_key"))[turn],
        checks=_unsigned(column("checks"))[turn],
        order=order[turn],
        what=column("what")[turn],
        source=source[turn],
    )


def _without_ties(parts: Sequence[tuple[Events, NDArray[np.bool_]]], rows: Rows, start: int) -> Iterator[Events]:
    """The parts with their tied events in the order of their ids, which are read for the seconds of these alone."""
    seconds = np.unique(np.concatenate([events.what[ties] >> (SIZE_BITS + CODE_BITS) for events, ties in parts]))
    ids = rows.texts.event_ids(rows.keyed["what"].to_numpy() >> (SIZE_BITS + CODE_BITS), seconds, start)
    for events, ties in parts:
        found = pl.DataFrame({name: column[ties] for name, column in events._asdict().items()})
        room_key = rows.keyed["room_key"].gather(found["source"])
        named = found.with_columns(room_key=room_key).join(ids, on="source")
        in_order = named.sort("room_key", "order", "event_id")
        for name, column in events._asdict().items():
            column[ties] = in_order[name].to_numpy()
        yield events


def _found(world: World, sources: Sources) -> dict[str, pl.DataFrame]:
    users, streams = world.users[: world.made[USERS]], world.streams[: world.made[STREAMS]]
    present = users[users["state"] != ABSENT]
    streams = streams[streams["size"] > 0]
    receivers = users[streams["user"]]
    received = (streams["epoch"] == receivers["epoch"]) & (receivers["state"] == CONNECTED)
    number, seconds_class = np.nonzero(world.user_seconds)
    waits = pl.Series(present["state"] == WAITING, dtype=pl.Boolean)
    return {
        "findings": _frame(world.findings[: world.made[FINDINGS]]),
        "stays": _with_person(_frame(world.stays[: world.made[STAYS]]), sources),
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


def _with_person(stays: pl.DataFrame, sources: Sources) -> pl.DataFrame:
    source = stays["source"].to_numpy()
    return stays.with_columns(
        person_key=pl.Series(sources.person_key[source]), room_key=pl.Series(sources.room_key[source])
    )


def _frame(records: Records) -> pl.DataFrame:
    return pl.DataFrame({name: np.ascontiguousarray(records[name]) for name in records.dtype.names or ()})


@compiled
def sort_rooms(
    room_key: NDArray[np.int64], order: NDArray[np.int64], turn: NDArray[np.int64], spare: NDArray[np.int64]
) -> None:
    """Sorts each room's rows by their order; those of one order stay as they come. `turn`, the rows room by room, is
    put in order; `spare` is as long. Most rooms are in order already."""
    first = 0
    while first < len(turn):
        end = first + 1
        in_order = True
        while end < len(turn) and room_key[turn[end]] == room_key[turn[first]]:
            in_order = in_order and order[turn[end]] >= order[turn[end - 1]]
            end += 1
        if not in_order:
            sort_room(order, turn, spare, first, end)
        first = end


@inlined
def sort_room(
    order: NDArray[np.int64], turn: NDArray[np.int64], spare: NDArray[np.int64], first: int, end: int
) -> None:
    """Merges ever longer sorted pieces."""
    length = 1
    while length < end - first:
        begin = first
        while begin + length < end:
            middle, last = begin + length, min(begin + 2 * length, end)
            if order[turn[middle]] < order[turn[middle - 1]]:
                for at in range(begin, last):
                    spare[at] = turn[at]
                one, other = begin, middle
                for at in range(begin, last):
                    if other == last or (one < middle and order[spare[one]] <= order[spare[other]]):
                        turn[at] = spare[one]
                        one += 1
                    else:
                        turn[at] = spare[other]
                        other += 1
            begin = last
        length *= 2


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
