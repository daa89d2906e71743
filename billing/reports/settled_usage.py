"""Settled usage: the seconds of an account's settled days, corrections included, as other rules would classify them.

A day has its sums by app and item, from the charges, and its windows, which are read only when asked for. Where other
rules need more than the stored seconds tell (`billing.catalog.tier_changes`), the day is metered again from the event
log: from the events that the account's last run has read, with the stays carried in that are stored.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial

from billing.catalog.items import WindowUsage
from billing.catalog.policies import PolicyVersion
from billing.catalog.quantities import ALL_APPS
from billing.catalog.terms import DayTerms
from billing.catalog.tier_changes import items_after
from billing.events.log import EventLog
from billing.ledger.account_ledger import AccountLedger, ChargeRow
from billing.ledger.opening import AccountDay, account_days
from billing.ledger.runs import read_through
from billing.metering.schemas import window_usage
from billing.metering.tiers import tier_rule
from billing.periods import window_start
from billing.rating.day_sums import DayWindows
from billing.rating.span import DayUsage


@dataclass(frozen=True, slots=True, kw_only=True)
class SettledUsage:
    """The settled days of a period in their order, each with the rules it was metered by; `charged` are the rows of all
    charges and corrections to them."""

    ledger: AccountLedger
    log: EventLog
    days: Sequence[AccountDay]
    versions: Mapping[date, PolicyVersion]
    charged: Sequence[ChargeRow]
    ingest_id: int

    @classmethod
    def of(cls, ledger: AccountLedger, log: EventLog, own_terms: Sequence[DayTerms]) -> "SettledUsage":
        """Of settled days that follow each other, with the terms that they were billed by."""
        first, last = own_terms[0].day, own_terms[-1].day
        return cls(
            ledger=ledger,
            log=log,
            days=account_days(ledger, first, last),
            versions={terms.day: terms.version for terms in own_terms},
            charged=ledger.charge_rows(first, last, by="day"),
            ingest_id=read_through(ledger.conn)[ledger.account_id],
        )

    def under(self, terms: Sequence[DayTerms]) -> tuple[list[DayUsage], bool]:
        """The days to bill under other terms, and whether one of them had to be metered again."""
        sums = self._sums()
        days, metered_again = [], False
        for account_day, of_day in zip(self.days, terms, strict=True):
            items = items_after(self.versions[of_day.day], of_day.version)
            stored = sums.get(of_day.day, Counter())
            if any(app_id == ALL_APPS for app_id, _ in stored):
                whole_day = self.ledger.window_sums(of_day.day, window_start(account_day.start), account_day.end)
                stored = Counter({(app_id, item): seconds for _, app_id, item, seconds in whole_day})
            if items is not None:
                read = partial(self._stored, of_day.day, items)
                usage = _renamed(_in_one_window(stored, account_day.start), items)
            else:
                read = partial(_part, self._metered(account_day, of_day) if stored else [])
                usage = read(window_start(account_day.start), account_day.end)
                metered_again = True
            windows = DayWindows(start=window_start(account_day.start), end=account_day.end, whole=usage, sums=read)
            days.append(DayUsage(terms=of_day, usage=usage, windows=windows))
        return days, metered_again

    def _sums(self) -> dict[date, Counter[tuple[int, str]]]:
        sums: dict[date, Counter[tuple[int, str]]] = {}
        for row in self.charged:
            sums.setdefault(row.day, Counter())[row.app_id, row.item] += row.seconds
        return {day: Counter({key: used for key, used in of_day.items() if used}) for day, of_day in sums.items()}

    def _stored(self, day: date, items: Mapping[str, str], start: int, end: int) -> list[WindowUsage]:
        return _renamed(self.ledger.window_sums(day, start, end), items)

    def _metered(self, account_day: AccountDay, terms: DayTerms) -> list[WindowUsage]:
        # What is compiled is loaded only here: mostly the stored seconds suffice.
        from billing.metering.meter import Span
        from billing.metering.spans import meter_log

        span = Span(
            start=account_day.start,
            end=account_day.end,
            rules=dict.fromkeys(account_day.apps, tier_rule(terms.version)),
        )
        carried = self.ledger.state_before(account_day.day)
        return window_usage(meter_log(self.log, self.ingest_id, carried, span).usage)


def _part(windows: Sequence[WindowUsage], start: int, end: int) -> list[WindowUsage]:
    """The sums of the windows from `start` to before `end`."""
    sums: Counter[tuple[int, str]] = Counter()
    for begins, app_id, item, seconds in windows:
        if start <= begins < end:
            sums[app_id, item] += seconds
    return _in_one_window(sums, start)


def _in_one_window(sums: Mapping[tuple[int, str], int], start: int) -> list[WindowUsage]:
    return [WindowUsage(start, app_id, item, seconds) for (app_id, item), seconds in sums.items()]


def _renamed(usage: Sequence[WindowUsage], items: Mapping[str, str]) -> list[WindowUsage]:
    """The usage with other items; those that are the same now are summed."""
    if all(old == new for old, new in items.items()):
        return list(usage)
    seconds: Counter[tuple[int, int, str]] = Counter()
    for begins, app_id, item, used in usage:
        seconds[begins, app_id, items[item]] += used
    return [WindowUsage(*key, used) for key, used in seconds.items()]
