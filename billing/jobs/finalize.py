"""Finalize: a month of an account is closed, by an invoice, by a credit note, or without document when nothing is due.

    settled days, corrections, packages -> draft -> number -> snapshot, transfers, message: one transaction

It needs every day of the month settled, the seller's days of grace over, and an answer to each finding that holds the
month (`billing check`). Months are closed in order. What was closed before is said again, and nothing is written.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from functools import partial

from billing import periods
from billing.catalog.catalog import Account
from billing.catalog.sellers import Seller
from billing.home import Home
from billing.jobs.annex_seal import seal_annexes
from billing.jobs.issuing import Issuer, today_of
from billing.jobs.metered_days import Failure, guarded
from billing.jobs.standing import publish
from billing.ledger.account_ledger import AccountLedger
from billing.ledger.catalog_store import KnownCatalog, known_catalog
from billing.ledger.closed_months import close_month, closings, first_open_month
from billing.ledger.database import Engine, reading, writing
from billing.ledger.documents import StoredDocument, documents
from billing.ledger.drafts import Draft, month_draft, seller_of
from billing.periods import month_days
from billing.reports.anomalies.month_check import MonthCheck

ISSUED, NOTHING_DUE, ALREADY_ISSUED, WOULD_ISSUE = "issued", "nothing_due", "already_issued", "would_issue"
NOT_SETTLED, HELD, FAILED = "not_settled", "held", "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finalized:
    """What became of an account's month. Amounts of a credit note are positive."""

    account: str
    month: date
    number: str | None = None
    kind: str | None = None
    net: Decimal | None = None
    tax: Decimal | None = None
    total: Decimal | None = None
    currency: str
    issued_on: date | None = None
    due_on: date | None = None
    result: str
    detail: str = ""

    @property
    def is_failure(self) -> bool:
        """Whether the month was asked for and is not closed."""
        return self.result in (NOT_SETTLED, HELD, FAILED)


def finalize(
    home: Home, engine: Engine, accounts: Sequence[Account], months: Sequence[date], *, dry_run: bool = False
) -> Iterator[Finalized]:
    """Closes one month of each account; one that fails does not stop the others.

    The standing of accounts that were closed before is published too: a run that was killed may not have done so.
    """
    closed_by_document: list[str] = []
    check = MonthCheck(home=home, engine=engine)
    with reading(engine) as conn:
        known = known_catalog(conn)
    for account, month in zip(accounts, months, strict=True):
        closed = guarded(
            f"account {account.id}, {month:%Y-%m}",
            partial(_finalize, check, known, account, month, dry_run=dry_run),
        )
        if isinstance(closed, Failure):
            closed = Finalized(
                account=account.id, month=month, currency=account.currency, result=FAILED, detail=closed.reason
            )
        if closed.result in (ISSUED, ALREADY_ISSUED):
            closed_by_document.append(account.id)
        yield closed
    if not dry_run:
        seal_annexes(engine)
        if closed_by_document:
            publish(home, engine, closed_by_document)


def _finalize(check: MonthCheck, known: KnownCatalog, account: Account, month: date, *, dry_run: bool) -> Finalized:
    # What takes long is done before the database is locked.
    with reading(check.engine) as conn:
        ledger = AccountLedger(conn=conn, account_id=account.id, catalog=known.now(conn).catalog)
        if found := _refused(ledger, month) or _held(check, ledger, month):
            return found
    with reading(check.engine) if dry_run else writing(check.engine) as conn:
        ledger = AccountLedger(conn=conn, account_id=account.id, catalog=known.now(conn).catalog)
        if found := _refused(ledger, month):
            return found
        seller = seller_of(ledger.catalog, ledger.account)
        draft = month_draft(ledger, month)
        if dry_run:
            if draft.is_due or seller.issue_zero:
                return _drafted(ledger, seller, month, draft)
            return _nothing_due(ledger, month, draft)
        return _close(check.home, ledger, month, draft)


def _refused(ledger: AccountLedger, month: date) -> Finalized | None:
    """What there is to say of a month that is closed, or cannot be closed yet."""
    if found := _answered(ledger, month):
        return found
    reason = _not_settled(ledger, seller_of(ledger.catalog, ledger.account), month)
    return _outcome(ledger, month, NOT_SETTLED, reason) if reason else None


