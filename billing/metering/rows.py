"""Rows: the events of a span, keyed by user in a room, and what says in which order they count.

Events come from the log with their keys (`billing.event_keys`); others get them here. Two neighbours with one key and
different checks are a collision, and the whole pass is repeated with another seed.

Order: by `at`, then `seq`, then type (exit, disconnect, dismiss, enter, reconnect, video_off, video_on), then
`event_id`. The event id only ever matters between two sizes of one stream in one millisecond, so it is read only
where that happens.

A stay carried in from the span before becomes rows of its own, before every event: it is entered again, receives its
streams again, and, if it was waiting, is disconnected with the wait that it has left.

Seconds are Int32 and count from the start of the span.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import polars as pl
from numpy.typing import NDArray

from billing.event_keys import CODE_BITS, DISCONNECT, SIZE_BITS, VIDEO_ON, event_keys, name_keys, what
from billing.event_schema import EVENT_TYPES, KEYS_SCHEMA

CARRIED = len(EVENT_TYPES)  # the code of a stay that was open when the span began

STATE_SCHEMA = pl.Schema(
    {
        "app_id": pl.Int64(),
        "room_id": pl.String(),
        "user_id": pl.String(),
        "last_event": pl.Int64(),  # epoch second of the user's last event in the room
        "wait_ends": pl.Int64(),  # epoch second at which the wait after a disconnect ends; null: connected
        "streams": pl.List(pl.Struct({"stream": pl.String, "width": pl.Int32, "height": pl.Int32})),
    }
)

MOST_RUNS = 4096  # pieces of the log that are each in the order of rooms; where there are more, all rows are sorted

_SEQ_BITS = 20
# A span with more rows is metered room range by room range, so that memory does not grow with it.
ROWS_PER_PASS = 12_000_000

TEXT_COLUMNS = ("app_id", "room_id", "user_id", "at", "stream", "width", "height")
_KEYED = [*KEYS_SCHEMA, "app_id", "order"]


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
    """What some rows of a pass say in words: `frame` holds those whose numbers are in `sources`, which rise."""

    sources: NDArray[np.integer]
    frame: pl.DataFrame

    def of(self, sources: pl.Series, *columns: str) -> pl.DataFrame:
        """These columns of the rows `sources`, in their order."""
        return self.frame.select(*columns)[np.searchsorted(self.sources, sources.to_numpy())]


@dataclass(frozen=True, slots=True)
class Texts:
    """Where the words of a pass are: few are needed, and those are read when they are.

    `places`: where each row is among `events`; None: in the same place. `carried` rows come after all `count` events.
    """

    events: pl.LazyFrame
    places: NDArray[np.intp] | None
    count: int
    carried: pl.DataFrame

    def event_ids(self, second_of: NDArray[np.int64], seconds: NDArray[np.int64], start: int) -> pl.DataFrame:
        """The ids of the events of some seconds: `source, event_id`. `second_of` is the second of every row."""
        wanted = pl.Series(seconds + start).implode()
        found = self.events.filter((pl.col("at") // 1000).is_in(wanted)).select("event_id").collect()
        # They come in the order in which the events lie; so do these.
        sources = np.flatnonzero(np.isin(second_of[: self.count], seconds))
        if self.places is not None:
            sources = sources[np.argsort(self.places[sources])]
        return found.select(source=pl.Series(sources.astype(np.uint32)), event_id="event_id")

    def read(self, *sources: pl.Series) -> Words:
        """The rows of all `sources`, in one reading; `at` is null in carried rows."""
        wanted = np.unique(np.concatenate([each.to_numpy() for each in sources]))
        places = wanted[wanted < self.count]
        if self.places is not None:
            places = self.places[places]
        number = pl.Series("number", places.astype(np.uint32))
        numbered = self.events.select(*TEXT_COLUMNS).with_row_index("number")
        found = numbered.filter(pl.col("number").is_in(number.implode())).drop("number").collect()
        # Events are found in their own order.
        rank = np.argsort(np.argsort(places, kind="stable"), kind="stable")
        events = found[rank]
        carried = self.carried[wanted[wanted >= self.count] - self.count]
        return Words(wanted, pl.concat([events, carried.select(pl.col(events.columns))], how="vertical_relaxed"))


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a pass, room by room in each of at most `MOST_RUNS` pieces that follow each other.

    - `keyed`: `app_id`, the columns of `KEYS_SCHEMA`, with the second from the start of the span above the size in
      `what`, and `order` (Int64). Carried rows come last.
    - `carried`: `last_event, wait_ends` (Int32 seconds) of the carried rows.
    """

    keyed: pl.DataFrame
    carried: pl.DataFrame
    texts: Texts


