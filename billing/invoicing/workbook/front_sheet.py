"""The front sheet of the workbook: the invoice itself, with its parties, period, terms, lines and total."""

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal, localcontext

from billing.invoicing.invoice import Header, Invoice, Party
from billing.invoicing.workbook.checks import PASS
from billing.invoicing.workbook.columns import (
    AMOUNT,
    ITEM,
    KEYS,
    KIND,
    KIND_NAMES,
    LIST_PRICE,
    QUANTITIES,
    UNIT_PRICE,
    MakeTable,
    keys,
    list_price_cell,
    quantities,
    quantity_totals,
    zone_of,
)
from billing.invoicing.workbook.table import Cell, Column, Formula, Kind, Role, Row, Sheet, Table, Value
from billing.money import EXACT, minor_digits
from billing.periods import day_start, local_iso, month_days, next_month

_CORRECTION_NOTE = "Corrections change days that were billed before: sheet Corrections has each, and why."


def line_table(invoice: Invoice, make: MakeTable, *, with_kind: bool, name: str) -> Table:
    """The lines of the invoice under its head, perhaps with a column that tells usage from corrections."""
    kind_column = (KIND,) if with_kind else ()
    columns = (
        *KEYS,
        Column(header="App name", width=20),
        *kind_column,
        ITEM,
        Column(header="First day", width=11, kind=Kind.DAY),
        Column(header="Last day", width=11, kind=Kind.DAY),
        *QUANTITIES,
        LIST_PRICE,
        UNIT_PRICE,
        Column(header="List amount", width=15, kind=Kind.AMOUNT),
        Column(header="Contract discount", width=14, kind=Kind.AMOUNT),
        AMOUNT,
    )

    def rows(start: int, stop: int, _: int) -> Iterator[Row]:
        for line in invoice.lines[start:stop]:
            yield (
                *keys(invoice.header, line.app_id),
                line.app_name,
                *(KIND_NAMES[line.kind] for _ in kind_column),
                line.item,
                line.first_day,
                line.last_day,
                *quantities(line),
                list_price_cell(line.list_price),
                line.unit_price,
                line.list_amount,
                line.discount,
                line.amount,
            )

    return make(
        name=name,
        columns=columns,
        count=len(invoice.lines),
        rows=rows,
        head=_head(invoice, PASS, len(columns)),
        detail=False,
        foot_rows=10,
        totals={
            **quantity_totals(invoice.lines),
            "List amount": invoice.totals.list_amount,
            "Contract discount": invoice.totals.discount,
            "Amount": invoice.totals.subtotal,
        },
    )


def front_sheets(
    invoice: Invoice, lines: Table, verdict: Value, number: str | None = None, totals: tuple[Row, ...] | None = None
) -> Iterator[Sheet]:
    """The sheet of the line table, with the verdict of the checks on top and the total below.

    `totals` are the rows below the subtotal; None: those of a draft.
    """
    head = _head(invoice, verdict, len(lines.columns), number)
    return replace(lines, head=head).sheets(foot=_foot(invoice, lines, totals or _totals(invoice, lines)))


def _head(invoice: Invoice, result: Value, width: int, number: str | None = None) -> tuple[Row, ...]:
    """Title, parties, period and terms: labels in column A, their text from column C on; the verdict at the right.

    `width` is the number of columns of the sheet; `number` that of the issued document.
    """
    header = invoice.header
    terms = [
        ("Account", header.account_id),
        ("Period", _period(header)),
        ("Time zone", header.timezone),
        ("Days billed", f"{header.days_billed} of {len(month_days(header.month))}"),
        ("Currency", header.currency),
        *(("Policy", f"{policy.name} ({policy.id}), valid from {policy.valid_from}") for policy in header.policies),
        *(("Contract", text) for text in header.contract),
    ]
    title = Cell(f"Invoice {header.month:%Y-%m}, {number or 'draft'}", role=Role.TITLE)
    checks = (Cell("Checks", role=Role.LABEL), Cell(result, Kind.RESULT))
    return (
        (title, *(None,) * (width - 3), *checks),
        (Cell(_status(header, number), role=Role.NOTE),),
        (),
        *(_party("From", invoice.seller) if invoice.seller else ()),
        *_party("Billed to", invoice.customer),
        *((Cell(label, role=Role.LABEL), None, text) for label, text in terms),
        (),
    )