def _held(check: MonthCheck, ledger: AccountLedger, month: date) -> Finalized | None:
    """Whether the month waits for somebody to look at it."""
    if waiting := check.unanswered(ledger, month):
        findings = "1 finding waits" if len(waiting) == 1 else f"{len(waiting)} findings wait"
        detail = f"{findings} for an answer: `billing check {ledger.account_id} --month {month:%Y-%m}` shows what"
        return _outcome(ledger, month, HELD, detail)
    return None


def _answered(ledger: AccountLedger, month: date) -> Finalized | None:
    """What there is to say of a month that cannot be closed now: it is, or an earlier one is not."""
    closed = closings(ledger.conn, ledger.account_id)
    if month in closed:
        _, document_id = closed[month]
        if document_id is None:
            return _outcome(ledger, month, NOTHING_DUE, "closed before")
        stored = next(each for each in documents(ledger.conn, accounts=[ledger.account_id]) if each.id == document_id)
        return _of_document(ledger, month, stored, ALREADY_ISSUED)
    first = first_open_month(ledger)
    if first is None:
        return _outcome(ledger, month, NOT_SETTLED, "no day of the account is billed yet: run `billing nightly` first")
    if month < first:
        began = min(closed, default=first)
        return _outcome(ledger, month, NOTHING_DUE, f"months before {began:%Y-%m} are closed without document")
    if month > first:
        detail = f"{first:%Y-%m} is not closed: finalize it first"
        return _outcome(ledger, month, FAILED, detail)
    return None


def _not_settled(ledger: AccountLedger, seller: Seller, month: date) -> str | None:
    """Why the month cannot be closed yet."""
    last, settled = month_days(month)[-1], ledger.last_settled_day()
    if settled is None or settled < last:
        return f"billed through {settled or 'no day'}: the month is settled with {last}, run `billing nightly`"
    open_from = last + timedelta(days=1 + seller.grace_days)
    if periods.local_day(int(periods.now().timestamp()), ledger.zone) < open_from:
        return f"the days of grace last until {open_from - timedelta(days=1)}"
    return None


def _close(home: Home, ledger: AccountLedger, month: date, draft: Draft) -> Finalized:
    issuer = Issuer.of(home, ledger.conn, ledger.account_id, catalog=ledger.catalog)
    at_ms = issuer.moment.at_ms
    if not (draft.is_due or issuer.seller.issue_zero):
        close_month(ledger.conn, ledger.account_id, month, NOTHING_DUE, None, at_ms=at_ms)
        return _nothing_due(ledger, month, draft)
    stored = issuer.issue_draft(draft)
    close_month(ledger.conn, ledger.account_id, month, stored.kind, stored.id, at_ms=at_ms)
    issuer.settle()
    return _of_document(ledger, month, stored, ISSUED)


def _outcome(ledger: AccountLedger, month: date, result: str, detail: str = "") -> Finalized:
    account = ledger.account
    return Finalized(account=account.id, month=month, currency=account.currency, result=result, detail=detail)


def _of_document(ledger: AccountLedger, month: date, stored: StoredDocument, result: str) -> Finalized:
    return Finalized(
        account=ledger.account_id,
        month=month,
        number=stored.number,
        kind=stored.kind,
        net=stored.net,
        tax=stored.tax,
        total=stored.total,
        currency=stored.currency,
        issued_on=stored.issued_on,
        due_on=stored.due_on,
        result=result,
    )


def _nothing_due(ledger: AccountLedger, month: date, draft: Draft) -> Finalized:
    document = draft.document
    return Finalized(
        account=ledger.account_id,
        month=month,
        net=document.net,
        tax=document.tax,
        total=document.total,
        currency=document.terms.currency,
        result=NOTHING_DUE,
    )


def _drafted(ledger: AccountLedger, seller: Seller, month: date, draft: Draft) -> Finalized:
    document, today = draft.document, today_of(seller)
    terms_days = seller.terms_days if ledger.account.terms_days is None else ledger.account.terms_days
    return Finalized(
        account=ledger.account_id,
        month=month,
        kind=document.kind,
        net=document.net,
        tax=document.tax,
        total=document.total,
        currency=document.terms.currency,
        issued_on=today,
        due_on=None if document.is_credit_note else today + timedelta(days=terms_days),
        result=WOULD_ISSUE,
    )
