"""Rows: the events of a span, keyed by user in a room, in the order in which they count.

A user in a room, and a stream of a user, are identified by a 64-bit hash, because sorting by three texts takes longer
than all the rest. A second, independent hash of the same texts travels along as a check: two neighbours with one key
and different checks are a collision, and the whole pass is repeated with another seed.

Order: by `at`, then `seq`, then type (exit, disconnect, dismiss, enter, reconnect, video_off, video_on), then
`event_id`. The event id only ever matters between two sizes of one stream in one millisecond, so it is read only
where that happens.

A stay carried in from the span before becomes rows of its own, before every event: it is entered again, receives its
streams again, and, if it was waiting, is disconnected with the wait that it has left.

Seconds are Int32 and count from the start of the span.
"""

from dataclasses import dataclass

import polars as pl

from billing.event_schema import EVENT_TYPES

# Types as codes; their order is the order of events of one millisecond.
EXIT, DISCONNECT, DISMISS, ENTER, RECONNECT, VIDEO_OFF, VIDEO_ON = range(len(EVENT_TYPES))
CARRIED = len(EVENT_TYPES)  # a stay that was open when the span began

SCREEN_BIT = 2**29  # above the largest area, 16384 x 16384 = 2**28
SIZE_BITS = 30
CODE_BITS = 4

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

_SEQ_BITS = 20
_TEXTS = ["app_id", "room_id", "user_id", "at", "seq", "stream", "width", "height", "room_key", "room_check", "person"]
_KEYED = ["user_key", "stream_key", "checks", "order", "what"]


class HashCollisionError(Exception):
    """Two different keys have one hash: the pass must be repeated with another seed."""


