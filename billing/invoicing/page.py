"""The first page of a document: what a customer reads and pays by, in its language. Pure.

At most ten lines: a document with more has its usage folded, by app and item over all prices, then by item over all
apps; the annex has every line. The printed amounts are those of the lines rounded to the currency's minor unit by
largest remainder, so that they add up to the printed subtotal: 0.0099, 0.01995 and 0.19188 with the subtotal 0.22 are
printed as 0.01, 0.02 and 0.19. The page is kept with the document; a later version of the program never changes it.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_FLOOR, Context, Decimal, localcontext
from functools import cache
from typing import TYPE_CHECKING, Any

from billing.catalog.items import ITEM_RANK
from billing.invoicing.documents import Document, DocumentLine, DocumentParty, TaxAmount
from billing.invoicing.invoice import Exact
from billing.invoicing.words import day_in_words, period_in_words, word
from billing.money import EXACT, minor_digits
from billing.periods import month_days

if TYPE_CHECKING:
    from pydantic import TypeAdapter

MOST_LINES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class PageLine:
    """A line: its text, minutes (None where it has none), price per 1,000, and the amount as it is printed."""

    text: str
    minutes: int | None = None
    deducted_minutes: int | None = None
    payable_minutes: int | None = None
    price: Exact | None = None
    amount: Exact


@dataclass(frozen=True, slots=True, kw_only=True)
class PageSum:
    """An amount below the lines; `is_added`: it is a part of the total."""

    label: str
    amount: Exact
    is_added: bool = False
    is_total: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PageFact:
    """A label and what it says."""

    label: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The first page. `due` stands out; `logo` is the SHA-256 of the picture; amounts have `digits` decimals.

    `draft_mark` is a word on the page of a draft, empty on that of a document.
    """

    language: str
    title: str
    draft_mark: str
    facts: tuple[PageFact, ...]
    due: PageFact
    seller_label: str
    seller: tuple[str, ...]
    customer_label: str
    customer: tuple[str, ...]
    headers: tuple[str, ...]
    lines: tuple[PageLine, ...]
    sums: tuple[PageSum, ...]
    bank_label: str
    bank: tuple[str, ...]
    notes: tuple[str, ...]
    logo: str | None
    currency: str
    digits: int


def page_table(page: Page) -> dict[str, Any]:
    """The page as plain values."""
    table: dict[str, Any] = _stored().dump_python(page, mode="json")
    return table


def page_from_table(table: Mapping[str, Any]) -> Page:
    """The page that `page_table` wrote."""
    return _stored().validate_json(json.dumps(table), strict=True)


@cache
def _stored() -> "TypeAdapter[Page]":
    from pydantic import TypeAdapter

    return TypeAdapter(Page)


def make_page(document: Document) -> Page:
    """The page of a document or a draft."""
    terms, language = document.terms, document.terms.language
    lines = _printed_lines(document)
    return Page(
        language=language,
        title=word(document.kind, language),
        draft_mark=word("draft", language) if document.number is None else "",
        facts=tuple(_facts(document)),
        due=PageFact(
            label=word("amount_credited" if document.is_credit_note else "amount_due", language),
            value=money(document.total, terms.currency),
        ),
        seller_label=word("seller", language),
        seller=tuple(_party(document.seller, language)),
        customer_label=word("customer", language),
        customer=tuple(_party(document.customer, language)),
        headers=tuple(word(key, language) for key in ("description", "minutes", "deducted", "price", "amount")),
        lines=lines,
        sums=tuple(_sums(document, lines)),
        bank_label=word("bank", language),
        bank=() if document.is_credit_note else tuple((terms.bank or "").splitlines()),
        notes=tuple(_notes(document)),
        logo=terms.logo,
        currency=terms.currency,
        digits=minor_digits(terms.currency),
    )


