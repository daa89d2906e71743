"""Issued documents as they stand now: what was paid and credited of each, its lines and its tax."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from billing import periods
from billing.catalog.catalog import Catalog
from billing.invoicing.documents import Document, DocumentLine, TaxAmount
from billing.ledger.catalog_store import load_catalog
from billing.ledger.database import Connection, Engine, reading
from billing.ledger.documents import Standing, StoredDocument, contents, documents, find, standings
from billing.reports.row_formats import Report

DOCUMENT_FIELDS = (
    *("number", "kind", "purpose", "account", "seller", "month", "issued_on", "due_on", "currency"),
    *("net", "tax", "total", "paid", "credited", "open", "state", "credits", "replaces"),
)
_NO_ROOM = ("purpose", "seller", "issued_on", "net", "tax", "paid", "credited", "credits", "replaces")


def documents_report(rows: Sequence[dict[str, Any]], *, empty: str = "") -> Report:
    """Documents and how they stand."""
    return Report(fields=DOCUMENT_FIELDS, rows=rows, empty=empty, once=("currency",), without=_NO_ROOM)


def contents_report(rows: Sequence[dict[str, Any]], *, is_nested: bool) -> Report:
    """Documents with their lines and taxes; where rows cannot be nested, a row is a line, with the document."""
    if is_nested:
        return Report(fields=(*DOCUMENT_FIELDS, "reason", "lines", "taxes"), rows=rows)
    lines = [{"number": row["number"], **line} for row in rows for line in row["lines"]]
    return Report(fields=list(lines[0]) if lines else ["number"], rows=lines)


def list_documents(engine: Engine, accounts: Sequence[str] = (), month: date | None = None) -> list[dict[str, Any]]:
    """The documents of some accounts, of all if none is named, in the order of their writing."""
    with reading(engine) as conn:
        catalog = load_catalog(conn)
        named = [catalog.account(account_id).id for account_id in accounts]
        found = documents(conn, accounts=named, month=month)
        return [standing_row(each) for each in standings(conn, found, seller_days(catalog))]


def rows_of(engine: Engine, numbers: Sequence[str]) -> list[dict[str, Any]]:
    """Documents by their numbers, as `list_documents` has them."""
    with reading(engine) as conn:
        return [standing_row(each) for each in _found(conn, numbers)]


def show_documents(engine: Engine, numbers: Sequence[str]) -> list[dict[str, Any]]:
    """Documents with their lines and taxes."""
    with reading(engine) as conn:
        rows = []
        for standing in _found(conn, numbers):
            document, _ = contents(conn, standing.document.number)
            rows.append({**standing_row(standing), **_contents(document)})
        return rows


def standing_row(standing: Standing) -> dict[str, Any]:
    """A document and how it stands, in the names that commands print."""
    document = standing.document
    return {
        "number": document.number,
        "kind": document.kind,
        "purpose": document.purpose,
        "account": document.account_id,
        "seller": document.seller_id,
        "month": f"{document.month:%Y-%m}" if document.month else None,
        "issued_on": document.issued_on,
        "due_on": document.due_on,
        "currency": document.currency,
        "net": document.net,
        "tax": document.tax,
        "total": document.total,
        "paid": standing.paid,
        "credited": standing.credited,
        "open": standing.open,
        "state": standing.state,
        "credits": document.credits,
        "replaces": document.replaces,
    }


def seller_days(catalog: Catalog) -> Mapping[str, date]:
    """Today where each seller is."""
    second = int(periods.now().timestamp())
    return {each.id: periods.local_day(second, periods.time_zone(each.timezone)) for each in catalog.sellers.values()}


def _found(conn: Connection, numbers: Sequence[str]) -> list[Standing]:
    found: list[StoredDocument] = [find(conn, number) for number in numbers]
    return standings(conn, found, seller_days(load_catalog(conn)))


def _contents(document: Document) -> dict[str, Any]:
    return {
        "reason": document.reason,
        "lines": [_line(line) for line in document.lines],
        "taxes": [_tax(tax) for tax in document.taxes],
    }


def _line(line: DocumentLine) -> dict[str, Any]:
    names = (
        *("line", "kind", "app_id", "item", "package", "first_day", "last_day", "minutes", "deducted_minutes"),
        *("payable_minutes", "unit_price", "amount", "tax", "credits_line"),
    )
    return {name: getattr(line, name) for name in names}


def _tax(tax: TaxAmount) -> dict[str, Any]:
    names = ("tax", "valid_from", "category", "rate", "prices", "rounding", "base", "amount")
    return {name: getattr(tax, name) for name in names}
