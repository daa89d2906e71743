"""Spans of the log: metering on this machine, from the events of some ingests and the stays carried in."""

from collections.abc import Callable
from functools import partial

import polars as pl

from billing.events.log import EventLog
from billing.metering.engine.keyed_rows import ROW_NUMBER
from billing.metering.meter import Span, meter
from billing.metering.schemas import Metered

# Meters a span of the log up to an ingest, on this machine (`meter_log`) or on a cluster (`billing.metering.spark`).
Metering = Callable[[EventLog, int, pl.DataFrame, Span], Metered]


def meter_log(
    log: EventLog, ingest_id: int, carried: pl.DataFrame, span: Span, *, with_leaves: bool = False
) -> Metered:
    """Meters a span from the first `ingest_id` ingests of the log and the stays open at its start (`STATE_SCHEMA`)."""
    events = log.scan(span.start, span.end, ingest_id=ingest_id, apps=span.rules.keys(), number=ROW_NUMBER)
    with log.naming_damage():
        ranges = log.room_ranges(span.start, span.end, ingest_id=ingest_id)
        return meter(events, carried, span, ranges=ranges, with_leaves=with_leaves)


# The same for a day that will be sealed: the rows that are metered are those that the leaves of its rooms are made of.
meter_with_leaves: Metering = partial(meter_log, with_leaves=True)
