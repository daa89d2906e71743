"""Window payments: how the seconds of each window become minutes, who pays them, and what is payable.

Example of the sample class, 10:05, 2K: 490 s, 490 s so far, 9 minutes so far, 9 added. `starter` pays 1 (16 package
minutes, 6 left), 8 are payable at 0.01599: 0.12792.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal, localcontext

import polars as pl

from billing.catalog.items import ITEM_RANK
from billing.ledger.account_ledger import AccountLedger
from billing.metering.schemas import window_usage
from billing.money import EXACT
from billing.rating.deductions import Deduction, minutes_by_window, whole_minutes
from billing.rating.payers import payers_on
from billing.reports.app_days import AppDay


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """What one payer pays of a window: minutes, the package minutes they take, and what it has left after that."""

    payer: str
    minutes: int
    units: int
    left: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowPayment:
    """One item in one window (its start as epoch second); `minutes` are those that the window adds to the day's."""

    app_id: int
    item: str
    start: int
    seconds: int
    seconds_so_far: int
    minutes_so_far: int
    minutes: int
    paid: tuple[Payment, ...]
    payable_minutes: int
    amount: Decimal


def window_payments(app_day: AppDay) -> list[WindowPayment]:
    """Every window of an app's day, corrections included, in the order in which they pay."""
    paid = _payments(app_day.ledger, app_day.day)
    prices = {
        posted.charge.item: posted.charge.unit_price
        for posted in app_day.ledger.charges_of_day(app_day.day)
        if posted.charge.app_id == app_day.app_id
    }
    return list(_paid_windows(app_day, paid, prices))


def _paid_windows(
    app_day: AppDay, paid: Mapping[tuple[int, int, str], list[Payment]], prices: Mapping[str, Decimal]
) -> Iterator[WindowPayment]:
    so_far: Counter[str] = Counter()
    usage = window_usage(app_day.usage())
    seconds = {(row.window_start, row.item): row.seconds for row in usage}
    for start, app_id, item, minutes in minutes_by_window(usage):
        so_far[item] += seconds[start, item]
        payments = tuple(paid.get((start, app_id, item), ()))
        payable = minutes - sum(payment.minutes for payment in payments)
        with localcontext(EXACT):
            amount = payable * prices[item]
        yield WindowPayment(
            app_id=app_id,
            item=item,
            start=start,
            seconds=seconds[start, item],
            seconds_so_far=so_far[item],
            minutes_so_far=whole_minutes(so_far[item]),
            minutes=minutes,
            paid=payments,
            payable_minutes=payable,
            amount=amount,
        )


def _payments(ledger: AccountLedger, day: date) -> dict[tuple[int, int, str], list[Payment]]:
    """What the payers of the account paid on a day, by window, app and item."""
    left = _left_before(ledger, day)
    order = {payer.id: place for place, payer in enumerate(payers_on(ledger.terms_on(day)[0], left))}
    found: dict[tuple[int, int, str], list[Payment]] = {}
    for each in sorted(_deductions(ledger, day), key=lambda each: (*_place(each), order.get(each.payer_id, 0))):
        left[each.payer_id] = left.get(each.payer_id, 0) - each.package_minutes
        payment = Payment(
            payer=each.payer_id, minutes=each.minutes, units=each.package_minutes, left=left[each.payer_id]
        )
        found.setdefault((each.window_start, each.app_id, each.item), []).append(payment)
    return found


def _left_before(ledger: AccountLedger, day: date) -> dict[str, int]:
    """What every payer had left when the day began: what was refunded later was still there."""
    run = ledger.settled_days(day, day)[day]
    balances = replace(ledger, as_of_ms=run.finished_at_ms, as_of_refund=None).balances(before=day)
    return {payer: balances.remaining(payer) for payer in balances.payers}


def _deductions(ledger: AccountLedger, day: date) -> Iterator[Deduction]:
    """The deductions of a day with the corrections to them."""
    columns = list(Deduction._fields)
    known = [frame(day, day).select(columns) for frame in (ledger.deductions, ledger.corrected_deductions)]
    sums = pl.concat(known).group_by(columns[:4]).agg(pl.col("minutes", "package_minutes").sum())
    for row in sums.filter(pl.col("minutes") != 0).select(columns).iter_rows():
        yield Deduction._make(row)


def _place(deduction: Deduction) -> tuple[int, int, int]:
    """Windows pay in order of time, in a window apps by number, in an app items from audio up."""
    return deduction.window_start, deduction.app_id, ITEM_RANK[deduction.item]