def _party(label: str, party: Party) -> list[Row]:
    lines = [line.strip() for line in f"{party.name}\n{party.address or ''}".splitlines() if line.strip()]
    return [
        *((Cell(label if place == 0 else None, role=Role.LABEL), None, line) for place, line in enumerate(lines)),
        (),
    ]


def _status(header: Header, number: str | None) -> str:
    if number is not None:
        return f"The annex of {number}: its first page has the tax and the amount to pay."
    if header.billed_through is None:
        return "A draft has no number. No day of the month is billed yet."
    if not header.is_finished:
        return f"A draft has no number. Billed through {header.billed_through}: the month is not finished."
    return "A draft has no number."


def _period(header: Header) -> str:
    zone, month = zone_of(header), header.month
    start, end = (local_iso(day_start(day, zone), zone) for day in (month, next_month(month)))
    return f"{start} to {end}, the end not included"


def rounding_cell(lines: Table) -> str:
    """The cell of the rounding."""
    return lines.foot_cell("Amount", 1 + kind_rows(lines))


def total_cell(lines: Table) -> str:
    """The cell of the invoice's total."""
    return lines.foot_cell("Amount", 2 + kind_rows(lines))


def kind_rows(lines: Table) -> int:
    """The number of rows above the subtotal, which are there where corrections are told from usage."""
    return len(KIND_NAMES) if KIND in lines.columns else 0


def _kind_row(invoice: Invoice, lines: Table, kind: str) -> Row:
    """The sums over the lines of one kind."""
    own = [line for line in invoice.lines if line.kind == kind]
    with localcontext(EXACT):
        results: dict[str, int | Decimal] = {
            **quantity_totals(own),
            "List amount": sum((line.list_amount for line in own), Decimal(0)),
            "Contract discount": sum((line.discount for line in own), Decimal(0)),
            "Amount": sum((line.amount for line in own), Decimal(0)),
        }
    where = {"Kind": f'"{KIND_NAMES[kind]}"'}
    sums = {header: Formula(lines.sum_where(header, where), result) for header, result in results.items()}
    return lines.sum_row({"usage": "Usage", "correction": "Corrections"}[kind], sums)


def _totals(invoice: Invoice, lines: Table) -> tuple[Row, ...]:
    """Rounding and total of a draft."""
    currency = invoice.header.currency
    unit = Decimal(1).scaleb(-minor_digits(currency))
    total = Formula(
        f"ROUND({lines.sum('Amount')}+{rounding_cell(lines)},{minor_digits(currency)})", invoice.totals.total
    )
    blank = (None,) * (len(lines.columns) - 2)
    return (
        (f"Rounding of the total, half up to {unit:f} {currency}", *blank, Cell(invoice.totals.rounding, Kind.AMOUNT)),
        (
            Cell(f"Total {currency}{', a credit' if invoice.totals.total < 0 else ''}", role=Role.GRAND),
            *(Cell(None, role=Role.GRAND) for _ in blank),
            Cell(total, Kind.MONEY, Role.GRAND),
        ),
    )


def _foot(invoice: Invoice, lines: Table, totals: tuple[Row, ...]) -> tuple[Row, ...]:
    return (
        *(_kind_row(invoice, lines, kind) for kind in (KIND_NAMES if KIND in lines.columns else ())),
        lines.sum_row("Subtotal", lines.sums),
        *totals,
        (),
        (Cell("Minutes are the seconds of an app, item and day, divided by 60 and rounded up.", role=Role.NOTE),),
        (
            Cell(
                "Free minutes and packages pay the deducted minutes; the payable ones cost the unit price.",
                role=Role.NOTE,
            ),
        ),
        (Cell("Amount = payable x unit price, exact; only the total is rounded.", role=Role.NOTE),),
        *((Cell(_CORRECTION_NOTE, role=Role.NOTE),) for _ in range(KIND in lines.columns)),
    )
