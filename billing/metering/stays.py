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
`alone_in_room`; nothing received, audio `no_video_received`; else video. Aggregate: one second in the tier of the
summed area, `screen_share` if any stream received is a share, else `camera`. Per stream: one second for each stream.

Nothing is written for a second, and nothing for a window that a stay lasts through. A change at second *t* is an
edge: -1 of the class that ends, +1 of the one that begins. An edge adds to its window what is left of it after *t*,
and 300 to every later window; so two sums per window and one running sum over the windows give the seconds of every
window.

The functions are compiled. They take the events of whole rooms in order and work on tables of records; a user (in a
room), a room and a stream (of a user) are numbers in the order of their first event, and -1 is none.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from billing.metering.compiled import compiled, inlined
from billing.metering.rows import (
    CARRIED,
    CODE_BITS,
    DISCONNECT,
    DISMISS,
    ENTER,
    EXIT,
    RECONNECT,
    SCREEN_BIT,
    SIZE_BITS,
    VIDEO_ON,
)
from billing.periods import WINDOW_SECONDS

WAIT_SECONDS = 90
STALE_SECONDS = 86_400
FAR = 2**30  # a second that never comes
MOST_COMPARED = 64

ABSENT, CONNECTED, WAITING = range(3)
# Classes of seconds. ANY_VIDEO is a second with video under a policy per stream, once; it is not billed itself.
NO_CLASS = -1
GRACE, ALONE, NO_VIDEO, ANY_VIDEO, FIRST_VIDEO = range(5)

OUTSIDE_STAY, REENTERED, STALE_STAY = range(3)
# What `run` says: all done; two users, rooms or streams have one hash; an app has no rule.
DONE, COLLISION, UNKNOWN_APP = range(3)


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
FINDING = np.dtype([("source", np.uint32), ("second", np.int32), ("kind", np.uint8)], align=True)
STAY = np.dtype([("source", np.uint32), ("second", np.int32), ("stay_end", np.int32), ("begins", np.bool_)], align=True)

Records = NDArray[np.void]


class Events(NamedTuple):
    """Events of whole rooms, in order: keys of user and stream, `checks` (of the user in the high half, of the stream
    in the low), `order`, `what` (see `rows.py`), and `source`, the row of `Sources`."""

    user_key: NDArray[np.uint64]
    stream_key: NDArray[np.uint64]
    checks: NDArray[np.uint64]
    order: NDArray[np.int64]
    what: NDArray[np.int64]
    source: NDArray[np.uint32]


class Sources(NamedTuple):
    """What is looked up only when a user or a dismissal is seen, by `source`; and for carried rows, which are the
    sources from `first_carried` on, `last_event` and `wait_ends`."""

    app_id: NDArray[np.int64]
    room_key: NDArray[np.uint64]
    room_check: NDArray[np.uint32]
    last_event: NDArray[np.int32]
    wait_ends: NDArray[np.int32]
    first_carried: int


class Rules(NamedTuple):
    """Per app, by place among the sorted ids: is it billed per stream, and the inclusive top areas of its tiers."""

    app_id: NDArray[np.int64]
    per_stream: NDArray[np.bool_]
    tops: NDArray[np.int64]  # [app, tier]


class Sums(NamedTuple):
    """What the parts of a worker add up to: `edges` by app, class and window, as their number and the seconds that they
    leave of the window; `stay_seconds` by app, counted apart from all classes."""

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
    end: int
    into_window: int


USERS, ROOMS, STREAMS, FINDINGS, STAYS = range(5)


def make_sums(apps: int, tiers: int, start: int, end: int) -> Sums:
    """Empty sums over the windows of the span `[start, end)` (epoch seconds)."""
    into_window = start % WINDOW_SECONDS
    windows = (end - start + into_window) // WINDOW_SECONDS + 1
    return Sums(
        edges=np.zeros((apps, FIRST_VIDEO + 2 * tiers, windows, 2), np.int64),
        stay_seconds=np.zeros(apps, np.int64),
        end=end - start,
        into_window=into_window,
    )


def make_world(events: Events, rules: Rules, sums: Sums, *, by_user: bool) -> World:
    """Empty tables of the sizes that these events can fill at most."""
    codes = np.bincount(events.what & (2**CODE_BITS - 1), minlength=CARRIED + 1)
    most_users = int(codes[ENTER] + codes[RECONNECT] + codes[CARRIED])
    most_streams = int(codes[VIDEO_ON])
    classes = sums.edges.shape[1]
    return World(
        users=np.zeros(most_users, USER),
        rooms=np.zeros(most_users, ROOM),
        streams=np.zeros(most_streams, STREAM),
        findings=np.zeros(len(events.what), FINDING),
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
        end=sums.end,
        into_window=sums.into_window,
    )


