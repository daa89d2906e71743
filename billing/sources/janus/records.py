"""What a Janus event means to us: one record for each event that tells who is in a room or what reaches them.

Ids of rooms, feeds, sessions and handles are text here, whether Janus is set up for numbers or for text.
"""

from typing import NamedTuple

from billing.catalog.feeds import Size


class Picture(NamedTuple):
    """What a publisher says about a video stream; None: it does not say."""

    kind: str | None
    size: Size | None


class Video(NamedTuple):
    """A video stream of a publisher."""

    mid: str
    sent: bool  # False: disabled
    picture: Picture


class Watched(NamedTuple):
    """A video stream of a feed on an m-line of a subscriber."""

    line_mid: str
    feed: str
    mid: str  # of the feed
    publisher: str | None
    picture: Picture


class Created(NamedTuple):
    transport: str


class SessionOver(NamedTuple):
    reason: str  # destroyed, timeout


class Attached(NamedTuple):
    pass


class Detached(NamedTuple):
    pass


class Described(NamedTuple):
    """The m-lines of a session description: does media flow from Janus to the client?"""

    offer: bool  # True: offered by Janus; False: answered by the client
    flows: dict[str, bool]


class Up(NamedTuple):
    pass


class HungUp(NamedTuple):
    alert: bool  # the peer closed its connection itself


class Receiving(NamedTuple):
    mid: str
    substream: str
    receiving: bool


class Joined(NamedTuple):
    room: str
    feed: str
    display: str | None
    private_id: str | None
    first: bool  # False: met later, its `joined` may lie before the trace


class Published(NamedTuple):
    room: str
    feed: str
    display: str | None
    videos: tuple[Video, ...]


class Unpublished(NamedTuple):
    room: str
    feed: str


class Left(NamedTuple):
    room: str
    feed: str
    reason: str  # leaving, kicked
    display: str | None


class Subscription(NamedTuple):
    """The full stream list of a subscriber; `first`: Janus has only made its first offer."""

    room: str
    private_id: str
    watched: tuple[Watched, ...]
    first: bool


class Unsubscribed(NamedTuple):
    feed: str
    mid: str


class RoomDestroyed(NamedTuple):
    room: str


class TransportClosed(NamedTuple):
    transport: str


class Started(NamedTuple):
    pass


class Stopped(NamedTuple):
    pass


Body = (
    Created
    | SessionOver
    | Attached
    | Detached
    | Described
    | Up
    | HungUp
    | Receiving
    | Joined
    | Published
    | Unpublished
    | Left
    | Subscription
    | Unsubscribed
    | RoomDestroyed
    | TransportClosed
    | Started
    | Stopped
)


# What is never said without a handle.
OF_A_HANDLE = (Attached, Detached, Described, Up, HungUp, Receiving, Joined, Published, Subscription, Unsubscribed)

# Records of one microsecond in the order in which they can have happened.
_ORDER = (
    *(Created, Attached, Joined, Described, Published, Subscription, Up, Receiving),
    *(Unsubscribed, HungUp, Unpublished, Left, Detached, SessionOver, TransportClosed, RoomDestroyed),
    *(Stopped, Started),
)
RANK: dict[type, int] = {body: rank for rank, body in enumerate(_ORDER, 1)}


class Place(NamedTuple):
    """Where a record stood. `raw`: its text, if it may still be rejected; `sizes`: by kind of stream, what was to be
    assumed of what it lists."""

    file: str
    line: int
    file_hash: str = ""
    raw: str | None = None
    sizes: tuple[tuple[str, Size], ...] = ()


class Record(NamedTuple):
    at: int  # µs since 1970
    place: Place
    session: str | None
    handle: str | None
    user: str | None
    body: Body


class Sign(NamedTuple):
    """What one event of a server says: when (µs), of which type, by which server; `record` is None if it tells nothing
    but that the server was alive."""

    at: int
    type: int
    emitter: str
    record: Record | None

    @property
    def rank(self) -> int:
        """Its place among those of the same microsecond."""
        return RANK[type(self.record.body)] if self.record else 0
