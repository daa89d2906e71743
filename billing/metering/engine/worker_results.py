"""Worker results: what a worker found in its parts, as frames that name rows of the span by number."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from billing.metering.engine.room_tables import (
    ABSENT,
    CONNECTED,
    FINDINGS,
    STAYS,
    STREAMS,
    USERS,
    WAITING,
    Records,
    RoomTables,
    Sums,
)
from billing.metering.engine.subscription_tables import (
    CLOSED,
    CONNECTIONS,
    PUBLICATIONS,
    RECEIPTS,
    TableSizes,
    empty_subscriptions,
)

_NO_SUBSCRIPTIONS = empty_subscriptions(TableSizes(), 0, by_user=False)

Columns = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerResult:
    """The results of one worker for its parts; seconds count from the start of the span.

    `findings`: `kind, row_number, at` (epoch ms). `stays`: `row_number` (of the first event), `person_key, second,
    stay_end, begins` (in this span). `users`: `row_number` (of the user's first event), `room_row_number` (of one in
    the same room, alike for its users), `class, seconds`, if asked for.

    What is carried on names its user in `stay`, by the number of a row. `open_stays`: `last_event, wait_ends`.
    `open_streams` and `published`: `row_number` (of the last event), `connection` (the number of a row that names it,
    or null); `connections`: `row_number, is_named, is_subscribed, is_closed, until`; `excepted`: `row_number`.

    `leaves` of the rooms (`billing.events.room_leaves`), if asked for.
    """

    sums: Sums
    findings: pl.DataFrame
    stays: pl.DataFrame
    open_stays: pl.DataFrame
    open_streams: pl.DataFrame
    connections: pl.DataFrame
    published: pl.DataFrame
    excepted: pl.DataFrame
    users: pl.DataFrame
    leaves: pl.DataFrame


def worker_result(sums: Sums, parts: Sequence[Mapping[str, Columns]], leaves: pl.DataFrame) -> WorkerResult:
    """The result of at least one part, from the `columns_of` each."""
    frames = {
        name: pl.DataFrame({column: np.concatenate([of_part[name][column] for of_part in parts]) for column in columns})
        for name, columns in parts[0].items()
    }
    absent = {"open_stays": ("waits", "wait_ends"), "connections": ("waits", "until")}
    absent |= dict.fromkeys(("open_streams", "published"), ("has_connection", "connection"))
    for name, (there, column) in absent.items():
        frames[name] = frames[name].with_columns(pl.when(there).then(column)).drop(there)
    return WorkerResult(sums=sums, leaves=leaves, **frames)


def columns_of(tables: RoomTables) -> dict[str, Columns]:
    """The columns of the frames of a `WorkerResult`, of one part."""
    streams = None if tables.subscriptions else _streams(tables)
    if not tables.subscriptions:
        tables = tables._replace(subscriptions=_NO_SUBSCRIPTIONS)
    users = tables.users[: tables.used[USERS]]
    is_present = users["state"] != ABSENT
    present = users[is_present]
    number, seconds_class = np.nonzero(tables.user_seconds)
    stays = np.where(is_present, users["row_number"], users["first_row_number"])
    return {
        "findings": _fields(tables.findings[: tables.used[FINDINGS]]),
        "stays": _fields(tables.stays[: tables.used[STAYS]]),
        "open_stays": {
            "stay": present["row_number"],
            "last_event": present["last_event"],
            "wait_ends": present["wait_ends"],
            "waits": present["state"] == WAITING,
        },
        "open_streams": _receipts(tables, stays) if streams is None else streams,
        "connections": _connections(tables, stays),
        "published": _published(tables, stays),
        "excepted": _excepted(tables, stays),
        "users": {
            "row_number": users["first_row_number"][number],
            "room_row_number": _rooms_first_rows(users)[number],
            "class": seconds_class.astype(np.uint8),
            "seconds": tables.user_seconds[number, seconds_class],
        },
    }


def _rooms_first_rows(users: NDArray[Any]) -> NDArray[np.uint32]:
    """For each user, the number of the first row of somebody in the room."""
    first = np.full(users["room"].max(initial=0) + 1, np.iinfo(np.uint32).max, np.uint32)
    np.minimum.at(first, users["room"], users["first_row_number"])
    found: NDArray[np.uint32] = first[users["room"]]
    return found


def _streams(tables: RoomTables) -> Columns:
    """The streams received, where no event names a connection."""
    streams = tables.streams[: tables.used[STREAMS]]
    streams = streams[streams["size"] > 0]
    receivers = tables.users[streams["user"]]
    received = (streams["epoch"] == receivers["epoch"]) & (receivers["state"] == CONNECTED)
    row_number = streams["row_number"][received]
    return {
        "stay": receivers["row_number"][received],
        "row_number": row_number,
        "connection": np.zeros_like(row_number),
        "has_connection": np.zeros(len(row_number), np.bool_),
    }


def _receipts(tables: RoomTables, stays: NDArray[np.uint32]) -> Columns:
    """The streams received by `video_on`; of one stream, the last received comes last."""
    receipts = tables.subscriptions.receipts[: tables.subscriptions.used[RECEIPTS]]
    receipts = receipts[receipts["view"] >= 0]
    return {
        "stay": stays[tables.streams["user"][receipts["view"]]],
        "row_number": receipts["row_number"],
        **_over(tables, receipts["connection"]),
    }


def _published(tables: RoomTables, stays: NDArray[np.uint32]) -> Columns:
    publications = tables.subscriptions.publications[: tables.subscriptions.used[PUBLICATIONS]]
    publications = publications[publications["user"] >= 0]
    return {
        "stay": stays[publications["user"]],
        "row_number": publications["row_number"],
        **_over(tables, publications["connection"]),
    }


def _over(tables: RoomTables, connections: NDArray[np.int32]) -> Columns:
    """The rows that name these connections; -1: none."""
    has_connection = connections >= 0
    row_number = np.zeros(len(connections), np.uint32)
    row_number[has_connection] = tables.subscriptions.connections["row_number"][connections[has_connection]]
    return {"connection": row_number, "has_connection": has_connection}


def _connections(tables: RoomTables, stays: NDArray[np.uint32]) -> Columns:
    """The connections that are open, wait, or are remembered as closed; none of a user who has the one without a name
    only, without a subscription."""
    connections = tables.subscriptions.connections[: tables.subscriptions.used[CONNECTIONS]]
    is_timed = (connections["state"] == WAITING) | (connections["state"] == CLOSED)
    known = (connections["state"] == CONNECTED) | (is_timed & (connections["until"] > tables.span.end))
    connections = connections[known]
    is_special = connections["is_named"] | connections["is_subscribed"]
    special = np.bincount(connections["user"][is_special], minlength=len(stays)) > 0
    connections = connections[special[connections["user"]]]
    return {
        "stay": stays[connections["user"]],
        "row_number": connections["row_number"],
        "is_named": connections["is_named"],
        "is_subscribed": connections["is_subscribed"],
        "is_closed": connections["state"] == CLOSED,
        "until": connections["until"],
        "waits": connections["state"] != CONNECTED,
    }


def _excepted(tables: RoomTables, stays: NDArray[np.uint32]) -> Columns:
    """The exceptions to what is published now."""
    views = np.flatnonzero(tables.subscriptions.views["excepted"] > 0)
    publications = tables.subscriptions.publications[: tables.subscriptions.used[PUBLICATIONS]]
    live = {
        (int(each["room"]), int(each["key"])): int(each["serial"]) for each in publications[publications["user"] >= 0]
    }
    streams = tables.streams[views]
    rooms = tables.users["room"][streams["user"]]
    serials = [live.get((int(room), int(key)), 0) for room, key in zip(rooms, streams["key"], strict=True)]
    valid = tables.subscriptions.views["excepted"][views] == np.array(serials, np.int32)
    return {
        "stay": stays[streams["user"][valid]],
        "row_number": tables.subscriptions.views["row_number"][views][valid],
    }


def _fields(records: Records) -> Columns:
    return {name: np.ascontiguousarray(records[name]) for name in records.dtype.names or ()}
