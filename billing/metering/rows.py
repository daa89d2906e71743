"""Rows: the events of a span, keyed by user in a room, in the order in which they count.

A user in a room, and a stream of a user, are identified by a 64-bit hash, because sorting by three texts takes longer than all the
rest. A second, independent hash of the same texts travels along as a check: two neighbours with one key and different checks are a
collision, and the whole pass is repeated with another seed.

Order: by `at`, then `seq`, then type (exit, disconnect, dismiss, enter, reconnect, video_off, video_on), then `event_id`. The event
id only ever matters between two sizes of one stream in one millisecond, so it is read only where that happens.

A stay carried in from the span before becomes rows of its own, before every event: it is entered again, receives its streams again,
and, if it was waiting, is disconnected with the wait that it has left.

Seconds are Int32 and count from the start of the span.
"""

from dataclasses import dataclass

import polars as pl

from billing.event_schema import EVENT_TYPES

# Types as codes; their order is the order of events of one millisecond.
EXIT, DISCONNECT, DISMISS, ENTER, RECONNECT, VIDEO_OFF, VIDEO_ON = range(len(EVENT_TYPES))
CARRIED = len(EVENT_TYPES)  # a stay that was open when the span began

SCREEN_BIT = 2**29  # above the largest area, 16384 x 16384 = 2**28

STATE_SCHEMA = pl.Schema(
    {
        "app_id": pl.Int64,
        "room_id": pl.String,
        "user_id": pl.String,
        "last_event": pl.Int64,  # epoch second of the user's last event in the room
        "wait_ends": pl.Int64,  # epoch second at which the wait after a disconnect ends; null: connected
        "streams": pl.List(pl.Struct({"stream": pl.String, "width": pl.Int32, "height": pl.Int32})),
    }
)

_SEQ_BITS = 20


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
    """The sorted rows of a span, and the texts that they came from.

    `sorted`: `user_key, user_check` (UInt64), `order` (Int64), `second` (Int32), `code` (UInt8: the type), `size` (Int32: the area of a
    `video_on`, plus `SCREEN_BIT` for a screen share), `source` (UInt32: row of `texts`), without dismissals of nobody.
    `texts`, in input order: `app_id, room_id, user_id, at, stream, width, height` as they came (`at` is null in carried rows),
    `room_key, room_check, stream_key, stream_check`, and for carried rows `last_event` and `wait_ends` (seconds).
    """

    sorted: pl.DataFrame
    texts: pl.DataFrame
    event_ids: pl.LazyFrame  # `event_id` by row of `texts`


