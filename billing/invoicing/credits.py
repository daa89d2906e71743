"""Credits: what a credit note takes back of an invoice, by line, and its tax. Pure.

Never more is credited than the invoice has, by line and in total, less what posted corrections took off its charges.
Credits are cumulative: a credit note has round(all credited so far) less what was credited before, for the net amount
as for the tax. An invoice of 68.33, 57.50, 85.00 and 68.33 at 20 % (tax 55.83) that is credited line by line has the
taxes 13.67, 11.50, 17.00 and 13.66: together those of the invoice.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, localcontext
from typing import TypeVar

from billing.catalog.taxes import TaxVersion
from billing.errors import BillingError
from billing.invoicing.documents import (
    CREDIT_NOTE,
    Document,
    DocumentLine,
    Group,
    GroupKey,
    Purpose,
    group_amounts,
    group_place,
    make_document,
    make_group,
)
from billing.money import EXACT, SCALE, minor_digits, plain, round_to_minor_unit

_ROUNDING = "rounding"
_Key = TypeVar("_Key")


@dataclass(frozen=True, slots=True, kw_only=True)
class Creditable:
    """A line of an invoice and what is left of it to credit, signed like the line."""

    line: DocumentLine
    left: Decimal

    @property
    def is_whole(self) -> bool:
        """Whether nothing was taken from the line yet."""
        return self.left == self.line.amount


@dataclass(frozen=True, slots=True, kw_only=True)
class Credited:
    """An invoice, the credit notes for it, and by line what later corrections changed of its charges."""

    document: Document
    notes: Sequence[Document] = ()
    corrected: Mapping[int, Decimal] | None = None

    def lines(self) -> list[Creditable]:
        """The lines of the invoice without its roundings, and what is left of each."""
        return [Creditable(line=line, left=self._left(line)) for line in self.document.lines if line.kind != _ROUNDING]

    def _left(self, line: DocumentLine) -> Decimal:
        with localcontext(EXACT):
            credited = sum(
                (each.amount for note in self.notes for each in note.lines if each.credits_line == line.line),
                Decimal(0),
            )
            left = line.amount - credited
            if left > 0:
                left = max(Decimal(0), left + min(Decimal(0), (self.corrected or {}).get(line.line, Decimal(0))))
        return left

    def before(self, key: GroupKey) -> tuple[Decimal, Decimal, Decimal]:
        """Of a group: the exact sum credited before, its net amount and its tax."""
        with localcontext(EXACT):
            lines = [line for note in self.notes for line in note.lines if line.group == key]
            exact = sum((line.amount for line in lines if line.kind != _ROUNDING), Decimal(0))
            rounded = sum((line.amount for line in lines), Decimal(0))
            taxes = [tax for note in self.notes for tax in note.taxes if (tax.tax, tax.valid_from) == key]
            tax = sum((each.amount for each in taxes), Decimal(0))
            inclusive = any(each.prices == "inclusive" for each in taxes)
        return exact, rounded - tax if inclusive else rounded, tax

    def rest(self, key: GroupKey) -> Decimal:
        """What of a group is not credited yet: net, or gross where prices include tax."""
        with localcontext(EXACT):
            billed = sum((line.amount for line in self.document.lines if line.group == key), Decimal(0))
            credited = sum((line.amount for note in self.notes for line in note.lines if line.group == key), Decimal(0))
            return billed - credited

    @property
    def total_left(self) -> Decimal:
        """What of the invoice's total is not credited yet."""
        with localcontext(EXACT):
            return self.document.total - sum((note.total for note in self.notes), Decimal(0))

    def group(self, key: GroupKey, exact: Decimal) -> Group:
        """The group of a further credit of an exact sum."""
        version, terms = self.version(key), self.document.terms
        exact_before, net_before, tax_before = self.before(key)
        with localcontext(EXACT):
            net, tax = group_amounts(exact_before + exact, version, terms.currency, terms.rounding)
            return replace(
                make_group(key, version, exact, terms.currency, terms.rounding),
                net=net - net_before,
                tax=tax - tax_before,
            )

    def version(self, key: GroupKey) -> TaxVersion | None:
        """The version of the tax that a group has."""
        for tax in self.document.taxes:
            if (tax.tax, tax.valid_from) == key:
                return TaxVersion(
                    valid_from=tax.valid_from,
                    category=tax.category,
                    rate=tax.rate,
                    prices=tax.prices,
                    rounding=tax.rounding,
                    text=tax.text,
                )
        return None


