"""The slow obvious meter of tasks: one task at a time, one second after the other, written from the rules and from
nothing else.

`meter_tasks` takes plain rows (dicts in the event schema), the tasks that run at the start, the span `[start, end)` in
epoch seconds and the services of each app, and gives the seconds by app, room, service, task, window, item and reason,
the tasks that run at the end, and the findings.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from tests.oracle import STALE, WINDOW

ORDER = ["task_start", "video_off", "video_on", "task_stop"]

Key = tuple[int, str, str, str]  # app, room, service, task
Size = tuple[int, int]


@dataclass
class Service:
    """`base`: the item without video; `tiers` are (item, top area or None), ascending."""

    base: str | None
    tiers: list[tuple[str, int | None]]
    least_inputs: int = 0

    def classify(self, inputs: Mapping[str, Size]) -> tuple[str, str] | None:
        if len(inputs) < self.least_inputs:
            return None
        if not inputs:
            return None if self.base is None else (self.base, "no_video_received")
        area = sum(width * height for width, height in inputs.values())
        item = next(item for item, top in self.tiers if top is None or area <= top)
        return item, "screen_share" if any(stream.endswith("/screen") for stream in inputs) else "camera"


@dataclass
class Task:
    """One that runs."""

    last_event: int
    inputs: dict[str, Size] = field(default_factory=dict)


@dataclass
class MeteredTasks:
    seconds: Counter[tuple[int, str, str, str, int, str, str]]  # key, window start, item, reason
    running: dict[Key, Task]
    findings: Counter[tuple[int, str, int, str]]  # app, room, at ms, finding


def meter_tasks(
    events: Iterable[Mapping[str, Any]],
    carried: Mapping[Key, Task],
    start: int,
    end: int,
    services: Mapping[int, Mapping[str, Service]],
) -> MeteredTasks:
    result = MeteredTasks(Counter(), deepcopy(dict(carried)), Counter())
    mine = [each for each in events if each.get("task_id") is not None and start <= each["at"] // 1000 < end]
    clock = start
    for event in sorted(mine, key=lambda e: (e["at"], e["seq"], ORDER.index(e["type"]), e["event_id"])):
        _pass_time(result, clock, event["at"] // 1000, services)
        clock = event["at"] // 1000
        _apply(result, event, services)
    _pass_time(result, clock, end, services)
    return result


def _apply(result: MeteredTasks, event: Mapping[str, Any], services: Mapping[int, Mapping[str, Service]]) -> None:
    app, room, service, second = event["app_id"], event["room_id"], event.get("service"), event["at"] // 1000
    about = [
        key
        for key in result.running
        if (key[0], key[1], key[3]) == (app, room, event["task_id"]) and service in (None, key[2])
    ]
    if event["type"] == "task_start":
        assert service is not None
        if about:
            result.findings[app, room, event["at"], "reentered"] += 1
        elif service not in services[app]:
            result.findings[app, room, event["at"], "unbilled_service"] += 1
        result.running[app, room, service, event["task_id"]] = Task(second)
        return
    if not about:
        result.findings[app, room, event["at"], "outside_stay"] += 1
    for key in about:
        task = result.running[key]
        task.last_event = second
        if event["type"] == "task_stop":
            del result.running[key]
        elif event["type"] == "video_on":
            task.inputs[event["stream"]] = (event["width"], event["height"])
        else:
            task.inputs.pop(event["stream"], None)


def _pass_time(result: MeteredTasks, clock: int, until: int, services: Mapping[int, Mapping[str, Service]]) -> None:
    for key, task in list(result.running.items()):
        app, room, service, _ = key
        silent = task.last_event + STALE
        if silent <= until:
            result.findings[app, room, silent * 1000, "stale_stay"] += 1
            del result.running[key]
        kind = services[app][service].classify(task.inputs) if service in services[app] else None
        second = clock
        while kind and second < min(until, silent):
            window = second - second % WINDOW
            step = min(window + WINDOW, until, silent)
            result.seconds[(*key, window, *kind)] += step - second
            second = step
