"""Room tables: the records of rooms, their users and the users' streams while the events of a part are applied.

Users (each in one room), rooms and streams (each of one user) are numbered from 0 in the order of their first event; -1
is none. They are found by key, in hash tables with open addressing; a check, a second hash, reveals two names with one
key. Example: the first user of a part has number 0, and `user_places` holds 0 at the place that the key hashes to.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from billing.events.keys import CODE_BITS, ENTER, EXIT, PUBLISH, RECONNECT, UNPUBLISH, VIDEO_OFF, VIDEO_ON
from billing.metering.engine.keyed_rows import CARRIED, CARRIED_CONNECTION, CARRIED_EXCEPTION
from billing.metering.engine.subscription_tables import (
    SubscriptionTables,
    TableSizes,
    empty_subscriptions,
    hash_places,
)
from billing.numba_cache import compiled, inlined
from billing.periods import WINDOW_SECONDS

ABSENT, CONNECTED, WAITING = range(3)
OUTSIDE_STAY, REENTERED, STALE_STAY, CLOSED_CONNECTION, IMPLIED_ENTER = range(5)
# Outcomes: applied; two users, rooms, streams or connections have one key; an app has no rule.
DONE, COLLISION, UNKNOWN_APP = 0, -2, -3
NOBODY = -1  # in place of a user's number

# Classes of seconds. Those of the crowd of a room are counted together. ANY_VIDEO counts a second with video under a
# per-stream policy once and is not billed itself. From FIRST_VIDEO on: camera and screen share of each tier.
NO_CLASS, CROWD = -1, -2
GRACE, ALONE, NO_VIDEO, ANY_VIDEO, FIRST_VIDEO = range(5)

USER = np.dtype(
    [
        ("key", np.uint64),
        ("area", np.int64),  # of all streams received
        ("check", np.uint32),
        ("app", np.int32),
        ("room", np.int32),
        ("begun", np.int32),  # the stay
        ("row_number", np.uint32),  # of the event that began the stay
        ("first_row_number", np.uint32),  # of the user's first event
        ("last_event", np.int32),
        ("wait_ends", np.int32),
        ("streams", np.int32),
        ("screens", np.int32),
        ("epoch", np.int32),  # rises when the received streams are cleared
        ("before", np.int32),  # list of the users present in the room
        ("after", np.int32),
        ("sooner", np.int32),  # list of the running timers of one kind in the room, the first to end first
        ("later", np.int32),
        ("seconds_class", np.int8),
        ("state", np.uint8),
        ("has_timer", np.bool_),
        ("carried", np.bool_),
        ("per_stream", np.bool_),
    ],
    align=True,
)
ROOM = np.dtype(
    [
        ("key", np.uint64),
        ("check", np.uint32),
        ("app", np.int32),
        ("present", np.int32),  # how many users
        ("first", np.int32),  # of the users present
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
        ("epoch", np.int32),  # received while this is the user's epoch and the size is not 0
        ("size", np.int32),
        ("row_number", np.uint32),  # of the last event
    ],
    align=True,
)
FINDING = np.dtype([("at", np.int64), ("row_number", np.uint32), ("kind", np.uint8)], align=True)  # `at` in epoch ms
STAY = np.dtype(
    [
        ("person_key", np.uint64),
        ("row_number", np.uint32),
        ("second", np.int32),
        ("stay_end", np.int32),
        ("begins", np.bool_),
    ],
    align=True,
)

Records = NDArray[np.void]


class Events(NamedTuple):
    """Events of whole rooms. `order`: their places, room by room, in the order in which they count. The other columns
    are as they lie in memory, with other events among them: the keys (`billing.events.keys`), `at` (epoch ms),
    `row_number`, and `sort_key`, which orders the events of one room only."""

    order: NDArray[np.int64]
    app_id: NDArray[np.int64]
    room_key: NDArray[np.uint64]
    room_check: NDArray[np.uint32]
    user_key: NDArray[np.uint64]
    stream_key: NDArray[np.uint64]
    checks: NDArray[np.uint64]  # of the user in the high half, of the stream in the low
    connection_key: NDArray[np.uint64]  # these three: empty if no event names a connection
    connection_check: NDArray[np.uint32]
    has_connection: NDArray[np.bool_]
    size_and_type: NDArray[np.int64]
    at: NDArray[np.int64]
    sort_key: NDArray[np.int64]
    row_number: NDArray[np.uint32]


class Carried(NamedTuple):
    """The carried rows, whose row numbers begin with `first`; seconds from the start of the span."""

    first: int
    last_event: NDArray[np.int32]
    wait_ends: NDArray[np.int32]


class SpanArrays(NamedTuple):
    """The bounds of the span, and by app (its place among the sorted ids) the tier rule: whether each stream counts for
    itself, and the inclusive top areas of the tiers."""

    start_ms: int
    end: int  # seconds from the start
    into_window: int  # seconds from the start of the first window to that of the span
    app_id: NDArray[np.int64]
    per_stream: NDArray[np.bool_]
    tops: NDArray[np.int64]  # [app, tier]


class Sums(NamedTuple):
    """What all parts of a worker add up to. `edges` by app, class and window: their number, and the seconds that they
    leave of the window. `stay_seconds` by app, counted independently of the classes."""

    edges: NDArray[np.int64]  # [app, class, window, 2]
    stay_seconds: NDArray[np.int64]


class RoomTables(NamedTuple):
    """All records of the rooms of a part. `subscriptions`: what rooms with automatic subscription need; where there are
    none it is an empty tuple, and nothing is compiled for them. `used` says how many are in use: users, rooms, streams,
    findings, stays. `…_places` are hash tables of numbers with open addressing. `counts`: streams received by user and
    class, for apps billed per stream. `user_seconds`: by user and class, or of size 0."""

    users: Records
    rooms: Records
    streams: Records
    findings: Records
    stays: Records
    used: NDArray[np.int64]
    user_places: NDArray[np.int32]
    room_places: NDArray[np.int32]
    stream_places: NDArray[np.int32]
    counts: NDArray[np.int32]
    user_seconds: NDArray[np.int64]
    subscriptions: SubscriptionTables
    span: SpanArrays
    sums: Sums


USERS, ROOMS, STREAMS, FINDINGS, STAYS = range(5)
_SUBSCRIBES = CARRIED + 1  # beside the codes of types


def empty_sums(span: SpanArrays) -> Sums:
    """Zeros for all windows of the span."""
    apps, tiers = span.tops.shape
    windows = (span.end + span.into_window) // WINDOW_SECONDS + 1
    return Sums(
        edges=np.zeros((apps, FIRST_VIDEO + 2 * tiers, windows, 2), np.int64), stay_seconds=np.zeros(apps, np.int64)
    )


def empty_tables(events: Events, span: SpanArrays, sums: Sums, *, by_user: bool) -> RoomTables:
    """Tables with space for all records that these events can make."""
    codes = np.zeros(CARRIED + 2, np.int64)
    count_codes(events, codes)
    begins = int(codes[[ENTER, RECONNECT, CARRIED]].sum())
    sizes = _subscription_sizes(codes)
    stays, users, streams = begins, begins, int(codes[VIDEO_ON])
    if sizes.users:
        stays, users, streams = begins + int(codes[PUBLISH]), sizes.users, sizes.views
    classes = sums.edges.shape[1]
    return RoomTables(
        users=np.zeros(users, USER),
        rooms=np.zeros(users, ROOM),
        streams=np.zeros(streams, STREAM),
        findings=np.zeros(len(events.order) + int(codes[PUBLISH]), FINDING),
        stays=np.zeros(stays, STAY),
        used=np.zeros(5, np.int64),
        user_places=hash_places(users),
        room_places=hash_places(users),
        stream_places=hash_places(streams),
        counts=np.zeros((users if span.per_stream.any() else 0, classes), np.int32),
        user_seconds=np.zeros((users if by_user else 0, classes), np.int64),
        subscriptions=empty_subscriptions(sizes, classes, by_user=by_user) if sizes.users else (),  # type: ignore[arg-type]
        span=span,
        sums=sums,
    )


def _subscription_sizes(codes: NDArray[np.int64]) -> TableSizes:
    """The records that events can make in the tables of subscriptions; none if they need no such tables."""
    if not codes[[UNPUBLISH, PUBLISH, CARRIED_CONNECTION, CARRIED_EXCEPTION, _SUBSCRIBES]].any():
        return TableSizes()
    users = int(codes[[ENTER, RECONNECT, CARRIED, EXIT, PUBLISH]].sum())
    return TableSizes(
        users=users,
        connections=users + int(codes[CARRIED_CONNECTION]),
        publications=int(codes[PUBLISH]),
        views=int(codes[[VIDEO_ON, VIDEO_OFF, CARRIED_EXCEPTION]].sum()),
        receipts=int(codes[VIDEO_ON]),
    )


@compiled
def count_codes(events: Events, codes: NDArray[np.int64]) -> None:
    """Adds up the events of each type, and those that name a connection or enter with a subscription to everything."""
    for row in events.order:
        size_and_type = events.size_and_type[row]
        code = code_of(size_and_type)
        codes[code] += 1
        if size_and_type >> CODE_BITS == 1 and code in (ENTER, RECONNECT):
            codes[_SUBSCRIBES] += 1
        if names_connection(events, row):
            codes[_SUBSCRIBES] += 1


@inlined
def code_of(size_and_type: int) -> int:
    """The type of an event, as a code."""
    return int(size_and_type & (2**CODE_BITS - 1))


@inlined
def names_connection(events: Events, row: int) -> bool:
    """Whether an event names a connection."""
    return len(events.has_connection) > 0 and bool(events.has_connection[row])


@inlined
def find_user(tables: RoomTables, key: np.uint64) -> int:
    """The number of the user with that key, or -1."""
    places = tables.user_places
    place = np.int64(key & np.uint64(len(places) - 1))
    while places[place] >= 0 and tables.users[places[place]].key != key:
        place = (place + 1) & (len(places) - 1)
    return int(places[place])


@inlined
def find_room(tables: RoomTables, key: np.uint64) -> int:
    """The number of the room with that key, or -1."""
    return int(tables.room_places[place_of_room(tables, key)])


@inlined
def place_of_room(tables: RoomTables, key: np.uint64) -> int:
    """Where the number of the room with that key is or would be."""
    places = tables.room_places
    # The low bits chose the part, and say little within it.
    place = np.int64((key >> np.uint64(20)) & np.uint64(len(places) - 1))
    while places[place] >= 0 and tables.rooms[places[place]].key != key:
        place = (place + 1) & (len(places) - 1)
    return int(place)


@inlined
def place_of_stream(tables: RoomTables, user_number: int, key: np.uint64) -> int:
    """Where the number of the user's stream with that key is or would be."""
    places = tables.stream_places
    mixed = (key >> np.uint64(13)) ^ (np.uint64(user_number) * np.uint64(0x9E3779B1))
    place = np.int64(mixed & np.uint64(len(places) - 1))
    while places[place] >= 0:
        stream = tables.streams[places[place]]
        if stream.key == key and stream.user == user_number:
            break
        place = (place + 1) & (len(places) - 1)
    return int(place)


