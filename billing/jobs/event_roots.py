"""Event roots: the events that a day is billed from, in one hash for each account.

The leaves of the rooms are made while the day is metered, from the same rows. Metering that cannot tell them (on a
cluster, or where keys collide) has none: then the log is read once more, for all accounts whose days have the same
bounds.
"""

from collections.abc import Collection
from dataclasses import dataclass

import polars as pl

from billing.events.merkle import NO_EVENTS, EventsRoot
from billing.jobs.cutoff import Cutoff
from billing.ledger.opening import AccountDay
from billing.metering.schemas import Metered


@dataclass(slots=True, kw_only=True)
class DayRoots:
    """The roots of days with one pair of bounds."""

    cutoff: Cutoff
    days: Collection[AccountDay]
    _read: pl.DataFrame | None = None

    def of(self, account_day: AccountDay, metered: Metered) -> EventsRoot:
        """The root of one account's events, which were metered."""
        leaves = self._leaves() if metered.leaves is None else metered.leaves
        found = leaves.filter(pl.col("app_id").is_in(sorted(account_day.apps)))
        return EventsRoot.over(found["leaf"], int(found["events"].sum())) if found.height else NO_EVENTS

    def _leaves(self) -> pl.DataFrame:
        if self._read is None:
            # Compiled code, which takes a while to load.
            from billing.events.room_leaves import room_leaves

            start, end = next(iter(self.days)).bounds
            apps, log = frozenset().union(*(day.apps for day in self.days)), self.cutoff.log
            events = log.scan(start, end, ingest_id=self.cutoff.ingest_id, apps=apps)
            with log.naming_damage():
                ranges = log.room_ranges(start, end, ingest_id=self.cutoff.ingest_id)
                self._read = room_leaves(events, ranges=ranges)
        return self._read
