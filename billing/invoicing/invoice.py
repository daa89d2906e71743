"""The invoice of one account and month: parties, lines, rounding and total.

One line per kind, app, item and unit price. Every amount is exact (payable minutes x unit price); the sum is rounded
once, half up, to the currency's minor unit, and the difference is a line of its own, "Rounding":
0.2394 + 3.8376 + 0.0594 = 4.1364, rounding +0.0036, total 4.14 USD. What a contract takes off is shown against the list
price: list amount + contract discount = amount.

An invoice repeats what it needs (names, addresses, terms), holds no day-by-day facts and can be stored: `to_json` and
`from_json`. This is a draft: it has no number. A month that is not finished is billed as far as it is settled.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, localcontext
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Literal

from billing.catalog.catalog import Account
from billing.catalog.contracts import Contract, contract_on
from billing.catalog.items import ITEM_RANK
from billing.catalog.policies import Policy, PolicyVersion
from billing.catalog.sellers import Seller
from billing.money import EXACT, HALF_UP, plain, round_to_minor_unit
from billing.periods import month_days
from billing.rating.charges import PostedCharge

# pydantic takes 0.15 s to load and prepare, and only what is stored and read back needs it.
if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, TypeAdapter
    from pydantic_core import CoreSchema


class _AsText:
    """How pydantic writes a decimal: as its exact text."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: "GetCoreSchemaHandler") -> "CoreSchema":
        from pydantic_core import core_schema

        written = core_schema.plain_serializer_function_ser_schema(plain, when_used="json")
        return core_schema.no_info_after_validator_function(_itself, handler(source), serialization=written)


def _itself(value: Decimal) -> Decimal:
    return value


# A decimal, stored as its exact text.
Exact = Annotated[Decimal, _AsText]


