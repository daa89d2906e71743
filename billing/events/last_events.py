"""The last event of each app: of some apps, read from the newest days of the log, or of all that were heard lately."""

from bisect import bisect_left
from collections.abc import Collection, Sequence

import polars as pl

from billing.events.log import EventLog
from billing.periods import DAY_SECONDS


def last_event_at(log: EventLog, apps: Collection[int], *, ingest_id: int | None = None) -> dict[int, int]:
    """The newest `at` (ms) of each of the apps that has events, in the first `ingest_id` ingests or in all.

    Reads the newest days first, twice as many each time, until all are found; and no day whose files, by their
    statistics, can have none of them.
    """
    sought, found, count = set(apps), dict[int, int](), 1
    ranges = _app_ranges(log)
    newest = sorted(ranges)
    while sought:
        wanted = sorted(sought)
        newest = [day for day in newest if any(_any_between(wanted, *apps) for apps in ranges[day])]
        days, newest, count = newest[-count:], newest[:-count], count * 2
        if not days:
            break
        events = log.scan(days[0] * DAY_SECONDS, (days[-1] + 1) * DAY_SECONDS, ingest_id=ingest_id)
        newest_events = events.filter(pl.col("app_id").is_in(wanted)).group_by("app_id").agg(pl.col("at").max())
        with log.naming_damage():
            found.update(newest_events.collect().iter_rows())
        sought -= found.keys()
    return found


def last_events_since(log: EventLog, start: int, *, ingest_id: int) -> dict[int, int]:
    """The newest `at` (ms) of each app with events from epoch second `start` on, in the first `ingest_id` ingests."""
    days = _app_ranges(log)
    if not days:
        return {}
    start = max(start, min(days) * DAY_SECONDS)  # older ones may be archived
    events = log.scan(start, (max(days) + 1) * DAY_SECONDS, ingest_id=ingest_id)
    with log.naming_damage():
        newest = events.group_by("app_id").agg(pl.col("at").max()).collect(engine="streaming")
    return dict(newest.iter_rows())


def _app_ranges(log: EventLog) -> dict[int, list[tuple[int, int]]]:
    """The least and the largest app of each file, by UTC day (since 1970)."""
    ranges: dict[int, list[tuple[int, int]]] = {}
    for first_at, first_app, last_app in log.activity().select("min.at", "min.app_id", "max.app_id").iter_rows():
        ranges.setdefault(first_at // (DAY_SECONDS * 1000), []).append((first_app, last_app))
    return ranges


def _any_between(numbers: Sequence[int], least: int, largest: int) -> bool:
    """Whether one of the sorted numbers is in a range."""
    at = bisect_left(numbers, least)
    return at < len(numbers) and numbers[at] <= largest
