"""Carried stays: the rows of the state between two days, as they are compared, whatever version wrote them.

Earlier versions had no connections, publications and exceptions, and no connections of streams: those are empty then.
So are the beginnings of stays where they are not counted. Rows of tasks have a service and an id in place of the user.
"""

from collections.abc import Iterable, Mapping
from typing import Any

_LISTS = ("streams", "connections", "published", "excepted", "begun")
_TASK = ("service", "task_id")
_COMPARED = ("user_id", *_TASK, "last_event", "wait_ends", *_LISTS)


def whole_stay(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the state with everything that it may hold."""
    streams = [{"connection": None, **each} for each in row["streams"]]
    return {name: [] for name in _LISTS} | dict.fromkeys(_TASK) | {**row, "streams": streams}


def comparable_stays(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """The stays of a room in a form in which equal ones are equal."""
    return sorted(repr([_ordered(row.get(name)) for name in _COMPARED]) for row in rows)


def _ordered(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_ordered(each) for each in value]
    return sorted(value.items()) if isinstance(value, Mapping) else value
