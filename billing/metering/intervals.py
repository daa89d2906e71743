"""Intervals: the seconds of one room as stretches, each with what was received and the events that began and ended it.

A stretch ends where its class (item and reason) or what is received changes. Under a per-stream policy there is one
row for each stream. Within each second only its outcome counts: what lasts less has no stretch. Example of the sample
class: anna receives a camera of 640x360 and, from 10:07:00 to 10:12:00, a share of 1920x1080: 2,304,000 pixels, `2k`,
`screen_share`, 300 s; a `video_on` begins and a `video_off` ends the stretch.

The law: clipped to windows, the stretches of all users have the seconds that `billing.metering.meter` counts.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import polars as pl

from billing.catalog.items import ALONE_IN_ROOM, AUDIO, CAMERA, DISCONNECT_GRACE, NO_VIDEO_RECEIVED, SCREEN_SHARE
from billing.events.schema import ORDERED_TYPES
from billing.metering.room_model import DAY_END, Cause, Event, Observer, Room
from billing.metering.tasks import is_of_task
from billing.metering.tiers import TierRule


class Stream(NamedTuple):
    """A stream that is received, in pixels."""

    stream: str
    width: int
    height: int

    @property
    def area(self) -> int:
        """In pixels."""
        return self.width * self.height


class SecondClass(NamedTuple):
    """What the seconds of a stretch have in common."""

    item: str
    reason: str
    area: int = 0
    streams: tuple[Stream, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A stretch `[start, end)` of one user, or of one task, in epoch seconds."""

    user_id: str
    start: int
    end: int
    second_class: SecondClass
    begins: Cause
    ends: Cause

    def seconds_in(self, start: int, end: int) -> int:
        """How many of its seconds lie in a span."""
        return max(0, min(self.end, end) - max(self.start, start))


def room_intervals(
    events: pl.DataFrame,
    carried: pl.DataFrame,
    bounds: tuple[int, int],
    rule: TierRule,
    *,
    users: Collection[str] | None = None,
) -> Iterator[Interval]:
    """The stretches of the users of one room within `bounds` (epoch seconds), in the order in which they end; those of
    its tasks are `billing.metering.task_intervals`.

    `events`: the columns of the event schema, and `ingest_id` and `line` where these are known. `carried`: the stays
    open at the start (`STATE_SCHEMA`). Only those of `users`, if these are given: in a room of 100,000 that is quicker.
    """
    start, end = bounds
    stretches = _Stretches(rule=rule, users=None if users is None else frozenset(users))
    room = stretches.room = Room(clock=start, end=end, observer=stretches)
    room.restore(carried.filter(~is_of_task()).sort("user_id").iter_rows(named=True))
    for _ in room.run(_in_order(events, start, end)):
        if stretches.ended:
            yield from stretches.take()
    stretches.end_all(Cause(DAY_END, end * 1000), end)
    yield from stretches.take()


def _in_order(events: pl.DataFrame, start: int, end: int) -> list[Event]:
    """The events of a span in the order in which they count."""
    known = [name if name in events.columns else pl.lit(None).alias(name) for name in Event._fields]
    rank = pl.col("type").cast(pl.Enum(ORDERED_TYPES))
    of_users = events.filter(~is_of_task()) if "task_id" in events.columns else events
    timely = of_users.filter(pl.col("at").is_between(start * 1000, end * 1000, closed="left"))
    return [Event._make(row) for row in timely.sort("at", "seq", rank, "event_id").select(known).iter_rows()]


@dataclass(slots=True, kw_only=True)
class _Stretches(Observer):
    """The stretches that go on, by user, with when and why they began; and those that have ended."""

    rule: TierRule
    users: frozenset[str] | None
    room: Room = field(init=False)
    ended: list[Interval] = field(default_factory=list)
    _going_on: dict[str, dict[SecondClass, tuple[int, Cause]]] = field(default_factory=dict)
    _changed: dict[str, Cause] = field(default_factory=dict)

    def changes(self, members: Collection[str], cause: Cause) -> None:
        """Looked at once the second is over. Of several causes in a second the user's own is named, if there is one."""
        for name in members if self.users is None else [name for name in self.users if name in members]:
            if cause.user_id == name or self._changed.get(name, cause).user_id != name:
                self._changed[name] = cause

    def passes(self, second: int) -> None:
        """Ends and begins the stretches of those whose class, or what they receive, has changed at `second`."""
        for name, cause in self._changed.items():
            before, now = self._going_on.get(name, {}), self._classes(name)
            for old in before.keys() - now:
                self._end(name, old, before.pop(old), second, cause)
            for new in now:
                before.setdefault(new, (second, cause))
            self._going_on[name] = before
        self._changed.clear()

    def end_all(self, cause: Cause, second: int) -> None:
        """Ends what still goes on."""
        for name, stretches in self._going_on.items():
            for second_class, began in stretches.items():
                self._end(name, second_class, began, second, cause)
        self._going_on.clear()

    def take(self) -> list[Interval]:
        """Those that have ended since the last time."""
        taken, self.ended = self.ended, []
        return taken

    def _end(self, name: str, second_class: SecondClass, began: tuple[int, Cause], end: int, ends: Cause) -> None:
        start, begins = began
        if end > start:
            self.ended.append(
                Interval(user_id=name, start=start, end=end, second_class=second_class, begins=begins, ends=ends)
            )

    def _classes(self, name: str) -> list[SecondClass]:
        """The classes that a second of this user has now; none without a stay."""
        member = self.room.members[name]
        if name not in self.room.present:
            return []
        if member.is_waiting:
            return [SecondClass(AUDIO, DISCONNECT_GRACE)]
        if len(self.room.present) == 1:
            return [SecondClass(AUDIO, ALONE_IN_ROOM)]
        streams = tuple(Stream(stream, *size) for stream, size in sorted(self.room.receives(member).items()))
        if not streams:
            return [SecondClass(AUDIO, NO_VIDEO_RECEIVED)]
        parts = [(stream,) for stream in streams] if self.rule.per_stream else [streams]
        return [self._video_class(part) for part in parts]

    def _video_class(self, streams: tuple[Stream, ...]) -> SecondClass:
        area = sum(stream.area for stream in streams)
        has_screen = any(stream.stream.endswith("/screen") for stream in streams)
        return SecondClass(self.rule.item_of(area), SCREEN_SHARE if has_screen else CAMERA, area, streams)
