"""Audit: whether everything that was issued still agrees with itself, with the charges, and with the ledger of money.

- *number*, *issue date*: each series counts from 1 without a gap, and its dates never go back;
- *chain*: the snapshot of each document and the hash of the one before give its hash;
- *row*: the row of a document says what its snapshot says; *tax*: its lines give its tax;
- *line*, *charge*: a line is the sum of its charges, and every charge of a closed month stands on a document;
- *annex*: every column of the annex is what it was when the document was issued;
- *file*: the PDF, the XML and the logo are what was made first;
- *month*: the months of an account are closed one after the other;
- *credit*: no more is credited than was billed;
- *ledger*: the transfers of documents and payments come to their amounts, and nothing open is below zero.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from decimal import Decimal, localcontext
from typing import Any

from billing.catalog.catalog import Catalog
from billing.catalog.taxes import TaxVersion
from billing.errors import BillingError
from billing.invoicing.documents import Document, group_amounts
from billing.invoicing.snapshot import NO_HASH, chained_hash, parse_snapshot
from billing.ledger import audit_rows as rows
from billing.ledger.annexes import has_annex, issued_annex
from billing.ledger.audit_rows import Sealed
from billing.ledger.catalog_store import catalog_of_change
from billing.ledger.closed_months import closings
from billing.ledger.database import Connection, Engine, reading
from billing.ledger.documents import StoredDocument, contents, documents
from billing.ledger.seals import column_hashes, seal_of
from billing.ledger.transfers import of_anybody, open_amounts
from billing.money import EXACT, plain
from billing.periods import next_month

ROUNDING = "rounding"
Progress = Callable[[int], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """One thing that does not agree."""

    check: str
    document: str | None = None
    account: str | None = None
    expected: str
    found: str
    detail: str


def audit(
    engine: Engine,
    *,
    with_annexes: bool = True,
    account_id: str | None = None,
    month: date | None = None,
    progress: Progress = lambda _: None,
) -> list[dict[str, Any]]:
    """Everything that does not agree, of one account or month alone if they are given; nothing if all is well.

    Annexes are made again for that, which takes as long as their export; `progress` is called with 1 for each.
    """
    with reading(engine) as conn:
        parts = (_series, _contents, _files, _charges, _months, _ledger)
        found = [each for part in parts for each in _readable(part(conn), part.__name__.lstrip("_"))]
        months = {each.number: each.month for each in documents(conn)}
        found = [
            each
            for each in found
            if account_id in (None, each.account or account_id)
            and month in (None, months.get(each.document or "", month))
        ]
        if with_annexes:
            accounts = () if account_id is None else (account_id,)
            issued = documents(conn, accounts=accounts, month=month)
            found += _readable(_annexes(conn, issued, progress), "annex")
    return [asdict(each) for each in found]


def _readable(part: Iterator[Disagreement], name: str) -> Iterator[Disagreement]:
    """What a part finds; what it cannot read, because somebody has put something else there, is found too."""
    try:
        yield from part
    except (BillingError, ValueError, TypeError, ArithmeticError, LookupError) as error:
        said = str(error).splitlines()[0][:80]
        yield Disagreement(check=name, expected="rows that can be read", found="others", detail=said)


def _series(conn: Connection) -> Iterator[Disagreement]:
    """Numbers, issue dates and the chain."""
    before: Sealed | None = None
    counted: dict[tuple[str, str, str], int] = {}
    for each in rows.sealed_documents(conn):
        if before and (before.seller_id, before.kind) != (each.seller_id, each.kind):
            before = None
        key = (each.seller_id, each.kind, each.period)
        counted[key] = counted.get(key, 0) + 1
        if each.sequence != counted[key]:
            yield _of(each, "number", counted[key], each.sequence, "the series has a gap or a double before it")
            counted[key] = each.sequence
        if before and before.issued_on > each.issued_on:
            yield _of(each, "issue date", before.issued_on, each.issued_on, "the date before it is later")
        expected = chained_hash(each.snapshot, before.hash if before else NO_HASH)
        if expected != each.hash:
            yield _of(each, "chain", expected, each.hash, "the document, or one before it, was changed")
        before = each
    for key, last in rows.last_numbers(conn).items():
        if counted.get(key, 0) != last:
            detail = f"the last {key[1]} of seller {key[0]!r} in {key[2] or 'its series'} is missing"
            yield Disagreement(check="number", expected=str(last), found=str(counted.get(key, 0)), detail=detail)


def _contents(conn: Connection) -> Iterator[Disagreement]:
    """Rows against snapshots, taxes against lines, lines against charges."""
    sealed = {each.number: each for each in rows.sealed_documents(conn)}
    charged = rows.charged_lines(conn)
    for stored in documents(conn):
        try:
            document, _ = parse_snapshot(sealed[stored.number].snapshot)
        except (ValueError, KeyError) as error:
            yield _about(stored, "row", "a snapshot", "none that can be read", str(error).splitlines()[0][:80])
            continue
        yield from _row(stored, document)
        if stored.credits is None:
            yield from _tax(stored, document)
            yield from _lines(stored, document, charged)


def _row(stored: StoredDocument, document: Document) -> Iterator[Disagreement]:
    pairs = {
        "number": (document.number, stored.number),
        "kind": (document.kind, stored.kind),
        "purpose": (document.purpose, stored.purpose),
        "account": (document.customer.id, stored.account_id),
        "seller": (document.seller.id, stored.seller_id),
        "month": (document.month, stored.month),
        "issued_on": (document.issued_on, stored.issued_on),
        "due_on": (document.due_on, stored.due_on),
        "currency": (document.terms.currency, stored.currency),
        "net": (document.net, stored.net),
        "tax": (document.tax, stored.tax),
        "total": (document.total, stored.total),
        "credits": (document.credits, stored.credits),
        "replaces": (document.replaces, stored.replaces),
    }
    for name, (expected, found) in pairs.items():
        if expected != found:
            yield _about(stored, "row", expected, found, f"its {name} is not that of its snapshot")


def _tax(stored: StoredDocument, document: Document) -> Iterator[Disagreement]:
    for tax in document.taxes:
        version = TaxVersion(
            valid_from=tax.valid_from,
            category=tax.category,
            rate=tax.rate,
            prices=tax.prices,
            rounding=tax.rounding,
            text=tax.text,
        )
        with localcontext(EXACT):
            key = (tax.tax, tax.valid_from)
            exact = sum(
                (line.amount for line in document.lines if line.group == key and line.kind != ROUNDING), Decimal(0)
            )
        expected = group_amounts(exact, version, document.terms.currency, document.terms.rounding)
        if expected != (tax.base, tax.amount):
            shown = [" and ".join(map(plain, each)) for each in (expected, (tax.base, tax.amount))]
            yield _about(stored, "tax", shown[0], shown[1], f"base and amount of {tax.tax}")


def _lines(
    stored: StoredDocument, document: Document, charged: dict[tuple[int, int], Decimal]
) -> Iterator[Disagreement]:
    sign = -1 if document.is_credit_note else 1
    for line in document.lines:
        if line.kind in ("usage", "correction"):
            found = sign * charged.get((stored.id, line.line), Decimal(0))
            if found != line.amount:
                yield _about(stored, "line", line.amount, found, f"the charges of line {line.line}")


def _files(conn: Connection) -> Iterator[Disagreement]:
    """The files that are kept, against their hashes."""
    for number, account_id, file_format, expected, found in rows.file_hashes(conn):
        if expected != found:
            detail = f"its {file_format} is not the one that was made first"
            yield Disagreement(
                check="file", document=number, account=account_id, expected=expected, found=found, detail=detail
            )


def _annexes(conn: Connection, issued: Sequence[StoredDocument], progress: Progress) -> Iterator[Disagreement]:
    """What the columns of each annex are now, against what they were when it was issued."""
    catalogs: dict[int, Catalog] = {}
    for stored in issued:
        if not has_annex(stored):
            continue
        progress(1)
        if stored.catalog_change not in catalogs:
            catalogs = {stored.catalog_change: catalog_of_change(conn, stored.catalog_change)}
        sealed = seal_of(conn, stored.id)
        if not sealed:
            yield _about(stored, "annex", "a seal", "none", "finalize its month again: that makes the seal")
            continue
        try:
            document, _ = contents(conn, stored.number)
            annex = issued_annex(conn, stored, catalogs[stored.catalog_change])
            hashes = column_hashes(annex, document) if annex else {}
        except (BillingError, ValueError, ArithmeticError, LookupError) as error:
            yield _about(stored, "annex", "an annex", "none that can be made", str(error).splitlines()[0][:80])
            continue
        for key, expected in sealed.items():
            if hashes.get(key) != expected:
                where = f"sheet {key[0]}, column {key[1]}"
                yield _about(stored, "annex", expected[:16], hashes.get(key, "none")[:16], where)


def _charges(conn: Connection) -> Iterator[Disagreement]:
    for account_id, day, app_id, item, kind, amount in rows.charges_off_documents(conn):
        yield Disagreement(
            check="charge",
            account=account_id,
            expected="a document",
            found="none",
            detail=f"{kind} of {item} in app {app_id} on {day}, {plain(amount)}, in a closed month",
        )


def _months(conn: Connection) -> Iterator[Disagreement]:
    for account_id in sorted({each.account_id for each in documents(conn)}):
        before: date | None = None
        for month in closings(conn, account_id):
            if before and next_month(before) != month:
                detail = "a month before it is not closed"
                expected, found = f"{next_month(before):%Y-%m}", f"{month:%Y-%m}"
                yield Disagreement(check="month", account=account_id, expected=expected, found=found, detail=detail)
            before = month
    for stored in documents(conn):
        if stored.purpose == "usage" and stored.month and stored.month not in closings(conn, stored.account_id):
            yield _about(stored, "month", f"{stored.month:%Y-%m} closed", "open", "the month of the document")


def _ledger(conn: Connection) -> Iterator[Disagreement]:
    posted, opened = rows.posted_by_document(conn), open_amounts(conn, of_anybody())
    credited: dict[str, Decimal] = {}
    for stored in documents(conn):
        if stored.credits is not None:
            credited[stored.credits] = credited.get(stored.credits, Decimal(0)) + stored.total
    for stored in documents(conn):
        expected = stored.total if stored.is_invoice else -stored.total
        found = posted.get(stored.id, Decimal(0))
        if found != expected:
            yield _about(stored, "ledger", expected, found, "its transfers")
        if credited.get(stored.number, Decimal(0)) > stored.total:
            yield _about(stored, "credit", stored.total, credited[stored.number], "more is credited than was billed")
        if opened.get(stored.id, Decimal(0)) < 0:
            yield _about(stored, "ledger", 0, opened[stored.id], "more was paid or credited than is owed")
    for key, account_id, amount, transferred in rows.payments_posted(conn):
        if amount != transferred:
            detail = f"the transfers of payment {key!r}"
            yield Disagreement(
                check="ledger", account=account_id, expected=plain(amount), found=plain(transferred), detail=detail
            )


def _of(each: Sealed, check: str, expected: object, found: object, detail: str) -> Disagreement:
    return Disagreement(
        check=check,
        document=each.number,
        account=each.account_id,
        expected=_text(expected),
        found=_text(found),
        detail=detail,
    )


def _about(stored: StoredDocument, check: str, expected: object, found: object, detail: str) -> Disagreement:
    return Disagreement(
        check=check,
        document=stored.number,
        account=stored.account_id,
        expected=_text(expected),
        found=_text(found),
        detail=detail,
    )


def _text(value: object) -> str:
    return plain(value) if isinstance(value, Decimal) else str(value)
