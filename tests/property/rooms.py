"""Hypothesis strategies for rooms: lists of events as plain rows, often in the same second and often at odds with
each other."""

from typing import Any

from hypothesis import strategies as st

from billing.events.schema import SIZED_TYPES, VIDEO_TYPES
from tests.oracle import ORDER

SIZES = [
    (320, 180),
    (640, 480),
    (640, 481),
    (1280, 720),
    (1920, 1080),
    (1921, 1080),
    (2560, 1440),
    (3840, 2160),
    (16384, 16384),
]
GAPS = [0, 0, 0, 0, 0, 1, 1, 2, 7, 60, 89, 90, 91, 299, 300, 301, 3600, 40_000, 86_399, 86_400, 86_401]
MILLISECONDS = [0, 0, 0, 1, 500, 999]
PLAIN = [kind for kind in ORDER if "publish" not in kind]
KINDS = [*PLAIN, "enter", "enter", "video_on", "video_on", "video_on"]
SUBSCRIBED_KINDS = [*ORDER, "enter", "enter", "enter", "reconnect", "publish", "publish", "video_on", "video_off"]
STREAMS = ["a/camera", "b/camera", "a/screen"]
ROOMS_PER_EXAMPLE = 10

_step = st.tuples(
    st.sampled_from(GAPS),
    st.sampled_from(MILLISECONDS),
    st.sampled_from(KINDS),
    st.integers(1, 4),  # user
    st.sampled_from([0, 0, 0, 1]),  # seq
    st.sampled_from(STREAMS),
    st.sampled_from(SIZES),
    st.integers(0, 9),  # beginning of the event id
)
_subscribed_step = st.tuples(
    st.sampled_from([*GAPS, 0, 0, 0, 0, 0, 1, 5, 30, 30, 60, 80]),
    st.sampled_from(MILLISECONDS),
    st.sampled_from(SUBSCRIBED_KINDS),
    st.integers(1, 3),
    st.sampled_from([0, 0, 0, 1]),
    st.sampled_from(STREAMS),
    st.sampled_from(SIZES[:6]),
    st.integers(0, 9),
    st.sampled_from([None, "c1", "c1", "c2"]),
    st.sampled_from([None, "all", "all"]),
)
TASK_KINDS = ["task_start", "task_start", "task_stop", "video_on", "video_on", "video_on", "video_off"]
TASK_GAPS = [*GAPS, 0, 1, 20, 3000, 50_000]
SERVICES = ["recording", "mix-h264", "mix-h264", "mix-h265"]
task_step = st.tuples(
    st.sampled_from(TASK_GAPS),
    st.sampled_from(MILLISECONDS),
    st.sampled_from(TASK_KINDS),
    st.integers(1, 2),  # task, named as a user
    st.sampled_from([0, 0, 0, 1]),  # seq
    st.sampled_from(STREAMS),
    st.sampled_from(SIZES),
    st.integers(0, 9),
    st.sampled_from(SERVICES),
    st.booleans(),  # whether the service is named where it may be left out
)


def subscribed_rooms(*, start: int, apps: tuple[int, ...] = (1, 2)) -> st.SearchStrategy[list[dict[str, Any]]]:
    """The same, with connections, publications and automatic subscription, and plain rooms among them."""
    steps = st.lists(_subscribed_step, min_size=1, max_size=20) | st.lists(_step, min_size=1, max_size=10)
    return st.lists(steps, min_size=1, max_size=ROOMS_PER_EXAMPLE).map(
        lambda drawn: [
            event
            for number, room in enumerate(drawn)
            for event in events_of(room, start, apps[number % len(apps)], f"r{number}")
        ]
    )


def rooms(*, start: int, apps: tuple[int, ...] = (1, 2)) -> st.SearchStrategy[list[dict[str, Any]]]:
    """The events of ten rooms, which share their users and lie in different apps, from epoch second `start` on."""
    steps = st.lists(_step, min_size=1, max_size=15)
    return st.lists(steps, min_size=ROOMS_PER_EXAMPLE, max_size=ROOMS_PER_EXAMPLE).map(
        lambda drawn: [
            event
            for number, room in enumerate(drawn)
            for event in events_of(room, start, apps[number % len(apps)], f"r{number}")
        ]
    )


def tasks_of(steps: list[Any], start: int, app: int, room: str) -> list[dict[str, Any]]:
    """The events of the tasks of one room, a step for each."""
    rows: list[dict[str, Any]] = []
    at = start * 1000
    for place, (gap, milliseconds, kind, task, seq, stream, size, letter, service, is_named) in enumerate(steps):
        at += gap * 1000 + milliseconds
        row = {"event_id": f"t{letter}-{room}-{place}", "app_id": app, "room_id": room}
        row |= {"at": at, "seq": seq, "type": kind, "task_id": f"u{task}"}
        row |= {"stream": stream} if kind in VIDEO_TYPES else {}
        row |= {"width": size[0], "height": size[1]} if kind in SIZED_TYPES else {}
        rows.append(row | ({"service": service} if is_named or kind == "task_start" else {}))
    return rows


def events_of(steps: list[Any], start: int, app: int, room: str) -> list[dict[str, Any]]:
    """The events of one room, a step for each: gap (s), milliseconds, type, user, seq, stream, size, letter."""
    rows: list[dict[str, Any]] = []
    at = start * 1000
    for number, (gap, milliseconds, kind, user, seq, stream, size, letter, *over) in enumerate(steps):
        connection, receives = over or (None, None)
        at += gap * 1000 + milliseconds
        rows.append(
            {
                "event_id": f"{letter}-{room}-{number}",
                "app_id": app,
                "room_id": room,
                "user_id": None if kind == "dismiss" else f"u{user}",
                "at": at,
                "seq": seq,
                "type": kind,
                "stream": stream if kind in VIDEO_TYPES else None,
                "width": size[0] if kind in SIZED_TYPES else None,
                "height": size[1] if kind in SIZED_TYPES else None,
                "connection": connection if kind != "dismiss" else None,
                "receives": receives if kind in ("enter", "reconnect") else None,
            }
        )
    return rows
