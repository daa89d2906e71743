"""Connections: events of rooms with automatic subscription, where a user may have several connections.

| event | over one that is connected | waiting | neither |
|---|---|---|---|
| `enter`, `reconnect` | what was received over it is cleared (`reentered`) | connected | opens |
| `exit` | closes | closes | closes (`outside_stay`) |
| `disconnect` | waits 90 s | `outside_stay` | `outside_stay` |
| `publish` | sends | `outside_stay` | opens (`implied_enter`) and sends |
| `unpublish`, `video_on`, `video_off` | changes what is sent or received | `outside_stay` | `outside_stay` |

Any event over a connection that is closed changes nothing (`closed_connection`).

No name is a connection like others, but `exit` does not close it for good; `exit` and `disconnect` without a name are
about all connections; other events without a name need any connected one (`enter` and `reconnect` open the one without
a name). A stay lasts while a connection is connected or waits; the user waits while none is connected and one waits.

What is sent or received over a connection ends with it, and when its wait begins; over none, with the last connected.
A closed connection is remembered for 86,400 s. One whose wait ran out may open again.
"""

import numpy as np

from billing.events.keys import CODE_BITS, DISCONNECT, ENTER, EXIT, PUBLISH, RECONNECT, UNPUBLISH, VIDEO_ON
from billing.metering.engine.crowds import begin_change, end_change
from billing.metering.engine.keyed_rows import (
    CARRIED,
    CARRIED_CONNECTION,
    CARRIED_EXCEPTION,
    IS_CLOSED,
    IS_SUBSCRIBED,
    WAITS,
    WITH_CONNECTIONS,
    WITHOUT_STAY,
)
from billing.metering.engine.publications import (
    end_publication,
    end_publications,
    except_stream,
    publish,
    receive_no_longer,
    receive_over,
    set_state,
)
from billing.metering.engine.room_tables import (
    ABSENT,
    CLOSED_CONNECTION,
    COLLISION,
    CONNECTED,
    DONE,
    IMPLIED_ENTER,
    NOBODY,
    OUTSIDE_STAY,
    REENTERED,
    WAITING,
    Carried,
    Events,
    RoomTables,
    code_of,
    names_connection,
    note_finding,
)
from billing.metering.engine.stays import begin_stay, leave, pass_time, touch, user_of
from billing.metering.engine.subscription_tables import CLOSED, CONNECTIONS
from billing.metering.engine.timers import start_timer, stop_timer
from billing.metering.engine.views import drop_views, place_of_publication
from billing.numba_cache import compiled, inlined
from billing.periods import STALE_SECONDS, WAIT_SECONDS


@compiled
def apply_over_connection(events: Events, carried: Carried, tables: RoomTables, place: int, second: int) -> int:
    """Applies the event at this place of the order, which has a user: `DONE`, `COLLISION` or `UNKNOWN_APP`."""
    row = events.order[place]
    code, is_carried = code_of(events.size_and_type[row]), events.row_number[row] >= carried.first
    is_named = names_connection(events, row)
    adds = code in (ENTER, RECONNECT, CARRIED) or (is_named and code in (EXIT, PUBLISH))
    user_number = user_of(events, tables, row, adds)
    if user_number < NOBODY:
        return user_number
    if user_number == NOBODY:
        note_finding(tables, OUTSIDE_STAY, events.row_number[row], events.at[row])
        return DONE
    let_time_pass(tables, user_number, second)
    connection = find_connection(events, tables, row, user_number, is_named)
    if connection < -1:
        return COLLISION
    outcome = DONE
    if is_carried and code in (CARRIED, CARRIED_CONNECTION, CARRIED_EXCEPTION, DISCONNECT):
        outcome = restore(events, carried, tables, row, user_number, second)
    elif is_named and state_of(tables, connection, second) == CLOSED:
        note_finding(tables, CLOSED_CONNECTION, events.row_number[row], events.at[row])
    elif code in (ENTER, RECONNECT):
        enter_over(events, tables, row, user_number, connection, second)
    elif code == EXIT:
        exit_over(events, tables, row, user_number, connection, second)
    else:
        outcome = change_over(events, tables, place, user_number, connection, second)
    if code == CARRIED:
        touch(tables, user_number, carried.last_event[events.row_number[row] - carried.first])
    elif not is_carried:
        touch(tables, user_number, second)
    return outcome


