"""A span of days in money: each day is billed with the balances that the day before has left.

This is the one loop from terms to bill to balances. The nightly settles with it, a rerating compares with it,
provisional bills, estimates and what-ifs show what it gives: so all of them agree on the same days. Pure.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from billing.catalog.items import WindowUsage
from billing.catalog.terms import DayTerms
from billing.rating.balances import Balances
from billing.rating.day import BilledDay, bill_day
from billing.rating.day_sums import DayWindows


@dataclass(frozen=True, slots=True, kw_only=True)
class DayUsage:
    """A day to bill: what holds on it, and the seconds used, by window, app and item in any order.

    With `windows`, `usage` has the sums of the day in one window, and `windows` those of its parts where that counts.
    """

    terms: DayTerms
    usage: Sequence[WindowUsage] = ()
    windows: DayWindows | None = None


def bill_span(days: Iterable[DayUsage], balances: Balances) -> Iterator[BilledDay]:
    """Bills days in their order; `balances` are those before the first. A day is billed when it is asked for.

    A `BillingError` when an item in use has no price.
    """
    for day in days:
        billed = bill_day(day.terms, day.usage, balances, day.windows)
        balances = billed.balances
        yield billed
