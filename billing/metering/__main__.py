"""`python -m billing.metering`: compiles metering, which otherwise happens where it is first needed.

There are three parts, of which the second takes longest: rooms whose events say who receives what, rooms with automatic
subscription, and the leaves of rooms for the seal of a day. The result is kept (`billing.numba_cache`).
"""

import polars as pl

from billing.events.room_leaves import leaves_of, recomputed
from billing.events.schema import EVENT_SCHEMA
from billing.metering.meter import Span, meter
from billing.metering.schemas import STATE_SCHEMA
from billing.metering.tiers import TierRule

_ENTER = {"event_id": "1", "app_id": 1, "room_id": "room", "user_id": "user", "at": 0, "seq": 0, "type": "enter"}


def main() -> None:
    """Meters a user of each kind of room for a second."""
    span = Span(start=0, end=1, rules={1: TierRule(per_stream=False, tiers=(("hd", None),))})
    for receives in (None, "all"):
        events = pl.LazyFrame([_ENTER | {"receives": receives}], schema=EVENT_SCHEMA)
        meter(events, pl.DataFrame(schema=STATE_SCHEMA), span)
    leaves_of(recomputed(events.collect()))


if __name__ == "__main__":
    main()
