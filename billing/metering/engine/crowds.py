"""Crowds: the users of a room who receive exactly what is published, and those who are apart (`subscription_tables`).

A change of a user's connections or publications is made between `begin_change` and `end_change`, which counts the user
in the crowd of the room, apart, or by its own receipts only. When a publication changes, the crowd changes its class at
once, and those apart are looked at one by one.
"""

from billing.metering.engine.classes import classify, clear_streams, count_size
from billing.metering.engine.lists import link, unlink
from billing.metering.engine.room_tables import CONNECTED, RoomTables, place_of_stream
from billing.metering.engine.views import place_of_publication, received_size
from billing.numba_cache import compiled, inlined


@inlined
def begin_change(tables: RoomTables, user_number: int, second: int) -> None:
    """The user is counted by nothing and told of nothing until `end_change`."""
    leave_apart(tables, user_number)
    clear_streams(tables, user_number, second)


@compiled
def end_change(tables: RoomTables, user_number: int, second: int) -> None:
    """Counts what the user receives now."""
    user, member = tables.users[user_number], tables.subscriptions.members[user_number]
    is_subscribed = user.state == CONNECTED and member.subscribed > 0
    member.in_crowd = is_subscribed and member.first_view < 0 and member.first_own < 0
    if is_subscribed and not member.in_crowd:
        join_apart(tables, user_number)
        count_published(tables, user_number, second)
    view = member.first_view if user.state == CONNECTED else -1
    while view >= 0:
        place = place_of_publication(tables, user.room, tables.streams[view].key)
        publication = tables.subscriptions.publication_places[place]
        if not is_subscribed or publication < 0 or tables.subscriptions.publications[publication].user < 0:
            count_size(tables, user_number, 0, received_size(tables, user_number, view, publication), second)
        view = tables.subscriptions.views[view].after
    classify(tables, user_number, second)


@compiled
def count_published(tables: RoomTables, user_number: int, second: int) -> None:
    """Counts what a subscribed user receives of all that is published."""
    publication = tables.subscriptions.rooms[tables.users[user_number].room].first_publication
    while publication >= 0:
        record = tables.subscriptions.publications[publication]
        view = tables.stream_places[place_of_stream(tables, user_number, record.key)]
        count_size(tables, user_number, 0, received_size(tables, user_number, view, publication), second)
        publication = record.after


@inlined
def join_apart(tables: RoomTables, user_number: int) -> None:
    """The user is told of every change of what is published."""
    members, video = tables.subscriptions.members, tables.subscriptions.rooms[tables.users[user_number].room]
    video.first_apart = link(members, user_number, video.first_apart)
    members[user_number].is_apart = True


@inlined
def leave_apart(tables: RoomTables, user_number: int) -> None:
    """The user is not told any more."""
    members, video = tables.subscriptions.members, tables.subscriptions.rooms[tables.users[user_number].room]
    if members[user_number].is_apart:
        video.first_apart = unlink(members, user_number, video.first_apart)
        members[user_number].is_apart = False
