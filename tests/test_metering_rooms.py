"""Metering of a few dozen rooms that are the same every time, against the slow obvious meter in `tests/oracle.py`.

The laws in `tests/property` look for rare rooms; these are here so that a fault shows at once.
"""

import random
from collections import Counter
from itertools import pairwise
from typing import Any
from unittest.mock import patch

import pytest

from billing.metering import parts
from billing.metering.meter import meter, meter_by_user
from billing.metering.rows import Hashing
from tests import oracle
from tests.metering_facts import (
    DAY,
    POLICIES,
    RULES,
    START,
    Row,
    findings_of,
    frame,
    nobody,
    plain,
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
        fast, slow = meter(frame(rows), state, start, end, RULES), oracle.meter(rows, carried, start, end, POLICIES)
        assert usage_of(fast) == windows_of(slow)
        assert findings_of(fast) == slow.findings
        assert plain(state_of(fast)) == plain(slow.state)
        by_user = meter_by_user(frame(rows), state, start, end, RULES)
        assert Counter({row[:5]: row[5] for row in by_user.iter_rows()}) == users_of(slow)
        state, carried = fast.state, slow.state


def test_a_span_that_begins_and_ends_inside_a_window_equals_that_of_the_obvious_meter() -> None:
    """From 17 s into a window to 200 s into one."""
    start, end = START + 17, START + DAY + 200
    rows = made(3, start=start - 60)
    fast, slow = meter(frame(rows), nobody(), start, end, RULES), oracle.meter(rows, {}, start, end, POLICIES)
    assert usage_of(fast) == windows_of(slow)
    assert findings_of(fast) == slow.findings
    assert plain(state_of(fast)) == plain(slow.state)


def test_cuts_change_nothing() -> None:
    """Two days at once, and in six spans, most of which begin and end inside a window."""
    rows = made(4)
    end = START + 2 * DAY
    whole = meter(frame(rows), nobody(), START, end, RULES)
    bounds = [START, START + 1, START + 300, START + 3_661, START + 40_000, START + DAY, end]
    usage: Counter[tuple[Any, ...]] = Counter()
    state = nobody()
    for one, other in pairwise(bounds):
        part = meter(frame(rows), state, one, other, RULES)
        usage += usage_of(part)
        state = part.state
    assert usage == usage_of(whole)
    assert state.equals(whole.state)


def test_order_and_parts_change_nothing() -> None:
    """The rows in another order, cut into parts of about fifty."""
    rows = made(5)
    shuffled_rows = random.Random(0).sample(rows, len(rows))
    whole = meter(frame(rows), nobody(), START, START + DAY, RULES)
    with patch.object(parts, "ROWS_PER_PART", 50):
        shuffled = meter(frame(shuffled_rows), nobody(), START, START + DAY, RULES)
    assert shuffled.usage.equals(whole.usage)
    assert shuffled.state.equals(whole.state)
    assert shuffled.findings.equals(whole.findings)


@pytest.mark.parametrize("bits", [6, 9])
def test_keys_that_collide_are_hashed_anew_until_none_does(bits: int) -> None:
    """140 users in 64 or 512 keys: each of the first seeds has a collision, and the next one is tried."""
    rows = made(6)
    seeds = []

    def narrow(seed: int) -> Hashing:
        seeds.append(seed)
        return Hashing(seed=seed, mask=2**bits - 1 if seed < 3 else 2**64 - 1)

    with patch("billing.metering.meter.Hashing", narrow):
        again = meter(frame(rows), nobody(), START, START + DAY, RULES)
    wide = meter(frame(rows), nobody(), START, START + DAY, RULES)
    assert seeds == [0, 1, 2, 3]
    assert again.usage.equals(wide.usage)
    assert again.findings.equals(wide.findings)
    assert again.state.equals(wide.state)
