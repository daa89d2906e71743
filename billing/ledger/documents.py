"""Issued documents: written once, with a number of their series, and what is open of them.

A number is given in the transaction that writes its document, from a row that holds the last one: there is no gap and
no double, however many processes issue at once and however many of them fail. Issue dates never go back in a series.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, and_, func, insert, select, update

from billing.catalog.sellers import NumberSeries, Seller
from billing.errors import BillingError, UnknownNameError, unknown
from billing.invoicing.documents import INVOICE, Document
from billing.invoicing.snapshot import NO_HASH, chained_hash, parse_snapshot, snapshot
from billing.ledger import document_tables as tables
from billing.ledger.bulk import insert_rows
from billing.ledger.transfers import open_amounts, paid_amounts
from billing.money import from_scaled, to_scaled
from billing.rating.charges import PostedCharge

_COLUMNS = (
    *("id", "number", "seller_id", "kind", "purpose", "account_id", "month", "issued_on", "due_on", "currency"),
    *(
        "net_scaled",
        "tax_scaled",
        "total_scaled",
        "credits",
        "replaces",
        "run_id",
        "catalog_change",
        "refund_id",
        "issued_at_ms",
    ),
)

OVERDUE = "overdue"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredDocument:
    """A document's row; amounts of a credit note are positive."""

    id: int
    number: str
    seller_id: str
    kind: str
    purpose: str
    account_id: str
    month: date | None
    issued_on: date
    due_on: date | None
    currency: str
    net: Decimal
    tax: Decimal
    total: Decimal
    credits: str | None
    replaces: str | None
    run_id: int
    catalog_change: int
    refund_id: int
    issued_at_ms: int

    @property
    def is_invoice(self) -> bool:
        """Whether the customer owes it."""
        return self.kind == INVOICE


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A document, and what was paid and credited of it by now. `due_passed`: the seller's date is after `due_on`."""

    document: StoredDocument
    paid: Decimal
    credited: Decimal
    written_off: Decimal
    open: Decimal
    due_passed: bool

    @property
    def state(self) -> str:
        """The first that fits: written_off, credited, paid, overdue, part_paid, issued."""
        if not self.document.is_invoice:
            return "issued"
        if self.written_off:
            return "written_off"
        if self.credited and self.credited == self.document.total:
            return "credited"
        if not self.open:
            return "paid"
        if self.due_passed:
            return OVERDUE
        return "part_paid" if self.open < self.document.total else "issued"


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """What is written with a document: the charges and packages of its lines (by number), and what it knows of.

    `first_page` makes the plain values of the first page of a numbered document.
    """

    document: Document
    seller: Seller
    today: date
    terms_days: int
    run_id: int
    catalog_change: int
    at_ms: int
    charges: Mapping[int, Sequence[PostedCharge]]
    packages: Mapping[int, tuple[str, str]]
    first_page: Callable[[Document], Any]


def issue(conn: Connection, issued: Issue) -> StoredDocument:
    """Writes a document under the writer's lock, and gives it its number."""
    document = issued.document
    series = issued.seller.invoice if document.kind == INVOICE else issued.seller.credit_note
    before = _last_of_series(conn, issued.seller.id, document.kind)
    issued_on = max(issued.today, before["issued_on"]) if before else issued.today
    number, period, sequence = _next_number(conn, issued.seller.id, document.kind, series, issued_on)
    due_on = issued_on + timedelta(days=issued.terms_days) if document.kind == INVOICE else None
    numbered = replace(document, number=number, issued_on=issued_on, due_on=due_on, last_run=issued.run_id)
    text = snapshot(numbered, issued.first_page(numbered))
    values = {
        "number": number,
        "seller_id": issued.seller.id,
        "kind": document.kind,
        "period": period,
        "sequence": sequence,
        "purpose": document.purpose,
        "account_id": document.customer.id,
        "month": document.month,
        "issued_on": issued_on,
        "due_on": due_on,
        "issued_at_ms": issued.at_ms,
        "currency": document.terms.currency,
        "net_scaled": to_scaled(document.net),
        "tax_scaled": to_scaled(document.tax),
        "total_scaled": to_scaled(document.total),
        "credits": document.credits,
        "replaces": document.replaces,
        "run_id": issued.run_id,
        "catalog_change": issued.catalog_change,
        "refund_id": conn.execute(select(func.coalesce(func.max(tables.package_refund.c.id), 0))).scalar_one(),
        "snapshot": text,
        "hash": chained_hash(text, before["hash"] if before else NO_HASH),
    }
    table = tables.document
    document_id: int = conn.execute(insert(table).values(values).returning(table.c.id)).scalar_one()
    _insert_contents(conn, document_id, issued)
    return find(conn, number)


