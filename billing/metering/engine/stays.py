"""Stays: the state of every user in every room, event by event, and the class of every second.

A user in a room is absent, connected or waiting:

| event | absent | connected | waiting |
|---|---|---|---|
| `enter`, `reconnect` | a stay begins | continues; received streams are cleared (`reentered`) | continues, connected |
| `exit` | `outside_stay` | the stay ends | the stay ends |
| `disconnect` | `outside_stay` | waits 90 s; received streams are cleared | `outside_stay` |
| `video_on`, `video_off` | `outside_stay` | received streams change | `outside_stay` |
| `dismiss` | | the stay ends | the stay ends |

A wait ends its stay 90 s after the disconnect; a stay without any event of its user for 86,400 s ends there (`stale`).

Class of a second, first match wins: waiting, audio `disconnect_grace`; only one user has a stay in the room, audio
`alone_in_room`; nothing received, audio `no_video_received`; else video. Aggregate: one second in the tier of the
summed area, `screen_share` if any stream received is a share, else `camera`. Per stream: one second for each stream.

Nothing is written for a second, and nothing for a window that a stay spans. A change at second *t* is an edge: -1 of
the class that ends, +1 of the class that begins. An edge adds to its window the seconds left of it after *t*, and 300
to every later window; so two sums per window and one running sum over the windows give the seconds of every window.
Example: a class begins at second 100 and ends at 700. The edges add 200 to the first window and -200 to the third; with
the running sum the windows have 200, 300 and 300 - 200 = 100 seconds.

The functions are compiled. They apply the events of whole rooms in order to the records of `room_tables`. Users and
rooms are passed by number: a record is looked up where it is needed.
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
    RoomTables,
    add_room,
    add_user,
    code_of,
    find_room,
    find_user,
    note_finding,
    note_stay,
    place_of_stream,
    stream_check,
    user_check,
)
from billing.numba_cache import compiled, inlined
from billing.periods import STALE_SECONDS, WAIT_SECONDS, WINDOW_SECONDS

NEVER = 2**30  # a second after the end of any span

ABSENT, CONNECTED, WAITING = range(3)
OUTSIDE_STAY, REENTERED, STALE_STAY = range(3)
# Outcomes: applied; two users, rooms or streams have one key; an app has no rule.
DONE, COLLISION, UNKNOWN_APP = 0, -2, -3
NOBODY = -1  # in place of a user's number


@compiled
def run(events: Events, carried: Carried, tables: RoomTables) -> int:
    """Applies all events in order, then lets the time pass to the end of the span. `DONE`, or why not."""
    for row in events.order:
        # Carried rows are dated before the span.
        second = max(0, (events.at[row] - tables.span.start_ms) // 1000)
        if code_of(events.size_and_type[row]) == DISMISS:
            outcome = dismiss(events, tables, row, second)
        else:
            outcome = apply_event(events, carried, tables, row, second)
        if outcome != DONE:
            return outcome
    finish(tables)
    return DONE


@inlined
def apply_event(events: Events, carried: Carried, tables: RoomTables, row: int, second: int) -> int:
    """Applies an event of a user: `DONE`, `COLLISION` or `UNKNOWN_APP`."""
    code, row_number = code_of(events.size_and_type[row]), events.row_number[row]
    user_number = user_of(events, tables, row)
    if user_number < NOBODY:
        return user_number
    if user_number != NOBODY:
        pass_time(tables, tables.users[user_number].room, second)
    enters = code in (ENTER, RECONNECT, CARRIED)
    if not enters and (user_number == NOBODY or tables.users[user_number].state == ABSENT):
        note_finding(tables, OUTSIDE_STAY, row_number, events.at[row])
        return DONE
    if code == EXIT:
        leave(tables, user_number, second)
        return DONE
    last_event, wait_ends = second, second + WAIT_SECONDS
    if row_number >= carried.first:
        last_event = carried.last_event[row_number - carried.first]
        wait_ends = carried.wait_ends[row_number - carried.first]
    if enters:
        enter(events, tables, row, user_number, second)
    elif tables.users[user_number].state == WAITING:
        note_finding(tables, OUTSIDE_STAY, row_number, events.at[row])
    elif code == DISCONNECT:
        disconnect(tables, user_number, second, wait_ends)
    elif not receive(events, tables, row, user_number, second):
        return COLLISION
    if code == CARRIED or row_number < carried.first:
        touch(tables, user_number, last_event)
    return DONE


@inlined
def user_of(events: Events, tables: RoomTables, row: int) -> int:
    """The number of the user of an event, added with the first that enters; `NOBODY`, `COLLISION` or `UNKNOWN_APP`."""
    user_number = find_user(tables, events.user_key[row])
    if user_number >= 0:
        return user_number if tables.users[user_number].check == user_check(events.checks[row]) else COLLISION
    if code_of(events.size_and_type[row]) not in (ENTER, RECONNECT, CARRIED):
        return NOBODY
    app = np.searchsorted(tables.span.app_id, events.app_id[row])
    if app == len(tables.span.app_id) or tables.span.app_id[app] != events.app_id[row]:
        return UNKNOWN_APP
    room_number = add_room(tables, events.room_key[row], events.room_check[row])
    if room_number < 0:
        return COLLISION
    return add_user(tables, events, row, room_number, app)


@inlined
def finish(tables: RoomTables) -> None:
    """Lets the time pass to the end of the span, where the stays that are still open are noted."""
    for room_number in range(tables.used[ROOMS]):
        pass_time(tables, room_number, tables.span.end)
    for user_number in range(tables.used[USERS]):
        if tables.users[user_number].state != ABSENT:
            note_stay(tables, user_number, tables.span.end)
            change_class(tables, user_number, NO_CLASS, tables.span.end)


@inlined
def enter(events: Events, tables: RoomTables, row: int, user_number: int, second: int) -> None:
    """A stay begins, or continues with a new connection."""
    user = tables.users[user_number]
    if user.state == CONNECTED:
        note_finding(tables, REENTERED, events.row_number[row], events.at[row])
        clear_streams(tables, user_number, second)
    elif user.state == WAITING:
        stop_timer(tables, user_number)
    else:
        user.begun, user.row_number = second, events.row_number[row]
        user.carried = code_of(events.size_and_type[row]) == CARRIED
        tables.sums.stay_seconds[user.app] += tables.span.end - second
        join_room(tables, user_number, second)
    user.state = CONNECTED
    classify(tables, user_number, second)


@inlined
def join_room(tables: RoomTables, user_number: int, second: int) -> None:
    """The user is the first of those present; nobody is alone any more."""
    user = tables.users[user_number]
    room = tables.rooms[user.room]
    other = room.first
    user.before, user.after = -1, other
    if other >= 0:
        tables.users[other].before = user_number
    room.first = user_number
    room.present += 1
    if room.present == 2:
        classify(tables, other, second)


@inlined
def leave(tables: RoomTables, user_number: int, second: int) -> None:
    """The stay ends."""
    user = tables.users[user_number]
    clear_streams(tables, user_number, second)
    stop_timer(tables, user_number)
    user.state = ABSENT
    classify(tables, user_number, second)
    note_stay(tables, user_number, second)
    tables.sums.stay_seconds[user.app] -= tables.span.end - second
    room = tables.rooms[user.room]
    if user.before >= 0:
        tables.users[user.before].after = user.after
    else:
        room.first = user.after
    if user.after >= 0:
        tables.users[user.after].before = user.before
    room.present -= 1
    if room.present == 1:
        classify(tables, room.first, second)


@inlined
def disconnect(tables: RoomTables, user_number: int, second: int, wait_ends: int) -> None:
    """The wait begins."""
    clear_streams(tables, user_number, second)
    stop_timer(tables, user_number)
    tables.users[user_number].state = WAITING
    tables.users[user_number].wait_ends = wait_ends
    classify(tables, user_number, second)
    start_timer(tables, user_number)


@inlined
def dismiss(events: Events, tables: RoomTables, row: int, second: int) -> int:
    """Ends every stay in the room of a `dismiss`: `DONE` or `COLLISION`."""
    room_number = find_room(tables, events.room_key[row])
    if room_number < 0:
        return DONE
    if tables.rooms[room_number].check != events.room_check[row]:
        return COLLISION
    pass_time(tables, room_number, second)
    while tables.rooms[room_number].first >= 0:
        leave(tables, tables.rooms[room_number].first, second)
    return DONE


@inlined
def touch(tables: RoomTables, user_number: int, second: int) -> None:
    """The user's last event is at `second`: the stay becomes stale 24 hours later at the earliest."""
    user = tables.users[user_number]
    user.last_event = second
    if user.state != CONNECTED:
        return
    stop_timer(tables, user_number)
    if second + STALE_SECONDS <= tables.span.end:
        start_timer(tables, user_number)


