"""State: what is carried from the end of a span into the next: the open stays, with their connections and streams.

Example: a user who disconnected at 23:59:30 is carried over midnight with `wait_ends` 00:01:00 and without streams.
"""

from collections.abc import Mapping

import polars as pl

from billing.events.schema import TASK_COLUMNS
from billing.metering.engine.keyed_rows import USER_COLUMNS, Names, SpanRows
from billing.metering.schemas import STATE_SCHEMA

_STREAM = ("stream", "width", "height")


def carried_state(found: Mapping[str, pl.DataFrame], rows: SpanRows, names: Names, start: int) -> pl.DataFrame:
    """The state at the end of a span that began at epoch second `start`, in `STATE_SCHEMA`, by app, room and user.

    `found`: the frames that say what is carried on (`WorkerResult`). `names`: the users in the rows that these call
    `stay`.
    """
    stays = pl.concat([found[name].select("stay") for name in ("open_stays", "connections")]).unique()
    state = stays.hstack(names.of(stays["stay"], *USER_COLUMNS)).join(found["open_stays"], on="stay", how="left")
    for column, listed in _lists(found, rows, start).items():
        state = state.join(listed, on="stay", how="left").with_columns(pl.col(column).fill_null([]))
    return (
        state.with_columns(
            pl.col("last_event", "wait_ends").cast(pl.Int64) + start,
            *(pl.lit(None, STATE_SCHEMA[name]).alias(name) for name in TASK_COLUMNS),
            begun=pl.lit([], STATE_SCHEMA["begun"]),
        )
        .select(*STATE_SCHEMA)
        .cast(dict(STATE_SCHEMA))  # type: ignore[arg-type]
        .sort(USER_COLUMNS)
    )


def _lists(found: Mapping[str, pl.DataFrame], rows: SpanRows, start: int) -> dict[str, pl.DataFrame]:
    """The columns of lists, each as `stay` and the list."""
    received, published, excepted = found["open_streams"], found["published"], found["excepted"]
    connections = found["connections"]
    streams = [frame["row_number"] for frame in (received, published, excepted)]
    over = [frame["connection"].drop_nulls() for frame in (received, published)]
    names = rows.read((*_STREAM, "connection"), *streams, *over, connections["row_number"])
    named = connections.hstack(names.of(connections["row_number"], "connection")).select(
        "stay",
        connection=pl.when("is_named").then("connection"),
        receives=pl.when("is_subscribed").then(pl.lit("all")),
        until=pl.col("until").cast(pl.Int64) + start,
        closed="is_closed",
    )
    return {
        "streams": _listed("streams", _sent(received, names), *_STREAM, "connection"),
        "connections": _listed("connections", named, "connection", "receives", "until", "closed"),
        "published": _listed("published", _sent(published, names), *_STREAM, "connection"),
        "excepted": excepted.hstack(names.of(excepted["row_number"], "stream"))
        .sort("stay", "stream")
        .group_by("stay")
        .agg(excepted="stream"),
    }


def _sent(streams: pl.DataFrame, names: Names) -> pl.DataFrame:
    """Streams with their names and sizes, and the names of their connections."""
    over = pl.DataFrame({"row": streams["connection"].drop_nulls().unique()})
    over = over.hstack(names.of(over["row"], "connection"))
    sized = streams.hstack(names.of(streams["row_number"], *_STREAM)).rename({"connection": "row"})
    return sized.join(over, on="row", how="left", maintain_order="left")


def _listed(column: str, rows: pl.DataFrame, *fields: str) -> pl.DataFrame:
    """The rows of each stay as a list of structs, by the first field."""
    return rows.sort("stay", fields[0], maintain_order=True).group_by("stay").agg(pl.struct(fields).alias(column))
