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

Rooms with automatic subscription, where a user may have several connections: see `connections`. The classes of seconds:
see `classes`.

The functions are compiled. They apply the events of whole rooms in order to the records of `room_tables`. Users and
rooms are passed by number: a record is looked up where it is needed.
"""

import numpy as np

from billing.events.keys import CODE_BITS, DISCONNECT, ENTER, EXIT, RECONNECT
from billing.metering.engine.classes import change_size, classify, clear_streams, reclassify_crowd
from billing.metering.engine.keyed_rows import CARRIED
from billing.metering.engine.lists import link, unlink
from billing.metering.engine.publications import end_what_is_said
from billing.metering.engine.room_tables import (
    ABSENT,
    COLLISION,
    CONNECTED,
    DONE,
    NOBODY,
    OUTSIDE_STAY,
    REENTERED,
    STALE_STAY,
    STREAMS,
    UNKNOWN_APP,
    WAITING,
    Carried,
    Events,
    RoomTables,
    add_room,
    add_user,
    code_of,
    find_user,
    note_finding,
    note_stay,
    place_of_stream,
    stream_check,
    user_check,
)
from billing.metering.engine.timers import start_timer, stop_timer
from billing.numba_cache import inlined
from billing.periods import STALE_SECONDS, WAIT_SECONDS

NEVER = 2**30  # a second after the end of any span


@inlined
def apply_event(events: Events, carried: Carried, tables: RoomTables, row: int, second: int) -> int:
    """Applies an event of a user: `DONE`, `COLLISION` or `UNKNOWN_APP`."""
    code, row_number = code_of(events.size_and_type[row]), events.row_number[row]
    user_number = user_of(events, tables, row, code in (ENTER, RECONNECT, CARRIED))
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
def user_of(events: Events, tables: RoomTables, row: int, adds: bool) -> int:
    """The number of the user of an event, who is added if the event `adds` one; `NOBODY`, `COLLISION` or
    `UNKNOWN_APP`."""
    user_number = find_user(tables, events.user_key[row])
    if user_number >= 0:
        return user_number if tables.users[user_number].check == user_check(events.checks[row]) else COLLISION
    if not adds:
        return NOBODY
    app = np.searchsorted(tables.span.app_id, events.app_id[row])
    if app == len(tables.span.app_id) or tables.span.app_id[app] != events.app_id[row]:
        return UNKNOWN_APP
    room_number = add_room(tables, events.room_key[row], events.room_check[row], app)
    if room_number < 0:
        return COLLISION
    return add_user(tables, events, row, room_number, app)


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
        begin_stay(events, tables, row, user_number, second)
    user.state = CONNECTED
    classify(tables, user_number, second)


@inlined
def begin_stay(events: Events, tables: RoomTables, row: int, user_number: int, second: int) -> None:
    """A stay begins with an event; the caller classifies."""
    user = tables.users[user_number]
    user.begun, user.row_number = second, events.row_number[row]
    user.carried = code_of(events.size_and_type[row]) == CARRIED
    user.state = CONNECTED
    tables.sums.stay_seconds[user.app] += tables.span.end - second
    join_room(tables, user_number, second)


@inlined
def join_room(tables: RoomTables, user_number: int, second: int) -> None:
    """The user is the first of those present; nobody is alone any more."""
    user = tables.users[user_number]
    room = tables.rooms[user.room]
    other = room.first
    room.first = link(tables.users, user_number, other)
    room.present += 1
    if room.present == 2:
        classify(tables, other, second)
    if room.present <= 2:
        reclassify_crowd(tables, user.room, second)


@inlined
def leave(tables: RoomTables, user_number: int, second: int) -> None:
    """The stay ends."""
    user = tables.users[user_number]
    end_what_is_said(tables, user_number, second)
    clear_streams(tables, user_number, second)
    stop_timer(tables, user_number)
    user.state = ABSENT
    classify(tables, user_number, second)
    note_stay(tables, user_number, second)
    tables.sums.stay_seconds[user.app] -= tables.span.end - second
    room = tables.rooms[user.room]
    room.first = unlink(tables.users, user_number, room.first)
    room.present -= 1
    if room.present == 1:
        classify(tables, room.first, second)
        reclassify_crowd(tables, user.room, second)


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
        # 64 bits, as elsewhere: for 32 it would be compiled again.
        leave(tables, np.int64(leaving), second)  # type: ignore[arg-type]
