"""Room model: who is in one room and what each receives, event after event, in plain Python.

`billing.metering.engine` counts the seconds of millions of rooms and keeps no history. This model goes through one room
and tells an observer when somebody's seconds may become others, and by which event: explanations rest on it
(`billing.metering.intervals`). The rules are those of the engine; a test compares the two on generated rooms.

Example: anna and ben are in the room, ben leaves: anna's seconds may change, by ben's `exit`.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Any, NamedTuple

from billing.periods import STALE_SECONDS, WAIT_SECONDS

Size = tuple[int, int]

EVENT, GRACE_OVER, SILENT, DAY_START, DAY_END = "event", "grace_over", "silent_24h", "day_start", "day_end"


class Event(NamedTuple):
    """An event of the room, and where it stands: the ingest and the line of its file (null: not known)."""

    event_id: str | None
    user_id: str | None
    at: int  # epoch ms
    seq: int
    type: str
    stream: str | None
    width: int | None
    height: int | None
    connection: str | None
    receives: str | None
    ingest_id: int | None = None
    line: int | None = None

    @property
    def second(self) -> int:
        """The epoch second from which it counts."""
        return self.at // 1000

    @property
    def size(self) -> Size:
        """Of the picture."""
        return self.width or 0, self.height or 0


class Cause(NamedTuple):
    """Why something begins or ends: by an event, or by time that has passed since an event (`grace_over`,
    `silent_24h`), which is None if it came on an earlier day. `at_ms`: when the event was, or the day's bound."""

    cause: str
    at_ms: int
    user_id: str | None = None
    event: Event | None = None


@dataclass(slots=True, kw_only=True)
class Connection:
    """An open one: connected, or waiting until `wait_ends`, since the event `cut_by`."""

    receives_all: bool = False
    wait_ends: int | None = None
    cut_by: Event | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """A stream that is sent, by whom and over which connection."""

    user: str
    connection: str | None
    size: Size


@dataclass(slots=True, kw_only=True)
class Member:
    """A user of the room. Without an open connection there is no stay. `received` is what the user's own `video_on`
    say, by stream and connection, the last one last; `closed`: until when a connection that was closed is remembered.
    """

    name: str
    last_second: int = 0
    last_event: Event | None = None
    connections: dict[str | None, Connection] = field(default_factory=dict)
    received: dict[tuple[str, str | None], Size] = field(default_factory=dict)
    excepted: set[str] = field(default_factory=set)
    closed: dict[str | None, int] = field(default_factory=dict)

    @property
    def connected(self) -> list[str | None]:
        """The connections that do not wait."""
        return [name for name, connection in self.connections.items() if connection.wait_ends is None]

    @property
    def receives_all(self) -> bool:
        """Whether the user is subscribed to everything now."""
        return any(each.receives_all and each.wait_ends is None for each in self.connections.values())

    @property
    def is_waiting(self) -> bool:
        """Whether the user has a stay and none of its connections is connected."""
        return bool(self.connections) and all(each.wait_ends is not None for each in self.connections.values())

    def ends_at(self) -> int:
        """When the stay ends by itself, as far as is known now."""
        if self.is_waiting:
            return max(each.wait_ends or 0 for each in self.connections.values())
        return self.last_second + STALE_SECONDS

    def end_cause(self) -> Cause:
        """Why the stay ends then."""
        if not self.is_waiting:
            return Cause(SILENT, _at_ms(self.last_event, self.last_second), self.name, self.last_event)
        last = max(self.connections.values(), key=lambda each: each.wait_ends or 0)
        return Cause(GRACE_OVER, _at_ms(last.cut_by, (last.wait_ends or 0) - WAIT_SECONDS), self.name, last.cut_by)

    def forget(self, second: int) -> None:
        """Drops the waits and the memories that are over."""
        for connection, each in list(self.connections.items()):
            if each.wait_ends is not None and each.wait_ends <= second:
                del self.connections[connection]
        if self.closed:
            self.closed = {connection: until for connection, until in self.closed.items() if until > second}

    def clear(self, connection: str | None) -> None:
        """Nothing is received over a connection any more."""
        if self.received:
            self.received = {key: size for key, size in self.received.items() if key[1] != connection}


class Observer:
    """Who is told of changes, before and while they happen. This one does nothing."""

    def changes(self, members: Collection[str], cause: Cause) -> None:
        """The seconds of these users may be others from now on."""

    def passes(self, second: int) -> None:
        """All that happened at `second` is done."""


