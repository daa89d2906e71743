"""The slow obvious meter: one room at a time, one second after the other, written from the rules and from nothing else.

`meter` takes plain rows (dicts in the event schema), the state carried into the span, the span `[start, end)` in
epoch seconds and the policy of each app, and gives what the columnar meter must give: seconds by app, room, user,
window, item and reason, the state carried out, and the findings. Seconds in which nothing changes are counted
together; nothing else is clever.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

WAIT = 90
STALE = 86_400
WINDOW = 300
ORDER = ["exit", "disconnect", "dismiss", "enter", "reconnect", "unpublish", "publish", "video_off", "video_on"]

Size = tuple[int, int]
Key = tuple[int, str, str]  # app, room, user


@dataclass
class Policy:
    """How video becomes an item: `tiers` are (item, top area or None), ascending."""

    per_stream: bool
    tiers: list[tuple[str, int | None]]

    def item(self, area: int) -> str:
        return next(item for item, top in self.tiers if top is None or area <= top)


@dataclass
class Connection:
    """An open one: it is connected, or waits."""

    receives_all: bool = False
    wait_ends: int | None = None


@dataclass
class Publication:
    user: str
    connection: str | None
    size: Size


@dataclass
class User:
    """One user in one room, now; without an open connection there is no stay."""

    last_event: int = 0
    begun: int | None = None  # None: carried in
    connections: dict[str | None, Connection] = field(default_factory=dict)
    received: dict[tuple[str, str | None], Size] = field(
        default_factory=dict
    )  # by stream and connection; last set last
    published: dict[str, tuple[str | None, Size]] = field(default_factory=dict)  # in carried state only
    excepted: set[str] = field(default_factory=set)
    closed: dict[str, int] = field(default_factory=dict)  # until when a closed connection is remembered

    @property
    def connected(self) -> list[str | None]:
        return [name for name, connection in self.connections.items() if connection.wait_ends is None]

    @property
    def receives_all(self) -> bool:
        return any(self.connections[name].receives_all for name in self.connected)

    @property
    def wait_ends(self) -> int | None:
        """When the user's wait ends; None: the user is connected."""
        return None if self.connected else max(c.wait_ends or 0 for c in self.connections.values())

    def ends(self) -> int:
        return self.last_event + STALE if self.wait_ends is None else self.wait_ends


@dataclass
class Metered:
    seconds: Counter[tuple[int, str, str, int, str, str]]  # app, room, user, window start, item, reason
    state: dict[Key, User]
    findings: Counter[tuple[int, str, str, int, str]]  # app, room, user, at ms, finding
    stay_seconds: int
    stays: list[tuple[int, str, str, int, int, bool]]  # app, room, user, start, end, carried in


def meter(
    events: Iterable[Mapping[str, Any]],
    carried: Mapping[Key, User],
    start: int,
    end: int,
    policies: Mapping[int, Policy],
) -> Metered:
    rooms: dict[tuple[int, str], list[Mapping[str, Any]]] = {}
    for event in events:
        if start <= event["at"] // 1000 < end:
            rooms.setdefault((event["app_id"], event["room_id"]), []).append(event)
    for app, room, _ in carried:
        rooms.setdefault((app, room), [])
    result = Metered(Counter(), {}, Counter(), 0, [])
    for (app, room), in_room in rooms.items():
        users = {user: deepcopy(known) for (a, r, user), known in carried.items() if (a, r) == (app, room)}
        Room(app, room, users, policies[app], start, end, result).run(in_room)
    _find_concurrent_rooms(result)
    return result