@compiled
def let_time_pass(tables: RoomTables, user_number: int, second: int) -> None:
    """Ends the stays of the user's room whose timers end up to `second`."""
    pass_time(tables, tables.users[user_number].room, second)


@compiled
def change_over(events: Events, tables: RoomTables, place: int, user_number: int, connection: int, second: int) -> int:
    """A `disconnect` or an event about video: `DONE` or `COLLISION`."""
    row = events.order[place]
    code = code_of(events.size_and_type[row])
    is_named = names_connection(events, row)
    state = state_of(tables, connection, second) if is_named else tables.users[user_number].state
    over = connection if is_named else -1
    begins = code == PUBLISH and is_named and state == ABSENT
    if begins:
        note_finding(tables, IMPLIED_ENTER, events.row_number[row], events.at[row])
        over = open_connection(events, tables, row, user_number, connection, not begins, second)
        state = CONNECTED
    if state != CONNECTED:
        note_finding(tables, OUTSIDE_STAY, events.row_number[row], events.at[row])
        return DONE
    done = True
    if code == DISCONNECT:
        disconnect_over(tables, user_number, over, second)
    elif code == PUBLISH:
        done = publish(events, tables, row, user_number, over, second)
        if done:
            unpublish_at_once(events, tables, place, user_number, second)
    elif code == UNPUBLISH:
        unpublish_over(events, tables, row, user_number, over, second)
    elif code == VIDEO_ON:
        done = receive_over(events, tables, row, user_number, over, second)
    else:
        done = receive_no_longer(events, tables, row, user_number, over, second)
    return DONE if done else COLLISION


@compiled
def enter_over(events: Events, tables: RoomTables, row: int, user_number: int, connection: int, second: int) -> None:
    """A connection opens, or begins anew."""
    is_subscribed = (events.size_and_type[row] >> CODE_BITS) > 0
    state = state_of(tables, connection, second)
    if state != ABSENT and code_of(events.size_and_type[row]) == RECONNECT:
        is_subscribed = is_subscribed or tables.subscriptions.connections[connection].is_subscribed
    if state == CONNECTED:
        note_finding(tables, REENTERED, events.row_number[row], events.at[row])
        begin_change(tables, user_number, second)
        is_named = tables.subscriptions.connections[connection].is_named
        drop_views(tables, user_number, connection if is_named else -1, False)
        subscribe(tables, connection, is_subscribed)
        end_change(tables, user_number, second)
    else:
        open_connection(events, tables, row, user_number, connection, is_subscribed, second)


@compiled
def open_connection(
    events: Events, tables: RoomTables, row: int, user_number: int, connection: int, is_subscribed: bool, second: int
) -> int:
    """The number of a connection that was not connected and is now; a stay begins if there is none."""
    number = connection if connection >= 0 else add_connection(events, tables, row, user_number)
    user = tables.users[user_number]
    begin_change(tables, user_number, second)
    if user.state == WAITING:
        stop_timer(tables, user_number)
        user.state = CONNECTED
    elif user.state == ABSENT:
        begin_stay(events, tables, row, user_number, second)
    set_state(tables, number, CONNECTED)
    subscribe(tables, number, is_subscribed)
    end_change(tables, user_number, second)
    return number


@compiled
def exit_over(events: Events, tables: RoomTables, row: int, user_number: int, connection: int, second: int) -> None:
    """Closes a connection, or all."""
    is_named = names_connection(events, row)
    state = state_of(tables, connection, second) if is_named else tables.users[user_number].state
    if state == ABSENT:
        note_finding(tables, OUTSIDE_STAY, events.row_number[row], events.at[row])
    if is_named:
        number = connection if connection >= 0 else add_connection(events, tables, row, user_number)
        begin_change(tables, user_number, second)
        close_connection(tables, number, second)
        drop_views(tables, user_number, number, False)
        end_publications(tables, user_number, number, False, second)
        end_connections(tables, user_number, second)
    else:
        begin_change(tables, user_number, second)
        number = tables.subscriptions.members[user_number].first_connection
        while number >= 0:
            following = tables.subscriptions.connections[number].after
            if state_of(tables, number, second) != ABSENT:
                close_connection(tables, number, second)
            number = following
        end_connections(tables, user_number, second)


