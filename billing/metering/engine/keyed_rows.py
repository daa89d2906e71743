"""Rows: the events of a span, keyed by user in a room, and what says in which order they count.

Events come from the log with their keys (`billing.events.keys`); others get them here. Two neighbours with one key and
different checks are a collision, and everything is repeated with another seed.

Order: by `at`, then `seq`, then type (exit, disconnect, dismiss, enter, reconnect, video_off, video_on), then
`event_id`. The event id only ever matters between two sizes of one stream in one millisecond, so it is read only
where that happens.

A stay carried in from the span before becomes rows of its own, some milliseconds before the span: it is entered again,
receives its streams again, and, if it was waiting, is disconnected with the wait that it has left.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import polars as pl
from numpy.typing import NDArray

from billing.events.keys import DISCONNECT, VIDEO_ON, event_keys, name_keys, what
from billing.events.schema import EVENT_TYPES, KEYS_SCHEMA

CARRIED = len(EVENT_TYPES)  # the code of a stay that was open when the span began
NUMBER = "number"  # the column that numbers the events, if they come with one

# A span with more rows is metered room range by room range, so that memory does not grow with it.
ROWS_PER_PASS = 12_000_000

ORDER_BITS = 62
CODE_ORDER_BITS = 3
NAMES = ("app_id", "room_id", "user_id")
_KEYED = (NUMBER, "app_id", "at", "seq", *KEYS_SCHEMA)


class HashCollisionError(Exception):
    """Two different keys have one hash: the pass must be repeated with another seed."""


@dataclass(frozen=True, slots=True)
class Hashing:
    """How texts become keys; the log's are of seed 0. `mask` exists so that a test can make collisions likely."""

    seed: int = 0
    mask: int = 2**64 - 1

    @property
    def is_stored(self) -> bool:
        """Whether the keys of the log are of this kind."""
        return self == Hashing()


@dataclass(frozen=True, slots=True)
class Words:
    """What some rows say in words: `frame` holds those whose numbers are in `sources`, which rise."""

    sources: NDArray[np.integer]
    frame: pl.DataFrame

    def of(self, sources: pl.Series, *columns: str) -> pl.DataFrame:
        """These columns of the rows `sources`, in their order."""
        return self.frame.select(*columns)[np.searchsorted(self.sources, sources.to_numpy())]