@dataclass
class Room:
    app: int
    room: str
    users: dict[str, User]
    policy: Policy
    start: int
    end: int
    result: Metered
    publications: dict[str, Publication] = field(default_factory=dict)

    @property
    def stays(self) -> dict[str, User]:
        return {name: user for name, user in self.users.items() if user.connections}

    def run(self, events: list[Mapping[str, Any]]) -> None:
        for name, user in self.users.items():
            user.begun = None
            for stream, (connection, size) in user.published.items():
                self.publications[stream] = Publication(name, connection, size)
        self.events = sorted(events, key=lambda e: (e["at"], e["seq"], ORDER.index(e["type"]), e["event_id"]))
        clock = self.start
        for event in self.events:
            clock = self.pass_time(clock, event["at"] // 1000)
            self.apply(event)
        self.pass_time(clock, self.end)
        for name, user in self.users.items():
            user.published = {
                stream: (publication.connection, publication.size)
                for stream, publication in self.publications.items()
                if publication.user == name
            }
            if user.connections:
                self.keep_stay(name, user, self.end)
            if user.connections or user.closed:
                self.result.state[self.app, self.room, name] = user

    # Time

    def pass_time(self, clock: int, until: int) -> int:
        """Counts the seconds from `clock` to `until`, ending stays whose time comes."""
        while True:
            self.end_what_ends(clock)
            if clock == until:
                return clock
            steps = [until, clock - clock % WINDOW + WINDOW, *(user.ends() for user in self.stays.values())]
            step = min(moment for moment in steps if moment > clock)
            for name, user in self.stays.items():
                self.count(name, user, clock, step - clock)
            clock = step

    def end_what_ends(self, clock: int) -> None:
        for name, user in self.stays.items():
            if user.ends() <= clock:
                if user.wait_ends is None:
                    self.find(name, user.ends() * 1000, "stale_stay")
                self.end_stay(name, user.ends())
        for user in self.users.values():
            for connection, wait in list(user.connections.items()):
                if wait.wait_ends is not None and wait.wait_ends <= clock:
                    del user.connections[connection]
            user.closed = {connection: until for connection, until in user.closed.items() if until > clock}

    def count(self, name: str, user: User, clock: int, seconds: int) -> None:
        self.result.stay_seconds += seconds
        for item, reason in self.classes(name, user):
            self.result.seconds[self.app, self.room, name, clock - clock % WINDOW, item, reason] += seconds

    def classes(self, name: str, user: User) -> list[tuple[str, str]]:
        if user.wait_ends is not None:
            return [("audio", "disconnect_grace")]
        if len(self.stays) == 1:
            return [("audio", "alone_in_room")]
        areas = {stream: width * height for stream, (width, height) in self.receives(name, user).items()}
        if not areas:
            return [("audio", "no_video_received")]
        if self.policy.per_stream:
            return [(self.policy.item(area), _reason([stream])) for stream, area in areas.items()]
        return [(self.policy.item(sum(areas.values())), _reason(areas))]

    def receives(self, name: str, user: User) -> dict[str, Size]:
        """The streams that a connected user receives."""
        streams = {stream: size for (stream, _), size in user.received.items()}
        if user.receives_all:
            for stream, publication in self.publications.items():
                if stream in streams or (publication.user != name and stream not in user.excepted):
                    streams[stream] = publication.size
        return streams

    # Events

    def apply(self, event: Mapping[str, Any]) -> None:
        second, name, kind = event["at"] // 1000, event["user_id"], event["type"]
        if kind == "dismiss":
            for each in list(self.stays):
                self.end_stay(each, second)
            return
        user, connection = self.users.setdefault(name, User()), event.get("connection")
        user.last_event = second
        if connection in user.closed:
            self.find(name, event["at"], "closed_connection")
        elif kind in ("enter", "reconnect"):
            self.enter(event, name, user, connection)
        elif kind == "exit":
            self.exit(event, name, user, connection)
        elif kind == "publish" and connection is not None and connection not in user.connections:
            self.find(name, event["at"], "implied_enter")
            self.open(user, connection, second)
            self.publish(event, name, connection)
        elif not user.connected or (connection is not None and connection not in user.connected):
            self.find(name, event["at"], "outside_stay")
        elif kind == "disconnect":
            for each in [connection] if connection is not None else user.connected:
                user.connections[each].wait_ends = second + WAIT
                self.cut(name, user, each)
        elif kind == "publish":
            self.publish(event, name, connection)
        elif kind == "unpublish":
            self.unpublish(event["stream"], name, connection)
        elif kind == "video_on":
            user.excepted.discard(event["stream"])
            user.received.pop((event["stream"], connection), None)
            user.received[event["stream"], connection] = (event["width"], event["height"])
        else:
            for stream, over in list(user.received):
                if stream == event["stream"] and connection in (None, over):
                    del user.received[stream, over]
            if user.receives_all and event["stream"] in self.publications:
                user.excepted.add(event["stream"])

    def enter(self, event: Mapping[str, Any], name: str, user: User, connection: str | None) -> None:
        receives_all = event.get("receives") == "all"
        known = user.connections.get(connection)
        if known is None:
            self.open(user, connection, event["at"] // 1000)
            known = user.connections[connection]
        elif known.wait_ends is None:
            self.find(name, event["at"], "reentered")
            self.clear(user, connection)
        if event["type"] == "reconnect":
            receives_all = receives_all or known.receives_all
        user.connections[connection] = Connection(receives_all)

    def open(self, user: User, connection: str | None, second: int) -> None:
        if not user.connections:
            user.begun = second
        user.connections[connection] = Connection()

    def exit(self, event: Mapping[str, Any], name: str, user: User, connection: str | None) -> None:
        second = event["at"] // 1000
        leaving = [connection] if connection is not None else list(user.connections)
        if not set(leaving) & set(user.connections):
            self.find(name, event["at"], "outside_stay")
        for each in leaving:
            if each is not None:
                user.closed[each] = second + STALE
        if user.connections and not set(user.connections) - set(leaving):
            self.end_stay(name, second)
        for each in leaving:
            if user.connections.pop(each, None):
                self.cut(name, user, each)

    def cut(self, name: str, user: User, connection: str | None) -> None:
        """A connection is not connected any more."""
        for each in [connection] if user.connected else [connection, None]:
            self.clear(user, each)
            for stream, publication in list(self.publications.items()):
                if (publication.user, publication.connection) == (name, each):
                    self.end_publication(stream)

    def clear(self, user: User, connection: str | None) -> None:
        user.received = {key: size for key, size in user.received.items() if key[1] != connection}

    def end_stay(self, name: str, second: int) -> None:
        user = self.users[name]
        self.keep_stay(name, user, second)
        for stream, publication in list(self.publications.items()):
            if publication.user == name:
                self.end_publication(stream)
        self.users[name] = User(closed=user.closed)

    def publish(self, event: Mapping[str, Any], name: str, connection: str | None) -> None:
        self.publications[event["stream"]] = Publication(name, connection, (event["width"], event["height"]))
        for other in self.events:
            if (other["type"], other["stream"]) == ("unpublish", event["stream"]) and all(
                other[column] == event[column] for column in ("at", "seq", "user_id")
            ):
                self.unpublish(event["stream"], name, other.get("connection"))

    def unpublish(self, stream: str, name: str, connection: str | None) -> None:
        publication = self.publications.get(stream)
        if publication and publication.user == name and connection in (None, publication.connection):
            self.end_publication(stream)

    def end_publication(self, stream: str) -> None:
        del self.publications[stream]
        for user in self.users.values():
            user.excepted.discard(stream)
            if user.receives_all:
                user.received = {key: size for key, size in user.received.items() if key[0] != stream}

    def find(self, name: str, at: int, finding: str) -> None:
        self.result.findings[self.app, self.room, name, at, finding] += 1

    def keep_stay(self, name: str, user: User, end: int) -> None:
        carried = user.begun is None
        begun = self.start if user.begun is None else user.begun
        self.result.stays.append((self.app, self.room, name, begun, end, carried))


def _reason(streams: Iterable[str]) -> str:
    return "screen_share" if any(stream.endswith("/screen") for stream in streams) else "camera"


def _find_concurrent_rooms(result: Metered) -> None:
    """A stay that begins while its user is in another room of the app (of two that begin together: the later room
    id)."""
    for app, room, user, begun, end, carried in result.stays:
        if carried or end <= begun:
            continue
        for a, r, u, b, e, c in result.stays:
            earlier = (b, not c, r) < (begun, True, room)
            if (a, u) == (app, user) and r != room and e > b and b <= begun < e and earlier:
                result.findings[app, room, user, begun * 1000, "concurrent_rooms"] += 1
                break
