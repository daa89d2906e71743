"""The exact lines of a document that has no annex: a package's invoice, a credit note, a refund."""

from collections.abc import Iterator

from billing.invoicing.documents import Document
from billing.invoicing.workbook.columns import AMOUNT, ITEM, LIST_PRICE, QUANTITIES, UNIT_PRICE
from billing.invoicing.workbook.table import Cell, Column, Kind, Role, Row, Sheet, Table


def line_sheets(document: Document) -> Iterator[Sheet]:
    """A sheet with every line; the total of the amounts is exact."""

    def rows(start: int, stop: int, _: int) -> Iterator[Row]:
        for line in document.lines[start:stop]:
            yield (
                document.number,
                line.line,
                line.kind,
                line.app_id,
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

    table = Table(
        name="Lines",
        columns=(
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
        ),
        count=len(document.lines),
        rows=rows,
        head=((Cell(f"Lines of {document.number}", role=Role.TITLE),), ()),
        totals={"Amount": sum((line.amount for line in document.lines), start=document.net - document.net)},
        notes=("Amounts are exact; the line rounding makes them the amounts of the document.",),
    )
    yield from table.sheets()
