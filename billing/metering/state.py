"""State: the stays that are open at the end of a span, as they are carried into the next one."""

import polars as pl

from billing.metering.engine.keyed_rows import Words
from billing.metering.schemas import STATE_SCHEMA


def carried_state(open_stays: pl.DataFrame, received: pl.DataFrame, words: Words, start: int) -> pl.DataFrame:
    """The open stays of a span that began at epoch second `start`, in `STATE_SCHEMA`, by app, room and user; `received`
    are their streams (`stay, stream, width, height`)."""
    who = words.of(open_stays["stay"], "app_id", "room_id", "user_id")
    streams = received.sort("stay", "stream").group_by("stay").agg(streams=pl.struct("stream", "width", "height"))
    return (
        pl.concat([open_stays, who], how="horizontal")
        .join(streams, on="stay", how="left")
        .select(
            "app_id",
            "room_id",
            "user_id",
            pl.col("last_event", "wait_ends").cast(pl.Int64) + start,
            pl.col("streams").fill_null([]),
        )
        .cast(dict(STATE_SCHEMA))  # type: ignore[arg-type]
        .sort("app_id", "room_id", "user_id")
    )
