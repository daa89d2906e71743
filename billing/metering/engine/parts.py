"""Parts: the rows of a span, cut into parts of whole rooms that are metered in parallel.

A part is small enough for the processor's cache, which matters more than anything else here: the tables of users and
streams are looked up once for every event. Example: a million rows are cut into 25 parts of about 40,000.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from billing.events.keys import CODE_BITS, DISCONNECT, ENTER, EXIT, PUBLISH, VIDEO_ON
from billing.events.room_leaves import LEAVES_SCHEMA, LeafRows, leaves_at
from billing.events.schema import CONNECTION_KEYS_SCHEMA, EVENT_TYPES, ORDERED_TYPES, SIZE_AND_TYPE
from billing.metering.engine.keyed_rows import ROW_NUMBER, TYPE_BITS, HashCollisionError, KeyedRows, SpanRows
from billing.metering.engine.room_tables import (
    COLLISION,
    UNKNOWN_APP,
    Carried,
    Events,
    RoomTables,
    SpanArrays,
    code_of,
    empty_sums,
    empty_tables,
)
from billing.metering.engine.rooms import run, run_with_connections
from billing.metering.engine.worker_results import Columns, WorkerResult, columns_of, worker_result
from billing.numba_cache import compiled, inlined

ROWS_PER_PART = 40_000
MOST_COMPARED = 64
FEW_ROOMS = 1_000

# The place of each type code in the order of one instant.
RANKS = np.array([ORDERED_TYPES.index(kind) for kind in EVENT_TYPES] + [0] * (2**CODE_BITS - len(EVENT_TYPES)))

_Tied = tuple[Events, NDArray[np.bool_]]


class SortKeyLayout(NamedTuple):
    """How `at`, `seq` and the type of an event are packed into its sort key."""

    start_ms: int
    first_seq: int
    seq_bits: int


class PassRows(NamedTuple):
    """The rows of a pass, room by room; `leaf_rows` of its events without carried rows, if leaves are asked for."""

    events: Events
    leaf_rows: LeafRows | None


def meter_parts(
    of_pass: PassRows, rows: SpanRows, span: SpanArrays, pool: Executor, *, by_user: bool
) -> list[WorkerResult]:
    """Meters every part of a pass to the end of the span, with the threads of `pool`."""
    events = of_pass.events
    work = partial(_work, carried=_carried(rows), span=span, leaf_rows=of_pass.leaf_rows, by_user=by_user)
    parts, tied = deque(_parts(events)), list[_Tied]()
    workers = range(min(len(parts), pl.thread_pool_size()))
    results = list(pool.map(work, [_untied(_taken(parts), tied) for _ in workers]))
    if tied:
        untied = list(_without_ties(tied, rows))
        results += pool.map(work, [untied[worker :: len(workers)] for worker in workers])
    return [result for result in results if result]


def rows_by_room(rows: KeyedRows, start: int, *, with_leaves: bool) -> PassRows:
    """The rows of a pass, room by room. Leaves are made of the keys that the rows have: those of the log, hopefully."""
    frame, has_connection = _with_connections(rows.frame)
    columns = {column.name: _read_only(column) for column in frame.rechunk().iter_columns()}
    room_key = columns["room_key"]
    is_sorted = not np.count_nonzero(room_key[1:] < room_key[:-1])
    order = np.arange(len(room_key)) if is_sorted else np.argsort(room_key, kind="stable")
    sort_key = np.empty_like(order)
    layout = SortKeyLayout(start_ms=start * 1000, first_seq=rows.first_seq, seq_bits=rows.seq_bits)
    fill_sort_keys(columns["at"], columns["seq"], columns[SIZE_AND_TYPE], layout, sort_key)

    def unsigned(name: str) -> NDArray[Any]:
        """The same bits as an unsigned number, as hashes are."""
        column = columns[name] if name in columns else _read_only(pl.Series([], dtype=CONNECTION_KEYS_SCHEMA[name]))
        return column.view(np.dtype(f"u{column.itemsize}"))

    events = Events(
        order=order,
        app_id=columns["app_id"],
        room_key=unsigned("room_key"),
        room_check=unsigned("room_check"),
        user_key=unsigned("user_key"),
        stream_key=unsigned("stream_key"),
        checks=unsigned("checks"),
        connection_key=unsigned("connection_key"),
        connection_check=unsigned("connection_check"),
        has_connection=has_connection,
        size_and_type=columns[SIZE_AND_TYPE],
        at=columns["at"],
        sort_key=sort_key,
        row_number=columns[ROW_NUMBER],
    )
    size = len(rows.seqs)
    of_events = {name: column[:size] for name, column in columns.items()} | {"seq": _read_only(rows.seqs.rechunk())}
    return PassRows(events=events, leaf_rows=LeafRows.of(of_events) if with_leaves else None)


def _with_connections(frame: pl.DataFrame) -> tuple[pl.DataFrame, NDArray[np.bool_]]:
    """The rows with numbers in place of absent connections, and which have one; empty arrays if none has."""
    key, check = CONNECTION_KEYS_SCHEMA
    if key not in frame.columns or frame[key].null_count() == frame.height:
        frame = frame.drop(CONNECTION_KEYS_SCHEMA, strict=False)
        has = pl.Series([], dtype=pl.Boolean)
    else:
        has = frame[key].is_not_null()
        frame = frame.with_columns(pl.col(key, check).fill_null(0))
    return frame, _read_only(has)


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


def _work(
    parts: Iterable[Events], carried: Carried, span: SpanArrays, leaf_rows: LeafRows | None, *, by_user: bool
) -> WorkerResult | None:
    """Meters some parts, one after the other; None: there are none."""
    sums, found, leaves = empty_sums(span), list[dict[str, Columns]](), [pl.DataFrame(schema=LEAVES_SCHEMA)]
    for part in parts:
        found.append(columns_of(_run(part, carried, empty_tables(part, span, sums, by_user=by_user))))
        if leaf_rows:
            # The rows of a part are in the cache now, and nearly in order.
            leaves.append(leaves_at(leaf_rows, part.order[part.order < len(leaf_rows.at)]))
    return worker_result(sums, found, pl.concat(leaves)) if found else None


def _run(events: Events, carried: Carried, tables: RoomTables) -> RoomTables:
    """The tables of a part, filled up to the end of the span."""
    outcome = (run_with_connections if tables.subscriptions else run)(events, carried, tables)
    if outcome == UNKNOWN_APP:
        raise KeyError("an app of the events has no tier rule")
    if outcome == COLLISION:
        raise HashCollisionError("two users, rooms, streams or connections have one key")
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
    """Marks the events of one sort key whose order changes something: there the event id decides.

    Comparing costs the square of the events of one sort key; from `MOST_COMPARED` on, all of them count as tied.
    """
    order, sort_key = events.order, events.sort_key
    first = 0
    while first < len(order):
        end = first + 1
        while end < len(order) and sort_key[order[end]] == sort_key[order[first]]:
            end += 1
        code = code_of(events.size_and_type[order[first]])
        by_connection = len(events.has_connection) > 0 and code in (EXIT, DISCONNECT, ENTER)
        if end - first > 1 and (code in (VIDEO_ON, PUBLISH) or by_connection) and sort_key[order[first]] >= 0:
            ambiguous = end - first > MOST_COMPARED
            for one in range(first, end):
                for other in range(one + 1, min(end, one + MOST_COMPARED)):
                    ambiguous = ambiguous or order_matters(events, code, order[one], order[other])
            tied[first:end] = ambiguous
        first = end


@inlined
def order_matters(events: Events, code: int, one: int, other: int) -> bool:
    """Does the order of two events of one type matter, which are at one instant of a room?

    That of two sizes of one stream does, and that of two who publish it; that of the ends of two connections of a user,
    or of what is published over them, for the findings; and that of two beginnings of one connection, with the
    subscription to everything and without.
    """
    same_user = events.user_key[one] == events.user_key[other]
    same_size = events.size_and_type[one] == events.size_and_type[other]
    same_connection = len(events.has_connection) == 0 or (
        events.has_connection[one] == events.has_connection[other]
        and events.connection_key[one] == events.connection_key[other]
    )
    if code == ENTER:
        return same_user and same_connection and not same_size
    if code in (EXIT, DISCONNECT):
        return same_user and not same_connection
    same_stream = events.stream_key[one] == events.stream_key[other]
    if code == VIDEO_ON:
        return same_user and same_stream and not (same_size and same_connection)
    if same_user and not same_connection:
        return True
    return same_stream and not (same_user and same_size)