def credit_note(
    credited: Credited, amounts: Mapping[int, Decimal], *, purpose: Purpose = "credit", reason: str
) -> Document:
    """The draft of the credit note for exact amounts by line of the invoice."""
    document = credited.document
    lines = [_credit_line(each, amounts[each.line.line]) for each in credited.lines() if amounts.get(each.line.line)]
    if not lines:
        raise BillingError(f"nothing is left to credit of {document.number}")
    sums: dict[GroupKey, Decimal] = {}
    with localcontext(EXACT):
        for line in lines:
            sums[line.group] = sums.get(line.group, Decimal(0)) + line.amount
    made = make_document(
        purpose,
        lines,
        [credited.group(key, sums[key]) for key in sorted(sums, key=group_place)],
        month=document.month,
        seller=document.seller,
        customer=document.customer,
        terms=document.terms,
    )
    if made.kind == CREDIT_NOTE:
        raise BillingError(f"these lines of {document.number} are a credit already: choose others with --lines")
    if made.total > credited.total_left:
        raise BillingError(
            f"{plain(made.total)} {document.terms.currency} with tax is more than is left of {document.number}: "
            f"{plain(credited.total_left)} {document.terms.currency}; it has lines that are credits already"
        )
    return replace(made, kind=CREDIT_NOTE, credits=document.number, reason=reason)


def whole(credited: Credited, chosen: Collection[int] | None = None) -> dict[int, Decimal]:
    """What is left of the chosen lines, of all if none are."""
    left = {each.line.line: each.left for each in credited.lines()}
    unknown = sorted(set(chosen or ()) - left.keys())
    if unknown:
        raise BillingError(
            f"{credited.document.number} has no line {unknown[0]} that can be credited: "
            f"its lines are {', '.join(map(str, left))}"
        )
    return {line: amount for line, amount in left.items() if chosen is None or line in chosen}


def spread(credited: Credited, amount: Decimal, chosen: Collection[int] | None = None) -> dict[int, Decimal]:
    """An amount (net; gross where prices include tax) in minor units, spread over what is left of the chosen lines.

    By largest remainder: first over the versions of the tax in minor units, then over the lines of each in 10^-8, never
    more than is left of a line.
    """
    currency = credited.document.terms.currency
    if amount <= 0 or amount != round_to_minor_unit(amount, currency):
        raise BillingError(f"{plain(amount)} is not an amount of {currency} above 0 in its smallest unit")
    left = {line: each for line, each in whole(credited, chosen).items() if each > 0}
    by_group = _by_group(credited, left)
    whole_groups = {key: _most(credited, key, sum(lines.values(), Decimal(0))) for key, lines in by_group.items()}
    most = {key: min(each, max(Decimal(0), credited.rest(key))) for key, each in whole_groups.items()}
    if amount > sum(most.values(), Decimal(0)):
        raise BillingError(
            f"{plain(amount)} {currency} is more than is left of {credited.document.number}"
            f"{'' if chosen is None else ' in these lines'}: {plain(sum(most.values(), Decimal(0)))} {currency}"
        )
    unit = Decimal(1).scaleb(-minor_digits(currency))
    amounts: dict[int, Decimal] = {}
    for key, share in shares(amount, most, unit).items():
        lines = by_group[key]
        amounts |= lines if share == whole_groups[key] else shares(share, lines, Decimal(1) / SCALE)
    return amounts


def shares(amount: Decimal, weights: Mapping[_Key, Decimal], unit: Decimal) -> dict[_Key, Decimal]:
    """An amount split in proportion to weights, in whole units, by largest remainder; ties go to the first.

    No share is above its weight where the amount is not above their sum: 1.00 over 1 and 2 in cents is 0.33 and 0.67.
    """
    with localcontext(EXACT):
        whole_units = int(amount / unit)
        total = sum(int(weight / unit) for weight in weights.values())
        parts = {key: divmod(whole_units * int(weight / unit), total) for key, weight in weights.items()}
        missing = whole_units - sum(quotient for quotient, _ in parts.values())
        further = sorted(parts, key=lambda key: -parts[key][1])[:missing]
        return {key: (parts[key][0] + (key in further)) * unit for key in parts}


def _by_group(credited: Credited, left: Mapping[int, Decimal]) -> dict[GroupKey, dict[int, Decimal]]:
    found: dict[GroupKey, dict[int, Decimal]] = {}
    for each in credited.lines():
        if each.line.line in left:
            found.setdefault(each.line.group, {})[each.line.line] = left[each.line.line]
    return found


def _most(credited: Credited, key: GroupKey, left: Decimal) -> Decimal:
    """The most that can be credited of what is left of a group, in minor units."""
    group = credited.group(key, left)
    return group.net + group.tax if group.is_inclusive else group.net


def _credit_line(each: Creditable, amount: Decimal) -> DocumentLine:
    """A whole line keeps its minutes; a part of one has the amount alone."""
    line = replace(each.line, credits_line=each.line.line)
    if each.is_whole and amount == line.amount:
        return line
    return replace(
        line,
        seconds=0,
        minutes=0,
        deducted_minutes=0,
        payable_minutes=0,
        list_price=None,
        unit_price=None,
        list_amount=amount,
        discount=Decimal(0),
        amount=amount,
    )
