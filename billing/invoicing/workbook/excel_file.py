"""An invoice with its annex as an Excel file.

openpyxl makes the workbook but for its rows, which `xml_rows` adds: styles, charts, filters, print set-up, the package.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import BinaryIO

from openpyxl import Workbook
from openpyxl.worksheet.worksheet import Worksheet

from billing.invoicing.annex import Annex
from billing.invoicing.invoice import Header, Invoice
from billing.invoicing.workbook.cell_styles import make_styles
from billing.invoicing.workbook.page_setup import set_up
from billing.invoicing.workbook.sheets import sheets
from billing.invoicing.workbook.table import EXCEL_ROWS, Sheet
from billing.invoicing.workbook.xml_rows import Progress, rows_xml, save, xml_text
from billing.output_files import Output
from billing.periods import next_month

_LONGEST_ACCOUNT_ID = 80  # in a footer, of which Excel takes 255 characters


def write_workbook(
    annex: Annex, output: Output, *, progress: Progress | None = None, row_limit: int = EXCEL_ROWS
) -> None:
    """Write the workbook of an invoice with its annex.

    `progress` is called with the number of rows written since it was called last. Raises `BillingError` when the output
    cannot be written.
    """
    with output.open() as file:
        write_sheets(sheets(annex, row_limit=row_limit), annex.invoice, file, progress or _no_progress)


def _no_progress(_: int) -> None:
    pass


def write_sheets(pages: Sequence[Sheet], invoice: Invoice, file: BinaryIO, progress: Progress = _no_progress) -> None:
    """Write sheets as the workbook of an invoice."""
    book = _book(invoice)
    frames: list[Worksheet] = [book.create_sheet(page.name) for page in pages]
    styles = make_styles(frames[0], invoice.header.currency)
    for page, frame in zip(pages, frames, strict=True):
        set_up(frame, page, _footer(invoice.header, page))
    book.active = frames[0]
    save(book, file, pages, partial(rows_xml, styles=styles, progress=progress))


def _book(invoice: Invoice) -> Workbook:
    """A workbook without sheets."""
    book, header = Workbook(), invoice.header
    book.remove(book.worksheets[0])
    book.properties.title = xml_text(f"Invoice {header.month:%Y-%m} {invoice.customer.name}")
    book.properties.creator = xml_text(invoice.seller.name) if invoice.seller else "billing"
    made_at = datetime.combine(next_month(header.month), datetime.min.time())
    book.properties.created = book.properties.modified = made_at
    return book


def _footer(header: Header, page: Sheet) -> str:
    return f"{xml_text(header.account_id)[:_LONGEST_ACCOUNT_ID]} · {header.month:%Y-%m} · {page.name}"
