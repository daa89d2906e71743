"""Event roots: the events that a day is billed from, in one hash for each account, computed while the day is metered.

One pass over the log serves all accounts whose days have the same bounds. It runs in a thread of its own, because
metering does not keep all processors busy.
"""

from collections.abc import Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import polars as pl

from billing.events.merkle import NO_EVENTS, EventsRoot
from billing.jobs.cutoff import Cutoff
from billing.ledger.opening import AccountDay


@dataclass(frozen=True, slots=True, kw_only=True)
class DayRoots:
    """The leaves of the rooms of days with one pair of bounds, as soon as they are there."""

    leaves: "Future[pl.DataFrame]"

    def of(self, account_day: AccountDay) -> EventsRoot:
        """The root of one account's events; what went wrong in reading them is raised here."""
        found = self.leaves.result().filter(pl.col("app_id").is_in(sorted(account_day.apps)))
        return EventsRoot.over(found["leaf"], int(found["events"].sum())) if found.height else NO_EVENTS


@contextmanager
def event_roots(cutoff: Cutoff, days: Collection[AccountDay]) -> Iterator[DayRoots]:
    """Begins to compute the roots of days with one pair of bounds."""
    with ThreadPoolExecutor(1) as pool:
        yield DayRoots(leaves=pool.submit(_leaves, cutoff, days))


def _leaves(cutoff: Cutoff, days: Collection[AccountDay]) -> pl.DataFrame:
    # Compiled code, which takes a while to load.
    from billing.events.room_leaves import room_leaves

    start, end = next(iter(days)).bounds
    apps, log = frozenset().union(*(day.apps for day in days)), cutoff.log
    events = log.scan(start, end, ingest_id=cutoff.ingest_id, apps=apps)
    with log.naming_damage():
        return room_leaves(events, ranges=log.room_ranges(start, end, ingest_id=cutoff.ingest_id))
