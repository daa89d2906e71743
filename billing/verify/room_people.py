"""People in a room: what is known of a user now, and how it is carried into the next day.

A row of the state between two days becomes a person at the start of the day, and a person a row at its end. A
connection that an exit has closed is remembered for a day, also where its user has no stay any more.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

DAY = 86_400
NEVER = 2**62

Row = Mapping[str, Any]


class Publication(NamedTuple):
    """A stream that somebody sends: who, over which connection, and its size."""

    user_id: str
    connection: str | None
    width: int
    height: int


class Person:
    """A user in a room: a stay is there while a connection is. `connections` have [receives all, end of the wait]."""

    def __init__(self) -> None:
        self.last_event = 0
        self.connections: dict[str | None, list[Any]] = {}
        self.received: dict[tuple[str, str | None], int] = {}
        self.sizes: dict[tuple[str, str | None], tuple[int, int]] = {}
        self.excepted: set[str] = set()
        self.closed: dict[str, int] = {}
        self.since = self.entered = 0
        self.is_carried = False
        self.classes: tuple[tuple[str, str], ...] = ()

    def connected(self) -> list[str | None]:
        """The connections that do not wait."""
        return [name for name, (_, wait_ends) in self.connections.items() if wait_ends is None]

    def receives_all(self) -> bool:
        """Whether a connected connection is subscribed to everything."""
        return any(wait_ends is None and is_all for is_all, wait_ends in self.connections.values())

    def wait_ends(self) -> int | None:
        """When the wait ends; None: the user is connected."""
        waits = [wait_ends for _, wait_ends in self.connections.values()]
        return None if None in waits else max(waits)

    def ends(self) -> int:
        """When the stay ends, if nothing happens."""
        if not self.connections:
            return NEVER
        wait_ends = self.wait_ends()
        return self.last_event + DAY if wait_ends is None else wait_ends

    def forget(self, second: int) -> None:
        """Waits that are over, and closed connections of a day ago; the stay itself is ended elsewhere."""
        for name, (_, wait_ends) in list(self.connections.items()):
            if wait_ends is not None and wait_ends <= second:
                del self.connections[name]
        self.closed = {name: until for name, until in self.closed.items() if until > second}


def restored(row: Row) -> Person:
    """A person from a row of the state, with a stay or without."""
    person = Person()
    for each in row["connections"]:
        if each["closed"]:
            person.closed[each["connection"]] = each["until"]
        else:
            person.connections[each["connection"]] = [each["receives"] == "all", each["until"]]
    if row["last_event"] is None:
        return person
    person.last_event = row["last_event"]
    if not row["connections"]:
        person.connections[None] = [False, row["wait_ends"]]
    for each in row["streams"]:
        key = (each["stream"], each["connection"])
        person.received[key] = each["width"] * each["height"]
        person.sizes[key] = (each["width"], each["height"])
    person.excepted = set(row["excepted"])
    return person


def carried_row(name: str, person: Person, publications: Mapping[str, Publication]) -> dict[str, Any]:
    """The row of a person at the end of a day."""
    received = sorted(person.received, key=lambda key: key[0].encode())
    published = sorted(
        (stream for stream, of in publications.items() if of.user_id == name), key=lambda stream: stream.encode()
    )
    return {
        "user_id": name,
        "last_event": person.last_event if person.connections else None,
        "wait_ends": person.wait_ends() if person.connections else None,
        "streams": [_sent(stream, over, *person.sizes[stream, over]) for stream, over in received],
        "connections": sorted(_connections(person), key=lambda each: (each["connection"] or "").encode()),
        "published": [_sent(stream, *publications[stream][1:]) for stream in published],
        "excepted": sorted(person.excepted, key=str.encode),
        "begun": [],
    }


def _connections(person: Person) -> list[dict[str, Any]]:
    """Those that are open, and those that are closed; none where the only one is that without a name."""
    found = [
        {"connection": each, "receives": "all" if is_all else None, "until": wait_ends, "closed": False}
        for each, (is_all, wait_ends) in person.connections.items()
    ]
    is_usual = len(found) == 1 and found[0]["connection"] is None and not person.closed and not found[0]["receives"]
    if is_usual:
        found = []
    return found + [
        {"connection": each, "receives": None, "until": until, "closed": True} for each, until in person.closed.items()
    ]


def _sent(stream: str, connection: str | None, width: int, height: int) -> dict[str, Any]:
    return {"stream": stream, "width": width, "height": height, "connection": connection}
