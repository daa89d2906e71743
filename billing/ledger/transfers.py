"""The ledger of money: transfers between the accounts of the books, each balanced by construction.

A transfer debits one account and credits another by one amount above zero; it is written in the transaction of its
cause and never changed. What an invoice still asks for (`open`) is what its transfers leave on `receivable`; what a
customer has paid too much is the balance of `credit`:

| cause | debit | credit |
|---|---|---|
| invoice | receivable | revenue, tax, deferred (packages) |
| credit_note | revenue, tax, deferred | receivable of the invoice, or credit |
| payment | bank | credit |
| allocation | credit | receivable |
| release | receivable | credit: a credit note for what is paid already |
| usage, lapse | deferred | revenue, breakage |
| write_off | bad_debt | receivable; the other way round where it is credited after all |
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from sqlalchemy import ColumnElement, Connection, case, func, select, true

from billing.ledger.bulk import insert_rows
from billing.ledger.document_tables import transfer
from billing.money import from_scaled, to_scaled

RECEIVABLE, REVENUE, TAX, DEFERRED, BREAKAGE = "receivable", "revenue", "tax", "deferred", "breakage"
BANK, CREDIT, BAD_DEBT = "bank", "credit", "bad_debt"
# Causes; the first three are documents and payments.
INVOICE, CREDIT_NOTE, PAYMENT = "invoice", "credit_note", "payment"
ALLOCATION, RELEASE, USAGE, LAPSE, WRITE_OFF = "allocation", "release", "usage", "lapse", "write_off"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What the transfers of one cause have in common."""

    account_id: str
    currency: str
    cause: str
    posted_on: date
    recorded_at_ms: int
    document_id: int | None = None
    payment_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """`amount` moves from `credit` to `debit`; below zero the other way round. Zero is no transfer."""

    debit: str
    credit: str
    amount: Decimal
    receivable_id: int | None = None
    package_id: str | None = None


def post(conn: Connection, entry: Entry, transfers: Iterable[Transfer]) -> None:
    """Writes the transfers of a cause, in the caller's transaction."""
    insert_rows(conn, transfer, list(_rows(entry, transfers)))


def open_amounts(conn: Connection, where: ColumnElement[bool]) -> dict[int, Decimal]:
    """What is open of each invoice that has transfers, by its id."""
    return _by_document(conn, where & transfer.c.receivable_id.is_not(None), RECEIVABLE)


def paid_amounts(conn: Connection, where: ColumnElement[bool]) -> dict[int, Decimal]:
    """What payments and credit have paid of each invoice, less what was released again, by its id."""
    paying = transfer.c.cause.in_([ALLOCATION, RELEASE])
    found = _by_document(conn, where & paying & transfer.c.receivable_id.is_not(None), RECEIVABLE)
    return {document_id: -amount for document_id, amount in found.items()}


def of_account(account_id: str) -> ColumnElement[bool]:
    """The transfers of one account."""
    return transfer.c.account_id == account_id


def of_anybody() -> ColumnElement[bool]:
    """The transfers of all accounts."""
    return true()


def credit_of(conn: Connection, account_id: str) -> Decimal:
    """What the account has paid or was given and not used yet."""
    return -_balance(conn, of_account(account_id), CREDIT)


def written_off(conn: Connection, document_id: int) -> Decimal:
    """What of an invoice is given up as a loss, less what credit notes have taken back of that."""
    return _balance(conn, transfer.c.receivable_id == document_id, BAD_DEBT)


def deferred_by_documents(conn: Connection, package_id: str) -> Decimal:
    """What invoices have deferred of a package's price, less what credit notes took back."""
    return -_balance(
        conn, (transfer.c.package_id == package_id) & transfer.c.cause.in_([INVOICE, CREDIT_NOTE]), DEFERRED
    )


def recognised(conn: Connection, package_id: str, cause: str) -> Decimal:
    """What was recognised of a package's price by its use, or by its lapse."""
    return _balance(conn, (transfer.c.package_id == package_id) & (transfer.c.cause == cause), DEFERRED)


def _balance(conn: Connection, where: ColumnElement[bool], account: str) -> Decimal:
    query = select(func.coalesce(func.sum(_signed(account)), 0)).where(where, _touches(account))
    return from_scaled(int(conn.execute(query).scalar_one()))


def _by_document(conn: Connection, where: ColumnElement[bool], account: str) -> dict[int, Decimal]:
    query = select(transfer.c.receivable_id, func.sum(_signed(account))).where(where, _touches(account))
    rows = conn.execute(query.group_by(transfer.c.receivable_id))
    return {document_id: from_scaled(int(amount)) for document_id, amount in rows}


def _signed(account: str) -> ColumnElement[int]:
    amount = transfer.c.amount_scaled
    return case((transfer.c.debit == account, amount), else_=-amount)


def _touches(account: str) -> ColumnElement[bool]:
    return (transfer.c.debit == account) | (transfer.c.credit == account)


def _rows(entry: Entry, transfers: Iterable[Transfer]) -> Iterator[dict[str, object]]:
    for each in transfers:
        if not each.amount:
            continue
        sides = (each.debit, each.credit) if each.amount > 0 else (each.credit, each.debit)
        yield {
            "account_id": entry.account_id,
            "currency": entry.currency,
            "debit": sides[0],
            "credit": sides[1],
            "amount_scaled": to_scaled(abs(each.amount)),
            "cause": entry.cause,
            "document_id": entry.document_id,
            "receivable_id": each.receivable_id,
            "payment_id": entry.payment_id,
            "package_id": each.package_id,
            "posted_on": entry.posted_on,
            "recorded_at_ms": entry.recorded_at_ms,
        }
