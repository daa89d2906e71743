"""An account's day in money: who pays, what it costs, and what lapses at its end. Pure.

A calendar month's free minutes are granted with its first billed day. What is left of a package lapses at the end of
its last valid day, or with the first billed day if it ended before; what is left of free minutes, at the end of their
month.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

from billing.catalog.items import WindowUsage
from billing.catalog.packages import free_minutes_app, free_minutes_id, valid_days
from billing.catalog.terms import DayTerms
from billing.rating.balances import Balances
from billing.rating.charges import Charge, Counting, rate_day
from billing.rating.day_sums import DayWindows, in_stretches
from billing.rating.deductions import Deduction, counted
from billing.rating.fees import fee_charges
from billing.rating.payers import Payer, payers_on
from billing.rating.period_use import NOTHING, is_cumulative


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
    free_id, quantity = free_minutes_id(terms.day), terms.version.quantity
    free_grant = terms.free_minutes if terms.free_minutes > 0 and free_id not in balances.granted else None
    granted = {package.id: package.minutes for package in terms.packages}
    if free_grant is not None:
        granted[free_id] = free_grant
    use = balances.use.of(terms.day, terms.policy.id) if is_cumulative(terms.version) else NOTHING
    before = replace(balances.after(granted=granted), use=use)
    usage = counted(usage, quantity)
    free = _free_minutes(terms, before, usage)
    remaining = {payer_id: before.remaining(payer_id) for payer_id in before.granted}
    payers = payers_on(terms, remaining, {} if terms.version.free_order == "items" else free)
    counting = Counting(
        quantity=quantity,
        use=use.within(terms.version.monthly_items),
        free_by_item=_free_by_item(terms, before) if terms.version.free_order == "items" else None,
        ladder=terms.ladder,
    )
    if windows is not None and not quantity.is_over_items:
        usage = in_stretches(usage, windows.counted(quantity), payers, quantity, counting.use)
    rated = rate_day(usage, payers, terms.prices, counting)
    charges = list(rated.charges)
    if terms.fee is not None and _is_last_of_month(terms.day):
        charges += fee_charges(terms.fee, use.plus(charges, 0).amount)
    after = before.after(deductions=rated.deductions)
    ending = [*_ending(terms), *(_ending_free(terms, after) if _is_last_of_month(terms.day) else ())]
    lapses = {payer_id: left for payer_id in ending if (left := after.remaining(payer_id)) > 0}
    free_units = sum(each.package_minutes for each in rated.deductions if each.payer_id == free_id)
    after = replace(after.after(lapsed=lapses), use=use.plus(charges, free_units) if use is not NOTHING else use)
    return BilledDay(
        charges=charges,
        deductions=rated.deductions,
        free_grant=free_grant,
        lapses=lapses,
        balances=after,
    )


def _free_minutes(terms: DayTerms, before: Balances, usage: Sequence[WindowUsage]) -> dict[int | None, int]:
    """What is left of the month's free minutes, by app; None: of all apps together."""
    if terms.version.free_scope == "account":
        return {None: before.remaining(free_minutes_id(terms.day))}
    return {app: before.remaining(free_minutes_id(terms.day, app)) for app in sorted({row[1] for row in usage})}


def _free_by_item(terms: DayTerms, before: Balances) -> Payer:
    """The month's free minutes without what they paid before the period, or under another policy."""
    free_id = free_minutes_id(terms.day)
    paid = before.use.free_units if terms.version.quantity.period == "month" else 0
    return Payer(
        id=free_id,
        remaining=before.remaining(free_id) + paid,
        ratios=terms.version.free_ratios,
    )


def _ending(terms: DayTerms) -> list[str]:
    """The packages that are over at the end of the day."""
    return [package.id for package in terms.packages if valid_days(package, terms.zone)[1] <= terms.day]


def _is_last_of_month(day: date) -> bool:
    return (day + timedelta(days=1)).day == 1


def _ending_free(terms: DayTerms, after: Balances) -> list[str]:
    """The month's free minutes; where each app has its own, those of the apps that used some."""
    if terms.version.free_scope == "account":
        return [free_minutes_id(terms.day)]
    month = terms.day.replace(day=1)
    return [each for each in sorted(after.deducted) if (of_app := free_minutes_app(each)) and of_app[0] == month]
