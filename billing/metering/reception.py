"""Reception: what a connected user receives from one row to the next.

A stream counts from its `video_on` to its next `video_off` or `video_on` (another size), or to the end of the
connection. Instead of one interval per stream there is one interval per row, with what the row changed: the size that
this stream has now and the size that it had before. A running sum over the rows of a connection then gives all that
is received at once.
"""

from typing import Any

import numpy as np
import polars as pl

from billing.metering.rows import CARRIED, ENTER, RECONNECT, VIDEO_OFF, VIDEO_ON, refuse_collisions


def receptions(runs: pl.DataFrame, conns: pl.DataFrame, event_ids: pl.LazyFrame) -> pl.DataFrame:
    """The rows that count while connected, in their order.

    Columns: `run, source, begins, second, until` (seconds: `[second, until)`, possibly empty), `size` and
    `size_before` of the stream that the row is about (0: not received), `latest`: no later row of the connection is
    about that stream.
    """
    of_run = conns.select("last_row", "connected_end")[runs["run"]]
    live = pl.concat([runs, of_run], how="horizontal").filter(
        pl.col("code").is_in([ENTER, RECONNECT, CARRIED, VIDEO_OFF, VIDEO_ON]), pl.col("row") <= pl.col("last_row")
    )
    by_stream = _by_stream(live, event_ids)
    same = (pl.col("key") == pl.col("key").shift(1)).fill_null(value=False)
    size_before = by_stream.select(pl.when(same).then(pl.col("size").shift(1)).otherwise(0)).to_series()
    latest = by_stream.select((pl.col("key") != pl.col("key").shift(-1)).fill_null(value=True)).to_series()
    place = by_stream["place"].to_numpy()
    return live.select(
        "run",
        "source",
        "begins",
        "second",
        "size",
        until=pl.min_horizontal("next_second", "connected_end"),
        size_before=_scattered(size_before, place, live.height),
        latest=_scattered(latest, place, live.height),
    )


def _scattered(values: pl.Series, place: np.ndarray[Any, Any], height: int) -> pl.Series:
    """A series of `height` with each value at its place, and 0 or false elsewhere."""
    series = np.zeros(height, dtype=values.to_numpy().dtype)
    series[place] = values.to_numpy()
    return pl.Series(series)


def _by_stream(live: pl.DataFrame, event_ids: pl.LazyFrame) -> pl.DataFrame:
    """The video rows stream by stream within each connection: `key` (connection and stream), `place` (row of `live`),
    `size`."""
    # The run in the high bits keeps the streams of a connection together; the low bits hold as much of the hash as fits.
    hash_bits = 64 - live.height.bit_length()
    key = pl.col("run").cast(pl.UInt64) * 2**hash_bits + pl.col("stream_key") // 2 ** (64 - hash_bits)
    by_stream = (
        live.lazy()
        .select(
            "size", "order", "source", "stream_check", "code", key=key, place=pl.int_range(pl.len(), dtype=pl.UInt32)
        )
        .filter(pl.col("code").is_in([VIDEO_OFF, VIDEO_ON]))
        .sort("key", maintain_order=True)
        .collect()
    )
    refuse_collisions(by_stream, "key", "stream_check")
    return _ties_broken(by_stream, event_ids)


def _ties_broken(by_stream: pl.DataFrame, event_ids: pl.LazyFrame) -> pl.DataFrame:
    """Where a stream has several rows in one millisecond, in the order of their event ids."""
    one_moment = (pl.col("key") == pl.col("key").shift(1)) & (pl.col("order") == pl.col("order").shift(1))
    tied = (one_moment & (pl.col("order") >= 0)).fill_null(value=False)
    other_size = pl.col("size") != pl.col("size").shift(1)
    if not by_stream.select((tied & other_size).any()).item():
        return by_stream
    found = by_stream.with_row_index("index").filter(tied | tied.shift(-1, fill_value=False))
    sources = found.lazy().select("source")
    ids = event_ids.with_row_index("source").join(sources, on="source", how="semi").collect()
    ordered = found.join(ids, on="source").sort("key", "order", "event_id")
    indices = np.arange(by_stream.height)
    indices[found["index"].to_numpy()] = ordered["index"].to_numpy()
    return by_stream[indices]
