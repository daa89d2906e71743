"""What an audit reads of the database, row by row, as it stands there."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from sqlalchemy import ColumnElement, Connection, LargeBinary, and_, cast, func, select

from billing.ledger import document_tables as documents
from billing.ledger import tables
from billing.ledger import transfers as books
from billing.money import from_scaled


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """A document's place in its series, its snapshot and its hash."""

    id: int
    number: str
    account_id: str
    seller_id: str
    kind: str
    period: str
    sequence: int
    issued_on: date
    snapshot: str
    hash: str


def sealed_documents(conn: Connection) -> Iterator[Sealed]:
    """Every document in the order of its series."""
    table = documents.document
    names = Sealed.__slots__
    query = select(*(table.c[name] for name in names)).order_by(table.c.seller_id, table.c.kind, table.c.id)
    for row in conn.execute(query).mappings():
        yield Sealed(**row)


def last_numbers(conn: Connection) -> dict[tuple[str, str, str], int]:
    """The last number given, by seller, kind and period."""
    series = documents.number_series.c
    rows = conn.execute(select(series.seller_id, series.kind, series.period, series.last))
    return {(seller, kind, period): last for seller, kind, period, last in rows}


def file_hashes(conn: Connection) -> Iterator[tuple[str, str, str, str, str]]:
    """Each file of a document: number, account, format, the hash that is kept, and that of its content."""
    file, document = documents.document_file, documents.document
    # SQLite keeps text too, where somebody put some.
    content = cast(file.c.content, LargeBinary)
    query = select(document.c.number, document.c.account_id, file.c.format, file.c.hash, content)
    query = query.join_from(file, document).order_by(document.c.id, file.c.format)
    for number, account_id, file_format, kept, found in conn.execute(query.execution_options(yield_per=10)):
        yield number, account_id, file_format, kept, hashlib.sha256(found).hexdigest()


def charged_lines(conn: Connection) -> dict[tuple[int, int], Decimal]:
    """The sum of the charges on each line of each document."""
    on, charge = documents.document_charge, tables.charge
    amounts = select(on.c.document_id, on.c.line, func.sum(charge.c.amount_scaled)).select_from(
        on.join(charge, _same_charge())
    )
    rows = conn.execute(amounts.group_by(on.c.document_id, on.c.line))
    return {(document_id, line): from_scaled(int(amount)) for document_id, line, amount in rows}


def charges_off_documents(conn: Connection) -> Iterator[tuple[str, date, int, str, str, Decimal]]:
    """The charges of months closed by a document that stand on none: account, day, app, item, kind, amount."""
    on, charge, closed = documents.document_charge, tables.charge, documents.closed_month
    month = func.max(closed.c.month)
    through = select(closed.c.account_id, month.label("month")).group_by(closed.c.account_id).subquery()
    first = (
        select(closed.c.account_id, func.min(closed.c.month).label("month")).group_by(closed.c.account_id).subquery()
    )
    columns = (charge.c.account_id, charge.c.day, charge.c.app_id, charge.c.item, charge.c.kind, charge.c.amount_scaled)
    query = (
        select(*columns, charge.c.posted_on)
        .select_from(
            charge.join(through, charge.c.account_id == through.c.account_id)
            .join(first, charge.c.account_id == first.c.account_id)
            .outerjoin(on, _same_charge())
            .outerjoin(documents.document, documents.document.c.id == on.c.document_id)
        )
        .where(documents.document.c.id.is_(None), charge.c.posted_on >= first.c.month)
    )
    without = {
        (row.account_id, row.month)
        for row in conn.execute(select(closed.c.account_id, closed.c.month).where(closed.c.document_id.is_(None)))
    }
    last = {row.account_id: row.month for row in conn.execute(select(through.c.account_id, through.c.month))}
    for account_id, day, app_id, item, kind, amount, posted_on in conn.execute(query):
        posted_in = posted_on.replace(day=1)
        if posted_in <= last[account_id] and (account_id, posted_in) not in without:
            yield account_id, day, app_id, item, kind, from_scaled(amount)


def posted_by_document(conn: Connection) -> dict[int, Decimal]:
    """What each document moved to or from the customer, by its id: above zero, the customer owes it."""
    moved: dict[int, Decimal] = {}
    transfer = documents.transfer.c
    query = select(transfer.document_id, transfer.debit, transfer.credit, func.sum(transfer.amount_scaled)).where(
        transfer.cause.in_([books.INVOICE, books.CREDIT_NOTE])
    )
    rows = conn.execute(query.group_by(transfer.document_id, transfer.debit, transfer.credit))
    for document_id, debit, credit, amount in rows:
        sign = (debit in _CUSTOMER) - (credit in _CUSTOMER)
        moved[document_id] = moved.get(document_id, Decimal(0)) + sign * from_scaled(int(amount))
    return moved


def payments_posted(conn: Connection) -> Iterator[tuple[str, str, Decimal, Decimal]]:
    """Each payment: its bank's id, its account, its amount and what its transfers come to."""
    payment, transfer = documents.payment, documents.transfer
    joined = payment.outerjoin(transfer, and_(transfer.c.payment_id == payment.c.id, transfer.c.debit == books.BANK))
    amounts = func.coalesce(func.sum(transfer.c.amount_scaled), 0)
    query = select(payment.c.key, payment.c.account_id, payment.c.amount_scaled, amounts).select_from(joined)
    for key, account_id, amount, posted in conn.execute(query.group_by(payment.c.id)):
        yield key, account_id, from_scaled(amount), from_scaled(int(posted))


_CUSTOMER = (books.RECEIVABLE, books.CREDIT)


def _same_charge() -> ColumnElement[bool]:
    on, charge = documents.document_charge.c, tables.charge.c
    keys = ("account_id", "day", "app_id", "item", "slab", "kind", "run_id")
    return and_(*(on[key] == charge[key] for key in keys))
