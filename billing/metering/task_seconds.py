"""Task seconds: what the stretches of tasks are billed as, by 5-minute window, by room, or by task.

A second of a task counts once, in the tier of the summed area of its inputs; without video, as the base item of its
service, with the reason `no_video_received`. A service of an app's policy bills nothing below its least number of
inputs, and one that the policy does not have bills nothing. Example: two cameras of 1280x720 for ten minutes are 600 s
of `recording:fhd`, or of `mix-h264:fhd`; one camera is 600 s of `recording:hd` and nothing of `mix-h264`.

Checked on every call: the billed seconds and those that are not billed are the seconds of all stretches.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import polars as pl

from billing.catalog.items import CAMERA, NO_VIDEO_RECEIVED, SCREEN_SHARE
from billing.metering.schemas import USAGE_SCHEMA
from billing.metering.tiers import ServiceRule, TierRule
from billing.periods import WINDOW_SECONDS

# Of a service's item in the usage of users, the task is in the place of the user.
_NAMES = {"user_id": "task_id"}
_CELL = ["app_id", "item", "reason"]


def task_windows(stretches: pl.DataFrame, rules: Mapping[int, TierRule]) -> pl.DataFrame:
    """The billed seconds of stretches (`Tasks.stretches`) by window, in `USAGE_SCHEMA`."""
    found = classified(stretches, rules)
    windows = _by_window(found.drop_nulls("item"))
    _check(windows, found)
    return windows.select(*USAGE_SCHEMA)


def task_seconds(stretches: pl.DataFrame, rules: Mapping[int, TierRule], columns: Sequence[str]) -> pl.DataFrame:
    """The billed seconds of stretches under some names: `columns, item, reason, seconds`."""
    found = classified(stretches, rules)
    keys = [*(pl.col(_NAMES.get(name, name)).alias(name) for name in columns), "item", "reason"]
    seconds = found.drop_nulls("item").group_by(keys).agg(seconds=_length())
    _check(seconds, found)
    return seconds


def classified(stretches: pl.DataFrame, rules: Mapping[int, TierRule]) -> pl.DataFrame:
    """The stretches with `item` and `reason`; both are null where they are not billed."""
    apps: defaultdict[ServiceRule, list[int]] = defaultdict(list)
    for app_id, rule in rules.items():
        for service in rule.services:
            apps[service].append(app_id)
    item: pl.Expr = pl.lit(None, pl.String)
    for service, of_apps in apps.items():
        mine = (pl.col("service") == service.name) & pl.col("app_id").is_in(of_apps)
        item = pl.when(mine).then(_item(service)).otherwise(item)
    has_video = pl.when(pl.col("screens") > 0).then(pl.lit(SCREEN_SHARE)).otherwise(pl.lit(CAMERA))
    reason = pl.when(pl.col("inputs") > 0).then(has_video).otherwise(pl.lit(NO_VIDEO_RECEIVED))
    return stretches.with_columns(item=item).with_columns(reason=pl.when(pl.col("item").is_not_null()).then(reason))


def _item(service: ServiceRule) -> pl.Expr:
    item = pl.lit(service.tiers[-1][0])
    for name, top in reversed(service.tiers[:-1]):
        item = pl.when(pl.col("area") <= top).then(pl.lit(name)).otherwise(item)
    item = pl.when(pl.col("inputs") > 0).then(item).otherwise(pl.lit(service.base_item, pl.String))
    return pl.when(pl.col("inputs") >= service.least_inputs).then(item)


def _by_window(stretches: pl.DataFrame) -> pl.DataFrame:
    """`app_id, item, reason, window_start, seconds` > 0. A stretch is two edges, +1 and -1, whose seconds left in their
    windows are summed; every later window has 300 s for each stretch that goes on."""
    edges = pl.concat(
        [stretches.select(*_CELL, second=name, change=pl.lit(change)) for name, change in (("start", 1), ("end", -1))]
    )
    window = pl.col("second") - pl.col("second") % WINDOW_SECONDS
    left = (window + WINDOW_SECONDS - pl.col("second")) * pl.col("change")
    sums = edges.group_by(*_CELL, window_start=window).agg(change=pl.col("change").sum(), partial=left.sum())
    sums = sums.sort(*_CELL, "window_start").with_columns(
        going_on=pl.col("change").cum_sum().over(_CELL), next_start=pl.col("window_start").shift(-1).over(_CELL)
    )
    first, after = (pl.col(name) + WINDOW_SECONDS for name in ("window_start", "next_start"))
    going_on = sums.filter(pl.col("going_on") != 0)
    whole = going_on.with_columns(window_start=pl.int_ranges(first, after, WINDOW_SECONDS)).explode("window_start")
    seconds = [
        sums.select(*_CELL, "window_start", seconds="partial"),
        whole.select(*_CELL, "window_start", seconds=pl.col("going_on") * WINDOW_SECONDS),
    ]
    found = pl.concat(seconds, how="vertical_relaxed").group_by(*_CELL, "window_start").agg(pl.col("seconds").sum())
    return found.filter(pl.col("seconds") != 0)


def _length() -> pl.Expr:
    return (pl.col("end") - pl.col("start")).sum()


def _check(seconds: pl.DataFrame, found: pl.DataFrame) -> None:
    """Crashes where a second was lost or counted twice."""
    billed = seconds.select(pl.col("seconds").sum()).item()
    every, free = (frame.select(_length()).item() for frame in (found, found.filter(pl.col("item").is_null())))
    if billed + free != every:
        raise AssertionError(f"{billed} seconds of tasks were billed and {free} not, but the tasks have {every}")
