"""Closed months: an account's months are closed one after the other, by an invoice, a credit note, or as `nothing_due`.

The months before `invoices_from` are closed without document; where an account does not say, its first billed month is
the first. What is posted later is posted after the last closed month, so that a closed month never changes.
"""

from datetime import date

from sqlalchemy import Connection, func, insert, select

from billing.ledger import tables
from billing.ledger.account_ledger import AccountLedger
from billing.ledger.document_tables import closed_month
from billing.ledger.runs import BILLED
from billing.periods import next_month


def first_open_month(ledger: AccountLedger) -> date | None:
    """The month that is to be closed next; None: the account has no month yet."""
    last = last_closed_month(ledger.conn, ledger.account_id)
    return next_month(last) if last else ledger.account.invoices_from or first_billed_month(ledger)


def first_billed_month(ledger: AccountLedger) -> date | None:
    """The month of the first day that was billed when its time came."""
    settled, run = tables.settled_day.c, tables.run.c
    first = select(func.min(settled.day)).join_from(tables.settled_day, tables.run, settled.run_id == run.id)
    where = (settled.account_id == ledger.account_id) & (run.result == BILLED)
    day: date | None = ledger.conn.execute(first.where(where)).scalar()
    return day.replace(day=1) if day else None


def last_closed_month(conn: Connection, account_id: str) -> date | None:
    """The last month that is closed with a row."""
    month: date | None = conn.execute(
        select(func.max(closed_month.c.month)).where(closed_month.c.account_id == account_id)
    ).scalar()
    return month


def closings(conn: Connection, account_id: str) -> dict[date, tuple[str, int | None]]:
    """The closed months of an account: how each was closed, and its document."""
    rows = conn.execute(
        select(closed_month).where(closed_month.c.account_id == account_id).order_by(closed_month.c.month)
    )
    return {row.month: (row.result, row.document_id) for row in rows}


def close_month(
    conn: Connection, account_id: str, month: date, result: str, document_id: int | None, *, at_ms: int
) -> None:
    """Closes a month, in the transaction that writes its document."""
    values = {"account_id": account_id, "month": month, "result": result, "document_id": document_id}
    conn.execute(insert(closed_month).values(**values, closed_at_ms=at_ms))


def posting_day(conn: Connection, account_id: str, day: date) -> date:
    """The day on which a correction is posted: `day`, or the first one after the last closed month."""
    account = tables.account.c
    last = last_closed_month(conn, account_id)
    first = (
        next_month(last)
        if last
        else conn.execute(select(account.invoices_from).where(account.id == account_id)).scalar()
    )
    return max(day, first) if first else day
