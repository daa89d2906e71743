"""Stays: the state of every user in every room, event by event, and what their seconds are.

A user in a room is absent, connected or waiting:

| event | absent | connected | waiting |
|---|---|---|---|
| `enter`, `reconnect` | a stay begins | goes on; what is received is cleared (`reentered`) | goes on, connected |
| `exit` | `outside_stay` | the stay ends | the stay ends |
| `disconnect` | `outside_stay` | waits 90 s; what is received is cleared | `outside_stay` |
| `video_on`, `video_off` | `outside_stay` | what is received changes | `outside_stay` |
| `dismiss` | | the stay ends | the stay ends |

A wait ends its stay 90 s after the disconnect; a stay without any event of its user for 86,400 s ends there (`stale`).

Class of a second, first match wins: waiting, audio `disconnect_grace`; only one user has a stay in the room, audio
`alone_in_room`; nothing received, audio `no_video_received`; else video. Aggregate: one second in the tier of the summed
area, `screen_share` if any stream received is a share, else `camera`. Per stream: one second for each stream.

Nothing is written for a second, and nothing for a window that a stay lasts through. A change at second *t* is an edge: -1 of
the class that ends, +1 of the one that begins. An edge adds to its window what is left of it after *t*, and 300 to
every later window; so two sums per window and one running sum over the windows give the seconds of every window.

The functions are compiled. They take the events of whole rooms in order, and work on arrays that are grouped in named
tuples; a user, a room and a stream are numbers in the order of their first event. `-1` is nobody.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from billing.metering.compiled import compiled
from billing.metering.rows import CARRIED, DISCONNECT, DISMISS, ENTER, EXIT, RECONNECT, SCREEN_BIT, VIDEO_ON
from billing.periods import WINDOW_SECONDS

WAIT_SECONDS = 90
STALE_SECONDS = 86_400
FAR = 2**30  # a second that never comes

ABSENT, CONNECTED, WAITING = range(3)
# Classes of seconds. ANY_VIDEO is a second with video under a policy per stream, once; it is not billed itself.
NO_CLASS = -1
GRACE, ALONE, NO_VIDEO, ANY_VIDEO, FIRST_VIDEO = range(5)

OUTSIDE_STAY, REENTERED, STALE_STAY = range(3)


class Events(NamedTuple):
    """Events of whole rooms. `turn`: their indices in order. By index: keys and checks of user and stream, the `order`,
    the second, the type's code, the size, and `source`, the index in `Sources`."""

    turn: NDArray[np.int64]
    user_key: NDArray[np.uint64]
    user_check: NDArray[np.uint32]
    stream_key: NDArray[np.uint64]
    stream_check: NDArray[np.uint32]
    order: NDArray[np.int64]
    second: NDArray[np.int32]
    code: NDArray[np.uint8]
    size: NDArray[np.int32]
    source: NDArray[np.uint32]


class Sources(NamedTuple):
    """What is looked up only when a user is first seen, or for carried rows: by `source`."""

    app_id: NDArray[np.int64]
    room_key: NDArray[np.uint64]
    room_check: NDArray[np.uint32]
    last_event: NDArray[np.int32]  # carried rows, from `first_carried` on
    wait_ends: NDArray[np.int32]
    first_carried: int


class Rules(NamedTuple):
    """Per app, by place among the sorted ids: is it billed per stream, and the inclusive top areas of its tiers."""

    app_id: NDArray[np.int64]
    per_stream: NDArray[np.bool_]
    tops: NDArray[np.int64]  # [app, tier], FAR areas at the end


class Users(NamedTuple):
    """Users in rooms. The present ones of a room are linked (`before`, `after`), and so are those whose stay will end by
    itself if nothing happens (`sooner`, `later`), in the order of that."""

    key: NDArray[np.uint64]
    check: NDArray[np.uint32]
    app: NDArray[np.int32]
    room: NDArray[np.int32]
    state: NDArray[np.uint8]
    timed: NDArray[np.bool_]
    first_source: NDArray[np.uint32]  # of the user's first event
    source: NDArray[np.uint32]  # of the event that began the stay
    begun: NDArray[np.int32]
    carried: NDArray[np.bool_]
    last_event: NDArray[np.int32]
    wait_ends: NDArray[np.int32]
    seconds_class: NDArray[np.int16]
    area: NDArray[np.int64]
    screens: NDArray[np.int32]
    streams: NDArray[np.int32]
    epoch: NDArray[np.int32]  # raised when what is received is cleared
    before: NDArray[np.int32]
    after: NDArray[np.int32]
    sooner: NDArray[np.int32]
    later: NDArray[np.int32]
    counts: NDArray[np.int32]  # [user, class]: streams received, for apps billed per stream


