"""Rooms in intervals: one room of one day, event by event, as stretches in which a user is billed alike.

An interval `[start, end)` in epoch seconds has one item and one reason; where streams are billed one by one there may
be several of one user at a time. Example: of a user who is alone from 10:00:00 to 10:07:00, one interval of 420 s of
audio, `alone_in_room`. A user is looked at again only when something happens that may change what it is billed as, and
everything that happens within a second counts from that second on.
"""

from collections.abc import Iterable, Iterator
from heapq import heappop, heappush
from typing import Any, NamedTuple

from billing.verify.policy_rules import MeterRule
from billing.verify.room_people import DAY, NEVER, Person, Publication, Row, carried_row, restored

WAIT = 90
ORDER = ("exit", "disconnect", "dismiss", "enter", "reconnect", "unpublish", "publish", "video_off", "video_on")
RANK = {kind: place for place, kind in enumerate(ORDER)}


class Interval(NamedTuple):
    """A stretch of one user."""

    user_id: str
    start: int
    end: int
    item: str
    reason: str


class Stay(NamedTuple):
    """A stay within a day; `is_carried`: it began before."""

    user_id: str
    start: int
    end: int
    is_carried: bool


class Room:
    """A room while its events are applied: `found` are the intervals that have ended, and `ended` the stays."""

    def __init__(self, rule: MeterRule, carried: Iterable[Row], start: int) -> None:
        self.rule, self.clock = rule, start
        self.people: dict[str, Person] = {}
        self.publications: dict[str, Publication] = {}
        self.ended: list[Stay] = []
        self.stays = 0
        self.queue: list[tuple[int, str]] = []
        self.touched: set[str] = set()
        self.found: list[Interval] = []
        self.unpublished: dict[tuple[int, int, str, str], list[str | None]] = {}
        for row in carried:
            self._restore(row)
        self._look_again()

    # Time

    def pass_to(self, second: int) -> None:
        """Everything up to a second, and what ends with it."""
        while self.queue and self.queue[0][0] <= second:
            at, name = heappop(self.queue)
            person = self.people[name]
            ends = person.ends()
            if ends > at:
                if ends < NEVER:
                    heappush(self.queue, (ends, name))
                continue
            self._step(ends)
            self._end_stay(name)
        self._step(second)

    def _step(self, second: int) -> None:
        """What happened at the clock's second counts from there; then the clock goes on."""
        if second > self.clock:
            self._count()
            self.clock = second

    def _count(self) -> None:
        for name in self.touched:
            person = self.people[name]
            classes = self._classes(name, person)
            if classes != person.classes:
                self._close_interval(name, person)
                person.classes = classes
        self.touched.clear()

    def _close_interval(self, name: str, person: Person) -> None:
        if self.clock > person.since:
            self.found += [Interval(name, person.since, self.clock, *each) for each in person.classes]
        person.since = self.clock

    def finish(self, end: int) -> None:
        """Ends the day: what is open is counted up to here."""
        self.pass_to(end)
        self._count()
        for name, person in self.people.items():
            self._close_interval(name, person)
            if person.connections:
                self.ended.append(Stay(name, person.entered, end, person.is_carried))

    def _look_again(self) -> None:
        self.touched.update(self.people)

    # What a second is

    def _classes(self, name: str, person: Person) -> tuple[tuple[str, str], ...]:
        """The items and reasons of a second; none where it is free, or where stays are counted."""
        if not person.connections or self.rule.per_stay:
            return ()
        classes = self._received_classes(name, person)
        free = self.rule.free_when
        return tuple(each for each in classes if each[1] not in free) if free else classes

    def _received_classes(self, name: str, person: Person) -> tuple[tuple[str, str], ...]:
        rule = self.rule
        if person.wait_ends() is not None:
            return ((rule.base, "disconnect_grace"),)
        if self.stays == 1:
            return ((rule.base, "alone_in_room"),)
        areas = self._received(name, person)
        if not areas:
            return ((rule.base, "no_video_received"),)
        if rule.per_stream:
            return tuple(sorted((rule.item(area), _reason([stream])) for stream, area in areas.items()))
        return ((rule.item(sum(areas.values())), _reason(areas)),)

    def _received(self, name: str, person: Person) -> dict[str, int]:
        """The areas of the streams that a connected user receives."""
        areas = {stream: area for (stream, _), area in person.received.items()}
        if person.receives_all():
            for stream, (publisher, _, width, height) in self.publications.items():
                if stream in areas or (publisher != name and stream not in person.excepted):
                    areas[stream] = width * height
        return areas

    # Events

    def apply(self, event: Row) -> None:
        """One event, at its second."""
        second, kind = event["at"] // 1000, event["type"]
        self.pass_to(second)
        if kind == "dismiss":
            for name in [name for name, person in self.people.items() if person.connections]:
                self._end_stay(name)
            return
        name, connection = event["user_id"], event.get("connection")
        person = self.people.get(name)
        if person is None:
            person = self.people[name] = Person()
            person.since = self.clock
        person.forget(second)
        person.last_event = second
        self.touched.add(name)
        if connection in person.closed:
            return
        if kind in ("enter", "reconnect"):
            self._enter(name, person, connection, event)
        elif kind == "exit":
            self._exit(name, person, connection, second)
        elif kind == "publish" and connection is not None and connection not in person.connections:
            self._open(name, person, connection, is_all=False)
            self._publish(name, connection, event)
        elif person.connections.get(connection, [0, 0])[1] is None or (connection is None and person.connected()):
            self._inside(name, person, connection, event)

    def _inside(self, name: str, person: Person, connection: str | None, event: Row) -> None:
        """What means something only for a connected user."""
        kind, stream = event["type"], event.get("stream")
        if kind == "disconnect":
            for each in person.connected() if connection is None else [connection]:
                person.connections[each][1] = event["at"] // 1000 + WAIT
                self._cut(name, person, each)
            heappush(self.queue, (person.ends(), name))
        elif kind == "publish":
            self._publish(name, connection, event)
        elif kind == "unpublish":
            self._unpublish(str(stream), name, connection)
        elif kind == "video_on":
            key = (str(stream), connection)
            person.excepted.discard(str(stream))
            person.received.pop(key, None)
            person.received[key] = event["width"] * event["height"]
            person.sizes[key] = (event["width"], event["height"])
        else:
            for key in [key for key in person.received if key[0] == stream and connection in (None, key[1])]:
                del person.received[key]
            if person.receives_all() and stream in self.publications:
                person.excepted.add(str(stream))

    def _enter(self, name: str, person: Person, connection: str | None, event: Row) -> None:
        is_all, known = event.get("receives") == "all", person.connections.get(connection)
        if known is None:
            self._open(name, person, connection, is_all=is_all)
            return
        if known[1] is None:
            _clear(person, connection)
        if event["type"] == "reconnect":
            is_all = is_all or known[0]
        person.connections[connection] = [is_all, None]
        heappush(self.queue, (person.ends(), name))

    def _open(self, name: str, person: Person, connection: str | None, *, is_all: bool) -> None:
        is_new = not person.connections
        person.connections[connection] = [is_all, None]
        heappush(self.queue, (person.ends(), name))
        if is_new:
            person.entered, person.is_carried = self.clock, False
            self._stays(self.stays + 1)

    def _stays(self, stays: int) -> None:
        if (self.stays == 1) != (stays == 1):
            self._look_again()
        self.stays = stays

    def _exit(self, name: str, person: Person, connection: str | None, second: int) -> None:
        leaving = list(person.connections) if connection is None else [connection]
        for each in leaving:
            if each is not None:
                person.closed[each] = second + DAY
        if person.connections and not set(person.connections) - set(leaving):
            self._end_stay(name)
            return
        for each in leaving:
            if person.connections.pop(each, None):
                self._cut(name, person, each)
        if person.connections:
            heappush(self.queue, (person.ends(), name))

    def _end_stay(self, name: str) -> None:
        person = self.people[name]
        self.ended.append(Stay(name, person.entered, self.clock, person.is_carried))
        for stream in [stream for stream, each in self.publications.items() if each.user_id == name]:
            self._end_publication(stream)
        person.connections, person.received, person.sizes, person.excepted = {}, {}, {}, set()
        self.touched.add(name)
        self._stays(self.stays - 1)

    def _cut(self, name: str, person: Person, connection: str | None) -> None:
        """A connection is not connected any more; with the last one goes what has no connection."""
        for each in {connection} if person.connected() else {connection, None}:
            _clear(person, each)
            for stream in [stream for stream, of in self.publications.items() if of[:2] == (name, each)]:
                self._end_publication(stream)

    def _publish(self, name: str, connection: str | None, event: Row) -> None:
        stream = event["stream"]
        self.publications[stream] = Publication(name, connection, event["width"], event["height"])
        self._look_again()
        for over in self.unpublished.get((event["at"], event["seq"], name, stream), ()):
            self._unpublish(stream, name, over)

    def _unpublish(self, stream: str, name: str, connection: str | None) -> None:
        known = self.publications.get(stream)
        if known and known.user_id == name and connection in (None, known.connection):
            self._end_publication(stream)

    def _end_publication(self, stream: str) -> None:
        del self.publications[stream]
        self._look_again()
        for person in self.people.values():
            person.excepted.discard(stream)
            if person.receives_all():
                person.received = {key: area for key, area in person.received.items() if key[0] != stream}

    # State

    def _restore(self, row: Row) -> None:
        name, person = row["user_id"], restored(row)
        self.people[name] = person
        person.since = person.entered = self.clock
        if not person.connections:
            return
        person.is_carried = True
        for each in row["published"]:
            self.publications[each["stream"]] = Publication(name, each["connection"], each["width"], each["height"])
        self.stays += 1
        heappush(self.queue, (person.ends(), name))

    def state(self, end: int) -> Iterator[dict[str, Any]]:
        """What is carried on, as it was restored, by user."""
        for name in sorted(self.people, key=str.encode):
            person = self.people[name]
            person.forget(end)
            if person.connections or person.closed:
                yield carried_row(name, person, self.publications)


def run_room(events: Iterable[Row], carried: Iterable[Row], start: int, end: int, rule: MeterRule) -> Room:
    """A room after a day from `start` to `end` (epoch seconds).

    `events` are those of the room in this time, in any order; `carried` the rows of the state before.
    """
    ordered = sorted(events, key=lambda each: (each["at"], each["seq"], RANK[each["type"]], each["event_id"]))
    room = Room(rule, carried, start)
    for event in ordered:
        if event["type"] == "unpublish":
            key = (event["at"], event["seq"], event["user_id"], event["stream"])
            room.unpublished.setdefault(key, []).append(event.get("connection"))
    for event in ordered:
        room.apply(event)
    room.finish(end)
    return room


def _reason(streams: Iterable[str]) -> str:
    return "screen_share" if any(stream.endswith("/screen") for stream in streams) else "camera"


def _clear(person: Person, connection: str | None) -> None:
    person.received = {key: area for key, area in person.received.items() if key[1] != connection}
