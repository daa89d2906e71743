"""The laws of metering, on generated rooms, against the slow obvious meter in `tests/oracle.py`."""

import random
from collections import Counter
from functools import partial
from itertools import pairwise
from typing import Any
from unittest.mock import patch

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.events.keys import event_keys
from billing.metering.engine import keyed_rows as rows_module
from billing.metering.engine import parts
from billing.metering.engine.keyed_rows import Hashing
from billing.metering.meter import meter, meter_by_user
from tests import oracle
from tests.depth import SLOW_EXAMPLES
from tests.metering_facts import (
    DAY,
    POLICIES,
    START,
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
from tests.property.rooms import rooms as plain_rooms
from tests.property.rooms import subscribed_rooms


def drawn_rooms(*, start: int) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Rooms with automatic subscription and without."""
    return plain_rooms(start=start) | subscribed_rooms(start=start)


@settings(max_examples=SLOW_EXAMPLES * 2)
@given(rows=drawn_rooms(start=START), days=st.integers(1, 3))
def test_the_columnar_meter_equals_the_obvious_one_day_after_day(rows: list[dict[str, Any]], days: int) -> None:
    events, state, carried = frame(rows), nobody(), {}
    for day in range(days):
        start, end = START + day * DAY, START + (day + 1) * DAY
        fast = meter(events, state, span(start, end))
        slow = oracle.meter(rows, carried, start, end, POLICIES)
        assert usage_of(fast) == windows_of(slow)
        assert findings_of(fast) == slow.findings
        assert state_of(fast) == plain(slow.state)
        by_user = meter_by_user(events, state, span(start, end))
        assert Counter({row[:5]: row[5] for row in by_user.iter_rows()}) == users_of(slow)
        state, carried = fast.state, slow.state


@settings(max_examples=SLOW_EXAMPLES)
@given(rows=drawn_rooms(start=START), seed=st.randoms())
def test_the_order_of_the_input_changes_nothing(rows: list[dict[str, Any]], seed: random.Random) -> None:
    shuffled = seed.sample(rows, len(rows))
    one, other = (meter(frame(each), nobody(), span()) for each in (rows, shuffled))
    assert one.usage.equals(other.usage)
    assert one.state.equals(other.state)
    assert one.findings.equals(other.findings)


@settings(max_examples=SLOW_EXAMPLES)
@given(rows=drawn_rooms(start=START), cuts=st.sets(st.integers(1, 2 * DAY - 1), max_size=5))
def test_one_span_in_any_number_of_cuts_gives_the_same_seconds(rows: list[dict[str, Any]], cuts: set[int]) -> None:
    whole = meter(frame(rows), nobody(), span(end=START + 2 * DAY))
    usage: Counter[tuple[Any, ...]] = Counter()
    found: Counter[tuple[Any, ...]] = Counter()
    events, state = frame(rows), nobody()
    bounds = [START, *(START + cut for cut in sorted(cuts)), START + 2 * DAY]
    for start, end in pairwise(bounds):
        part = meter(events, state, span(start, end))
        usage += usage_of(part)
        found += findings_of(part)
        state = part.state
    assert usage == usage_of(whole)
    assert found == findings_of(whole)
    assert state.equals(whole.state)


@settings(max_examples=SLOW_EXAMPLES)
@given(rows=drawn_rooms(start=START))
def test_the_size_of_the_parts_changes_nothing(rows: list[dict[str, Any]]) -> None:
    with patch.object(parts, "ROWS_PER_PART", 7):
        many = meter(frame(rows), nobody(), span())
    one = meter(frame(rows), nobody(), span())
    assert many.usage.equals(one.usage)
    assert many.state.equals(one.state)
    assert many.findings.equals(one.findings)


@settings(max_examples=SLOW_EXAMPLES)
@given(rows=drawn_rooms(start=START), cut=st.integers(1, DAY), ranges=st.sampled_from([1, 2, 64]))
def test_keys_from_the_log_and_passes_room_by_room_change_nothing(
    rows: list[dict[str, Any]], cut: int, ranges: int
) -> None:
    """Two days, the second from carried stays: as the log holds the events, with few rows a pass."""
    events = frame(rows)
    keyed = events.collect()
    keyed = keyed.hstack(event_keys(keyed))
    halves = [keyed[: len(rows) // 2].sort("room_key"), keyed[len(rows) // 2 :].sort("room_key")]
    log, state, plain_state = pl.concat(halves).lazy(), nobody(), nobody()
    for start, end in pairwise([START, START + cut, START + 2 * DAY]):
        with patch.object(rows_module, "ROWS_PER_PASS", 5):
            passed = meter(log, state, span(start, end), ranges=ranges)
            by_user = meter_by_user(log, state, span(start, end))
        plain = meter(events, plain_state, span(start, end))
        assert passed.usage.equals(plain.usage)
        assert passed.state.equals(plain.state)
        assert passed.findings.equals(plain.findings)
        assert by_user.equals(meter_by_user(events, plain_state, span(start, end)))
        state, plain_state = passed.state, plain.state


@settings(max_examples=SLOW_EXAMPLES)
@given(rows=drawn_rooms(start=START))
def test_keys_that_collide_are_noticed_and_hashed_anew(rows: list[dict[str, Any]]) -> None:
    """With keys of 11 bits, collisions are everyday."""
    with patch("billing.metering.meter.Hashing", partial(Hashing, mask=2**11 - 1)):
        narrow = meter(frame(rows), nobody(), span())
    wide = meter(frame(rows), nobody(), span())
    assert narrow.usage.equals(wide.usage)
    assert narrow.findings.equals(wide.findings)


def test_two_sizes_of_one_stream_in_one_millisecond_count_in_the_order_of_their_event_ids() -> None:
    common = {"app_id": 1, "room_id": "r", "user_id": "u", "at": START * 1000, "seq": 0, "stream": None}
    video = common | {"type": "video_on", "stream": "a/camera"}
    rows = [
        common | {"event_id": "0", "type": "enter", "width": None, "height": None},
        common | {"event_id": "1", "type": "enter", "user_id": "v", "width": None, "height": None},
        video | {"event_id": "c", "width": 640, "height": 480},
        video | {"event_id": "b", "width": 3840, "height": 2160},
        video | {"event_id": "a", "width": 640, "height": 480},
    ]
    last_is_small = meter(frame(rows), nobody(), span(end=START + 300))
    rows[3] |= {"event_id": "d"}
    last_is_large = meter(frame(rows), nobody(), span(end=START + 300))
    assert usage_of(last_is_small)[1, START, "hd", "camera"] == 300
    assert usage_of(last_is_large)[1, START, "4k", "camera"] == 300


def test_an_app_without_a_rule_is_refused() -> None:
    row = {"event_id": "0", "app_id": 3, "room_id": "r", "user_id": "u", "at": START * 1000, "seq": 0, "type": "enter"}
    rows = [row | {"stream": None, "width": None, "height": None}]
    with pytest.raises(KeyError, match="no tier rule"):
        meter(frame(rows), nobody(), span(end=START + 300))
