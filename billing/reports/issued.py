"""Issued documents as files: the workbook, made again at any time as it was issued.

The first page is kept with the document; its annex is read from the settled rows as of the run that the document knows
of last, with the catalog of that moment. So neither late events, nor another catalog, nor a payment reaches it.
"""

from typing import Literal

from billing.invoicing.annex import Annex
from billing.invoicing.page import page_from_table
from billing.invoicing.workbook.excel_file import Front, write_document
from billing.invoicing.workbook.xml_rows import Progress
from billing.ledger.account_ledger import AccountLedger
from billing.ledger.catalog_store import catalog_of_change
from billing.ledger.database import Connection, Engine, reading
from billing.ledger.documents import StoredDocument, contents, find, find_file
from billing.output_files import Output
from billing.reports.invoice_facts import read_annex

Detail = Literal["none", "daily", "full"]


def export_document(
    engine: Engine, number: str, output: Output, *, detail: Detail = "full", progress: Progress | None = None
) -> None:
    """Writes the workbook of an issued document."""
    with reading(engine) as conn:
        stored = find(conn, number)
        front = document_front(conn, stored, detail)
        annex = issued_annex(conn, stored) if detail != "none" else None
    write_document(front, annex, output, progress=progress)


def document_front(conn: Connection, stored: StoredDocument, detail: Detail = "full") -> Front:
    """The first page of an issued document, as it was issued."""
    document, table = contents(conn, stored.number)
    logo = find_file(conn, stored.id, "logo")
    return Front(page=page_from_table(table), document=document, logo=logo, detail=detail)


def issued_annex(conn: Connection, stored: StoredDocument) -> Annex | None:
    """The annex of a month's document as it was when that was issued; None: it has none."""
    if stored.month is None or stored.credits is not None:
        return None
    ledger = AccountLedger(
        conn=conn,
        account_id=stored.account_id,
        catalog=catalog_of_change(conn, stored.catalog_change),
        as_of=stored.run_id,
        as_of_ms=stored.issued_at_ms,
    )
    return read_annex(ledger, stored.month, number=stored.number)
