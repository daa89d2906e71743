"""What UBL sums: lines rounded one by one, and the groups of lines of one category and rate of tax.

A document has a group for each *version* of a tax, EN 16931 one for each category and rate: versions that agree in both
are one group here, and its base and tax are their sums. Lines without tax are out of scope (category O).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from xml.etree.ElementTree import Element

from billing.invoicing.documents import Document, DocumentLine, GroupKey, TaxAmount
from billing.invoicing.ubl_words import cbc
from billing.money import minor_digits, round_half_up

OUT_OF_SCOPE = "O"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaxGroup:
    """The lines of one category and rate, without roundings; `base` and `tax` are those of the document."""

    category: str
    rate: Decimal
    text: str | None
    lines: Sequence[DocumentLine]
    base: Decimal
    tax: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Amounts:
    """Amounts in the minor units of a currency."""

    currency: str

    def rounded(self, amount: Decimal) -> Decimal:
        """The amount of one line (plus 0 takes the sign from a zero)."""
        return round_half_up(amount, minor_digits(self.currency)) + 0

    def exact_element(self, name: str, amount: Decimal) -> Element:
        """An amount with all its decimals."""
        return cbc(name, f"{amount:f}", {"currencyID": self.currency})

    def element(self, name: str, amount: Decimal) -> Element:
        """An amount with the decimals of the currency: 2157.00 in EUR."""
        return self.exact_element(name, self.rounded(amount))

    def sum_of(self, lines: Iterable[DocumentLine]) -> Decimal:
        """The sum of lines, each rounded by itself."""
        return total(self.rounded(line.amount) for line in lines)

    def rounding(self, group: TaxGroup) -> Decimal:
        """What the one rounding of the document differs by from that of each line: 2,157 - 2,158 = -1."""
        return group.base - self.sum_of(group.lines)


def tax_groups(document: Document) -> list[TaxGroup]:
    """The groups in the order of the document's taxes."""
    versions: dict[GroupKey, TaxAmount] = {(tax.tax, tax.valid_from): tax for tax in document.taxes}
    groups: dict[tuple[str, Decimal], list[DocumentLine]] = {(tax.category, tax.rate): [] for tax in document.taxes}
    for line in document.lines:
        version = versions.get(line.group)
        key = (version.category, version.rate) if version else (OUT_OF_SCOPE, Decimal(0))
        groups.setdefault(key, []).append(line)
    return [_group(document, category, rate, lines) for (category, rate), lines in groups.items()]


def _group(document: Document, category: str, rate: Decimal, lines: Sequence[DocumentLine]) -> TaxGroup:
    taxes = [tax for tax in document.taxes if (tax.category, tax.rate) == (category, rate)]
    untaxed = document.net - total(tax.base for tax in document.taxes) if category == OUT_OF_SCOPE else Decimal(0)
    return TaxGroup(
        category=category,
        rate=rate,
        text=taxes[0].text if taxes else None,
        lines=[line for line in lines if line.kind != "rounding"],
        base=total(tax.base for tax in taxes) + untaxed,
        tax=total(tax.amount for tax in taxes),
    )


def total(amounts: Iterable[Decimal]) -> Decimal:
    """The exact sum."""
    return sum(amounts, Decimal(0))
