"""Payments: recorded once by the bank's id, and allocated at once to what the account owes.

A payment whose id is on record with the same content is not recorded again; with another content it is refused.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from billing.errors import BillingError
from billing.jobs.issuing import Issuer, now_ms, today_of
from billing.ledger import transfers as books
from billing.ledger.catalog_store import load_catalog
from billing.ledger.database import Connection, Engine, writing
from billing.ledger.outbox import put
from billing.ledger.payments import Payment, find_payment, record_payment
from billing.ledger.postings import Moment, apply_credit, open_invoices
from billing.money import plain, round_to_minor_unit
from billing.receivables.allocation import Allocation, named_in

RECORDED, ALREADY_RECORDED = "recorded", "already_recorded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A payment and what it paid; `credit` is what the account has left after it."""

    payment: Payment
    result: str
    allocated: Sequence[Allocation] = ()
    credit: Decimal


def add_payment(engine: Engine, received: Payment) -> Received:
    """Records a payment; a `BillingError`, and nothing is written, when it cannot be."""
    with writing(engine) as conn:
        return record(conn, received)


def record(conn: Connection, received: Payment) -> Received:
    """The same in the caller's transaction."""
    account = load_catalog(conn).accounts.get(received.account_id)
    if account is None:
        raise BillingError(f"unknown account {received.account_id!r}: see `billing account list`")
    _check_amount(received, account.currency)
    known = find_payment(conn, received.key)
    if known:
        if replace(known, recorded_at_ms=None) != received:
            raise BillingError(_differs(known, received))
        left = books.credit_of(conn, account.id)
        return Received(payment=known, result=ALREADY_RECORDED, credit=left)
    moment = Moment(day=received.received_on, at_ms=now_ms())
    named = named_in(received.reference, open_invoices(conn, account.id))
    record_payment(conn, received, moment)
    allocated = apply_credit(conn, account.id, received.currency, moment, first=named)
    facts = {
        "id": received.key,
        "amount": plain(received.amount),
        "currency": received.currency,
        "received_on": received.received_on.isoformat(),
        "allocated": [{"number": each.invoice.number, "amount": plain(each.amount)} for each in allocated],
    }
    put(conn, "payment.received", account.id, received.key, facts, at_ms=moment.at_ms)
    left = books.credit_of(conn, account.id)
    return Received(payment=received, result=RECORDED, allocated=allocated, credit=left)


def received_today(conn: Connection, account_id: str) -> date:
    """The date of the account's seller, on which a payment counts that names no day."""
    return today_of(Issuer.of(conn, account_id).seller)


def _check_amount(received: Payment, currency: str) -> None:
    amount = received.amount
    if received.currency != currency:
        raise BillingError(
            f"payment {received.key!r} is in {received.currency}, but account {received.account_id!r} is billed in "
            f"{currency}: nothing was recorded"
        )
    if amount <= 0 or amount != round_to_minor_unit(amount, currency):
        raise BillingError(f"{plain(amount)} is not an amount of {currency} above 0 in its smallest unit")


def _differs(known: Payment, received: Payment) -> str:
    differences = [
        f"{name} {getattr(known, name)} instead of {getattr(received, name)}"
        for name in ("account_id", "amount", "currency", "received_on", "reference")
        if getattr(known, name) != getattr(received, name)
    ]
    return f"payment {received.key!r} is on record with {', '.join(differences)}: nothing was recorded"
