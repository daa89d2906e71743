"""Presence: the seconds in which only one user has a stay in a room.

Over the sorted beginnings and ends of a room's stays go two running sums: how many are there, and the sum of the
numbers of their connections. Where the count is 1, the sum is the one connection that is there. A waiting user counts
as present.
"""

import polars as pl

from billing.metering.rows import refuse_collisions


def alone(conns: pl.DataFrame) -> pl.DataFrame:
    """`run, start, end` (seconds) of every stretch in which the connection `run` is the only one of its room, by run
    and start."""
    there = conns.lazy().filter(pl.col("stay_end") > pl.col("second"))
    room = ["room_key", "room_check"]
    number = pl.col("run").cast(pl.Int64)
    begin = there.select(*room, "second", count=pl.lit(1, pl.Int32), run=number)
    end = there.select(*room, second="stay_end", count=pl.lit(-1, pl.Int32), run=-number)
    bounds = pl.concat([begin, end]).sort("room_key", "second").collect()
    refuse_collisions(bounds, *room)
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
