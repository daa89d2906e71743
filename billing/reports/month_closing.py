"""Which months of an account are closed, and how: what can be finalized next."""

from dataclasses import dataclass
from datetime import date

from billing.ledger.account_ledger import AccountLedger
from billing.ledger.closed_months import closings, first_open_month
from billing.ledger.database import Engine, reading


@dataclass(frozen=True, slots=True, kw_only=True)
class MonthClosing:
    """The months that are closed, with `invoice`, `credit_note` or `nothing_due`; the one that is closed next."""

    closed: dict[date, str]
    next_month: date | None


def month_closing(engine: Engine, account_id: str) -> MonthClosing:
    """The months of an account."""
    with reading(engine) as conn:
        ledger = AccountLedger.at(conn, account_id)
        closed = {month: result for month, (result, _) in closings(conn, account_id).items()}
        return MonthClosing(closed=closed, next_month=first_open_month(ledger))
