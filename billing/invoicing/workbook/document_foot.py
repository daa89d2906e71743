"""Below the lines of a document's annex: from the exact sum of the usage to the total that is to be paid.

    Subtotal                          2,157.30    the lines above
    Rounding, half up to 1 JPY           -0.30
    Net                               2,157
    Base of 消費税 10%                 2,157
    消費税 10%                           215
    Total JPY                         2,372

Packages, fees and refunds of the document stand below the subtotal. A tax that the prices include stands below the
total. The lines of the annex are signed as the month is: below a month that makes a credit note, all is negative.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, localcontext

from billing.invoicing.documents import Document, DocumentLine, TaxAmount, turned
from billing.invoicing.workbook.checks import Check
from billing.invoicing.workbook.columns import AMOUNT
from billing.invoicing.workbook.table import Cell, Formula, Kind, Role, Row, Table
from billing.money import EXACT, largest_rounding, minor_digits


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentFoot:
    """Rows below the subtotal, and the checks that compare them with the document."""

    rows: tuple[Row, ...]
    checks: tuple[Check, ...]


@dataclass(slots=True, kw_only=True)
class _Building:
    """Rows one after another, each with its cell in the column of the amounts."""

    lines: Table
    rows: list[Row]
    first: int

    def add(self, label: str, value: Decimal | Formula, kind: Kind = Kind.AMOUNT, role: Role = Role.BODY) -> Formula:
        """A row, as a formula that points to its amount."""
        cell = self.lines.foot_cell("Amount", self.first + len(self.rows))
        blank = (Cell(None, role=role),) * (self.lines.columns.index(AMOUNT) - 1)
        self.rows.append((Cell(label, role=role), *blank, Cell(value, kind, role)))
        return Formula(cell, value.result if isinstance(value, Formula) else value)


def as_month(document: Document) -> Document:
    """A document signed like the lines of its month."""
    return turned(document) if document.is_credit_note else document


def beside_usage(document: Document) -> list[DocumentLine]:
    """The lines that are not among those of a month's usage."""
    return [line for line in document.lines if line.kind not in ("usage", "correction")]


def room_for(document: Document, lines: Table) -> Table:
    """The table of the lines with room for the foot of a document below it."""
    return replace(lines, foot_rows=lines.foot_rows + len(beside_usage(document)) + 2 * len(document.taxes))


def document_foot(
    document: Document, lines: Table, *, further: Sequence[DocumentLine] = (), rows_before: int = 0
) -> DocumentFoot:
    """The foot of a document below a table of its lines.

    `further` are the lines that are not in the table, `rows_before` the rows of the foot above the subtotal.
    """
    currency = document.terms.currency
    digits = minor_digits(currency)
    subtotal = Formula(lines.foot_cell("Amount", rows_before), lines.totals["Amount"])
    building = _Building(lines=lines, rows=[], first=rows_before + 1)
    others = [line for line in further if line.kind != "rounding"]
    parts = [subtotal, *(building.add(_what(line), line.amount) for line in others)]
    rounded = [line for line in further if line.kind == "rounding"]
    roundings = [building.add(_rounding(line, document), line.amount) for line in rounded]
    parts += roundings
    on_top = [tax for tax in document.taxes if tax.prices == "exclusive"]
    if on_top:
        parts = [building.add("Net", _sum(parts), Kind.MONEY, Role.TOTAL)]
        bases = [building.add(f"Base of {tax.text}", tax.base, Kind.MONEY) for tax in on_top]
        parts += [building.add(tax.text, tax.amount, Kind.MONEY) for tax in on_top]
    added = _sum(parts)
    total = building.add(
        f"Total {currency}{', a credit' if document.total < 0 else ''}",
        Formula(f"ROUND({added.text},{digits})", document.total),
        Kind.MONEY,
        Role.GRAND,
    )
    _add_included(building, [tax for tax in document.taxes if tax.prices == "inclusive"])
    checks = [*_checks(document, added, total), _rounding_check(document, roundings)]
    if on_top and all(line.tax for line in document.lines):
        checks.append(_check("bases of the taxes = net", _sum(bases), parts[0]))
    return DocumentFoot(rows=tuple(building.rows), checks=tuple(checks))


def _add_included(building: _Building, taxes: list[TaxAmount]) -> None:
    for tax in taxes:
        building.add(f"of which base of {tax.text}", tax.base, Kind.MONEY)
        building.add(f"of which {tax.text}", tax.amount, Kind.MONEY)


def _what(line: DocumentLine) -> str:
    return " ".join(filter(None, (line.kind.capitalize(), line.package or line.item, line.app_name)))


def _rounding(line: DocumentLine, document: Document) -> str:
    unit = Decimal(1).scaleb(-minor_digits(document.terms.currency))
    texts = [tax.text for tax in document.taxes if (tax.tax, tax.valid_from) == line.group]
    of_tax = f", {texts[0]}" if texts and len(document.taxes) > 1 else ""
    return f"Rounding, {document.terms.rounding.replace('_', ' ')} to {unit:f} {document.terms.currency}{of_tax}"


def _sum(cells: list[Formula]) -> Formula:
    with localcontext(EXACT):
        result = sum((Decimal(cell.result) for cell in cells), Decimal(0))
    return Formula("+".join(cell.text for cell in cells), result)


def _checks(document: Document, added: Formula, total: Formula) -> Iterator[Check]:
    yield _check("subtotal + other lines + rounding + tax = total", added, total)
    yield _check("total = total as billed", total, Formula(f"{document.total:f}", document.total))


def _rounding_check(document: Document, roundings: list[Formula]) -> Check:
    """One rounding, of at most half a minor unit (a whole one, if downwards), for each version of a tax."""
    most = largest_rounding(document.terms.currency, document.terms.rounding) * len(roundings)
    size = Formula("+".join(f"ABS({cell.text})" for cell in roundings) or "0", _size(roundings))
    bounded = Formula(f"MIN({size.text},{most:f})", min(Decimal(size.result), most))
    return _check("each rounding is at most half a minor unit", size, bounded)


def _size(cells: list[Formula]) -> Decimal:
    with localcontext(EXACT):
        return sum((abs(Decimal(cell.result)) for cell in cells), Decimal(0))


def _check(what: str, left: Formula, right: Formula) -> Check:
    return Check(what=what, left=left, right=right, kind=Kind.AMOUNT)
