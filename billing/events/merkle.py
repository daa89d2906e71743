"""Merkle roots as in RFC 6962: a leaf is hashed behind a zero byte, two neighbours behind a one.

The root of leaves a, b, c is H(1 ‖ H(1 ‖ a ‖ b) ‖ c), where a, b, c are hashed already; that of no leaf is the hash of
nothing. H is SHA-256.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256


def leaf_hash(content: bytes) -> bytes:
    """The hash of a leaf."""
    return sha256(b"\0" + content).digest()


def merkle_root(leaves: Iterable[bytes]) -> bytes:
    """The root over hashed leaves, in their order."""
    level = list(leaves)
    if not level:
        return sha256(b"").digest()
    while len(level) > 1:
        above = [sha256(b"\1" + level[at] + level[at + 1]).digest() for at in range(0, len(level) - 1, 2)]
        # A leaf without a neighbour goes up as it is.
        level = above + level[len(above) * 2 :]
    return level[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class EventsRoot:
    """The events of a span in one hash: the root over the leaves of its rooms (`billing.events.room_leaves`)."""

    rooms: int
    events: int
    root: bytes

    @classmethod
    def over(cls, leaves: Iterable[bytes], events: int) -> "EventsRoot":
        """The root over the leaves of rooms with so many events in all."""
        hashed = list(leaves)
        return cls(rooms=len(hashed), events=events, root=merkle_root(hashed))


NO_EVENTS = EventsRoot.over((), 0)