@inlined
def add_room(tables: RoomTables, key: np.uint64, check: np.uint32, app: int) -> int:
    """The number of the room with that key, added if there is none; -1: another room has the key."""
    place = place_of_room(tables, key)
    number = tables.room_places[place]
    if number >= 0:
        return int(number) if tables.rooms[number].check == check else -1
    number = tables.used[ROOMS]
    tables.used[ROOMS] += 1
    tables.room_places[place] = number
    room = tables.rooms[number]
    room.key, room.check, room.app = key, check, app
    room.first = room.first_waiting = room.last_waiting = room.first_silent = room.last_silent = -1
    return int(number)


@inlined
def add_user(tables: RoomTables, events: Events, row: int, room_number: int, app: int) -> int:
    """The number of the user of an event, who is not in the table yet. `app`: its place in the span."""
    places, key = tables.user_places, events.user_key[row]
    number = tables.used[USERS]
    tables.used[USERS] += 1
    place = np.int64(key & np.uint64(len(places) - 1))
    while places[place] >= 0:
        place = (place + 1) & (len(places) - 1)
    places[place] = number
    user = tables.users[number]
    user.key, user.check, user.room, user.app = key, user_check(events.checks[row]), room_number, app
    user.per_stream, user.first_row_number = tables.span.per_stream[app], events.row_number[row]
    user.seconds_class = NO_CLASS
    return int(number)


@inlined
def user_check(checks: np.uint64) -> np.uint64:
    """The check of the user of an event."""
    return checks >> np.uint64(32)


@inlined
def stream_check(checks: np.uint64) -> np.uint64:
    """The check of the stream of an event."""
    return checks & np.uint64(2**32 - 1)


@inlined
def note_finding(tables: RoomTables, kind: int, row_number: int, at: int) -> None:
    """Adds a finding at epoch millisecond `at`."""
    finding = tables.findings[tables.used[FINDINGS]]
    finding.kind, finding.row_number, finding.at = kind, row_number, at
    tables.used[FINDINGS] += 1


@inlined
def note_stay(tables: RoomTables, user_number: int, end: int) -> None:
    """Adds the user's stay, which ends at second `end`."""
    user = tables.users[user_number]
    stay = tables.stays[tables.used[STAYS]]
    stay.person_key = user.key ^ tables.rooms[user.room].key
    stay.row_number, stay.second, stay.stay_end, stay.begins = user.row_number, user.begun, end, not user.carried
    tables.used[STAYS] += 1
