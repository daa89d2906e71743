"""Publications: what is sent in a room, its changes, and those of what a user receives (`views`, `crowds`).

Example: anna publishes a camera over c1, then over c2: the publication moves to c2, and ends when c2 does.
"""

from billing.events.keys import CODE_BITS, SCREEN_BIT
from billing.metering.engine.classes import change_size, classify_crowd, video_class
from billing.metering.engine.crowds import begin_change, end_change
from billing.metering.engine.lists import link, unlink
from billing.metering.engine.room_tables import (
    ABSENT,
    CONNECTED,
    WAITING,
    Events,
    RoomTables,
    place_of_stream,
    stream_check,
)
from billing.metering.engine.subscription_tables import PUBLICATIONS, RECEIPTS
from billing.metering.engine.views import (
    drop_receipts,
    drop_views,
    forget_stream,
    list_view,
    place_of_publication,
    received_size,
    size_of,
    view_of,
)
from billing.numba_cache import compiled, inlined, only_with


@compiled
def publish(events: Events, tables: RoomTables, row: int, user_number: int, connection: int, second: int) -> bool:
    """A connected user sends a stream. False: two streams have one key."""
    room_number, size = tables.users[user_number].room, events.size_and_type[row] >> CODE_BITS
    place = place_of_publication(tables, room_number, events.stream_key[row])
    number = tables.subscriptions.publication_places[place]
    if number < 0:
        number = tables.subscriptions.used[PUBLICATIONS]
        tables.subscriptions.used[PUBLICATIONS] += 1
        tables.subscriptions.publication_places[place] = number
        new = tables.subscriptions.publications[number]
        new.key, new.check, new.room = events.stream_key[row], stream_check(events.checks[row]), room_number
        new.user = -1
    publication = tables.subscriptions.publications[number]
    if publication.check != stream_check(events.checks[row]):
        return False
    publication.row_number = events.row_number[row]
    publication.next_user, publication.next_size = user_number, size
    owner = publication.user
    if owner == user_number:
        publication.connection = connection
        change_publication(tables, number, second)
        return True
    begin_change(tables, user_number, second)
    if owner >= 0:
        begin_change(tables, owner, second)
        disown(tables, number)
    publication.connection = connection
    change_publication(tables, number, second)
    own(tables, number)
    if owner >= 0:
        end_change(tables, owner, second)
    end_change(tables, user_number, second)
    return True


@inlined
def end_publication(tables: RoomTables, number: int, second: int) -> None:
    """A stream is sent no longer; its user is in a change."""
    publication = tables.subscriptions.publications[number]
    user_number = publication.user
    disown(tables, number)
    publication.next_user, publication.next_size = -1, 0
    change_publication(tables, number, second)
    forget_stream(tables, user_number, publication.key)


@compiled
def set_state(tables: RoomTables, connection: int, state: int) -> None:
    """Changes the state of a connection, which is in the list of its user while it is connected or waits. One that is
    not connected is not subscribed, but one that waits stays so for when it is connected again."""
    found = tables.subscriptions.connections[connection]
    member = tables.subscriptions.members[found.user]
    was_open, is_open = found.state in (CONNECTED, WAITING), state in (CONNECTED, WAITING)
    change = int(state == CONNECTED) - int(found.state == CONNECTED)
    member.connected += change
    if found.is_subscribed:
        member.subscribed += change
    found.state = state
    if not is_open:
        found.is_subscribed = False
    if is_open and not was_open:
        member.first_connection = link(tables.subscriptions.connections, connection, member.first_connection)
    elif was_open and not is_open:
        member.first_connection = unlink(tables.subscriptions.connections, connection, member.first_connection)


@compiled
def end_member(tables: RoomTables, user_number: int, second: int) -> None:
    """Ends everything that belongs to a stay, before it ends: what the user sends and receives, its exceptions and its
    connections."""
    member = tables.subscriptions.members[user_number]
    begin_change(tables, user_number, second)
    end_publications(tables, user_number, -1, True, second)
    drop_views(tables, user_number, -1, True)
    while member.first_connection >= 0:
        set_state(tables, member.first_connection, ABSENT)
    member.in_crowd = False


@compiled
def end_publications(tables: RoomTables, user_number: int, connection: int, all_of_them: bool, second: int) -> None:
    """Ends what a user, who is in a change, publishes over a connection (-1: over none)."""
    number = tables.subscriptions.members[user_number].first_own
    while number >= 0:
        following = tables.subscriptions.own[number].after
        if all_of_them or tables.subscriptions.publications[number].connection == connection:
            end_publication(tables, number, second)
        number = following


