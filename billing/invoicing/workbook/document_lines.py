"""The exact lines of a document that has no annex: a package's invoice, a credit note, a refund."""

from collections.abc import Iterator
from decimal import Decimal, localcontext

from billing.invoicing.documents import Document, DocumentLine
from billing.invoicing.workbook.columns import AMOUNT, ITEM, LIST_PRICE, QUANTITIES, UNIT_PRICE, app_cell
from billing.invoicing.workbook.document_annex import live_amounts
from billing.invoicing.workbook.document_foot import document_foot
from billing.invoicing.workbook.table import Cell, Column, Kind, Role, Row, Sheet, Table
from billing.money import EXACT

_COLUMNS = (
    Column(header="Number", width=18),
    Column(header="Line", width=6, kind=Kind.CODE),
    Column(header="Kind", width=11),
    Column(header="App", width=12, kind=Kind.CODE),
    Column(header="App name", width=20),
    ITEM,
    Column(header="Package", width=20),
    Column(header="First day", width=11, kind=Kind.DAY),
    Column(header="Last day", width=11, kind=Kind.DAY),
    *QUANTITIES,
    LIST_PRICE,
    UNIT_PRICE,
    AMOUNT,
    Column(header="Tax", width=12),
    Column(header="Credits line", width=8, kind=Kind.CODE),
)


def line_sheets(document: Document) -> Iterator[Sheet]:
    """A sheet with every line, and below them the tax and the total."""

    def rows(start: int, stop: int, _: int) -> Iterator[Row]:
        return (_row(document, line) for line in document.lines[start:stop])

    with localcontext(EXACT):
        amount = sum((line.amount for line in document.lines), Decimal(0))
    table = live_amounts(
        Table(
            name="Lines",
            columns=_COLUMNS,
            count=len(document.lines),
            rows=rows,
            head=((Cell(_title(document), role=Role.TITLE),), ()),
            totals={"Amount": amount},
        )
    )
    note = Cell("Amounts are exact; the line rounding makes them the amounts of the document.", role=Role.NOTE)
    foot = document_foot(document, table)
    yield from table.sheets(foot=(table.sum_row("Sum", table.sums), *foot.rows, (), (note,)))


def _title(document: Document) -> str:
    number = document.number or "draft"
    return f"{number}, credits {document.credits}" if document.credits else f"Lines of {number}"


def _row(document: Document, line: DocumentLine) -> Row:
    return (
        document.number,
        line.line,
        line.kind,
        None if line.app_id is None else app_cell(line.app_id),
        line.app_name,
        line.item,
        line.package,
        line.first_day,
        line.last_day,
        line.seconds,
        line.minutes,
        line.deducted_minutes,
        line.payable_minutes,
        line.list_price,
        line.unit_price,
        line.amount,
        line.tax,
        line.credits_line,
    )
