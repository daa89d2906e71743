"""What a second ledger is told and keeps: charges, lines, packages, documents, accounts; and its two roundings."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from fractions import Fraction

ZERO = Fraction(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A tax from a day on."""

    tax: str
    valid_from: date
    rate: Fraction
    prices: str = "exclusive"
    rounding: str = "half_up"


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """A daily charge, as the program reports it."""

    day: date
    posted_on: date
    app: int
    item: str
    kind: str
    run: int
    unit_price: str | None
    amount: Fraction

    @property
    def month(self) -> date:
        """The month on whose document it belongs."""
        return (self.posted_on if self.kind == "correction" else self.day).replace(day=1)

    @property
    def thing(self) -> tuple[date, int, str]:
        """What it charges."""
        return self.day, self.app, self.item


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of a document; `day` decides the version of the tax. It has the sign that it has on the document."""

    kind: str
    amount: Fraction
    day: date
    app: int | None = None
    item: str | None = None
    unit_price: str | None = None
    package: str | None = None
    version: Version | None = None
    charges: tuple[Charge, ...] = ()


@dataclass(kw_only=True)
class Package:
    """A package that is billed, or was billed elsewhere; `refund` is what the next invoice gives back."""

    id: str
    account: str
    price: Fraction
    bought_on: date
    charge: str
    document: str | None = None
    refunded_on: date | None = None
    refund: Fraction = ZERO
    refund_document: str | None = None


@dataclass(kw_only=True)
class Document:
    """A document. `notes` holds, for each of its credit notes, the exact amounts by line number."""

    number: str
    account: str
    kind: str
    purpose: str
    month: date | None
    issued_on: date
    due_on: date | None
    net: Fraction
    tax: Fraction
    lines: Sequence[Line] = ()
    paid: Fraction = ZERO
    credited: Fraction = ZERO
    written_off: Fraction = ZERO
    gave_up: bool = False
    credits: str | None = None
    replaces: str | None = None
    notes: list[dict[int, Fraction]] = field(default_factory=list)

    @property
    def total(self) -> Fraction:
        return self.net + self.tax

    @property
    def open(self) -> Fraction:
        if self.kind == "credit_note":
            return ZERO
        return self.total - self.credited - self.paid - self.written_off

    def state(self, today: date) -> str:
        if self.kind == "credit_note":
            return "issued"
        if self.gave_up:
            return "written_off"
        if self.credited == self.total and self.total:
            return "credited"
        if self.open == 0:
            return "paid"
        if self.due_on and today > self.due_on:
            return "overdue"
        return "part_paid" if self.open < self.total else "issued"


def rounded(value: Fraction, digits: int, mode: str = "half_up") -> Fraction:
    """Rounded to so many decimals: half up, up or down, the same for a negative amount."""
    scaled = abs(value) * 10**digits
    whole = scaled.numerator // scaled.denominator
    rest = scaled - whole
    if (mode == "up" and rest) or (mode == "half_up" and rest >= Fraction(1, 2)):
        whole += 1
    return Fraction(whole, 10**digits) * (-1 if value < 0 else 1)


def net_and_tax(exact: Fraction, version: Version | None, digits: int) -> tuple[Fraction, Fraction]:
    """Of the exact sum of one version of a tax: one rounding of the sum, one of the tax."""
    base = rounded(exact, digits)
    if version is None:
        return base, ZERO
    if version.prices == "exclusive":
        return base, rounded(base * version.rate / 100, digits, version.rounding)
    tax = rounded(base * version.rate / (100 + version.rate), digits, version.rounding)
    return base - tax, tax


def by_version(lines: Iterable[tuple[Version | None, Fraction]]) -> dict[Version | None, Fraction]:
    sums: dict[Version | None, Fraction] = {}
    for version, amount in lines:
        sums[version] = sums.get(version, ZERO) + amount
    return sums


@dataclass(kw_only=True)
class Account:
    """A customer; `tax` has the versions of the tax that it names now, the oldest first."""

    id: str
    digits: int
    tax: tuple[Version, ...] = ()
    first_month: date
    closed: dict[date, str | None] = field(default_factory=dict)
    charges: list[Charge] = field(default_factory=list)
    credit: Fraction = ZERO

    def version_on(self, day: date) -> Version | None:
        """The last version that is valid on a day; the first for the days before it."""
        valid = [each for each in self.tax if each.valid_from <= day]
        return valid[-1] if valid else self.tax[0] if self.tax else None

    @property
    def open_month(self) -> date:
        """The month that is closed next."""
        return following(max(self.closed)) if self.closed else self.first_month


def following(month: date) -> date:
    return (month + timedelta(days=31)).replace(day=1)
