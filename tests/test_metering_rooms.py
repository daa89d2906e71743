"""Metering of a few dozen rooms that are the same every time, against the slow obvious meter in `tests/oracle.py`.

The laws in `tests/property` look for rare rooms; these are here so that a fault shows at once.
"""

import random
from collections import Counter
from itertools import pairwise
from typing import Any
from unittest.mock import patch

import numpy as np
import polars as pl
import pytest

from billing.events.keys import event_keys
from billing.events.schema import KEYS_SCHEMA, ORDERED_TYPES
from billing.metering.engine import keyed_rows as rows_module
from billing.metering.engine import parts
from billing.metering.engine.keyed_rows import CARRIED, Hashing
from billing.metering.findings import concurrent_rooms
from billing.metering.meter import meter, meter_by_user, meter_rooms
from billing.metering.schemas import FINDINGS_SCHEMA, STAY_SCHEMA
from tests import oracle
from tests.metering_facts import (
    DAY,
    POLICIES,
    START,
    Row,
    findings_of,
    frame,
    nobody,
    plain,
    span,
    state_of,
    usage_of,
    users_of,
    windows_of,
)
from tests.property.rooms import GAPS, KINDS, MILLISECONDS, SIZES, STREAMS, events_of

ROOMS = 60


def made(seed: int, *, start: int = START) -> list[Row]:
    """The events of sixty rooms of two apps."""
    draw = random.Random(seed)
    choices = (GAPS, MILLISECONDS, KINDS, range(1, 5), [0, 0, 0, 1], STREAMS, SIZES, range(10))
    return [
        event
        for number in range(ROOMS)
        for event in events_of(
            [tuple(map(draw.choice, choices)) for _ in range(draw.randint(5, 25))], start, 1 + number % 2, f"r{number}"
        )
    ]


@pytest.mark.parametrize("seed", range(2))
def test_the_same_sixty_rooms_are_metered_as_the_obvious_meter_does(seed: int) -> None:
    """Day after day: seconds by window and by user, what is carried over, findings."""
    rows = made(seed)
    state, carried = nobody(), {}
    for day in range(3):
        start, end = START + day * DAY, START + (day + 1) * DAY
        fast, slow = meter(frame(rows), state, span(start, end)), oracle.meter(rows, carried, start, end, POLICIES)
        assert usage_of(fast) == windows_of(slow)
        assert findings_of(fast) == slow.findings
        assert state_of(fast) == plain(slow.state)
        by_user = meter_by_user(frame(rows), state, span(start, end))
        assert Counter({row[:5]: row[5] for row in by_user.iter_rows()}) == users_of(slow)
        state, carried = fast.state, slow.state


def test_a_span_that_begins_and_ends_inside_a_window_equals_that_of_the_obvious_meter() -> None:
    """From 17 s into a window to 200 s into one."""
    start, end = START + 17, START + DAY + 200
    rows = made(3, start=start - 60)
    fast, slow = meter(frame(rows), nobody(), span(start, end)), oracle.meter(rows, {}, start, end, POLICIES)
    assert usage_of(fast) == windows_of(slow)
    assert findings_of(fast) == slow.findings
    assert state_of(fast) == plain(slow.state)


def test_cuts_change_nothing() -> None:
    """Two days at once, and in six spans, most of which begin and end inside a window."""
    rows = made(4)
    end = START + 2 * DAY
    whole = meter(frame(rows), nobody(), span(end=end))
    bounds = [START, START + 1, START + 300, START + 3_661, START + 40_000, START + DAY, end]
    usage: Counter[tuple[Any, ...]] = Counter()
    state = nobody()
    for one, other in pairwise(bounds):
        part = meter(frame(rows), state, span(one, other))
        usage += usage_of(part)
        state = part.state
    assert usage == usage_of(whole)
    assert state.equals(whole.state)


def test_order_and_parts_change_nothing() -> None:
    """The rows in another order, cut into parts of about fifty."""
    rows = made(5)
    shuffled_rows = random.Random(0).sample(rows, len(rows))
    whole = meter(frame(rows), nobody(), span())
    with patch.object(parts, "ROWS_PER_PART", 50):
        shuffled = meter(frame(shuffled_rows), nobody(), span())
    assert shuffled.usage.equals(whole.usage)
    assert shuffled.state.equals(whole.state)
    assert shuffled.findings.equals(whole.findings)


@pytest.mark.parametrize("stored", ["in the order of rooms", "in two files", "in files without keys", "in any order"])
def test_however_the_log_holds_the_events_and_however_many_a_pass_takes_nothing_changes(stored: str) -> None:
    """Two days, the second from carried stays, in passes of some forty rows (where there are keys) and small parts."""
    keyed = frame(made(7)).collect()
    keyed = keyed.hstack(event_keys(keyed))
    if stored == "in the order of rooms":
        keyed = keyed.sort("room_key")
    elif stored == "in files without keys":
        keyed = keyed.with_columns(pl.lit(None, pl.Int64).alias(name) for name in ("room_key", "user_key"))
    elif stored == "in two files":
        keyed = pl.concat([half.sort("room_key") for half in (keyed[:400], keyed[400:])], rechunk=False)
    ranges = {"ranges": 4} if stored == "in the order of rooms" else {}
    rows_per_pass = rows_module.ROWS_PER_PASS if stored == "in files without keys" else 40
    log, state, plain_state = keyed.lazy(), nobody(), nobody()
    for start, end in pairwise([START, START + DAY, START + 2 * DAY]):
        with (
            patch.object(rows_module, "ROWS_PER_PASS", rows_per_pass),
            patch.object(parts, "ROWS_PER_PART", 5),
        ):
            passed = meter(log, state, span(start, end), **ranges)
            by_user = meter_by_user(log, state, span(start, end))
        bare = keyed.drop(KEYS_SCHEMA).lazy()
        plainly = meter(bare, plain_state, span(start, end))
        assert passed.usage.equals(plainly.usage)
        assert passed.state.equals(plainly.state)
        assert passed.findings.equals(plainly.findings)
        assert by_user.equals(meter_by_user(bare, plain_state, span(start, end)))
        state, plain_state = passed.state, plainly.state


