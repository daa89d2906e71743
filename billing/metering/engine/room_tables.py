"""Tables: the records of users, rooms and streams that metering keeps while it goes through the events of a part.

A user (in a room), a room and a stream (of a user) are numbers in the order of their first event, and -1 is none. They
are found by the hash of what names them; a check, a second hash, tells two of one hash apart.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from billing.events.keys import CODE_BITS, ENTER, RECONNECT, VIDEO_ON
from billing.metering.engine.keyed_rows import CARRIED
from billing.numba_cache import inlined
from billing.periods import WINDOW_SECONDS

# Classes of seconds. ANY_VIDEO is a second with video under a policy per stream, once; it is not billed itself. From
# FIRST_VIDEO on: camera and screen share of each tier.
NO_CLASS = -1
GRACE, ALONE, NO_VIDEO, ANY_VIDEO, FIRST_VIDEO = range(5)

USER = np.dtype(
    [
        ("key", np.uint64),
        ("area", np.int64),  # of all that is received
        ("check", np.uint32),
        ("app", np.int32),
        ("room", np.int32),
        ("begun", np.int32),  # the stay
        ("source", np.uint32),  # of the event that began it
        ("first_source", np.uint32),  # of the user's first event
        ("last_event", np.int32),
        ("wait_ends", np.int32),
        ("streams", np.int32),
        ("screens", np.int32),
        ("epoch", np.int32),  # raised when what is received is cleared
        ("before", np.int32),  # the present users of a room are linked
        ("after", np.int32),
        ("sooner", np.int32),  # and so are those whose stay will end by itself, in the order of that
        ("later", np.int32),
        ("seconds_class", np.int8),
        ("state", np.uint8),
        ("timed", np.bool_),
        ("carried", np.bool_),
        ("per_stream", np.bool_),
    ],
    align=True,
)
ROOM = np.dtype(
    [
        ("key", np.uint64),
        ("check", np.uint32),
        ("present", np.int32),  # how many
        ("first", np.int32),  # one of them
        ("first_waiting", np.int32),
        ("last_waiting", np.int32),
        ("first_silent", np.int32),  # may become stale within the span
        ("last_silent", np.int32),
    ],
    align=True,
)
STREAM = np.dtype(
    [
        ("key", np.uint64),
        ("check", np.uint32),
        ("user", np.int32),
        ("epoch", np.int32),  # received while this is the user's, and the size is not 0
        ("size", np.int32),
        ("source", np.uint32),  # of the last event
    ],
    align=True,
)
FINDING = np.dtype([("at", np.int64), ("source", np.uint32), ("kind", np.uint8)], align=True)  # `at` in epoch ms
STAY = np.dtype(
    [
        ("person_key", np.uint64),
        ("source", np.uint32),
        ("second", np.int32),
        ("stay_end", np.int32),
        ("begins", np.bool_),
    ],
    align=True,
)

Records = NDArray[np.void]


class Events(NamedTuple):
    """Events of whole rooms. `turn`: their places in the order in which they count; the other columns are as they lie,
    with other events among them: the keys (`billing.events.keys`), `at` (epoch ms), `source` (the number of the row),
    and `order`, which only compares those of one room."""

    turn: NDArray[np.int64]
    app_id: NDArray[np.int64]
    room_key: NDArray[np.uint64]
    room_check: NDArray[np.uint32]
    user_key: NDArray[np.uint64]
    stream_key: NDArray[np.uint64]
    checks: NDArray[np.uint64]  # of the user in the high half, of the stream in the low
    what: NDArray[np.int64]
    at: NDArray[np.int64]
    order: NDArray[np.int64]
    source: NDArray[np.uint32]


class Carried(NamedTuple):
    """The carried rows, whose sources are those from `first` on: seconds from the start of the span."""

    first: int
    last_event: NDArray[np.int32]
    wait_ends: NDArray[np.int32]


class Rules(NamedTuple):
    """Per app, by place among the sorted ids: is it billed per stream, and the inclusive top areas of its tiers."""

    app_id: NDArray[np.int64]
    per_stream: NDArray[np.bool_]
    tops: NDArray[np.int64]  # [app, tier]


class Sums(NamedTuple):
    """What the parts of a worker add up to: `edges` by app, class and window, as their number and the seconds that they
    leave of the window; `stay_seconds` by app, counted apart from all classes."""

    start_ms: int  # of the span
    edges: NDArray[np.int64]  # [app, class, window, 2]
    stay_seconds: NDArray[np.int64]
    end: int  # of the span, in seconds from its start
    into_window: int  # seconds from the start of its first window to its own


class World(NamedTuple):
    """Everything about the rooms of a part. Of the tables, `made` says how many records are in use: users, rooms,
    streams, findings, stays. `…_places` are hash tables of numbers with open addressing. `counts`: streams received
    by user and class, for apps billed per stream. `user_seconds`: by user and class, or of size 0."""

    users: Records
    rooms: Records
    streams: Records
    findings: Records
    stays: Records
    made: NDArray[np.int64]
    user_places: NDArray[np.int32]
    room_places: NDArray[np.int32]
    stream_places: NDArray[np.int32]
    tops: NDArray[np.int64]
    counts: NDArray[np.int32]
    user_seconds: NDArray[np.int64]
    edges: NDArray[np.int64]
    stay_seconds: NDArray[np.int64]
    start_ms: int
    end: int
    into_window: int


USERS, ROOMS, STREAMS, FINDINGS, STAYS = range(5)


def make_sums(apps: int, tiers: int, start: int, end: int) -> Sums:
    """Empty sums over the windows of the span `[start, end)` (epoch seconds)."""
    into_window = start % WINDOW_SECONDS
    windows = (end - start + into_window) // WINDOW_SECONDS + 1
    return Sums(
        start_ms=start * 1000,
        edges=np.zeros((apps, FIRST_VIDEO + 2 * tiers, windows, 2), np.int64),
        stay_seconds=np.zeros(apps, np.int64),
        end=end - start,
        into_window=into_window,
    )


def make_world(events: Events, rules: Rules, sums: Sums, *, by_user: bool) -> World:
    """Empty tables of the sizes that these events can fill at most."""
    codes = np.bincount(events.what[events.turn] & (2**CODE_BITS - 1), minlength=CARRIED + 1)
    most_users = int(codes[ENTER] + codes[RECONNECT] + codes[CARRIED])
    most_streams = int(codes[VIDEO_ON])
    classes = sums.edges.shape[1]
    return World(
        users=np.zeros(most_users, USER),
        rooms=np.zeros(most_users, ROOM),
        streams=np.zeros(most_streams, STREAM),
        findings=np.zeros(len(events.turn), FINDING),
        stays=np.zeros(most_users, STAY),
        made=np.zeros(5, np.int64),
        user_places=_places(most_users),
        room_places=_places(most_users),
        stream_places=_places(most_streams),
        tops=rules.tops,
        counts=np.zeros((most_users if rules.per_stream.any() else 0, classes), np.int32),
        user_seconds=np.zeros((most_users if by_user else 0, classes), np.int64),
        edges=sums.edges,
        stay_seconds=sums.stay_seconds,
        start_ms=sums.start_ms,
        end=sums.end,
        into_window=sums.into_window,
    )


def _places(most: int) -> NDArray[np.int32]:
    return np.full(1 << (2 * most + 1).bit_length(), -1, np.int32)


@inlined
def code_of(what: int) -> int:
    """The type of an event."""
    return int(what & (2**CODE_BITS - 1))


@inlined
def find_user(world: World, key: np.uint64) -> int:
    """The number of the user in the room with that key, or -1."""
    places = world.user_places
    place = np.int64(key & np.uint64(len(places) - 1))
    while places[place] >= 0 and world.users[places[place]].key != key:
        place = (place + 1) & (len(places) - 1)
    return int(places[place])


@inlined
def find_room(world: World, key: np.uint64) -> int:
    """The number of the room with that key, or -1."""
    return int(world.room_places[place_of_room(world, key)])


@inlined
def place_of_room(world: World, key: np.uint64) -> int:
    places = world.room_places
    # The low bits decided about the part, and say little within it.
    place = np.int64((key >> np.uint64(20)) & np.uint64(len(places) - 1))
    while places[place] >= 0 and world.rooms[places[place]].key != key:
        place = (place + 1) & (len(places) - 1)
    return int(place)


@inlined
def place_of_stream(world: World, user: int, key: np.uint64) -> int:
    places = world.stream_places
    mixed = (key >> np.uint64(13)) ^ (np.uint64(user) * np.uint64(0x9E3779B1))
    place = np.int64(mixed & np.uint64(len(places) - 1))
    while places[place] >= 0:
        stream = world.streams[places[place]]
        if stream.key == key and stream.user == user:
            break
        place = (place + 1) & (len(places) - 1)
    return int(place)


@inlined
def add_room(world: World, key: np.uint64, check: np.uint32) -> int:
    """The number of the room with that key, made if there is none; -1: another room has the key."""
    place = place_of_room(world, key)
    number = world.room_places[place]
    if number >= 0:
        return int(number) if world.rooms[number].check == check else -1
    number = world.made[ROOMS]
    world.made[ROOMS] += 1
    world.room_places[place] = number
    room = world.rooms[number]
    room.key, room.check = key, check
    room.first = room.first_waiting = room.last_waiting = room.first_silent = room.last_silent = -1
    return int(number)


@inlined
def add_user(world: World, key: np.uint64, check: np.uint32, room: int, app: int, per_stream: bool, source: int) -> int:
    """The number of a user who is not in the table yet."""
    places = world.user_places
    number = world.made[USERS]
    world.made[USERS] += 1
    place = np.int64(key & np.uint64(len(places) - 1))
    while places[place] >= 0:
        place = (place + 1) & (len(places) - 1)
    places[place] = number
    user = world.users[number]
    user.key, user.check, user.room, user.app, user.per_stream = key, check, room, app, per_stream
    user.first_source, user.seconds_class = source, NO_CLASS
    return int(number)


@inlined
def note_finding(world: World, kind: int, source: int, at: int) -> None:
    finding = world.findings[world.made[FINDINGS]]
    finding.kind, finding.source, finding.at = kind, source, at
    world.made[FINDINGS] += 1


@inlined
def note_stay(world: World, user: int, end: int) -> None:
    each = world.users[user]
    stay = world.stays[world.made[STAYS]]
    stay.person_key = each.key ^ world.rooms[each.room].key
    stay.source, stay.second, stay.stay_end, stay.begins = each.source, each.begun, end, not each.carried
    world.made[STAYS] += 1
