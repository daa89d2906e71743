"""Task intervals: the billed seconds of the tasks in one room as stretches, each with its inputs and the events that
began and ended it. A task stands in the place of a user; the rows are those that `billing.metering.tasks` counts.

Example: a recording receives a camera of 1280x720 from 10:00 to 10:20: `recording:hd`, `camera`, 1,200 s, begun by its
`video_on`.
"""

from collections.abc import Collection, Iterator, Mapping
from itertools import chain, pairwise
from typing import Any

import polars as pl

from billing.metering.intervals import Interval, SecondClass, Stream
from billing.metering.room_model import DAY_END, DAY_START, EVENT, SILENT, Cause, Event
from billing.metering.task_seconds import classified
from billing.metering.tasks import is_of_task, is_stretch, task_rows
from billing.metering.tiers import TierRule
from billing.periods import STALE_SECONDS

_Row = Mapping[str, Any]


def task_intervals(
    events: pl.DataFrame,
    carried: pl.DataFrame,
    bounds: tuple[int, int],
    rule: TierRule,
    *,
    tasks: Collection[str] | None = None,
) -> Iterator[Interval]:
    """The billed stretches of the tasks of one room within `bounds` (epoch seconds), task by task.

    `events` and `carried`: as of `room_intervals`. Only those of `tasks`, if these ids are given.
    """
    start, end = bounds
    wanted = is_of_task() if tasks is None else pl.col("task_id").is_in(list(tasks))
    timely = pl.col("at").is_between(start * 1000, end * 1000, closed="left")
    rows = task_rows(events.filter(wanted, timely), carried.filter(wanted), start, end)
    rows = classified(rows.with_columns(is_stretch=is_stretch()), dict.fromkeys(rows["app_id"].unique(), rule))
    streams: dict[str, Stream] = {}
    for row, after in pairwise(chain(rows.iter_rows(named=True), [None])):
        assert row is not None  # noqa: S101 - only the last one is
        _receive(streams, row)
        if row["is_stretch"] and row["item"] is not None:
            received = tuple(stream for _, stream in sorted(streams.items()))
            yield Interval(
                user_id=row["task_id"],
                start=row["second"],
                end=row["until"],
                second_class=SecondClass(row["item"], row["reason"], row["area"], received),
                begins=_cause(row),
                ends=_end(row, after, end),
            )


def _receive(streams: dict[str, Stream], row: _Row) -> None:
    """What is received after a row. The rows of a task that runs begin with a start."""
    if row["type"] == "task_start":
        streams.clear()
    elif row["is_input"]:
        streams.pop(row["stream"], None)
        if row["type"] == "video_on":
            streams[row["stream"]] = Stream(row["stream"], row["width"], row["height"])


def _end(row: _Row, after: _Row | None, end: int) -> Cause:
    """Why the stretch that a row begins ends."""
    if row["is_last_heard"]:
        last = _cause(row).event
        return Cause(SILENT, (row["until"] - STALE_SECONDS) * 1000 if last is None else last.at, None, last)
    if after is None or after["task"] != row["task"]:
        return Cause(DAY_END, end * 1000)
    return _cause(after)


def _cause(row: _Row) -> Cause:
    """A row as the cause of what follows."""
    if row["number"] is None:
        return Cause(DAY_START, row["at"])
    event = Event._make(row.get(name) for name in Event._fields)
    return Cause(EVENT, event.at, event.user_id, event)
