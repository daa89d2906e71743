"""Feeds: how the records of media servers name an app, and what is assumed where they are silent.

A feed is a source and the name by which its records know the app, `livekit:APIexample1` (the API key) or
`trtc:1400000042` (the SdkAppId). Assumptions fill in what a source cannot know: with `camera = "1280x720"` a camera
whose record has no size is billed as one of 1280 by 720 pixels. They are applied when a record is read, so a change
holds for records that are read after it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from billing.errors import UsageError, unknown
from billing.limits import LONGEST_SIDE

Size = tuple[int, int]  # width, height in pixels

# The sources whose records say, each for itself, who did what in which room.
RECORD_SOURCES = ("livekit", "trtc", "mediasoup", "agora", "bigbluebutton")
# Those that tell who publishes, not who receives: users are billed as subscribed to everything published.
AUTOMATIC_SOURCES = ("livekit", "trtc", "agora", "bigbluebutton")
# What is assumed of some kinds of participants if nothing else is: a telephone shows no video.
KINDS = {"livekit": {"SIP": "none"}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumptions:
    """What is assumed for an app; None: nothing.

    `camera` and `screen` are sizes such as 1280x720. `subscribe` is `all` or `none`: whether users receive everything
    that others publish; `kinds` says it for some kinds of participants, such as `{"SIP": "none"}`.
    """

    camera: str | None = None
    screen: str | None = None
    subscribe: str | None = None
    kinds: Mapping[str, str] = field(default_factory=dict)

    def size(self, kind: str) -> Size | None:
        """The size of a `camera` or a `screen`."""
        text = self.camera if kind == "camera" else self.screen
        return None if text is None else parse_size(text)


def assumptions_in_words(feeds: Iterable[str], assume: Assumptions) -> str | None:
    """What is assumed for an app with these feeds, as the end of a sentence about it; None: nothing.

    With the feed of a LiveKit server and `camera = "640x360"`: `users are billed as subscribed to everything published,
    but for SIP; cameras of unknown size are billed as 640x360`.
    """
    parts = list(_subscription(feeds, assume))
    for kind, size in (("cameras", assume.camera), ("screens", assume.screen)):
        if size is not None:
            parts.append(f"{kind} of unknown size are billed as {size}")
    return "; ".join(parts) or None


def _subscription(feeds: Iterable[str], assume: Assumptions) -> Iterator[str]:
    sources = {feed.partition(":")[0] for feed in feeds}
    chosen = assume.subscribe or ("all" if sources.intersection(AUTOMATIC_SOURCES) else "")
    kinds = {kind: what for source in sources for kind, what in KINDS.get(source, {}).items()} | dict(assume.kinds)
    others = sorted(kind for kind, what in kinds.items() if what != chosen)
    if chosen == "all":
        but = f", but for {', '.join(others)}" if others else ""
        yield f"users are billed as subscribed to everything published{but}"
    elif alone := [kind for kind in others if kinds[kind] == "all"]:
        yield f"{', '.join(alone)} are billed as subscribed to everything published, other users to nothing"


def parse_size(text: str) -> Size:
    """A picture size such as 1280x720."""
    found = re.fullmatch(r"([1-9]\d{0,4})[xX]([1-9]\d{0,4})", text, re.ASCII)
    sides = (int(found[1]), int(found[2])) if found else None
    if sides is None or max(sides) > LONGEST_SIDE:
        raise UsageError(f"{text!r} is not a size in pixels such as 1280x720")
    return sides


def check_feed(text: str) -> str:
    """A feed as it is; a `UsageError` when it is none."""
    source, colon, name = text.partition(":")
    if not (source and colon and name):
        raise UsageError(f"{text!r} is not a source and a name such as livekit:APIexample1")
    if source not in RECORD_SOURCES:
        raise UsageError(unknown("source", source, RECORD_SOURCES))
    return text
