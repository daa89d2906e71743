"""Payments: money received, recorded once by the bank's id of it, and lines of a bank's file that match nobody."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from sqlalchemy import Connection, RowMapping, insert, select

from billing.ledger import transfers as books
from billing.ledger.bulk import insert_rows
from billing.ledger.document_tables import payment, unmatched_payment
from billing.ledger.postings import Moment
from billing.ledger.transfers import Entry, Transfer
from billing.money import from_scaled, to_scaled


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """Money received from an account; `key` is the bank's id.

    Before it is recorded, `recorded_at_ms` is None, and so is `received_on` where it is today.
    """

    key: str
    account_id: str
    amount: Decimal
    currency: str
    received_on: date | None
    reference: str = ""
    recorded_at_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnmatchedPayment:
    """A line of a bank's file that cannot be recorded, and why (`detail`); all of it as text."""

    key: str
    file: str
    line: int
    amount: str
    currency: str
    received_on: str
    reference: str
    detail: str
    raw: str
    recorded_at_ms: int


def find_payment(conn: Connection, key: str) -> Payment | None:
    """The payment with the bank's id, if it is recorded."""
    row = conn.execute(select(payment).where(payment.c.key == key)).mappings().first()
    return None if row is None else _payment(row)


def payments(conn: Connection, account_id: str | None = None) -> list[Payment]:
    """The payments of an account, or of all, in the order of their recording."""
    query = select(payment).order_by(payment.c.id)
    rows = conn.execute(query if account_id is None else query.where(payment.c.account_id == account_id))
    return [_payment(row) for row in rows.mappings()]


def record_payment(conn: Connection, received: Payment, moment: Moment) -> None:
    """Writes a payment and its transfer, under the writer's lock."""
    values = {
        "key": received.key,
        "account_id": received.account_id,
        "amount_scaled": to_scaled(received.amount),
        "currency": received.currency,
        "received_on": received.received_on,
        "reference": received.reference,
        "recorded_at_ms": moment.at_ms,
    }
    payment_id = conn.execute(insert(payment).values(values).returning(payment.c.id)).scalar_one()
    entry = Entry(
        account_id=received.account_id,
        currency=received.currency,
        cause=books.PAYMENT,
        posted_on=moment.day,
        recorded_at_ms=moment.at_ms,
        payment_id=payment_id,
    )
    books.post(conn, entry, [Transfer(debit=books.BANK, credit=books.CREDIT, amount=received.amount)])


def put_unmatched(conn: Connection, found: Sequence[UnmatchedPayment]) -> int:
    """Quarantines lines of a bank's file, each once by its key; how many are new."""
    known = set(conn.execute(select(unmatched_payment.c.key)).scalars())
    fresh = [each for each in found if each.key not in known]
    insert_rows(conn, unmatched_payment, [{name: getattr(each, name) for name in each.__slots__} for each in fresh])
    return len(fresh)


def unmatched(conn: Connection) -> list[UnmatchedPayment]:
    """The quarantined lines whose payment is not recorded."""
    recorded = select(payment.c.key)
    query = select(unmatched_payment).where(unmatched_payment.c.key.not_in(recorded))
    rows = conn.execute(query.order_by(unmatched_payment.c.file, unmatched_payment.c.line)).mappings()
    return [UnmatchedPayment(**row) for row in rows]


def _payment(row: RowMapping) -> Payment:
    return Payment(
        key=row["key"],
        account_id=row["account_id"],
        amount=from_scaled(row["amount_scaled"]),
        currency=row["currency"],
        received_on=row["received_on"],
        reference=row["reference"],
        recorded_at_ms=row["recorded_at_ms"],
    )
