"""Parts: the rows of a span, cut into parts of whole rooms that are metered side by side.

A part is small enough for the processor's cache, which is worth more than anything else here: the tables of users and
streams are looked up once for every event.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from billing.metering.rows import HashCollisionError, Rows
from billing.metering.stays import (
    ABSENT,
    COLLISION,
    CONNECTED,
    FINDINGS,
    STAYS,
    STREAMS,
    UNKNOWN_APP,
    USERS,
    WAITING,
    Events,
    Records,
    Rules,
    Sources,
    Sums,
    World,
    cut,
    make_sums,
    make_world,
    mark_ties,
    run,
)

ROWS_PER_PART = 300_000


@dataclass(frozen=True, slots=True)
class Share:
    """What one worker found out about its parts; `source` is a row of the texts, seconds count from the span's start.

    `findings`: `kind, source, second`. `stays`: `source` (of its first event), `second, stay_end, begins` (in this
    span). `open_stays`: `stay` (its source), `last_event, wait_ends`. `open_streams`: `stay, source` (of its last
    event). `users`: `source` (of the user's first event), `class, seconds`, if asked for.
    """

    sums: Sums
    findings: pl.DataFrame
    stays: pl.DataFrame
    open_stays: pl.DataFrame
    open_streams: pl.DataFrame
    users: pl.DataFrame


def metered_shares(rows: Rows, rules: Rules, start: int, end: int, *, by_user: bool) -> list[Share]:
    """Runs every part through to its last second, on all processors."""
    sources = Sources(
        app_id=rows.texts["app_id"].to_numpy(),
        room_key=rows.texts["room_key"].to_numpy(),
        room_check=rows.texts["room_check"].to_numpy(),
        last_event=rows.carried["last_event"].to_numpy(),
        wait_ends=rows.carried["wait_ends"].to_numpy(),
        first_carried=rows.texts.height - rows.carried.height,
    )
    parts = _parts(rows)
    workers = min(len(parts), os.cpu_count() or 1)

    def metered_share(events_of_share: Sequence[Events]) -> Share:
        sums = make_sums(len(rules.app_id), rules.tops.shape[1], start, end)
        worlds = []
        for events in events_of_share:
            world = make_world(events, rules, sums, by_user=by_user)
            result = run(events, sources, rules, world)
            if result == UNKNOWN_APP:
                raise KeyError("an app of the events has no tier rule")
            if result == COLLISION:
                raise HashCollisionError("two users, rooms or streams have one key")
            worlds.append(_found(world))
        return Share(sums=sums, **{name: pl.concat([world[name] for world in worlds]) for name in worlds[0]})

    with ThreadPoolExecutor(workers) as pool:
        in_order = list(pool.map(_in_order, parts))
        events = _without_ties([part for part, _ in in_order], [tied for _, tied in in_order], rows)
        return list(pool.map(metered_share, [events[worker::workers] for worker in range(workers)]))


def _parts(rows: Rows) -> list[Events]:
    """The events of each part, cut by room, in the order in which they came."""
    keyed = rows.keyed.with_row_index("source")
    events = Events(**{name: keyed[name].to_numpy() for name in Events._fields})
    count = max(1, keyed.height // ROWS_PER_PART)
    if count == 1:
        return [events]
    ends = np.zeros(count, np.int64)
    parts = Events(**{name: np.empty_like(column) for name, column in events._asdict().items()})
    cut(events, rows.texts["room_key"].to_numpy(), ends, parts)
    begins = np.concatenate([[0], ends[:-1]])
    return [
        Events(**{name: column[begin:end] for name, column in parts._asdict().items()})
        for begin, end in zip(begins, ends, strict=True)
    ]


def _in_order(events: Events) -> tuple[Events, NDArray[np.bool_]]:
    """The events of a part in their order, and which of them are tied."""
    order = events.order
    is_sorted = bool((order[1:] >= order[:-1]).all())
    turn = np.arange(len(order)) if is_sorted else np.argsort(order, kind="stable")
    events = Events(**{name: column[turn] for name, column in events._asdict().items()})
    tied = np.zeros(len(order), np.bool_)
    mark_ties(events, tied)
    return events, tied


def _without_ties(parts: Sequence[Events], tied: Sequence[NDArray[np.bool_]], rows: Rows) -> Sequence[Events]:
    """The parts with their tied events in the order of their ids, which are read for these alone."""
    if not any(places.any() for places in tied):
        return parts
    sources = np.concatenate([events.source[places] for events, places in zip(parts, tied, strict=True)])
    same = ["app_id", "room_id", "user_id", "at", "seq", "stream", "width", "height"]
    texts = rows.texts[sources].select(*same, source=sources)
    moments = rows.events.filter(pl.col("at").is_in(texts["at"].unique().implode()), pl.col("type") == "video_on")
    named = moments.select(*same, "event_id").sort("event_id").collect()
    # Events that agree in all but their ids are told apart by a number.
    number = pl.int_range(pl.len()).over(same)
    ids = named.with_columns(number=number).join(texts.with_columns(number=number), on=[*same, "number"])
    for events, places in zip(parts, tied, strict=True):
        found = pl.DataFrame({name: column[places] for name, column in events._asdict().items()})
        in_order = found.join(ids.select("source", "event_id"), on="source").sort("order", "event_id")
        for name, column in events._asdict().items():
            column[places] = in_order[name].to_numpy()
    return parts


def _found(world: World) -> dict[str, pl.DataFrame]:
    users, streams = world.users[: world.made[USERS]], world.streams[: world.made[STREAMS]]
    present = users[users["state"] != ABSENT]
    streams = streams[streams["size"] > 0]
    receivers = users[streams["user"]]
    received = (streams["epoch"] == receivers["epoch"]) & (receivers["state"] == CONNECTED)
    number, seconds_class = np.nonzero(world.user_seconds)
    waits = pl.Series(present["state"] == WAITING, dtype=pl.Boolean)
    return {
        "findings": _frame(world.findings[: world.made[FINDINGS]]),
        "stays": _frame(world.stays[: world.made[STAYS]]),
        "open_stays": pl.DataFrame(
            {"stay": present["source"], "last_event": present["last_event"], "wait_ends": present["wait_ends"]}
        ).with_columns(pl.when(waits).then("wait_ends")),
        "open_streams": pl.DataFrame({"stay": receivers["source"][received], "source": streams["source"][received]}),
        "users": pl.DataFrame(
            {
                "source": users["first_source"][number],
                "class": seconds_class.astype(np.uint8),
                "seconds": world.user_seconds[number, seconds_class],
            }
        ),
    }


def _frame(records: Records) -> pl.DataFrame:
    return pl.DataFrame({name: np.ascontiguousarray(records[name]) for name in records.dtype.names or ()})