@inlined
def receive(events: Events, tables: RoomTables, row: int, user_number: int, second: int) -> bool:
    """A connected user receives a stream from now on, or in another size, or no longer (size 0). False: two streams
    have one key."""
    user, size = tables.users[user_number], events.size_and_type[row] >> CODE_BITS
    place = place_of_stream(tables, user_number, events.stream_key[row])
    number = tables.stream_places[place]
    if number < 0:
        if size == 0:
            return True
        number = add_stream(events, tables, row, user_number, place)
    stream = tables.streams[number]
    if stream.check != stream_check(events.checks[row]):
        return False
    size_before = stream.size if stream.epoch == user.epoch else 0
    stream.epoch, stream.size, stream.row_number = user.epoch, size, events.row_number[row]
    if size != size_before:
        change_size(tables, user_number, size_before, size, second)
    return True


@inlined
def add_stream(events: Events, tables: RoomTables, row: int, user_number: int, place: int) -> int:
    """The number of a stream that is not in the table yet."""
    number = tables.used[STREAMS]
    tables.used[STREAMS] += 1
    tables.stream_places[place] = number
    stream = tables.streams[number]
    stream.key, stream.user, stream.check = events.stream_key[row], user_number, stream_check(events.checks[row])
    return int(number)


@inlined
def change_size(tables: RoomTables, user_number: int, size_before: int, size: int, second: int) -> None:
    """A stream of the user changes its size; 0: it is not received."""
    user = tables.users[user_number]
    if user.per_stream:
        count_stream(tables, user_number, size_before, second, -1)
        count_stream(tables, user_number, size, second, 1)
    user.streams += int(size > 0) - int(size_before > 0)
    user.area += size % SCREEN_BIT - size_before % SCREEN_BIT
    user.screens += size // SCREEN_BIT - size_before // SCREEN_BIT
    classify(tables, user_number, second)


