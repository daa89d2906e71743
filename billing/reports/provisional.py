"""Provisional bills: what the unsettled days of an account would cost, as of the last refresh.

The seconds are those that the refresh has stored; minutes, deductions and money are worked out from them whenever they
are asked for, by the same functions and in the same order as the nightly does it. Only the settled bill counts.
"""

from dataclasses import dataclass
from datetime import date

from billing.catalog.catalog import Catalog
from billing.catalog.terms import DayTerms
from billing.ledger import settled_days as bills
from billing.ledger.database import Connection
from billing.ledger.opening import AccountDay, account_days, balances_before, terms_of
from billing.ledger.provisional_days import ProvisionalDay, provisional_days
from billing.metering.windows import window_usage
from billing.rating.day import Balances, BilledDay, bill_day


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvisionalBill:
    """An unsettled day: its seconds up to the last refresh, what they cost, and the balances after them."""

    each: AccountDay
    stored: ProvisionalDay
    terms: DayTerms
    billed: BilledDay
    balances: Balances

    @property
    def day(self) -> date:
        """The local day."""
        return self.each.day

    @property
    def is_over(self) -> bool:
        """Whether the seconds reach the end of the day."""
        return self.stored.cut_at == self.each.end


def provisional_bills(conn: Connection, catalog: Catalog, account_id: str) -> list[ProvisionalBill]:
    """The unsettled days of an account that were refreshed, in order."""
    last = bills.last_settled_day(conn, account_id) or date.min
    balances = balances_before(conn, account_id)
    found = []
    for stored in provisional_days(conn, account_id):
        if stored.day <= last:
            continue
        each = account_days(catalog, account_id, stored.day, stored.day)[0]
        terms = terms_of(conn, catalog, each)
        billed = bill_day(terms, window_usage(stored.usage), balances)
        balances = balances.after(stored.day, billed)
        found.append(ProvisionalBill(each=each, stored=stored, terms=terms, billed=billed, balances=balances))
    return found
