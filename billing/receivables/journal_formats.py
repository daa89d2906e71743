"""The journal as text for beancount and for hledger.

Both read the same transactions, accounts and amounts. Ids are the users' text and may hold any character:

- beancount: strings are escaped (`\\"`, `\\\\`, `\\n`), so metadata is the exact text. Links tie together all that
  belongs to an invoice, a payment or a package; what a link cannot hold is replaced, with a hash of the whole.
- hledger: what would end a tag, a code or a description is written as in a URL (`;` is `%3B`, `,` is `%2C`, `%` is
  `%25`, a line's end `%0A`), so the text can be got back.

An account is opened and a currency declared right before its first transaction: nothing is read twice, and no more is
kept than the names of accounts and currencies.
"""

import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote

from billing.receivables.journal import (
    PostedTransfer,
    Posting,
    Transaction,
    amount_text,
    readable_with_hash,
    transactions,
)

_LINK = re.compile(r"[A-Za-z0-9_/.-]+")
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"})
# What has a meaning in hledger's comments, codes and descriptions; brackets may hold a date there.
_MEANING = frozenset('%;,:|()[]"')


def beancount_lines(transfers: Iterable[PostedTransfer]) -> Iterator[str]:
    """The lines of a journal that `bean-check` accepts."""
    known: set[str] = set()
    yield "; The ledger of transfers, for beancount.\n"
    for each in transactions(transfers):
        yield from _apart(_beancount_openings(each, known))
        yield from _apart(_beancount_transaction(each))


def hledger_lines(transfers: Iterable[PostedTransfer]) -> Iterator[str]:
    """The lines of a journal that `hledger check --strict` accepts."""
    known: set[str] = set()
    yield "; The ledger of transfers, for hledger.\n"
    yield "decimal-mark .\n"
    for each in transactions(transfers):
        yield from _apart(_hledger_openings(each, known))
        yield from _apart(_hledger_transaction(each))


def _apart(lines: Iterable[str]) -> Iterator[str]:
    """Lines after an empty one; nothing when there are none."""
    for at, line in enumerate(lines):
        if not at:
            yield "\n"
        yield line


def _beancount_openings(of: Transaction, known: set[str]) -> Iterator[str]:
    day = of.first.posted_on.isoformat()
    for currency in _unknown_currency(of, known):
        yield f'option "operating_currency" "{currency}"\n'
        yield f"{day} commodity {currency}\n"
    for posting in _unknown(of, known):
        yield f"{day} open {posting.account}\n"
        if posting.customer:
            yield f"  customer: {_string(posting.customer)}\n"


def _hledger_openings(of: Transaction, known: set[str]) -> Iterator[str]:
    for currency in _unknown_currency(of, known):
        # No format: one would round what hledger shows.
        yield f"commodity {currency}\n"
    for posting in _unknown(of, known):
        tag = f"  ; customer:{_encoded(posting.customer)}" if posting.customer else ""
        yield f"account {posting.account}{tag}\n"


def _unknown_currency(of: Transaction, known: set[str]) -> Iterator[str]:
    if of.first.currency not in known:
        known.add(of.first.currency)
        yield of.first.currency


def _unknown(of: Transaction, known: set[str]) -> Iterator[Posting]:
    """The first posting of each account that was not known yet; from now on it is."""
    for posting in of.postings:
        if posting.account not in known:
            known.add(posting.account)
            yield posting


def _beancount_transaction(of: Transaction) -> Iterator[str]:
    links = "".join(f" ^{link}" for link in dict.fromkeys(_links(of)))
    yield f"{of.first.posted_on} * {_string(of.first.account_id)} {_string(of.subject)}{links}\n"
    for name, value in of.facts.items():
        yield f"  {name}: {_string(value)}\n"
    for posting in of.postings:
        yield f"  {posting.account}  {amount_text(posting.amount, of.first.currency)} {of.first.currency}\n"
        for name, value in _about(posting).items():
            yield f"    {name}: {_string(value)}\n"


def _hledger_transaction(of: Transaction) -> Iterator[str]:
    code = of.first.document or of.first.payment
    shown_code = f" ({_encoded(code)})" if code else ""
    yield f"{of.first.posted_on} *{shown_code} {_encoded(of.first.account_id)} | {_encoded(of.subject)}\n"
    for name, value in of.facts.items():
        yield f"    ; {name}:{_encoded(value)}\n"
    for posting in of.postings:
        tags = ", ".join(f"{name}:{_encoded(value)}" for name, value in _about(posting).items())
        shown = f"{amount_text(posting.amount, of.first.currency)} {of.first.currency}"
        yield f"    {posting.account}  {shown}" + (f"  ; {tags}\n" if tags else "\n")


def _about(posting: Posting) -> dict[str, str]:
    named = {"invoice": posting.invoice, "package": posting.package}
    return {name: value for name, value in named.items() if value}


def _links(of: Transaction) -> Iterator[str]:
    if of.first.document:
        yield _link(of.first.document)
    if of.first.payment:
        yield f"payment/{_link(of.first.payment)}"
    for posting in of.postings:
        if posting.invoice:
            yield _link(posting.invoice)
        if posting.package:
            yield f"package/{_link(posting.package)}"


def _link(text: str) -> str:
    return text if _LINK.fullmatch(text) else readable_with_hash(text, "_")


def _string(text: str) -> str:
    return f'"{text.translate(_ESCAPES)}"'


def _encoded(text: str) -> str:
    inner = text.strip(" ")
    if inner != text:
        before, _, after = text.partition(inner) if inner else (text, "", "")
        return "%20" * len(before) + _encoded(inner) * bool(inner) + "%20" * len(after)
    return "".join(quote(char, safe="") if char in _MEANING or not char.isprintable() else char for char in text)