@dataclass(frozen=True, slots=True)
class Hashing:
    """How texts become keys. `mask` exists so that a test can make collisions likely."""

    seed: int = 0
    mask: int = 2**64 - 1

    def text(self, column: str, purpose: int) -> pl.Expr:
        """The hash of a text column; hashes of different purposes (0 to 63) are independent of each other."""
        return pl.col(column).hash(self.seed * 64 + purpose)

    def mix(self, first: pl.Expr, second: pl.Expr) -> pl.Expr:
        """One hash of two numbers."""
        return (first.hash(self.seed * 64 + 62) + second).hash(self.seed * 64 + 63)

    def key(self, hashed: pl.Expr) -> pl.Expr:
        """The hash as a key to sort by."""
        return hashed if self.mask == 2**64 - 1 else hashed & pl.lit(self.mask, pl.UInt64)


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a span, in input order.

    - `texts`: `app_id, room_id, user_id, at, seq, stream, width, height` as they came (`at` is null in carried rows,
      which come last), `room_key` (UInt64), `room_check` (UInt32), `person` (UInt64: the user in the app).
    - `keyed`: `user_key, stream_key` (UInt64), `checks` (UInt64: of the user in the high half, of the stream in the
      low), `order` (Int64), `what` (Int64: second, size and code, see `_what`).
    - `carried`: `last_event, wait_ends` (Int32 seconds) of the carried rows.
    """

    texts: pl.DataFrame
    keyed: pl.DataFrame
    carried: pl.DataFrame
    events: pl.LazyFrame  # where the texts came from


def keyed_rows(events: pl.LazyFrame, carried: pl.DataFrame, start: int, end: int, hashing: Hashing) -> Rows:
    """The events of the span `[start, end)` (epoch seconds), and the stays carried into it as rows of their own."""
    timely = events.filter(pl.col("at") >= start * 1000, pl.col("at") < end * 1000)
    loaded = (
        timely.select("app_id", "room_id", "user_id", "at", "seq", "type", "stream", "width", "height")
        .with_columns(
            code=pl.col("type").cast(pl.Enum(EVENT_TYPES)).to_physical(), second=(pl.col("at") - start * 1000) // 1000
        )
        .with_columns(**_keys(hashing), what=_what())
        .drop("type", "second")
        .collect()
    )
    loaded = loaded.with_columns(order=_order(loaded, start)).drop("code")
    before = _carried_rows(carried, start).with_columns(**_keys(hashing), what=_what())
    if before.height:
        loaded = pl.concat([loaded, before.drop("last_event", "wait_ends", "code", "second")], how="diagonal")
    return Rows(
        texts=loaded.select(_TEXTS),
        keyed=loaded.select(_KEYED),
        carried=before.select(pl.col("last_event", "wait_ends").fill_null(0)),
        events=timely,
    )


def _carried_rows(carried: pl.DataFrame, start: int) -> pl.DataFrame:
    """Rows that bring back the state of the carried stays; `at` and `seq` are null."""
    stays = carried.select(
        "app_id",
        "room_id",
        "user_id",
        "streams",
        last_event=(pl.col("last_event") - start).cast(pl.Int32),
        wait_ends=(pl.col("wait_ends") - start).cast(pl.Int32),
        second=pl.lit(0, pl.Int64),
    )
    # In the order in which they would end by themselves.
    entered = stays.drop("streams").sort("last_event").with_columns(_coded(CARRIED, -3))
    received = stays.explode("streams").drop_nulls("streams").unnest("streams").with_columns(_coded(VIDEO_ON, -2))
    waiting = entered.drop_nulls("wait_ends").sort("wait_ends").with_columns(_coded(DISCONNECT, -1))
    return pl.concat([entered, received, waiting], how="diagonal")


def _coded(code: int, order: int) -> list[pl.Expr]:
    return [pl.lit(code, pl.UInt8).alias("code"), pl.lit(order, pl.Int64).alias("order")]


def _keys(hashing: Hashing) -> dict[str, pl.Expr]:
    app = pl.col("app_id").cast(pl.UInt64)
    room = hashing.mix(app, hashing.text("room_id", 1))
    room_check = hashing.mix(app, hashing.text("room_id", 2))
    user_check = hashing.mix(room_check, hashing.text("user_id", 4))
    return {
        "room_key": hashing.key(room),
        "room_check": (room_check // 2**32).cast(pl.UInt32),
        "person": hashing.mix(app, hashing.text("user_id", 3)),
        "user_key": hashing.key(hashing.mix(room, hashing.text("user_id", 3))),
        "stream_key": hashing.key(hashing.text("stream", 5)),
        "checks": user_check // 2**32 * 2**32 + hashing.text("stream", 6) // 2**32,
    }


def _what() -> pl.Expr:
    """What an event says, in one number: its second, its size, its code. The size is the area of a `video_on`, plus
    `SCREEN_BIT` for a screen share; 0 in other rows."""
    screen = pl.when(pl.col("stream").str.ends_with("/screen")).then(SCREEN_BIT).otherwise(0)
    area = pl.col("width") * pl.col("height") + screen
    size: pl.Expr = pl.when(pl.col("code") == VIDEO_ON).then(area).otherwise(0).cast(pl.Int64)
    what: pl.Expr = (pl.col("second") * 2**SIZE_BITS + size) * 2**CODE_BITS + pl.col("code")
    return what


def _order(events: pl.DataFrame, start: int) -> pl.Series:
    """One ascending number for (at, seq, type), from 0 on.

    It is packed where all `seq` lie close together, as they nearly always do (all are 0), and else a rank.
    """
    low, high = events.select(low=pl.col("seq").min(), high=pl.col("seq").max()).row(0)
    if low is not None and high - low >= 2**_SEQ_BITS:
        return events.select(pl.struct("at", "seq", "code").rank("dense").cast(pl.Int64)).to_series()
    moment = (pl.col("at") - start * 1000) * 2**_SEQ_BITS + (pl.col("seq") - (low or 0))
    return events.select(moment * len(EVENT_TYPES) + pl.col("code")).to_series()