@compiled
def change_publication(tables: RoomTables, number: int, second: int) -> None:
    """A stream is sent by its next user in its next size from now on, or by nobody (-1)."""
    publication = tables.subscriptions.publications[number]
    video = tables.subscriptions.rooms[publication.room]
    each = video.first_apart
    while each >= 0:
        view = tables.stream_places[place_of_stream(tables, each, publication.key)]
        tables.subscriptions.members[each].size_before = received_size(tables, each, view, number)
        each = tables.subscriptions.members[each].after
    count_publication(tables, number, -1)
    if publication.user < 0:
        publication.serial += 1
        video.first_publication = link(tables.subscriptions.publications, number, video.first_publication)
    elif publication.next_user < 0:
        video.first_publication = unlink(tables.subscriptions.publications, number, video.first_publication)
    publication.user, publication.size = publication.next_user, publication.next_size
    count_publication(tables, number, 1)
    each = video.first_apart
    while each >= 0:
        following, member = tables.subscriptions.members[each].after, tables.subscriptions.members[each]
        if publication.user < 0:
            forget_stream(tables, each, publication.key)
        view = tables.stream_places[place_of_stream(tables, each, publication.key)]
        change_size(tables, each, member.size_before, received_size(tables, each, view, number), second)
        each = following
    classify_crowd(tables, publication.room, second)


@inlined
def count_publication(tables: RoomTables, number: int, sign: int) -> None:
    """A stream more (`sign` 1) or less (-1) among all that is published."""
    publication = tables.subscriptions.publications[number]
    if publication.user < 0:
        return
    video, app = tables.subscriptions.rooms[publication.room], tables.rooms[publication.room].app
    area, screens = publication.size % SCREEN_BIT, publication.size // SCREEN_BIT
    video.streams += sign
    video.area += sign * area
    video.screens += sign * screens
    tables.subscriptions.published[publication.room, video_class(tables, app, area, screens)] += sign


@inlined
def own(tables: RoomTables, number: int) -> None:
    """Adds a publication to those of its user."""
    member = tables.subscriptions.members[tables.subscriptions.publications[number].user]
    member.first_own = link(tables.subscriptions.own, number, member.first_own)


@inlined
def disown(tables: RoomTables, number: int) -> None:
    """Removes a publication from those of its user."""
    member = tables.subscriptions.members[tables.subscriptions.publications[number].user]
    member.first_own = unlink(tables.subscriptions.own, number, member.first_own)


@compiled
def receive_over(events: Events, tables: RoomTables, row: int, user_number: int, connection: int, second: int) -> bool:
    """A `video_on` of a connected user, over a connection (-1: none). False: two streams have one key."""
    view = view_of(events, tables, row, user_number)
    if view < 0:
        return False
    size_before = begin_stream(events, tables, row, user_number, second)
    record = tables.subscriptions.views[view]
    record.excepted = 0
    drop_receipts(tables, view, connection, False)
    number = tables.subscriptions.used[RECEIPTS]
    tables.subscriptions.used[RECEIPTS] += 1
    receipt = tables.subscriptions.receipts[number]
    receipt.view, receipt.connection, receipt.size = view, connection, events.size_and_type[row] >> CODE_BITS
    receipt.row_number, receipt.after = events.row_number[row], record.first_receipt
    record.first_receipt = number
    list_view(tables, view)
    end_stream(events, tables, row, user_number, size_before, second)
    return True


@compiled
def receive_no_longer(
    events: Events, tables: RoomTables, row: int, user_number: int, connection: int, second: int
) -> bool:
    """A `video_off` of a connected user, over a connection (-1: over all). False: two streams have one key."""
    size_before = begin_stream(events, tables, row, user_number, second)
    view = tables.stream_places[place_of_stream(tables, user_number, events.stream_key[row])]
    if view >= 0:
        drop_receipts(tables, view, connection, connection < 0)
        list_view(tables, view)
    if tables.subscriptions.members[user_number].subscribed > 0 and not except_stream(events, tables, row, user_number):
        return False
    end_stream(events, tables, row, user_number, size_before, second)
    return True


@inlined
def begin_stream(events: Events, tables: RoomTables, row: int, user_number: int, second: int) -> int:
    """Before a change of what a user receives of the stream of an event: the size that is received; -1: the user is in
    the crowd, and a change is begun."""
    if tables.subscriptions.members[user_number].in_crowd:
        begin_change(tables, user_number, second)
        return -1
    return size_of(events, tables, row, user_number)


@inlined
def end_stream(events: Events, tables: RoomTables, row: int, user_number: int, size_before: int, second: int) -> None:
    """After that change."""
    if size_before < 0:
        end_change(tables, user_number, second)
    else:
        change_size(tables, user_number, size_before, size_of(events, tables, row, user_number), second)


@inlined
def except_stream(events: Events, tables: RoomTables, row: int, user_number: int) -> bool:
    """The user makes an exception to a stream, if it is published. False: two streams have one key."""
    place = place_of_publication(tables, tables.users[user_number].room, events.stream_key[row])
    publication = tables.subscriptions.publication_places[place]
    if publication < 0 or tables.subscriptions.publications[publication].user < 0:
        return True
    view = view_of(events, tables, row, user_number)
    if view < 0:
        return False
    record = tables.subscriptions.views[view]
    record.excepted = tables.subscriptions.publications[publication].serial
    record.row_number = events.row_number[row]
    list_view(tables, view)
    return True


end_what_is_said = only_with("subscriptions", end_member)
