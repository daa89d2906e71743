"""Timers: the users of a room whose stays end by themselves, in lists that have the first to end first.

Users who wait are in one list, users whose stay may become stale within the span in another. Example: users who lost
their connections at second 10 and 20 wait in this order, until 100 and 110.
"""

from billing.metering.engine.room_tables import WAITING, RoomTables
from billing.numba_cache import inlined


@inlined
def start_timer(tables: RoomTables, user_number: int) -> None:
    """Adds a user to those who wait, or to those whose stay may become stale: as the last, but for a wait that ends
    before others."""
    user = tables.users[user_number]
    room = tables.rooms[user.room]
    waits = user.state == WAITING
    last = room.last_waiting if waits else room.last_silent
    later = -1
    while waits and last >= 0 and tables.users[last].wait_ends > user.wait_ends:
        later, last = last, tables.users[last].sooner
    user.sooner, user.later, user.has_timer = last, later, True
    if last >= 0:
        tables.users[last].later = user_number
    elif waits:
        room.first_waiting = user_number
    else:
        room.first_silent = user_number
    if later >= 0:
        tables.users[later].sooner = user_number
    elif waits:
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
