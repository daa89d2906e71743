"""Payments: recorded once by the bank's id, and allocated at once to what the account owes.

A payment whose id is on record with the same content is not recorded again; with another content it is refused.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from billing.catalog.catalog import Account, Catalog
from billing.errors import BillingError, unknown
from billing.home import Home
from billing.jobs.issuing import now_ms, today_of
from billing.jobs.standing import publish
from billing.ledger import transfers as books
from billing.ledger.account_ledger import AccountLedger
from billing.ledger.arrears import record_arrears
from billing.ledger.catalog_store import load_catalog
from billing.ledger.database import Connection, Engine, writing
from billing.ledger.outbox import put
from billing.ledger.payments import Payment, find_payment, record_payment
from billing.ledger.postings import Moment, apply_credit, open_invoices
from billing.money import plain, round_to_minor_unit, to_scaled
from billing.periods import local_day, time_zone
from billing.receivables.allocation import Allocation, named_in

RECORDED, ALREADY_RECORDED = "recorded", "already_recorded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A payment and what it paid; `credit` is what the account has left after it."""

    payment: Payment
    result: str
    allocated: Sequence[Allocation] = ()
    credit: Decimal


def add_payment(home: Home, engine: Engine, received: Payment) -> Received:
    """Records a payment; a `BillingError`, and nothing is written, when it cannot be."""
    with writing(engine) as conn:
        found = record(conn, load_catalog(conn), received)
    publish(home, engine, [received.account_id])
    return found


def record(conn: Connection, catalog: Catalog, received: Payment) -> Received:
    """The same in the caller's transaction. A payment without a day was received today, where the seller is."""
    account = catalog.accounts.get(received.account_id)
    if account is None:
        raise BillingError(unknown("account", received.account_id, catalog.accounts))
    received = _completed(account, received)
    known = find_payment(conn, received.key)
    if known:
        _check_same(known, received)
        left = books.credit_of(conn, account.id)
        return Received(payment=known, result=ALREADY_RECORDED, credit=left)
    day = received.received_on or _today(catalog, account)
    received = replace(received, received_on=day)
    _check_amount(received, account.currency)
    to_scaled(books.credit_of(conn, account.id) + received.amount)  # refuses what cannot be stored
    moment = Moment(day=day, at_ms=now_ms())
    named = named_in(received.reference, open_invoices(conn, account.id))
    record_payment(conn, received, moment)
    allocated = apply_credit(conn, account.id, received.currency, moment, first=named)
    facts = {
        "id": received.key,
        "amount": plain(received.amount),
        "currency": received.currency,
        "received_on": day.isoformat(),
        "allocated": [{"number": each.invoice.number, "amount": plain(each.amount)} for each in allocated],
    }
    put(conn, "payment.received", account.id, received.key, facts, at_ms=moment.at_ms)
    record_arrears(AccountLedger(conn=conn, account_id=account.id, catalog=catalog), at_ms=moment.at_ms)
    left = books.credit_of(conn, account.id)
    return Received(payment=received, result=RECORDED, allocated=allocated, credit=left)


def _completed(account: Account, received: Payment) -> Payment:
    """A payment that names no currency is in the account's."""
    return replace(received, currency=received.currency or account.currency)


def _today(catalog: Catalog, account: Account) -> date:
    seller = catalog.seller_of(account)
    return today_of(seller) if seller else local_day(now_ms() // 1000, time_zone(account.timezone))


def _check_amount(received: Payment, currency: str) -> None:
    amount = received.amount
    if received.currency != currency:
        raise BillingError(
            f"payment {received.key!r} is in {received.currency}, but account {received.account_id!r} is billed in "
            f"{currency}: nothing was recorded"
        )
    if amount <= 0 or amount != round_to_minor_unit(amount, currency):
        raise BillingError(f"{plain(amount)} is not an amount of {currency} above 0 in its smallest unit")


def _check_same(known: Payment, received: Payment) -> None:
    """A payment that comes again must be the one on record; it need not name its day again."""
    day = received.received_on or known.received_on
    again = replace(received, received_on=day, recorded_at_ms=known.recorded_at_ms)
    differences = [
        f"{name} {_shown(getattr(known, name))} instead of {_shown(getattr(again, name))}"
        for name in ("account_id", "amount", "currency", "received_on", "reference")
        if getattr(known, name) != getattr(again, name)
    ]
    if differences:
        raise BillingError(f"payment {received.key!r} is on record with {', '.join(differences)}: nothing was recorded")


def _shown(value: object) -> str:
    return plain(value) if isinstance(value, Decimal) else repr(value) if isinstance(value, str) else str(value)
