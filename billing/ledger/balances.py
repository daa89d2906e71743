"""The balance of an account: its credit, less what is open of its invoices, less the drafts of its open months.

So the balance and the next invoice cannot differ by a cent: when a month is closed, its draft becomes an invoice of the
same total, and the balance stays as it is.
"""

from dataclasses import dataclass
from decimal import Decimal, localcontext

from billing.ledger import transfers as books
from billing.ledger.account_ledger import AccountLedger
from billing.ledger.drafts import open_drafts
from billing.money import EXACT


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountBalance:
    """`credit` waits for the next invoice, `open` is owed by invoices, `draft` by months that are not closed, with tax.

    A draft that would be a credit note is below zero.
    """

    credit: Decimal
    open: Decimal
    draft: Decimal

    @property
    def balance(self) -> Decimal:
        """What the account has; below zero: what it owes."""
        with localcontext(EXACT):
            return self.credit - self.open - self.draft


def account_balance(ledger: AccountLedger) -> AccountBalance:
    """The balance of an account by what is settled now."""
    open_by_id = books.open_amounts(ledger.conn, books.of_account(ledger.account_id))
    with localcontext(EXACT):
        return AccountBalance(
            credit=books.credit_of(ledger.conn, ledger.account_id),
            open=sum(open_by_id.values(), Decimal(0)),
            draft=sum((draft.document.signed_total for draft in open_drafts(ledger)), Decimal(0)),
        )
