"""Documents: invoices and credit notes with their tax, as they are issued. Pure.

The lines of a document fall into groups, one for each version of a tax (lines without tax are a group of their own).
Where prices exclude tax, the exact amounts of a group are summed, the sum is rounded half up to the currency's minor
unit (the base), what that changes is a line "rounding", and the tax is taken once from the base: JPY at 10 %, rounded
down, 157.65 + 1,050.60 + 949.05 = 2,157.30, rounding -0.30, base 2,157, tax 215.7 -> 215, total 2,372. Where prices
include tax, the sum is rounded once, and the tax is gross x rate / (100 + rate).

A total below zero makes a credit note, with all signs turned. What is issued never changes: a `Document` holds all that
its pages show, and `billing.invoicing.snapshot` is the form in which it is kept.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal, localcontext
from typing import Literal

from billing.catalog.taxes import Tax, TaxVersion
from billing.invoicing.invoice import Exact, Line, Party, UsedPolicy
from billing.money import EXACT, HALF_UP, minor_digits, round_by, round_to_minor_unit

DocumentKind = Literal["invoice", "credit_note"]
INVOICE: DocumentKind = "invoice"
CREDIT_NOTE: DocumentKind = "credit_note"
Purpose = Literal["usage", "package", "credit", "reissue", "refund"]
LineKind = Literal["usage", "correction", "package", "service", "fee", "refund", "discount", "rounding"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentLine:
    """A line: `amount` is exact, but a package's or refund's has no minutes, and a rounding has the amount alone.

    `tax` and `tax_from` name the version of a tax; None: no tax. `credits_line` is the line of the credited document.
    `list_price` is per 1,000 minutes; `list_amount` + `discount` = `amount`.
    """

    line: int
    kind: LineKind
    app_id: int | None = None
    app_name: str | None = None
    item: str | None = None
    package: str | None = None
    first_day: date | None = None
    last_day: date | None = None
    seconds: int = 0
    minutes: int = 0
    deducted_minutes: int = 0
    payable_minutes: int = 0
    list_price: Exact | None = None
    unit_price: Exact | None = None
    list_amount: Exact
    discount: Exact = Decimal(0)
    amount: Exact
    tax: str | None = None
    tax_from: date | None = None
    credits_line: int | None = None

    @property
    def group(self) -> "GroupKey":
        """The tax and the first day of its version."""
        return self.tax, self.tax_from


GroupKey = tuple[str | None, date | None]
TaxCategory = Literal["S", "AE", "O", "E", "Z", "G"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaxAmount:
    """The tax of one version on a document, signed like its lines; `rate` in percent, `text` as the page shows it."""

    tax: str
    valid_from: date
    category: TaxCategory
    rate: Exact
    prices: Literal["exclusive", "inclusive"]
    rounding: Literal["half_up", "up", "down"]
    text: str
    base: Exact
    amount: Exact


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentParty:
    """The seller or the customer, as it was when the document was made; `id` is that of the catalog."""

    id: str
    name: str
    address: str | None = None
    country: str | None = None
    tax_id: str | None = None

    @property
    def party(self) -> Party:
        """Name and address."""
        return Party(name=self.name, address=self.address)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a document says beside its amounts; `timezone` is the account's, `logo` the SHA-256 of the picture,
    `rounding` that of a group's sum."""

    currency: str
    timezone: str
    language: str
    bank: str | None = None
    logo: str | None = None
    policies: tuple[UsedPolicy, ...] = ()
    contract: tuple[str, ...] = ()
    rounding: str = HALF_UP


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """An invoice or a credit note; without `number` a draft. Amounts of a credit note are positive.

    `month` is the first day of the month billed. `credits` is the number of the document that a credit note is for,
    `replaces` that of the invoice in whose place a reissued one stands, `reason` why. `last_run` is the last run of the
    books that it knows of, and `seal` the head of the account's chain of sealed days at that moment
    (`billing.ledger.day_seals`).
    """

    number: str | None = None
    kind: DocumentKind
    purpose: Purpose
    month: date | None
    issued_on: date | None
    due_on: date | None
    seller: DocumentParty
    customer: DocumentParty
    terms: Terms
    lines: tuple[DocumentLine, ...]
    taxes: tuple[TaxAmount, ...]
    net: Exact
    tax: Exact
    total: Exact
    credits: str | None = None
    replaces: str | None = None
    reason: str | None = None
    last_run: int | None = None
    seal: str | None = None

    def __post_init__(self) -> None:
        with localcontext(EXACT):
            lines = sum((line.amount for line in self.lines), Decimal(0))
            inclusive = sum((tax.amount for tax in self.taxes if tax.prices == "inclusive"), Decimal(0))
            if self.net + self.tax != self.total or lines != self.net + inclusive:
                raise ValueError(f"{self.number or 'the draft'} does not add up: {lines}, {self.net}, {self.total}")

    @property
    def is_credit_note(self) -> bool:
        """Whether its amounts are the customer's."""
        return self.kind == CREDIT_NOTE

    @property
    def signed_total(self) -> Decimal:
        """What the customer owes by it; negative for a credit note."""
        return -self.total if self.is_credit_note else self.total


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The sums of the lines of one version of a tax: `exact` + `rounding` = `net`, or = `net` + `tax` (inclusive)."""

    key: GroupKey
    version: TaxVersion | None
    exact: Decimal
    net: Decimal
    tax: Decimal

    @property
    def rounding(self) -> Decimal:
        """What the one rounding of the sum adds."""
        with localcontext(EXACT):
            return self.net + (self.tax if self.is_inclusive else 0) - self.exact

    @property
    def is_inclusive(self) -> bool:
        """Whether the lines hold the tax."""
        return self.version is not None and self.version.prices == "inclusive"


def group_amounts(
    exact: Decimal, version: TaxVersion | None, currency: str, rounding: str = HALF_UP
) -> tuple[Decimal, Decimal]:
    """Net and tax of the exact sum of a group's lines."""
    digits = minor_digits(currency)
    rounded = round_to_minor_unit(exact, currency, rounding) + 0  # plus 0 takes the sign from a zero
    if version is None:
        return rounded, Decimal(0)
    if version.prices == "exclusive":
        return rounded, round_by(version.rounding, rounded * version.rate, Decimal(100), digits)
    tax = round_by(version.rounding, rounded * version.rate, 100 + version.rate, digits)
    return rounded - tax, tax


