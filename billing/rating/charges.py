"""Charges: what a day costs, one line per app and item.

The seconds of a day become minutes per app and item, rounded up once: 59 s of audio and 61 s of video are 1 + 2
minutes. What neither free minutes nor packages pay is payable at the price of one minute; the amount is exact, never
rounded.

Other policies count otherwise (`billing.catalog.quantities`). Over a month, a day has the difference that it makes to
the month; a graduated price has one line per slab; and a line may be below zero, because what the day uses can push an
item out of the month's free minutes, or into another slab.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from billing.catalog.items import ITEM_RANK, WindowUsage
from billing.catalog.quantities import ALL_APPS, DAILY, Quantity
from billing.errors import BillingError
from billing.money import EXACT
from billing.rating.deductions import Deduction, deduct, minutes_by_window
from billing.rating.payers import Payer
from billing.rating.period_use import NOTHING, Cell, PeriodUse, by_slab, free_minutes_of, in_item_order


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """A day's use of one item in one app. `minutes = deducted_minutes + payable_minutes`, all minutes of usage, or
    whatever units the policy counts. `app_id` may be `ALL_APPS`. `slab`: which part of a graduated price, from 0."""

    app_id: int
    item: str
    seconds: int
    minutes: int
    deducted_minutes: int
    payable_minutes: int
    unit_price: Decimal
    amount: Decimal
    slab: int = 0

    def __post_init__(self) -> None:
        if self.minutes != self.deducted_minutes + self.payable_minutes:
            raise ValueError(f"{self} has minutes that neither a package nor the customer pays")
        if self.amount != EXACT.multiply(self.payable_minutes, self.unit_price):
            raise ValueError(f"{self} has an amount that is not payable minutes x unit price")


@dataclass(frozen=True, slots=True, kw_only=True)
class PostedCharge:
    """A charge as it stands in the books. `list_price` is per minute, before the contract; None: there is none.

    A correction is signed, stands in the month of `posted_on`, and says why (`cause`) and what it corrects
    (`corrects_run_id`; None: the day came before the first billed one).
    """

    day: date
    kind: str
    run_id: int
    corrects_run_id: int | None = None
    posted_on: date
    cause: str | None = None
    currency: str
    list_price: Decimal | None
    charge: Charge


@dataclass(frozen=True, slots=True, kw_only=True)
class RatedDay:
    """A day in money: its charges by app and item, and which payer paid which minutes."""

    charges: list[Charge]
    deductions: list[Deduction]


@dataclass(frozen=True, slots=True, kw_only=True)
class Counting:
    """How a day is counted: the rule from seconds to minutes, the `use` of the period before the day, and free minutes
    which pay the items of the period in their order. `ladder`: the slabs of the price, (top, price by item)."""

    quantity: Quantity = DAILY
    use: PeriodUse = NOTHING
    free_by_item: Payer | None = None
    ladder: Sequence[tuple[int | None, Mapping[str, Decimal]]] = ()


def rate_day(
    usage: Sequence[WindowUsage],
    payers: Sequence[Payer],
    prices: Mapping[str, Decimal],
    counting: Counting = Counting(),
) -> RatedDay:
    """The charges and deductions of one account's day.

    `usage` holds each (window, app, item) once, in any order, as it is counted (`deductions.counted`); `payers` come in
    the order in which they pay; `prices` are per minute, 8 decimals. An item in use without a price: a `BillingError`.
    """
    quantity, use = counting.quantity, counting.use
    seconds: dict[Cell, int] = {}
    for _, app_id, item, used_seconds in usage:
        seconds[app_id, item] = seconds.get((app_id, item), 0) + used_seconds
    day_start = min((row[0] for row in usage), default=0)
    is_one_row_a_cell = len(seconds) == len(usage)
    whole_day = usage if is_one_row_a_cell else [WindowUsage(day_start, *cell, used) for cell, used in seconds.items()]
    of_day = list(minutes_by_window(whole_day, use.seconds_by_group(quantity), quantity))
    minutes: Counter[Cell] = Counter()
    for _, app_id, item, added in of_day:
        minutes[app_id, item] += added
    if counting.free_by_item is not None:
        free = _free_by_item(counting.free_by_item, use, minutes, day_start)
        rest = minutes.copy()
        for each in free:
            rest[each.app_id, each.item] -= each.minutes
        # What free minutes pay more than the day uses was paid before: it is payable no more, and no package's.
        unpaid = [(day_start, *cell, rest[cell]) for cell in sorted(rest, key=_place) if rest[cell] > 0]
        deductions = [*free, *deduct(unpaid, payers)]
    else:
        by_window = of_day if is_one_row_a_cell else minutes_by_window(usage, use.seconds_by_group(quantity), quantity)
        deductions = deduct(by_window, payers) if payers else []
    deducted: Counter[Cell] = Counter()
    for _, app_id, item, _, paid, _ in deductions:
        deducted[app_id, item] += paid
    day = _DayCells(seconds=seconds, minutes=minutes, deducted=deducted)
    return RatedDay(charges=list(_charges(day, prices, counting)), deductions=deductions)


@dataclass(frozen=True, slots=True, kw_only=True)
class _DayCells:
    """What a day adds to each app and item."""

    seconds: Mapping[Cell, int]
    minutes: Counter[Cell]
    deducted: Counter[Cell]

    @property
    def cells(self) -> list[Cell]:
        """In the order of lines."""
        return sorted(self.seconds.keys() | {cell for cell, paid in self.deducted.items() if paid}, key=_place)

    def payable(self, cell: Cell) -> int:
        """The minutes that nobody else pays."""
        return self.minutes[cell] - self.deducted[cell]


def _place(cell: Cell) -> tuple[int, int]:
    return cell[0], ITEM_RANK[cell[1]]


def _free_by_item(free: Payer, use: PeriodUse, minutes: Counter[Cell], day_start: int) -> list[Deduction]:
    """What the day changes of what the month's free minutes pay. `free.remaining`: all that they have in the month for
    the items of this policy."""
    before = {cell: each.units for cell, each in use.cells.items()}
    after = Counter(before) + minutes
    was, now = (free_minutes_of(units, free.remaining, free.ratios) for units in (before, after))
    changes = {cell: now.get(cell, 0) - was.get(cell, 0) for cell in in_item_order(now.keys() | was.keys())}
    return [
        Deduction(day_start, *cell, free.id, change, change * free.ratios[cell[1]])
        for cell, change in changes.items()
        if change
    ]


def _charges(day: _DayCells, prices: Mapping[str, Decimal], counting: Counting) -> Iterator[Charge]:
    if not counting.ladder:
        for cell in day.cells:
            yield _charge(day, cell, _price(cell, day, prices), day.payable(cell))
        return
    tops = [top for top, _ in counting.ladder]
    before = {cell: each.payable for cell, each in counting.use.cells.items()}
    after = {cell: before.get(cell, 0) + day.payable(cell) for cell in before.keys() | set(day.cells)}
    was, now = by_slab(before, tops), by_slab(after, tops)
    for cell in sorted(after, key=_place):
        changes = {slab: now[cell, slab] - was[cell, slab] for slab in range(len(tops))}
        # Seconds and minutes that others pay stand on the first line.
        slabs = [slab for slab, change in changes.items() if change]
        if not slabs and cell in day.cells:
            slabs = [max((slab for slab in changes if now[cell, slab]), default=0)]
        for slab in slabs:
            price = _price(cell, day, counting.ladder[slab][1])
            is_first = slab == slabs[0]
            yield _charge(day, cell, price, changes[slab], slab=slab, is_first=is_first)


def _price(cell: Cell, day: _DayCells, prices: Mapping[str, Decimal]) -> Decimal:
    app_id, item = cell
    if item not in prices:
        who = "the account" if app_id == ALL_APPS else f"app {app_id}"
        raise BillingError(
            f"{who} used {day.minutes[cell]} minutes of {item}, which has no price in the account's currency: "
            f"add {item} to the prices of a contract that is valid on that day, then bill again"
        )
    return prices[item]


def _charge(
    day: _DayCells, cell: Cell, unit_price: Decimal, payable: int, *, slab: int = 0, is_first: bool = True
) -> Charge:
    deducted = day.deducted[cell] if is_first else 0
    return Charge(
        app_id=cell[0],
        item=cell[1],
        seconds=day.seconds.get(cell, 0) if is_first else 0,
        minutes=payable + deducted,
        deducted_minutes=deducted,
        payable_minutes=payable,
        unit_price=unit_price,
        amount=EXACT.multiply(payable, unit_price),
        slab=slab,
    )