def test_the_order_of_rows_is_that_of_time_then_seq_then_type() -> None:
    """From the start of the span on: what was carried into it comes before."""
    at, seq, size_and_type = (
        np.array([START * 1000 + 1, START * 1000, START * 1000 - 1]),
        np.array([5, 5, 4]),
        np.array([6, 16, CARRIED]),
    )
    sort_key = np.empty(3, np.int64)
    layout = parts.SortKeyLayout(start_ms=START * 1000, first_seq=4, seq_bits=1)
    parts.fill_sort_keys(at, seq, size_and_type, layout, sort_key)
    last = ORDERED_TYPES.index("video_on")
    assert sort_key.tolist() == [16 * (2 * 1 + 1) + last, 16 * (2 * 0 + 1) + 0, 16 * (2 * -1 + 0) + 0]


@pytest.mark.parametrize(("ranges", "rows_per_pass", "passes"), [(4, 8, 4), (1, 8, 1), (1, 7, 2), (1, 3, 3), (2, 2, 4)])
def test_a_pass_takes_an_equal_range_of_room_keys(ranges: int, rows_per_pass: int, passes: int) -> None:
    """Eight rooms at the limits of the ranges, and rows of another day, which do not count."""
    fourth = 2**62
    keys = [-2 * fourth, -fourth - 1, -fourth, -1, 0, fourth - 1, fourth, 2 * fourth - 1]
    at = [START * 1000] * 4 + [(START + DAY) * 1000 - 1] * 4 + [START * 1000 - 1, (START + DAY) * 1000] * 10
    rows = pl.DataFrame({"room_key": keys + [0] * 20, "at": at}).with_columns(
        *(pl.lit(0, dtype).alias(name) for name, dtype in KEYS_SCHEMA.items() if name != "room_key"), app_id=1, seq=0
    )
    rows = rows_module.span_rows(rows.lazy(), nobody(), START, Hashing())
    with patch.object(rows_module, "ROWS_PER_PASS", rows_per_pass):
        found = list(rows_module.passes(rows, START, START + DAY, ranges))
    width = 2**64 // passes
    expected = [[key for key in keys if min((key + 2**63) // width, passes - 1) == place] for place in range(passes)]
    assert [of_pass.frame["room_key"].to_list() for of_pass in found] == expected


def test_a_span_without_events_is_one_pass_whatever_the_log_holds() -> None:
    rows = frame(made(7)).collect()
    rows = rows_module.span_rows(rows.hstack(event_keys(rows)).lazy(), nobody(), 0, Hashing())
    with patch.object(rows_module, "ROWS_PER_PASS", 3):
        (only,) = rows_module.passes(rows, 0, DAY, 1)
    assert only.frame.is_empty()


def test_rooms_that_are_metered_apart_give_what_they_give_together() -> None:
    """Usage, state and findings of three groups of rooms; findings across rooms from the stays of all of them."""
    whole = meter(frame(made(8)), nobody(), span())
    groups = [[row for row in made(8) if int(row["room_id"][1:]) % 3 == group] for group in range(3)]
    apart = [meter_rooms(frame(rows), nobody(), span()) for rows in groups]
    stays = pl.concat([stays for _, stays in apart])
    assert stays.schema == STAY_SCHEMA
    usage: Counter[tuple[Any, ...]] = Counter()
    for metered, _ in apart:
        usage += usage_of(metered)
    assert usage == usage_of(whole)
    assert pl.concat([metered.state for metered, _ in apart]).sort("app_id", "room_id", "user_id").equals(whole.state)
    found = [metered.findings for metered, _ in apart]
    assert pl.concat([*found, concurrent_rooms(stays, START)]).sort(list(FINDINGS_SCHEMA)).equals(whole.findings)


@pytest.mark.parametrize("bits", [6, 9])
def test_keys_that_collide_are_hashed_anew_until_none_does(bits: int) -> None:
    """140 users in 64 or 512 keys: each of the first seeds has a collision, and the next one is tried."""
    rows = made(6)
    seeds = []

    def narrow(seed: int) -> Hashing:
        seeds.append(seed)
        return Hashing(seed=seed, mask=2**bits - 1 if seed < 3 else 2**64 - 1)

    with patch("billing.metering.meter.Hashing", narrow):
        again = meter(frame(rows), nobody(), span())
    wide = meter(frame(rows), nobody(), span())
    assert seeds == [0, 1, 2, 3]
    assert again.usage.equals(wide.usage)
    assert again.findings.equals(wide.findings)
    assert again.state.equals(wide.state)
