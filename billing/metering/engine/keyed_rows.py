"""Keyed rows: the events of a span with the keys of their rooms, users and streams, and with all that orders them.

Events from the log come with keys (`billing.events.keys`); for other events they are computed here. Two neighbours with
equal keys and different checks are a hash collision: the span is then metered again with another seed.

Order: by `at`, then `seq`, then type (`ORDERED_TYPES`), then `event_id`. The event id matters only between two sizes
of one stream in one millisecond, so it is read only there.

A stay that is carried into the span becomes rows dated a few milliseconds before the span: its user enters again, has
its connections, publications, streams and exceptions again and, if the stay was waiting, disconnects with the rest of
the wait. Example: a stay that waits until second 40 of the span and receives nothing becomes an `enter` 6 ms and a
`disconnect` 1 ms before the start.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import polars as pl
from numpy.typing import NDArray

from billing.events.keys import (
    CODE_BITS,
    DISCONNECT,
    PUBLISH,
    VIDEO_ON,
    connection_keys,
    event_keys,
    name_keys,
    size_and_type,
)
from billing.events.schema import CONNECTION_KEYS_SCHEMA, KEYS_SCHEMA

# The type codes of the rows that restore a carried stay, its connections and its exceptions; what these say in place of
# a size.
CARRIED_EXCEPTION, CARRIED_CONNECTION, CARRIED = range(2**CODE_BITS - 3, 2**CODE_BITS)
WITH_CONNECTIONS, WITHOUT_STAY = 1, 2
IS_SUBSCRIBED, WAITS, IS_CLOSED = 1, 2, 4

ROW_NUMBER = "row_number"  # the column that numbers the events, if they come with one

# A span with more rows is metered in passes over ranges of rooms, which bounds the memory.
ROWS_PER_PASS = 12_000_000

SORT_KEY_BITS = 62
TYPE_BITS = 4
USER_COLUMNS = ("app_id", "room_id", "user_id")
_KEYED = (ROW_NUMBER, "app_id", "at", "seq", *KEYS_SCHEMA)


class HashCollisionError(Exception):
    """Two different names have one hash: the span must be metered again with another seed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hashing:
    """How names become keys; the log's keys have seed 0. `mask` exists so that a test can make collisions likely."""

    seed: int = 0
    mask: int = 2**64 - 1

    @property
    def is_stored(self) -> bool:
        """Whether the keys of the log are of this kind."""
        return self == Hashing()


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """Columns of some rows that are read on demand, names above all; `row_numbers` ascend."""

    row_numbers: NDArray[np.integer]
    frame: pl.DataFrame

    def of(self, row_numbers: pl.Series, *columns: str) -> pl.DataFrame:
        """These columns of these rows, in their order."""
        return self.frame.select(*columns)[np.searchsorted(self.row_numbers, row_numbers.to_numpy())]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanRows:
    """All rows of a span: the numbered events, and the rows that restore the carried stays.

    The number of a row is that of the event in `ROW_NUMBER`, or, from `first_carried` on, the place of a carried row.
    `has_keys`: the events come with keys that can be used. Names are read only for the few rows that need them.
    """

    events: pl.LazyFrame
    carried: pl.DataFrame
    hashing: Hashing
    has_keys: bool

    @property
    def first_carried(self) -> int:
        """The number of the first carried row."""
        return 2**32 - self.carried.height

    def read(self, columns: Sequence[str], *row_numbers: pl.Series, rooms: NDArray[np.int64] | None = None) -> Names:
        """These columns of all these rows, in one reading.

        `rooms`: the keys of their rooms, if these are few: then only a small part of the log is read.
        """
        wanted = np.unique(np.concatenate([numbers.to_numpy() for numbers in row_numbers])).astype(np.int64)
        numbers = pl.Series(wanted[wanted < self.first_carried]).cast(pl.UInt32)
        rows = pl.col(ROW_NUMBER).is_in(numbers.implode())
        if rooms is not None and self.has_keys:
            rows &= pl.col("room_key").is_in(rooms.tolist())
        events = self.events.filter(rows) if len(numbers) else self.events.limit(0)
        found = events.select(ROW_NUMBER, *columns).collect().sort(ROW_NUMBER).drop(ROW_NUMBER)
        carried = self.carried[wanted[wanted >= self.first_carried] - self.first_carried]
        frame = pl.concat([found, carried.select(columns)], how="vertical_relaxed")
        return Names(row_numbers=wanted, frame=frame)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyedRows:
    """The rows of a pass.

    `frame`: `ROW_NUMBER`, `app_id, at, seq` and the columns of `KEYS_SCHEMA`, with those of `CONNECTION_KEYS_SCHEMA` if
    any row may have a connection; carried rows come last. `first_seq` and
    `seq_bits` say how `seq` is packed into one number with `at` and the type. `seqs`: those of the events themselves,
    where `seq` of the frame may be their ranks.
    """

    frame: pl.DataFrame
    seqs: pl.Series
    first_seq: int
    seq_bits: int