@inlined
def count_stream(tables: RoomTables, user_number: int, size: int, second: int, change: int) -> None:
    """One stream more or less in its class, for an app billed per stream."""
    if size == 0:
        return
    user = tables.users[user_number]
    stream_class = video_class(tables, user.app, size % SCREEN_BIT, size // SCREEN_BIT)
    tables.counts[user_number, stream_class] += change
    if user.seconds_class == ANY_VIDEO:
        add_edge(tables, user_number, stream_class, second, change)


@inlined
def count_streams(tables: RoomTables, user_number: int, second: int, sign: int) -> None:
    """The streams of a user billed per stream begin to count (`sign` 1) or cease to (-1)."""
    for stream_class in range(FIRST_VIDEO, tables.counts.shape[1]):
        if tables.counts[user_number, stream_class] != 0:
            add_edge(tables, user_number, stream_class, second, sign * tables.counts[user_number, stream_class])


@inlined
def clear_streams(tables: RoomTables, user_number: int, second: int) -> None:
    """Nothing is received any more; the caller classifies."""
    user = tables.users[user_number]
    if user.streams == 0:
        return
    if user.per_stream:
        if user.seconds_class == ANY_VIDEO:
            count_streams(tables, user_number, second, -1)
        tables.counts[user_number, :] = 0
    user.streams = user.screens = user.area = 0
    user.epoch += 1


@inlined
def classify(tables: RoomTables, user_number: int, second: int) -> None:
    """Gives the user's seconds from `second` on the class that follows from the state of the user and of the room."""
    now = class_of(tables, user_number)
    if now != tables.users[user_number].seconds_class:
        change_class(tables, user_number, now, second)


@inlined
def class_of(tables: RoomTables, user_number: int) -> int:
    """The class of a user's seconds in the present state."""
    user = tables.users[user_number]
    if user.state == ABSENT:
        return NO_CLASS
    if user.state == WAITING:
        return GRACE
    if tables.rooms[user.room].present == 1:
        return ALONE
    if user.streams == 0:
        return NO_VIDEO
    if user.per_stream:
        return ANY_VIDEO
    return video_class(tables, user.app, user.area, user.screens)


@inlined
def video_class(tables: RoomTables, app: int, area: int, screens: int) -> int:
    """The class of a summed area, or of one stream."""
    tier = 0
    while area > tables.span.tops[app, tier]:
        tier += 1
    return FIRST_VIDEO + 2 * tier + (screens > 0)


@inlined
def change_class(tables: RoomTables, user_number: int, now: int, second: int) -> None:
    """One class ends at `second`, another begins."""
    user = tables.users[user_number]
    before = user.seconds_class
    if before != NO_CLASS:
        add_edge(tables, user_number, before, second, -1)
        if before == ANY_VIDEO:
            count_streams(tables, user_number, second, -1)
    user.seconds_class = now
    if now != NO_CLASS:
        add_edge(tables, user_number, now, second, 1)
        if now == ANY_VIDEO:
            count_streams(tables, user_number, second, 1)


@inlined
def add_edge(tables: RoomTables, user_number: int, seconds_class: int, second: int, change: int) -> None:
    """From `second` on there are `change` users or streams more in a class."""
    window = (second + tables.span.into_window) // WINDOW_SECONDS
    left = (window + 1) * WINDOW_SECONDS - (second + tables.span.into_window)
    app = tables.users[user_number].app
    tables.sums.edges[app, seconds_class, window, 0] += change
    tables.sums.edges[app, seconds_class, window, 1] += change * left
    if tables.user_seconds.shape[0] > 0:
        tables.user_seconds[user_number, seconds_class] += change * (tables.span.end - second)


@inlined
def pass_time(tables: RoomTables, room_number: int, until: int) -> None:
    """Ends the stays of a room whose timers end up to second `until`, the earliest first."""
    while True:
        waiting, silent = tables.rooms[room_number].first_waiting, tables.rooms[room_number].first_silent
        wait_ends = tables.users[waiting].wait_ends if waiting >= 0 else NEVER
        stale_end = tables.users[silent].last_event + STALE_SECONDS if silent >= 0 else NEVER
        if min(wait_ends, stale_end) > until:
            return
        leaving, second = waiting, wait_ends
        if wait_ends > stale_end:
            leaving, second = silent, stale_end
            note_finding(tables, STALE_STAY, tables.users[silent].row_number, tables.span.start_ms + stale_end * 1000)
        leave(tables, leaving, second)


@inlined
def start_timer(tables: RoomTables, user_number: int) -> None:
    """Adds a user as the last of those who wait, or of those whose stay may become stale."""
    user = tables.users[user_number]
    room = tables.rooms[user.room]
    waits = user.state == WAITING
    last = room.last_waiting if waits else room.last_silent
    user.sooner, user.later, user.has_timer = last, -1, True
    if last >= 0:
        tables.users[last].later = user_number
    elif waits:
        room.first_waiting = user_number
    else:
        room.first_silent = user_number
    if waits:
        room.last_waiting = user_number
    else:
        room.last_silent = user_number


@inlined
def stop_timer(tables: RoomTables, user_number: int) -> None:
    """Removes a user from that list, before its state changes."""
    user = tables.users[user_number]
    if not user.has_timer:
        return
    user.has_timer = False
    room = tables.rooms[user.room]
    waits = user.state == WAITING
    if user.sooner >= 0:
        tables.users[user.sooner].later = user.later
    elif waits:
        room.first_waiting = user.later
    else:
        room.first_silent = user.later
    if user.later >= 0:
        tables.users[user.later].sooner = user.sooner
    elif waits:
        room.last_waiting = user.sooner
    else:
        room.last_silent = user.sooner
