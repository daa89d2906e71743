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

The functions are compiled. They take the events of whole rooms in order and work on the records of `tables.py`.
"""

import numpy as np

from billing.events.keys import CODE_BITS, DISCONNECT, DISMISS, ENTER, EXIT, RECONNECT, SCREEN_BIT
from billing.metering.engine.keyed_rows import CARRIED
from billing.metering.engine.room_tables import (
    ALONE,
    ANY_VIDEO,
    FIRST_VIDEO,
    GRACE,
    NO_CLASS,
    NO_VIDEO,
    ROOMS,
    STREAMS,
    USERS,
    Carried,
    Events,
    Rules,
    World,
    add_room,
    add_user,
    code_of,
    find_room,
    find_user,
    note_finding,
    note_stay,
    place_of_stream,
)
from billing.numba_cache import compiled, inlined
from billing.periods import WINDOW_SECONDS

WAIT_SECONDS = 90
STALE_SECONDS = 86_400
FAR = 2**30  # a second that never comes

ABSENT, CONNECTED, WAITING = range(3)
OUTSIDE_STAY, REENTERED, STALE_STAY = range(3)
# What `run` says: all done; two users, rooms or streams have one hash; an app has no rule.
DONE, COLLISION, UNKNOWN_APP = range(3)


@compiled
def run(events: Events, carried: Carried, rules: Rules, world: World) -> int:
    """Takes all events in order, then lets the time pass to the end of the span. `DONE`, or why not."""
    for row in events.turn:
        code, source = code_of(events.what[row]), events.source[row]
        size = events.what[row] >> CODE_BITS
        # Carried rows are said to come before the span.
        second = max(0, (events.at[row] - world.start_ms) // 1000)
        user_check, stream_check = events.checks[row] >> np.uint64(32), events.checks[row] & np.uint64(2**32 - 1)
        if code == DISMISS:
            room = find_room(world, events.room_key[row])
            if room >= 0:
                if world.rooms[room].check != events.room_check[row]:
                    return COLLISION
                dismiss(world, room, second)
            continue
        user = find_user(world, events.user_key[row])
        enters = code in (ENTER, RECONNECT, CARRIED)
        if user >= 0:
            if world.users[user].check != user_check:
                return COLLISION
        elif enters:
            app = np.searchsorted(rules.app_id, events.app_id[row])
            if app == len(rules.app_id) or rules.app_id[app] != events.app_id[row]:
                return UNKNOWN_APP
            room = add_room(world, events.room_key[row], events.room_check[row])
            if room < 0:
                return COLLISION
            user = add_user(world, events.user_key[row], user_check, room, app, rules.per_stream[app], source)
        if user < 0:
            note_finding(world, OUTSIDE_STAY, source, events.at[row])
            continue
        pass_time(world, world.users[user].room, second)
        if source >= carried.first:
            happened, wait_ends = carried.last_event[source - carried.first], carried.wait_ends[source - carried.first]
        else:
            happened, wait_ends = second, second + WAIT_SECONDS
        if enters:
            enter(world, user, second, source, events.at[row], code == CARRIED)
        elif world.users[user].state == ABSENT:
            note_finding(world, OUTSIDE_STAY, source, events.at[row])
            continue
        elif code == EXIT:
            leave(world, user, second)
            continue
        elif world.users[user].state == WAITING:
            note_finding(world, OUTSIDE_STAY, source, events.at[row])
        elif code == DISCONNECT:
            disconnect(world, user, second, wait_ends)
        else:
            if not receive(world, user, events.stream_key[row], stream_check, size, second, source):
                return COLLISION
        if code == CARRIED or source < carried.first:
            give_sign(world, user, happened)
    for room in range(world.made[ROOMS]):
        pass_time(world, room, world.end)
    for user in range(world.made[USERS]):
        if world.users[user].state != ABSENT:
            note_stay(world, user, world.end)
            change_class(world, user, NO_CLASS, world.end)
    return DONE


@inlined
def enter(world: World, user: int, second: int, source: int, at: int, carried: bool) -> None:
    """A stay begins, or goes on with a new connection."""
    each = world.users[user]
    if each.state == CONNECTED:
        note_finding(world, REENTERED, source, at)
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
        stream.key, stream.user, stream.check = key, user, check
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
    each.streams += int(size > 0) - int(size_before > 0)
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
            note_finding(world, STALE_STAY, world.users[silent].source, world.start_ms + stale_end * 1000)
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
