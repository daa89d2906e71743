"""Rooms: the events of whole rooms, applied in order, up to the end of a span.

A room whose events name no connection, no publication and no automatic subscription goes by `stays`, others by
`connections`; both give the same for the events of the first kind.
"""

import numpy as np

from billing.events.keys import DISMISS
from billing.metering.engine.classes import change_class
from billing.metering.engine.connections import apply_over_connection
from billing.metering.engine.room_tables import (
    ABSENT,
    COLLISION,
    DONE,
    NO_CLASS,
    ROOMS,
    USERS,
    Carried,
    Events,
    RoomTables,
    code_of,
    find_room,
    note_stay,
)
from billing.metering.engine.stays import apply_event, leave, pass_time
from billing.numba_cache import compiled, inlined


@compiled
def run(events: Events, carried: Carried, tables: RoomTables) -> int:
    """Applies all events in order, then lets the time pass to the end of the span. `DONE`, or why not."""
    for row in events.order:
        second = second_of(events, tables, row)
        if code_of(events.size_and_type[row]) == DISMISS:
            outcome = dismiss(events, tables, row, second)
        else:
            outcome = apply_event(events, carried, tables, row, second)
        if outcome != DONE:
            return outcome
    finish(tables)
    return DONE


@compiled
def run_with_connections(events: Events, carried: Carried, tables: RoomTables) -> int:
    """The same, where the tables of subscriptions are needed."""
    for place in range(len(events.order)):
        row = events.order[place]
        second = second_of(events, tables, row)
        if code_of(events.size_and_type[row]) == DISMISS:
            outcome = dismiss(events, tables, row, second)
        else:
            outcome = apply_over_connection(events, carried, tables, place, second)
        if outcome != DONE:
            return outcome
    finish(tables)
    return DONE


@inlined
def second_of(events: Events, tables: RoomTables, row: int) -> int:
    """The second of an event; carried rows are dated before the span."""
    return int(max(0, (events.at[row] - tables.span.start_ms) // 1000))


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
        leave(tables, np.int64(tables.rooms[room_number].first), second)  # type: ignore[arg-type]
    return DONE


@inlined
def finish(tables: RoomTables) -> None:
    """Lets the time pass to the end of the span, where the stays that are still open are noted."""
    for room_number in range(tables.used[ROOMS]):
        pass_time(tables, room_number, tables.span.end)
    for user_number in range(tables.used[USERS]):
        if tables.users[user_number].state != ABSENT:
            note_stay(tables, user_number, tables.span.end)
            change_class(tables, user_number, NO_CLASS, tables.span.end)