def _places(most: int) -> NDArray[np.int32]:
    return np.full(1 << (2 * most + 1).bit_length(), -1, np.int32)


@compiled
def run(events: Events, sources: Sources, rules: Rules, world: World) -> int:
    """Takes all events in order, then lets the time pass to the end of the span. `DONE`, or why not."""
    for i in range(len(events.what)):
        code, source = code_of(events.what[i]), events.source[i]
        second = events.what[i] >> (SIZE_BITS + CODE_BITS)
        size = (events.what[i] >> CODE_BITS) & (2**SIZE_BITS - 1)
        user_check, stream_check = events.checks[i] >> np.uint64(32), events.checks[i] & np.uint64(2**32 - 1)
        if code == DISMISS:
            room = find_room(world, sources.room_key[source])
            if room >= 0:
                if world.rooms[room].check != sources.room_check[source]:
                    return COLLISION
                dismiss(world, room, second)
            continue
        user = find_user(world, events.user_key[i])
        enters = code in (ENTER, RECONNECT, CARRIED)
        if user >= 0:
            if world.users[user].check != user_check:
                return COLLISION
        elif enters:
            app = np.searchsorted(rules.app_id, sources.app_id[source])
            if app == len(rules.app_id) or rules.app_id[app] != sources.app_id[source]:
                return UNKNOWN_APP
            room = add_room(world, sources.room_key[source], sources.room_check[source])
            if room < 0:
                return COLLISION
            user = add_user(world, events.user_key[i], user_check, room, app, rules.per_stream[app], source)
        if user < 0:
            note_finding(world, OUTSIDE_STAY, source, second)
            continue
        pass_time(world, world.users[user].room, second)
        if source >= sources.first_carried:
            carried = source - sources.first_carried
            happened, wait_ends = sources.last_event[carried], sources.wait_ends[carried]
        else:
            happened, wait_ends = second, second + WAIT_SECONDS
        if enters:
            enter(world, user, second, source, code == CARRIED)
        elif world.users[user].state == ABSENT:
            note_finding(world, OUTSIDE_STAY, source, second)
            continue
        elif code == EXIT:
            leave(world, user, second)
            continue
        elif world.users[user].state == WAITING:
            note_finding(world, OUTSIDE_STAY, source, second)
        elif code == DISCONNECT:
            disconnect(world, user, second, wait_ends)
        else:
            if not receive(world, user, events.stream_key[i], stream_check, size, second, source):
                return COLLISION
        if code == CARRIED or source < sources.first_carried:
            give_sign(world, user, happened)
    for room in range(world.made[ROOMS]):
        pass_time(world, room, world.end)
    for user in range(world.made[USERS]):
        if world.users[user].state != ABSENT:
            note_stay(world, user, world.end)
            change_class(world, user, NO_CLASS, world.end)
    return DONE


@compiled
def count_rows(room_key: NDArray[np.uint64], sizes: NDArray[np.int64]) -> None:
    """Adds to `sizes` how many rows are in each part. A room is in the part that its key says."""
    count = np.uint64(len(sizes))
    for row in range(len(room_key)):
        sizes[room_key[row] % count] += 1


@compiled
def cut(events: Events, room_key: NDArray[np.uint64], ends: NDArray[np.int64], parts: Events) -> None:
    """Appends the events to their parts, which so far end at `ends`. (Writing to all parts at once takes a sixth of the
    time of gathering one part after the other.)"""
    count = np.uint64(len(ends))
    for row in range(len(room_key)):
        part = room_key[row] % count
        place = ends[part]
        ends[part] += 1
        parts.user_key[place] = events.user_key[row]
        parts.stream_key[place] = events.stream_key[row]
        parts.checks[place] = events.checks[row]
        parts.order[place] = events.order[row]
        parts.what[place] = events.what[row]
        parts.source[place] = events.source[row]


@inlined
def code_of(what: int) -> int:
    """The type of an event."""
    return int(what & (2**CODE_BITS - 1))


@compiled
def mark_ties(events: Events, tied: NDArray[np.bool_]) -> None:
    """Marks the events that the order leaves in one place with another of the same stream and another size: there the
    event id has the last word.

    Comparing costs the square of the events in one place; from `MOST_COMPARED` on, all of them count as tied.
    """
    order = events.order
    first = 0
    while first < len(order):
        end = first + 1
        while end < len(order) and order[end] == order[first]:
            end += 1
        if end - first > 1 and code_of(events.what[first]) == VIDEO_ON and order[first] >= 0:
            ambiguous = end - first > MOST_COMPARED
            for one in range(first, end):
                for other in range(one + 1, min(end, one + MOST_COMPARED)):
                    ambiguous = ambiguous or same_stream(events, one, other)
            tied[first:end] = ambiguous
        first = end


