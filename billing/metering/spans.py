"""Spans of the log: metering on this machine, from the events of some ingests and the stays carried in."""

from collections.abc import Callable, Iterable, Mapping

import polars as pl

from billing.events.log import EventLog
from billing.metering.engine.keyed_rows import NUMBER
from billing.metering.meter import meter
from billing.metering.schemas import Metered
from billing.metering.tiers import TierRule

# What meters a span, from the log up to an ingest: see `meter_log`.
Metering = Callable[[EventLog, int, pl.DataFrame, int, int, Mapping[int, TierRule]], Metered]


def meter_log(
    log: EventLog, ingest_id: int, carried: pl.DataFrame, start: int, end: int, rules: Mapping[int, TierRule]
) -> Metered:
    """Meters the span `[start, end)` (epoch seconds) of the apps in `rules`, as the first `ingest_id` ingests have it
    and from the stays that were open at `start`, on this machine."""
    events = log.scan(start, end, ingest_id=ingest_id, apps=rules.keys(), number=NUMBER)
    return meter(events, carried, start, end, rules, ranges=log.room_ranges(start, end, ingest_id=ingest_id))


def of_apps(metered: Metered, apps: Iterable[int]) -> Metered:
    """The share of some apps."""
    mine = pl.col("app_id").is_in(sorted(apps))
    return Metered(
        usage=metered.usage.filter(mine), state=metered.state.filter(mine), findings=metered.findings.filter(mine)
    )
