"""Parts: the rows of a span, cut into parts of whole rooms that are metered side by side.

A part is small enough for the processor's cache, which is worth more than anything else here: the tables of users and
streams are looked up once for every event.
"""

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import polars as pl

from billing.metering.rows import HashCollisionError, Rows
from billing.metering.stays import (
    ABSENT,
    CONNECTED,
    WAITING,
    Events,
    Rules,
    Sources,
    Sums,
    World,
    make_sums,
    make_world,
    run,
)

ROWS_PER_PART = 300_000


@dataclass(frozen=True, slots=True)
class Share:
    """What one worker found out about its parts; `source` is a row of the texts, seconds count from the span's start.

    `findings`: `kind, source, second`. `stays`: `source` (of its first event), `second, stay_end, begins` (in this span).
    `open_stays`: `stay` (its source), `last_event, waits, wait_ends`. `open_streams`: `stay, source` (of its last event).
    `users`: `source` (of the user's first event), `class, seconds`, if asked for.
    """

    sums: Sums
    tied: list[int]  # parts in which the order left two sizes of a stream in one place
    findings: pl.DataFrame
    stays: pl.DataFrame
    open_stays: pl.DataFrame
    open_streams: pl.DataFrame
    users: pl.DataFrame


def metered_shares(rows: Rows, rules: Rules, start: int, end: int, *, by_user: bool) -> list[Share]:
    """Runs every part through to its last second, on all processors."""
    parts = _parts(rows)
    sources = Sources(
        app_id=rows.texts["app_id"].to_numpy(),
        room_key=rows.texts["room_key"].to_numpy(),
        room_check=rows.texts["room_check"].to_numpy(),
        last_event=rows.carried["last_event"].to_numpy(),
        wait_ends=rows.carried["wait_ends"].to_numpy(),
        first_carried=rows.texts.height - rows.carried.height,
    )
    workers = min(len(parts), os.cpu_count() or 1)

    def metered_share(worker: int) -> Share:
        sums = make_sums(len(rules.app_id), rules.tops.shape[1], start, end)
        numbers = range(worker, len(parts), workers)
        return _share(
            sums, ((number, _run(parts[number], sources, rules, sums, by_user=by_user)) for number in numbers)
        )

    with ThreadPoolExecutor(workers) as pool:
        shares = list(pool.map(metered_share, range(workers)))
        tied = [number for share in shares for number in share.tied]
        if not tied:
            return shares
        event_ids = rows.event_ids.collect().to_series()
        for number in tied:
            parts[number] = _ordered_by_event_id(parts[number], event_ids)
        return list(pool.map(metered_share, range(workers)))


def _parts(rows: Rows) -> list[pl.DataFrame]:
    """The keyed rows with `source`, cut by room."""
    keyed = rows.keyed.with_row_index("source")
    count = max(1, keyed.height // ROWS_PER_PART)
    if count == 1:
        return [keyed]
    part = (rows.texts["room_key"] % count).cast(pl.UInt16).to_numpy()
    bounds = np.concatenate([[0], np.cumsum(np.bincount(part, minlength=count))])
    keyed = keyed[np.argsort(part, kind="stable")]
    return [keyed[begin:until] for begin, until in pairwise(bounds)]


def _ordered_by_event_id(part: pl.DataFrame, event_ids: pl.Series) -> pl.DataFrame:
    """The part in order, with the event id as the last word, and an `order` that has no equals."""
    ids = event_ids.gather(part["source"], null_on_oob=True)
    return part.with_columns(event_id=ids).sort("order", "event_id").with_columns(order=pl.int_range(pl.len()))


def _run(part: pl.DataFrame, sources: Sources, rules: Rules, sums: Sums, *, by_user: bool) -> World:
    """The world of a part after its last second; `sums` has grown by it."""
    turn = np.argsort(part["order"].to_numpy(), kind="stable")
    events = Events(turn=turn, **{name: part[name].to_numpy() for name in Events._fields[1:]})
    world = make_world(events, rules, sums, by_user=by_user)
    if not run(events, sources, world):
        raise HashCollisionError("two users, rooms or streams have one key")
    return world


def _share(sums: Sums, worlds: Iterable[tuple[int, World]]) -> Share:
    found = []
    tied = []
    for number, world in worlds:
        found.append(_found(world))
        if world.found.made[2]:
            tied.append(number)
    merged = {name: pl.concat([each[name] for each in found]) for name in found[0]}
    return Share(sums=sums, tied=tied, **merged)


def _found(world: World) -> dict[str, pl.DataFrame]:
    users, streams, found = world.users, world.streams, world.found
    findings, stays = found.made[0], found.made[1]
    present = np.flatnonzero(users.state != ABSENT)
    waits = users.state[present] == WAITING
    received = np.flatnonzero((streams.size > 0) & (streams.epoch == users.epoch[streams.user]))
    received = received[users.state[streams.user[received]] == CONNECTED]
    user, seconds_class = np.nonzero(world.sums.users)
    return {
        "findings": pl.DataFrame(
            {"kind": found.kind[:findings], "source": found.source[:findings], "second": found.second[:findings]}
        ),
        "stays": pl.DataFrame(
            {
                "source": found.stay_source[:stays],
                "second": found.stay_begun[:stays],
                "stay_end": found.stay_end[:stays],
                "begins": ~found.stay_carried[:stays],
            }
        ),
        "open_stays": pl.DataFrame(
            {"stay": users.source[present], "last_event": users.last_event[present], "waits": waits}
        ).with_columns(wait_ends=pl.when("waits").then(pl.Series(users.wait_ends[present]))),
        "open_streams": pl.DataFrame(
            {"stay": users.source[streams.user[received]], "source": streams.source[received]}
        ),
        "users": pl.DataFrame(
            {
                "source": users.first_source[user],
                "class": seconds_class.astype(np.uint8),
                "seconds": world.sums.users[user, seconds_class],
            }
        ),
    }