@compiled
def disconnect_over(tables: RoomTables, user_number: int, connection: int, second: int) -> None:
    """The wait of a connection begins (-1: of all that are connected)."""
    begin_change(tables, user_number, second)
    number = tables.subscriptions.members[user_number].first_connection
    while number >= 0:
        following, found = tables.subscriptions.connections[number].after, tables.subscriptions.connections[number]
        if found.state == CONNECTED and (connection < 0 or number == connection):
            set_state(tables, number, WAITING)
            found.until = second + WAIT_SECONDS
            drop_views(tables, user_number, number, False)
            end_publications(tables, user_number, number, False, second)
        number = following
    end_connections(tables, user_number, second)


@compiled
def end_connections(tables: RoomTables, user_number: int, second: int) -> None:
    """Ends a change in which connections were closed or cut: what goes with the last connected one ends, and the user
    stays, waits or leaves."""
    user, member = tables.users[user_number], tables.subscriptions.members[user_number]
    if member.connected > 0 or user.state == ABSENT:
        end_change(tables, user_number, second)
        return
    drop_views(tables, user_number, -1, False)
    end_publications(tables, user_number, -1, False, second)
    wait_ends, number = -1, member.first_connection
    while number >= 0:
        following, found = tables.subscriptions.connections[number].after, tables.subscriptions.connections[number]
        if found.until > second:
            wait_ends = max(wait_ends, found.until)
        else:
            set_state(tables, number, ABSENT)
        number = following
    if wait_ends < 0:
        leave(tables, user_number, second)
    elif user.state != WAITING or user.wait_ends != wait_ends:
        stop_timer(tables, user_number)
        user.state, user.wait_ends = WAITING, wait_ends
        end_change(tables, user_number, second)
        start_timer(tables, user_number)
    else:
        end_change(tables, user_number, second)


@compiled
def unpublish_over(
    events: Events, tables: RoomTables, row: int, user_number: int, connection: int, second: int
) -> None:
    """Ends a publication of the user, if it is over this connection, or if none is named (-1)."""
    place = place_of_publication(tables, tables.users[user_number].room, events.stream_key[row])
    number = tables.subscriptions.publication_places[place]
    if number < 0:
        return
    publication = tables.subscriptions.publications[number]
    if publication.user == user_number and (connection < 0 or connection == publication.connection):
        begin_change(tables, user_number, second)
        end_publication(tables, number, second)
        end_change(tables, user_number, second)


@inlined
def unpublish_at_once(events: Events, tables: RoomTables, place: int, user_number: int, second: int) -> None:
    """After a `publish`, applies once more what this user said of the stream in an `unpublish` of the same instant."""
    row = events.order[place]
    before = place - 1
    while before >= 0 and same_instant(events, events.order[before], row):
        other = events.order[before]
        if (
            code_of(events.size_and_type[other]) == UNPUBLISH
            and events.user_key[other] == events.user_key[row]
            and events.stream_key[other] == events.stream_key[row]
        ):
            is_named = names_connection(events, other)
            connection = find_connection(events, tables, other, user_number, is_named) if is_named else -1
            if connection >= 0 or not is_named:
                unpublish_over(events, tables, other, user_number, connection, second)
        before -= 1


@inlined
def same_instant(events: Events, one: int, other: int) -> bool:
    """Are two events of one room at one instant, and both a `publish` or an `unpublish`?"""
    return bool(
        events.room_key[one] == events.room_key[other]
        and events.sort_key[one] >> CODE_BITS == events.sort_key[other] >> CODE_BITS
        and code_of(events.size_and_type[one]) in (UNPUBLISH, PUBLISH)
    )


