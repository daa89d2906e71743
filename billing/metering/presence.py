"""Presence: the seconds in which only one user has a stay in a room.

Over the sorted beginnings and ends of a room's stays go two running sums: how many are there, and the sum of the numbers of their
connections. Where the count is 1, the sum is the one connection that is there. A waiting user counts as present.
"""

import polars as pl

from billing.metering.rows import HashCollisionError


def alone(conns: pl.DataFrame, texts: pl.DataFrame) -> pl.DataFrame:
    """`run, start, end` (seconds) of every stretch in which the connection `run` is the only one of its room, by run and start."""
    there = (
        conns.lazy()
        .filter(pl.col("stay_end") > pl.col("second"))
        .select("run", "source", "second", "stay_end")
        .collect()
    )
    room = texts.select("room_key", "room_check")[there["source"]]
    numbered = there.select(pl.col("run").cast(pl.Int64), "second", "stay_end").with_columns(room)
    bounds = pl.concat(
        [
            numbered.select("room_key", "room_check", "second", count=pl.lit(1, pl.Int32), run="run"),
            numbered.select(
                "room_key", "room_check", second="stay_end", count=pl.lit(-1, pl.Int32), run=-pl.col("run")
            ),
        ]
    ).sort("room_key", "second")
    same_room = pl.col("room_key") == pl.col("room_key").shift(1)
    if bounds.select((same_room & (pl.col("room_check") != pl.col("room_check").shift(1))).any()).item():
        raise HashCollisionError("two rooms have one key")
    # Every room comes back to nobody, so the sums need not begin again at each room.
    return (
        bounds.lazy()
        .select(
            count=pl.col("count").cum_sum(),
            run=pl.col("run").cum_sum(),
            start="second",
            end=pl.col("second").shift(-1),
        )
        .filter(pl.col("count") == 1, pl.col("end") > pl.col("start"))
        .select(pl.col("run").cast(pl.UInt32), "start", "end")
        .sort("run", "start")
        .collect()
    )
