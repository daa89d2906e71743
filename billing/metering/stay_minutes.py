"""Stay minutes: stays that are rounded up to whole minutes one by one, before they are summed; where the feed names
connections, connections (`connections_apart`).

A minute counts in the window in which it begins: with 60 seconds, the reason `connected`, and the only item of the
policy. So a stay from 00:04:10 to 00:06:11 (121 s) has one minute in the window of 00:00 and two in that of 00:05; and
a stay that goes on over midnight has as many minutes in all as one that is metered in one piece, because its beginning
is carried (`began`).

The work does not grow with the length of a stay: a window that it spans has five beginnings, so only its first and its
last window are looked at.
"""

from collections.abc import Mapping, Sequence

import polars as pl

from billing.metering.connections_apart import together
from billing.metering.engine.keyed_rows import USER_COLUMNS
from billing.metering.schemas import STATE_SCHEMA, USAGE_SCHEMA
from billing.metering.tiers import TierRule
from billing.periods import WINDOW_SECONDS

CONNECTED = "connected"
_MINUTE = 60
_IN_A_WINDOW = WINDOW_SECONDS // _MINUTE


def stays_by_minute(
    stays: pl.DataFrame, carried: pl.DataFrame, rules: Mapping[int, TierRule], start: int
) -> pl.DataFrame:
    """The stays (`STAY_SCHEMA`) of the apps whose stays are rounded, with their beginning, and the first and the last
    minute that begins in the span: `began, first, last` in epoch seconds, `minutes`; also those in which none begins.

    `carried`: the stays open at the start with their beginnings (`connections_apart.state_apart`).
    """
    apps = [app for app, rule in rules.items() if rule.per_stay]
    known = carried.select(*USER_COLUMNS, carried_began="began")
    in_span = pl.col("second").cast(pl.Int64) + start
    begins, ends = pl.col("began"), pl.col("stay_end").cast(pl.Int64) + start
    started = -((begins - pl.col("from")) // _MINUTE)
    return (
        stays.filter(pl.col("app_id").is_in(apps))
        .join(known, on=USER_COLUMNS, how="left")
        .with_columns(in_span.alias("from"), began=pl.when("begins").then(in_span).otherwise("carried_began"))
        .with_columns(began=pl.coalesce("began", "from"))
        .with_columns(first=begins + started * _MINUTE, end=ends)
        .with_columns(minutes=pl.max_horizontal(-((pl.col("first") - pl.col("end")) // _MINUTE), 0))
        .with_columns(last=pl.col("first") + (pl.col("minutes") - 1) * _MINUTE)
        .pipe(together)
    )


def window_minutes(stays: pl.DataFrame, rules: Mapping[int, TierRule]) -> pl.DataFrame:
    """The seconds of the minutes of `stays_by_minute` by window, in `USAGE_SCHEMA`."""
    some = stays.filter(pl.col("minutes") > 0).with_columns(
        opens=pl.col("first") // WINDOW_SECONDS, closes=pl.col("last") // WINDOW_SECONDS
    )
    is_one = pl.col("opens") == pl.col("closes")
    in_first = -((pl.col("first") - (pl.col("opens") + 1) * WINDOW_SECONDS) // _MINUTE)
    in_last = (pl.col("last") - pl.col("closes") * WINDOW_SECONDS) // _MINUTE + 1
    zero = pl.lit(0, pl.Int64)
    edges = pl.concat(
        [
            some.select("app_id", window="opens", here=pl.when(is_one).then("minutes").otherwise(in_first), on=zero),
            some.filter(~is_one).select("app_id", window="closes", here=in_last, on=zero - _IN_A_WINDOW),
            some.filter(~is_one).select("app_id", window=pl.col("opens") + 1, here=zero, on=zero + _IN_A_WINDOW),
        ]
    )
    sums = edges.group_by("app_id", "window").agg(pl.col("here", "on").sum()).sort("app_id", "window")
    frames = [_filled(of_app) for _, of_app in sums.group_by("app_id", maintain_order=True)]
    if not frames:
        return pl.DataFrame(schema=USAGE_SCHEMA)
    return _named(
        pl.concat(frames).select("app_id", window_start=pl.col("window") * WINDOW_SECONDS, minutes="minutes"), rules
    ).select(*USAGE_SCHEMA)


def minutes_by_names(stays: pl.DataFrame, rules: Mapping[int, TierRule], columns: Sequence[str]) -> pl.DataFrame:
    """The seconds of the minutes of `stays_by_minute` by some columns with names: these, `item, reason, seconds`."""
    return _named(stays.group_by(columns).agg(pl.col("minutes").sum()), rules)


def with_beginnings(state: pl.DataFrame, stays: pl.DataFrame, end: int) -> pl.DataFrame:
    """The state at the end of a span with the beginnings of the stays that go on: those of `stays_by_minute`."""
    key = [*USER_COLUMNS, "connection"]
    going_on = stays.filter(pl.col("end") == end).sort("from").unique(key, keep="last").sort(key)
    begun = going_on.group_by(USER_COLUMNS, maintain_order=True).agg(begun=pl.struct("connection", "began"))
    found = state.drop("begun").join(begun, on=USER_COLUMNS, how="left", maintain_order="left")
    is_open = pl.col("last_event").is_not_null() & pl.col("begun").is_not_null()
    nothing = pl.lit([], STATE_SCHEMA["begun"])
    return found.with_columns(begun=pl.when(is_open).then("begun").otherwise(nothing)).select(state.columns)


def _filled(edges: pl.DataFrame) -> pl.DataFrame:
    """Every window between the first and the last edge of an app."""
    first, last = edges["window"][0], edges["window"][-1]
    windows = pl.DataFrame({"window": pl.int_range(first, last + 1, eager=True)})
    filled = windows.join(edges, on="window", how="left", maintain_order="left").with_columns(
        pl.col("here", "on").fill_null(0), app_id=pl.lit(edges["app_id"][0], pl.Int64)
    )
    return filled.with_columns(minutes=pl.col("here") + pl.col("on").cum_sum()).filter(pl.col("minutes") > 0)


def _named(minutes: pl.DataFrame, rules: Mapping[int, TierRule]) -> pl.DataFrame:
    items = pl.DataFrame(
        {"app_id": list(rules), "item": [rule.base_item for rule in rules.values()]},
        schema={"app_id": pl.Int64, "item": pl.String},
    )
    named = minutes.filter(pl.col("minutes") > 0).join(items, on="app_id")
    return named.with_columns(reason=pl.lit(CONNECTED), seconds=pl.col("minutes").cast(pl.Int64) * _MINUTE)
