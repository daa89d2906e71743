"""The XML of a document: EN 16931 as UBL 2.1, an Invoice (380) or a CreditNote (381). Pure.

Each line is rounded by itself to the currency's digits, and the lines are summed as rounded. What that sum and the base
of the document differ by is one charge or allowance "Rounding" for each category and rate of tax, so that base, tax and
total are those of the document: JPY 157.65, 1,050.60 and 949.05 become 158 + 1,051 + 949 = 2,158, allowance 1, base
2,157, tax 215, total 2,372. A usage line has its payable minutes and the price of 1,000 of them; any other line is one
piece at its amount. Prices are never negative (BR-27): of what is given back, the quantity is.

What EN 16931 cannot say has no XML: `NoUbl` says why. `billing.invoicing.ubl_check` runs the official rules.
"""

from collections.abc import Iterator, Sequence
from datetime import date
from decimal import Decimal, localcontext
from operator import itemgetter
from xml.etree.ElementTree import Element, tostring

from billing.errors import BillingError
from billing.invoicing.documents import Document, DocumentLine
from billing.invoicing.folding import line_text
from billing.invoicing.ubl_amounts import OUT_OF_SCOPE, Amounts, TaxGroup, tax_groups, total
from billing.invoicing.ubl_parties import iban_in, party, vat_id
from billing.invoicing.ubl_words import cac, cbc
from billing.money import EXACT, minor_digits, plain, round_half_up
from billing.periods import month_days

_SPECIFICATION = "urn:cen.eu:en16931:2017"
_NAMESPACE = "urn:oasis:names:specification:ubl:schema:xsd:"
_PREFIXES = {
    "xmlns:cac": f"{_NAMESPACE}CommonAggregateComponents-2",
    "xmlns:cbc": f"{_NAMESPACE}CommonBasicComponents-2",
}
_REVERSE_CHARGE, _EXPORT, _EXEMPT = "AE", "G", "E"
# Why no tax is taken, with its code; an exemption is explained by the text of its tax.
_REASONS = {
    _REVERSE_CHARGE: ("Reverse charge", "VATEX-EU-AE"),
    _EXPORT: ("Export outside the EU", "VATEX-EU-G"),
    OUT_OF_SCOPE: ("Not subject to VAT", None),
}
_MINUTE, _PIECE = "MIN", "C62"
_UNDEFINED_MEANS, _CREDIT_TRANSFER = "1", "30"
_MOST_DIGITS = 2


class NoUbl(BillingError):  # noqa: N818 (a document without XML is no mistake)
    """EN 16931 cannot say what this document says."""


def ubl_xml(document: Document) -> bytes:
    """The XML of an issued document; raises `NoUbl`."""
    with localcontext(EXACT):
        groups = tax_groups(document)
        for refusal in _refusals(document, groups):
            raise NoUbl(f"{document.number or 'a draft'} has no XML: {refusal}")
        name = "CreditNote" if document.is_credit_note else "Invoice"
        root = Element(name, {"xmlns": f"{_NAMESPACE}{name}-2", **_PREFIXES})
        root.extend(_parts(document, groups))
    text: bytes = tostring(root, encoding="UTF-8", xml_declaration=True)
    return text


def _refusals(document: Document, groups: Sequence[TaxGroup]) -> Iterator[str]:
    if document.number is None:
        yield "it is not issued yet"
    if minor_digits(document.terms.currency) > _MOST_DIGITS:
        yield f"EN 16931 has two decimals, and {document.terms.currency} has {minor_digits(document.terms.currency)}"
    if any(tax.prices == "inclusive" for tax in document.taxes):
        yield "its prices include tax, and EN 16931 has prices without tax"
    if not any(group.lines for group in groups):
        yield "it has no lines"
    for noun, side in (("seller", document.seller), ("account", document.customer)):
        if side.country is None:
            yield f'the {noun} "{side.id}" has no country (that is a key of the catalog)'
    categories = {group.category for group in groups}
    if OUT_OF_SCOPE in categories and len(categories) > 1:
        yield "lines that are not subject to tax stand beside lines that are"
    yield from _refused_ids(document, categories)
    yield from _refused_taxes(groups)


