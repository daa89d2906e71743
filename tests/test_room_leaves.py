"""Leaves of rooms that metering makes on its way, against those in plain Python from the texts of the events.

Rooms full of odd events: repeated instants, connections, exceptions, stays that are carried from day to day.
"""

import random
from collections import defaultdict
from typing import Any

import polars as pl
import pytest

from billing.events.keys import event_keys
from billing.events.room_leaves import LEAVES_SCHEMA, room_leaves
from billing.metering.meter import meter
from billing.verify.roots import room_leaf
from tests.metering_facts import DAY, START, Row, frame, nobody, span
from tests.test_metering_rooms import made


def in_log(rows: list[Row]) -> pl.LazyFrame:
    """Events with the keys that the log stores."""
    events = frame(rows).collect()
    return events.hstack(event_keys(events)).lazy()


def plain(rows: list[Row], start: int) -> list[tuple[Any, ...]]:
    """App, room key, count and leaf of each room with an event on a day."""
    rooms: dict[tuple[int, str], list[Row]] = defaultdict(list)
    for row in rows:
        if start * 1000 <= row["at"] < (start + DAY) * 1000:
            rooms[row["app_id"], row["room_id"]].append(row)
    leaves = [(app, room_leaf(app, room, events), len(events)) for (app, room), events in rooms.items()]
    signed = [(app, key - 2**64 * (key >= 2**63), count, leaf) for app, (key, leaf), count in leaves]
    return sorted(signed)


def in_three_days(rows: list[Row]) -> list[tuple[int, pl.DataFrame]]:
    """The start of each day, and the leaves that metering gives, day after day."""
    state, found = nobody(), []
    for start in range(START, START + 3 * DAY, DAY):
        metered = meter(in_log(rows), state, span(start, start + DAY), ranges=2, with_leaves=True)
        assert metered.leaves is not None
        state = metered.state
        found.append((start, metered.leaves))
    return found


@pytest.mark.parametrize("seed", range(2))
def test_metering_gives_the_leaf_of_every_room_day_after_day(seed: int) -> None:
    """Rows that restore a stay of the day before are no events."""
    rows = made(seed)
    found = in_three_days(rows)
    assert sum(leaves.height for _, leaves in found) > 60
    for start, leaves in found:
        assert leaves.schema == LEAVES_SCHEMA
        assert leaves.rows() == plain(rows, start)


def test_a_leaf_holds_the_sequence_numbers_also_where_metering_counts_their_ranks() -> None:
    """Numbers that differ by more than fit into a sort key are metered by their ranks."""
    draw = random.Random(3)
    rows = [row | {"seq": draw.choice([0, -(2**62), 2**62, 5])} for row in made(3)]
    for start, leaves in in_three_days(rows):
        assert leaves.rows() == plain(rows, start)


def test_the_log_read_for_itself_gives_the_same_leaves() -> None:
    rows = made(1)
    ((_, metered), *_) = in_three_days(rows)
    timely = in_log(rows).filter(pl.col("at").is_between(START * 1000, (START + DAY) * 1000, closed="left"))
    assert room_leaves(timely).equals(metered)
    assert room_leaves(timely, ranges=4).equals(metered)


def test_where_the_keys_of_the_log_collide_metering_tells_no_leaves() -> None:
    """They would be of other keys than those that are stored."""
    keyed = in_log(made(1)).with_columns(user_key=pl.lit(7, pl.Int64))
    assert meter(keyed, nobody(), span(), with_leaves=True).leaves is None


def test_leaves_that_nobody_asked_for_are_not_made() -> None:
    assert meter(in_log(made(1)), nobody(), span()).leaves is None


def test_a_day_of_no_events_has_no_leaves() -> None:
    leaves = meter(in_log([]), nobody(), span(), with_leaves=True).leaves
    assert leaves is not None
    assert leaves.is_empty()
    assert room_leaves(in_log([])).is_empty()
