"""Settled usage: the seconds of an account's settled days, corrections included, as other rules would classify them.

A day has its sums by app and item, from the charges, and its windows, which are read only when asked for. Where other
rules need more than the stored seconds tell (`billing.catalog.tier_changes`), the day is metered again from the event
log (`billing.reports.other_rules`).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial

import polars as pl

from billing.catalog.items import WindowUsage
from billing.catalog.policies import PolicyVersion
from billing.catalog.quantities import ALL_APPS
from billing.catalog.terms import DayTerms
from billing.catalog.tier_changes import items_after
from billing.events.log import EventLog
from billing.ledger.account_ledger import AccountLedger, ChargeRow
from billing.ledger.opening import AccountDay, account_days
from billing.metering.tiers import tier_rule
from billing.periods import window_start
from billing.rating.day_sums import DayWindows
from billing.rating.span import DayUsage
from billing.reports.other_rules import metered_again


@dataclass(frozen=True, slots=True, kw_only=True)
class SettledUsage:
    """The settled days of a period in their order, each with the rules it was metered by; `charged` are the rows of all
    charges and corrections to them."""

    ledger: AccountLedger
    log: EventLog
    days: Sequence[AccountDay]
    versions: Mapping[date, PolicyVersion]
    charged: Sequence[ChargeRow]

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
        )

    def under(self, terms: Sequence[DayTerms]) -> tuple[list[DayUsage], bool]:
        """The days to bill under other terms, and whether one of them had to be metered again."""
        sums = self._sums()
        items = {of_day.day: items_after(self.versions[of_day.day], of_day.version) for of_day in terms}
        wanted = {
            each.day: tier_rule(each.version)
            for each in terms
            if items[each.day] is None and (each.day in sums or self.versions[each.day].free_when)
        }
        apps = {app_id for account_day in self.days for app_id in account_day.apps}
        metered = {day: _by_window(usage) for day, usage in metered_again(self.ledger, self.log, apps, wanted)}
        days = []
        for account_day, of_day in zip(self.days, terms, strict=True):
            start, end = window_start(account_day.start), account_day.end
            if of_day.day in metered:
                read = partial(_part, metered[of_day.day])
                usage = read(start, end)
            else:
                names = items[of_day.day] or {}
                read = partial(self._stored, of_day.day, names)
                stored = _in_one_window(sums.get(of_day.day, {}), start)
                if any(row.app_id == ALL_APPS for row in stored):
                    stored = self.ledger.window_sums(of_day.day, start, end)
                usage = _renamed(stored, names)
            windows = DayWindows(start=start, end=end, whole=usage, sums=read)
            days.append(DayUsage(terms=of_day, usage=usage, windows=windows))
        return days, bool(metered)

    def _sums(self) -> dict[date, Counter[tuple[int, str]]]:
        sums: dict[date, Counter[tuple[int, str]]] = {}
        for row in self.charged:
            sums.setdefault(row.day, Counter())[row.app_id, row.item] += row.seconds
        return {day: Counter({key: used for key, used in of_day.items() if used}) for day, of_day in sums.items()}

    def _stored(self, day: date, items: Mapping[str, str], start: int, end: int) -> list[WindowUsage]:
        return _renamed(self.ledger.window_sums(day, start, end), items)


def _by_window(usage: pl.DataFrame) -> pl.DataFrame:
    return usage.group_by("window_start", "app_id", "item").agg(pl.col("seconds").sum())


def _part(windows: pl.DataFrame, start: int, end: int) -> list[WindowUsage]:
    """The sums of the windows from `start` to before `end`."""
    part = windows.filter(pl.col("window_start").is_between(start, end, closed="left"))
    sums = part.group_by("app_id", "item").agg(pl.col("seconds").sum())
    return [WindowUsage(start, app_id, item, seconds) for app_id, item, seconds in sums.iter_rows()]


def _in_one_window(sums: Mapping[tuple[int, str], int], start: int) -> list[WindowUsage]:
    return [WindowUsage(start, app_id, item, seconds) for (app_id, item), seconds in sums.items()]


def _renamed(usage: Sequence[WindowUsage], items: Mapping[str, str]) -> list[WindowUsage]:
    """The usage with other items; those that are the same now are summed, and those without one are left out."""
    if all(items.get(row.item) == row.item for row in usage):
        return list(usage)
    seconds: Counter[tuple[int, int, str]] = Counter()
    for begins, app_id, item, used in usage:
        if item in items:
            seconds[begins, app_id, items[item]] += used
    return [WindowUsage(*key, used) for key, used in seconds.items()]
