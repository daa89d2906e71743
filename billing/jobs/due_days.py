"""Due days: what is to be billed or brought up to date, day by day of each account, and which of these days are quiet.

The first day of an account is the local day of its oldest event. A quiet day has no event and no open stay: it needs no
metering, so a run of them, however long, costs next to nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import polars as pl

from billing.events.data_files import DAY_MS
from billing.jobs.cutoff import Cutoff
from billing.ledger.database import Connection
from billing.ledger.opening import AccountDay, account_days, first_due_day
from billing.ledger.runs import last_settled_days


def unsettled_days(conn: Connection, cutoff: Cutoff, until: Mapping[str, date]) -> list[AccountDay]:
    """The days after the last settled one, up to the day that `until` names for each account, in their order."""
    apps, settled = cutoff.catalog.apps.values(), last_settled_days(conn)
    oldest: dict[str, int] = {}
    first_events = cutoff.log.first_event_at([app.id for app in apps if app.account not in settled])
    for app in apps:
        if app.id in first_events:
            second = first_events[app.id] // 1000
            oldest[app.account] = min(second, oldest.get(app.account, second))
    due = []
    for account_id, last in until.items():
        ledger = cutoff.ledger(conn, account_id)
        first = first_due_day(ledger, settled=settled.get(account_id), oldest=oldest.get(account_id))
        if first:
            due += account_days(ledger, first, last)
    return in_order(due)


def in_order(days: Iterable[AccountDay]) -> list[AccountDay]:
    """By time; days with the same bounds by account."""
    return sorted(days, key=lambda day: (*day.bounds, day.account_id))


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """When there may have been events, as the files of the log say: by UTC day, the span (epoch ms, last included) and
    the range of apps of each file."""

    files: Mapping[int, Sequence[tuple[int, int, int, int]]]

    @classmethod
    def of(cls, bounds: pl.DataFrame) -> "Activity":
        """From the bounds of all files: `first_at, last_at, first_app, last_app`."""
        files: dict[int, list[tuple[int, int, int, int]]] = {}
        for first_at, last_at, first_app, last_app in bounds.iter_rows():
            for utc_day in range(first_at // DAY_MS, last_at // DAY_MS + 1):
                files.setdefault(utc_day, []).append((first_at, last_at, first_app, last_app))
        return cls(files=files)

    def may_hold_events(self, day: AccountDay) -> bool:
        """Whether an event of the day's apps may lie in its bounds; False only where none does."""
        start, end = day.start * 1000, day.end * 1000
        return any(
            first_at < end and last_at >= start and any(first_app <= app <= last_app for app in day.apps)
            for utc_day in range(start // DAY_MS, (end - 1) // DAY_MS + 1)
            for first_at, last_at, first_app, last_app in self.files.get(utc_day, ())
        )
