"""Laws of the XML of documents: its sums are those of the document, and the official rules accept it."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from decimal import Decimal
from itertools import chain
from operator import itemgetter
from xml.etree.ElementTree import Element, fromstring

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.catalog.taxes import Tax, TaxVersion
from billing.errors import BillingError
from billing.invoicing.credits import Credited, credit_note, spread, whole
from billing.invoicing.documents import Document, DocumentLine
from billing.invoicing.ubl import NoUbl, ubl_xml
from billing.invoicing.ubl_check import failed_rules
from tests.depth import SLOW_EXAMPLES
from tests.issued_facts import BERLIN, PARIS, issued, piece, used

pytestmark = pytest.mark.thorough

NAMES = {
    "cac": "urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2",
    "cbc": "urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2",
}
DAYS = st.dates(date(2026, 3, 1), date(2026, 3, 31))
TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Cn", "Co")), min_size=1, max_size=20
).filter(str.strip)
# One start of the validator for so many documents.
DOCUMENTS_EACH = 20


@st.composite
def lines(draw: st.DrawFn) -> DocumentLine:
    """Usage, corrections and pieces of any sign, with prices of up to 8 decimals a minute."""
    day = draw(DAYS)
    days = {"first_day": day, "last_day": day}
    if draw(st.booleans()):
        kind = draw(st.sampled_from(("package", "service", "fee", "refund", "discount")))
        return piece(kind, str(draw(st.decimals(-10_000, 10_000, places=8))), package=draw(st.none() | TEXT), **days)
    price = draw(st.decimals(0, 2_000, places=5))
    minutes = draw(st.integers(-100_000, 10_000_000))
    kind = "correction" if minutes < 0 else "usage"
    return used(minutes, str(price), app_name=draw(TEXT), kind=kind, deducted_minutes=draw(st.integers(0, 9)), **days)


@st.composite
def taxes(draw: st.DrawFn) -> Tax | None:
    """No tax, a standard rate that may change in the month, or another category."""
    category = draw(st.sampled_from(("S", "S", "S", "AE", "E", "Z", "G", "O", None)))
    if category is None:
        return None
    starts = sorted(draw(st.sets(DAYS, min_size=1, max_size=3)))
    rates = [draw(st.decimals("0.5", 27, places=2)) if category == "S" else Decimal(0) for _ in starts]
    return Tax(
        id="tax",
        versions=tuple(
            TaxVersion(
                valid_from=start,
                category=category,
                rate=rate,
                rounding=draw(st.sampled_from(("half_up", "up", "down"))),
                text=draw(TEXT),
            )
            for start, rate in zip(starts, rates, strict=True)
        ),
    )


@st.composite
def documents(draw: st.DrawFn) -> Document:
    return issued(
        *draw(st.lists(lines(), min_size=1, max_size=6)),
        tax=draw(taxes()),
        currency=draw(st.sampled_from(("EUR", "JPY"))),
        seller=BERLIN,
        customer=PARIS,
        terms={"bank": draw(st.none() | TEXT)},
        credits=draw(st.none() | TEXT),
        reason=draw(st.none() | TEXT),
    )


@st.composite
def credit_notes(draw: st.DrawFn) -> list[Document]:
    """The credit notes for an invoice: some lines, a part of others, and what is left."""
    invoice = replace(draw(documents()), credits=None)
    notes: list[Document] = []
    for amounts in (_some_lines, _a_part, _some_lines, whole):
        credited = Credited(document=invoice, notes=notes)
        try:
            note = credit_note(
                credited, amounts(credited) if amounts is whole else amounts(draw, credited), reason="wrong"
            )
        except BillingError:  # nothing is left, or a credit was drawn
            continue
        notes.append(replace(note, number=f"EAC-{len(notes)}", issued_on=date(2026, 4, 2)))
    return notes


def _some_lines(draw: st.DrawFn, credited: Credited) -> dict[int, Decimal]:
    return whole(credited, draw(st.sets(st.sampled_from([each.line.line for each in credited.lines()]))))


def _a_part(draw: st.DrawFn, credited: Credited) -> dict[int, Decimal]:
    return spread(credited, Decimal(draw(st.integers(1, 5_000))))


def _the_rest(_: st.DrawFn, credited: Credited) -> dict[int, Decimal]:
    return whole(credited)


@settings(max_examples=max(1, SLOW_EXAMPLES // 5))
@given(st.lists(documents(), min_size=DOCUMENTS_EACH, max_size=DOCUMENTS_EACH), st.lists(credit_notes(), max_size=8))
def test_the_official_rules_accept_any_document_that_has_xml(
    drawn: list[Document], notes: list[list[Document]]
) -> None:
    assert set(failed_rules(list(xmls([*drawn, *chain(*notes)])))) <= {()}


def xmls(drawn: list[Document]) -> Iterator[bytes]:
    for document in drawn:
        try:
            yield ubl_xml(document)
        except NoUbl as refusal:
            assert "is 1 or more off base x rate" in str(refusal)  # noqa: PT017 (the only one that these can have)


@given(documents() | credit_notes().filter(bool).map(itemgetter(-1)))
def test_the_sums_of_the_xml_are_those_of_the_document_to_the_digit(document: Document) -> None:
    """Lines, charges and allowances of a category and rate sum to its base; bases and taxes to net, tax and total."""
    try:
        root = fromstring(ubl_xml(document))  # noqa: S314 (ours)
    except NoUbl:
        return
    sums = root.find("cac:LegalMonetaryTotal", NAMES)
    assert sums is not None
    assert amount(sums, "TaxExclusiveAmount") == document.net
    assert amount(sums, "PayableAmount") == amount(sums, "TaxInclusiveAmount") == document.total
    bases: dict[tuple[str | None, str | None], Decimal] = {}
    for line in [*root.iterfind("cac:InvoiceLine", NAMES), *root.iterfind("cac:CreditNoteLine", NAMES)]:
        add(bases, line.find("cac:Item/cac:ClassifiedTaxCategory", NAMES), amount(line, "LineExtensionAmount"))
    for rounding in root.iterfind("cac:AllowanceCharge", NAMES):
        sign = 1 if rounding.findtext("cbc:ChargeIndicator", namespaces=NAMES) == "true" else -1
        add(bases, rounding.find("cac:TaxCategory", NAMES), sign * amount(rounding, "Amount"))
    subtotals: dict[tuple[str | None, str | None], Decimal] = {}
    for subtotal in root.iterfind("cac:TaxTotal/cac:TaxSubtotal", NAMES):
        add(subtotals, subtotal.find("cac:TaxCategory", NAMES), amount(subtotal, "TaxableAmount"))
    assert subtotals == bases
    assert sum(bases.values()) == document.net
    taxes = [amount(subtotal, "TaxAmount") for subtotal in root.iterfind("cac:TaxTotal/cac:TaxSubtotal", NAMES)]
    assert sum(taxes) == document.tax


def amount(element: Element, name: str) -> Decimal:
    return Decimal(element.findtext(f"cbc:{name}", "", NAMES))


def add(sums: dict[tuple[str | None, str | None], Decimal], category: Element | None, more: Decimal) -> None:
    assert category is not None
    key = category.findtext("cbc:ID", namespaces=NAMES), category.findtext("cbc:Percent", namespaces=NAMES)
    sums[key] = sums.get(key, Decimal(0)) + more
