"""The transfers as they were posted, with the numbers and ids of what they refer to, for the journal."""

from collections.abc import Iterator
from datetime import date

from sqlalchemy import Connection, Row, Select, func, select

from billing.ledger.document_tables import document, payment, transfer
from billing.money import from_scaled
from billing.receivables.journal import PostedTransfer

_ROWS_AT_ONCE = 1_000


def posted_transfers(
    conn: Connection, *, account_id: str | None = None, first: date | None = None, last: date | None = None
) -> Iterator[PostedTransfer]:
    """The transfers of an account, or of all, posted from `first` to `last` (both included), in the order of their days
    and then of their writing. They are read while they are asked for."""
    query = _query()
    if account_id is not None:
        query = query.where(transfer.c.account_id == account_id)
    if first is not None:
        query = query.where(transfer.c.posted_on >= first)
    if last is not None:
        query = query.where(transfer.c.posted_on <= last)
    ordered = query.order_by(transfer.c.posted_on, transfer.c.id).execution_options(yield_per=_ROWS_AT_ONCE)
    return map(_posted, conn.execute(ordered))


def _query() -> Select[tuple[object, ...]]:
    invoice = document.alias("invoice")
    joined = (
        transfer.outerjoin(document, document.c.id == transfer.c.document_id)
        .outerjoin(invoice, invoice.c.id == transfer.c.receivable_id)
        .outerjoin(payment, payment.c.id == transfer.c.payment_id)
    )
    of = transfer.c
    return select(
        *(of.id, of.posted_on, of.recorded_at_ms, of.cause, of.account_id, of.debit, of.credit),
        *(of.amount_scaled, of.currency, of.package_id),
        document.c.number.label("document"),
        invoice.c.number.label("invoice"),
        payment.c.key.label("payment"),
        payment.c.reference,
        func.coalesce(document.c.seller_id, invoice.c.seller_id).label("seller"),
    ).select_from(joined)


def _posted(row: Row[tuple[object, ...]]) -> PostedTransfer:
    values = dict(row._mapping)
    amount, package = from_scaled(values.pop("amount_scaled")), values.pop("package_id")
    return PostedTransfer(**values, amount=amount, package=package)
