"""An account's day in money: who pays, what it costs, and what lapses at its end. Pure.

A calendar month's free minutes are granted with its first billed day. What is left of a package lapses at the end of
its last valid day, or with the first billed day if it ended before; what is left of free minutes, at the end of their
month.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from billing.catalog.items import WindowUsage
from billing.catalog.packages import free_minutes_id, valid_days
from billing.catalog.terms import DayTerms
from billing.rating.balances import Balances
from billing.rating.charges import Charge, rate_day
from billing.rating.day_sums import DayWindows, in_stretches
from billing.rating.deductions import Deduction
from billing.rating.payers import payers_on


@dataclass(frozen=True, slots=True, kw_only=True)
class BilledDay:
    """A day in money.

    `free_grant`: the free minutes that are granted with it; None: its month has its own already, or gets none.
    `lapses`: package minutes by payer id. `balances`: those at the end of the day.
    """

    charges: Sequence[Charge]
    deductions: Sequence[Deduction]
    free_grant: int | None
    lapses: Mapping[str, int]
    balances: Balances


def bill_day(
    terms: DayTerms,
    usage: Sequence[WindowUsage],
    balances: Balances,
    windows: DayWindows | None = None,
) -> BilledDay:
    """Seconds to minutes, minutes to payers, the rest to money; `balances` are those before the day.

    With `windows`, `usage` has the sums of the day, and windows are read where a payer runs out.
    A `BillingError` when an item in use has no price.
    """
    free_id = free_minutes_id(terms.day)
    free_grant = terms.free_minutes if terms.free_minutes > 0 and free_id not in balances.granted else None
    granted = {package.id: package.minutes for package in terms.packages}
    if free_grant is not None:
        granted[free_id] = free_grant
    before = balances.after(granted=granted)
    remaining = {payer_id: before.remaining(payer_id) for payer_id in before.granted}
    payers = payers_on(terms, remaining)
    if windows is not None:
        usage = in_stretches(usage, windows, payers)
    rated = rate_day(usage, payers, terms.prices)
    after = before.after(deductions=rated.deductions)
    lapses = {payer_id: left for payer_id in _ending(terms) if (left := after.remaining(payer_id)) > 0}
    return BilledDay(
        charges=rated.charges,
        deductions=rated.deductions,
        free_grant=free_grant,
        lapses=lapses,
        balances=after.after(lapsed=lapses),
    )


def _ending(terms: DayTerms) -> list[str]:
    """The payers that are over at the end of the day."""
    ending = [package.id for package in terms.packages if valid_days(package, terms.zone)[1] <= terms.day]
    is_last_of_month = (terms.day + timedelta(days=1)).day == 1
    return [*ending, *([free_minutes_id(terms.day)] if is_last_of_month else [])]
