"""Settled usage: the seconds of an account's settled days, corrections included, as other rules would classify them.

A day has its sums by app and item, from the charges, and its windows, which are read only when asked for. Where other
rules need more than the stored seconds tell (`billing.catalog.tier_changes`), the day is metered again from the event
log (`billing.reports.other_rules`).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import partial

import polars as pl

from billing.catalog.policies import PolicyVersion
from billing.catalog.quantities import ALL_APPS
from billing.catalog.terms import DayTerms
from billing.catalog.tier_changes import items_after
from billing.events.log import EventLog
from billing.ledger.account_ledger import AccountLedger
from billing.ledger.opening import AccountDay, account_days
from billing.metering.tiers import tier_rule
from billing.money import from_scaled
from billing.periods import window_start
from billing.rating.day_sums import pays_over_all_apps
from billing.rating.span import DayUsage
from billing.reports.day_seconds import DaySeconds, Seconds
from billing.reports.other_rules import metered_again

_SAMPLED_APPS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class SettledUsage:
    """The settled days of a period in their order, each with the rules it was metered by, and its `seconds` by app and
    item; `billed` is what all of them were charged. Both with all corrections."""

    ledger: AccountLedger
    log: EventLog
    days: Sequence[AccountDay]
    versions: Mapping[date, PolicyVersion]
    seconds: Mapping[date, Mapping[tuple[int, str], int]]
    billed: Decimal

    @classmethod
    def of(cls, ledger: AccountLedger, log: EventLog, own_terms: Sequence[DayTerms]) -> "SettledUsage":
        """Of settled days that follow each other, with the terms that they were billed by."""
        first, last = own_terms[0].day, own_terms[-1].day
        seconds, scaled = ledger.charged_use(first, last)
        return cls(
            ledger=ledger,
            log=log,
            days=account_days(ledger, first, last),
            versions={terms.day: terms.version for terms in own_terms},
            seconds=seconds,
            billed=from_scaled(scaled),
        )

    def under(self, terms: Sequence[DayTerms]) -> tuple[list[DayUsage], bool]:
        """The days to bill under other terms, and whether one of them had to be metered again."""
        items = {of_day.day: items_after(self.versions[of_day.day], of_day.version) for of_day in terms}
        wanted = {
            each.day: tier_rule(each.version)
            for each in terms
            if items[each.day] is None and (self.seconds.get(each.day) or self.versions[each.day].free_when)
        }
        apps = {app_id for account_day in self.days for app_id in account_day.apps}
        metered = {day: _by_window(usage) for day, usage in metered_again(self.ledger, self.log, apps, wanted)}
        days = []
        for account_day, of_day in zip(self.days, terms, strict=True):
            known = self._day_seconds(account_day, of_day, items[of_day.day] or {}, metered.get(of_day.day))
            used = {item for _, item in known.whole}
            windows = known.windows(over_all_apps=pays_over_all_apps(of_day.version, used))
            days.append(DayUsage(terms=of_day, usage=windows.whole, windows=windows))
        return days, bool(metered)

    def _day_seconds(
        self, account_day: AccountDay, terms: DayTerms, items: Mapping[str, str], metered: pl.DataFrame | None
    ) -> DaySeconds:
        """The stored seconds of a day under other items, or those that were metered again."""
        day, start, end = terms.day, window_start(account_day.start), account_day.end
        if metered is not None:
            read, sample = partial(_part, metered), partial(_of_windows, metered)
            whole = read(start, end)
        else:
            read, sample = partial(self._stored, day, items), partial(self._of_some_apps, day)
            charged = self.seconds.get(day, {})
            are_over_apps = any(app_id == ALL_APPS for app_id, _ in charged)
            whole = read(start, end) if are_over_apps else _renamed(charged, items)
        return DaySeconds(start=start, end=end, whole=whole, quantity=terms.version.quantity, read=read, sample=sample)

    def _stored(self, day: date, items: Mapping[str, str], start: int, end: int) -> Seconds:
        return _renamed(self.ledger.window_sums(day, start, end), items)

    def _of_some_apps(self, day: date) -> Mapping[int, int]:
        """The seconds of the apps with the most of them, by window."""
        of_apps: Counter[int] = Counter()
        for (app_id, _), used in self.seconds.get(day, {}).items():
            of_apps[app_id] += used
        return self.ledger.seconds_by_window(day, [app_id for app_id, _ in of_apps.most_common(_SAMPLED_APPS)])


def _by_window(usage: pl.DataFrame) -> pl.DataFrame:
    return usage.group_by("window_start", "app_id", "item").agg(pl.col("seconds").sum())


def _part(windows: pl.DataFrame, start: int, end: int) -> Seconds:
    """The sums of the windows from `start` to before `end`."""
    part = windows.filter(pl.col("window_start").is_between(start, end, closed="left"))
    sums = part.group_by("app_id", "item").agg(pl.col("seconds").sum())
    return {(app_id, item): seconds for app_id, item, seconds in sums.iter_rows()}


def _of_windows(windows: pl.DataFrame) -> Mapping[int, int]:
    return dict(windows.group_by("window_start").agg(pl.col("seconds").sum()).iter_rows())


def _renamed(seconds: Seconds, items: Mapping[str, str]) -> Seconds:
    """The seconds under other items; those that are the same now are summed, and those without one are left out."""
    if all(items.get(item) == item for item in {item for _, item in seconds}):
        return seconds
    renamed: Counter[tuple[int, str]] = Counter()
    for (app_id, item), used in seconds.items():
        if item in items:
            renamed[app_id, items[item]] += used
    return renamed