@dataclass(slots=True, kw_only=True)
class Room:
    """A room from epoch second `clock` to `end`."""

    clock: int
    end: int
    observer: Observer
    members: dict[str, Member] = field(default_factory=dict)
    present: dict[str, None] = field(default_factory=dict)  # who has a stay
    publications: dict[str, Publication] = field(default_factory=dict)
    cause: Cause = field(default_factory=lambda: Cause(DAY_START, 0))
    _timers: list[tuple[int, str]] = field(default_factory=list)
    # Who may have an exception to a stream, or a `video_on` of it.
    _views: dict[str, set[str]] = field(default_factory=dict)
    _subscribed: dict[str, None] = field(default_factory=dict)
    _withdrawn: dict[tuple[int, int, str | None, str | None], list[str | None]] = field(default_factory=dict)

    def run(self, events: Sequence[Event]) -> Iterator[None]:
        """Applies events in order, one at each step, and lets the time pass to the end."""
        for event in events:
            if event.type == "unpublish":
                self._withdrawn.setdefault(_instant(event), []).append(event.connection)
        for event in events:
            self._pass_time(event.second)
            self.cause = Cause(EVENT, event.at, event.user_id, event)
            self._apply(event)
            yield
        self._pass_time(self.end)
        self.observer.passes(self.end)

    def restore(self, carried: Iterable[Mapping[str, Any]]) -> None:
        """Restores what was carried into the day (rows of `STATE_SCHEMA` of this room)."""
        self.cause = Cause(DAY_START, self.clock * 1000)
        for row in carried:
            self._restore(row)
        self.observer.changes(self.present, self.cause)
        self.observer.passes(self.clock)

    def receives(self, member: Member) -> dict[str, Size]:
        """The streams that a connected user receives."""
        streams = {stream: size for (stream, _), size in member.received.items()}
        if member.name in self._subscribed:
            for stream, publication in self.publications.items():
                if stream in streams or (publication.user != member.name and stream not in member.excepted):
                    streams[stream] = publication.size
        return streams

    # Time

    def _pass_time(self, until: int) -> None:
        """Ends the stays whose time comes, the earliest first."""
        while self._timers and self._timers[0][0] <= until:
            second, name = heappop(self._timers)
            member = self.members[name]
            if not member.connections:
                continue
            if (ends := member.ends_at()) > second:
                self._set_timer(member, ends)
                continue
            self._move_clock(second)
            self.cause = member.end_cause()
            self._end_stay(member)
        self._move_clock(until)

    def _move_clock(self, second: int) -> None:
        if second > self.clock:
            self.observer.passes(self.clock)
            self.clock = second

    def _set_timer(self, member: Member, ends: int) -> None:
        if ends <= self.end:
            heappush(self._timers, (ends, member.name))

    # Events

    def _apply(self, event: Event) -> None:
        if event.type == "dismiss":
            for name in list(self.present):
                self._end_stay(self.members[name])
            return
        name, connection = str(event.user_id), event.connection
        member = self.members.get(name) or self.members.setdefault(name, Member(name=name))
        member.forget(event.second)
        member.last_second, member.last_event = event.second, event
        if connection in member.closed:
            return
        if event.type in ("enter", "reconnect"):
            self._enter(event, member)
        elif event.type == "exit":
            self._exit(member, connection)
        elif event.type == "publish" and connection is not None and connection not in member.connections:
            self._open(member, connection, Connection())
            self._publish(event, member)
        elif member.connected and (connection is None or connection in member.connected):
            self._change(event, member)
        if member.is_waiting:
            self._set_timer(member, member.ends_at())

    def _change(self, event: Event, member: Member) -> None:
        """An event of a connected user about a connection or a stream."""
        match event.type:
            case "disconnect":
                cut = member.connected if event.connection is None else [event.connection]
                for each in cut:
                    member.connections[each].wait_ends = event.second + WAIT_SECONDS
                    member.connections[each].cut_by = event
                    self._cut(member, each)
            case "publish":
                self._publish(event, member)
            case "unpublish":
                self._unpublish(str(event.stream), member, event.connection)
            case "video_on":
                self._receive(event, member)
            case _:
                self._receive_no_longer(event, member)

    def _enter(self, event: Event, member: Member) -> None:
        known, subscribes = member.connections.get(event.connection), event.receives == "all"
        if known is not None and known.wait_ends is None:
            member.clear(event.connection)
        if known is not None and event.type == "reconnect":
            subscribes = subscribes or known.receives_all
        self._open(member, event.connection, Connection(receives_all=subscribes))

    def _open(self, member: Member, name: str | None, connection: Connection) -> None:
        begins = not member.connections
        member.connections[name] = connection
        self._subscribe(member)
        if begins:
            self.present[member.name] = None
            self._set_timer(member, member.ends_at())
            self._count_present()
        self.observer.changes((member.name,), self.cause)

    def _exit(self, member: Member, connection: str | None) -> None:
        leaving = list(member.connections) if connection is None else [connection]
        member.closed |= {each: self.clock + STALE_SECONDS for each in leaving if each is not None}
        if member.connections and set(member.connections) <= set(leaving):
            self._end_stay(member)
            return
        for each in leaving:
            if member.connections.pop(each, None):
                self._cut(member, each)

    def _cut(self, member: Member, connection: str | None) -> None:
        """A connection is not connected any more; what goes over none ends with the last."""
        self._subscribe(member)
        for each in {connection: None} if member.connected else {connection: None, None: None}:
            member.clear(each)
            self._end_publications(member, each)
        self.observer.changes((member.name,), self.cause)

    def _end_stay(self, member: Member) -> None:
        for stream, publication in list(self.publications.items()):
            if publication.user == member.name:
                self._end_publication(stream)
        self.members[member.name] = Member(name=member.name, closed=member.closed)
        self._subscribed.pop(member.name, None)
        self.present.pop(member.name, None)
        self._count_present()
        self.observer.changes((member.name,), self.cause)

    def _count_present(self) -> None:
        """Whoever was alone is not any more, or whoever is left is."""
        if len(self.present) <= 2:
            self.observer.changes(self.present, self.cause)

    def _subscribe(self, member: Member) -> None:
        if member.receives_all:
            self._subscribed[member.name] = None
        else:
            self._subscribed.pop(member.name, None)

    # Streams

    def _publish(self, event: Event, member: Member) -> None:
        stream = str(event.stream)
        self.publications[stream] = Publication(user=member.name, connection=event.connection, size=event.size)
        self.observer.changes(self._subscribed, self.cause)
        # Of one instant, the end wins.
        for connection in self._withdrawn.get(_instant(event), ()):
            self._unpublish(stream, member, connection)

    def _unpublish(self, stream: str, member: Member, connection: str | None) -> None:
        publication = self.publications.get(stream)
        if publication and publication.user == member.name and connection in (None, publication.connection):
            self._end_publication(stream)

    def _end_publications(self, member: Member, connection: str | None) -> None:
        for stream, publication in list(self.publications.items()):
            if (publication.user, publication.connection) == (member.name, connection):
                self._end_publication(stream)

    def _end_publication(self, stream: str) -> None:
        """Exceptions end with it, and what subscribers receive of it by `video_on`."""
        del self.publications[stream]
        for name in self._views.pop(stream, ()):
            member = self.members[name]
            member.excepted.discard(stream)
            if name in self._subscribed:
                member.received = {key: size for key, size in member.received.items() if key[0] != stream}
            elif any(key[0] == stream for key in member.received):
                self._views.setdefault(stream, set()).add(name)
        self.observer.changes(self._subscribed, self.cause)

    def _receive(self, event: Event, member: Member) -> None:
        stream = str(event.stream)
        member.excepted.discard(stream)
        member.received.pop((stream, event.connection), None)
        member.received[stream, event.connection] = event.size
        self._views.setdefault(stream, set()).add(member.name)
        self.observer.changes((member.name,), self.cause)

    def _receive_no_longer(self, event: Event, member: Member) -> None:
        stream = str(event.stream)
        for key in list(member.received):
            if key[0] == stream and event.connection in (None, key[1]):
                del member.received[key]
        if member.name in self._subscribed and stream in self.publications:
            member.excepted.add(stream)
            self._views.setdefault(stream, set()).add(member.name)
        self.observer.changes((member.name,), self.cause)

    # What is carried over midnight

    def _restore(self, row: Mapping[str, Any]) -> None:
        member = Member(name=row["user_id"], last_second=row["last_event"] or 0)
        self.members[member.name] = member
        for each in row["connections"]:
            if each["closed"]:
                member.closed[each["connection"]] = each["until"]
            else:
                opened = Connection(receives_all=each["receives"] == "all", wait_ends=each["until"])
                member.connections[each["connection"]] = opened
        if row["last_event"] is None:
            return
        if not member.connections:
            member.connections[None] = Connection(wait_ends=row["wait_ends"])
        for each in row["streams"]:
            member.received[each["stream"], each["connection"]] = (each["width"], each["height"])
        for each in row["published"]:
            size = (each["width"], each["height"])
            self.publications[each["stream"]] = Publication(user=member.name, connection=each["connection"], size=size)
        member.excepted |= set(row["excepted"])
        for stream in {*member.excepted, *(stream for stream, _ in member.received)}:
            self._views.setdefault(stream, set()).add(member.name)
        self.present[member.name] = None
        self._subscribe(member)
        self._set_timer(member, member.ends_at())


def _instant(event: Event) -> tuple[int, int, str | None, str | None]:
    """What a `publish` and its `unpublish` of one instant have in common."""
    return event.at, event.seq, event.user_id, event.stream


def _at_ms(event: Event | None, second: int) -> int:
    return second * 1000 if event is None else event.at