@dataclass(frozen=True, slots=True, kw_only=True)
class BilledMonth:
    """What an invoice is made from: an account's month as the ledger holds it, `month` being its first day.

    `days` are the settled ones, `apps` the names of the account's apps, `policies` the versions that priced the days.
    `charges` are those of the days, and the corrections posted in the month, whatever day they correct.
    """

    account: Account
    seller: Seller | None = None
    month: date
    days: Sequence[date]
    apps: Mapping[int, str]
    charges: Sequence[PostedCharge]
    contracts: Sequence[Contract] = ()
    policies: Sequence[tuple[Policy, PolicyVersion]]

    @property
    def rounding(self) -> str:
        """How the total is rounded: as the last policy says that priced a day."""
        return self.policies[-1][1].rounding if self.policies else HALF_UP

    @property
    def usage(self) -> list[PostedCharge]:
        """The charges that the days were settled with."""
        return [posted for posted in self.charges if posted.kind == "usage"]

    @property
    def corrections(self) -> list[PostedCharge]:
        """The corrections posted in the month."""
        return [posted for posted in self.charges if posted.kind == "correction"]

    def list_price(self, posted: PostedCharge) -> Decimal | None:
        """Per 1,000 minutes; None where the contract sets a price of its own."""
        contract = contract_on(posted.day, self.contracts)
        has_own_price = contract is not None and posted.charge.item in contract.prices
        return None if has_own_price or posted.list_price is None else posted.list_price * 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """The seller or the customer, as it was when the invoice was made."""

    name: str
    address: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UsedPolicy:
    """A policy version that priced days of the month; `hash` identifies the policy's data."""

    id: str
    name: str
    valid_from: date
    hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What is billed: the month (its first day) of an account, whose local days in `timezone` are the billing days.

    `billed_through` is the last of the `days_billed` settled days, None when there is none. `contract` has the terms of
    each contract that held, in words.
    """

    month: date
    account_id: str
    currency: str
    timezone: str
    days_billed: int
    billed_through: date | None
    policies: tuple[UsedPolicy, ...]
    contract: tuple[str, ...]

    @property
    def is_finished(self) -> bool:
        """Whether the month's last day is settled."""
        return self.billed_through == month_days(self.month)[-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One kind, app, item and unit price: `amount` = payable minutes x unit price = `list_amount` + `discount`.

    `list_price` (per 1,000 minutes) is None where the contract sets a price of its own, or where several held. The days
    of a correction are those corrected; its numbers are signed, and all 0 where only who pays has changed.
    """

    kind: Literal["usage", "correction"]
    app_id: int
    app_name: str
    item: str
    first_day: date
    last_day: date
    seconds: int
    minutes: int
    deducted_minutes: int
    payable_minutes: int
    list_price: Exact | None
    unit_price: Exact
    list_amount: Exact
    discount: Exact
    amount: Exact


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """`list_amount` + `discount` = `subtotal`, `subtotal` + `rounding` = `total`."""

    list_amount: Exact
    discount: Exact
    subtotal: Exact
    rounding: Exact
    total: Exact

    def __post_init__(self) -> None:
        with localcontext(EXACT):
            if self.list_amount + self.discount != self.subtotal or self.subtotal + self.rounding != self.total:
                raise ValueError(f"{self} do not add up")


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoice:
    """A draft invoice."""

    header: Header
    seller: Party | None
    customer: Party
    lines: tuple[Line, ...]
    totals: Totals

    def to_json(self) -> str:
        """The canonical JSON text: equal invoices give equal texts, and decimals are exact text."""
        values = _stored().dump_python(self, mode="json")
        return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=True)

    @staticmethod
    def from_json(text: str) -> "Invoice":
        """The invoice that `to_json` wrote; a `ValueError` when it is none."""
        return _stored().validate_json(text, strict=True)


@cache
def _stored() -> "TypeAdapter[Invoice]":
    from pydantic import TypeAdapter

    return TypeAdapter(Invoice)


def make_invoice(month: BilledMonth) -> Invoice:
    """The invoice that the charges and corrections of a month add up to."""
    lines = tuple(line for line, _ in month_lines(month))
    seller = month.seller
    return Invoice(
        header=make_header(month),
        seller=Party(name=seller.name, address=seller.address) if seller else None,
        customer=Party(name=month.account.name, address=month.account.address),
        lines=lines,
        totals=_totals(lines, month.account.currency, month.rounding),
    )


def make_header(month: BilledMonth) -> Header:
    """What a month is billed under."""
    return Header(
        month=month.month,
        account_id=month.account.id,
        currency=month.account.currency,
        timezone=month.account.timezone,
        days_billed=len(set(month.days)),
        billed_through=max(month.days, default=None),
        policies=tuple(
            UsedPolicy(id=policy.id, name=policy.name, valid_from=version.valid_from, hash=policy.hash)
            for policy, version in month.policies
        ),
        contract=tuple(_terms_in_words(contract) for contract in _held(month)),
    )


def _held(month: BilledMonth) -> list[Contract]:
    """The contracts that held on a day of the month, in order."""
    held = {contract.valid_from: contract for day in month.days if (contract := contract_on(day, month.contracts))}
    return [held[valid_from] for valid_from in sorted(held)]


def _terms_in_words(contract: Contract) -> str:
    terms = [f"list prices x {plain(contract.discount)}"] if contract.discount is not None else []
    terms += [f"{item} {plain(price)} per 1,000 minutes" for item, price in contract.prices.items()]
    return f"from {contract.valid_from}: {', '.join(terms)}"


def _totals(lines: Sequence[Line], currency: str, rounding: str) -> Totals:
    with localcontext(EXACT):
        list_amount = sum((line.list_amount for line in lines), Decimal(0))
        subtotal = sum((line.amount for line in lines), Decimal(0))
        # Plus 0 takes the sign from a credit that rounds to nothing.
        total = round_to_minor_unit(subtotal, currency, rounding) + 0
        return Totals(
            list_amount=list_amount,
            discount=subtotal - list_amount,
            subtotal=subtotal,
            rounding=total - subtotal,
            total=total,
        )


def month_lines(
    month: BilledMonth, part_of: Callable[[PostedCharge], object] = lambda _: None
) -> list[tuple[Line, Sequence[PostedCharge]]]:
    """The lines of a month in their order, each with its charges; those that differ in `part_of` share no line."""
    groups: dict[tuple[object, ...], list[PostedCharge]] = {}
    for posted in sorted(month.charges, key=lambda posted: posted.day):
        charge = posted.charge
        key = posted.kind, charge.app_id, charge.item, charge.unit_price, part_of(posted)
        groups.setdefault(key, []).append(posted)
    return sorted(((_line(month, group), group) for group in groups.values()), key=lambda pair: _place(pair[0]))


def _place(line: Line) -> tuple[bool, int, int, date, Decimal]:
    """Usage before corrections; within an item in the order of first use, so that price changes read old to new."""
    return line.kind == "correction", line.app_id, ITEM_RANK[line.item], line.first_day, line.unit_price


def _line(month: BilledMonth, posted: Sequence[PostedCharge]) -> Line:
    """The line of charges that share kind, app, item and unit price and are in the order of their days."""
    first, charges = posted[0], [each.charge for each in posted]
    list_prices = [month.list_price(each) for each in posted]
    with localcontext(EXACT):
        amount = sum((charge.amount for charge in charges), Decimal(0))
        list_amount = sum(map(_list_amount, posted, list_prices), Decimal(0))
        discount = amount - list_amount
    return Line(
        kind="correction" if first.kind == "correction" else "usage",
        app_id=first.charge.app_id,
        app_name=month.apps[first.charge.app_id],
        item=first.charge.item,
        first_day=first.day,
        last_day=posted[-1].day,
        seconds=sum(charge.seconds for charge in charges),
        minutes=sum(charge.minutes for charge in charges),
        deducted_minutes=sum(charge.deducted_minutes for charge in charges),
        payable_minutes=sum(charge.payable_minutes for charge in charges),
        list_price=_only(list_prices),
        unit_price=first.charge.unit_price,
        list_amount=list_amount,
        discount=discount,
        amount=amount,
    )


def _list_amount(posted: PostedCharge, list_price: Decimal | None) -> Decimal:
    """The charge at the list price; a price of the contract's own has none to be compared with."""
    charge = posted.charge
    return charge.amount if list_price is None else charge.payable_minutes * list_price.scaleb(-3)


def _only(prices: Iterable[Decimal | None]) -> Decimal | None:
    several = set(prices)
    return several.pop() if len(several) == 1 else None