def passes(
    events: pl.LazyFrame, carried: pl.DataFrame, start: int, end: int, hashing: Hashing
) -> Iterator[tuple[pl.LazyFrame, pl.DataFrame]]:
    """The events of the span `[start, end)` (epoch seconds) and the stays carried into it, in pieces of whole rooms."""
    timely = events.filter(pl.col("at") >= start * 1000, pl.col("at") < end * 1000)
    count = 1
    if _has_keys(timely, hashing):
        count += timely.select(pl.len()).collect().item() // ROWS_PER_PASS
    if count == 1:
        yield timely, carried
        return
    carried_key = name_keys(carried.with_columns(stream=pl.lit(None, pl.String)))["room_key"]
    limits = [-(2**63) + part * (2**64 // count) for part in range(count)] + [2**63]
    for first, after in pairwise(limits):
        yield (
            timely.filter(pl.col("room_key").is_between(first, after - 1)),
            carried.filter(carried_key.is_between(first, after - 1)),
        )


def keyed_rows(timely: pl.LazyFrame, carried: pl.DataFrame, start: int, hashing: Hashing) -> Rows:
    """The events of a pass, and the stays carried into it as rows of their own."""
    loaded, places = _in_rooms(_with_keys(timely, hashing))
    second = (pl.col("at") - start * 1000) // 1000
    keyed = loaded.with_columns(
        _order(loaded, start), what=second * 2 ** (SIZE_BITS + CODE_BITS) + pl.col("what")
    ).select(_KEYED)
    before = _carried_rows(carried, start, hashing)
    if before.height:
        keyed = pl.concat([keyed, before.select(_KEYED)])
    return Rows(
        keyed=keyed,
        carried=before.select(pl.col("last_event", "wait_ends").fill_null(0)),
        texts=Texts(timely, places, loaded.height, before.with_columns(at=pl.lit(None, pl.Int64))),
    )


def _has_keys(events: pl.LazyFrame, hashing: Hashing) -> bool:
    """Whether the events come with keys that can be used."""
    return hashing.is_stored and set(KEYS_SCHEMA) <= set(events.collect_schema())


def _with_keys(events: pl.LazyFrame, hashing: Hashing) -> pl.DataFrame:
    """`app_id, at, seq` and the keys of the events: those of the log, or new ones."""
    if _has_keys(events, hashing):
        loaded = events.select("app_id", "at", "seq", *KEYS_SCHEMA).collect()
        # Files of an older log have none.
        if not any(loaded[name].null_count() for name in KEYS_SCHEMA):
            return loaded
    loaded = events.select(*TEXT_COLUMNS, "seq", "type").collect()
    keys = event_keys(loaded, seed=hashing.seed, mask=hashing.mask)
    return pl.concat([loaded.select("app_id", "at", "seq"), keys], how="horizontal")


def _in_rooms(rows: pl.DataFrame) -> tuple[pl.DataFrame, NDArray[np.intp] | None]:
    """The rows as they are, if they come room by room in a few pieces, as they are stored; else sorted so, and where
    each was."""
    key = rows["room_key"].to_numpy()
    if np.count_nonzero(key[1:] < key[:-1]) < MOST_RUNS:
        return rows, None
    places = np.argsort(key, kind="stable")
    return rows[places], places


def _carried_rows(carried: pl.DataFrame, start: int, hashing: Hashing) -> pl.DataFrame:
    """Rows that bring back the state of the carried stays; `at` and `seq` are null."""
    stays = carried.select(
        "app_id",
        "room_id",
        "user_id",
        "streams",
        last_event=(pl.col("last_event") - start).cast(pl.Int32),
        wait_ends=(pl.col("wait_ends") - start).cast(pl.Int32),
    )
    # In the order in which they would end by themselves.
    entered = stays.drop("streams").sort("last_event").with_columns(_coded(CARRIED, -3))
    received = stays.explode("streams").drop_nulls("streams").unnest("streams").with_columns(_coded(VIDEO_ON, -2))
    waiting = entered.drop_nulls("wait_ends").sort("wait_ends").with_columns(_coded(DISCONNECT, -1))
    rows = pl.concat([entered, received, waiting], how="diagonal")
    keys = name_keys(rows, seed=hashing.seed, mask=hashing.mask)
    return pl.concat([rows.with_columns(what=what(pl.col("code"))), keys], how="horizontal").sort(
        "room_key", maintain_order=True
    )


def _coded(code: int, order: int) -> list[pl.Expr]:
    return [pl.lit(code, pl.UInt8).alias("code"), pl.lit(order, pl.Int64).alias("order")]


def _order(events: pl.DataFrame, start: int) -> pl.Series:
    """One ascending number for (at, seq, type), from 0 on: `order`.

    It is packed where all `seq` lie close together, as they nearly always do (all are 0), and else a rank.
    """
    low, high = events.select(low=pl.col("seq").min(), high=pl.col("seq").max()).row(0)
    code = pl.col("what") % 2**CODE_BITS
    if low is not None and high - low >= 2**_SEQ_BITS:
        ranks = events.select(pl.struct("at", "seq", code=code).rank("dense").cast(pl.Int64).alias("order"))
        return ranks.to_series()
    moment = (pl.col("at") - start * 1000) * 2**_SEQ_BITS + (pl.col("seq") - (low or 0))
    return events.select((moment * len(EVENT_TYPES) + code).alias("order")).to_series()