def find(conn: Connection, number: str) -> StoredDocument:
    """The document with a number; a `UsageError` when there is none."""
    row = conn.execute(_select().where(tables.document.c.number == number)).mappings().first()
    if row is None:
        known = conn.execute(select(tables.document.c.number).order_by(tables.document.c.id.desc()).limit(100))
        numbers = list(known.scalars())
        there_is = unknown("document", number, numbers) if numbers else f"unknown document {number!r}: none is issued"
        raise UnknownNameError(there_is)
    return _document(row)


def documents(
    conn: Connection, *, accounts: Iterable[str] = (), month: date | None = None, seller: str | None = None
) -> list[StoredDocument]:
    """The documents of some accounts (none named: all), or of a month, in the order of their writing."""
    table = tables.document
    where: list[ColumnElement[bool]] = []
    if named := list(accounts):
        where.append(table.c.account_id.in_(named))
    if month is not None:
        where.append(table.c.month == month)
    if seller is not None:
        where.append(table.c.seller_id == seller)
    return [_document(row) for row in conn.execute(_select().where(and_(True, *where)).order_by(table.c.id)).mappings()]


def contents(conn: Connection, number: str) -> tuple[Document, Any]:
    """The document as it was issued, and the plain values of its first page."""
    text = conn.execute(select(tables.document.c.snapshot).where(tables.document.c.number == number)).scalar_one()
    return parse_snapshot(text)


def standings(conn: Connection, found: Sequence[StoredDocument], today: Mapping[str, date]) -> list[Standing]:
    """What is paid, credited and open of documents; `today` is each seller's date."""
    if not found:
        return []
    accounts = tables.transfer.c.account_id.in_({each.account_id for each in found})
    open_by_id, paid_by_id = open_amounts(conn, accounts), paid_amounts(conn, accounts)
    credited = _credited(conn, [each.number for each in found])
    written_off = dict(conn.execute(select(tables.write_off.c.document_id, tables.write_off.c.amount_scaled)).all())
    none = Decimal(0)
    return [
        Standing(
            document=each,
            paid=paid_by_id.get(each.id, none),
            credited=credited.get(each.number, none),
            written_off=from_scaled(written_off.get(each.id, 0)),
            open=open_by_id.get(each.id, none) if each.is_invoice else none,
            due_passed=each.due_on is not None and today[each.seller_id] > each.due_on,
        )
        for each in found
    ]


def credit_notes_of(conn: Connection, number: str) -> list[StoredDocument]:
    """The credit notes for a document, in their order."""
    table = tables.document
    rows = conn.execute(_select().where(table.c.credits == number).order_by(table.c.id)).mappings()
    return [_document(row) for row in rows]


def put_file(conn: Connection, document_id: int, file_format: str, content: bytes) -> None:
    """Keeps a file of a document as it was made first: `pdf`, `xml`, or its `logo`."""
    digest = hashlib.sha256(content).hexdigest()
    row = {"document_id": document_id, "format": file_format, "hash": digest, "content": content}
    conn.execute(insert(tables.document_file).values(row))


def find_file(conn: Connection, document_id: int, file_format: str) -> bytes | None:
    """A file of a document, if it was made."""
    table = tables.document_file
    wanted = select(table.c.content).filter_by(document_id=document_id, format=file_format)
    content: bytes | None = conn.execute(wanted).scalar()
    return content


