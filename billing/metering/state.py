"""State: the stays open at the end of a span, as they are carried into the next span.

Example: a user who disconnected at 23:59:30 is carried over midnight with `wait_ends` 00:01:00 and without streams.
"""

import polars as pl

from billing.metering.engine.keyed_rows import USER_COLUMNS, Names
from billing.metering.schemas import STATE_SCHEMA


def carried_state(open_stays: pl.DataFrame, received: pl.DataFrame, names: Names, start: int) -> pl.DataFrame:
    """The open stays of a span that began at epoch second `start`, in `STATE_SCHEMA`, by app, room and user.

    `open_stays`: `stay` (the number of its row), `last_event, wait_ends` (seconds of the span). `received`: their
    streams (`stay, stream, width, height`).
    """
    users = names.of(open_stays["stay"], *USER_COLUMNS)
    streams = received.sort("stay", "stream").group_by("stay").agg(streams=pl.struct("stream", "width", "height"))
    return (
        pl.concat([open_stays, users], how="horizontal")
        .join(streams, on="stay", how="left")
        .select(
            *USER_COLUMNS,
            pl.col("last_event", "wait_ends").cast(pl.Int64) + start,
            pl.col("streams").fill_null([]),
        )
        .cast(dict(STATE_SCHEMA))  # type: ignore[arg-type]
        .sort(USER_COLUMNS)
    )
