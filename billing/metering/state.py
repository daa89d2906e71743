"""State: the stays that are open at the end of a span, as they are carried into the next one."""

import polars as pl

from billing.metering.rows import STATE_SCHEMA


def open_stays(
    runs: pl.DataFrame, conns: pl.DataFrame, received: pl.DataFrame, texts: pl.DataFrame, start: int
) -> pl.DataFrame:
    """The stays open at the end of the span that began at epoch second `start`, in `STATE_SCHEMA`, by app, room and
    user."""
    still_open = conns.filter("open").select("run", "source", "waits", "wait_ends")
    last_rows = (
        runs.lazy()
        .join(still_open.lazy(), on="run", how="semi", maintain_order="left")
        .unique("run", keep="last", maintain_order=True)
        .collect()
    )
    last_event = pl.when(pl.col("at").is_null()).then(pl.col("last_event") + start).otherwise(pl.col("at") // 1000)
    stays = pl.concat(
        [
            still_open,
            texts.select("app_id", "room_id", "user_id")[still_open["source"]],
            texts.select("at", "last_event")[last_rows["source"]].select(last_event=last_event),
        ],
        how="horizontal",
    )
    return (
        stays.join(_open_streams(still_open, received, texts), on="run", how="left")
        .select(
            "app_id",
            "room_id",
            "user_id",
            "last_event",
            pl.when("waits").then(pl.col("wait_ends") + start).alias("wait_ends"),
            pl.col("streams").fill_null([]),
        )
        .cast(dict(STATE_SCHEMA))  # type: ignore[arg-type]
        .sort("app_id", "room_id", "user_id")
    )


def _open_streams(still_open: pl.DataFrame, received: pl.DataFrame, texts: pl.DataFrame) -> pl.DataFrame:
    """`run, streams` of the open stays that are connected and receive anything."""
    connected = still_open.filter(~pl.col("waits")).select("run")
    video = received.filter("latest", pl.col("size") > 0).join(connected, on="run", how="semi")
    streams = pl.concat(
        [video.select("run"), texts.select("stream", "width", "height")[video["source"]]], how="horizontal"
    )
    return (
        streams.sort("run", "stream")
        .group_by("run", maintain_order=True)
        .agg(streams=pl.struct("stream", "width", "height"))
    )
