"""Subscription tables: the records that rooms with automatic subscription need, beside those of `room_tables`.

Rooms whose events name no connection, no publication and no automatic subscription do without: then all of these
tables are empty. A *member* is a user with its connections; a *publication* is a stream that is sent; a *view* is a
stream that a user has an exception to, or receives by `video_on`: by one *receipt* for each connection.

The *crowd* of a room are the users who receive exactly what is published: who are subscribed to everything, publish
nothing, and have no views. A change of what is published changes the class of all of them, so they are counted
together: `weights` says in which classes each second of one of them counts. The others who are subscribed to everything
are `apart`: they are looked at one by one.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Records = NDArray[np.void]

# Numbers have 64 bits here, as all numbers of the compiled functions do: for others they would be compiled again.
MEMBER = np.dtype(
    [
        ("connected", np.int64),  # how many connections
        ("subscribed", np.int64),  # how many of these with `receives = all`
        ("first_connection", np.int64),  # of those connected or waiting
        ("first_view", np.int64),
        ("first_own", np.int64),  # of the user's publications
        ("before", np.int64),  # list of those apart in the room
        ("after", np.int64),
        ("size_before", np.int64),  # of the stream that is being changed
        ("is_apart", np.bool_),
        ("in_crowd", np.bool_),
    ],
    align=True,
)
CONNECTION = np.dtype(
    [
        ("key", np.uint64),
        ("check", np.uint32),
        ("user", np.int64),
        ("row_number", np.uint32),  # of an event that names it
        ("until", np.int64),  # end of the wait, or of the memory of a closed one
        ("before", np.int64),
        ("after", np.int64),
        ("state", np.uint8),
        ("is_named", np.bool_),
        ("is_subscribed", np.bool_),
    ],
    align=True,
)
PUBLICATION = np.dtype(
    [
        ("key", np.uint64),
        ("check", np.uint32),
        ("room", np.int64),
        ("user", np.int64),  # -1: not published
        ("connection", np.int64),  # -1: over none
        ("size", np.int64),
        ("next_user", np.int64),  # what it is changed to
        ("next_size", np.int64),
        ("serial", np.int64),  # from 1, rises with every beginning
        ("row_number", np.uint32),  # of the last `publish`
        ("before", np.int64),  # list of what is published in the room
        ("after", np.int64),
    ],
    align=True,
)
OWN = np.dtype([("before", np.int64), ("after", np.int64)], align=True)  # list of what a user publishes
VIEW = np.dtype(
    [
        ("first_receipt", np.int64),  # the last received first
        ("excepted", np.int64),  # the serial of the publication that is not received, or 0
        ("row_number", np.uint32),  # of the `video_off` that made the exception
        ("before", np.int64),
        ("after", np.int64),
        ("is_listed", np.bool_),
    ],
    align=True,
)
RECEIPT = np.dtype(
    [
        ("view", np.int64),  # -1: over
        ("connection", np.int64),  # -1: over none
        ("size", np.int64),
        ("row_number", np.uint32),
        ("after", np.int64),
    ],
    align=True,
)
ROOM_VIDEO = np.dtype(
    [
        ("area", np.int64),  # of all that is published
        ("streams", np.int64),
        ("screens", np.int64),
        ("crowd", np.int64),  # how many
        ("first_apart", np.int64),
        ("first_publication", np.int64),
    ],
    align=True,
)


class SubscriptionTables(NamedTuple):
    """`members`, `views` and `rooms` go with the users, streams and rooms of the room tables, `own` with the
    publications. `used`: connections, publications and receipts in use. By room and class: `published`, the number
    of streams; `weights` and, if seconds are counted by user, `crowd_seconds` of one in the crowd."""

    members: Records
    connections: Records
    publications: Records
    own: Records
    views: Records
    receipts: Records
    rooms: Records
    connection_places: NDArray[np.int32]
    publication_places: NDArray[np.int32]
    used: NDArray[np.int64]
    published: NDArray[np.int32]
    weights: NDArray[np.int32]
    crowd_seconds: NDArray[np.int64]


CONNECTIONS, PUBLICATIONS, RECEIPTS = range(3)
# The state of a connection that is neither absent, connected nor waiting.
CLOSED = 3


class TableSizes(NamedTuple):
    """The most records that some events can make; all 0 where no event needs these tables."""

    users: int = 0
    connections: int = 0
    publications: int = 0
    views: int = 0
    receipts: int = 0


def empty_subscriptions(sizes: TableSizes, classes: int, *, by_user: bool) -> SubscriptionTables:
    """Tables with space for so many records."""
    members, views, rooms = (
        np.zeros(sizes.users, MEMBER),
        np.zeros(sizes.views, VIEW),
        np.zeros(sizes.users, ROOM_VIDEO),
    )
    for name in ("first_connection", "first_view", "first_own"):
        members[name] = -1
    views["first_receipt"] = -1
    rooms["first_apart"] = rooms["first_publication"] = -1
    return SubscriptionTables(
        members=members,
        connections=np.zeros(sizes.connections, CONNECTION),
        publications=np.zeros(sizes.publications, PUBLICATION),
        own=np.zeros(sizes.publications, OWN),
        views=views,
        receipts=np.zeros(sizes.receipts, RECEIPT),
        rooms=rooms,
        connection_places=hash_places(sizes.connections),
        publication_places=hash_places(sizes.publications),
        used=np.zeros(3, np.int64),
        published=np.zeros((sizes.users, classes), np.int32),
        weights=np.zeros((sizes.users, classes), np.int32),
        crowd_seconds=np.zeros((sizes.users if by_user else 0, classes), np.int64),
    )


def hash_places(most: int) -> NDArray[np.int32]:
    """An empty hash table for the numbers of so many records."""
    return np.full(1 << (2 * most + 1).bit_length(), -1, np.int32)