def _refused_ids(document: Document, categories: set[str]) -> Iterator[str]:
    seller, customer = document.seller, document.customer
    if categories != {OUT_OF_SCOPE} and seller.tax_id is None:
        yield f'the seller "{seller.id}" has no tax_id (that is a key of the catalog)'
    if categories & {_REVERSE_CHARGE, _EXPORT} and not vat_id(seller):
        yield f'the tax_id of the seller "{seller.id}" is not a VAT number with the prefix of its country'
    if _REVERSE_CHARGE in categories and not vat_id(customer):
        yield f'reverse charge needs the VAT number of the account "{customer.id}" as its tax_id'


def _refused_taxes(groups: Sequence[TaxGroup]) -> Iterator[str]:
    """BR-CO-17. Versions of one rate, each rounded by itself, can be a whole unit away from their sum x rate."""
    for group in groups:
        product = round_half_up(abs(group.base) * group.rate / 100, _MOST_DIGITS)
        if abs(abs(group.tax) - product) >= 1:
            yield f"its tax at {plain(group.rate)} % is 1 or more off base x rate: its versions are rounded one by one"


def _parts(document: Document, groups: Sequence[TaxGroup]) -> Iterator[Element]:
    """The children of the root, in the order of the schema."""
    yield from _head(document)
    yield party("AccountingSupplierParty", document.seller, is_taxable=groups[0].category != OUT_OF_SCOPE)
    yield party("AccountingCustomerParty", document.customer, is_taxable=groups[0].category != OUT_OF_SCOPE)
    if document.terms.bank and not document.is_credit_note:
        yield _payment_means(document, document.terms.bank)
    yield cac("PaymentTerms", cbc("Note", _payment_terms(document)))
    amounts = Amounts(currency=document.terms.currency)
    yield from (_rounding(amounts, group) for group in groups if amounts.rounding(group))
    yield _tax_total(amounts, document, groups)
    yield _monetary_total(amounts, document, groups)
    lines = sorted(((line.line, line, group) for group in groups for line in group.lines), key=itemgetter(0))
    yield from (_line(amounts, document, line, group) for _, line, group in lines)


def _head(document: Document) -> Iterator[Element]:
    yield cbc("CustomizationID", _SPECIFICATION)
    yield cbc("ID", document.number)
    yield cbc("IssueDate", document.issued_on)
    if document.due_on and not document.is_credit_note:  # a credit note has no such element
        yield cbc("DueDate", document.due_on)
    yield cbc("CreditNoteTypeCode", "381") if document.is_credit_note else cbc("InvoiceTypeCode", "380")
    if document.reason:
        yield cbc("Note", document.reason)
    yield cbc("DocumentCurrencyCode", document.terms.currency)
    days = _service_days(document)
    if days:
        yield _period(days[0], days[-1])
    preceding = document.credits or document.replaces
    if preceding:
        yield cac("BillingReference", cac("InvoiceDocumentReference", cbc("ID", preceding)))


def _service_days(document: Document) -> Sequence[date]:
    """The month that is billed; without one, the days of the lines."""
    if document.month:
        return month_days(document.month)
    return sorted(day for line in document.lines for day in (line.first_day, line.last_day) if day)


def _period(first: date, last: date) -> Element:
    return cac("InvoicePeriod", cbc("StartDate", first), cbc("EndDate", last))


def _payment_means(document: Document, bank: str) -> Element:
    iban = iban_in(bank)
    code = _CREDIT_TRANSFER if iban else _UNDEFINED_MEANS
    return cac(
        "PaymentMeans",
        cbc("PaymentMeansCode", code, {"name": ", ".join(bank.splitlines())}),
        cbc("PaymentID", document.number),
        cac("PayeeFinancialAccount", cbc("ID", iban)) if iban else None,
    )


def _payment_terms(document: Document) -> str:
    if document.is_credit_note:
        return "Credited to the account"
    return f"Due on {document.due_on}" if document.due_on else "Due on receipt"


def _rounding(amounts: Amounts, group: TaxGroup) -> Element:
    rounding = amounts.rounding(group)
    return cac(
        "AllowanceCharge",
        cbc("ChargeIndicator", "true" if rounding > 0 else "false"),
        cbc("AllowanceChargeReason", "Rounding"),
        amounts.element("Amount", abs(rounding)),
        _category("TaxCategory", group),
    )


