"""Issuing: what every document has in common, whatever it is for: its number, its message, its transfers.

All of it happens in the caller's transaction, under the writer's lock.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

from billing import periods
from billing.catalog.catalog import Account, Catalog
from billing.catalog.sellers import Seller
from billing.errors import BillingError
from billing.home import Home
from billing.invoicing.documents import INVOICE, Document
from billing.invoicing.page import make_page, page_table
from billing.ledger.account_ledger import AccountLedger
from billing.ledger.arrears import record_arrears
from billing.ledger.catalog_store import last_change, load_catalog
from billing.ledger.database import Connection
from billing.ledger.day_seals import last_head
from billing.ledger.documents import Issue, StoredDocument, issue, put_file
from billing.ledger.drafts import Draft, seller_of
from billing.ledger.outbox import put
from billing.ledger.postings import Moment, apply_credit, post_document, recognise_packages
from billing.ledger.runs import last_run
from billing.money import plain
from billing.rating.charges import PostedCharge


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """Who issues documents for an account, by the catalog of this moment."""

    home: Home
    conn: Connection
    catalog: Catalog
    account: Account
    seller: Seller
    moment: Moment

    @classmethod
    def of(
        cls,
        home: Home,
        conn: Connection,
        account_id: str,
        *,
        seller_id: str | None = None,
        catalog: Catalog | None = None,
    ) -> "Issuer":
        """For an account, its present seller or another; a `BillingError` when it has none.

        `catalog` is that of this moment, if it is known.
        """
        catalog = catalog or load_catalog(conn)
        account = catalog.account(account_id)
        seller = catalog.sellers[seller_id] if seller_id else seller_of(catalog, account)
        moment = Moment(day=today_of(seller), at_ms=now_ms())
        return cls(home=home, conn=conn, catalog=catalog, account=account, seller=seller, moment=moment)

    @property
    def ledger(self) -> AccountLedger:
        """The account's ledger."""
        return AccountLedger(conn=self.conn, account_id=self.account.id, catalog=self.catalog)

    @property
    def terms_days(self) -> int:
        """How many days after its issue an invoice of the account is due."""
        return self.seller.terms_days if self.account.terms_days is None else self.account.terms_days

    def issue(
        self,
        document: Document,
        *,
        charges: Mapping[int, Sequence[PostedCharge]] | None = None,
        packages: Mapping[int, tuple[str, str]] | None = None,
    ) -> StoredDocument:
        """Gives a document its number, and writes it with its logo and the message that it was issued."""
        logo = self._logo()
        terms = replace(document.terms, logo=None if logo is None else hashlib.sha256(logo).hexdigest())
        stored = issue(
            self.conn,
            Issue(
                document=replace(document, terms=terms, seal=self._seal(document)),
                seller=self.seller,
                today=self.moment.day,
                terms_days=self.terms_days,
                run_id=last_run(self.conn),
                catalog_change=last_change(self.conn),
                at_ms=self.moment.at_ms,
                charges=charges or {},
                packages=packages or {},
                first_page=first_page,
            ),
        )
        if logo is not None:
            put_file(self.conn, stored.id, "logo", logo)
        put(self.conn, "invoice.issued", stored.account_id, stored.number, _facts(stored), at_ms=self.moment.at_ms)
        return stored

    def _seal(self, document: Document) -> str | None:
        """The head of the account's sealed days, for what bills a month."""
        return last_head(self.conn, self.account.id) if document.purpose in ("usage", "reissue") else None

    def _logo(self) -> bytes | None:
        """The seller's picture as it is now."""
        if self.seller.logo is None:
            return None
        path = self.home.directory / self.seller.logo
        try:
            return path.read_bytes()
        except OSError as error:
            raise BillingError(
                f'the logo of seller "{self.seller.id}" cannot be read ({path}: {error.strerror}): put the picture '
                "there, or take the key logo out of the catalog"
            ) from None

    def issue_draft(self, draft: Draft) -> StoredDocument:
        """Issues a draft with the transfers that it makes; the caller settles."""
        stored = self.issue(draft.document, charges=draft.charges, packages=draft.packages)
        post_document(self.conn, stored, draft.document, self.moment)
        return stored

    def settle(self) -> None:
        """What follows at the end of a transaction: packages have earned, credit pays open invoices, arrears begin or
        end."""
        recognise_packages(self.conn, self.account.id, self.account.currency, self.moment)
        apply_credit(self.conn, self.account.id, self.account.currency, self.moment)
        record_arrears(self.ledger, at_ms=self.moment.at_ms)


def first_page(document: Document) -> object:
    """The plain values of a document's first page."""
    return page_table(make_page(document))


def today_of(seller: Seller) -> date:
    """The seller's date, by which documents are issued and fall due."""
    return periods.local_day(int(periods.now().timestamp()), periods.time_zone(seller.timezone))


def now_ms() -> int:
    """This moment in epoch milliseconds."""
    return int(periods.now().timestamp() * 1000)


def _facts(stored: StoredDocument) -> dict[str, object]:
    return {
        "number": stored.number,
        "kind": stored.kind,
        "purpose": stored.purpose,
        "month": f"{stored.month:%Y-%m}" if stored.month else None,
        "total": plain(stored.total),
        "currency": stored.currency,
        "issued_on": stored.issued_on.isoformat(),
        "due_on": stored.due_on.isoformat() if stored.kind == INVOICE and stored.due_on else None,
    }