def package_document(conn: Connection, package_id: str) -> tuple[StoredDocument, int] | None:
    """The live document on which a package was billed, and its line."""
    on, document = tables.document_package.c, tables.document.c
    query = select(document.number, on.line).join_from(
        tables.document_package, tables.document, document.id == on.document_id
    )
    billed = query.where(on.package_id == package_id, on.kind == "package").order_by(on.generation.desc())
    row = conn.execute(billed.limit(1)).first()
    return (find(conn, row.number), row.line) if row else None


def billed_packages(conn: Connection, kind: str) -> dict[str, int]:
    """The last generation of every package that is on a document as bought (`package`) or refunded (`refund`)."""
    table = tables.document_package
    query = select(table.c.package_id, func.max(table.c.generation)).where(table.c.kind == kind)
    return dict(conn.execute(query.group_by(table.c.package_id)).all())


def copy_contents(conn: Connection, old: StoredDocument, new: StoredDocument) -> None:
    """Puts the charges and packages of a reissued document on the one in its place: the next generation of each."""
    for table in (tables.document_charge, tables.document_package):
        rows = conn.execute(select(table).where(table.c.document_id == old.id)).mappings().all()
        again = [{**row, "document_id": new.id, "generation": row["generation"] + 1} for row in rows]
        insert_rows(conn, table, again)


def _insert_contents(conn: Connection, document_id: int, issued: Issue) -> None:
    on_document = {"document_id": document_id, "generation": 1}
    rows = [
        {
            **on_document,
            "line": line,
            "account_id": issued.document.customer.id,
            "day": posted.day,
            "app_id": posted.charge.app_id,
            "item": posted.charge.item,
            "slab": posted.charge.slab,
            "kind": posted.kind,
            "run_id": posted.run_id,
        }
        for line, charges in issued.charges.items()
        for posted in charges
    ]
    insert_rows(conn, tables.document_charge, rows)
    packages = [
        {**on_document, "line": line, "package_id": package_id, "kind": kind}
        for line, (package_id, kind) in issued.packages.items()
    ]
    insert_rows(conn, tables.document_package, packages)


def _next_number(
    conn: Connection, seller_id: str, kind: str, series: NumberSeries, issued_on: date
) -> tuple[str, str, int]:
    """The next number of a series with its period and place; the writer's lock is held."""
    table, period = tables.number_series, series.period(issued_on)
    key = {"seller_id": seller_id, "kind": kind, "period": period}
    last = conn.execute(select(table.c.last).filter_by(**key)).scalar() or 0
    if last:
        conn.execute(update(table).filter_by(**key).values(last=last + 1))
    else:
        conn.execute(insert(table).values(**key, last=1))
    number = series.number(last + 1, issued_on)
    if conn.execute(select(tables.document.c.id).where(tables.document.c.number == number)).first():
        raise BillingError(
            f'the number {number} of the next {kind.replace("_", " ")} of seller "{seller_id}" is taken: '
            "give the series another prefix"
        )
    return number, period, last + 1


def _last_of_series(conn: Connection, seller_id: str, kind: str) -> RowMapping | None:
    table = tables.document
    query = select(table.c.issued_on, table.c.hash).where(table.c.seller_id == seller_id, table.c.kind == kind)
    return conn.execute(query.order_by(table.c.id.desc()).limit(1)).mappings().first()


def _credited(conn: Connection, numbers: Sequence[str]) -> dict[str, Decimal]:
    """The sum of the credit notes for each document."""
    table = tables.document
    query = select(table.c.credits, func.sum(table.c.total_scaled)).where(table.c.credits.is_not(None))
    sums = {number: from_scaled(int(total)) for number, total in conn.execute(query.group_by(table.c.credits))}
    return {number: sums[number] for number in numbers if number in sums}


def _select() -> Any:
    return select(*(tables.document.c[name] for name in _COLUMNS))


def _document(row: RowMapping) -> StoredDocument:
    values: dict[str, Any] = {name: row[name] for name in _COLUMNS if not name.endswith("_scaled")}
    values |= {name: from_scaled(row[f"{name}_scaled"]) for name in ("net", "tax", "total")}
    return StoredDocument(**values)
