"""The hashes of the columns of annexes, by document."""

from collections.abc import Mapping

from sqlalchemy import Connection, select

from billing.invoicing.annex import Annex
from billing.invoicing.documents import Document
from billing.invoicing.workbook.annex_hashes import annex_hashes
from billing.invoicing.workbook.sheets import sheets
from billing.ledger.bulk import insert_rows
from billing.ledger.document_tables import annex_column, document

# SHA-256 by sheet and header.
Hashes = Mapping[tuple[str, str], str]


def column_hashes(annex: Annex, document: Document) -> Hashes:
    """The hashes of a document's annex as it is made now."""
    return annex_hashes(sheets(annex, document))


def seal_of(conn: Connection, document_id: int) -> Hashes:
    """The hashes that are kept of a document's annex; empty: it is not sealed."""
    rows = conn.execute(select(annex_column).where(annex_column.c.document_id == document_id))
    return {(row.sheet, row.header): row.hash for row in rows}


def unsealed_numbers(conn: Connection) -> list[str]:
    """The numbers of the documents of months, but for credit notes of others, whose annex is not sealed."""
    is_sealed = select(annex_column.c.document_id).where(annex_column.c.document_id == document.c.id).exists()
    is_of_month = document.c.month.is_not(None) & document.c.credits.is_(None)
    return list(conn.scalars(select(document.c.number).where(is_of_month, ~is_sealed).order_by(document.c.id)))


def put_seal(conn: Connection, document_id: int, hashes: Hashes) -> None:
    """Keeps the hashes of a document's annex."""
    rows = [
        {"document_id": document_id, "sheet": sheet, "header": header, "hash": value}
        for (sheet, header), value in hashes.items()
    ]
    insert_rows(conn, annex_column, rows)