def _category(name: str, group: TaxGroup, *reasons: Element | None) -> Element:
    """What is not subject to tax has no rate (BR-O-05)."""
    percent = None if group.category == OUT_OF_SCOPE else cbc("Percent", plain(group.rate))
    return cac(name, cbc("ID", group.category), percent, *reasons, cac("TaxScheme", cbc("ID", "VAT")))


def _tax_total(amounts: Amounts, document: Document, groups: Sequence[TaxGroup]) -> Element:
    return cac(
        "TaxTotal",
        amounts.element("TaxAmount", document.tax),
        *(_tax_subtotal(amounts, group) for group in groups),
    )


def _tax_subtotal(amounts: Amounts, group: TaxGroup) -> Element:
    return cac(
        "TaxSubtotal",
        amounts.element("TaxableAmount", group.base),
        amounts.element("TaxAmount", group.tax),
        _category("TaxCategory", group, *_exemption(group)),
    )


def _exemption(group: TaxGroup) -> Iterator[Element]:
    reason, code = _REASONS.get(group.category, (group.text if group.category == _EXEMPT else None, None))
    if code:
        yield cbc("TaxExemptionReasonCode", code)
    if reason:
        yield cbc("TaxExemptionReason", reason)


def _monetary_total(amounts: Amounts, document: Document, groups: Sequence[TaxGroup]) -> Element:
    roundings = [amounts.rounding(group) for group in groups]
    allowances, charges = [-each for each in roundings if each < 0], [each for each in roundings if each > 0]
    return cac(
        "LegalMonetaryTotal",
        amounts.element("LineExtensionAmount", total(amounts.sum_of(group.lines) for group in groups)),
        amounts.element("TaxExclusiveAmount", document.net),
        amounts.element("TaxInclusiveAmount", document.total),
        amounts.element("AllowanceTotalAmount", total(allowances)) if allowances else None,
        amounts.element("ChargeTotalAmount", total(charges)) if charges else None,
        amounts.element("PayableAmount", document.total),
    )


def _line(amounts: Amounts, document: Document, line: DocumentLine, group: TaxGroup) -> Element:
    name, quantity = ("CreditNoteLine", "Credited") if document.is_credit_note else ("InvoiceLine", "Invoiced")
    count, unit, *price = _priced(amounts, line)
    return cac(
        name,
        cbc("ID", str(line.line)),
        cbc("Note", _minutes(line)) if line.deducted_minutes else None,
        cbc(f"{quantity}Quantity", str(count), {"unitCode": unit}),
        amounts.element("LineExtensionAmount", line.amount),
        _period(line.first_day, line.last_day) if line.first_day and line.last_day else None,
        _item(document, line, group),
        cac("Price", *price),
    )


def _item(document: Document, line: DocumentLine, group: TaxGroup) -> Element:
    """Its name is that of the page, its id the catalog's: `hd`, or the package."""
    own_id = line.item or line.package
    return cac(
        "Item",
        cbc("Name", line_text(line, document)),
        cac("SellersItemIdentification", cbc("ID", own_id)) if own_id else None,
        _category("ClassifiedTaxCategory", group),
    )


def _priced(amounts: Amounts, line: DocumentLine) -> tuple[int, str, Element, Element]:
    """Quantity, unit, price and the quantity it is for; one piece where minutes do not make the amount."""
    if line.unit_price is not None and line.payable_minutes * line.unit_price == line.amount:
        price = amounts.exact_element("PriceAmount", Decimal(plain(line.unit_price * 1000)))
        return line.payable_minutes, _MINUTE, price, cbc("BaseQuantity", "1000", {"unitCode": _MINUTE})
    price = amounts.exact_element("PriceAmount", Decimal(plain(abs(line.amount))))
    return -1 if line.amount < 0 else 1, _PIECE, price, cbc("BaseQuantity", "1", {"unitCode": _PIECE})


def _minutes(line: DocumentLine) -> str:
    return f"{line.minutes} minutes, {line.deducted_minutes} of them paid by packages or free minutes"
