"""Provisional bills: what the unsettled days of an account would cost, as of the last refresh.

The seconds are those that the refresh has stored; minutes, deductions and money are worked out from them whenever they
are asked for, by the loop that the nightly settles with. A day that the refresh left out was quiet. Only the settled
bill counts.
"""

from dataclasses import dataclass
from datetime import date, timedelta

from billing.catalog.terms import DayTerms
from billing.ledger.account_ledger import AccountLedger
from billing.ledger.opening import AccountDay, account_days
from billing.ledger.provisional_days import ProvisionalDay, provisional_days
from billing.metering.schemas import window_usage
from billing.rating.day import BilledDay
from billing.rating.span import DayUsage, bill_span


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvisionalBill:
    """An unsettled day: its seconds up to the last refresh (None: it was quiet), and what they cost."""

    account_day: AccountDay
    stored: ProvisionalDay | None
    terms: DayTerms
    billed: BilledDay

    @property
    def day(self) -> date:
        """The local day."""
        return self.account_day.day

    @property
    def is_over(self) -> bool:
        """Whether the seconds reach the end of the day."""
        return self.stored is None or self.stored.cut_at == self.account_day.end


def provisional_bills(ledger: AccountLedger) -> list[ProvisionalBill]:
    """The unsettled days of an account up to the last that was refreshed, in order."""
    last = ledger.last_settled_day()
    stored = {
        day.day: day for day in provisional_days(ledger.conn, ledger.account_id) if last is None or day.day > last
    }
    if not stored:
        return []
    days = account_days(ledger, last + timedelta(days=1) if last else min(stored), max(stored))
    terms_of_days = ledger.terms_on(*(account_day.day for account_day in days))
    usage = (
        DayUsage(terms=terms, usage=window_usage(stored[terms.day].usage) if terms.day in stored else ())
        for terms in terms_of_days
    )
    bills = bill_span(usage, ledger.balances())
    return [
        ProvisionalBill(account_day=account_day, stored=stored.get(account_day.day), terms=terms, billed=billed)
        for account_day, terms, billed in zip(days, terms_of_days, bills, strict=True)
    ]