class Rooms(NamedTuple):
    """Rooms: how many are present and who, who waits, and whose stay may become stale within the span."""

    key: NDArray[np.uint64]
    check: NDArray[np.uint32]
    present: NDArray[np.int32]
    first: NDArray[np.int32]
    first_timed: NDArray[np.int32]  # [room, 0: waiting, 1: may become stale]
    last_timed: NDArray[np.int32]


class Streams(NamedTuple):
    """Streams of users. One counts as received while its `epoch` is its user's and its size is not 0."""

    key: NDArray[np.uint64]
    check: NDArray[np.uint32]
    user: NDArray[np.int32]
    epoch: NDArray[np.int32]
    size: NDArray[np.int32]
    order: NDArray[np.int64]
    source: NDArray[np.uint32]


class Tables(NamedTuple):
    """Hash tables by key, with open addressing: numbers of users, rooms and streams, -1 where free; and how many there
    are of each (`made`)."""

    users: NDArray[np.int32]
    rooms: NDArray[np.int32]
    streams: NDArray[np.int32]
    made: NDArray[np.int64]


class Sums(NamedTuple):
    """Edges by app, class and window: how many (`count`), and the seconds they leave of their window (`left`). `users`:
    seconds by user and class, or of size 0. `stay_seconds` by app, counted apart from all classes."""

    count: NDArray[np.int64]  # [app, class, window]
    left: NDArray[np.int64]
    users: NDArray[np.int64]
    stay_seconds: NDArray[np.int64]
    end: int
    into_window: int


class Found(NamedTuple):
    """Findings (`kind, source, second`) and ended or open stays (`stay_…`); `made`
    counts both, and the ties: places of the order with two sizes of one stream."""

    kind: NDArray[np.uint8]
    source: NDArray[np.uint32]
    second: NDArray[np.int32]
    stay_source: NDArray[np.uint32]
    stay_begun: NDArray[np.int32]
    stay_end: NDArray[np.int32]
    stay_carried: NDArray[np.bool_]
    made: NDArray[np.int64]


class World(NamedTuple):
    """Everything about the rooms of a part."""

    users: Users
    rooms: Rooms
    streams: Streams
    tables: Tables
    rules: Rules
    sums: Sums
    found: Found


def make_sums(apps: int, tiers: int, start: int, end: int) -> Sums:
    """Empty sums over the windows of the span `[start, end)` (epoch seconds)."""
    into_window = start % WINDOW_SECONDS
    windows = (end - start + into_window) // WINDOW_SECONDS + 1
    shape = (apps, FIRST_VIDEO + 2 * tiers, windows)
    return Sums(
        count=np.zeros(shape, np.int64),
        left=np.zeros(shape, np.int64),
        users=np.zeros((0, 0), np.int64),
        stay_seconds=np.zeros(apps, np.int64),
        end=end - start,
        into_window=into_window,
    )


