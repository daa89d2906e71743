"""The second engine gives what the meter gives: seconds by window, item and reason, and the state carried on."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.events.schema import TASK_COLUMNS
from billing.metering.meter import meter
from billing.metering.tiers import TierRule
from billing.verify.metered_rooms import metered_room
from billing.verify.policy_rules import MeterRule
from tests.depth import SLOW_EXAMPLES
from tests.metering_facts import DAY, RULES, START, frame, nobody, span, usage_of
from tests.property.rooms import rooms as plain_rooms
from tests.property.rooms import subscribed_rooms

pytestmark = pytest.mark.thorough

HD = (("hd", 921_600), ("4k", None))
PARTICIPANT = (("participant", None),)
# Other ways to count than those of TRTC, by app.
OTHERS = (
    {
        1: TierRule(
            per_stream=False, tiers=PARTICIPANT, base_item="participant", free_when=frozenset({"alone_in_room"})
        ),
        2: TierRule(per_stream=True, tiers=HD, free_when=frozenset({"no_video_received", "screen_share"})),
    },
    {
        1: TierRule(per_stream=False, tiers=(("connection", None),), base_item="connection", per_stay=True),
        2: TierRule(per_stream=True, tiers=PARTICIPANT, base_item="participant", free_when=frozenset({"camera"})),
    },
)
State = dict[tuple[int, str], list[dict[str, Any]]]


def second_rule(rule: TierRule) -> MeterRule:
    return MeterRule(rule.per_stream, rule.tiers, rule.base_item, rule.free_when, rule.per_stay)


def second_engine(
    rows: list[dict[str, Any]], carried: State, start: int, end: int, rules: Mapping[int, TierRule]
) -> tuple[Counter[Any], State]:
    """All rooms of a span, one by one."""
    events: State = {key: [] for key in carried}
    for row in rows:
        if start <= row["at"] // 1000 < end:
            events.setdefault((row["app_id"], row["room_id"]), []).append(row)
    seconds: Counter[Any] = Counter()
    state: State = {}
    for (app, room), of_room in events.items():
        found, left = metered_room(of_room, carried.get((app, room), []), start, end, second_rule(rules[app]))
        for (window, item, reason), count in found.items():
            seconds[app, window, item, reason] += count
        if left:
            state[app, room] = left
    return seconds, state


def carried_rows(state: State) -> list[dict[str, Any]]:
    of_no_task = dict.fromkeys(TASK_COLUMNS)
    return sorted(
        (
            {"app_id": app, "room_id": room, **row, **of_no_task}
            for (app, room), of_room in state.items()
            for row in of_room
        ),
        key=lambda row: (row["app_id"], row["room_id"], row["user_id"]),
    )


@settings(max_examples=SLOW_EXAMPLES * 4)
@given(
    rows=plain_rooms(start=START) | subscribed_rooms(start=START),
    days=st.integers(1, 3),
    rules=st.sampled_from([RULES, *OTHERS]),
)
def test_the_second_engine_equals_the_meter_day_after_day(
    rows: list[dict[str, Any]], days: int, rules: Mapping[int, TierRule]
) -> None:
    events, state, carried = frame(rows), nobody(), State()
    for day in range(days):
        start, end = START + day * DAY, START + (day + 1) * DAY
        fast = meter(events, state, span(start, end, rules))
        seconds, carried = second_engine(rows, carried, start, end, rules)
        assert seconds == usage_of(fast)
        assert carried_rows(carried) == fast.state.to_dicts()
        state = fast.state
