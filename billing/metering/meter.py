"""Metering: from the events of a span to seconds.

    events -> passes of keyed rows -> parts (whole rooms) -> stays (event by event, in order) -> edges -> windows

`meter` computes a span from the events in it and the stays carried into it, and from nothing else. Metering a span in
any number of cuts gives the same seconds, because the stays open at a cut are carried into the next span. Example: of a
user who is alone in a room from 00:00:10 to 00:07:00, 290 s of audio (`alone_in_room`) are in the window of 00:00 and
120 s in that of 00:05, also if one span ends and the next begins at 00:03.

Tasks of value-added services are metered beside the users of their rooms, from events and state of their own
(`billing.metering.tasks`).

Checked on every call, app by app: under an aggregate policy the seconds of all items are the seconds of all stays.
Under a per-stream policy, whose streams count side by side, the audio seconds and the seconds with any video are.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import polars as pl

from billing.catalog.items import ALONE_IN_ROOM, CAMERA, DISCONNECT_GRACE, NO_VIDEO_RECEIVED, SCREEN_SHARE
from billing.metering.connections_apart import events_apart, state_apart
from billing.metering.engine.keyed_rows import (
    USER_COLUMNS,
    HashCollisionError,
    Hashing,
    Names,
    SpanRows,
    passes,
    span_rows,
)
from billing.metering.engine.parts import meter_parts, rows_by_room
from billing.metering.engine.room_tables import ALONE, ANY_VIDEO, FIRST_VIDEO, GRACE, NO_VIDEO, SpanArrays
from billing.metering.engine.worker_results import WorkerResult
from billing.metering.findings import concurrent_rooms, findings, named_stays, suspected_stays
from billing.metering.schemas import FINDINGS_SCHEMA, USAGE_SCHEMA, USER_USAGE_SCHEMA, Metered, state_in_order
from billing.metering.state import carried_state
from billing.metering.stay_minutes import minutes_by_names, stays_by_minute, window_minutes, with_beginnings
from billing.metering.task_seconds import task_seconds, task_windows
from billing.metering.tasks import Tasks, is_of_task, run_tasks, task_events
from billing.metering.tiers import TierRule
from billing.metering.windows import window_seconds
from billing.periods import WINDOW_SECONDS
from billing.read_ahead import read_ahead

_AUDIO_REASONS = {GRACE: DISCONNECT_GRACE, ALONE: ALONE_IN_ROOM, NO_VIDEO: NO_VIDEO_RECEIVED}
_VIDEO_REASONS = (CAMERA, SCREEN_SHARE)
_ANY_AREA = 2**62
# The frames of a `WorkerResult` that say what is carried on, and those of them that name its users.
_CARRIED = ("open_stays", "open_streams", "connections", "published", "excepted")
_WITH_USERS = ("open_stays", "connections")

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """The time `[start, end)` in epoch seconds, and the tier rule of every app that occurs in it."""

    start: int
    end: int
    rules: Mapping[int, TierRule]

    @property
    def billed_services(self) -> list[tuple[int, str]]:
        """The services that are billed, by app."""
        return [(app_id, service.name) for app_id, rule in self.rules.items() for service in rule.services]


def meter(
    events: pl.LazyFrame, carried: pl.DataFrame, span: Span, *, ranges: int = 1, with_leaves: bool = False
) -> Metered:
    """Meters a span.

    `events`: the columns of the event schema; those outside the span are ignored. `carried`: the stays open at the
    start (`STATE_SCHEMA`). Events that come with keys may lie in so many equal `ranges` of room keys: then the ranges
    are metered one after the other. `with_leaves`: the leaves of the rooms are wanted too; there are none where keys
    collide.
    """
    events, carried, tasks = _apart(events, carried, span)

    def compute(hashing: Hashing) -> Metered:
        asked = with_leaves and hashing.is_stored
        found = _metered_rooms(events, carried, span, hashing, ranges=ranges, with_leaves=asked)
        suspected = suspected_stays(found.all("stays"))
        names = found.names(suspected["row_number"])
        metered = found.metered(names, concurrent_rooms(named_stays(suspected, names), span.start))
        return replace(metered, leaves=found.all("leaves").sort("app_id", "room_key")) if asked else metered

    return _with_tasks(_without_collisions(compute), tasks, span)


def meter_rooms(events: pl.LazyFrame, carried: pl.DataFrame, span: Span) -> tuple[Metered, pl.DataFrame]:
    """As `meter`, for some of the rooms of a span: without the findings across rooms, which follow from the stays of
    all rooms together (`STAY_SCHEMA`, `findings.concurrent_rooms`)."""
    events, carried, tasks = _apart(events, carried, span)

    def compute(hashing: Hashing) -> tuple[Metered, pl.DataFrame]:
        found = _metered_rooms(events, carried, span, hashing)
        stays = found.all("stays")
        names = found.names(stays["row_number"])
        return found.metered(names), named_stays(stays, names)

    metered, stays = _without_collisions(compute)
    return _with_tasks(metered, tasks, span), stays


def meter_by_user(events: pl.LazyFrame, carried: pl.DataFrame, span: Span) -> pl.DataFrame:
    """The seconds of the span per app, room, user, item and reason (`USER_USAGE_SCHEMA`): they sum to those of
    `meter`. Those of a task are under its id."""
    return _by_names(USER_COLUMNS, events, carried, span).sort(list(USER_USAGE_SCHEMA)[:-1])


def meter_by_room(events: pl.LazyFrame, carried: pl.DataFrame, span: Span) -> pl.DataFrame:
    """The same per app, room, item and reason, in no order."""
    by_name = _by_names(("app_id", "room_id"), events, carried, span)
    return by_name.group_by(by_name.columns[:-1]).agg(pl.col("seconds").sum())


def _by_names(columns: Sequence[str], events: pl.LazyFrame, carried: pl.DataFrame, span: Span) -> pl.DataFrame:
    """The seconds of each user under some names (`app_id` among them): `columns, item, reason, seconds`."""
    events, carried, tasks = _apart(events, carried, span)

    def compute(hashing: Hashing) -> pl.DataFrame:
        found = _metered_rooms(events, carried, span, hashing, by_user=True)
        users = found.all("users")
        names = found.rows.read(columns, users["row_number"]).of(users["row_number"], *columns)
        places = pl.DataFrame({"app_id": sorted(span.rules)}, schema={"app_id": pl.Int64}).with_row_index("app")
        by_app = pl.concat([users, names], how="horizontal").join(places, on="app_id").drop("app_id")
        shown = (*columns, "item", "reason", "seconds")
        named = _named(_checked(by_app, found.results, span.rules), span.rules).select(*shown)
        if found.has_rounded_stays:
            named = pl.concat([named, minutes_by_names(found.rounded_stays(), span.rules, columns).select(*shown)])
        return named

    by_name = _without_collisions(compute)
    return pl.concat([by_name, task_seconds(tasks.stretches, span.rules, columns)]) if tasks else by_name


def _apart(events: pl.LazyFrame, carried: pl.DataFrame, span: Span) -> tuple[pl.LazyFrame, pl.DataFrame, Tasks | None]:
    """The events and the carried stays of users; and the tasks of the span, if it has any."""
    found, running = task_events(events, span.start, span.end), carried.filter(is_of_task())
    if found.is_empty() and running.is_empty():
        return events, carried, None
    if not set(found["app_id"]) <= span.rules.keys():
        raise KeyError("an app of the events has no tier rule")
    tasks = run_tasks(found, running, span.start, span.end, span.billed_services)
    users = events if found.is_empty() else events.filter(~is_of_task())
    return users, carried.filter(~is_of_task()), tasks


def _with_tasks(metered: Metered, tasks: Tasks | None, span: Span) -> Metered:
    if tasks is None:
        return metered
    usage = pl.concat([metered.usage, task_windows(tasks.stretches, span.rules)])
    findings = pl.concat([metered.findings, tasks.findings])
    return Metered(
        usage=usage.sort("app_id", "window_start", "item", "reason"),
        state=state_in_order(pl.concat([metered.state, tasks.state])),
        findings=findings.sort(list(FINDINGS_SCHEMA)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _MeteredRooms:
    """The results of all workers for the rooms of a span, which name rows by number."""

    results: Sequence[WorkerResult]
    rows: SpanRows
    carried: pl.DataFrame
    span: Span

    def all(self, name: str) -> pl.DataFrame:
        """One frame of all results together."""
        frames: list[pl.DataFrame] = [getattr(result, name) for result in self.results]
        return pl.concat(frames)

    def names(self, *row_numbers: pl.Series) -> Names:
        """The names in the rows of the findings and of the open stays, and in those of `row_numbers`."""
        findings, carried = self.all("findings")["row_number"], (self.all(name)["stay"] for name in _WITH_USERS)
        return self.rows.read(USER_COLUMNS, findings, *carried, *row_numbers)

    @property
    def has_rounded_stays(self) -> bool:
        """Whether stays are rounded one by one in an app."""
        return any(rule.per_stay for rule in self.span.rules.values())

    def rounded_stays(self) -> pl.DataFrame:
        """The stays whose started minutes are counted (`stays_by_minute`); connections, where they have names."""
        span = self.span
        rules = {app: rule for app, rule in span.rules.items() if rule.per_stay}
        carried = state_apart(self.carried, rules)
        found, events = self, events_apart(self.rows.events, self.carried, rules, span.start, span.end)
        if events is not None:
            own_keys = Hashing(seed=self.rows.hashing.seed)
            found = _metered_rooms(events, carried, Span(start=span.start, end=span.end, rules=rules), own_keys)
        stays = found.all("stays")
        named = named_stays(stays, found.rows.read(USER_COLUMNS, stays["row_number"]))
        return stays_by_minute(named, carried, rules, span.start)

    def metered(self, names: Names, *more_findings: pl.DataFrame) -> Metered:
        """The results with names instead of row numbers."""
        sums = window_seconds([result.sums for result in self.results], self.span.start)
        usage = _named(_checked(sums, self.results, self.span.rules), self.span.rules).select(*USAGE_SCHEMA)
        state = carried_state({name: self.all(name) for name in _CARRIED}, self.rows, names, self.span.start)
        if self.has_rounded_stays:
            stays = self.rounded_stays()
            usage = pl.concat([usage, window_minutes(stays, self.span.rules)])
            state = with_beginnings(state, stays, self.span.end)
        found = [findings(self.all("findings"), names), *more_findings]
        return Metered(
            usage=usage.sort("app_id", "window_start", "item", "reason"),
            state=state,
            findings=pl.concat(found).sort(list(FINDINGS_SCHEMA)),
        )


def _metered_rooms(
    events: pl.LazyFrame,
    carried: pl.DataFrame,
    span: Span,
    hashing: Hashing,
    *,
    ranges: int = 1,
    by_user: bool = False,
    with_leaves: bool = False,
) -> _MeteredRooms:
    rows = span_rows(events, carried, span.start, hashing)
    in_passes = (
        rows_by_room(keyed, span.start, with_leaves=with_leaves) for keyed in passes(rows, span.start, span.end, ranges)
    )
    # A thread for each processor, unless POLARS_MAX_THREADS says how many.
    with ThreadPoolExecutor(pl.thread_pool_size()) as pool:
        results = [
            result
            for of_pass in read_ahead(in_passes)
            for result in meter_parts(of_pass, rows, _arrays(span), pool, by_user=by_user)
        ]
    return _MeteredRooms(results=results, rows=rows, carried=carried, span=span)


def _without_collisions(compute: Callable[[Hashing], _Result]) -> _Result:
    seed = 0
    while True:
        try:
            return compute(Hashing(seed=seed))
        except HashCollisionError:
            seed += 1


def _arrays(span: Span) -> SpanArrays:
    """The span for compiled functions: the rules by app id."""
    rules = span.rules
    apps = sorted(rules)
    tiers = max((len(rule.tiers) for rule in rules.values()), default=1)
    tops = np.full((len(apps), tiers), _ANY_AREA, np.int64)
    for place, app_id in enumerate(apps):
        bounds = rules[app_id].bounds
        tops[place, : len(bounds)] = bounds
    return SpanArrays(
        start_ms=span.start * 1000,
        end=span.end - span.start,
        into_window=span.start % WINDOW_SECONDS,
        app_id=np.array(apps, np.int64),
        per_stream=np.array([rules[app].per_stream for app in apps], np.bool_),
        tops=tops,
    )


def _checked(seconds: pl.DataFrame, results: Sequence[WorkerResult], rules: Mapping[int, TierRule]) -> pl.DataFrame:
    """`seconds` (`app, class, seconds`) without the class that exists for this check only; crashes where a second was
    lost or counted twice."""
    per_stream = pl.Series([rules[app].per_stream for app in sorted(rules)], dtype=pl.Boolean)
    once = (pl.col("class") < FIRST_VIDEO) | ~per_stream.gather(seconds["app"])
    classified = dict(seconds.filter(once).group_by("app").agg(pl.col("seconds").sum()).iter_rows())
    for app, stay_seconds in enumerate(np.sum([result.sums.stay_seconds for result in results], axis=0)):
        if classified.get(app, 0) != stay_seconds:
            raise AssertionError(f"{classified.get(app, 0)} seconds were classified, but the stays have {stay_seconds}")
    return seconds.filter(pl.col("class") != ANY_VIDEO)


def _named(seconds: pl.DataFrame, rules: Mapping[int, TierRule]) -> pl.DataFrame:
    """The seconds with `app_id, item, reason` in place of `app, class`."""
    names = [
        (place, code, app_id, item, reason)
        for place, app_id in enumerate(sorted(rules))
        for code, (item, reason) in _classes(rules[app_id]).items()
    ]
    schema = {"app": pl.UInt32, "class": pl.UInt8, "app_id": pl.Int64, "item": pl.String, "reason": pl.String}
    return seconds.join(pl.DataFrame(names, schema=schema, orient="row"), on=["app", "class"])


def _classes(rule: TierRule) -> dict[int, tuple[str, str]]:
    """The item and reason of every class that is billed."""
    if rule.per_stay:
        return {}
    base = {code: (rule.base_item, reason) for code, reason in _AUDIO_REASONS.items()}
    video = [(item, reason) for item in rule.items for reason in _VIDEO_REASONS]
    classes = base | dict(enumerate(video, FIRST_VIDEO))
    return {code: named for code, named in classes.items() if named[1] not in rule.free_when}
