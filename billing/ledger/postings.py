"""Postings: the transfers that a document, a payment, a credit or a used package makes, written with their cause.

Whatever gives an account credit (a payment, a credit note, what a credit note gives back of a paid invoice) is
allocated at once to its open invoices; what is left waits for the next.

The revenue of a package follows its use: round(net price x used / granted) less what was recognised before; the rest is
recognised as breakage when its minutes lapse.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from sqlalchemy import Connection, func, insert, select

from billing.invoicing.documents import Document, DocumentLine, TaxAmount
from billing.ledger import document_tables as tables
from billing.ledger import tables as ledger_tables
from billing.ledger import transfers as books
from billing.ledger.documents import StoredDocument, documents
from billing.ledger.transfers import Entry, Transfer
from billing.money import minor_digits, round_by, round_half_up, to_scaled
from billing.receivables.allocation import Allocation, OpenInvoice, allocate


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """When something is posted: a day of the books and an instant."""

    day: date
    at_ms: int


def post_document(conn: Connection, stored: StoredDocument, document: Document, moment: Moment) -> None:
    """An invoice is owed, by what it is for; a month's credit note becomes credit."""
    if stored.is_invoice:
        moved = _parts(document, books.RECEIVABLE, stored.id)
        books.post(conn, _entry(stored, books.INVOICE, moment), moved)
    else:
        turned = (_reversed(each) for each in _parts(document, books.CREDIT, None))
        books.post(conn, _entry(stored, books.CREDIT_NOTE, moment), turned)


def post_credit_note(
    conn: Connection, stored: StoredDocument, document: Document, credited: StoredDocument, moment: Moment
) -> None:
    """A credit note for an invoice takes from what is open, then from what was written off; what is paid already is
    released as credit."""
    turned = (_reversed(each) for each in _parts(document, books.RECEIVABLE, credited.id))
    books.post(conn, _entry(stored, books.CREDIT_NOTE, moment), turned)
    left = open_of(conn, credited)
    recovered = min(-left, books.written_off(conn, credited.id)) if left < 0 else Decimal(0)
    if recovered:
        back = Transfer(debit=books.RECEIVABLE, credit=books.BAD_DEBT, amount=recovered, receivable_id=credited.id)
        books.post(conn, _entry(stored, books.WRITE_OFF, moment), [back])
        left += recovered
    if left < 0:
        released = Transfer(debit=books.RECEIVABLE, credit=books.CREDIT, amount=-left, receivable_id=credited.id)
        books.post(conn, _entry(stored, books.RELEASE, moment), [released])


def post_write_off(conn: Connection, stored: StoredDocument, moment: Moment, *, reason: str) -> None:
    """What is open of an invoice is given up."""
    left = open_of(conn, stored)
    values = {"document_id": stored.id, "amount_scaled": to_scaled(left), "reason": reason}
    conn.execute(insert(tables.write_off).values(**values, recorded_at_ms=moment.at_ms))
    given_up = Transfer(debit=books.BAD_DEBT, credit=books.RECEIVABLE, amount=left, receivable_id=stored.id)
    books.post(conn, _entry(stored, books.WRITE_OFF, moment), [given_up])


def apply_credit(
    conn: Connection, account_id: str, currency: str, moment: Moment, *, first: str | None = None
) -> list[Allocation]:
    """Pays the account's open invoices from its credit."""
    credit = books.credit_of(conn, account_id)
    if credit <= 0:
        return []
    allocations = allocate(credit, open_invoices(conn, account_id), first=first)
    entry = Entry(
        account_id=account_id,
        currency=currency,
        cause=books.ALLOCATION,
        posted_on=moment.day,
        recorded_at_ms=moment.at_ms,
    )
    books.post(
        conn,
        entry,
        [
            Transfer(debit=books.CREDIT, credit=books.RECEIVABLE, amount=each.amount, receivable_id=each.invoice.id)
            for each in allocations
        ],
    )
    return allocations


def open_invoices(conn: Connection, account_id: str) -> list[OpenInvoice]:
    """The account's invoices of which something is open."""
    open_by_id = books.open_amounts(conn, books.of_account(account_id))
    return [
        OpenInvoice(id=each.id, number=each.number, due_on=each.due_on, open=open_by_id[each.id])
        for each in documents(conn, accounts=[account_id])
        if each.due_on is not None and open_by_id.get(each.id, Decimal(0)) > 0
    ]


