"""The first page of a document for reading: of an issued one as it was issued, of a draft as it is now."""

from dataclasses import dataclass
from datetime import date

from billing.invoicing.page import Page, make_page, page_from_table
from billing.ledger.account_ledger import AccountLedger
from billing.ledger.database import Engine, reading
from billing.ledger.documents import contents, find
from billing.ledger.drafts import month_draft


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentPage:
    """A page, and the account that it goes to."""

    account_id: str
    page: Page


def document_page(engine: Engine, number: str) -> DocumentPage:
    """The page of an issued document; a `UsageError` where there is none of that number."""
    with reading(engine) as conn:
        stored = find(conn, number)
        _, table = contents(conn, number)
    return DocumentPage(account_id=stored.account_id, page=page_from_table(table))


def draft_page(engine: Engine, account_id: str, month: date) -> DocumentPage:
    """The page that a month's document would have now; a `BillingError` where no day of it is billed."""
    with reading(engine) as conn:
        draft = month_draft(AccountLedger.at(conn, account_id), month)
    return DocumentPage(account_id=account_id, page=make_page(draft.document))
