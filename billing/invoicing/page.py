"""The customer's first page of a document: its cells, in the language of the account. Pure.

Every printed figure adds up. The amounts of the lines are printed in the currency's digits, and a reader who adds them
gets the printed subtotal, which is the base of the tax. Rounded one by one they may miss it by some units, so they are
apportioned (largest remainder): each is first rounded down, and the units that are then missing go to the lines that
lost most. JPY 157.65 + 1,050.60 + 949.05 = 2,157.30, of which the tax's base is 2,157: 157 + 1,050 + 949 = 2,156, and
the missing unit goes to 157.65, which is printed as 158. So no line is a whole unit off, a line that is exact stays as
it is, and the rounding of the sum (-0.30) needs no line: a note states it.

The sums above the total, and the total itself, add up as well. What stands below the total is part of it already: a tax
that the prices include, and what the contract took off.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Context, Decimal, localcontext
from functools import cache
from typing import TYPE_CHECKING, Any

from billing.catalog.tax_ids import EU_STATES
from billing.invoicing.documents import Document, DocumentParty, TaxAmount
from billing.invoicing.folding import FoldedLine, folded_lines
from billing.invoicing.invoice import Exact
from billing.invoicing.words import amount_in_digits, day_in_words, exact_amount, money, period_in_words, word
from billing.money import EXACT, minor_digits, round_to_minor_unit

if TYPE_CHECKING:
    from pydantic import TypeAdapter

_HEADERS = ("what", "minutes", "paid", "price", "amount")
_JAPANESE_NUMBER = re.compile("T[0-9]{13}")
# Where a tax id is a VAT id.
_VAT_COUNTRIES = EU_STATES | {"GB"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PageLine:
    """A line in words; `amount` is the one printed, in the currency's digits.

    What a package or a refund has no minutes for, and what differs within the line, is None. `price` is per 1,000
    minutes, after the contract.
    """

    text: str
    minutes: int | None
    deducted_minutes: int | None
    payable_minutes: int | None
    price: Exact | None
    amount: Exact


@dataclass(frozen=True, slots=True, kw_only=True)
class PageSum:
    """A sum below the lines. Those that are `is_added` add up to the total; those below it are part of it already."""

    label: str
    amount: Exact
    is_added: bool = False
    is_total: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PageFact:
    """A label and its text."""

    label: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The page. `logo` is the SHA-256 of the picture, `digits` the decimals of the currency.

    `draft_mark` is a word on the page of a draft, empty on that of a document. The first fact of a document is its
    number.
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
    """A page as plain values."""
    table: dict[str, Any] = _stored().dump_python(page, mode="json")
    return table


def page_from_table(table: Mapping[str, Any]) -> Page:
    """The page that `page_table` wrote; a `ValueError` when it is none."""
    return _stored().validate_json(json.dumps(table), strict=True)


@cache
def _stored() -> "TypeAdapter[Page]":
    from pydantic import TypeAdapter

    return TypeAdapter(Page)


def make_page(document: Document) -> Page:
    """The first page of a document."""
    language, currency = document.terms.language, document.terms.currency
    folded = folded_lines(document)
    return Page(
        language=language,
        title=word(_title(document), language),
        draft_mark=word("draft", language) if document.number is None else "",
        facts=tuple(_facts(document)),
        due=_due(document),
        seller_label=word("seller", language),
        seller=tuple(_party(document.seller, document)),
        customer_label=word("credited_customer" if document.is_credit_note else "customer", language),
        customer=tuple(_customer(document)),
        headers=tuple(word(header, language, currency=currency) for header in _HEADERS),
        lines=tuple(_lines(folded, document)),
        sums=tuple(_sums(document)),
        bank_label=word("bank", language),
        bank=tuple(_text_lines(document.terms.bank)) if document.number and not document.is_credit_note else (),
        notes=tuple(_notes(document, folded)),
        logo=document.terms.logo,
        currency=currency,
        digits=minor_digits(currency),
    )


def _title(document: Document) -> str:
    """Japan: with a registration number and a tax it is a qualified invoice (適格請求書)."""
    is_qualified = _is_japanese(document.seller) and any(tax.category == "S" for tax in document.taxes)
    return f"qualified_{document.kind}" if is_qualified else document.kind


def _facts(document: Document) -> Iterator[PageFact]:
    language = document.terms.language

    def fact(key: str, value: str) -> PageFact:
        return PageFact(label=word(key, language), value=value)

    if document.number:
        yield fact("credit_note_number" if document.is_credit_note else "number", document.number)
    if document.issued_on:
        yield fact("issued_on", day_in_words(document.issued_on, language))
    if document.due_on and not document.is_credit_note:
        yield fact("due_on", day_in_words(document.due_on, language))
    if document.month and document.purpose != "package":
        yield fact("period", period_in_words(document.month, document.terms.timezone, language))
    yield fact("account", document.customer.id)
    yield fact("currency", document.terms.currency)
    for key, value in (("credits", document.credits), ("replaces", document.replaces), ("reason", document.reason)):
        if value:
            yield fact(key, value)


def _due(document: Document) -> PageFact:
    key = "amount_credited" if document.is_credit_note else "amount_due"
    return PageFact(label=word(key, document.terms.language), value=money(document.total, document.terms.currency))


def _party(party: DocumentParty, document: Document) -> Iterator[str]:
    """Name, address, country where the other party is in another, and tax id, line by line."""
    yield from (party.name, *_text_lines(party.address))
    if party.country and document.seller.country != document.customer.country:
        yield party.country
    if party.tax_id:
        key = "vat_id" if party.country in _VAT_COUNTRIES else "tax_id"
        yield word("registration_number" if _is_japanese(party) else key, document.terms.language, id=party.tax_id)


def _customer(document: Document) -> Iterator[str]:
    name, *rest = _party(document.customer, document)
    yield word("addressee", document.terms.language, name=name)
    yield from rest


def _is_japanese(party: DocumentParty) -> bool:
    return party.tax_id is not None and _JAPANESE_NUMBER.fullmatch(party.tax_id) is not None


def _text_lines(text: str | None) -> list[str]:
    return [line.strip() for line in (text or "").splitlines() if line.strip()]


def _lines(folded: Sequence[FoldedLine], document: Document) -> Iterator[PageLine]:
    with localcontext(EXACT):
        exact = [sum((line.amount for line in each.lines), Decimal(0)) for each in folded]
    printed = apportioned(exact, lines_total(document), minor_digits(document.terms.currency))
    for each, amount in zip(folded, printed, strict=True):
        has_minutes = all(line.unit_price is not None for line in each.lines)
        prices = {line.unit_price for line in each.lines}
        price = prices.pop() if len(prices) == 1 else None
        yield PageLine(
            text=each.text,
            minutes=sum(line.minutes for line in each.lines) if has_minutes else None,
            deducted_minutes=sum(line.deducted_minutes for line in each.lines) if has_minutes else None,
            payable_minutes=sum(line.payable_minutes for line in each.lines) if has_minutes else None,
            price=None if price is None else price.scaleb(3),
            amount=amount,
        )


def lines_total(document: Document) -> Decimal:
    """What the lines of a document add up to, its rounding included: net, and the taxes that its prices include."""
    with localcontext(EXACT):
        return document.net + sum(tax.amount for tax in document.taxes if tax.prices == "inclusive")


def apportioned(exact: Sequence[Decimal], total: Decimal, digits: int) -> list[Decimal]:
    """The amounts in `digits` decimals, so that they add up to `total`: each rounded down, and what is then missing
    given, unit by unit, to those that lost most, of equal ones to the largest, then to the first."""
    if not exact:
        return []
    unit = Decimal(1).scaleb(-digits)
    with localcontext(Context(prec=60)):
        floors = [amount.quantize(unit, rounding=ROUND_FLOOR) for amount in exact]
        missing = int((total - sum(floors)) / unit)
        for_each, units = divmod(missing, len(exact))
        by_loss = sorted(range(len(exact)), key=lambda place: (floors[place] - exact[place], -abs(exact[place])))
        extra = set(by_loss[:units])
        return [floor + unit * (for_each + (place in extra)) for place, floor in enumerate(floors)]


def _sums(document: Document) -> Iterator[PageSum]:
    language = document.terms.language

    on_top = [_tax_sum(document, tax) for tax in document.taxes if tax.prices == "exclusive"]
    if on_top:
        yield PageSum(label=word("subtotal", language), amount=lines_total(document), is_added=True)
        yield from on_top
    total = word("total_with_tax" if document.tax else "total", language)
    yield PageSum(label=f"{total} {document.terms.currency}", amount=document.total, is_total=True)
    yield from (_tax_sum(document, tax) for tax in document.taxes if tax.prices == "inclusive")
    discount = _discount(document)
    if discount:
        yield PageSum(label=word("contract_discount", language), amount=discount)


def _tax_sum(document: Document, tax: TaxAmount) -> PageSum:
    is_added, base = tax.prices == "exclusive", amount_in_digits(tax.base, minor_digits(document.terms.currency))
    label = word("tax_on" if is_added else "tax_within", document.terms.language, tax=tax.text, base=base)
    return PageSum(label=label, amount=tax.amount, is_added=is_added)


def _discount(document: Document) -> Decimal:
    """What the contract took off, rounded for print: it is part of no printed sum."""
    with localcontext(EXACT):
        discount = sum((line.discount for line in document.lines), Decimal(0))
    return round_to_minor_unit(discount, document.terms.currency) + 0  # plus 0 takes the sign from a zero


def _notes(document: Document, folded: Sequence[FoldedLine]) -> Iterator[str]:
    language = document.terms.language
    yield from _terms_of_payment(document)
    if any(tax.category == "AE" for tax in document.taxes):
        yield word("reverse_charge", language)
    rounding = [line.amount for line in document.lines if line.kind == "rounding"]
    if rounding:
        yield _rounding_note(document, rounding)
    if any(line.unit_price is not None for line in document.lines):
        yield word("minutes_note", language)
    count = sum(len(each.lines) for each in folded)
    if count > len(folded):
        yield word("folded_note", language, count=count)
    elif document.purpose in ("usage", "reissue"):
        yield word("annex_note", language)
    if document.seal:
        yield word("seal_note", language, seal=document.seal)
    if language == "en":  # its terms are in English, on the lines of the annex too
        yield from (word("contract", language, terms=terms) for terms in document.terms.contract)
    if language == "zh" or document.seller.country == "CN":
        yield word("no_fapiao", language)


def _terms_of_payment(document: Document) -> Iterator[str]:
    language = document.terms.language
    if document.number is None:
        yield word("no_demand", language)
    elif document.is_credit_note:
        yield word("credited", language)
    elif document.due_on and document.total > 0:
        amount, day = money(document.total, document.terms.currency), day_in_words(document.due_on, language)
        yield word("pay", language, amount=amount, day=day, number=document.number)


def _rounding_note(document: Document, rounding: Sequence[Decimal]) -> str:
    digits, total = minor_digits(document.terms.currency), lines_total(document)
    with localcontext(EXACT):
        rounded_by = sum(rounding, Decimal(0))
        return word(
            "rounding_note",
            document.terms.language,
            exact=exact_amount(total - rounded_by, digits),
            rounding=exact_amount(rounded_by, digits),
            sum=amount_in_digits(total, digits),
        )
