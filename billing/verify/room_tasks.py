"""Tasks in intervals: what a server does for one room, such as recording it, event by event.

A task is known by its service and id. It runs from its start to its stop, or until a day after its last event; what it
receives is cleared when it is started again. An event that names no service is about each task of its id. At one
instant a stop comes last. Example: two streams of 1280x960 are 2,457,600 pixels, one second of `mix-h264:2k`; with one
of them alone, a mix (which needs two inputs) is not billed.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

SILENCE = 86_400
TASK_ORDER = ("task_start", "video_off", "video_on", "task_stop")

Key = tuple[str, str]  # service, id


class ServiceRule(NamedTuple):
    """How a second of a task becomes an item: as a user's by the sum of areas, without video as `base` (None: not at
    all), and not at all with fewer than `least_inputs` streams."""

    base: str | None
    tiers: tuple[tuple[str, int | None], ...]
    least_inputs: int = 0

    def classify(self, inputs: Mapping[str, tuple[int, int]]) -> tuple[str, str] | None:
        """The item and reason; None: not billed."""
        if len(inputs) < self.least_inputs:
            return None
        if not inputs:
            return None if self.base is None else (self.base, "no_video_received")
        area = sum(width * height for width, height in inputs.values())
        item = next(item for item, top in self.tiers if top is None or area <= top)
        return item, "screen_share" if any(name.endswith("/screen") for name in inputs) else "camera"


class TaskInterval(NamedTuple):
    """A stretch `[start, end)` in which a task is billed alike."""

    task_id: str
    start: int
    end: int
    item: str
    reason: str


class Task:
    """One that runs: since when it receives what it does, and its last event."""

    def __init__(self, last_event: int, since: int, inputs: Mapping[str, tuple[int, int]]) -> None:
        self.last_event, self.since, self.inputs = last_event, since, dict(inputs)


class RoomTasks:
    """The tasks of a room: those that run, and the intervals that have ended."""

    def __init__(self, services: Mapping[str, ServiceRule]) -> None:
        self.services = services
        self.running: dict[Key, Task] = {}
        self.found: list[TaskInterval] = []

    def apply(self, event: Mapping[str, Any]) -> None:
        """An event of a task; all before it are applied."""
        second, service, task_id, kind = event["at"] // 1000, event["service"], event["task_id"], event["type"]
        about = [key for key in self.running if key[1] == task_id and service in (None, key[0])]
        for key in about:
            self.pass_to(key, second)
        if kind == "task_start":
            self.running[service, task_id] = Task(second, second, {})
            return
        for key in [key for key in about if key in self.running]:
            task = self.running[key]
            task.last_event = second
            if kind == "task_stop":
                del self.running[key]
            elif kind == "video_on":
                task.inputs[event["stream"]] = (event["width"], event["height"])
            else:
                task.inputs.pop(event["stream"], None)

    def pass_to(self, key: Key, second: int) -> None:
        """Counts a task up to a second; one that was silent for a day by then ends."""
        task = self.running[key]
        ends = task.last_event + SILENCE
        until = min(second, ends)
        kind = self.services[key[0]].classify(task.inputs) if key[0] in self.services else None
        if kind is not None and until > task.since:
            self.found.append(TaskInterval(key[1], task.since, until, *kind))
        task.since = second
        if ends <= second:
            del self.running[key]


def is_of_task(row: Mapping[str, Any]) -> bool:
    """Whether an event, or a row of the state, is of a task."""
    return row.get("task_id") is not None


def run_tasks(
    events: Iterable[Mapping[str, Any]],
    carried: Iterable[Mapping[str, Any]],
    start: int,
    end: int,
    services: Mapping[str, ServiceRule],
) -> RoomTasks:
    """The tasks of a room from epoch second `start` to `end`: events and rows of the state of users are passed over."""
    room = RoomTasks(services)
    for row in filter(is_of_task, carried):
        inputs = {each["stream"]: (each["width"], each["height"]) for each in row["streams"]}
        room.running[row["service"], row["task_id"]] = Task(row["last_event"], start, inputs)
    for event in sorted(filter(is_of_task, events), key=_place):
        room.apply(event)
    for key in list(room.running):
        room.pass_to(key, end)
    return room


def _place(event: Mapping[str, Any]) -> tuple[Any, ...]:
    return event["at"], event["seq"], TASK_ORDER.index(event["type"]), event["event_id"].encode()


def task_state(room: RoomTasks) -> Iterator[dict[str, Any]]:
    """The tasks that go on, as rows of the state."""
    nothing: dict[str, Any] = {"connections": [], "published": [], "excepted": [], "begun": [], "wait_ends": None}
    for (service, task_id), task in sorted(room.running.items()):
        streams = [
            {"stream": stream, "width": width, "height": height, "connection": None}
            for stream, (width, height) in sorted(task.inputs.items())
        ]
        named = {"user_id": None, "service": service, "task_id": task_id}
        yield {**nothing, **named, "last_event": task.last_event, "streams": streams}