def make_world(events: Events, rules: Rules, sums: Sums, *, by_user: bool) -> World:
    """Empty arrays of the sizes that these events can fill at most."""
    code = events.code
    most_users = int(np.isin(code, (ENTER, RECONNECT, CARRIED)).sum())
    most_streams = int((code == VIDEO_ON).sum())
    classes = sums.count.shape[1]

    def nobody(size: int) -> NDArray[np.int32]:
        return np.full(size, -1, np.int32)

    def table(most: int) -> NDArray[np.int32]:
        return nobody(1 << (2 * most + 1).bit_length())

    users = Users(
        key=np.zeros(most_users, np.uint64),
        check=np.zeros(most_users, np.uint32),
        app=np.zeros(most_users, np.int32),
        room=np.zeros(most_users, np.int32),
        state=np.zeros(most_users, np.uint8),
        timed=np.zeros(most_users, np.bool_),
        first_source=np.zeros(most_users, np.uint32),
        source=np.zeros(most_users, np.uint32),
        begun=np.zeros(most_users, np.int32),
        carried=np.zeros(most_users, np.bool_),
        last_event=np.zeros(most_users, np.int32),
        wait_ends=np.zeros(most_users, np.int32),
        seconds_class=np.full(most_users, NO_CLASS, np.int16),
        area=np.zeros(most_users, np.int64),
        screens=np.zeros(most_users, np.int32),
        streams=np.zeros(most_users, np.int32),
        epoch=np.zeros(most_users, np.int32),
        before=nobody(most_users),
        after=nobody(most_users),
        sooner=nobody(most_users),
        later=nobody(most_users),
        counts=np.zeros((most_users if rules.per_stream.any() else 0, classes), np.int32),
    )
    rooms = Rooms(
        key=np.zeros(most_users, np.uint64),
        check=np.zeros(most_users, np.uint32),
        present=np.zeros(most_users, np.int32),
        first=nobody(most_users),
        first_timed=np.full((most_users, 2), -1, np.int32),
        last_timed=np.full((most_users, 2), -1, np.int32),
    )
    streams = Streams(
        key=np.zeros(most_streams, np.uint64),
        check=np.zeros(most_streams, np.uint32),
        user=np.zeros(most_streams, np.int32),
        epoch=np.zeros(most_streams, np.int32),
        size=np.zeros(most_streams, np.int32),
        order=np.zeros(most_streams, np.int64),
        source=np.zeros(most_streams, np.uint32),
    )
    found = Found(
        kind=np.zeros(len(code), np.uint8),
        source=np.zeros(len(code), np.uint32),
        second=np.zeros(len(code), np.int32),
        stay_source=np.zeros(most_users, np.uint32),
        stay_begun=np.zeros(most_users, np.int32),
        stay_end=np.zeros(most_users, np.int32),
        stay_carried=np.zeros(most_users, np.bool_),
        made=np.zeros(3, np.int64),
    )
    tables = Tables(
        users=table(most_users), rooms=table(most_users), streams=table(most_streams), made=np.zeros(3, np.int64)
    )
    if by_user:
        sums = sums._replace(users=np.zeros((most_users, classes), np.int64))
    return World(users=users, rooms=rooms, streams=streams, tables=tables, rules=rules, sums=sums, found=found)


@compiled
def run(events: Events, sources: Sources, world: World) -> bool:
    """Takes all events in their turn, then lets the time pass to the end of the span. False: two keys have one hash."""
    for i in events.turn:
        code = events.code[i]
        second = events.second[i]
        if code == DISMISS:
            unique = dismiss(events, sources, world, i)
        else:
            user = find_user(world, events.user_key[i])
            if user >= 0:
                if world.users.check[user] != events.user_check[i]:
                    return False
                pass_time(world, world.users.room[user], second)
            unique = apply(events, sources, world, i, user)
        if not unique:
            return False
    for room in range(world.tables.made[1]):
        pass_time(world, room, world.sums.end)
    for user in range(world.tables.made[0]):
        if world.users.state[user] != ABSENT:
            note_stay(world, user, world.sums.end)
            change_class(world, user, NO_CLASS, world.sums.end)
    return True


@compiled
def apply(events: Events, sources: Sources, world: World, i: int, user: int) -> bool:
    """One event of one user (-1: never seen); the time has passed to its second. False: two keys have one hash."""
    users = world.users
    code, second, source = events.code[i], events.second[i], events.source[i]
    if code == ENTER or code == RECONNECT or code == CARRIED:
        if user < 0:
            user = add_user(events, sources, world, i)
            if user < 0:
                return False
            pass_time(world, users.room[user], second)
        enter(world, user, second, source, code == CARRIED)
        users.last_event[user] = sources.last_event[source - sources.first_carried] if code == CARRIED else second
        time_staleness(world, user)
        return True
    if user < 0 or users.state[user] == ABSENT:
        note_finding(world, OUTSIDE_STAY, source, second)
        return True
    if source < sources.first_carried:
        users.last_event[user] = second
        if users.state[user] == CONNECTED:
            time_staleness(world, user)
    if code == EXIT:
        leave(world, user, second)
        return True
    if users.state[user] == WAITING:
        note_finding(world, OUTSIDE_STAY, source, second)
        return True
    if code == DISCONNECT:
        wait_ends = second + WAIT_SECONDS
        if source >= sources.first_carried:
            wait_ends = sources.wait_ends[source - sources.first_carried]
        disconnect(world, user, second, wait_ends)
        return True
    return receive(events, world, i, user)


