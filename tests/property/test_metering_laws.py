"""The laws of metering, on generated rooms, against the slow obvious meter in `tests/oracle.py`."""

from collections import Counter
from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from billing.metering.meter import Metered, meter, meter_by_user
from billing.metering.rows import STATE_SCHEMA
from billing.metering.tiers import TierRule
from tests import oracle
from tests.property.rooms import rooms as drawn_rooms

START = 1_772_323_200  # 2026-03-01T00:00:00Z
DAY = 86_400
INTL = TierRule(per_stream=False, tiers=(("hd", 921_600), ("fhd", 2_073_600), ("2k", 3_686_400), ("4k", None)))
CN = TierRule(per_stream=True, tiers=(("sd", 307_200), ("hd", 921_600), ("fhd", None)))
RULES = {1: INTL, 2: CN}
POLICIES = {app: oracle.Policy(rule.per_stream, list(rule.tiers)) for app, rule in RULES.items()}
EVENT_TYPES = {
    "event_id": pl.String,
    "app_id": pl.Int64,
    "room_id": pl.String,
    "user_id": pl.String,
    "at": pl.Int64,
    "seq": pl.Int64,
    "type": pl.String,
    "stream": pl.String,
    "width": pl.Int32,
    "height": pl.Int32,
}


def frame(rows: list[dict[str, Any]]) -> pl.LazyFrame:
    return pl.DataFrame(rows, schema=EVENT_TYPES).lazy()


def nobody() -> pl.DataFrame:
    return pl.DataFrame(schema=STATE_SCHEMA)


def usage_of(metered: Metered) -> Counter[tuple[Any, ...]]:
    return Counter({row[:4]: row[4] for row in metered.usage.iter_rows()})


def windows_of(slow: oracle.Metered) -> Counter[tuple[Any, ...]]:
    windows: Counter[tuple[Any, ...]] = Counter()
    for (app, _, _, window, item, reason), seconds in slow.seconds.items():
        windows[app, window, item, reason] += seconds
    return windows


def users_of(slow: oracle.Metered) -> Counter[tuple[Any, ...]]:
    users: Counter[tuple[Any, ...]] = Counter()
    for (app, room, user, _, item, reason), seconds in slow.seconds.items():
        users[app, room, user, item, reason] += seconds
    return users


def state_of(metered: Metered) -> dict[tuple[Any, ...], oracle.Stay]:
    return {
        (row["app_id"], row["room_id"], row["user_id"]): oracle.Stay(
            row["last_event"], row["wait_ends"], {s["stream"]: (s["width"], s["height"]) for s in row["streams"]}
        )
        for row in metered.state.iter_rows(named=True)
    }


def plain(state: dict[tuple[int, str, str], oracle.Stay]) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    return {who: (stay.last_event, stay.wait_ends, sorted(stay.streams.items())) for who, stay in state.items()}


def findings_of(metered: Metered) -> Counter[tuple[Any, ...]]:
    return Counter(row[:5] for row in metered.findings.iter_rows())


@given(rows=drawn_rooms(start=START), days=st.integers(1, 3))
def test_the_columnar_meter_equals_the_obvious_one_day_after_day(rows: list[dict[str, Any]], days: int) -> None:
    state, carried = nobody(), {}
    for day in range(days):
        start, end = START + day * DAY, START + (day + 1) * DAY
        fast = meter(frame(rows), state, start, end, RULES)
        slow = oracle.meter(rows, carried, start, end, POLICIES)
        assert usage_of(fast) == windows_of(slow)
        assert findings_of(fast) == slow.findings
        assert plain(state_of(fast)) == plain(slow.state)
        by_user = meter_by_user(frame(rows), state, start, end, RULES)
        assert Counter({row[:5]: row[5] for row in by_user.iter_rows()}) == users_of(slow)
        state, carried = fast.state, slow.state
