"""The laws of intervals: on generated rooms they have the seconds that the meter counts."""

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.metering.intervals import Interval, room_intervals
from billing.metering.meter import meter, meter_by_user
from billing.metering.room_model import EVENT
from billing.periods import WINDOW_SECONDS
from tests.depth import SLOW_EXAMPLES
from tests.metering_facts import DAY, INTL, RULES, START, frame, nobody, span, usage_of
from tests.property.rooms import rooms as plain_rooms
from tests.property.rooms import subscribed_rooms

pytestmark = pytest.mark.thorough

# As `trtc-intl-2021`: aggregate, in three tiers.
OLD_INTL = type(INTL)(per_stream=False, tiers=(("sd", 307_200), ("hd", 921_600), ("fhd", None)))
THREE = {**RULES, 3: OLD_INTL}
APPS = (1, 2, 3)

Found = list[tuple[int, str, Interval]]  # app, room, interval


def drawn_rooms() -> st.SearchStrategy[list[dict[str, Any]]]:
    """Rooms of three apps, each on another policy, with automatic subscription and without."""
    return plain_rooms(start=START, apps=APPS) | subscribed_rooms(start=START, apps=APPS)


def intervals(events: pl.DataFrame, state: pl.DataFrame, bounds: tuple[int, int], **only: Any) -> Iterator[Any]:
    """Those of every room that has events or carried stays."""
    keys = ["app_id", "room_id"]
    for app, room in pl.concat([events.select(keys), state.select(keys)]).unique().iter_rows():
        of_room = (pl.col("app_id") == app) & (pl.col("room_id") == room)
        found = room_intervals(events.filter(of_room), state.filter(of_room), bounds, THREE[app], **only)
        yield from ((app, room, each) for each in found)


def by_window(found: Found) -> Counter[tuple[Any, ...]]:
    """Seconds of the intervals clipped to windows."""
    seconds: Counter[tuple[Any, ...]] = Counter()
    for app, _, each in found:
        for window in range(each.start - each.start % WINDOW_SECONDS, each.end, WINDOW_SECONDS):
            key = (app, window, each.second_class.item, each.second_class.reason)
            seconds[key] += each.seconds_in(window, window + WINDOW_SECONDS)
    return seconds


def by_user(found: Found) -> Counter[tuple[Any, ...]]:
    seconds: Counter[tuple[Any, ...]] = Counter()
    for app, room, each in found:
        kind = each.second_class
        seconds[app, room, each.user_id, kind.item, kind.reason] += each.end - each.start
    return seconds


@settings(max_examples=SLOW_EXAMPLES * 2)
@given(rows=drawn_rooms(), cuts=st.sets(st.integers(1, 3 * DAY - 1), max_size=3))
def test_clipped_to_windows_they_are_what_the_meter_counts_day_after_day(
    rows: list[dict[str, Any]], cuts: set[int]
) -> None:
    events, state = frame(rows), nobody()
    for start, end in pairwise([START, *(START + cut for cut in sorted(cuts)), START + 3 * DAY]):
        metered = meter(events, state, span(start, end, THREE))
        found = list(intervals(events.collect(), state, (start, end)))
        assert by_window(found) == usage_of(metered)
        users = meter_by_user(events, state, span(start, end, THREE))
        assert by_user(found) == Counter({row[:5]: row[5] for row in users.iter_rows()})
        state = metered.state


@settings(max_examples=SLOW_EXAMPLES)
@given(rows=drawn_rooms())
def test_those_of_a_user_never_overlap_and_say_what_was_received(rows: list[dict[str, Any]]) -> None:
    found = list(intervals(frame(rows).collect(), nobody(), (START, START + DAY)))
    lanes: dict[tuple[Any, ...], list[Interval]] = {}
    for app, room, each in found:
        kind, rule = each.second_class, THREE[app]
        stream = kind.streams[0].stream if rule.per_stream and kind.streams else None
        lanes.setdefault((app, room, each.user_id, stream), []).append(each)
        assert START <= each.start < each.end <= START + DAY
        assert kind.area == sum(one.area for one in kind.streams)
        if kind.item != "audio":
            assert kind.item == rule.item_of(kind.area)
            assert (kind.reason == "screen_share") == any(one.stream.endswith("/screen") for one in kind.streams)
            assert not rule.per_stream or len(kind.streams) == 1
        else:
            assert not kind.streams
    for lane in lanes.values():
        for one, other in pairwise(sorted(lane, key=lambda each: each.start)):
            assert one.end <= other.start


@settings(max_examples=SLOW_EXAMPLES)
@given(rows=drawn_rooms())
def test_an_event_that_begins_or_ends_one_happened_in_that_second(rows: list[dict[str, Any]]) -> None:
    ids = {row["event_id"]: row for row in rows}
    for app, room, each in intervals(frame(rows).collect(), nobody(), (START, START + DAY)):
        for second, cause in ((each.start, each.begins), (each.end, each.ends)):
            if cause.event is not None:
                row = ids[cause.event.event_id]
                assert (row["app_id"], row["room_id"]) == (app, room)
                assert (row["user_id"], row["at"]) == (cause.user_id, cause.at_ms)
                past = second - row["at"] // 1000
                assert past == {"event": 0, "grace_over": 90, "silent_24h": DAY}[cause.cause]
            else:
                assert cause.cause != EVENT


@settings(max_examples=SLOW_EXAMPLES)
@given(rows=drawn_rooms(), users=st.sets(st.sampled_from(["u1", "u2", "u3", "nobody"])))
def test_those_of_some_users_are_those_among_all(rows: list[dict[str, Any]], users: set[str]) -> None:
    events, bounds = frame(rows).collect(), (START, START + 2 * DAY)
    every = [(app, room, each) for app, room, each in intervals(events, nobody(), bounds) if each.user_id in users]
    some = list(intervals(events, nobody(), bounds, users=users))
    assert Counter(map(repr, some)) == Counter(map(repr, every))
