"""Rooms may be metered apart, as on a cluster: together they are what one pass over all of them gives."""

from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.metering.findings import concurrent_rooms
from billing.metering.meter import meter, meter_rooms
from billing.metering.schemas import FINDINGS_SCHEMA
from tests.depth import SLOW_EXAMPLES
from tests.metering_facts import DAY, START, frame, nobody, span
from tests.property.rooms import subscribed_rooms as drawn_rooms

pytestmark = pytest.mark.thorough


@settings(max_examples=SLOW_EXAMPLES)
@given(rows=drawn_rooms(start=START), parts=st.integers(1, 4))
def test_rooms_metered_apart_are_together_what_they_are_in_one_pass(rows: list[dict[str, Any]], parts: int) -> None:
    state = nobody()
    for start in (START, START + DAY):
        end = start + DAY
        whole = meter(frame(rows), state, span(start, end))
        part = pl.col("room_id").str.tail(1).cast(pl.Int32) % parts
        apart = [
            meter_rooms(frame(rows).filter(part == each), state.filter(part == each), span(start, end))
            for each in range(parts)
        ]
        usage = pl.concat([found.usage for found, _ in apart]).group_by(whole.usage.columns[:4]).agg(pl.sum("seconds"))
        several = concurrent_rooms(pl.concat([stays for _, stays in apart]), start)
        findings = pl.concat([*(found.findings for found, _ in apart), several])
        assert usage.sort("app_id", "window_start", "item", "reason").equals(whole.usage)
        assert pl.concat([found.state for found, _ in apart]).sort("app_id", "room_id", "user_id").equals(whole.state)
        assert findings.sort(list(FINDINGS_SCHEMA)).equals(whole.findings)
        state = whole.state
