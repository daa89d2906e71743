"""The second engine gives what the meter gives: seconds by window, item and reason, and the state carried on."""

from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from billing.metering.meter import meter
from billing.verify.rooms import TierPolicy, in_windows, room_intervals
from tests.depth import SLOW_EXAMPLES
from tests.metering_facts import DAY, RULES, START, frame, nobody, span, usage_of
from tests.property.rooms import rooms as plain_rooms
from tests.property.rooms import subscribed_rooms

POLICIES = {app: TierPolicy(rule.per_stream, rule.tiers) for app, rule in RULES.items()}
State = dict[tuple[int, str], list[dict[str, Any]]]


def second_engine(rows: list[dict[str, Any]], carried: State, start: int, end: int) -> tuple[Counter[Any], State]:
    """All rooms of a span, one by one."""
    events: State = {key: [] for key in carried}
    for row in rows:
        if start <= row["at"] // 1000 < end:
            events.setdefault((row["app_id"], row["room_id"]), []).append(row)
    seconds: Counter[Any] = Counter()
    state: State = {}
    for (app, room), of_room in events.items():
        intervals, left = room_intervals(of_room, carried.get((app, room), []), start, end, POLICIES[app])
        for (window, item, reason), count in in_windows(intervals).items():
            seconds[app, window, item, reason] += count
        if left:
            state[app, room] = left
    return seconds, state


def carried_rows(state: State) -> list[dict[str, Any]]:
    return sorted(
        ({"app_id": app, "room_id": room, **row} for (app, room), of_room in state.items() for row in of_room),
        key=lambda row: (row["app_id"], row["room_id"], row["user_id"]),
    )


@settings(max_examples=SLOW_EXAMPLES * 4)
@given(rows=plain_rooms(start=START) | subscribed_rooms(start=START), days=st.integers(1, 3))
def test_the_second_engine_equals_the_meter_day_after_day(rows: list[dict[str, Any]], days: int) -> None:
    events, state, carried = frame(rows), nobody(), State()
    for day in range(days):
        start, end = START + day * DAY, START + (day + 1) * DAY
        fast = meter(events, state, span(start, end))
        seconds, carried = second_engine(rows, carried, start, end)
        assert seconds == usage_of(fast)
        # Where each stay began is for policies that count stays, which the second engine does not compute.
        assert carried_rows(carried) == fast.state.drop("begun").to_dicts()
        state = fast.state
