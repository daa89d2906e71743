"""Connections apart: rooms in which each named connection of a user is metered as if it were a user of its own.

Policies that round stays up one by one take a connection where the feed names them. A user with a phone (30 s) and a
laptop (70 s) in one room has one stay, but 1 + 2 minutes. So the events of such apps are metered once more, with the
name of the connection behind that of the user; what an `exit` or `disconnect` without a name says of all connections is
said of each that was opened before it. (Said of a later one too, it would close that before it opens.)
"""

from collections.abc import Collection

import polars as pl

from billing.events.schema import EVENT_SCHEMA
from billing.metering.engine.keyed_rows import USER_COLUMNS
from billing.metering.schemas import STATE_SCHEMA

# Between a user and its connection. (NUL would be one between the names that a key is made of.)
_BEHIND = "\x1e\x1f"
_OPENING = ("enter", "reconnect", "publish")
_OF_ALL = ("exit", "disconnect")
_USER = list(USER_COLUMNS)
_BOTH = pl.concat_str("user_id", "connection", separator=_BEHIND)
_APART = pl.when(pl.col("connection").is_null()).then("user_id").otherwise(_BOTH)


def events_apart(
    events: pl.LazyFrame, carried: pl.DataFrame, apps: Collection[int], start: int, end: int
) -> pl.LazyFrame | None:
    """The events of some apps in a span `[start, end)`, with connections as users; None: no connection has a name."""
    there = [name for name in EVENT_SCHEMA if name in events.collect_schema().names()]
    if "connection" not in there:
        return None
    mine = events.filter(
        pl.col("app_id").is_in(list(apps)), pl.col("at").is_between(start * 1000, end * 1000 - 1)
    ).select(there)
    named = mine.filter(pl.col("connection").is_not_null()).select("connection").head(1).collect()
    known = carried.filter(pl.col("app_id").is_in(list(apps))).select(*_USER, "connections").explode("connections")
    known = known.unnest("connections").filter(pl.col("connection").is_not_null())
    if named.is_empty() and known.is_empty():
        return None
    found = mine.collect()
    of_all = found.filter(pl.col("connection").is_null(), pl.col("type").is_in(_OF_ALL)).drop("connection")
    said = of_all.join(_first_openings(found, known), on=_USER).filter(
        (pl.col("at") > pl.col("opened_at"))
        | ((pl.col("at") == pl.col("opened_at")) & (pl.col("seq") > pl.col("opened_seq")))
    )
    return pl.concat([found, said.select(found.columns)]).with_columns(user_id=_APART).lazy()


def _first_openings(events: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """When each named connection was opened first: `opened_at, opened_seq`. One that is `known` from before the span
    was opened before all events."""
    is_opening = pl.col("connection").is_not_null() & pl.col("type").is_in(_OPENING)
    when = {"opened_at": pl.col("at"), "opened_seq": pl.col("seq")}
    here = events.filter(is_opening).select(*_USER, "connection", **when)
    before = known.select(*_USER, "connection", opened_at=pl.lit(-1, pl.Int64), opened_seq=pl.lit(0, pl.Int64))
    openings = pl.concat([before, here.cast(dict.fromkeys(when, pl.Int64))])
    return openings.sort("opened_at", "opened_seq").unique([*_USER, "connection"], keep="first", maintain_order=True)


def state_apart(carried: pl.DataFrame, apps: Collection[int]) -> pl.DataFrame:
    """The stays that are carried into such a span, each connection as a user, and when it began (`began`); also
    connections that are closed, so that they stay closed."""
    mine = carried.filter(pl.col("app_id").is_in(list(apps)))
    whole = mine.filter(pl.col("last_event").is_not_null(), pl.col("connections").list.len() == 0).with_columns(
        connection=pl.lit(None, pl.String)
    )
    fields = pl.col("connections").struct
    is_closed = fields.field("closed")
    each = mine.explode("connections", keep_nulls=False, empty_as_null=False).with_columns(
        connection=fields.field("connection"),
        last_event=pl.when(~is_closed).then("last_event"),
        wait_ends=pl.when(~is_closed).then(fields.field("until")),
        connections=pl.concat_list("connections"),
    )
    nothing = [pl.lit([], STATE_SCHEMA[name]).alias(name) for name in ("streams", "published", "excepted")]
    begun = carried.select(*_USER, "begun").explode("begun").drop_nulls("begun").unnest("begun")
    return (
        pl.concat([whole, each.select(whole.columns)])
        .join(begun, on=[*_USER, "connection"], how="left", nulls_equal=True)
        .with_columns(*nothing, user_id=_APART)
        .select(*STATE_SCHEMA, "began")
        .sort(_USER)
    )


def together(stays: pl.DataFrame) -> pl.DataFrame:
    """Rows of users that are connections, with `user_id` and `connection` (null: the one without a name)."""
    parts = pl.col("user_id").str.splitn(_BEHIND, 2).struct
    return stays.with_columns(user_id=parts.field("field_0"), connection=parts.field("field_1"))