def span_rows(events: pl.LazyFrame, carried: pl.DataFrame, start: int, hashing: Hashing) -> SpanRows:
    """The events, numbered, and the rows that restore the stays carried into the span (`STATE_SCHEMA`)."""
    columns = events.collect_schema().names()
    return SpanRows(
        events=events if ROW_NUMBER in columns else events.with_row_index(ROW_NUMBER),
        carried=_carried_rows(carried, start, hashing),
        hashing=hashing,
        has_keys=hashing.is_stored and set(KEYS_SCHEMA) <= set(columns),
    )


def passes(rows: SpanRows, start: int, end: int, ranges: int) -> Iterator[KeyedRows]:
    """The rows of the span `[start, end)` (epoch seconds), in passes of whole rooms: equal ranges of room keys."""
    numbers = pl.Series(ROW_NUMBER, (np.arange(rows.carried.height) + rows.first_carried).astype(np.uint32))
    carried = rows.carried.with_columns(numbers).select(*_KEYED, *CONNECTION_KEYS_SCHEMA)
    timely = pl.col("at").is_between(start * 1000, end * 1000 - 1)
    count = _pass_count(rows, timely, ranges)
    limits = [-(2**63) + part * (2**64 // count) for part in range(count)] + [2**63]
    for first, after in pairwise(limits):
        in_range = pl.lit(value=True) if count == 1 else pl.col("room_key").is_between(first, after - 1)
        events = _with_keys(rows.events.filter(in_range), rows)
        if not events.select(timely.all()).item():
            events = events.filter(timely)
        yield _keyed(events, carried.filter(in_range), start, end)


def _pass_count(rows: SpanRows, timely: pl.Expr, ranges: int) -> int:
    count = ranges if rows.has_keys else 1
    if rows.has_keys and rows.events.select(pl.len()).collect().item() > ROWS_PER_PASS:
        in_span = rows.events.filter(timely).select(pl.len()).collect().item()
        count *= max(1, -(-in_span // (count * ROWS_PER_PASS)))
    return count


def _with_keys(events: pl.LazyFrame, rows: SpanRows) -> pl.DataFrame:
    """Number, `app_id, at, seq` and the keys of the events: those of the log, or new ones."""
    if rows.has_keys:
        connections = [name for name in CONNECTION_KEYS_SCHEMA if name in events.collect_schema()]
        loaded = events.select(*_KEYED, *connections).collect()
        # Files of an older log have none.
        if not any(loaded[name].null_count() for name in KEYS_SCHEMA):
            return loaded
    columns = (ROW_NUMBER, *USER_COLUMNS, "stream", "at", "seq", "type", "width", "height", "receives", "connection")
    loaded = events.select(columns).collect()
    keys = event_keys(loaded, seed=rows.hashing.seed, mask=rows.hashing.mask)
    return loaded.hstack(keys).select(*_KEYED, *CONNECTION_KEYS_SCHEMA)


def _keyed(events: pl.DataFrame, carried: pl.DataFrame, start: int, end: int) -> KeyedRows:
    low, high = events.select(low=pl.col("seq").min(), high=pl.col("seq").max()).row(0)
    low, high, seqs = low or 0, high or 0, events["seq"]
    if (high - low).bit_length() + _moment_bits(start, end) > SORT_KEY_BITS:
        events = events.with_columns(pl.col("seq").rank("dense").cast(pl.Int64))
        low, high = 1, events["seq"].max() or 1
    if carried.height:
        events = pl.concat([events, carried.with_columns(seq=pl.lit(low, pl.Int64))], how="diagonal")
    return KeyedRows(frame=events, seqs=seqs, first_seq=low, seq_bits=(high - low).bit_length())


def _moment_bits(start: int, end: int) -> int:
    return ((end - start) * 1000).bit_length() + TYPE_BITS + 1


def _carried_rows(carried: pl.DataFrame, start: int, hashing: Hashing) -> pl.DataFrame:
    """Rows that restore the carried stays; those of a room follow each other."""
    stays = carried.with_columns(pl.col("last_event", "wait_ends") - start)
    names = pl.col("connections").list.len() > 0
    is_absent = pl.col("last_event").is_null()
    says = pl.when(is_absent).then(WITHOUT_STAY).when(names).then(WITH_CONNECTIONS).otherwise(0).cast(pl.Int64)
    # In the order in which they would end by themselves.
    entered = stays.select(*USER_COLUMNS, "last_event", "wait_ends", says=says).sort("last_event")
    waiting = entered.drop_nulls("wait_ends").sort("wait_ends").drop("says")
    connections = _exploded(stays, "connections").with_columns(
        wait_ends=pl.col("until") - start, says=_connection_says()
    )
    rows = [
        _coded(entered, CARRIED, start, -6),
        _coded(connections.drop("until", "closed", "receives"), CARRIED_CONNECTION, start, -5),
        _coded(_exploded(stays, "published"), PUBLISH, start, -4),
        _coded(_exploded(stays, "streams"), VIDEO_ON, start, -3),
        _coded(
            stays.select(*USER_COLUMNS, stream="excepted").explode("stream").drop_nulls(), CARRIED_EXCEPTION, start, -2
        ),
        _coded(waiting, DISCONNECT, start, -1),
    ]
    frame = pl.concat(rows, how="diagonal").with_columns(
        pl.col("last_event", "wait_ends").cast(pl.Int32),
        seq=pl.lit(0, pl.Int64),
        event_id=pl.lit(None, pl.String),
        receives=pl.lit(None, pl.String),
    )
    frame = frame.with_columns(size_and_type(pl.col("code")) + pl.col("says").fill_null(0) * 2**CODE_BITS)
    keys = name_keys(frame, seed=hashing.seed, mask=hashing.mask)
    connection = connection_keys(frame["connection"], seed=hashing.seed, mask=hashing.mask)
    return frame.hstack(keys).hstack(connection).sort("room_key", maintain_order=True)


def _exploded(stays: pl.DataFrame, column: str) -> pl.DataFrame:
    """A row for each struct in the lists of a column, with its user."""
    return stays.select(*USER_COLUMNS, column).explode(column).drop_nulls(column).unnest(column)


def _connection_says() -> pl.Expr:
    """What the row of a carried connection says."""
    waits = pl.col("until").is_not_null() & ~pl.col("closed")
    bits = {IS_SUBSCRIBED: pl.col("receives").is_not_null(), WAITS: waits, IS_CLOSED: pl.col("closed")}
    return pl.sum_horizontal(said.cast(pl.Int64) * bit for bit, said in bits.items())


def _coded(rows: pl.DataFrame, code: int, start: int, milliseconds: int) -> pl.DataFrame:
    """Rows with a type code, dated so many milliseconds after the start of the span."""
    return rows.with_columns(code=pl.lit(code, pl.UInt8), at=pl.lit(start * 1000 + milliseconds, pl.Int64))