def money(amount: Decimal, currency: str) -> str:
    """An amount with its currency: `USD 1,234.50`."""
    return f"{currency} {amount:,.{minor_digits(currency)}f}"


def rounded_to_sum(amounts: Sequence[Decimal], total: Decimal, digits: int) -> list[Decimal]:
    """Amounts rounded to `digits` decimals by largest remainder, so that they add up to `total`, which has no more."""
    with localcontext(Context(prec=60)):
        unit = Decimal(1).scaleb(-digits)
        floors = [amount.quantize(unit, rounding=ROUND_FLOOR) for amount in amounts]
        missing = int((total - sum(floors, Decimal(0))) / unit)
        order = sorted(range(len(amounts)), key=lambda at: (floors[at] - amounts[at], at))
        step = unit if missing > 0 else -unit
        for at in _cycled(order if missing > 0 else order[::-1], abs(missing)):
            floors[at] += step
    return [amount + 0 for amount in floors]


def _cycled(order: Sequence[int], count: int) -> Iterator[int]:
    return (order[number % len(order)] for number in range(count)) if order else iter(())


def _facts(document: Document) -> Iterator[PageFact]:
    language = document.terms.language

    def fact(key: str, value: str | None) -> Iterator[PageFact]:
        if value is not None:
            yield PageFact(label=word(key, language), value=value)

    yield from fact("number", document.number)
    yield from fact("issued_on", day_in_words(document.issued_on, language) if document.issued_on else None)
    yield from fact("due_on", day_in_words(document.due_on, language) if document.due_on else None)
    if document.month:
        days = month_days(document.month)
        yield from fact("period", period_in_words(days[0], days[-1], document.terms.timezone, language))
    yield from fact("account", document.customer.id)
    yield from fact("credits", document.credits)
    yield from fact("replaces", document.replaces)
    yield from fact("reason", document.reason)


def _party(party: DocumentParty, language: str) -> Iterator[str]:
    yield party.name
    yield from (line.strip() for line in (party.address or "").splitlines() if line.strip())
    if party.country and party.country not in (party.address or ""):
        yield party.country
    if party.tax_id:
        yield f"{word('tax_id', language)}: {party.tax_id}"


def _printed_lines(document: Document) -> tuple[PageLine, ...]:
    """The lines with the amounts that add up to the printed subtotal: net, or gross where prices include tax."""
    billed = [line for line in document.lines if line.kind != "rounding"]
    lines = _folded(document, billed)
    with localcontext(EXACT):
        subtotal = sum((line.amount for line in document.lines), Decimal(0))
    digits = minor_digits(document.terms.currency)
    amounts = rounded_to_sum([line.amount for line in lines], subtotal, digits) if lines else []
    return tuple(replace(line, amount=amount) for line, amount in zip(lines, amounts, strict=True))


def _folded(document: Document, billed: Sequence[DocumentLine]) -> list[PageLine]:
    """One line for each line, or for fewer things where there are too many."""
    usage = [line for line in billed if line.kind == "usage"]
    others = [line for line in billed if line.kind not in ("usage", "correction")]
    corrections = [line for line in billed if line.kind == "correction"]
    rest = [_single(document, line) for line in others]
    if corrections:
        rest.append(_together(word("correction", document.terms.language), corrections))
    room = max(MOST_LINES - len(rest), 6)
    for fold in (_by_line, _by_app_and_item, _by_item):
        lines = fold(document, usage)
        if len(lines) <= room:
            break
    return [*lines, *rest]


def _by_line(document: Document, usage: Sequence[DocumentLine]) -> list[PageLine]:
    return [_single(document, line) for line in usage]


def _by_app_and_item(document: Document, usage: Sequence[DocumentLine]) -> list[PageLine]:
    language = document.terms.language
    return [
        _together(f"{word(str(lines[0].item), language)}, {lines[0].app_name}", lines)
        for lines in _grouped(usage, lambda line: (line.app_id, ITEM_RANK[line.item or "audio"]))
    ]


