"""Tasks: what a server does for a room, such as recording it, from its start to its stop.

A task is known by (app, room, service, task_id), beside the users of its room: it is none of them, and no event of a
user touches it. Like a stay it goes on from event to event:

| event | not running | running |
|---|---|---|
| `task_start` | it begins | it goes on, its inputs are cleared (`reentered`) |
| `task_stop` | `outside_stay` | it ends |
| `video_on`, `video_off` | `outside_stay` | its inputs change |

A task without any event for 86,400 s ends there (`stale_stay`), so a server that records for days sends something of it
once a day. A `dismiss` does not end it: a recorder may outlast its room. At one instant a stop wins over a start. An
event without a service is about each task of its id that runs in the room.

A stretch is a time `[start, end)` in which a task has the same inputs. Example: a recording starts at 10:00:00,
receives a camera of 640x360 from 10:00:05 on, and stops at 10:01:00: a stretch of 5 s without and one of 55 s with
230,400 pixels.
"""

from collections.abc import Collection
from dataclasses import dataclass

import polars as pl

from billing.events.schema import EVENT_SCHEMA, ORDERED_TYPES, TASK_START, TASK_STOP
from billing.metering.schemas import FINDINGS_SCHEMA, STATE_SCHEMA
from billing.periods import STALE_SECONDS

TASK = ["app_id", "room_id", "service", "task_id"]
TASK_EVENTS = [*TASK, "event_id", "at", "seq", "type", "stream", "width", "height"]

