"""Items: what a second of use is billed as, from audio up to the largest picture.

Most policies bill a user's second as audio or as video by picture size. Some bill every second alike: as a minute of a
participant, or of a connection. A second of a value-added service has the same names behind that of the service:
`recording:hd`.

The order is the one in which a package that runs out pays inside one window and app, and the order of columns and lines
everywhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from billing.limits import SERVICES as SERVICES

T = TypeVar("T")


def service_item(service: str, item: str) -> str:
    """The item of a service: `recording:hd`."""
    return f"{service}:{item}"


AUDIO = "audio"
VIDEO_ITEMS = ("sd", "hd", "fhd", "2k", "4k")
# The items of value-added services (`billing.catalog.services`).
SERVICE_ITEMS = tuple(service_item(service, item) for service in SERVICES for item in (AUDIO, *VIDEO_ITEMS))
# What a month costs besides its use: one unit each.
BASE_FEE, MINIMUM_FEE = FEES = ("base_fee", "minimum_fee")
ITEMS = (AUDIO, *VIDEO_ITEMS, "participant", "connection", *SERVICE_ITEMS, *FEES)
ITEM_RANK = {item: rank for rank, item in enumerate(ITEMS)}
# Why a second has its item: of audio, and of video.
DISCONNECT_GRACE, ALONE_IN_ROOM, NO_VIDEO_RECEIVED = "disconnect_grace", "alone_in_room", "no_video_received"
CAMERA, SCREEN_SHARE = "camera", "screen_share"
REASONS = (DISCONNECT_GRACE, ALONE_IN_ROOM, NO_VIDEO_RECEIVED, CAMERA, SCREEN_SHARE)


def short_name(item: str) -> str:
    """The item without its service: `hd` of `recording:hd`, and of `hd`."""
    return item.rpartition(":")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """A class of video: pixel areas above the tier before, up to and including `top_area` (None: no upper bound)."""

    item: str
    top_area: int | None = None


def in_order(values: Mapping[str, T]) -> dict[str, T]:
    """The values of some items, in the order of `ITEMS`."""
    return {item: values[item] for item in ITEMS if item in values}


class WindowUsage(NamedTuple):
    """Seconds of one item in one app and window (its start as epoch second); any reasons are already summed."""

    window_start: int
    app_id: int
    item: str
    seconds: int