def open_of(conn: Connection, stored: StoredDocument) -> Decimal:
    """What is open of one invoice; below zero when more was credited than was open."""
    return books.open_amounts(conn, tables.transfer.c.receivable_id == stored.id).get(stored.id, Decimal(0))


def recognise_packages(conn: Connection, account_id: str, currency: str, moment: Moment) -> None:
    """Recognises the revenue of the account's packages that stand on documents, as far as they are used and lapsed."""
    for package_id, price in _deferred_prices(conn, account_id).items():
        used, gone, rest = _recognisable(conn, package_id, price, currency)
        for cause, account, target in ((books.USAGE, books.REVENUE, used), (books.LAPSE, rest, price - used)):
            if cause == books.LAPSE and not gone:
                target = Decimal(0)
            amount = target - books.recognised(conn, package_id, cause)
            entry = Entry(
                account_id=account_id,
                currency=currency,
                cause=cause,
                posted_on=moment.day,
                recorded_at_ms=moment.at_ms,
            )
            moved = Transfer(debit=books.DEFERRED, credit=account, amount=amount, package_id=package_id)
            books.post(conn, entry, [moved])


def _deferred_prices(conn: Connection, account_id: str) -> dict[str, Decimal]:
    """The net price of each package that stands on a document, less what credit notes took back of it."""
    transfer = tables.transfer.c
    by_document = transfer.cause.in_([books.INVOICE, books.CREDIT_NOTE]) & transfer.package_id.is_not(None)
    packages = select(transfer.package_id).where(transfer.account_id == account_id, by_document).distinct()
    return {
        package_id: books.deferred_by_documents(conn, package_id)
        for package_id in sorted(conn.execute(packages).scalars())
    }


def _recognisable(conn: Connection, package_id: str, price: Decimal, currency: str) -> tuple[Decimal, bool, str]:
    """What use has earned of a package's price, whether nothing of it is left, and where the rest goes then."""
    package, refund = ledger_tables.package.c, tables.package_refund.c
    granted = conn.execute(select(package.minutes).where(package.id == package_id)).scalar_one()
    refunded = conn.execute(select(refund.refunded).where(refund.package_id == package_id)).scalar()
    used, lapsed = (
        int(
            conn.execute(
                select(func.coalesce(func.sum(table.c.package_minutes), 0)).where(table.c.payer_id == package_id)
            ).scalar_one()
        )
        for table in (ledger_tables.burn_down, ledger_tables.lapse)
    )
    earned = round_by("half_up", price * used, Decimal(granted), minor_digits(currency))
    gone = used + lapsed + (refunded or 0) >= granted
    return earned, gone, books.BREAKAGE if refunded is None else books.REVENUE


def _parts(document: Document, other: str, receivable_id: int | None) -> Iterator[Transfer]:
    """What a document is for, as it would be owed: packages are deferred, the rest is revenue and tax."""
    revenue = document.net
    for line in document.lines:
        if line.kind == "package":
            net = _net(line, document.taxes, document.terms.currency)
            revenue -= net
            yield Transfer(
                debit=other, credit=books.DEFERRED, amount=net, receivable_id=receivable_id, package_id=line.package
            )
    yield Transfer(debit=other, credit=books.REVENUE, amount=revenue, receivable_id=receivable_id)
    yield Transfer(debit=other, credit=books.TAX, amount=document.tax, receivable_id=receivable_id)


def _net(line: DocumentLine, taxes: Iterable[TaxAmount], currency: str) -> Decimal:
    """A line without its tax, in minor units."""
    digits = minor_digits(currency)
    for tax in taxes:
        if (tax.tax, tax.valid_from) == line.group and tax.prices == "inclusive":
            return round_by("half_up", line.amount * 100, 100 + tax.rate, digits)
    return round_half_up(line.amount, digits)


def _reversed(moved: Transfer) -> Transfer:
    return Transfer(
        debit=moved.credit,
        credit=moved.debit,
        amount=moved.amount,
        receivable_id=moved.receivable_id,
        package_id=moved.package_id,
    )


def _entry(stored: StoredDocument, cause: str, moment: Moment) -> Entry:
    return Entry(
        account_id=stored.account_id,
        currency=stored.currency,
        cause=cause,
        posted_on=moment.day,
        recorded_at_ms=moment.at_ms,
        document_id=stored.id,
    )