@inlined
def same_stream(events: Events, one: int, other: int) -> bool:
    """Are two events about one stream of one user, with different sizes?"""
    return bool(
        events.user_key[one] == events.user_key[other]
        and events.stream_key[one] == events.stream_key[other]
        and events.what[one] != events.what[other]
    )


@inlined
def enter(world: World, user: int, second: int, source: int, carried: bool) -> None:
    """A stay begins, or goes on with a new connection."""
    each = world.users[user]
    if each.state == CONNECTED:
        note_finding(world, REENTERED, source, second)
        clear(world, user, second)
        classify(world, user, second)
        return
    untime(world, user)
    returns = each.state == WAITING
    each.state = CONNECTED
    if not returns:
        each.begun, each.source, each.carried = second, source, carried
        world.stay_seconds[each.app] += world.end - second
        room = world.rooms[each.room]
        other = room.first
        each.before, each.after = -1, other
        if other >= 0:
            world.users[other].before = user
        room.first = user
        room.present += 1
        if room.present == 2:
            classify(world, other, second)
    classify(world, user, second)


@inlined
def leave(world: World, user: int, second: int) -> None:
    """The stay ends."""
    each = world.users[user]
    clear(world, user, second)
    untime(world, user)
    each.state = ABSENT
    classify(world, user, second)
    note_stay(world, user, second)
    world.stay_seconds[each.app] -= world.end - second
    room = world.rooms[each.room]
    if each.before >= 0:
        world.users[each.before].after = each.after
    else:
        room.first = each.after
    if each.after >= 0:
        world.users[each.after].before = each.before
    room.present -= 1
    if room.present == 1:
        classify(world, room.first, second)


@inlined
def disconnect(world: World, user: int, second: int, wait_ends: int) -> None:
    """The wait begins."""
    clear(world, user, second)
    untime(world, user)
    world.users[user].state = WAITING
    world.users[user].wait_ends = wait_ends
    classify(world, user, second)
    time(world, user)


@inlined
def dismiss(world: World, room: int, second: int) -> None:
    """Every stay in the room ends."""
    pass_time(world, room, second)
    while world.rooms[room].first >= 0:
        leave(world, world.rooms[room].first, second)


@inlined
def give_sign(world: World, user: int, second: int) -> None:
    """The user's last event is now this one, and the stay cannot become stale before 24 hours from it."""
    each = world.users[user]
    each.last_event = second
    if each.state != CONNECTED:
        return
    untime(world, user)
    if second + STALE_SECONDS <= world.end:
        time(world, user)


@inlined
def receive(world: World, user: int, key: np.uint64, check: np.uint32, size: int, second: int, source: int) -> bool:
    """A connected user receives a stream from now on, or in another size, or no longer (size 0). False: two streams
    have one hash."""
    each = world.users[user]
    place = place_of_stream(world, user, key)
    number = world.stream_places[place]
    if number < 0:
        if size == 0:
            return True
        number = world.made[STREAMS]
        world.made[STREAMS] += 1
        world.stream_places[place] = number
        stream = world.streams[number]
        stream.key, stream.user, stream.check, stream.epoch = key, user, check, -1
    stream = world.streams[number]
    if stream.check != check:
        return False
    size_before = stream.size if stream.epoch == each.epoch else 0
    stream.epoch, stream.size, stream.source = each.epoch, size, source
    if size == size_before:
        return True
    if each.per_stream:
        count_stream(world, user, size_before, second, -1)
        count_stream(world, user, size, second, 1)
    each.streams += (size > 0) - (size_before > 0)
    each.area += size % SCREEN_BIT - size_before % SCREEN_BIT
    each.screens += size // SCREEN_BIT - size_before // SCREEN_BIT
    classify(world, user, second)
    return True