def sorted_rows(events: pl.LazyFrame, carried: pl.DataFrame, start: int, end: int, hashing: Hashing) -> Rows:
    """The events of the span `[start, end)` (epoch seconds) and the stays carried into it, keyed and in order."""
    timely = events.filter(pl.col("at") >= start * 1000, pl.col("at") < end * 1000)
    texts = (
        timely.select("app_id", "room_id", "user_id", "at", "seq", "type", "stream", "width", "height")
        .with_columns(
            code=pl.col("type").cast(pl.Enum(EVENT_TYPES)).to_physical().cast(pl.UInt8),
            second=((pl.col("at") - start * 1000) // 1000).cast(pl.Int32),
        )
        .drop("type")
        .with_columns(**_keys(hashing), size=_size())
        .collect()
    )
    before = _carried_rows(carried, start).with_columns(**_keys(hashing), size=_size())
    texts = pl.concat([texts, before], how="diagonal", rechunk=False)
    light = texts.select("user_key", "user_check", _order(texts, start).alias("order"), "second", "code", "size")
    light = _with_dismissals(light.with_row_index("source"), texts)
    texts = texts.drop("user_key", "user_check", "second", "code", "size", "seq")
    return Rows(sorted=_sort(light), texts=texts, event_ids=timely.select("event_id"))


def _carried_rows(carried: pl.DataFrame, start: int) -> pl.DataFrame:
    """Rows that bring back the state of the carried stays; `at` and `seq` are null."""
    stays = carried.select(
        "app_id",
        "room_id",
        "user_id",
        "streams",
        last_event=(pl.col("last_event") - start).cast(pl.Int32),
        wait_ends=(pl.col("wait_ends") - start).cast(pl.Int32),
        second=pl.lit(0, pl.Int32),
    )
    entered = stays.drop("streams").with_columns(code=pl.lit(CARRIED, pl.UInt8))
    received = (
        stays.explode("streams").drop_nulls("streams").unnest("streams").with_columns(code=pl.lit(VIDEO_ON, pl.UInt8))
    )
    waiting = entered.filter(pl.col("wait_ends").is_not_null()).with_columns(code=pl.lit(DISCONNECT, pl.UInt8))
    return pl.concat([entered, received, waiting], how="diagonal")


def _keys(hashing: Hashing) -> dict[str, pl.Expr]:
    app = pl.col("app_id").cast(pl.UInt64)
    room = hashing.mix(app, hashing.text("room_id", 1))
    room_check = hashing.mix(app, hashing.text("room_id", 2))
    return {
        "room_key": hashing.key(room),
        "room_check": room_check,
        "user_key": hashing.key(hashing.mix(room, hashing.text("user_id", 3))),
        "user_check": hashing.mix(room_check, hashing.text("user_id", 4)),
        "stream_key": hashing.key(hashing.text("stream", 5)),
        "stream_check": hashing.text("stream", 6),
    }


def _size() -> pl.Expr:
    screen = pl.when(pl.col("stream").str.ends_with("/screen")).then(SCREEN_BIT).otherwise(0)
    area = pl.col("width") * pl.col("height") + screen
    return pl.when(pl.col("code") == VIDEO_ON).then(area).otherwise(0).cast(pl.Int32)


def _order(texts: pl.DataFrame, start: int) -> pl.Series:
    """One ascending number for (at, seq, type); carried rows are negative.

    It is packed where all `seq` lie close together, as they nearly always do (all are 0), and else a rank.
    """
    low, high = texts.select(low=pl.col("seq").min(), high=pl.col("seq").max()).row(0)
    if low is None or high - low < 2**_SEQ_BITS:
        since_start = pl.col("at") - start * 1000
        order = (since_start * 2**_SEQ_BITS + (pl.col("seq") - (low or 0))) * len(EVENT_TYPES) + pl.col("code")
    else:
        order = pl.struct("at", "seq", "code").rank("dense").cast(pl.Int64)
    carried_order = pl.col("code").replace_strict(
        {CARRIED: -3, VIDEO_ON: -2, DISCONNECT: -1}, default=0, return_dtype=pl.Int64
    )
    return texts.select(pl.when(pl.col("at").is_null()).then(carried_order).otherwise(order)).to_series()


def _with_dismissals(light: pl.DataFrame, texts: pl.DataFrame) -> pl.DataFrame:
    """Turns the dismissal of a room into one row for each user whose rows stand on both sides of it, or before it only.

    So the work is bounded by the number of events, however many users a room has and however often it is dismissed.
    """
    dismissals = light.filter(pl.col("code") == DISMISS)
    if dismissals.is_empty():
        return light
    rest = light.filter(pl.col("code") != DISMISS)
    room_keys = texts.select("room_key", source=pl.int_range(pl.len(), dtype=pl.UInt32))
    dismissed = room_keys.join(dismissals.select("source"), on="source", how="semi").select("room_key").unique()
    room_keys = room_keys.join(dismissed, on="room_key", how="semi")
    by_room = (
        pl.concat([rest, dismissals]).join(room_keys, on="source").sort("room_key", "order").with_row_index("place")
    )
    next_dismissal = pl.when(pl.col("code") == DISMISS).then("place").backward_fill().over("room_key")
    between = (
        by_room.with_columns(next_dismissal=next_dismissal)
        .filter(pl.col("code") != DISMISS)
        .with_columns(next_place=pl.col("place").shift(-1).over("user_key", order_by="place"))
        .filter(pl.col("next_place").is_null() | (pl.col("next_dismissal") < pl.col("next_place")))
        .select("user_key", "user_check", place="next_dismissal")
    )
    per_user = between.join(by_room.drop("user_key", "user_check"), on="place")
    return pl.concat([rest, per_user.select(rest.columns)])


def _sort(light: pl.DataFrame) -> pl.DataFrame:
    if light["order"].is_sorted():
        return light.sort("user_key", maintain_order=True)
    return light.sort("user_key", "order")
