"""The front sheet of the workbook: the invoice itself, with its parties, period, terms, lines and total."""

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

from billing.invoicing.invoice import Invoice
from billing.invoicing.workbook.checks import PASS
from billing.invoicing.workbook.columns import (
    AMOUNT,
    CORRECTION,
    ITEM,
    KEYS,
    KIND,
    LIST_PRICE,
    QUANTITIES,
    UNIT_PRICE,
    USAGE,
    MakeTable,
    keys,
    list_price,
    quantities,
    quantity_totals,
    zone_of,
)
from billing.invoicing.workbook.table import Cell, Column, Formula, Kind, Role, Row, Sheet, Table, Value
from billing.money import minor_digits
from billing.periods import day_start, local_iso, month_days, next_month

_CORRECTION_NOTE = "Corrections change days that were billed before: sheet Corrections has each, and why."


def line_table(invoice: Invoice, make: MakeTable) -> Table:
    """The lines of the invoice under its head; with a column that names the kind if anything was corrected."""
    kind_column = (KIND,) if invoice.has_corrections else ()
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
            kind = CORRECTION if line.is_correction else USAGE
            yield (
                *keys(invoice, line.app_id),
                invoice.facts.apps[line.app_id],
                *(kind for _ in kind_column),
                line.item,
                line.first_day,
                line.last_day,
                *quantities(line),
                list_price(line),
                line.unit_price,
                line.list_amount,
                line.discount,
                line.amount,
            )

    return make(
        name="Invoice",
        columns=columns,
        count=len(invoice.lines),
        rows=rows,
        head=_head(invoice, PASS, len(columns)),
        detail=False,
        totals={
            **quantity_totals(invoice.lines),
            "List amount": invoice.list_amount,
            "Contract discount": invoice.discount,
            "Amount": invoice.subtotal,
        },
    )


def front_sheets(invoice: Invoice, lines: Table, verdict: Value) -> Iterator[Sheet]:
    """The sheet of the line table, with the verdict of the checks on top and the total below."""
    return replace(lines, head=_head(invoice, verdict, len(lines.columns))).sheets(foot=_foot(invoice, lines))


def _head(invoice: Invoice, result: Value, width: int) -> tuple[Row, ...]:
    """Title, parties, period and terms: labels in column A, their text from column C on; the verdict at the right.

    `width` is the number of columns of the sheet.
    """
    facts = invoice.facts
    terms = [
        ("Account", facts.account.id),
        ("Period", _period(invoice)),
        ("Time zone", facts.account.timezone),
        ("Days billed", f"{len(set(facts.days))} of {len(month_days(facts.month))}"),
        ("Currency", facts.account.currency),
        *(("Policy", f"{policy.name} ({policy.id}), valid from {policy.valid_from}") for policy in facts.policies),
        *(("Contract", text) for text in facts.contract),
    ]
    title = Cell(f"Invoice {facts.month:%Y-%m}, draft", role=Role.TITLE)
    checks = (Cell("Checks", role=Role.LABEL), Cell(result, Kind.RESULT))
    return (
        (title, *(None,) * (width - 3), *checks),
        (Cell(_status(invoice), role=Role.NOTE),),
        (),
        *(_party("From", facts.seller.name, facts.seller.address) if facts.seller else ()),
        *_party("Billed to", facts.account.name, facts.account.address),
        *((Cell(label, role=Role.LABEL), None, text) for label, text in terms),
        (),
    )


def _party(label: str, name: str, address: str | None) -> list[Row]:
    lines = [line.strip() for line in f"{name}\n{address or ''}".splitlines() if line.strip()]
    return [
        *((Cell(label if place == 0 else None, role=Role.LABEL), None, line) for place, line in enumerate(lines)),
        (),
    ]


def _status(invoice: Invoice) -> str:
    if invoice.billed_through is None:
        return "A draft has no number. No day of the month is billed yet."
    if not invoice.is_finished:
        return f"A draft has no number. Billed through {invoice.billed_through}: the month is not finished."
    return "A draft has no number."


def _period(invoice: Invoice) -> str:
    zone, month = zone_of(invoice), invoice.facts.month
    start, end = (local_iso(day_start(day, zone), zone) for day in (month, next_month(month)))
    return f"{start} to {end}, the end not included"


def _foot(invoice: Invoice, lines: Table) -> tuple[Row, ...]:
    currency = invoice.facts.account.currency
    unit = Decimal(1).scaleb(-minor_digits(currency))
    total = Formula(
        f"ROUND({lines.sum('Amount')}+{lines.foot_cell('Amount', 1)},{minor_digits(currency)})", invoice.total
    )
    blank = (None,) * (len(lines.columns) - 2)
    return (
        lines.total_row("Subtotal"),
        (f"Rounding of the total, half up to {unit:f} {currency}", *blank, Cell(invoice.rounding, Kind.AMOUNT)),
        (
            Cell(f"Total {currency}{', a credit' if invoice.total < 0 else ''}", role=Role.GRAND),
            *(Cell(None, role=Role.GRAND) for _ in blank),
            Cell(total, Kind.MONEY, Role.GRAND),
        ),
        (),
        (Cell("Minutes are the seconds of an app, item and day, divided by 60 and rounded up.", role=Role.NOTE),),
        (
            Cell(
                "Free minutes and packages pay the deducted minutes; the payable ones cost the unit price.",
                role=Role.NOTE,
            ),
        ),
        (Cell("Amount = payable x unit price, exact; only the total is rounded.", role=Role.NOTE),),
        *((Cell(_CORRECTION_NOTE, role=Role.NOTE),) for _ in range(invoice.has_corrections)),
    )
