"""Credit, reissue, write-off: what is wrong on a document is taken back by a further one; nothing is deleted."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from billing.catalog.taxes import Tax
from billing.errors import BillingError
from billing.home import Home
from billing.invoicing.credits import Credited, credit_note, spread, whole
from billing.invoicing.documents import Document, DocumentLine, Purpose, group_of, groups, make_document
from billing.jobs.annex_seal import seal_annexes
from billing.jobs.issuing import Issuer
from billing.jobs.standing import publish
from billing.ledger.database import Connection, Engine, writing
from billing.ledger.documents import StoredDocument, contents, copy_contents, credit_notes_of, find
from billing.ledger.drafts import parties, taxes_of, terms_of
from billing.ledger.issued_charges import corrected_amounts
from billing.ledger.postings import open_of, post_credit_note, post_document, post_write_off


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be credited: some lines, an amount, an amount of one line; neither: all that is left."""

    lines: Collection[int] | None = None
    amount: Decimal | None = None
    reason: str


def credit(home: Home, engine: Engine, number: str, wanted: Wanted) -> StoredDocument:
    """Writes a credit note for an invoice; a `BillingError`, and nothing is written, for more than is left."""
    with writing(engine) as conn:
        stored = find(conn, number)
        _check_invoice(stored)
        credited = credited_so_far(conn, stored)
        if wanted.amount is None:
            amounts = whole(credited, wanted.lines)
        else:
            amounts = spread(credited, wanted.amount, wanted.lines)
        issuer = Issuer.of(home, conn, stored.account_id, seller_id=stored.seller_id)
        note = write_credit_note(issuer, stored, credited, amounts, reason=wanted.reason)
        issuer.settle()
    publish(home, engine, [stored.account_id])
    return note


def reissue(home: Home, engine: Engine, number: str) -> list[StoredDocument]:
    """Takes a whole invoice back and issues its lines again, with the account's present party, terms and tax."""
    seal_annexes(engine)  # what an earlier one left that was killed
    with writing(engine) as conn:
        stored = find(conn, number)
        _check_invoice(stored)
        if notes := credit_notes_of(conn, number):
            raise BillingError(f"{number} cannot be reissued: {notes[0].number} has credited it already")
        credited = credited_so_far(conn, stored)
        before = Issuer.of(home, conn, stored.account_id, seller_id=stored.seller_id)
        amounts = {each.line.line: each.line.amount for each in credited.lines()}
        note = write_credit_note(before, stored, credited, amounts, reason="reissued", purpose="reissue")
        again = Issuer.of(home, conn, stored.account_id)
        new = _issue_again(again, stored, credited.document)
        again.settle()
    seal_annexes(engine)
    publish(home, engine, [stored.account_id])
    return [note, new]


def write_off(home: Home, engine: Engine, number: str, *, reason: str) -> StoredDocument:
    """Gives up what is open of an invoice; a `BillingError` when nothing is."""
    with writing(engine) as conn:
        stored = find(conn, number)
        _check_invoice(stored)
        issuer = Issuer.of(home, conn, stored.account_id, seller_id=stored.seller_id)
        if open_of(conn, stored) <= 0:
            raise BillingError(f"nothing is open of {number}")
        post_write_off(conn, stored, issuer.moment, reason=reason)
        issuer.settle()
    publish(home, engine, [stored.account_id])
    return stored


def credited_so_far(conn: Connection, stored: StoredDocument) -> Credited:
    """An invoice with its credit notes and what later corrections changed of its charges."""
    document, _ = contents(conn, stored.number)
    notes = [contents(conn, note.number)[0] for note in credit_notes_of(conn, stored.number)]
    return Credited(document=document, notes=notes, corrected=corrected_amounts(conn, stored.id))


def write_credit_note(
    issuer: Issuer,
    stored: StoredDocument,
    credited: Credited,
    amounts: Mapping[int, Decimal],
    *,
    reason: str,
    purpose: Purpose = "credit",
) -> StoredDocument:
    """Issues a credit note for exact amounts by line of an invoice, with its transfers; the caller settles."""
    draft = credit_note(credited, amounts, purpose=purpose, reason=reason)
    note = issuer.issue(draft)
    post_credit_note(issuer.conn, note, draft, stored, issuer.moment)
    return note


def _issue_again(issuer: Issuer, old: StoredDocument, document: Document) -> StoredDocument:
    catalog, account = issuer.catalog, issuer.account
    lines = list(_with_tax(document, catalog.tax_of(account)))
    seller, customer = parties(catalog, account)
    again = make_document(
        "reissue",
        lines,
        groups(lines, taxes_of(catalog), document.terms.currency, document.terms.rounding),
        month=document.month,
        seller=seller,
        customer=customer,
        terms=replace(
            terms_of(catalog, account),
            policies=document.terms.policies,
            contract=document.terms.contract,
            rounding=document.terms.rounding,
        ),
    )
    new = issuer.issue(replace(again, replaces=old.number))
    copy_contents(issuer.conn, old, new)
    post_document(issuer.conn, new, again, issuer.moment)
    return new


def _with_tax(document: Document, tax: Tax | None) -> Iterator[DocumentLine]:
    """The lines of a document in the groups of another tax."""
    for line in document.lines:
        day = line.first_day if line.kind in ("package", "refund") else line.last_day
        if line.kind != "rounding" and day is not None:
            named, valid_from = group_of(tax, day)
            yield replace(line, tax=named, tax_from=valid_from)


def _check_invoice(stored: StoredDocument) -> None:
    if not stored.is_invoice:
        raise BillingError(f"{stored.number} is a credit note: only an invoice can be credited or reissued")
