"""Handles, feeds and people: what is known of each connection, and of each user in a room."""

from dataclasses import dataclass, field
from typing import NamedTuple

from billing.catalog.feeds import Size
from billing.periods import STALE_SECONDS, WAIT_SECONDS
from billing.sources.janus.records import Place, Video, Watched

MS = 1_000  # µs
SECOND = 1_000 * MS

FeedKey = tuple[str, str]  # room, feed


class Ending(NamedTuple):
    """How a stay ends: exit or disconnect, and why."""

    type: str
    reason: str


class Loss(NamedTuple):
    """When a session lost its transport (µs), and what that means for its user."""

    at: int
    ending: Ending


LEFT = Ending("exit", "leave")


@dataclass(slots=True, kw_only=True, eq=False)
class Handle:
    id: str
    session: str | None
    user: str | None
    whole: bool = False  # seen from its beginning
    up: bool | None = None  # its PeerConnection; None: not known
    feed: "Feed | None" = None  # of a publisher
    publishes: bool = False
    receiving: dict[tuple[str, str], bool] = field(default_factory=dict)  # by mid and substream
    person: "Person | None" = None  # of a subscriber
    private_id: str = "0"
    watched: dict[str, Watched] = field(default_factory=dict)  # by mid of its own m-line
    listed_by: Place | None = None
    offered: dict[str, bool] = field(default_factory=dict)
    answered: dict[str, bool] = field(default_factory=dict)
    offered_at: int = 0

    def flows(self, mid: str) -> bool:
        return self.up is not False and self.offered.get(mid, not self.offered) and self.answered.get(mid, True)


@dataclass(slots=True, kw_only=True, eq=False)
class Feed:
    key: FeedKey
    person: "Person"
    handle: Handle
    private_id: str | None = None
    videos: dict[str, Video] | None = None  # None: not known
    listed_by: Place | None = None

    def sends(self, mid: str, media: bool) -> bool:
        """Is this stream published, and does its media arrive? `media`: does the trace tell?"""
        if self.videos is not None and not (mid in self.videos and self.videos[mid].sent):
            return False
        said = [receiving for (of, _), receiving in self.handle.receiving.items() if of == mid]
        return any(said) if said else not (media and self.handle.whole)


@dataclass(slots=True, kw_only=True, eq=False)
class Person:
    """A user in a room, and what was last written of that user."""

    room: str
    user: str
    feeds: dict[FeedKey, Feed] = field(default_factory=dict)
    viewers: dict[str, Handle] = field(default_factory=dict)
    subscribers: dict[str, Handle] = field(default_factory=dict)
    present: bool = False
    lost_second: int | None = None
    received: dict[str, Size] = field(default_factory=dict)
    last_second: int = 0  # of what was last written

    def is_stale(self, at: int) -> bool:
        """Has the stay ended by the rule of 24 hours without an event, at this time (µs)?"""
        return self.present and at // SECOND >= self.last_second + STALE_SECONDS

    def is_waited_for(self, at: int) -> bool:
        """Was the connection lost, and may it still come back at this time (µs)?"""
        return self.lost_second is not None and at // SECOND < self.lost_second + WAIT_SECONDS


def picture_of(feed: Feed | None, handle: Handle, stream: Watched) -> tuple[str, Size] | None:
    """Kind and size: as the publisher last said, else as the subscription says, else as was to be assumed of what lists
    the stream."""
    said, listed_by = [stream.picture], handle.listed_by
    if feed is not None and feed.videos is not None:
        said.insert(0, feed.videos[stream.mid].picture)
        listed_by = feed.listed_by or listed_by
    sizes = dict(listed_by.sizes) if listed_by else {}
    kind = next((picture.kind for picture in said if picture.kind), None) or next(iter(sizes), None)
    size = next((picture.size for picture in said if picture.size), None) or sizes.get(kind or "")
    return (kind, size) if kind is not None and size is not None else None
