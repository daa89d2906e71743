"""Items: what a second of use is billed as, from audio up to the largest picture.

Most policies bill a user's second as audio or as video by picture size. Some bill every second alike: as a minute of a
participant, or of a connection.

The order is the one in which a package that runs out pays inside one window and app, and the order of columns and lines
everywhere.
"""

from collections.abc import Mapping
from typing import NamedTuple, TypeVar

T = TypeVar("T")

AUDIO = "audio"
VIDEO_ITEMS = ("sd", "hd", "fhd", "2k", "4k")
# What a month costs besides its use: one unit each.
BASE_FEE, MINIMUM_FEE = FEES = ("base_fee", "minimum_fee")
ITEMS = (AUDIO, *VIDEO_ITEMS, "participant", "connection", *FEES)
ITEM_RANK = {item: rank for rank, item in enumerate(ITEMS)}
# Why a second has its item: of audio, and of video.
DISCONNECT_GRACE, ALONE_IN_ROOM, NO_VIDEO_RECEIVED = "disconnect_grace", "alone_in_room", "no_video_received"
CAMERA, SCREEN_SHARE = "camera", "screen_share"
REASONS = (DISCONNECT_GRACE, ALONE_IN_ROOM, NO_VIDEO_RECEIVED, CAMERA, SCREEN_SHARE)


def in_order(values: Mapping[str, T]) -> dict[str, T]:
    """The values of some items, in the order of `ITEMS`."""
    return {item: values[item] for item in ITEMS if item in values}


class WindowUsage(NamedTuple):
    """Seconds of one item in one app and window (its start as epoch second); any reasons are already summed."""

    window_start: int
    app_id: int
    item: str
    seconds: int
