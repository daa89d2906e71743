"""Room leaves: a hash of each room's events in a span, which shows later that none was changed, added or lost.

What is hashed is what a bill is computed from. A room is three numbers, and each of its events five, all signed, of
eight bytes, the lowest byte first (the keys are those of `billing.events.keys`):

    room    app_id, room_key, room_check
    event   at, 2 x what, user_key, stream_key, checks

An event with a `seq` other than 0, with a connection or of a task, has 2 x what + 1, and three more numbers: seq,
connection_key, connection_check (0 without either). A room's events ascend by all these numbers: at, seq, what,
user_key, stream_key, checks, connection_key, connection_check. So neither files nor ingests matter, and an id, a role
or a source, which no bill depends on, do not either. The leaf is SHA-256 of a zero byte and these bytes; leaves ascend
by app_id and room_key, and their root is that of RFC 6962 (`billing.events.merkle`).
"""

import hashlib
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from billing.events.keys import event_keys
from billing.events.schema import CONNECTION_KEYS_SCHEMA, KEYS_SCHEMA
from billing.numba_cache import compiled, inlined

LEAVES_SCHEMA = pl.Schema(
    {
        "app_id": pl.Int64(),
        "room_key": pl.Int64(),
        "events": pl.Int64(),
        "leaf": pl.Binary(),
    }
)
_TEXTS = (
    "app_id",
    "room_id",
    "user_id",
    "stream",
    "type",
    "width",
    "height",
    "receives",
    "connection",
    "task_id",
    "service",
)
_COLUMNS = ("app_id", "at", "seq", *KEYS_SCHEMA, *CONNECTION_KEYS_SCHEMA)
_ROOM_WORDS, _EVENT_WORDS = 3, 8  # at most
# So many moves for each event are cheaper than a sort of their own.
_MOVES_PER_EVENT = 16
_LEAF = hashlib.sha256(b"\0")

Words = NDArray[np.int64]


class LeafRows(NamedTuple):
    """The numbers of events that leaves are made of, in columns; `room_check` has 32 bits."""

    app_id: Words
    room_key: Words
    room_check: NDArray[np.int32]
    at: Words
    seq: Words
    what: Words
    user_key: Words
    stream_key: Words
    checks: Words
    connection_key: Words
    connection_check: Words

    @classmethod
    def of(cls, columns: Mapping[str, NDArray[Any]]) -> "LeafRows":
        """From columns without nulls, as the log names them; those of connections may be missing."""
        none = np.zeros(len(columns["at"]), np.int64)
        wide = {name: columns.get(name, none).astype(np.int64, copy=False) for name in CONNECTION_KEYS_SCHEMA}
        for column in wide.values():
            # Compiled functions are compiled for arrays that may not be written to.
            column.setflags(write=False)
        return cls(*({**columns, **wide}[name] for name in cls._fields))


