"""One settled day of one app as its last run metered it: from which events, stays and rules, and what it counted.

Corrections are included: a day that was corrected by run 9 is the day as run 9 read it. As known at run 7, it is the
day as the last of the runs up to 7 read it.
"""

from dataclasses import dataclass, replace
from datetime import date

import polars as pl

from billing import periods
from billing.errors import UsageError
from billing.events.log import EventLog
from billing.ledger.account_ledger import AccountLedger
from billing.ledger.day_runs import runs_of_days
from billing.ledger.runs import Run
from billing.metering.schemas import USAGE_SCHEMA
from billing.metering.tiers import TierRule, tier_rule


@dataclass(frozen=True, slots=True, kw_only=True)
class AppDay:
    """A settled day `[start, end)` of an app, in epoch seconds. `run`: the last run that metered it."""

    ledger: AccountLedger
    log: EventLog
    app_id: int
    day: date
    start: int
    end: int
    run: Run
    rule: TierRule

    def carried(self) -> pl.DataFrame:
        """The app's stays that were open at the start of the day, as the run knew them (`STATE_SCHEMA`)."""
        state = replace(self.ledger, as_of=self.run.id).state_before(self.day)
        return state.filter(pl.col("app_id") == self.app_id)

    def events(self, end: int) -> pl.LazyFrame:
        """The app's events of the day before an epoch second, as the run read them (`LOG_SCHEMA`)."""
        return self.log.scan(self.start, end, ingest_id=self.run.ingest_id, apps=[self.app_id])

    def events_of_room(self, room_id: str) -> pl.LazyFrame:
        """The events of one room, as the run read them (`LOG_SCHEMA`)."""
        return self.log.scan_room(self.start, self.end, self.app_id, room_id, ingest_id=self.run.ingest_id)

    def usage(self) -> pl.DataFrame:
        """The seconds in the ledger, corrections included, in `USAGE_SCHEMA`."""
        known = [frame(self.day, self.day, apps=[self.app_id]) for frame in (self.ledger.usage, self.corrected)]
        sums = pl.concat(frame.select(*USAGE_SCHEMA) for frame in known)
        total = sums.group_by(USAGE_SCHEMA.names()[:-1]).agg(pl.col("seconds").sum())
        return total.filter(pl.col("seconds") != 0).sort(USAGE_SCHEMA.names()[:-1])

    def corrected(self, first: date, last: date, *, apps: list[int]) -> pl.DataFrame:
        """What corrections added."""
        return self.ledger.corrected_usage(first, last, apps=apps)


def app_day(ledger: AccountLedger, log: EventLog, app_id: int, day: date) -> AppDay:
    """The day of an app; a `UsageError` when it is not billed, or was not at the run that the ledger is as of."""
    runs = runs_of_days(ledger, day, day).get(day)
    if not runs:
        raise UsageError(_not_billed(ledger, day))
    start, end = ledger.settled_bounds(day, day)[day]
    rule = tier_rule(ledger.policy_of(runs[0]).version_on(day))
    return AppDay(ledger=ledger, log=log, app_id=app_id, day=day, start=start, end=end, run=runs[-1], rule=rule)


def _not_billed(ledger: AccountLedger, day: date) -> str:
    first, last = ledger.first_settled_day(), ledger.last_settled_day()
    when = "" if ledger.as_of is None else f" at the end of run {ledger.as_of}"
    if first is None or last is None:
        return f"{day} was not billed{when}: account {ledger.account_id!r} has no billed day; run `billing nightly`"
    if day < first:
        return f"{day} was not billed{when}: the first billed day of account {ledger.account_id!r} is {first}"
    over = periods.day_bounds(day, ledger.zone)[1] <= periods.now().timestamp()
    advice = "; run `billing nightly`" if over and ledger.as_of is None else ""
    return f"{day} was not billed{when}: account {ledger.account_id!r} is billed up to {last}{advice}"
