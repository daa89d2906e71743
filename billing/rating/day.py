"""An account's day in money: who can pay, what it costs, and what is lost at its end. Pure.

Free minutes come first among the payers; a calendar month's are given with its first billed day. Days are billed one
after the other: each begins with the balances that the day before has left.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from billing.catalog.items import WindowUsage
from billing.catalog.packages import Payer, free_minutes_id, payers_on, valid_days
from billing.catalog.terms import DayTerms
from billing.rating.charges import Charge, rate_day
from billing.rating.deductions import Deduction


@dataclass(frozen=True, slots=True, kw_only=True)
class Balances:
    """What payers had before a day: `granted` free minutes by month (its first day), `used` and `lapsed` package units
    by payer id."""

    granted: Mapping[date, int]
    used: Mapping[str, int]
    lapsed: Mapping[str, int]

    def after(self, day: date, billed: "BilledDay") -> "Balances":
        """The balances at the end of a day."""
        used = Counter(self.used)
        for deduction in billed.deductions:
            used[deduction.payer_id] += deduction.package_units
        given = {} if billed.free_grant is None else {day.replace(day=1): billed.free_grant}
        lapsed = Counter(self.lapsed)
        lapsed.update(billed.lapses)
        return Balances(granted={**self.granted, **given}, used=used, lapsed=lapsed)


@dataclass(frozen=True, slots=True, kw_only=True)
class BilledDay:
    """A day in money. `free_grant`: the free minutes that are given with it, None if the month has its own already.
    `lapses`: what payers have left whose last valid day it is, or was before the first billed day, by payer id."""

    charges: Sequence[Charge]
    deductions: Sequence[Deduction]
    free_grant: int | None
    lapses: Mapping[str, int]


def bill_day(terms: DayTerms, usage: Sequence[WindowUsage], balances: Balances) -> BilledDay:
    """Seconds to minutes, minutes to payers, the rest to money; a `BillingError` when an item in use has no price."""
    given = balances.granted.get(terms.day.replace(day=1))
    granted = terms.free_minutes if given is None else given
    rated = rate_day(usage, payers(terms, granted, balances.used), terms.prices)
    return BilledDay(
        charges=rated.charges,
        deductions=rated.deductions,
        free_grant=granted if given is None and granted > 0 else None,
        lapses=lapses(terms, granted, balances, rated.deductions),
    )


def payers(terms: DayTerms, granted: int, used: Mapping[str, int]) -> list[Payer]:
    """Everything that can pay on the day, in order. `granted`: the month's free minutes; `used`: units taken before."""
    free_id = free_minutes_id(terms.day)
    free = Payer(id=free_id, remaining=granted - used.get(free_id, 0), ratios=terms.version.free_ratios)
    return payers_on(terms.day, terms.zone, free=free, packages=terms.packages, used=used, ratios=terms.version.ratios)


def lapses(terms: DayTerms, granted: int, balances: Balances, deductions: Sequence[Deduction]) -> dict[str, int]:
    """What is left, by payer id, of the packages and free minutes that are over with this day and have not lapsed."""
    ending = {p.id: p.minutes for p in terms.packages if valid_days(p, terms.zone)[1] <= terms.day}
    if (terms.day + timedelta(days=1)).day == 1:
        ending[free_minutes_id(terms.day)] = granted
    gone = Counter(balances.used) + Counter(balances.lapsed)
    left = {payer_id: units - gone[payer_id] for payer_id, units in ending.items()}
    for deduction in deductions:
        if deduction.payer_id in left:
            left[deduction.payer_id] -= deduction.package_units
    return {payer_id: units for payer_id, units in left.items() if units > 0}