def _by_item(document: Document, usage: Sequence[DocumentLine]) -> list[PageLine]:
    language = document.terms.language
    return [
        _together(f"{word(str(lines[0].item), language)}, {word('all_apps', language)}", lines)
        for lines in _grouped(usage, lambda line: ITEM_RANK[line.item or "audio"])
    ]


def _grouped(lines: Iterable[DocumentLine], key: Callable[[DocumentLine], Any]) -> list[list[DocumentLine]]:
    groups: dict[Any, list[DocumentLine]] = {}
    for line in sorted(lines, key=key):
        groups.setdefault(key(line), []).append(line)
    return list(groups.values())


def _together(text: str, lines: Sequence[DocumentLine]) -> PageLine:
    prices = {line.unit_price for line in lines}
    price = prices.pop() if len(prices) == 1 else None
    with localcontext(EXACT):
        return PageLine(
            text=text,
            minutes=sum(line.minutes for line in lines),
            deducted_minutes=sum(line.deducted_minutes for line in lines),
            payable_minutes=sum(line.payable_minutes for line in lines),
            price=None if price is None else price * 1000,
            amount=sum((line.amount for line in lines), Decimal(0)),
        )


def _single(document: Document, line: DocumentLine) -> PageLine:
    if line.unit_price is not None:
        return _together(line_text(document, line), [line])
    return PageLine(text=line_text(document, line), amount=line.amount)


def line_text(document: Document, line: DocumentLine) -> str:
    """A line in words: `HD video, Classroom`."""
    language = document.terms.language
    if line.kind == "package":
        name = word("package", language, name=line.package, minutes=line.app_name or word("all_apps", language))
        if line.first_day and line.last_day:
            days = (day_in_words(day, language) for day in (line.first_day, line.last_day))
            name += f" ({word('package_valid', language, **dict(zip(('first', 'last'), days, strict=True)))})"
        return name
    if line.kind == "refund":
        return word("refund", language, name=line.package)
    if line.credits_line is not None and line.unit_price is None:
        return word("credit_part", language, line=line.credits_line, number=document.credits)
    return f"{word(line.item, language)}, {line.app_name}" if line.item else word("other", language)


def _sums(document: Document, lines: Sequence[PageLine]) -> Iterator[PageSum]:
    language = document.terms.language
    with localcontext(EXACT):
        subtotal = sum((line.amount for line in lines), Decimal(0))
        discount = sum((line.discount for line in document.lines), Decimal(0))
    digits = minor_digits(document.terms.currency)
    yield PageSum(label=word("subtotal", language), amount=subtotal, is_added=True)
    if round(discount, digits):
        yield PageSum(label=word("discount", language), amount=round(discount, digits))
    for tax in document.taxes:
        yield PageSum(label=_tax_label(document, tax), amount=tax.amount, is_added=tax.prices == "exclusive")
    label = "total_incl" if document.taxes else "total"
    yield PageSum(label=word(label, language), amount=document.total, is_total=True)


def _tax_label(document: Document, tax: TaxAmount) -> str:
    language, currency = document.terms.language, document.terms.currency
    if tax.prices == "inclusive":
        return word("tax_in", language, text=tax.text, gross=money(tax.base + tax.amount, currency))
    return word("tax_on", language, text=tax.text, base=money(tax.base, currency))


def _notes(document: Document) -> Iterator[str]:
    language = document.terms.language
    if document.number is None:
        yield word("note_draft", language)
    elif document.due_on is not None:
        due_on = day_in_words(document.due_on, language)
        yield word("note_terms", language, due_on=due_on, number=document.number)
    if any(tax.category == "AE" for tax in document.taxes):
        yield word("note_reverse", language)
    if any(line.kind in ("usage", "correction") for line in document.lines):
        yield word("note_minutes", language)
        yield word("note_annex", language)
    yield from document.terms.contract
