"""Metered rooms: the seconds of a room and day by window, item and reason, under any policy.

Where stays are counted, a minute of a stay is 60 seconds, with the reason `connected`, in the window in which it
begins: from 00:04:10 to 00:06:11 (121 s) one minute begins in the window of 00:00 and two in that of 00:05. A
connection with a name is a stay of its own, as if a user for each were in the room; what an `exit` or `disconnect`
without a name says of all is said of each that was opened before it. When a stay began is carried on with it.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from billing.verify.policy_rules import MeterRule
from billing.verify.room_people import Row
from billing.verify.room_tasks import TaskInterval, is_of_task, run_tasks, task_state
from billing.verify.rooms import Interval, Room, run_room

WINDOW, MINUTE = 300, 60
CONNECTED = "connected"
OPENING = ("enter", "reconnect", "publish")
OF_ALL = ("exit", "disconnect")
RoomSeconds = dict[tuple[int, str, str], int]


def metered_room(
    events: Iterable[Row], carried: Iterable[Row], start: int, end: int, rule: MeterRule
) -> tuple[RoomSeconds, list[dict[str, Any]]]:
    """A room's seconds by window (its start), item and reason, and the state after the day: users, then tasks."""
    events, carried = list(events), list(carried)
    of_tasks, carried_tasks = ([row for row in rows if is_of_task(row)] for rows in (events, carried))
    events, carried = ([row for row in rows if not is_of_task(row)] for rows in (events, carried))
    seconds, state = _metered_users(events, carried, start, end, rule)
    if of_tasks or carried_tasks:
        done = run_tasks(of_tasks, carried_tasks, start, end, rule.services)
        seconds, state = seconds | in_windows(done.found), [*state, *task_state(done)]
    return seconds, state


def _metered_users(
    events: list[Row], carried: list[Row], start: int, end: int, rule: MeterRule
) -> tuple[RoomSeconds, list[dict[str, Any]]]:
    room = run_room(events, carried, start, end, rule)
    state = list(room.state(end))
    if not rule.per_stay:
        return in_windows(room.found), state
    began = {(row["user_id"], each["connection"]): each["began"] for row in carried for each in row["begun"]}
    seconds: RoomSeconds = {}
    going_on: dict[str, dict[str | None, int]] = {}
    for user_id, connection, stay in _stays_apart(events, carried, start, end, rule):
        since = began.get((user_id, connection), start) if stay.is_carried else stay.start
        for minute in range(since + -(-(stay.start - since) // MINUTE) * MINUTE, stay.end, MINUTE):
            key = (minute - minute % WINDOW, rule.base, CONNECTED)
            seconds[key] = seconds.get(key, 0) + MINUTE
        if stay.end == end:
            going_on.setdefault(user_id, {})[connection] = since
    for row in state:
        if row["last_event"] is not None:
            row["begun"] = _begun(going_on.get(row["user_id"], {}))
    return seconds, state


def in_windows(intervals: Iterable[Interval | TaskInterval]) -> RoomSeconds:
    """Seconds by window, item and reason."""
    seconds: RoomSeconds = {}
    for _, start, end, item, reason in intervals:
        for window in range(start - start % WINDOW, end, WINDOW):
            key = (window, item, reason)
            seconds[key] = seconds.get(key, 0) + min(end, window + WINDOW) - max(start, window)
    return seconds


def _begun(began: Mapping[str | None, int]) -> list[dict[str, Any]]:
    """The beginnings by connection, the one without a name first."""
    names = sorted(began, key=lambda name: (name is not None, (name or "").encode()))
    return [{"connection": name, "began": began[name]} for name in names]


# Connections as users


def _stays_apart(
    events: list[Row], carried: list[Row], start: int, end: int, rule: MeterRule
) -> Iterator[tuple[str, str | None, Any]]:
    """The stays of each user and connection, in the order in which they end."""
    room: Room = run_room(_events_apart(events, carried), _carried_apart(carried), start, end, rule)
    for stay in room.ended:
        user_id, connection = json.loads(stay.user_id)
        yield user_id, connection, stay


def _apart(user_id: str | None, connection: str | None) -> str:
    return json.dumps([user_id, connection])


def _events_apart(events: list[Row], carried: list[Row]) -> Iterator[Row]:
    opened: dict[str, dict[str, tuple[int, int]]] = {}
    for row in carried:
        for each in row["connections"]:
            if each["connection"] is not None:
                opened.setdefault(row["user_id"], {})[each["connection"]] = (0, 0)
    for event in events:
        name = event.get("connection")
        if name is not None and event["type"] in OPENING:
            first, of_user = (event["at"], event["seq"]), opened.setdefault(event["user_id"], {})
            of_user[name] = min(first, of_user.get(name, first))
    for event in events:
        user_id, name = event["user_id"], event.get("connection")
        yield {**event, "user_id": _apart(user_id, name)}
        if name is None and event["type"] in OF_ALL:
            for each, first in opened.get(user_id, {}).items():
                if first < (event["at"], event["seq"]):
                    yield {**event, "user_id": _apart(user_id, each), "connection": each}


def _carried_apart(carried: list[Row]) -> Iterator[Row]:
    """Each connection with its wait, or the memory that it is closed; what is received does not count."""
    nothing: Row = {"streams": [], "published": [], "excepted": []}
    for row in carried:
        user_id, last_event = row["user_id"], row["last_event"]
        if last_event is not None and not row["connections"]:
            yield {**nothing, **_person(user_id, None, last_event, row["wait_ends"]), "connections": []}
        for each in row["connections"]:
            waits = (None, None) if each["closed"] else (last_event, each["until"])
            yield {**nothing, **_person(user_id, each["connection"], *waits), "connections": [each]}


def _person(user_id: str, connection: str | None, last_event: int | None, wait_ends: int | None) -> Row:
    return {"user_id": _apart(user_id, connection), "last_event": last_event, "wait_ends": wait_ends}