@dataclass(frozen=True, slots=True)
class Texts:
    """Where the words of all rows of a span are: few are needed, and those are read when they are.

    A row is known by its number (`source`): that of the event in `NUMBER`, or from `first_carried` on the place of a
    carried row. `has_keys`: the events come with keys that can be used.
    """

    events: pl.LazyFrame
    carried: pl.DataFrame
    has_keys: bool

    @property
    def first_carried(self) -> int:
        """The number of the first carried row."""
        return 2**32 - self.carried.height

    def read(self, columns: Sequence[str], *sources: pl.Series, rooms: NDArray[np.int64] | None = None) -> Words:
        """These columns of the rows of all `sources`, in one reading.

        `rooms`: the keys of their rooms, where these are few: then little of the log is read.
        """
        wanted = np.unique(np.concatenate([each.to_numpy() for each in sources])).astype(np.int64)
        numbers = pl.Series(wanted[wanted < self.first_carried]).cast(pl.UInt32)
        rows = pl.col(NUMBER).is_in(numbers.implode())
        if rooms is not None and self.has_keys:
            rows &= pl.col("room_key").is_in(rooms.tolist())
        events = self.events.filter(rows) if len(numbers) else self.events.limit(0)
        found = events.select(NUMBER, *columns).collect().sort(NUMBER).drop(NUMBER)
        carried = self.carried[wanted[wanted >= self.first_carried] - self.first_carried]
        return Words(wanted, pl.concat([found, carried.select(columns)], how="vertical_relaxed"))


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a pass.

    `keyed`: `NUMBER`, `app_id, at, seq` and the columns of `KEYS_SCHEMA`; carried rows come last. `first_seq` and
    `seq_bits` say how `seq` is packed into one number with `at` and the type.
    """

    keyed: pl.DataFrame
    first_seq: int
    seq_bits: int


def texts_of(events: pl.LazyFrame, carried: pl.DataFrame, start: int, hashing: Hashing) -> Texts:
    """The events, numbered, and the rows that bring back the stays carried into the span."""
    columns = events.collect_schema().names()
    return Texts(
        events=events if NUMBER in columns else events.with_row_index(NUMBER),
        carried=_carried_rows(carried, start, hashing),
        has_keys=hashing.is_stored and set(KEYS_SCHEMA) <= set(columns),
    )


def passes(texts: Texts, start: int, end: int, hashing: Hashing, ranges: int) -> Iterator[Rows]:
    """The rows of the span `[start, end)` (epoch seconds), in pieces of whole rooms: equal ranges of room keys."""
    numbers = pl.Series(NUMBER, (np.arange(texts.carried.height) + texts.first_carried).astype(np.uint32))
    carried = texts.carried.with_columns(numbers).select(_KEYED)
    timely = pl.col("at").is_between(start * 1000, end * 1000 - 1)
    count = ranges if texts.has_keys else 1
    if texts.has_keys and texts.events.select(pl.len()).collect().item() > ROWS_PER_PASS:
        rows = texts.events.filter(timely).select(pl.len()).collect().item()
        count *= max(1, -(-rows // (count * ROWS_PER_PASS)))
    limits = [-(2**63) + part * (2**64 // count) for part in range(count)] + [2**63]
    for first, after in pairwise(limits):
        in_range = pl.lit(value=True) if count == 1 else pl.col("room_key").is_between(first, after - 1)
        events = _with_keys(texts.events.filter(in_range), texts.has_keys, hashing)
        if not events.select(timely.all()).item():
            events = events.filter(timely)
        yield _rows(events, carried.filter(in_range), start, end)


def _with_keys(events: pl.LazyFrame, has_keys: bool, hashing: Hashing) -> pl.DataFrame:
    """Number, `app_id, at, seq` and the keys of the events: those of the log, or new ones."""
    if has_keys:
        loaded = events.select(_KEYED).collect()
        # Files of an older log have none.
        if not any(loaded[name].null_count() for name in KEYS_SCHEMA):
            return loaded
    loaded = events.select(NUMBER, *NAMES, "stream", "at", "seq", "type", "width", "height").collect()
    keys = event_keys(loaded, seed=hashing.seed, mask=hashing.mask)
    return pl.concat([loaded, keys], how="horizontal").select(_KEYED)


def _rows(events: pl.DataFrame, carried: pl.DataFrame, start: int, end: int) -> Rows:
    low, high = events.select(low=pl.col("seq").min(), high=pl.col("seq").max()).row(0)
    low, high = low or 0, high or 0
    if (high - low).bit_length() + _moment_bits(start, end) > ORDER_BITS:
        events = events.with_columns(pl.col("seq").rank("dense").cast(pl.Int64))
        low, high = 1, events["seq"].max() or 1
    if carried.height:
        events = pl.concat([events, carried.with_columns(seq=pl.lit(low, pl.Int64))])
    return Rows(keyed=events, first_seq=low, seq_bits=(high - low).bit_length())


def _moment_bits(start: int, end: int) -> int:
    return ((end - start) * 1000).bit_length() + CODE_ORDER_BITS + 1


def _carried_rows(carried: pl.DataFrame, start: int, hashing: Hashing) -> pl.DataFrame:
    """Rows that bring back the state of the carried stays; those of a room follow each other."""
    stays = carried.select(
        "app_id",
        "room_id",
        "user_id",
        "streams",
        last_event=(pl.col("last_event") - start).cast(pl.Int32),
        wait_ends=(pl.col("wait_ends") - start).cast(pl.Int32),
    )
    # In the order in which they would end by themselves.
    entered = stays.drop("streams").sort("last_event").with_columns(_coded(CARRIED, start, -3))
    received = (
        stays.explode("streams").drop_nulls("streams").unnest("streams").with_columns(_coded(VIDEO_ON, start, -2))
    )
    waiting = entered.drop_nulls("wait_ends").sort("wait_ends").with_columns(_coded(DISCONNECT, start, -1))
    rows = pl.concat([entered, received, waiting], how="diagonal")
    rows = rows.with_columns(seq=pl.lit(0, pl.Int64), event_id=pl.lit(None, pl.String))
    keys = name_keys(rows, seed=hashing.seed, mask=hashing.mask)
    return pl.concat([rows.with_columns(what=what(pl.col("code"))), keys], how="horizontal").sort(
        "room_key", maintain_order=True
    )


def _coded(code: int, start: int, milliseconds: int) -> list[pl.Expr]:
    return [pl.lit(code, pl.UInt8).alias("code"), pl.lit(start * 1000 + milliseconds, pl.Int64).alias("at")]