_DETAILS = {
    "outside_stay": "was not running: the event was ignored",
    "reentered": "was already running: it went on, its inputs were cleared",
    "stale_stay": "had no event for 24 hours: it ended here",
    "unbilled_service": "is no service of the policy: the task is not billed",
}
_CARRIED_TASK, _CARRIED_INPUT, _EVENT = range(3)
_NO_STREAMS = pl.lit([], STATE_SCHEMA["streams"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Tasks:
    """What became of the tasks of a span.

    `stretches`: `TASK`, `start, end` (epoch seconds), `inputs` (how many streams), `area` (of all together) and
    `screens` (how many are shares). `state`: the tasks that go on (`STATE_SCHEMA`). `findings`: `FINDINGS_SCHEMA`.
    """

    stretches: pl.DataFrame
    state: pl.DataFrame
    findings: pl.DataFrame


def is_of_task() -> pl.Expr:
    """Whether a row of events or of state is of a task."""
    return pl.col("task_id").is_not_null()


def task_events(events: pl.LazyFrame, start: int, end: int) -> pl.DataFrame:
    """The events of tasks in the span `[start, end)` (epoch seconds), in `TASK_EVENTS`."""
    if "task_id" not in events.collect_schema():
        return pl.DataFrame(schema={name: EVENT_SCHEMA[name] for name in TASK_EVENTS})
    timely = pl.col("at").is_between(start * 1000, end * 1000 - 1)
    return events.filter(is_of_task(), timely).select(TASK_EVENTS).collect()


def run_tasks(
    events: pl.DataFrame, carried: pl.DataFrame, start: int, end: int, billed: Collection[tuple[int, str]]
) -> Tasks:
    """The tasks of a span `[start, end)`, from their events (`TASK_EVENTS`) and those that were running at its start
    (`STATE_SCHEMA`). `billed`: the services that are billed, by app."""
    rows = task_rows(events, carried, start, end)
    return Tasks(
        stretches=rows.filter(is_stretch()).select(*TASK, "inputs", "area", "screens", start="second", end="until"),
        state=_state(rows),
        findings=_findings(rows, billed),
    )


def task_rows(events: pl.DataFrame, carried: pl.DataFrame, start: int, end: int) -> pl.DataFrame:
    """The events of the tasks in their order, and before those of a task the rows that restore it, each with what the
    task is from then on.

    `second`: when the row takes effect; `until`: when the next one does, or the task is silent for a day, or the span
    ends; `ran` and `runs`: whether the task was running before and is after; `inputs`, `area`, `screens`: what it
    receives; `is_input`: whether the row changed that. `number`: of the event, null for a restored row.
    """
    return _with_inputs(_with_runs(_in_order(events, carried, start), end))


def is_stretch() -> pl.Expr:
    """Whether a stretch begins with a row of `task_rows`."""
    return pl.col("runs") & (pl.col("until") > pl.col("second"))


def _in_order(events: pl.DataFrame, carried: pl.DataFrame, start: int) -> pl.DataFrame:
    """The events task by task in their order, behind rows that restore the carried tasks. `touched`: when the task was
    last heard of."""
    second = pl.col("at") // 1000
    numbered = events.with_row_index("number").with_columns(second=second, touched=second, order=pl.lit(_EVENT))
    restored = carried.select(
        *TASK, "streams", second=pl.lit(start, pl.Int64), touched="last_event", at=pl.lit(start * 1000, pl.Int64)
    )
    tasks = restored.drop("streams").with_columns(type=pl.lit(TASK_START), order=pl.lit(_CARRIED_TASK))
    inputs = restored.explode("streams", keep_nulls=False, empty_as_null=False).unnest("streams").drop("connection")
    inputs = inputs.with_columns(type=pl.lit("video_on"), order=pl.lit(_CARRIED_INPUT))
    rows = pl.concat([tasks, inputs, _of_services(numbered, carried)], how="diagonal_relaxed")
    rank = pl.col("type").cast(pl.Enum(ORDERED_TYPES))
    return rows.sort(*TASK, "order", "at", "seq", rank, "event_id").with_columns(task=_changes(TASK).cum_sum())


def _of_services(events: pl.DataFrame, carried: pl.DataFrame) -> pl.DataFrame:
    """The events with their services: one that names none is there for each service that has a task of its id."""
    unnamed = events.filter(pl.col("service").is_null())
    if unnamed.is_empty():
        return events
    ids = [name for name in TASK if name != "service"]
    started = events.filter(pl.col("type") == TASK_START)
    known = pl.concat([started.select(TASK), carried.select(TASK)]).unique()
    of_each = unnamed.drop("service").join(known, on=ids, how="left").select(events.columns)
    return pl.concat([events.filter(pl.col("service").is_not_null()), of_each])


def _changes(columns: list[str]) -> pl.Expr:
    """Whether a row differs from the one before in any of these columns."""
    return pl.any_horizontal(pl.col(name).ne_missing(pl.col(name).shift()) for name in columns)


def _with_runs(rows: pl.DataFrame, end: int) -> pl.DataFrame:
    """Rows with `ran, runs, until`; `is_last_heard`: nothing is heard of the task for a day after; `part`: of a task,
    from one start to the next. Tasks stand one after the other, so neighbours tell everything."""
    is_first = pl.col("task") != pl.col("task").shift(fill_value=0)
    is_last = pl.col("task") != pl.col("task").shift(-1, fill_value=0)
    silent = pl.col("touched") + STALE_SECONDS
    next_touched, next_second = (
        pl.when(is_last).then(end).otherwise(pl.col(name).shift(-1)) for name in ("touched", "second")
    )
    rows = rows.with_columns(is_last_heard=silent <= next_touched)
    was_silent = pl.col("is_last_heard").shift(fill_value=False) & ~is_first
    starts, stops = pl.col("type") == TASK_START, pl.col("type") == TASK_STOP
    said = pl.when(starts).then(pl.lit(value=True)).when(stops | was_silent | is_first).then(pl.lit(value=False))
    rows = rows.with_columns(runs=said.forward_fill())
    return rows.with_columns(
        ran=pl.col("runs").shift(fill_value=False) & ~was_silent & ~is_first,
        until=pl.when("is_last_heard").then(silent).otherwise(next_second),
        part=starts.cum_sum(),
    )


def _with_inputs(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows with `is_input, inputs, area, screens`. Inputs begin anew with each start."""
    is_input = pl.col("type").is_in(["video_on", "video_off"]) & pl.col("ran")
    comes = is_input & (pl.col("type") == "video_on")
    area = pl.when(comes).then(pl.col("width").cast(pl.Int64) * pl.col("height")).otherwise(0)
    rows = rows.with_columns(is_input=is_input, area=area)
    rows = rows.with_columns(before=pl.col("area").shift().over("part", "stream", "is_input").fill_null(0))
    # A picture has at least one pixel.
    inputs = (pl.col("area") > 0).cast(pl.Int64) - (pl.col("before") > 0)
    changes = {
        "inputs": inputs,
        "screens": pl.when(pl.col("stream").str.ends_with("/screen")).then(inputs),
        "area": pl.col("area") - pl.col("before"),
    }
    sums = {name: pl.when("is_input").then(change).fill_null(0).cum_sum() for name, change in changes.items()}
    rows = rows.with_columns(**sums)
    at_start = pl.when(pl.col("type") == TASK_START)
    return rows.with_columns(pl.col(name) - at_start.then(name).forward_fill() for name in sums)


def _state(rows: pl.DataFrame) -> pl.DataFrame:
    """The tasks that go on after the span."""
    last = rows.filter(pl.col("task") != pl.col("task").shift(-1, fill_value=0))
    going_on = last.filter("runs", ~pl.col("is_last_heard")).select(*TASK, "task", "part", last_event="touched")
    inputs = rows.filter("is_input").join(going_on.select("task", "part"), on=["task", "part"], how="semi")
    received = inputs.group_by("task", "stream", maintain_order=True).last().filter(pl.col("type") == "video_on")
    received = received.with_columns(connection=pl.lit(None, pl.String)).sort("task", "stream")
    streams = received.group_by("task", maintain_order=True).agg(
        streams=pl.struct("stream", "width", "height", "connection")
    )
    state = going_on.join(streams.cast({"streams": STATE_SCHEMA["streams"]}), on="task", how="left")
    absent = (
        pl.lit([] if isinstance(dtype, pl.List) else None, dtype).alias(name)
        for name, dtype in STATE_SCHEMA.items()
        if name not in state.columns
    )
    return state.with_columns(pl.col("streams").fill_null(_NO_STREAMS), *absent).select(*STATE_SCHEMA).sort(TASK)


def _findings(rows: pl.DataFrame, billed: Collection[tuple[int, str]]) -> pl.DataFrame:
    starts, ran = pl.col("type") == TASK_START, pl.col("ran")
    events = rows.filter(pl.col("order") == _EVENT)
    known = pl.DataFrame(list(billed), schema={"app_id": pl.Int64, "service": pl.String}, orient="row")
    begun = events.filter(starts, ~ran)
    # Of an event that names no service, there is one row for each that it may be about.
    ignored = events.filter(~starts, (~ran).all().over("number")).unique("number")
    ignored = ignored.with_columns(service=pl.lit(None, pl.String))
    silent_at = (pl.col("touched") + STALE_SECONDS) * 1000
    found = {
        "outside_stay": ignored,
        "reentered": events.filter(starts, ran),
        "stale_stay": rows.filter("runs", "is_last_heard").with_columns(at=silent_at),
        "unbilled_service": begun.join(known, on=["app_id", "service"], how="anti"),
    }
    return pl.concat([_named(each, finding) for finding, each in found.items()])


def _named(rows: pl.DataFrame, finding: str) -> pl.DataFrame:
    """Rows as findings, with the task in the place of the user; the detail begins with its service."""
    whose = pl.concat_str(pl.col("service").fill_null("task"), pl.lit(f" {_DETAILS[finding]}"))
    return rows.with_columns(user_id="task_id", finding=pl.lit(finding), detail=whose).select(*FINDINGS_SCHEMA)
