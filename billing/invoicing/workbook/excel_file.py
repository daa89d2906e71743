"""An invoice with its annex as an Excel file.

openpyxl makes the workbook but for its rows, which `xml_rows` adds: styles, charts, filters, print set-up, the package.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from typing import Any, BinaryIO, Literal

from openpyxl import Workbook
from openpyxl.worksheet.worksheet import Worksheet

from billing.invoicing.annex import Annex
from billing.invoicing.documents import Document
from billing.invoicing.invoice import Invoice
from billing.invoicing.page import Page
from billing.invoicing.words import word
from billing.invoicing.workbook.cell_styles import make_styles
from billing.invoicing.workbook.customer_sheet import customer_sheet
from billing.invoicing.workbook.document_lines import line_sheets
from billing.invoicing.workbook.page_setup import set_up
from billing.invoicing.workbook.picture import picture_of, place_at_right
from billing.invoicing.workbook.sheets import sheets
from billing.invoicing.workbook.table import EXCEL_ROWS, Sheet
from billing.invoicing.workbook.xml_rows import Progress, rows_xml, save, xml_text
from billing.output_files import Output
from billing.periods import next_month

_LONGEST_ACCOUNT_ID = 80  # in a footer, of which Excel takes 255 characters


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """The first page of a document, its picture, and how much of the annex follows it.

    A picture that is neither PNG nor JPEG is left out. `detail` is `none` (the page alone), `daily` (without the sheets
    that have a row for each window) or `full`.
    """

    page: Page
    document: Document
    logo: bytes | None = None
    detail: Literal["none", "daily", "full"] = "full"


def write_document(
    front: Front, annex: Annex | None, output: Output, *, progress: Progress | None = None, row_limit: int = EXCEL_ROWS
) -> None:
    """Write the workbook of a document: its first page, and then its annex, or where it has none its exact lines."""
    pages = [customer_sheet(front.page)]
    if annex is None and front.detail != "none":
        pages += line_sheets(front.document)
    elif annex is not None and front.detail != "none":
        pages += sheets(annex, front.document, detail=front.detail, row_limit=row_limit)
    with output.open() as file:
        write_sheets(pages, about_document(front.document), file, progress or _no_progress, logo=front.logo)


def write_workbook(
    annex: Annex, output: Output, *, progress: Progress | None = None, row_limit: int = EXCEL_ROWS
) -> None:
    """Write the workbook of a draft invoice with its annex.

    `progress` is called with the number of rows written since it was called last. Raises `BillingError` when the output
    cannot be written.
    """
    with output.open() as file:
        write_sheets(sheets(annex, row_limit=row_limit), about_invoice(annex.invoice), file, progress or _no_progress)


def _no_progress(_: int) -> None:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a workbook says of itself; `made_at` is always the same for the same document."""

    title: str
    creator: str
    made_at: datetime
    currency: str
    footer: str


def write_sheets(
    pages: Sequence[Sheet],
    about: About,
    file: BinaryIO,
    progress: Progress = _no_progress,
    *,
    logo: bytes | None = None,
) -> None:
    """Write sheets as one workbook; the logo stands on the first."""
    book = _book(about)
    frames: list[Worksheet] = [book.create_sheet(page.name) for page in pages]
    styles = make_styles(frames[0], about.currency, pages[0].look)
    for place, (page, frame) in enumerate(zip(pages, frames, strict=True)):
        set_up(frame, page, f"{about.footer} · {page.name}", **_paging(pages, place))
    picture = picture_of(logo) if logo else None
    if picture:
        place_at_right(frames[0], pages[0], picture)
    book.active = frames[0]
    save(book, file, pages, partial(rows_xml, styles=styles, progress=progress))


def _paging(pages: Sequence[Sheet], place: int) -> dict[str, Any]:
    """The customer's page and the sheets behind it each have page numbers of their own."""
    if not pages[0].look:
        return {}
    look = pages[place].look
    paging = word("page", look.language if look else "en", page="&P")
    return {"paging": paging, "first_page": 1 if place <= 1 else None}


def about_invoice(invoice: Invoice) -> About:
    """Of a draft."""
    header = invoice.header
    return About(
        title=f"Invoice {header.month:%Y-%m} {invoice.customer.name}",
        creator=invoice.seller.name if invoice.seller else "billing",
        made_at=datetime.combine(next_month(header.month), datetime.min.time()),
        currency=header.currency,
        footer=f"{xml_text(header.account_id)[:_LONGEST_ACCOUNT_ID]} · {header.month:%Y-%m}",
    )


def about_document(document: Document) -> About:
    """Of a document, or of a draft with tax."""
    day = document.issued_on or next_month(document.month or date(2000, 1, 1))
    number = document.number or (f"{document.month:%Y-%m}" if document.month else "draft")
    return About(
        title=f"{number} {document.customer.name}",
        creator=document.seller.name or "billing",
        made_at=datetime.combine(day, datetime.min.time()),
        currency=document.terms.currency,
        footer=f"{xml_text(document.customer.id)[:_LONGEST_ACCOUNT_ID]} · {number}",
    )


def _book(about: About) -> Workbook:
    """A workbook without sheets."""
    book = Workbook()
    book.remove(book.worksheets[0])
    book.properties.title = xml_text(about.title)
    book.properties.creator = xml_text(about.creator)
    book.properties.created = book.properties.modified = about.made_at
    return book