def group_of(tax: Tax | None, day: date) -> GroupKey:
    """The group of a line whose last service day this is."""
    return (tax.id, tax.version_on(day).valid_from) if tax else (None, None)


def groups(lines: Iterable[DocumentLine], taxes: Sequence[Tax], currency: str, rounding: str = HALF_UP) -> list[Group]:
    """The groups of lines in the order of their versions, the one without tax last."""
    versions: dict[GroupKey, TaxVersion] = {(tax.id, each.valid_from): each for tax in taxes for each in tax.versions}
    sums: dict[GroupKey, Decimal] = {}
    with localcontext(EXACT):
        for line in lines:
            sums[line.group] = sums.get(line.group, Decimal(0)) + line.amount
    return [make_group(key, versions.get(key), sums[key], currency, rounding) for key in sorted(sums, key=group_place)]


def make_group(
    key: GroupKey, version: TaxVersion | None, exact: Decimal, currency: str, rounding: str = HALF_UP
) -> Group:
    """A group of the exact sum of its lines."""
    net, tax = group_amounts(exact, version, currency, rounding)
    return Group(key=key, version=version, exact=exact, net=net, tax=tax)


def group_place(key: GroupKey) -> tuple[bool, str, date]:
    """The order of groups on a document."""
    tax, valid_from = key
    return tax is None, tax or "", valid_from or date.min


def make_document(
    purpose: Purpose,
    lines: Iterable[DocumentLine],
    groups: Sequence[Group],
    *,
    month: date | None,
    seller: DocumentParty,
    customer: DocumentParty,
    terms: Terms,
) -> Document:
    """The draft of a document from its lines (without rounding) and their groups.

    A total below zero turns all signs: it is a credit note.
    """
    with localcontext(EXACT):
        net = sum((group.net for group in groups), Decimal(0))
        tax = sum((group.tax for group in groups), Decimal(0))
    drafted = Document(
        kind="invoice",
        purpose=purpose,
        month=month,
        issued_on=None,
        due_on=None,
        seller=seller,
        customer=customer,
        terms=terms,
        lines=tuple(_numbered([*lines, *_rounding_lines(groups)])),
        taxes=tuple(_tax_amounts(groups)),
        net=net,
        tax=tax,
        total=net + tax,
    )
    return turned(drafted) if drafted.total < 0 else drafted


def turned(document: Document) -> Document:
    """The same with all signs turned: what was owed is given back, and the other way round."""
    return replace(
        document,
        kind=INVOICE if document.is_credit_note else CREDIT_NOTE,
        lines=tuple(turned_line(line) for line in document.lines),
        taxes=tuple(replace(tax, base=_minus(tax.base), amount=_minus(tax.amount)) for tax in document.taxes),
        net=_minus(document.net),
        tax=_minus(document.tax),
        total=_minus(document.total),
    )


def turned_line(line: DocumentLine) -> DocumentLine:
    """A line with its signs turned."""
    return replace(
        line,
        seconds=-line.seconds,
        minutes=-line.minutes,
        deducted_minutes=-line.deducted_minutes,
        payable_minutes=-line.payable_minutes,
        list_amount=_minus(line.list_amount),
        discount=_minus(line.discount),
        amount=_minus(line.amount),
    )


def usage_line(line: Line, tax: Tax | None) -> DocumentLine:
    """A line of a month's usage or corrections, in the group of its last service day."""
    named, valid_from = group_of(tax, line.last_day)
    return DocumentLine(
        line=0,
        kind=line.kind,
        app_id=line.app_id or None,
        app_name=line.app_name,
        item=line.item,
        first_day=line.first_day,
        last_day=line.last_day,
        seconds=line.seconds,
        minutes=line.minutes,
        deducted_minutes=line.deducted_minutes,
        payable_minutes=line.payable_minutes,
        list_price=line.list_price,
        unit_price=line.unit_price,
        list_amount=line.list_amount,
        discount=line.discount,
        amount=line.amount,
        tax=named,
        tax_from=valid_from,
    )


def _rounding_lines(groups: Iterable[Group]) -> Iterator[DocumentLine]:
    for group in groups:
        if group.rounding:
            tax, valid_from = group.key
            yield DocumentLine(
                line=0,
                kind="rounding",
                list_amount=group.rounding,
                amount=group.rounding,
                tax=tax,
                tax_from=valid_from,
            )


def _numbered(lines: Iterable[DocumentLine]) -> Iterator[DocumentLine]:
    return (replace(line, line=number) for number, line in enumerate(lines, 1))


def _tax_amounts(groups: Iterable[Group]) -> Iterator[TaxAmount]:
    for group in groups:
        (tax, _), version = group.key, group.version
        if tax is not None and version is not None:
            yield TaxAmount(
                tax=tax,
                valid_from=version.valid_from,
                category=version.category,
                rate=version.rate,
                prices=version.prices,
                rounding=version.rounding,
                text=version.text,
                base=group.net,
                amount=group.tax,
            )


def _minus(amount: Decimal) -> Decimal:
    return -amount if amount else amount
