"""Parts: the rows of a span, cut into parts of whole rooms that are metered side by side.

A part is small enough for the processor's cache, which is worth more than anything else here: the tables of users and
streams are looked up once for every event.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from billing.events.keys import VIDEO_ON
from billing.metering.engine.keyed_rows import CODE_ORDER_BITS, NUMBER, HashCollisionError, Rows, Texts
from billing.metering.engine.room_tables import (
    FINDINGS,
    STAYS,
    STREAMS,
    USERS,
    Carried,
    Events,
    Records,
    Rules,
    Sums,
    World,
    code_of,
    make_sums,
    make_world,
)
from billing.metering.engine.stays import ABSENT, COLLISION, CONNECTED, UNKNOWN_APP, WAITING, run
from billing.numba_cache import compiled, inlined

ROWS_PER_PART = 40_000
MOST_COMPARED = 64
FEW_ROOMS = 1_000

_Tied = tuple[Events, NDArray[np.bool_]]


@dataclass(frozen=True, slots=True)
class Share:
    """What one worker found out about its parts; `source` is the number of a row, seconds count from the span's start.

    `findings`: `kind, source, at` (epoch ms). `stays`: `source` (of its first event), `person_key, second, stay_end,
    begins` (in this span). `open_stays`: `stay` (its source), `last_event, wait_ends`. `open_streams`:
    `stay, source` (of its last event). `users`: `source` (of the user's first event), `class, seconds`, if asked for.
    """

    sums: Sums
    findings: pl.DataFrame
    stays: pl.DataFrame
    open_stays: pl.DataFrame
    open_streams: pl.DataFrame
    users: pl.DataFrame


def metered_shares(events: Events, texts: Texts, rules: Rules, start: int, end: int, *, by_user: bool) -> list[Share]:
    """Runs every part through to its last second, on all processors. `events` are in the order of rooms."""
    carried = Carried(
        first=texts.first_carried,
        last_event=_read_only(texts.carried["last_event"].fill_null(0)),
        wait_ends=_read_only(texts.carried["wait_ends"].fill_null(0)),
    )

    def share(parts: Iterable[Events]) -> Share | None:
        sums = make_sums(len(rules.app_id), rules.tops.shape[1], start, end)
        worlds = [_found(_run(part, carried, rules, sums, by_user=by_user)) for part in parts]
        if not worlds:
            return None
        together = {
            name: pl.DataFrame(
                {column: np.concatenate([world[name][column] for world in worlds]) for column in columns}
            )
            for name, columns in worlds[0].items()
        }
        waits = together["open_stays"]["waits"]
        open_stays = together["open_stays"].with_columns(pl.when(waits).then("wait_ends")).drop("waits")
        return Share(sums=sums, **{**together, "open_stays": open_stays})

    workers = pl.thread_pool_size()  # one for each processor, unless POLARS_MAX_THREADS says how many
    tied: list[_Tied] = []
    parts = deque(_parts(events))
    with ThreadPoolExecutor(workers) as pool:
        shares = list(pool.map(share, [_untied(_taken(parts), tied) for _ in range(workers)]))
        untied = list(_without_ties(tied, texts)) if tied else []
        shares += pool.map(share, [untied[worker::workers] for worker in range(workers)])
    return [each for each in shares if each]


def by_room(rows: Rows, start: int) -> Events:
    """The events of a pass in the order of their rooms."""
    columns = {column.name: _read_only(column) for column in rows.keyed.rechunk().iter_columns()}
    room_key = columns["room_key"]
    in_order = not np.count_nonzero(room_key[1:] < room_key[:-1])
    turn = np.arange(len(room_key)) if in_order else np.argsort(room_key, kind="stable")
    order = np.empty_like(turn)
    put_in_order(columns["at"], columns["seq"], columns["what"], start * 1000, rows.first_seq, rows.seq_bits, order)

    def unsigned(name: str) -> NDArray[Any]:
        """The same bits, as hashes are meant."""
        return columns[name].view(np.dtype(f"u{columns[name].itemsize}"))

    return Events(
        turn=turn,
        app_id=columns["app_id"],
        room_key=unsigned("room_key"),
        room_check=unsigned("room_check"),
        user_key=unsigned("user_key"),
        stream_key=unsigned("stream_key"),
        checks=unsigned("checks"),
        what=columns["what"],
        at=columns["at"],
        order=order,
        source=columns[NUMBER],
    )


def _parts(events: Events) -> Iterator[Events]:
    """The events in parts of whole rooms, each of a range of room keys; one part at least."""
    room_key, turn = events.room_key.view(np.int64), events.turn
    count = max(1, len(turn) // ROWS_PER_PART)
    low, high = (int(room_key[turn[0]]), int(room_key[turn[-1]])) if len(turn) else (0, 0)
    limits = np.array([low + (high - low) * part // count for part in range(1, count)], np.int64)
    bounds = [0, *np.searchsorted(room_key, limits, sorter=turn).tolist(), len(turn)]
    for begin, end in pairwise(bounds):
        if begin < end or count == 1:
            yield events._replace(turn=turn[begin:end])


def _taken(parts: deque[Events]) -> Iterator[Events]:
    """Part after part, for several workers, each room's events in order: each takes the next when it is done with
    one."""
    while parts:
        try:
            part = parts.popleft()
        except IndexError:  # another was quicker
            return
        sort_rooms(part.room_key, part.order, part.turn, np.empty_like(part.turn))
        yield part


def _read_only(column: pl.Series) -> NDArray[Any]:
    """The column as an array of one kind, whether it was copied or not: for another kind the meter would be compiled
    again."""
    array = column.to_numpy()
    array.flags.writeable = False
    return array


def _run(events: Events, carried: Carried, rules: Rules, sums: Sums, *, by_user: bool) -> World:
    """The world of a part after its last second; `sums` has grown by it."""
    world = make_world(events, rules, sums, by_user=by_user)
    result = run(events, carried, rules, world)
    if result == UNKNOWN_APP:
        raise KeyError("an app of the events has no tier rule")
    if result == COLLISION:
        raise HashCollisionError("two users, rooms or streams have one key")
    return world


def _untied(parts: Iterator[Events], tied: list[_Tied]) -> Iterator[Events]:
    """The parts; one in which events are tied is put aside, with the turns of these."""
    for events in parts:
        ties = np.zeros(len(events.turn), np.bool_)
        mark_ties(events, ties)
        if ties.any():
            tied.append((events, ties))
        else:
            yield events


def _without_ties(parts: Sequence[_Tied], texts: Texts) -> Iterator[Events]:
    """The parts with their tied events in the order of their ids, which are read for these alone."""
    rows = [events.turn[ties] for events, ties in parts]
    sources = [pl.Series(events.source[tied]) for (events, _), tied in zip(parts, rows, strict=True)]
    rooms = np.unique(np.concatenate([events.room_key[tied] for (events, _), tied in zip(parts, rows, strict=True)]))
    few_rooms = rooms.view(np.int64) if len(rooms) <= FEW_ROOMS else None
    words = texts.read(["event_id"], *sources, rooms=few_rooms)
    for (events, ties), tied, source in zip(parts, rows, sources, strict=True):
        room, order = events.room_key[tied], events.order[tied]
        # Events of one place in the order follow each other.
        place = np.cumsum(np.append(False, (room[1:] != room[:-1]) | (order[1:] != order[:-1])))
        named = words.of(source, "event_id").with_columns(place=pl.Series(place), row=pl.Series(tied))
        events.turn[ties] = named.sort("place", "event_id")["row"].to_numpy()
        yield events


def _found(world: World) -> dict[str, dict[str, NDArray[Any]]]:
    """The columns of what a `Share` holds, of one part."""
    users, streams = world.users[: world.made[USERS]], world.streams[: world.made[STREAMS]]
    present = users[users["state"] != ABSENT]
    streams = streams[streams["size"] > 0]
    receivers = users[streams["user"]]
    received = (streams["epoch"] == receivers["epoch"]) & (receivers["state"] == CONNECTED)
    number, seconds_class = np.nonzero(world.user_seconds)
    return {
        "findings": _columns(world.findings[: world.made[FINDINGS]]),
        "stays": _columns(world.stays[: world.made[STAYS]]),
        "open_stays": {
            "stay": present["source"],
            "last_event": present["last_event"],
            "wait_ends": present["wait_ends"],
            "waits": present["state"] == WAITING,
        },
        "open_streams": {"stay": receivers["source"][received], "source": streams["source"][received]},
        "users": {
            "source": users["first_source"][number],
            "class": seconds_class.astype(np.uint8),
            "seconds": world.user_seconds[number, seconds_class],
        },
    }


def _columns(records: Records) -> dict[str, NDArray[Any]]:
    return {name: np.ascontiguousarray(records[name]) for name in records.dtype.names or ()}


@compiled
def put_in_order(
    at: NDArray[np.int64],
    seq: NDArray[np.int64],
    what: NDArray[np.int64],
    start_ms: int,
    first_seq: int,
    seq_bits: int,
    order: NDArray[np.int64],
) -> None:
    """Fills one number for (at, seq, type) of each row, that rises as they do."""
    for row in range(len(order)):
        moment = ((at[row] - start_ms) << seq_bits) + (seq[row] - first_seq)
        order[row] = (moment << CODE_ORDER_BITS) + code_of(what[row])


@compiled
def sort_rooms(
    room_key: NDArray[np.uint64], order: NDArray[np.int64], turn: NDArray[np.int64], spare: NDArray[np.int64]
) -> None:
    """Sorts each room's rows by their order; those of one order stay as they come. `turn`, the rows room by room, is
    put in order; `spare` is as long. Most rooms are in order already."""
    first = 0
    while first < len(turn):
        end = first + 1
        in_order = True
        while end < len(turn) and room_key[turn[end]] == room_key[turn[first]]:
            in_order = in_order and order[turn[end]] >= order[turn[end - 1]]
            end += 1
        if not in_order:
            sort_room(order, turn, spare, first, end)
        first = end


@inlined
def sort_room(
    order: NDArray[np.int64], turn: NDArray[np.int64], spare: NDArray[np.int64], first: int, end: int
) -> None:
    """Merges ever longer sorted pieces."""
    length = 1
    while length < end - first:
        begin = first
        while begin + length < end:
            middle, last = begin + length, min(begin + 2 * length, end)
            if order[turn[middle]] < order[turn[middle - 1]]:
                for at in range(begin, last):
                    spare[at] = turn[at]
                one, other = begin, middle
                for at in range(begin, last):
                    if other == last or (one < middle and order[spare[one]] <= order[spare[other]]):
                        turn[at] = spare[one]
                        one += 1
                    else:
                        turn[at] = spare[other]
                        other += 1
            begin = last
        length *= 2


@compiled
def mark_ties(events: Events, tied: NDArray[np.bool_]) -> None:
    """Marks the turns of events that the order leaves in one place with another of the same stream and another size:
    there the event id has the last word.

    Comparing costs the square of the events in one place; from `MOST_COMPARED` on, all of them count as tied.
    """
    turn, order = events.turn, events.order
    first = 0
    while first < len(turn):
        end = first + 1
        while end < len(turn) and order[turn[end]] == order[turn[first]]:
            end += 1
        if end - first > 1 and code_of(events.what[turn[first]]) == VIDEO_ON and order[turn[first]] >= 0:
            ambiguous = end - first > MOST_COMPARED
            for one in range(first, end):
                for other in range(one + 1, min(end, one + MOST_COMPARED)):
                    ambiguous = ambiguous or same_stream(events, turn[one], turn[other])
            tied[first:end] = ambiguous
        first = end


@inlined
def same_stream(events: Events, one: int, other: int) -> bool:
    """Are two events about one stream of one user, with different sizes?"""
    return bool(
        events.user_key[one] == events.user_key[other]
        and events.stream_key[one] == events.stream_key[other]
        and events.what[one] != events.what[other]
    )
