"""Parts: the rows of a span, cut into parts of whole rooms that are metered in parallel.

A part is small enough for the processor's cache, which matters more than anything else here: the tables of users and
streams are looked up once for every event. Example: a million rows are cut into 25 parts of about 40,000.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from billing.events.keys import CODE_BITS, PUBLISH, VIDEO_ON
from billing.events.schema import EVENT_TYPES, ORDERED_TYPES, SIZE_AND_TYPE
from billing.metering.engine.keyed_rows import ROW_NUMBER, TYPE_BITS, HashCollisionError, KeyedRows, SpanRows
from billing.metering.engine.room_tables import (
    FINDINGS,
    STAYS,
    STREAMS,
    USERS,
    Carried,
    Events,
    Records,
    RoomTables,
    SpanArrays,
    Sums,
    code_of,
    empty_sums,
    empty_tables,
)
from billing.metering.engine.stays import ABSENT, COLLISION, CONNECTED, UNKNOWN_APP, WAITING, run
from billing.numba_cache import compiled, inlined

ROWS_PER_PART = 40_000
MOST_COMPARED = 64
FEW_ROOMS = 1_000

# The place of each type code in the order of one instant.
RANKS = np.array([ORDERED_TYPES.index(kind) for kind in EVENT_TYPES] + [0] * (2**CODE_BITS - len(EVENT_TYPES)))

_Tied = tuple[Events, NDArray[np.bool_]]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerResult:
    """The results of one worker for its parts; seconds count from the start of the span.

    `findings`: `kind, row_number, at` (epoch ms). `stays`: `row_number` (of the first event), `person_key, second,
    stay_end, begins` (in this span). `open_stays`: `stay` (its row number), `last_event, wait_ends`. `open_streams`:
    `stay, row_number` (of the last event). `users`: `row_number` (of the user's first event), `class, seconds`, if
    asked for.
    """

    sums: Sums
    findings: pl.DataFrame
    stays: pl.DataFrame
    open_stays: pl.DataFrame
    open_streams: pl.DataFrame
    users: pl.DataFrame


class SortKeyLayout(NamedTuple):
    """How `at`, `seq` and the type of an event are packed into its sort key."""

    start_ms: int
    first_seq: int
    seq_bits: int


def meter_parts(
    events: Events, rows: SpanRows, span: SpanArrays, pool: Executor, *, by_user: bool
) -> list[WorkerResult]:
    """Meters every part to the end of the span, with the threads of `pool`. `events` are room by room."""
    work = partial(_work, carried=_carried(rows), span=span, by_user=by_user)
    parts, tied = deque(_parts(events)), list[_Tied]()
    workers = range(min(len(parts), pl.thread_pool_size()))
    results = list(pool.map(work, [_untied(_taken(parts), tied) for _ in workers]))
    if tied:
        untied = list(_without_ties(tied, rows))
        results += pool.map(work, [untied[worker :: len(workers)] for worker in workers])
    return [result for result in results if result]


def events_by_room(rows: KeyedRows, start: int) -> Events:
    """The events of a pass, room by room."""
    columns = {column.name: _read_only(column) for column in rows.frame.rechunk().iter_columns()}
    room_key = columns["room_key"]
    is_sorted = not np.count_nonzero(room_key[1:] < room_key[:-1])
    order = np.arange(len(room_key)) if is_sorted else np.argsort(room_key, kind="stable")
    sort_key = np.empty_like(order)
    layout = SortKeyLayout(start_ms=start * 1000, first_seq=rows.first_seq, seq_bits=rows.seq_bits)
    fill_sort_keys(columns["at"], columns["seq"], columns[SIZE_AND_TYPE], layout, sort_key)

    def unsigned(name: str) -> NDArray[Any]:
        """The same bits as an unsigned number, as hashes are."""
        return columns[name].view(np.dtype(f"u{columns[name].itemsize}"))

    return Events(
        order=order,
        app_id=columns["app_id"],
        room_key=unsigned("room_key"),
        room_check=unsigned("room_check"),
        user_key=unsigned("user_key"),
        stream_key=unsigned("stream_key"),
        checks=unsigned("checks"),
        size_and_type=columns[SIZE_AND_TYPE],
        at=columns["at"],
        sort_key=sort_key,
        row_number=columns[ROW_NUMBER],
    )


def _carried(rows: SpanRows) -> Carried:
    return Carried(
        first=rows.first_carried,
        last_event=_read_only(rows.carried["last_event"].fill_null(0)),
        wait_ends=_read_only(rows.carried["wait_ends"].fill_null(0)),
    )


def _parts(events: Events) -> Iterator[Events]:
    """The events in parts of whole rooms, each of a range of room keys; at least one part."""
    room_key, order = events.room_key.view(np.int64), events.order
    count = max(1, len(order) // ROWS_PER_PART)
    low, high = (int(room_key[order[0]]), int(room_key[order[-1]])) if len(order) else (0, 0)
    limits = np.array([low + (high - low) * part // count for part in range(1, count)], np.int64)
    bounds = [0, *np.searchsorted(room_key, limits, sorter=order).tolist(), len(order)]
    for begin, end in pairwise(bounds):
        if begin < end or count == 1:
            yield events._replace(order=order[begin:end])


def _taken(parts: deque[Events]) -> Iterator[Events]:
    """Part after part with the events of each room in order. Several workers share the parts: each takes the next when
    it is done with one."""
    while parts:
        try:
            part = parts.popleft()
        except IndexError:  # another worker was quicker
            return
        sort_rooms(part.room_key, part.sort_key, part.order, np.empty_like(part.order))
        yield part


def _read_only(column: pl.Series) -> NDArray[Any]:
    """The column as a read-only array, whether it was copied or not: for a writable one the meter would be compiled a
    second time."""
    array = column.to_numpy()
    array.flags.writeable = False
    return array


def _work(parts: Iterable[Events], carried: Carried, span: SpanArrays, *, by_user: bool) -> WorkerResult | None:
    """Meters some parts, one after the other; None: there are none."""
    sums = empty_sums(span)
    found = [_columns_of(_run(part, carried, empty_tables(part, span, sums, by_user=by_user))) for part in parts]
    if not found:
        return None
    frames = {
        name: pl.DataFrame({column: np.concatenate([of_part[name][column] for of_part in found]) for column in columns})
        for name, columns in found[0].items()
    }
    waits = frames["open_stays"]["waits"]
    open_stays = frames["open_stays"].with_columns(pl.when(waits).then("wait_ends")).drop("waits")
    return WorkerResult(sums=sums, **{**frames, "open_stays": open_stays})


def _run(events: Events, carried: Carried, tables: RoomTables) -> RoomTables:
    """The tables of a part, filled up to the end of the span."""
    outcome = run(events, carried, tables)
    if outcome == UNKNOWN_APP:
        raise KeyError("an app of the events has no tier rule")
    if outcome == COLLISION:
        raise HashCollisionError("two users, rooms or streams have one key")
    return tables


def _untied(parts: Iterator[Events], tied: list[_Tied]) -> Iterator[Events]:
    """The parts; those in which events are tied go to `tied` instead, with the marks of these events."""
    for events in parts:
        ties = np.zeros(len(events.order), np.bool_)
        mark_ties(events, ties)
        if ties.any():
            tied.append((events, ties))
        else:
            yield events


def _without_ties(parts: Sequence[_Tied], span_rows: SpanRows) -> Iterator[Events]:
    """The parts with their tied events in the order of their event ids, which are read for these alone."""
    rows = [events.order[ties] for events, ties in parts]
    row_numbers = [pl.Series(events.row_number[tied]) for (events, _), tied in zip(parts, rows, strict=True)]
    rooms = np.unique(np.concatenate([events.room_key[tied] for (events, _), tied in zip(parts, rows, strict=True)]))
    few_rooms = rooms.view(np.int64) if len(rooms) <= FEW_ROOMS else None
    names = span_rows.read(["event_id"], *row_numbers, rooms=few_rooms)
    for (events, ties), tied, numbers in zip(parts, rows, row_numbers, strict=True):
        room, sort_key = events.room_key[tied], events.sort_key[tied]
        # Events with one sort key follow each other.
        group = np.cumsum(np.append(False, (room[1:] != room[:-1]) | (sort_key[1:] != sort_key[:-1])))
        named = names.of(numbers, "event_id").with_columns(group=pl.Series(group), row=pl.Series(tied))
        events.order[ties] = named.sort("group", "event_id")["row"].to_numpy()
        yield events


def _columns_of(tables: RoomTables) -> dict[str, dict[str, NDArray[Any]]]:
    """The columns of the frames of a `WorkerResult`, of one part."""
    users, streams = tables.users[: tables.used[USERS]], tables.streams[: tables.used[STREAMS]]
    present = users[users["state"] != ABSENT]
    streams = streams[streams["size"] > 0]
    receivers = users[streams["user"]]
    received = (streams["epoch"] == receivers["epoch"]) & (receivers["state"] == CONNECTED)
    number, seconds_class = np.nonzero(tables.user_seconds)
    return {
        "findings": _fields(tables.findings[: tables.used[FINDINGS]]),
        "stays": _fields(tables.stays[: tables.used[STAYS]]),
        "open_stays": {
            "stay": present["row_number"],
            "last_event": present["last_event"],
            "wait_ends": present["wait_ends"],
            "waits": present["state"] == WAITING,
        },
        "open_streams": {"stay": receivers["row_number"][received], "row_number": streams["row_number"][received]},
        "users": {
            "row_number": users["first_row_number"][number],
            "class": seconds_class.astype(np.uint8),
            "seconds": tables.user_seconds[number, seconds_class],
        },
    }


def _fields(records: Records) -> dict[str, NDArray[Any]]:
    return {name: np.ascontiguousarray(records[name]) for name in records.dtype.names or ()}


@compiled
def fill_sort_keys(
    at: NDArray[np.int64],
    seq: NDArray[np.int64],
    size_and_type: NDArray[np.int64],
    layout: SortKeyLayout,
    sort_key: NDArray[np.int64],
) -> None:
    """Fills one number for (at, seq, type) of each row, in the same order."""
    for row in range(len(sort_key)):
        moment = ((at[row] - layout.start_ms) << layout.seq_bits) + (seq[row] - layout.first_seq)
        sort_key[row] = (moment << TYPE_BITS) + RANKS[code_of(size_and_type[row])]


@compiled
def sort_rooms(
    room_key: NDArray[np.uint64], sort_key: NDArray[np.int64], order: NDArray[np.int64], spare: NDArray[np.int64]
) -> None:
    """Sorts the rows of each room by their sort key; rows with equal keys keep their order. `order` holds the rows room
    by room; `spare` is as long. Most rooms are sorted already."""
    first = 0
    while first < len(order):
        end = first + 1
        is_sorted = True
        while end < len(order) and room_key[order[end]] == room_key[order[first]]:
            is_sorted = is_sorted and sort_key[order[end]] >= sort_key[order[end - 1]]
            end += 1
        if not is_sorted:
            sort_room(sort_key, order, spare, first, end)
        first = end


@inlined
def sort_room(
    sort_key: NDArray[np.int64], order: NDArray[np.int64], spare: NDArray[np.int64], first: int, end: int
) -> None:
    """Merges ever longer sorted pieces."""
    length = 1
    while length < end - first:
        begin = first
        while begin + length < end:
            middle, last = begin + length, min(begin + 2 * length, end)
            if sort_key[order[middle]] < sort_key[order[middle - 1]]:
                for at in range(begin, last):
                    spare[at] = order[at]
                one, other = begin, middle
                for at in range(begin, last):
                    if other == last or (one < middle and sort_key[spare[one]] <= sort_key[spare[other]]):
                        order[at] = spare[one]
                        one += 1
                    else:
                        order[at] = spare[other]
                        other += 1
            begin = last
        length *= 2


@compiled
def mark_ties(events: Events, tied: NDArray[np.bool_]) -> None:
    """Marks the events that share their sort key with another of the same stream and another size: there the event id
    decides.

    Comparing costs the square of the events of one sort key; from `MOST_COMPARED` on, all of them count as tied.
    """
    order, sort_key = events.order, events.sort_key
    first = 0
    while first < len(order):
        end = first + 1
        while end < len(order) and sort_key[order[end]] == sort_key[order[first]]:
            end += 1
        if (
            end - first > 1
            and code_of(events.size_and_type[order[first]]) in (VIDEO_ON, PUBLISH)
            and sort_key[order[first]] >= 0
        ):
            ambiguous = end - first > MOST_COMPARED
            for one in range(first, end):
                for other in range(one + 1, min(end, one + MOST_COMPARED)):
                    ambiguous = ambiguous or same_stream(events, order[one], order[other])
            tied[first:end] = ambiguous
        first = end


@inlined
def same_stream(events: Events, one: int, other: int) -> bool:
    """Are two events about one stream of one user, with different sizes?"""
    return bool(
        events.user_key[one] == events.user_key[other]
        and events.stream_key[one] == events.stream_key[other]
        and events.size_and_type[one] != events.size_and_type[other]
    )
