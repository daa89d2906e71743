"""The invoice of one account and month: its lines, the subtotal, the rounding and the total.

One line per app, item and unit price. Every amount is exact (payable minutes x unit price); the sum is rounded once,
half up, to the currency's minor unit, and the difference is a line of its own, "Rounding":
0.2394 + 3.8376 + 0.0594 = 4.1364, rounding +0.0036, total 4.14 USD. What a contract takes off is shown against the list
price: list amount + contract discount = amount.

This is a draft: it has no number and nothing is stored. A month that is not finished is billed as far as it is settled.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, localcontext
from typing import NamedTuple

from billing.money import EXACT, round_to_minor_unit
from billing.periods import month_days


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """Who sends the invoice."""

    name: str
    address: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BilledAccount:
    """Who is billed; `timezone` is an IANA name and its local days are the billing days."""

    id: str
    name: str
    address: str | None = None
    currency: str
    timezone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DayCharge:
    """The charge of one app, item and billing day.

    `list_price` is per 1,000 minutes, None where the contract sets a price of its own; `unit_price` is per minute,
    after the contract.
    """

    day: date
    app_id: int
    item: str
    seconds: int
    minutes: int
    deducted_minutes: int
    payable_minutes: int
    list_price: Decimal | None
    unit_price: Decimal
    amount: Decimal

    def __post_init__(self) -> None:
        _check_charge(self)


def _check_charge(charge: "Charge") -> None:
    if charge.minutes != charge.deducted_minutes + charge.payable_minutes:
        raise ValueError(f"{charge} has minutes that neither a package nor the customer pays")
    with localcontext(EXACT):
        if charge.amount != charge.payable_minutes * charge.unit_price:
            raise ValueError(f"{charge} has an amount that is not payable minutes x unit price")


class WindowSeconds(NamedTuple):
    """Seconds of one app and item in one window, which starts at epoch second `window_start` of billing day `day`."""

    app_id: int
    window_start: int
    day: date
    item: str
    seconds: int


class ReasonSeconds(NamedTuple):
    """Seconds of one app, day and item that are what they are for one reason."""

    app_id: int
    day: date
    item: str
    reason: str
    seconds: int


class WindowDeduction(NamedTuple):
    """Usage minutes that a payer (a package or a month's free minutes) paid in a window, and what it gave for them."""

    day: date
    app_id: int
    window_start: int
    item: str
    minutes: int
    package_units: int
    payer_id: str


class CorrectedDeduction(NamedTuple):
    """Signed: usage minutes of a correction's day, app and item that a payer pays more or less, and its minutes."""

    payer_id: str
    minutes: int
    package_units: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """What a later run found different in the charge of one app, item and settled day; every number is signed.

    `day` is the day corrected, `posted_on` the day in whose month the correction is charged. `run` found it; it
    corrects what `corrects_run` and the corrections since then say, None for a day before the first billed one.
    `deducted` has the payers whose minutes have changed: seconds, minutes and money may all be the same. `list_price`
    and `unit_price` are those of `DayCharge`.
    """

    day: date
    app_id: int
    item: str
    seconds: int
    minutes: int
    deducted_minutes: int
    payable_minutes: int
    list_price: Decimal | None
    unit_price: Decimal
    amount: Decimal
    run: int
    corrects_run: int | None
    posted_on: date
    cause: str
    deducted: tuple[CorrectedDeduction, ...]

    def __post_init__(self) -> None:
        _check_charge(self)
        if self.deducted_minutes != sum(deduction.minutes for deduction in self.deducted):
            raise ValueError(f"{self} has deducted minutes that are not those of its payers")
        if any(deduction.minutes == deduction.package_units == 0 for deduction in self.deducted):
            raise ValueError(f"{self} names a payer for which nothing has changed")


Charge = DayCharge | Correction


class CorrectionWindow(NamedTuple):
    """Signed seconds that run `run` found more or less in one window of billing day `day`."""

    run: int
    app_id: int
    window_start: int
    day: date
    item: str
    seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageBalance:
    """A package's minutes as of `Facts.balances_on`, valid `[valid_from, expires_at)`; `app_id` None: for every app.

    Corrections posted up to that day are counted in; `deducted_this_month` is what the month's days took and what the
    corrections posted in the month added or took back.
    """

    id: str
    app_id: int | None
    valid_from: datetime
    expires_at: datetime
    granted: int
    deducted: int
    lapsed: int
    remaining: int
    deducted_this_month: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemPrice:
    """An item of a policy version: top area in pixels (None: no bound), price per 1,000 minutes, package ratios."""

    item: str
    top_area: int | None
    price: Decimal | None
    ratio: int | None
    free_ratio: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyPrices:
    """A policy version that priced days of the month; `hash` identifies the policy's data."""

    id: str
    name: str
    valid_from: date
    hash: str
    items: tuple[ItemPrice, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is stored about an account and month: `month` its first day, `days` the settled ones; rows in any order.

    Charges, windows, reasons and deductions are what the days were settled with. Corrections are those posted in the
    month, whatever day they correct.
    """

    account: BilledAccount
    seller: Party | None = None
    month: date
    days: Sequence[date]
    # Every item there is, in the order in which they are shown.
    item_order: Sequence[str]
    apps: Mapping[int, str]
    charges: Sequence[DayCharge]
    windows: Sequence[WindowSeconds]
    reasons: Sequence[ReasonSeconds]
    deductions: Sequence[WindowDeduction]
    corrections: Sequence[Correction] = ()
    correction_windows: Sequence[CorrectionWindow] = ()
    packages: Sequence[PackageBalance]
    # The day as of whose end the packages' balances are.
    balances_on: date | None = None
    policies: Sequence[PolicyPrices]
    # The contract's terms in words, one line each.
    contract: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One app, item and unit price: `amount` = payable minutes x unit price = `list_amount` + `discount`.

    `list_price` (per 1,000 minutes) is None where the contract sets a price of its own, or where several held. The days
    of a correction are those corrected; its numbers are signed, and all 0 where only who pays has changed.
    """

    is_correction: bool
    app_id: int
    item: str
    first_day: date
    last_day: date
    seconds: int
    minutes: int
    deducted_minutes: int
    payable_minutes: int
    list_price: Decimal | None
    unit_price: Decimal
    list_amount: Decimal
    discount: Decimal
    amount: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoice:
    """A draft invoice; `subtotal` + `rounding` = `total`, `list_amount` + `discount` = `subtotal`."""

    facts: Facts
    # The items of the policies and whatever else was used or corrected, in the order of `Facts.item_order`.
    items: tuple[str, ...]
    lines: tuple[Line, ...]
    list_amount: Decimal
    discount: Decimal
    subtotal: Decimal
    rounding: Decimal
    total: Decimal

    @property
    def billed_through(self) -> date | None:
        """The last settled day of the month, None when there is none."""
        return max(self.facts.days, default=None)

    @property
    def is_finished(self) -> bool:
        """Whether the month's last day is settled."""
        return self.billed_through == month_days(self.facts.month)[-1]

    @property
    def has_corrections(self) -> bool:
        """Whether anything was corrected in the month, be it only in which window seconds were used."""
        return bool(self.facts.corrections or self.facts.correction_windows)


def make_invoice(facts: Facts) -> Invoice:
    """The invoice that the stored facts of a month add up to."""
    lines = _lines(facts)
    with localcontext(EXACT):
        list_amount = sum((line.list_amount for line in lines), Decimal(0))
        subtotal = sum((line.amount for line in lines), Decimal(0))
        # Plus 0 takes the sign from a credit that rounds to nothing.
        total = round_to_minor_unit(subtotal, facts.account.currency) + 0
        return Invoice(
            facts=facts,
            items=_items(facts),
            lines=lines,
            list_amount=list_amount,
            discount=subtotal - list_amount,
            subtotal=subtotal,
            rounding=total - subtotal,
            total=total,
        )


def _items(facts: Facts) -> tuple[str, ...]:
    shown = {price.item for policy in facts.policies for price in policy.items}
    shown |= {charge.item for charge in facts.charges} | {window.item for window in facts.windows}
    shown |= {correction.item for correction in facts.corrections} | {row.item for row in facts.correction_windows}
    return tuple(item for item in facts.item_order if item in shown)


def _lines(facts: Facts) -> tuple[Line, ...]:
    order = {item: place for place, item in enumerate(facts.item_order)}
    groups: dict[tuple[bool, int, int, Decimal], list[Charge]] = {}
    charges: list[Charge] = [*facts.charges, *facts.corrections]
    for charge in sorted(charges, key=lambda charge: charge.day):
        key = isinstance(charge, Correction), charge.app_id, order[charge.item], charge.unit_price
        groups.setdefault(key, []).append(charge)
    # Within an item in the order of first use, so that a price change reads from old to new.
    return tuple(
        sorted(
            map(_line, groups.values()),
            key=lambda line: (line.is_correction, line.app_id, order[line.item], line.first_day, line.unit_price),
        )
    )


def _line(charges: Sequence[Charge]) -> Line:
    """The line of charges that share kind, app, item and unit price and are in the order of their days."""
    first = charges[0]
    with localcontext(EXACT):
        amount = sum((charge.amount for charge in charges), Decimal(0))
        list_amount = sum(map(_list_amount, charges), Decimal(0))
        discount = amount - list_amount
    return Line(
        is_correction=isinstance(first, Correction),
        app_id=first.app_id,
        item=first.item,
        first_day=first.day,
        last_day=charges[-1].day,
        seconds=sum(charge.seconds for charge in charges),
        minutes=sum(charge.minutes for charge in charges),
        deducted_minutes=sum(charge.deducted_minutes for charge in charges),
        payable_minutes=sum(charge.payable_minutes for charge in charges),
        list_price=_only(charge.list_price for charge in charges),
        unit_price=first.unit_price,
        list_amount=list_amount,
        discount=discount,
        amount=amount,
    )


def _list_amount(charge: Charge) -> Decimal:
    """What the charge would be at the list price; a price of the contract's own has none to be compared with."""
    return charge.amount if charge.list_price is None else charge.payable_minutes * charge.list_price.scaleb(-3)


def _only(prices: Iterable[Decimal | None]) -> Decimal | None:
    several = set(prices)
    return several.pop() if len(several) == 1 else None
