"""Planned rooms: rooms that nobody has entered yet, and the seconds that a month of them will have.

One representative room of each kind becomes events, and the meter meters them.

- Every room of a day begins at 00:00 and lasts 1 to 1,440 minutes; a day has 24 hours. A kind of rooms happens on the
  first of the month's days, as many as it says: calls on 20 days and a live room on 4 are both there on the first 4.
- Everybody is there from beginning to end and receives every stream but his own. The first users publish one camera
  each, the first of all also the screen share; a screen share is received by all others and costs its sender nothing.
- Users who publish nothing are alike, and each adds the same seconds (one who is alone in the room receives nothing,
  and that is audio either way). So the room is metered without them and with one, whether they are two or 100,000.
- All rooms are in one app, whatever their kind.

Two calls a day of 3 users and 30 minutes without video, and one of 2 users and 10 minutes: 200 minutes of audio a day.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from billing.catalog.feeds import Size
from billing.catalog.items import WindowUsage
from billing.catalog.policies import PolicyVersion
from billing.errors import UsageError
from billing.events.schema import EVENT_SCHEMA
from billing.limits import LONGEST_SIDE
from billing.metering.meter import Span, meter
from billing.metering.schemas import STATE_SCHEMA
from billing.metering.tiers import tier_rule
from billing.periods import DAY_SECONDS

LONGEST_MINUTES = DAY_SECONDS // 60
MOST_DAYS = 31
USUAL_DAYS = 30
MOST = 10**9  # users, or rooms a day: far above any real number

_APP = 1

# The seconds of a day, by window and item.
_Seconds = Mapping[tuple[int, str], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """Who is in a room: each of `cameras` belongs to one of the `users`, the `screen` to the first of them."""

    users: int
    cameras: tuple[Size, ...] = ()
    screen: Size | None = None

    def __post_init__(self) -> None:
        check_number("users", self.users, 1)
        for width, height in (*self.cameras, *([self.screen] if self.screen else [])):
            if not (1 <= width <= LONGEST_SIDE and 1 <= height <= LONGEST_SIDE):
                raise UsageError(f"{width}x{height} is not a picture size: each side has 1 to {LONGEST_SIDE} pixels")
        _check_cameras(len(self.cameras), self.users, "users")

    @property
    def publishers(self) -> int:
        """How many of the users send a picture."""
        return max(len(self.cameras), 1 if self.screen else 0)

    @property
    def viewers(self) -> int:
        """How many of the users only receive."""
        return self.users - self.publishers


def live_room(*, anchors: int, audience: int, cameras: tuple[Size, ...] = (), screen: Size | None = None) -> Room:
    """A live room: only anchors publish, and each receives all the others. (A call is a plain `Room`.)"""
    check_number("anchors", anchors, 1)
    check_number("audience", audience, 0)
    _check_cameras(len(cameras), anchors, "anchors")
    return Room(users=anchors + audience, cameras=cameras, screen=screen)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRooms:
    """Rooms that are alike: `rooms_per_day` of `minutes` minutes on each of the first `days` days of a month."""

    room: Room
    rooms_per_day: int
    minutes: int
    days: int = USUAL_DAYS

    def __post_init__(self) -> None:
        check_number("rooms a day", self.rooms_per_day, 1)
        check_number("minutes", self.minutes, 1, LONGEST_MINUTES)
        check_number("days", self.days, 1, MOST_DAYS)


def usage_by_day(planned: Sequence[PlannedRooms], version: PolicyVersion) -> list[list[WindowUsage]]:
    """The seconds of each day, by window and item, as long as there are rooms. Their order changes nothing."""
    seconds = _seconds_of_a_day(planned, version)
    by_day: list[list[WindowUsage]] = []
    for days in sorted({each.days for each in planned}):
        usage = _summed(of_kind for each, of_kind in zip(planned, seconds, strict=True) if each.days >= days)
        by_day += [usage] * (days - len(by_day))
    return by_day


def _summed(kinds: Iterable[_Seconds]) -> list[WindowUsage]:
    seconds: Counter[tuple[int, str]] = Counter()
    for of_kind in kinds:
        seconds.update(of_kind)
    return [WindowUsage(start, _APP, item, total) for (start, item), total in sorted(seconds.items()) if total]


def _seconds_of_a_day(planned: Sequence[PlannedRooms], version: PolicyVersion) -> list[_Seconds]:
    """The seconds of each kind of rooms on a day. While it is metered, it is an app without viewers (an even number)
    and one with a viewer (the odd number after it)."""
    events = [row for number, rooms in enumerate(planned, 1) for row in _events_of(rooms, 2 * number)]
    rule = tier_rule(version)
    metered = meter(
        pl.LazyFrame(events, schema=EVENT_SCHEMA),
        pl.DataFrame(schema=STATE_SCHEMA),
        Span(start=0, end=DAY_SECONDS, rules=dict.fromkeys(range(2, 2 * len(planned) + 2), rule)),
    )
    seconds: list[Counter[tuple[int, str]]] = [Counter() for _ in planned]
    for app_id, window_start, item, _, of_one_room in metered.usage.iter_rows():
        number, with_a_viewer = divmod(app_id, 2)
        rooms = planned[number - 1]
        # without viewers + viewers x (with a viewer - without viewers)
        weight = rooms.room.viewers if with_a_viewer else 1 - rooms.room.viewers
        seconds[number - 1][window_start, item] += rooms.rooms_per_day * weight * of_one_room
    return list(seconds)


def _events_of(rooms: PlannedRooms, app_id: int) -> Iterator[dict[str, object]]:
    yield from _events(rooms.room, 0, rooms.minutes, app_id)
    yield from _events(rooms.room, 1, rooms.minutes, app_id + 1)


def _events(room: Room, viewers: int, minutes: int, app_id: int) -> Iterator[dict[str, object]]:
    """A room with everybody who publishes and so many viewers, from second 0 on."""
    streams = [(user, "camera", size) for user, size in enumerate(room.cameras)]
    if room.screen:
        streams.append((0, "screen", room.screen))
    for user in range(room.publishers + viewers):
        who = {"app_id": app_id, "room_id": "room", "user_id": str(user), "seq": 0}
        yield {**who, "at": 0, "type": "enter"}
        for publisher, kind, (width, height) in streams:
            if publisher != user:
                stream = f"{publisher}/{kind}"
                yield {**who, "at": 0, "type": "video_on", "stream": stream, "width": width, "height": height}
        yield {**who, "at": minutes * 60_000, "type": "exit"}


def check_number(name: str, number: int, least: int, most: int = MOST) -> None:
    """A `UsageError` when a number is out of its bounds, both included."""
    if not least <= number <= most:
        raise UsageError(f"{name}: {number} is not from {least} to {most}")


def _check_cameras(cameras: int, people: int, noun: str) -> None:
    if cameras > people:
        raise UsageError(f"{cameras} cameras, but {noun}: {people}; each camera belongs to one of them")
