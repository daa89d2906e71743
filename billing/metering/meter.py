"""Metering: from a span's events to seconds.

    events -> rows (keyed, in order) -> connections -> receptions, presence -> classified pieces -> windows

`meter` computes a span from zero: the events in it, the stays carried into it, and nothing else. Billing one span in
any number of cuts gives the same seconds, because what is open at the end of a cut is carried into the next.

Always true, and checked on every call: under an aggregate policy the seconds of all items are the seconds of all
stays; under a policy per stream, whose streams count side by side, the audio seconds and the seconds with any video
are.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

import polars as pl

from billing.metering.connections import connections, with_runs
from billing.metering.findings import FINDING_SCHEMA, concurrent_rooms, findings, stays
from billing.metering.presence import alone
from billing.metering.reception import receptions
from billing.metering.rows import HashCollisionError, Hashing, Rows, keyed_rows, parts
from billing.metering.seconds import ANY_VIDEO, FIRST_VIDEO, class_names, pieces
from billing.metering.state import open_stays
from billing.metering.tiers import TierRule
from billing.metering.windows import USAGE_SCHEMA, window_seconds

USER_USAGE_SCHEMA = pl.Schema(
    {
        "app_id": pl.Int64,
        "room_id": pl.String,
        "user_id": pl.String,
        "item": pl.String,
        "reason": pl.String,
        "seconds": pl.Int64,
    }
)

# A line of the sums is an app (by its place among the sorted apps) and a class of seconds.
_CLASSES = 256

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Metered:
    """`usage`: seconds per app, window, item and reason (`USAGE_SCHEMA`). `state`: the stays carried out
    (`STATE_SCHEMA`). `findings`: `FINDING_SCHEMA`. All sorted by their columns."""

    usage: pl.DataFrame
    state: pl.DataFrame
    findings: pl.DataFrame


@dataclass(frozen=True, slots=True)
class _Part:
    """Some rooms of a span, before their seconds are classified."""

    runs: pl.DataFrame
    connections: pl.DataFrame  # with `app_id`
    received: pl.DataFrame
    alone: pl.DataFrame


def meter(events: pl.LazyFrame, carried: pl.DataFrame, start: int, end: int, rules: Mapping[int, TierRule]) -> Metered:
    """Meters the span `[start, end)` (epoch seconds) of the apps in `rules`.

    `events`: the columns of the event schema; those outside the span are ignored. `carried`: the stays open at `start`
    (`STATE_SCHEMA`). Every app that occurs must have a rule.
    """
    return _without_collisions(
        lambda hashing: _meter(keyed_rows(events, carried, start, end, hashing), start, end, rules)
    )


def meter_by_user(
    events: pl.LazyFrame, carried: pl.DataFrame, start: int, end: int, rules: Mapping[int, TierRule]
) -> pl.DataFrame:
    """The seconds of the span per app, room, user, item and reason (`USER_USAGE_SCHEMA`): they sum to those of
    `meter`."""
    return _without_collisions(
        lambda hashing: _meter_by_user(keyed_rows(events, carried, start, end, hashing), end - start, rules)
    )


def _without_collisions(compute: Callable[[Hashing], _Result]) -> _Result:
    seed = 0
    while True:
        try:
            return compute(Hashing(seed=seed))
        except HashCollisionError:
            seed += 1


def _meter(rows: Rows, start: int, end: int, rules: Mapping[int, TierRule]) -> Metered:
    usage, state, found, all_stays = [], [], [], []
    for part in _parts(rows, end - start):
        for rule, conns, classified in _by_rule(part, rules):
            usage.append(_checked(window_seconds(classified, start, end), conns, rule))
        state.append(open_stays(part.runs, part.connections, part.received, rows.texts, start))
        found.append(findings(part.runs, part.connections, rows.texts, start))
        all_stays.append(stays(part.connections))
    found.append(concurrent_rooms(pl.concat(all_stays), rows.texts, start))
    sums = pl.concat([_NO_WINDOWS, *usage]).group_by("line", "window_start").agg(pl.col("seconds").sum())
    return Metered(
        usage=_named(sums, rules).select(*USAGE_SCHEMA).sort("app_id", "window_start", "item", "reason"),
        state=pl.concat(state).sort("app_id", "room_id", "user_id"),
        findings=pl.concat(found).sort(list(FINDING_SCHEMA)),
    )


def _meter_by_user(rows: Rows, end: int, rules: Mapping[int, TierRule]) -> pl.DataFrame:
    sums = [pl.DataFrame(schema=USER_USAGE_SCHEMA)]
    for part in _parts(rows, end):
        for rule, conns, classified in _by_rule(part, rules):
            seconds = (pl.col("end") - pl.col("start")).cast(pl.Int64) * pl.col("weight")
            per_run = _checked(classified.group_by("run", "line").agg(seconds=seconds.sum()), conns, rule)
            who = rows.texts.select("room_id", "user_id")[part.connections["source"].gather(per_run["run"])]
            named = _named(pl.concat([per_run, who], how="horizontal"), rules)
            sums.append(named.select(*USER_USAGE_SCHEMA))
    each = list(USER_USAGE_SCHEMA)[:-1]
    return pl.concat(sums).group_by(each).agg(pl.col("seconds").sum()).filter(pl.col("seconds") > 0).sort(each)


def _parts(rows: Rows, end: int) -> Iterator[_Part]:
    for part in parts(rows.keyed):
        runs = with_runs(part)
        conns = connections(runs, rows.texts, end)
        yield _Part(
            runs=runs,
            connections=conns.with_columns(rows.texts["app_id"].gather(conns["source"])),
            received=receptions(runs, conns, rows.event_ids),
            alone=alone(conns),
        )


def _by_rule(part: _Part, rules: Mapping[int, TierRule]) -> Iterator[tuple[TierRule, pl.DataFrame, pl.DataFrame]]:
    """For each rule: the connections whose app it bills, and their classified pieces with the `line` of the sums."""
    apps: dict[TierRule, list[int]] = {}
    for app_id in part.connections["app_id"].unique():
        apps.setdefault(rules[app_id], []).append(app_id)
    places = {app_id: place for place, app_id in enumerate(sorted(rules))}
    first_line = part.connections["app_id"].replace_strict(places, return_dtype=pl.UInt32) * _CLASSES
    for rule, app_ids in apps.items():
        conns, received, lone = part.connections, part.received, part.alone
        if len(apps) > 1:
            billed = conns["app_id"].is_in(app_ids)
            received = received.filter(billed.gather(received["run"]))
            lone = lone.filter(billed.gather(lone["run"]))
            conns = conns.filter(billed)
        classified = pieces(received, conns, lone, rule)
        yield rule, conns, classified.with_columns(line=first_line.gather(classified["run"]) + classified["class"])


def _checked(seconds: pl.DataFrame, conns: pl.DataFrame, rule: TierRule) -> pl.DataFrame:
    """`seconds` (`line, seconds`) without the class that only serves this check; crashes where a second was lost or
    made."""
    stay_seconds = conns.filter("present").select((pl.col("stay_end") - pl.col("second")).cast(pl.Int64).sum()).item()
    code = pl.col("line") % _CLASSES
    once = (code < FIRST_VIDEO) | (code == ANY_VIDEO) if rule.per_stream else pl.lit(value=True)
    classified = seconds.filter(once).select(pl.col("seconds").sum()).item()
    if classified != stay_seconds:
        raise AssertionError(f"{classified} seconds were classified, but the stays have {stay_seconds}")
    return seconds.filter(code != ANY_VIDEO)


def _named(sums: pl.DataFrame, rules: Mapping[int, TierRule]) -> pl.DataFrame:
    """The sums with `app_id, item, reason` in place of their line."""
    lines = [
        (place * _CLASSES + code, app_id, item, reason)
        for place, app_id in enumerate(sorted(rules))
        for code, (item, reason) in enumerate(class_names(rules[app_id]))
    ]
    names = pl.DataFrame(
        lines,
        schema={"line": pl.UInt32, "app_id": pl.Int64, "item": pl.String, "reason": pl.String},
        orient="row",
    )
    return sums.join(names, on="line")


_NO_WINDOWS = pl.DataFrame(schema={"line": pl.UInt32, "window_start": pl.Int64, "seconds": pl.Int64})