@inlined
def count_stream(world: World, user: int, size: int, second: int, change: int) -> None:
    """One stream more or less of its class, for an app that is billed per stream."""
    if size == 0:
        return
    each = world.users[user]
    stream_class = video_class(world, each.app, size % SCREEN_BIT, size // SCREEN_BIT)
    world.counts[user, stream_class] += change
    if each.seconds_class == ANY_VIDEO:
        edge(world, user, stream_class, second, change)


@inlined
def count_streams(world: World, user: int, second: int, sign: int) -> None:
    """The streams of a user billed per stream begin or cease to be what its seconds are."""
    for stream_class in range(FIRST_VIDEO, world.counts.shape[1]):
        if world.counts[user, stream_class] != 0:
            edge(world, user, stream_class, second, sign * world.counts[user, stream_class])


@inlined
def clear(world: World, user: int, second: int) -> None:
    """Nothing is received any more; the caller classifies."""
    each = world.users[user]
    if each.streams == 0:
        return
    if each.per_stream:
        if each.seconds_class == ANY_VIDEO:
            count_streams(world, user, second, -1)
        world.counts[user, :] = 0
    each.streams = each.screens = each.area = 0
    each.epoch += 1


@inlined
def classify(world: World, user: int, second: int) -> None:
    """Gives the user's seconds from `second` on the class that follows from the state of the user and of the room."""
    now = class_of(world, user)
    if now != world.users[user].seconds_class:
        change_class(world, user, now, second)


@inlined
def class_of(world: World, user: int) -> int:
    """The class of a user's seconds, as things are."""
    each = world.users[user]
    if each.state == ABSENT:
        return NO_CLASS
    if each.state == WAITING:
        return GRACE
    if world.rooms[each.room].present == 1:
        return ALONE
    if each.streams == 0:
        return NO_VIDEO
    if each.per_stream:
        return ANY_VIDEO
    return video_class(world, each.app, each.area, each.screens)


@inlined
def video_class(world: World, app: int, area: int, screens: int) -> int:
    """The class of a summed area, or of one stream."""
    tier = 0
    while area > world.tops[app, tier]:
        tier += 1
    return FIRST_VIDEO + 2 * tier + (screens > 0)


@inlined
def change_class(world: World, user: int, now: int, second: int) -> None:
    """One class ends at `second`, another begins."""
    each = world.users[user]
    before = each.seconds_class
    if before != NO_CLASS:
        edge(world, user, before, second, -1)
        if before == ANY_VIDEO:
            count_streams(world, user, second, -1)
    each.seconds_class = now
    if now != NO_CLASS:
        edge(world, user, now, second, 1)
        if now == ANY_VIDEO:
            count_streams(world, user, second, 1)


@inlined
def edge(world: World, user: int, seconds_class: int, second: int, change: int) -> None:
    """From `second` on there are `change` users or streams more in a class."""
    window = (second + world.into_window) // WINDOW_SECONDS
    left = (window + 1) * WINDOW_SECONDS - (second + world.into_window)
    app = world.users[user].app
    world.edges[app, seconds_class, window, 0] += change
    world.edges[app, seconds_class, window, 1] += change * left
    if world.user_seconds.shape[0] > 0:
        world.user_seconds[user, seconds_class] += change * (world.end - second)


@inlined
def pass_time(world: World, room: int, until: int) -> None:
    """Ends the stays of a room whose time comes up to `until`, the earliest first."""
    while True:
        waiting, silent = world.rooms[room].first_waiting, world.rooms[room].first_silent
        wait_ends = world.users[waiting].wait_ends if waiting >= 0 else FAR
        stale_end = world.users[silent].last_event + STALE_SECONDS if silent >= 0 else FAR
        if min(wait_ends, stale_end) > until:
            return
        if wait_ends <= stale_end:
            leave(world, waiting, wait_ends)
        else:
            note_finding(world, STALE_STAY, world.users[silent].source, stale_end)
            leave(world, silent, stale_end)


@inlined
def time(world: World, user: int) -> None:
    """Puts a user last among those who wait, or among those whose stay may become stale."""
    each = world.users[user]
    room = world.rooms[each.room]
    waits = each.state == WAITING
    last = room.last_waiting if waits else room.last_silent
    each.sooner, each.later, each.timed = last, -1, True
    if last >= 0:
        world.users[last].later = user
    elif waits:
        room.first_waiting = user
    else:
        room.first_silent = user
    if waits:
        room.last_waiting = user
    else:
        room.last_silent = user


@inlined
def untime(world: World, user: int) -> None:
    """Takes a user out of that order, before its state changes."""
    each = world.users[user]
    if not each.timed:
        return
    each.timed = False
    room = world.rooms[each.room]
    waits = each.state == WAITING
    if each.sooner >= 0:
        world.users[each.sooner].later = each.later
    elif waits:
        room.first_waiting = each.later
    else:
        room.first_silent = each.later
    if each.later >= 0:
        world.users[each.later].sooner = each.sooner
    elif waits:
        room.last_waiting = each.sooner
    else:
        room.last_silent = each.sooner


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
def note_finding(world: World, kind: int, source: int, second: int) -> None:
    finding = world.findings[world.made[FINDINGS]]
    finding.kind, finding.source, finding.second = kind, source, second
    world.made[FINDINGS] += 1


@inlined
def note_stay(world: World, user: int, end: int) -> None:
    each = world.users[user]
    stay = world.stays[world.made[STAYS]]
    stay.source, stay.second, stay.stay_end, stay.begins = each.source, each.begun, end, not each.carried
    world.made[STAYS] += 1