@compiled
def restore(events: Events, carried: Carried, tables: RoomTables, row: int, user_number: int, second: int) -> int:
    """Restores what was carried into the span: a stay, one of its connections, an exception, a wait."""
    code, said = code_of(events.size_and_type[row]), events.size_and_type[row] >> CODE_BITS
    until = carried.wait_ends[events.row_number[row] - carried.first]
    user = tables.users[user_number]
    begin_change(tables, user_number, second)
    if code == CARRIED and said != WITHOUT_STAY:
        begin_stay(events, tables, row, user_number, second)
        if said != WITH_CONNECTIONS:
            set_state(tables, add_connection(events, tables, row, user_number), CONNECTED)
    elif code == CARRIED_CONNECTION:
        number = add_connection(events, tables, row, user_number)
        set_state(tables, number, CLOSED if said & IS_CLOSED else WAITING if said & WAITS else CONNECTED)
        tables.subscriptions.connections[number].until = until
        if said & IS_SUBSCRIBED:
            subscribe(tables, number, True)
    elif code == CARRIED_EXCEPTION and not except_stream(events, tables, row, user_number):
        return COLLISION
    elif code == DISCONNECT:
        number = tables.subscriptions.members[user_number].first_connection
        while number >= 0:
            if tables.subscriptions.connections[number].state == CONNECTED:
                set_state(tables, number, WAITING)
                tables.subscriptions.connections[number].until = until
            number = tables.subscriptions.connections[number].after
        stop_timer(tables, user_number)
        user.state, user.wait_ends = WAITING, until
        start_timer(tables, user_number)
    end_change(tables, user_number, second)
    return DONE


@inlined
def find_connection(events: Events, tables: RoomTables, row: int, user_number: int, is_named: bool) -> int:
    """The number of the connection of an event, -1: there is none, -2: two connections have one key."""
    number = tables.subscriptions.connection_places[place_of_connection(events, tables, row, user_number, is_named)]
    if number >= 0 and is_named and tables.subscriptions.connections[number].check != events.connection_check[row]:
        return -2
    return int(number)


@inlined
def place_of_connection(events: Events, tables: RoomTables, row: int, user_number: int, is_named: bool) -> int:
    """Where the number of the connection of an event is or would be."""
    places = tables.subscriptions.connection_places
    key = events.connection_key[row] if is_named else np.uint64(0)
    mixed = (key >> np.uint64(13)) ^ (np.uint64(user_number) * np.uint64(0x9E3779B1))
    place = np.int64(mixed & np.uint64(len(places) - 1))
    while places[place] >= 0:
        connection = tables.subscriptions.connections[places[place]]
        if connection.key == key and connection.user == user_number and connection.is_named == is_named:
            break
        place = (place + 1) & (len(places) - 1)
    return int(place)


@inlined
def add_connection(events: Events, tables: RoomTables, row: int, user_number: int) -> int:
    """The number of the connection of an event, which is not in the table yet."""
    is_named = names_connection(events, row)
    number = tables.subscriptions.used[CONNECTIONS]
    tables.subscriptions.used[CONNECTIONS] += 1
    tables.subscriptions.connection_places[place_of_connection(events, tables, row, user_number, is_named)] = number
    connection = tables.subscriptions.connections[number]
    connection.user, connection.is_named, connection.row_number = user_number, is_named, events.row_number[row]
    if is_named:
        connection.key, connection.check = events.connection_key[row], events.connection_check[row]
    return int(number)


@inlined
def state_of(tables: RoomTables, connection: int, second: int) -> int:
    """The state of a connection (-1: there is none): `ABSENT`, `CONNECTED`, `WAITING` or `CLOSED`."""
    if connection < 0:
        return ABSENT
    found = tables.subscriptions.connections[connection]
    if found.state in (WAITING, CLOSED) and found.until <= second:
        set_state(tables, connection, ABSENT)
    return int(found.state)


@inlined
def subscribe(tables: RoomTables, connection: int, is_subscribed: bool) -> None:
    """Says whether a connection is subscribed to everything."""
    found = tables.subscriptions.connections[connection]
    if found.state == CONNECTED:
        tables.subscriptions.members[found.user].subscribed += int(is_subscribed) - int(found.is_subscribed)
    found.is_subscribed = is_subscribed


@inlined
def close_connection(tables: RoomTables, connection: int, second: int) -> None:
    """A connection ends; one with a name is closed for good."""
    found = tables.subscriptions.connections[connection]
    set_state(tables, connection, CLOSED if found.is_named else ABSENT)
    found.until = second + STALE_SECONDS