@compiled
def enter(world: World, user: int, second: int, source: int, carried: bool) -> None:
    users, rooms = world.users, world.rooms
    room = users.room[user]
    state = users.state[user]
    if state == CONNECTED:
        note_finding(world, REENTERED, source, second)
        clear(world, user, second)
        classify(world, user, second)
        return
    untime(world, user)
    users.state[user] = CONNECTED
    if state == ABSENT:
        users.begun[user], users.source[user], users.carried[user] = second, source, carried
        world.sums.stay_seconds[users.app[user]] += world.sums.end - second
        first = rooms.first[room]
        users.after[user] = first
        if first >= 0:
            users.before[first] = user
        rooms.first[room] = user
        rooms.present[room] += 1
        if rooms.present[room] == 2:
            classify(world, first, second)
    classify(world, user, second)


@compiled
def leave(world: World, user: int, second: int) -> None:
    users, rooms = world.users, world.rooms
    room = users.room[user]
    clear(world, user, second)
    untime(world, user)
    users.state[user] = ABSENT
    classify(world, user, second)
    note_stay(world, user, second)
    world.sums.stay_seconds[users.app[user]] -= world.sums.end - second
    before, after = users.before[user], users.after[user]
    if before >= 0:
        users.after[before] = after
    else:
        rooms.first[room] = after
    if after >= 0:
        users.before[after] = before
    users.before[user] = users.after[user] = -1
    rooms.present[room] -= 1
    if rooms.present[room] == 1:
        classify(world, rooms.first[room], second)


@compiled
def disconnect(world: World, user: int, second: int, wait_ends: int) -> None:
    clear(world, user, second)
    untime(world, user)
    world.users.state[user] = WAITING
    world.users.wait_ends[user] = wait_ends
    classify(world, user, second)
    time(world, user)


@compiled
def dismiss(events: Events, sources: Sources, world: World, i: int) -> bool:
    source, second = events.source[i], events.second[i]
    room = find_room(world, sources.room_key[source])
    if room < 0:
        return True
    if world.rooms.check[room] != sources.room_check[source]:
        return False
    pass_time(world, room, second)
    while world.rooms.first[room] >= 0:
        leave(world, world.rooms.first[room], second)
    return True


@compiled
def receive(events: Events, world: World, i: int, user: int) -> bool:
    """A connected user receives a stream from now on, in another size, or no longer (size 0)."""
    users, streams = world.users, world.streams
    size, second = events.size[i], events.second[i]
    stream = find_stream(world, user, events.stream_key[i])
    if stream < 0 and size == 0:
        return True
    if stream < 0:
        stream = add_stream(events, world, i, user)
    if streams.check[stream] != events.stream_check[i]:
        return False
    size_before = streams.size[stream] if streams.epoch[stream] == users.epoch[user] else 0
    if size != size_before > 0 and streams.order[stream] == events.order[i]:
        world.found.made[2] += 1
    streams.epoch[stream] = users.epoch[user]
    streams.size[stream] = size
    streams.order[stream] = events.order[i]
    streams.source[stream] = events.source[i]
    if world.rules.per_stream[users.app[user]]:
        count_stream(world, user, size_before, second, -1)
        count_stream(world, user, size, second, 1)
    users.streams[user] += (size > 0) - (size_before > 0)
    users.area[user] += size % SCREEN_BIT - size_before % SCREEN_BIT
    users.screens[user] += size // SCREEN_BIT - size_before // SCREEN_BIT
    classify(world, user, second)
    return True


