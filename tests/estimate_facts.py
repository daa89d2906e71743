"""Rooms as they would really be: every room of every day, with every user in it."""

from collections.abc import Iterator, Sequence
from typing import Any

Size = tuple[int, int]


def rooms_of_a_day(
    start: int,
    *,
    app_id: int,
    rooms: int,
    users: int,
    minutes: int,
    cameras: Sequence[Size] = (),
    screen: Size | None = None,
    kind: str = "room",
) -> Iterator[dict[str, Any]]:
    """The events of a day that begins at epoch second `start`, where each room lasts from then on."""
    for room in range(rooms):
        for user in range(users):
            received = [(f"{other}/camera", size) for other, size in enumerate(cameras) if other != user]
            if screen and user != 0:
                received.append(("share/screen", screen))
            changes: list[dict[str, Any]] = [{"type": "enter"}]
            changes += [{"type": "video_on", "stream": s, "width": w, "height": h} for s, (w, h) in received]
            changes += [{"type": "exit", "at": (start + minutes * 60) * 1000}]
            for number, change in enumerate(changes):
                yield {
                    "event_id": f"{kind}-{start}-{room}-{user}-{number}",
                    "app_id": app_id,
                    "room_id": f"{kind}-{start}-{room}",
                    "user_id": f"user-{user}",
                    "at": start * 1000,
                    "seq": 0,
                    **change,
                }
