"""The journal: the ledger's transfers as transactions of double-entry bookkeeping.

A transaction is what one cause has moved for one document or payment: its transfers, summed by account of the journal,
invoice and package. An invoice over 12.00 with 1.20 tax, of account `acme`:

| account of the journal | amount |
|---|---|
| Assets:Receivable:Acme | 13.20 |
| Income:Usage | -12.00 |
| Liabilities:Tax | -1.20 |

Names of accounts are legal for beancount and hledger, whatever characters an account's id has: a part of a name is
ASCII, begins with a capital or a digit and goes on with letters, digits and hyphens. Two ids never get one name, and a
name depends on nothing but its id: `acme` is `Acme`, `ACME` stays, everything else ends in a hash of the id (`a_1` is
`A-1-X` and 12 digits).
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, localcontext
from itertools import groupby

from billing.money import EXACT, minor_digits, plain

# What the ledger's accounts are called; the first two are kept by customer.
_BY_CUSTOMER = {"receivable": "Assets:Receivable", "credit": "Liabilities:CustomerCredit"}
ACCOUNTS = {
    **_BY_CUSTOMER,
    "bank": "Assets:Bank",
    "tax": "Liabilities:Tax",
    "deferred": "Liabilities:DeferredRevenue",
    "revenue": "Income:Usage",
    "breakage": "Income:Breakage",
    "bad_debt": "Expenses:BadDebt",
}
SUBJECTS = {
    "invoice": "Invoice {0.document}",
    "credit_note": "Credit note {0.document}",
    "payment": "Payment {0.payment}",
    "allocation": "Payment of {0.invoice}",
    "release": "Release of {0.invoice} by {0.document}",
    "usage": "Use of package {0.package}",
    "lapse": "Lapse of package {0.package}",
    "write_off": "Write-off of {0.invoice}",
}

# Ids that are parts of names as they are, with one capital for their first letter or without; see `_part`.
_SMALL = re.compile(r"[a-z0-9][a-z0-9-]*")
_CAPITALS = re.compile(r"[A-Z0-9][A-Za-z0-9-]*[A-Z][A-Za-z0-9-]*")
_HASHED = re.compile(r"(.*-)?X[0-9a-f]{12}", re.IGNORECASE)
_HASH_DIGITS = 12
_LONGEST_READABLE = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class PostedTransfer:
    """A transfer of the ledger, with the numbers and ids of what it refers to: `invoice` is the one whose receivable it
    changes."""

    id: int
    posted_on: date
    recorded_at_ms: int
    cause: str
    account_id: str
    debit: str
    credit: str
    amount: Decimal
    currency: str
    document: str | None = None
    invoice: str | None = None
    payment: str | None = None
    reference: str | None = None
    package: str | None = None
    seller: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Posting:
    """What a transaction changes on one account: above zero it debits it. `customer`: whose account it is, if one's."""

    account: str
    customer: str | None
    invoice: str | None
    package: str | None
    amount: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """Postings that sum to zero, in one currency."""

    first: PostedTransfer
    postings: Sequence[Posting]

    @property
    def subject(self) -> str:
        """What happened, in a few words: `Invoice INV-2026-000001`."""
        return SUBJECTS[self.first.cause].format(self.first)

    @property
    def facts(self) -> dict[str, str]:
        """What is said of the transaction as a whole, without what there is not."""
        of = self.first
        named = {
            "customer": of.account_id,
            "cause": of.cause,
            "document": of.document,
            "seller": of.seller,
            "payment": of.payment,
            "reference": of.reference,
        }
        return {name: value for name, value in named.items() if value}


def transactions(transfers: Iterable[PostedTransfer]) -> Iterator[Transaction]:
    """The transactions of transfers in the order of their days and then of their writing: a cause writes all of its
    transfers together."""
    for _, together in groupby(transfers, key=_cause):
        moved = list(together)
        yield Transaction(first=moved[0], postings=_postings(moved))


def journal_rows(transfers: Iterable[PostedTransfer]) -> Iterator[dict[str, object]]:
    """A row for each transfer: `amount` debits one account of the journal and credits the other."""
    for each in transfers:
        yield {
            "transfer": each.id,
            "posted_on": each.posted_on,
            "cause": each.cause,
            "customer": each.account_id,
            "debit": account_name(each.debit, each.account_id),
            "credit": account_name(each.credit, each.account_id),
            "amount": amount_text(each.amount, each.currency),
            "currency": each.currency,
            "document": each.document,
            "invoice": each.invoice,
            "payment": each.payment,
            "reference": each.reference,
            "package": each.package,
            "seller": each.seller,
        }


ROW_FIELDS = (
    *("transfer", "posted_on", "cause", "customer", "debit", "credit", "amount", "currency"),
    *("document", "invoice", "payment", "reference", "package", "seller"),
)


def account_name(account: str, customer: str) -> str:
    """What an account of the ledger is called in the journal: `Assets:Bank`, `Assets:Receivable:Acme`."""
    return f"{ACCOUNTS[account]}:{_part(customer)}" if account in _BY_CUSTOMER else ACCOUNTS[account]


def amount_text(amount: Decimal, currency: str) -> str:
    """The exact amount, with the decimals of the currency at least: `12.50`, `0.00099`, `1000` in JPY."""
    places = len(plain(amount).partition(".")[2])
    return f"{amount:.{max(places, minor_digits(currency))}f}"


def readable_with_hash(text: str, separator: str) -> str:
    """What is ASCII of a text, and a hash of all of it: two texts never get the same."""
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    words = re.findall(r"[A-Za-z0-9]+", ascii_text)
    readable = "-".join(words)[:_LONGEST_READABLE].rstrip("-")
    digest = hashlib.sha256(text.encode()).hexdigest()[:_HASH_DIGITS]
    return f"{readable}{separator}{digest}" if readable else f"{separator}{digest}".lstrip("-")


def _part(customer: str) -> str:
    """An id as a part of an account's name.

    Small letters get a capital, so an id that has just this capital must not stay as it is; nor may one that looks as
    if it ended in a hash.
    """
    if not _HASHED.fullmatch(customer):
        if _SMALL.fullmatch(customer):
            return _capitalized(customer)
        if _CAPITALS.fullmatch(customer):
            return customer
    return _capitalized(readable_with_hash(customer, "-X"))


def _capitalized(part: str) -> str:
    return part[0].upper() + part[1:]


def _cause(each: PostedTransfer) -> tuple[object, ...]:
    """What the transfers of a transaction have in common."""
    by_document = each.document is not None
    about = (each.document,) if by_document else (each.payment, each.invoice, each.package)
    return (each.posted_on, each.recorded_at_ms, each.account_id, each.currency, each.cause, by_document, *about)


def _postings(transfers: Sequence[PostedTransfer]) -> list[Posting]:
    sums: dict[tuple[str, str | None, str | None, str | None], Decimal] = {}
    with localcontext(EXACT):
        for each in transfers:
            for account, amount in ((each.debit, each.amount), (each.credit, -each.amount)):
                key = _posting_key(account, each)
                sums[key] = sums.get(key, Decimal(0)) + amount
    return [
        Posting(account=account, customer=customer, invoice=invoice, package=package, amount=amount)
        for (account, customer, invoice, package), amount in sums.items()
    ]


def _posting_key(account: str, moved: PostedTransfer) -> tuple[str, str | None, str | None, str | None]:
    name = account_name(account, moved.account_id)
    return (
        name,
        moved.account_id if account in _BY_CUSTOMER else None,
        moved.invoice if account == "receivable" else None,
        moved.package if account != "receivable" else None,
    )