@compiled
def count_stream(world: World, user: int, size: int, second: int, change: int) -> None:
    """One stream more or less of its class, for an app that is billed per stream."""
    if size == 0:
        return
    stream_class = video_class(world.rules, world.users.app[user], size % SCREEN_BIT, size // SCREEN_BIT)
    world.users.counts[user, stream_class] += change
    if world.users.seconds_class[user] == ANY_VIDEO:
        edge(world, user, stream_class, second, change)


@compiled
def clear(world: World, user: int, second: int) -> None:
    """Nothing is received any more; the caller classifies."""
    users = world.users
    if users.streams[user] == 0:
        return
    if world.rules.per_stream[users.app[user]]:
        count_streams(world, user, second, -1)
        users.counts[user, :] = 0
    users.streams[user] = 0
    users.area[user] = 0
    users.screens[user] = 0
    users.epoch[user] += 1


@compiled
def count_streams(world: World, user: int, second: int, sign: int) -> None:
    """Where a user's streams begin or cease to be what its seconds are."""
    if world.users.seconds_class[user] == ANY_VIDEO:
        for stream_class in range(FIRST_VIDEO, world.users.counts.shape[1]):
            if world.users.counts[user, stream_class] != 0:
                edge(world, user, stream_class, second, sign * world.users.counts[user, stream_class])


@compiled
def classify(world: World, user: int, second: int) -> None:
    """Gives the user's seconds from `second` on the class that follows from the state of the user and of the room."""
    now = class_of(world, user)
    if now != world.users.seconds_class[user]:
        change_class(world, user, now, second)


@compiled
def change_class(world: World, user: int, now: int, second: int) -> None:
    before = world.users.seconds_class[user]
    if before != NO_CLASS:
        edge(world, user, before, second, -1)
        count_streams(world, user, second, -1)
    world.users.seconds_class[user] = now
    if now != NO_CLASS:
        edge(world, user, now, second, 1)
        count_streams(world, user, second, 1)


@compiled
def class_of(world: World, user: int) -> int:
    users = world.users
    if users.state[user] == ABSENT:
        return NO_CLASS
    if users.state[user] == WAITING:
        return GRACE
    if world.rooms.present[users.room[user]] == 1:
        return ALONE
    if users.streams[user] == 0:
        return NO_VIDEO
    if world.rules.per_stream[users.app[user]]:
        return ANY_VIDEO
    return video_class(world.rules, users.app[user], users.area[user], users.screens[user])


@compiled
def video_class(rules: Rules, app: int, area: int, screens: int) -> int:
    tier = 0
    while area > rules.tops[app, tier]:
        tier += 1
    return FIRST_VIDEO + 2 * tier + (screens > 0)


@compiled
def edge(world: World, user: int, seconds_class: int, second: int, change: int) -> None:
    sums = world.sums
    app = world.users.app[user]
    window, into_it = divmod(second + sums.into_window, WINDOW_SECONDS)
    sums.count[app, seconds_class, window] += change
    sums.left[app, seconds_class, window] += change * (WINDOW_SECONDS - into_it)
    if sums.users.shape[0] > 0:
        sums.users[user, seconds_class] += change * (sums.end - second)


@compiled
def pass_time(world: World, room: int, until: int) -> None:
    """Ends the stays of a room whose time comes up to `until`, the earliest first."""
    users, rooms = world.users, world.rooms
    while True:
        waiting, silent = rooms.first_timed[room, 0], rooms.first_timed[room, 1]
        wait_ends = users.wait_ends[waiting] if waiting >= 0 else FAR
        stale_end = users.last_event[silent] + STALE_SECONDS if silent >= 0 else FAR
        if min(wait_ends, stale_end) > until:
            return
        if wait_ends <= stale_end:
            leave(world, waiting, wait_ends)
        else:
            note_finding(world, STALE_STAY, users.source[silent], stale_end)
            leave(world, silent, stale_end)


@compiled
def time_staleness(world: World, user: int) -> None:
    """Puts a connected user last among those whose stay may become stale, if that can be within the span."""
    if world.users.timed[user]:
        untime(world, user)
    if world.users.last_event[user] + STALE_SECONDS <= world.sums.end:
        time(world, user)


@compiled
def time(world: World, user: int) -> None:
    users, rooms = world.users, world.rooms
    room, kind = users.room[user], 0 if users.state[user] == WAITING else 1
    last = rooms.last_timed[room, kind]
    users.sooner[user], users.later[user], users.timed[user] = last, -1, True
    if last >= 0:
        users.later[last] = user
    else:
        rooms.first_timed[room, kind] = user
    rooms.last_timed[room, kind] = user


@compiled
def untime(world: World, user: int) -> None:
    users, rooms = world.users, world.rooms
    if not users.timed[user]:
        return
    room, kind = users.room[user], 0 if users.state[user] == WAITING else 1
    sooner, later = users.sooner[user], users.later[user]
    if sooner >= 0:
        users.later[sooner] = later
    else:
        rooms.first_timed[room, kind] = later
    if later >= 0:
        users.sooner[later] = sooner
    else:
        rooms.last_timed[room, kind] = sooner
    users.timed[user] = False


@compiled
def find_user(world: World, key: np.uint64) -> int:
    table = world.tables.users
    place = np.int64(key & np.uint64(len(table) - 1))
    while table[place] >= 0 and world.users.key[table[place]] != key:
        place = (place + 1) & (len(table) - 1)
    return table[place]


@compiled
def find_room(world: World, key: np.uint64) -> int:
    table = world.tables.rooms
    # The low bits are the same in all rooms of a part.
    place = np.int64((key >> np.uint64(20)) & np.uint64(len(table) - 1))
    while table[place] >= 0 and world.rooms.key[table[place]] != key:
        place = (place + 1) & (len(table) - 1)
    return table[place]


@compiled
def place_of_stream(world: World, user: int, key: np.uint64) -> int:
    table, streams = world.tables.streams, world.streams
    mixed = (key >> np.uint64(13)) ^ (np.uint64(user) * np.uint64(0x9E3779B1))
    place = np.int64(mixed & np.uint64(len(table) - 1))
    while table[place] >= 0 and (streams.key[table[place]] != key or streams.user[table[place]] != user):
        place = (place + 1) & (len(table) - 1)
    return place


@compiled
def find_stream(world: World, user: int, key: np.uint64) -> int:
    return world.tables.streams[place_of_stream(world, user, key)]


@compiled
def add_user(events: Events, sources: Sources, world: World, i: int) -> int:
    """The number of a user seen for the first time; -1: its room has the key of another room."""
    users, rooms, tables = world.users, world.rooms, world.tables
    source = events.source[i]
    room_key, room_check = sources.room_key[source], sources.room_check[source]
    room = find_room(world, room_key)
    if room < 0:
        room = tables.made[1]
        tables.made[1] += 1
        rooms.key[room], rooms.check[room] = room_key, room_check
        insert(tables.rooms, room, room_key >> np.uint64(20))
    elif rooms.check[room] != room_check:
        return -1
    user = tables.made[0]
    tables.made[0] += 1
    users.key[user], users.check[user], users.room[user] = events.user_key[i], events.user_check[i], room
    users.first_source[user] = source
    users.app[user] = np.searchsorted(world.rules.app_id, sources.app_id[source])
    insert(tables.users, user, events.user_key[i])
    return user


@compiled
def add_stream(events: Events, world: World, i: int, user: int) -> int:
    streams, tables = world.streams, world.tables
    stream = tables.made[2]
    tables.made[2] += 1
    place = place_of_stream(world, user, events.stream_key[i])
    tables.streams[place] = stream
    streams.key[stream], streams.user[stream] = events.stream_key[i], user
    streams.check[stream] = events.stream_check[i]
    streams.epoch[stream] = -1
    return stream


@compiled
def insert(table: NDArray[np.int32], number: int, mixed: np.uint64) -> None:
    place = np.int64(mixed & np.uint64(len(table) - 1))
    while table[place] >= 0:
        place = (place + 1) & (len(table) - 1)
    table[place] = number


@compiled
def note_finding(world: World, kind: int, source: int, second: int) -> None:
    found = world.found
    at = found.made[0]
    found.kind[at], found.source[at], found.second[at] = kind, source, second
    found.made[0] += 1


@compiled
def note_stay(world: World, user: int, end: int) -> None:
    found, users = world.found, world.users
    at = found.made[1]
    found.stay_source[at], found.stay_begun[at], found.stay_end[at] = users.source[user], users.begun[user], end
    found.stay_carried[at] = users.carried[user]
    found.made[1] += 1
