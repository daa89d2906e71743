"""Rows: the events of a span, keyed by user in a room, in the order in which they count.

Events come from the log with their keys (`billing.event_keys`); others get them here. Two neighbours with one key and
different checks are a collision, and the whole pass is repeated with another seed.

Order: by `at`, then `seq`, then type (exit, disconnect, dismiss, enter, reconnect, video_off, video_on), then
`event_id`. The event id only ever matters between two sizes of one stream in one millisecond, so it is read only
where that happens.

A stay carried in from the span before becomes rows of its own, before every event: it is entered again, receives its
streams again, and, if it was waiting, is disconnected with the wait that it has left.

Seconds are Int32 and count from the start of the span.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

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
_TEXTS = ["app_id", "room_id", "user_id", "at", "seq", "stream", "width", "height"]
_KEYED = ["room_key", "room_check", "user_key", "stream_key", "checks", "order", "what"]


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
class Rows:
    """The rows of a span, room by room in each of at most `MOST_RUNS` pieces that follow each other.

    - `texts`: `app_id, room_id, user_id, at, seq, stream, width, height` as they came (`at` is null in carried rows,
      which come last).
    - `keyed`: the columns of `KEYS_SCHEMA`, with the second from the start of the span above the size in `what`, and
      `order` (Int64).
    - `carried`: `last_event, wait_ends` (Int32 seconds) of the carried rows.
    """

    texts: pl.DataFrame
    keyed: pl.DataFrame
    carried: pl.DataFrame
    events: pl.LazyFrame  # where the texts came from


def keyed_rows(events: pl.LazyFrame, carried: pl.DataFrame, start: int, end: int, hashing: Hashing) -> Rows:
    """The events of the span `[start, end)` (epoch seconds), and the stays carried into it as rows of their own."""
    timely = events.filter(pl.col("at") >= start * 1000, pl.col("at") < end * 1000)
    loaded = _in_rooms(_with_keys(timely, hashing))
    second = (pl.col("at") - start * 1000) // 1000
    loaded = loaded.with_columns(_order(loaded, start), what=second * 2 ** (SIZE_BITS + CODE_BITS) + pl.col("what"))
    before = _carried_rows(carried, start, hashing)
    if before.height:
        loaded = pl.concat([loaded, before.drop("last_event", "wait_ends", "code")], how="diagonal")
    return Rows(
        texts=loaded.select(_TEXTS),
        keyed=loaded.select(_KEYED),
        carried=before.select(pl.col("last_event", "wait_ends").fill_null(0)),
        events=timely,
    )


def _with_keys(events: pl.LazyFrame, hashing: Hashing) -> pl.DataFrame:
    """The events with their keys: those of the log, or new ones."""
    if hashing.is_stored and set(KEYS_SCHEMA) <= set(events.collect_schema()):
        loaded = events.select(*_TEXTS, *KEYS_SCHEMA).collect()
        # Files of an older log have none.
        if not loaded["room_key"].null_count():
            return loaded
    loaded = events.select(*_TEXTS, "type").collect()
    keys = event_keys(loaded, seed=hashing.seed, mask=hashing.mask)
    return pl.concat([loaded.drop("type"), keys], how="horizontal")


def _in_rooms(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows as they are, if they come room by room in a few pieces, as they are stored; else sorted so."""
    key = rows["room_key"].to_numpy()
    if np.count_nonzero(key[1:] < key[:-1]) < MOST_RUNS:
        return rows
    return rows.sort("room_key", maintain_order=True)


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