def room_leaves(events: pl.LazyFrame, *, ranges: int = 1) -> pl.DataFrame:
    """The leaf of every room (`LEAVES_SCHEMA`), by app and room key.

    `events` have the columns of the log. They may lie in so many equal `ranges` of room keys: then one range is read
    after the other.
    """
    limits = [-(2**63) + part * (2**64 // ranges) for part in range(ranges)] + [2**63]
    found = [pl.DataFrame(schema=LEAVES_SCHEMA)]
    for first, after in pairwise(limits):
        in_range = pl.lit(value=True) if ranges == 1 else pl.col("room_key").is_between(first, after - 1)
        found.append(leaves_of(_with_keys(events.filter(in_range))))
    return pl.concat(found).sort("app_id", "room_key")


def leaves_of(keyed: pl.DataFrame) -> pl.DataFrame:
    """The leaves of events with keys: `app_id, at, seq`, `KEYS_SCHEMA` and `CONNECTION_KEYS_SCHEMA`."""
    rows = LeafRows.of({name: _numbers(keyed[name]) for name in _COLUMNS})
    rooms = rows.room_key
    is_sorted = not np.count_nonzero(rooms[1:] < rooms[:-1])
    return leaves_at(rows, np.arange(len(rooms)) if is_sorted else np.argsort(rooms, kind="stable"))


def leaves_at(rows: LeafRows, order: Words) -> pl.DataFrame:
    """The leaves of the rows at these places: whole rooms, one after the other. `order` is changed."""
    if not len(order):
        return pl.DataFrame(schema=LEAVES_SCHEMA)
    by_room = rows.room_key[order]
    starts = np.concatenate(([0], np.flatnonzero(by_room[1:] != by_room[:-1]) + 1, [len(order)]))
    unsorted = np.zeros(len(starts) - 1, np.bool_)
    _sort_rooms(rows, order, starts, unsorted)
    for room in np.flatnonzero(unsorted):
        places = order[starts[room] : starts[room + 1]]
        last_first = [getattr(rows, name)[places] for name in reversed(LeafRows._fields[_ROOM_WORDS:])]
        order[starts[room] : starts[room + 1]] = places[np.lexsort(last_first)]
    words = np.empty(len(unsorted) * _ROOM_WORDS + len(order) * _EVENT_WORDS, np.int64)
    ends = np.empty(len(unsorted), np.int64)
    _write(words, ends, rows, order, starts)
    firsts = order[starts[:-1]]
    return pl.DataFrame(
        {
            "app_id": rows.app_id[firsts],
            "room_key": rows.room_key[firsts],
            "events": np.diff(starts),
            "leaf": list(_hashes(words, ends)),
        },
        schema=LEAVES_SCHEMA,
    )


def _hashes(words: Words, ends: Words) -> Iterator[bytes]:
    content, before = words.astype("<i8", copy=False).view(np.uint8).data, 0
    for end in (ends * words.itemsize).tolist():
        leaf = _LEAF.copy()
        leaf.update(content[before:end])
        yield leaf.digest()
        before = end


def _with_keys(events: pl.LazyFrame) -> pl.DataFrame:
    keyed = events.select(_COLUMNS).collect()
    # Files of an older log have none.
    if not keyed["room_key"].null_count():
        return keyed
    return recomputed(events.select(*_TEXTS, "at", "seq").collect())


def recomputed(events: pl.DataFrame) -> pl.DataFrame:
    """Events with keys that are computed from their texts, whatever keys they came with."""
    return events.select("app_id", "at", "seq").hstack(event_keys(events.select(_TEXTS)))


def _numbers(column: pl.Series) -> Words:
    """The column with 0 for null. It may not be written to, because compiled functions are compiled for that once."""
    if column.null_count() == len(column):
        numbers = np.zeros(len(column), column.head(0).to_numpy().dtype)
    else:
        column = column.fill_null(0) if column.null_count() else column
        numbers = column.rechunk().to_numpy()
    numbers.setflags(write=False)
    return numbers


@inlined
def _is_before(rows: LeafRows, one: int, other: int) -> bool:
    is_before = rows.at[one] < rows.at[other]
    if rows.at[one] == rows.at[other]:
        is_before = rows.seq[one] < rows.seq[other]
        if rows.seq[one] == rows.seq[other]:
            is_before = rows.what[one] < rows.what[other]
            if rows.what[one] == rows.what[other]:
                is_before = rows.user_key[one] < rows.user_key[other]
                if rows.user_key[one] == rows.user_key[other]:
                    is_before = _names_before(rows, one, other)
    return bool(is_before)


@inlined
def _names_before(rows: LeafRows, one: int, other: int) -> bool:
    """The same for events of one user, time and type."""
    is_before = rows.stream_key[one] < rows.stream_key[other]
    if rows.stream_key[one] == rows.stream_key[other]:
        is_before = rows.checks[one] < rows.checks[other]
        if rows.checks[one] == rows.checks[other]:
            is_before = rows.connection_key[one] < rows.connection_key[other]
            if rows.connection_key[one] == rows.connection_key[other]:
                is_before = rows.connection_check[one] < rows.connection_check[other]
    return bool(is_before)


@compiled
def _sort_rooms(rows: LeafRows, order: Words, starts: Words, unsorted: NDArray[np.bool_]) -> None:
    """Sorts the rows of each room; one that is far from sorted is left to another way."""
    for room in range(len(starts) - 1):
        first, after = starts[room], starts[room + 1]
        moves = _MOVES_PER_EVENT * (after - first)
        for place in range(first + 1, after):
            row, free = order[place], place
            while free > first and _is_before(rows, row, order[free - 1]):
                order[free] = order[free - 1]
                free -= 1
                moves -= 1
            order[free] = row
            if moves < 0:
                unsorted[room] = True
                break


@compiled
def _write(words: Words, ends: Words, rows: LeafRows, order: Words, starts: Words) -> None:
    """The numbers of every room, and where each room ends."""
    place = 0
    for room in range(len(ends)):
        row = order[starts[room]]
        words[place], words[place + 1], words[place + 2] = rows.app_id[row], rows.room_key[row], rows.room_check[row]
        place += 3
        for number in range(starts[room], starts[room + 1]):
            row = order[number]
            more = rows.seq[row] != 0 or rows.connection_key[row] != 0
            words[place], words[place + 1] = rows.at[row], 2 * rows.what[row] + more
            words[place + 2], words[place + 3] = rows.user_key[row], rows.stream_key[row]
            words[place + 4] = rows.checks[row]
            place += 5
            if more:
                words[place], words[place + 1] = rows.seq[row], rows.connection_key[row]
                words[place + 2] = rows.connection_check[row]
                place += 3
        ends[room] = place
