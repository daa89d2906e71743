"""Classified seconds: pieces of time of one connection, each with its item and reason.

Class of a second, first match wins: in the wait after a disconnect, audio `disconnect_grace`; alone in the room, audio
`alone_in_room`; nothing received, audio `no_video_received`; else video, in the tier that the policy says, with the
reason `screen_share` if any received stream is a share (per stream: if that stream is), else `camera`.

A piece has a weight, because seconds are additive: where a user is alone, the piece that reception made there is
taken back with weight -1 and `alone_in_room` put in its place, and a policy that bills per stream counts a second
once for each stream.
"""

import numpy as np
import polars as pl

from billing.metering.rows import SCREEN_BIT
from billing.metering.tiers import AUDIO, TierRule

GRACE, ALONE, NO_VIDEO, FIRST_VIDEO = range(4)
ANY_VIDEO = 255  # per stream only: a second with any video, once; it is not billed, and the conservation law needs it
AUDIO_REASONS = ("disconnect_grace", "alone_in_room", "no_video_received")
VIDEO_REASONS = ("camera", "screen_share")


def class_names(rule: TierRule) -> list[tuple[str, str]]:
    """(item, reason) of every class code: the audio reasons, then camera and screen share of each tier."""
    return [(AUDIO, reason) for reason in AUDIO_REASONS] + [
        (item, reason) for item in rule.items for reason in VIDEO_REASONS
    ]


def pieces(received: pl.DataFrame, conns: pl.DataFrame, alone: pl.DataFrame, rule: TierRule) -> pl.DataFrame:
    """All classified seconds of the given connections: `run, start, end, class, weight`."""
    waits = (
        conns.lazy()
        .filter("waits")
        .select(
            "run",
            start="connected_end",
            end="stay_end",
            **{"class": pl.lit(GRACE, pl.UInt8)},
            weight=pl.lit(1, pl.Int32),
        )
    )
    classified = _classified(received, rule)
    overlaps = _overlaps(received, alone)
    lone = overlaps.lazy().select(
        "run", "start", "end", **{"class": pl.lit(ALONE, pl.UInt8)}, weight=pl.lit(1, pl.Int32)
    )
    connected = [
        pl.concat([received.select("run", start="second", end="until"), each], how="horizontal").lazy()
        for each in classified
    ]
    taken_back = [
        pl.concat([overlaps.select("run", "start", "end"), each[overlaps["place"]]], how="horizontal")
        .lazy()
        .with_columns(weight=-pl.col("weight"))
        for each in classified
    ]
    every = pl.concat([waits, lone, *connected, *taken_back])
    return every.filter(pl.col("end") > pl.col("start"), pl.col("weight") != 0).collect()


def _overlaps(received: pl.DataFrame, alone: pl.DataFrame) -> pl.DataFrame:
    """`run, place, start, end`: where a stretch of being alone meets the interval of a received row (`place`: its
    index)."""
    # Both are ordered by run and second, so a search finds the row that holds the beginning and the first row past
    # the end.
    rows = received.select(pl.col("run").cast(pl.Int64) * 2**31 + pl.col("second")).to_series().to_numpy()
    bounds = alone.select(
        start=pl.col("run").cast(pl.Int64) * 2**31 + pl.col("start"),
        end=pl.col("run").cast(pl.Int64) * 2**31 + pl.col("end"),
    )
    first = np.searchsorted(rows, bounds["start"].to_numpy(), side="right") - 1
    last = np.searchsorted(rows, bounds["end"].to_numpy(), side="left")
    lengths = last - first
    which = np.repeat(np.arange(alone.height), lengths)
    place = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths - first, lengths)
    met = pl.concat([alone[which], received.select("second", "until")[place]], how="horizontal").with_columns(
        place=place
    )
    return met.select(
        "run", "place", start=pl.max_horizontal("start", "second"), end=pl.min_horizontal("end", "until")
    ).filter(pl.col("end") > pl.col("start"))


def _classified(received: pl.DataFrame, rule: TierRule) -> list[pl.DataFrame]:
    """Frames of `class, weight`, each with one row per received row; their sum is what the row's seconds are."""
    return _per_stream(received, rule) if rule.per_stream else [_aggregate(received, rule)]


def _aggregate(received: pl.DataFrame, rule: TierRule) -> pl.DataFrame:
    sizes = received.select("begins", now=pl.col("size"), before=pl.col("size_before"))
    area = _running(
        sizes.select("begins", change=(pl.col("now") % SCREEN_BIT).cast(pl.Int64) - pl.col("before") % SCREEN_BIT)
    )
    screens = _running(sizes.select("begins", change=pl.col("now") // SCREEN_BIT - pl.col("before") // SCREEN_BIT))
    video = FIRST_VIDEO + 2 * _tier(pl.col("area"), rule) + (pl.col("screens") > 0).cast(pl.Int32)
    return pl.DataFrame({"area": area, "screens": screens}).select(
        pl.when(pl.col("area") > 0).then(video).otherwise(NO_VIDEO).cast(pl.UInt8).alias("class"),
        weight=pl.lit(1, pl.Int32),
    )


def _per_stream(received: pl.DataFrame, rule: TierRule) -> list[pl.DataFrame]:
    codes = received.select(
        "begins", now=_stream_class(pl.col("size"), rule), before=_stream_class(pl.col("size_before"), rule)
    )
    any_stream = _running(
        codes.select("begins", change=(pl.col("now") >= 0).cast(pl.Int32) - (pl.col("before") >= 0).cast(pl.Int32))
    )
    frames = [(NO_VIDEO, (any_stream == 0).cast(pl.Int32)), (ANY_VIDEO, (any_stream > 0).cast(pl.Int32))]
    for code in sorted(set(codes["now"].unique()) - {-1}):
        change = (pl.col("now") == code).cast(pl.Int32) - (pl.col("before") == code).cast(pl.Int32)
        frames.append((code, _running(codes.select("begins", change=change))))
    return [
        pl.DataFrame({"weight": weight}).select(pl.lit(code, pl.UInt8).alias("class"), pl.col("weight").cast(pl.Int32))
        for code, weight in frames
    ]


def _stream_class(size: pl.Expr, rule: TierRule) -> pl.Expr:
    video = FIRST_VIDEO + 2 * _tier(size % SCREEN_BIT, rule) + size // SCREEN_BIT
    return pl.when(size > 0).then(video).otherwise(-1).cast(pl.Int32)


def _tier(area: pl.Expr, rule: TierRule) -> pl.Expr:
    """The index of the tier of an area: how many of the inclusive tops it is above."""
    return pl.sum_horizontal(pl.lit(0, pl.Int32), *((area > top).cast(pl.Int32) for top in rule.bounds))


def _running(changes: pl.DataFrame) -> pl.Series:
    """The running sum of `change` over the rows of a connection, beginning anew where `begins` is true."""
    total = pl.col("change").cum_sum()
    before = pl.when("begins").then(total - pl.col("change")).forward_fill()
    return changes.select(total - before).to_series()
