"""Views: what a user receives of a stream, by a publication and by its own `video_on`, but for its exceptions.

A user who is subscribed to everything receives every stream that others publish, in the size last published, but for
the user's exceptions; and, as every user, the streams of its own `video_on` events. A name is received once. Example:
anna publishes a camera of 1280x720, and ben has a `video_on` of it of 640x360: subscribed to everything he receives
1280x720, else 640x360.
"""

import numpy as np

from billing.metering.engine.lists import link, unlink
from billing.metering.engine.room_tables import STREAMS, Events, RoomTables, place_of_stream, stream_check
from billing.numba_cache import compiled, inlined


@inlined
def received_size(tables: RoomTables, user_number: int, view: int, publication: int) -> int:
    """The size in which a connected user receives a stream; 0: not. -1: there is no such view, no such publication."""
    subscriptions = tables.subscriptions
    receipt = subscriptions.views[view].first_receipt if view >= 0 else -1
    if subscriptions.members[user_number].subscribed > 0 and publication >= 0:
        published = subscriptions.publications[publication]
        if published.user >= 0:
            is_excepted = view >= 0 and subscriptions.views[view].excepted == published.serial
            if receipt >= 0 or (published.user != user_number and not is_excepted):
                return int(published.size)
            return 0
    return int(subscriptions.receipts[receipt].size) if receipt >= 0 else 0


@inlined
def size_of(events: Events, tables: RoomTables, row: int, user_number: int) -> int:
    """The size in which a user receives the stream of an event."""
    key = events.stream_key[row]
    view = tables.stream_places[place_of_stream(tables, user_number, key)]
    place = place_of_publication(tables, tables.users[user_number].room, key)
    return received_size(tables, user_number, view, tables.subscriptions.publication_places[place])


@inlined
def view_of(events: Events, tables: RoomTables, row: int, user_number: int) -> int:
    """The number of the user's view of the stream of an event, added if there is none; -1: two streams have one key."""
    place, check = place_of_stream(tables, user_number, events.stream_key[row]), stream_check(events.checks[row])
    number = tables.stream_places[place]
    if number < 0:
        number = tables.used[STREAMS]
        tables.used[STREAMS] += 1
        tables.stream_places[place] = number
        stream = tables.streams[number]
        stream.key, stream.user, stream.check = events.stream_key[row], user_number, check
    return int(number) if tables.streams[number].check == check else -1


@inlined
def list_view(tables: RoomTables, view: int) -> None:
    """Adds a view to those of its user, or removes it, as it has something to say or not."""
    record, member = tables.subscriptions.views[view], tables.subscriptions.members[tables.streams[view].user]
    is_needed = record.first_receipt >= 0 or record.excepted > 0
    if is_needed and not record.is_listed:
        member.first_view = link(tables.subscriptions.views, view, member.first_view)
    elif record.is_listed and not is_needed:
        member.first_view = unlink(tables.subscriptions.views, view, member.first_view)
    record.is_listed = is_needed


@inlined
def drop_receipts(tables: RoomTables, view: int, connection: int, of_all: bool) -> None:
    """A stream is not received over a connection (-1: over none) any more, or over all."""
    record, last = tables.subscriptions.views[view], -1
    receipt = record.first_receipt
    while receipt >= 0:
        found = tables.subscriptions.receipts[receipt]
        if of_all or found.connection == connection:
            found.view = -1
            if last < 0:
                record.first_receipt = found.after
            else:
                tables.subscriptions.receipts[last].after = found.after
        else:
            last = receipt
        receipt = found.after


@compiled
def drop_views(tables: RoomTables, user_number: int, connection: int, of_all: bool) -> None:
    """A user, who is in a change, receives nothing over a connection any more (-1: over none); `of_all`: nothing at
    all, and has no exceptions."""
    view = tables.subscriptions.members[user_number].first_view
    while view >= 0:
        following = tables.subscriptions.views[view].after
        drop_receipts(tables, view, connection, of_all)
        if of_all:
            tables.subscriptions.views[view].excepted = 0
        list_view(tables, view)
        view = following


@compiled
def forget_stream(tables: RoomTables, user_number: int, key: np.uint64) -> None:
    """A publication has ended: so has what a subscribed user said of it."""
    view = tables.stream_places[place_of_stream(tables, user_number, key)]
    if view >= 0 and tables.subscriptions.members[user_number].subscribed > 0:
        tables.subscriptions.views[view].excepted = 0
        drop_receipts(tables, view, -1, True)
        list_view(tables, view)


@inlined
def place_of_publication(tables: RoomTables, room_number: int, key: np.uint64) -> int:
    """Where the number of the room's publication with that key is or would be."""
    places = tables.subscriptions.publication_places
    mixed = (key >> np.uint64(13)) ^ (np.uint64(room_number) * np.uint64(0x9E3779B1))
    place = np.int64(mixed & np.uint64(len(places) - 1))
    while places[place] >= 0:
        publication = tables.subscriptions.publications[places[place]]
        if publication.key == key and publication.room == room_number:
            break
        place = (place + 1) & (len(places) - 1)
    return int(place)
