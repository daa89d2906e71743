"""Metering: from a span's events to seconds.

    events -> rows (keyed, in order) -> connections -> receptions, presence -> classified pieces -> windows

`meter` computes a span from zero: the events in it, the stays carried into it, and nothing else. Billing one span in any number of cuts
gives the same seconds, because what is open at the end of a cut is carried into the next.

Always true, and checked on every call: under an aggregate policy the seconds of all items are the seconds of all stays; under a
policy per stream, whose streams count side by side, the audio seconds and the seconds with any video are.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import polars as pl

from billing.metering.connections import connections, with_runs
from billing.metering.findings import findings
from billing.metering.presence import alone
from billing.metering.reception import receptions
from billing.metering.rows import Hashing, HashCollisionError, sorted_rows
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


@dataclass(frozen=True, slots=True)
class Metered:
    """`usage`: seconds per app, window, item and reason (`USAGE_SCHEMA`). `state`: the stays carried out (`STATE_SCHEMA`). `findings`:
    `FINDING_SCHEMA`. All sorted by their columns."""

    usage: pl.DataFrame
    state: pl.DataFrame
    findings: pl.DataFrame


@dataclass(frozen=True, slots=True)
class _Span:
    """One pass over a span, before its seconds are classified."""

    runs: pl.DataFrame
    connections: pl.DataFrame  # with `app_id`
    received: pl.DataFrame
    alone: pl.DataFrame
    texts: pl.DataFrame


def meter(events: pl.LazyFrame, carried: pl.DataFrame, start: int, end: int, rules: Mapping[int, TierRule]) -> Metered:
    """Meters the span `[start, end)` (epoch seconds) of the apps in `rules`.

    `events`: the columns of the event schema; those outside the span are ignored. `carried`: the stays open at `start`
    (`STATE_SCHEMA`). Every app that occurs must have a rule.
    """
    span = _span(events, carried, start, end)
    sums = []
    for rule, conns, found in _classified(span, rules):
        app = pl.concat([found, span.connections.select("app_id")[found["run"]]], how="horizontal")
        seconds = _check_conservation(window_seconds(app, "app_id", start, end), conns, rule)
        sums.append(_named(seconds, rule).select(*USAGE_SCHEMA))
    return Metered(
        usage=pl.concat([pl.DataFrame(schema=USAGE_SCHEMA), *sums]).sort("app_id", "window_start", "item", "reason"),
        state=open_stays(span.runs, span.connections, span.received, span.texts, start),
        findings=findings(span.runs, span.connections, span.texts, start),
    )


def meter_by_user(
    events: pl.LazyFrame, carried: pl.DataFrame, start: int, end: int, rules: Mapping[int, TierRule]
) -> pl.DataFrame:
    """The seconds of the span per app, room, user, item and reason (`USER_USAGE_SCHEMA`): they sum to those of `meter`."""
    span = _span(events, carried, start, end)
    sums = []
    for rule, conns, found in _classified(span, rules):
        per_run = found.group_by("run", "class").agg(
            seconds=((pl.col("end") - pl.col("start")).cast(pl.Int64) * pl.col("weight")).sum()
        )
        per_run = _check_conservation(per_run, conns, rule)
        who = span.texts.select("app_id", "room_id", "user_id")[span.connections["source"][per_run["run"]]]
        named = _named(pl.concat([per_run, who], how="horizontal"), rule)
        sums.append(
            named.group_by(*list(USER_USAGE_SCHEMA)[:-1]).agg(pl.col("seconds").sum()).filter(pl.col("seconds") > 0)
        )
    return pl.concat([pl.DataFrame(schema=USER_USAGE_SCHEMA), *sums]).sort(list(USER_USAGE_SCHEMA)[:-1])


def _named(seconds: pl.DataFrame, rule: TierRule) -> pl.DataFrame:
    names = class_names(rule)
    codes = pl.DataFrame(
        {"class": range(len(names)), "item": [item for item, _ in names], "reason": [reason for _, reason in names]},
        schema_overrides={"class": pl.UInt8},
    )
    return seconds.join(codes, on="class")


def _span(events: pl.LazyFrame, carried: pl.DataFrame, start: int, end: int) -> _Span:
    hashing = Hashing()
    while True:
        try:
            return _one_pass(events, carried, start, end, hashing)
        except HashCollisionError:
            hashing = Hashing(seed=hashing.seed + 1)


def _one_pass(events: pl.LazyFrame, carried: pl.DataFrame, start: int, end: int, hashing: Hashing) -> _Span:
    rows = sorted_rows(events, carried, start, end, hashing)
    runs = with_runs(rows)
    conns = connections(runs, rows.texts, end - start)
    return _Span(
        runs=runs,
        connections=conns.with_columns(rows.texts["app_id"].gather(conns["source"])),
        received=receptions(runs, conns, rows),
        alone=alone(conns, rows.texts),
        texts=rows.texts,
    )


def _classified(span: _Span, rules: Mapping[int, TierRule]) -> Iterator[tuple[TierRule, pl.DataFrame, pl.DataFrame]]:
    """For each rule: the connections, and the classified pieces of those whose app it bills."""
    apps: dict[TierRule, list[int]] = {}
    for app_id in span.connections["app_id"].unique():
        apps.setdefault(rules[app_id], []).append(app_id)
    for rule, app_ids in apps.items():
        conns, received, lone = span.connections, span.received, span.alone
        if len(apps) > 1:
            billed = conns["app_id"].is_in(app_ids)
            received = received.filter(billed.gather(received["run"]))
            lone = lone.filter(billed.gather(lone["run"]))
            conns = conns.filter(billed)
        yield rule, conns, pieces(received, conns, lone, rule)


def _check_conservation(seconds: pl.DataFrame, conns: pl.DataFrame, rule: TierRule) -> pl.DataFrame:
    """`seconds` (`class, seconds`) without the class that only serves this check; crashes where a second was lost or made."""
    stay_seconds = conns.filter("present").select((pl.col("stay_end") - pl.col("second")).cast(pl.Int64).sum()).item()
    once = pl.col("class") < FIRST_VIDEO if rule.per_stream else pl.col("class") != ANY_VIDEO
    classified = seconds.filter(once | (pl.col("class") == ANY_VIDEO)).select(pl.col("seconds").sum()).item()
    if classified != stay_seconds:
        raise AssertionError(f"{classified} seconds were classified, but the stays have {stay_seconds}")
    return seconds.filter(pl.col("class") != ANY_VIDEO)
