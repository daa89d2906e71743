"""The XML of documents: what it says, what it cannot say, and that the official rules of EN 16931 accept it."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from decimal import Decimal
from xml.etree.ElementTree import Element, fromstring

import pytest

from billing.catalog.taxes import Tax, TaxVersion
from billing.invoicing.documents import Document, DocumentParty
from billing.invoicing.ubl import NoUbl, ubl_xml
from billing.invoicing.ubl_check import FailedRule, failed_rules
from billing.invoicing.ubl_parties import iban_in, vat_id
from tests.issued_facts import (
    ACADEMY,
    BERLIN,
    CLASSROOM,
    JP_10,
    PARIS,
    TOKYO,
    VAT_19,
    a_tax,
    corrected,
    issued,
    piece,
    used,
)

NAMES = {
    "cac": "urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2",
    "cbc": "urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2",
}
KUNDE = replace(BERLIN, id="kunde", name="Kunde AG", tax_id=None)
TAX_8 = a_tax("S", "8", "down", text="消費税 8%")


def usage(tax: Tax | None, **named: object) -> Document:
    """4.9236 + 0.69223 = 5.61583 EUR: base 5.62, and 4.92 + 0.69 = 5.61 by line."""
    return issued(used(1234, "3.99"), used(77, "8.99", "fhd", deducted_minutes=100), tax=tax, **named)  # type: ignore[arg-type]


ACCEPTED = {
    "JPY, 10 % rounded down": issued(*CLASSROOM, tax=JP_10, currency="JPY", seller=TOKYO, customer=ACADEMY),
    "JPY, two rates": issued(
        used(1051, "150"), used(1751, "600"), taxes=[JP_10, TAX_8], currency="JPY", seller=TOKYO, customer=ACADEMY
    ),
    "JPY, one rate negative": issued(
        used(1751, "600"), corrected(-301, "150"), taxes=[JP_10, TAX_8], currency="JPY", seller=TOKYO, customer=ACADEMY
    ),
    "EUR, 19 %": usage(VAT_19, customer=KUNDE, terms={"bank": "IBAN DE89 3704 0044 0532 0130 00\nBIC COBADEFFXXX"}),
    "EUR, bank in words": usage(VAT_19, customer=KUNDE, terms={"bank": "Post office <Berlin> & counter 5"}),
    "reverse charge": usage(a_tax("AE", "0", text="Steuerschuld des Empfängers")),
    "exempt": usage(a_tax("E", "0", text="Education, exempt")),
    "zero rate": usage(a_tax("Z", "0")),
    "export": usage(a_tax("G", "0"), customer=ACADEMY),
    "out of scope": usage(a_tax("O", "0")),
    "no tax": usage(None, customer=ACADEMY),
    "no tax ids at all": usage(None, seller=replace(BERLIN, tax_id=None), customer=replace(PARIS, address=None)),
    "nothing to pay": issued(used(0, "3.99", deducted_minutes=60), tax=VAT_19),
    "not due": usage(VAT_19, due_on=None),
    "corrections on an invoice": issued(
        used(30000, "0.99"), corrected(-1234, "3.99"), corrected(11, "8.99", "fhd"), tax=VAT_19
    ),
    "corrections make a credit note": issued(used(3, "0.99"), corrected(-1234, "3.99"), tax=VAT_19),
    "credit note": issued(
        corrected(-1234, "3.99"),
        tax=VAT_19,
        credits="EA-2026-000001",
        reason="Counted <twice> & wrong",
        terms={"bank": "Bank"},
    ),
    "reissued": usage(VAT_19, replaces="EA-2026-000007", reason="Wrong address"),
    "package": issued(piece("package", "227"), tax=VAT_19, purpose="package", month=None),
    "pieces": issued(
        used(1234, "3.99"), piece("service", "12.345"), piece("fee", "0.005"), piece("discount", "-1.115"), tax=VAT_19
    ),
    "refund": issued(piece("refund", "-198.20"), tax=VAT_19, credits="EA-2026-000001"),
    "two versions of one rate": issued(
        used(1234, "3.99", last_day=date(2026, 3, 15)),
        used(77, "8.99"),
        tax=Tax(
            id="vat",
            versions=tuple(
                TaxVersion(valid_from=day, category="S", rate=Decimal(19), text=text)
                for day, text in ((date(2007, 1, 1), "USt. 19%"), (date(2026, 3, 16), "VAT 19%"))
            ),
        ),
    ),
    "many lines": issued(*(used(minutes, "3.99") for minutes in range(1, 41)), tax=VAT_19),
}


def tree(document: Document) -> Element:
    return fromstring(ubl_xml(document))  # noqa: S314 (ours)


def text(document: Document, path: str) -> str | None:
    return tree(document).findtext(path, namespaces=NAMES)


def texts(document: Document, path: str) -> list[str | None]:
    return [found.text for found in tree(document).iterfind(path, NAMES)]


def test_the_official_rules_accept_every_kind_of_document() -> None:
    """Schema and Schematron, all in one process."""
    verdicts = failed_rules([ubl_xml(document) for document in ACCEPTED.values()])
    assert dict(zip(ACCEPTED, verdicts, strict=True)) == dict.fromkeys(ACCEPTED, ())


@pytest.mark.parametrize("name", ACCEPTED)
def test_sums_and_taxes_are_those_of_the_document_to_the_digit(name: str) -> None:
    document = ACCEPTED[name]
    digits = 0 if document.terms.currency == "JPY" else 2
    total = "cac:LegalMonetaryTotal/cbc:"
    wanted = {
        f"{total}TaxExclusiveAmount": document.net,
        f"{total}TaxInclusiveAmount": document.total,
        f"{total}PayableAmount": document.total,
        "cac:TaxTotal/cbc:TaxAmount": document.tax,
    }
    assert {path: text(document, path) for path in wanted} == {path: f"{wanted[path]:.{digits}f}" for path in wanted}
    assert {found.get("currencyID") for found in tree(document).iter() if "currencyID" in found.attrib} == {
        document.terms.currency
    }


def test_the_worked_example_in_yen_is_rounded_by_line_and_brought_back_by_one_allowance() -> None:
    """157.65, 1,050.60 and 949.05 are 158 + 1,051 + 949 = 2,158 by line; base 2,157, tax 215, total 2,372."""
    document = ACCEPTED["JPY, 10 % rounded down"]
    assert texts(document, "cac:InvoiceLine/cbc:LineExtensionAmount") == ["158", "1051", "949"]
    assert texts(document, "cac:InvoiceLine/cbc:InvoicedQuantity") == ["1051", "1751", "703"]
    assert texts(document, "cac:InvoiceLine/cac:Price/cbc:PriceAmount") == ["150", "600", "1350"]
    assert texts(document, "cac:InvoiceLine/cac:Price/cbc:BaseQuantity") == ["1000", "1000", "1000"]
    assert text(document, "cac:LegalMonetaryTotal/cbc:LineExtensionAmount") == "2158"
    assert text(document, "cac:AllowanceCharge/cbc:ChargeIndicator") == "false"
    assert texts(document, "cac:AllowanceCharge/cbc:Amount") == ["1"]
    assert text(document, "cac:AllowanceCharge/cbc:AllowanceChargeReason") == "Rounding"
    assert texts(document, "cac:TaxTotal/cac:TaxSubtotal/cbc:TaxableAmount") == ["2157"]
    assert texts(document, "cac:TaxTotal/cbc:TaxAmount") == ["215"]
    assert text(document, "cac:LegalMonetaryTotal/cbc:PayableAmount") == "2372"


def test_rounding_up_is_a_charge() -> None:
    document = ACCEPTED["EUR, 19 %"]
    assert text(document, "cac:AllowanceCharge/cbc:ChargeIndicator") == "true"
    assert text(document, "cac:AllowanceCharge/cbc:Amount") == "0.01"
    assert text(document, "cac:LegalMonetaryTotal/cbc:ChargeTotalAmount") == "0.01"
    assert text(document, "cac:LegalMonetaryTotal/cbc:AllowanceTotalAmount") is None


def test_versions_of_one_rate_have_one_subtotal() -> None:
    """4.9236 and 0.69223 are rounded apart: bases 4.92 + 0.69, taxes 0.93 + 0.13."""
    document = ACCEPTED["two versions of one rate"]
    assert [tax.amount for tax in document.taxes] == [Decimal("0.93"), Decimal("0.13")]
    assert texts(document, "cac:TaxTotal/cac:TaxSubtotal/cbc:TaxableAmount") == ["5.61"]
    assert texts(document, "cac:TaxTotal/cac:TaxSubtotal/cbc:TaxAmount") == ["1.06"]


def test_what_is_given_back_on_an_invoice_has_a_negative_quantity() -> None:
    document = ACCEPTED["corrections on an invoice"]
    assert texts(document, "cac:InvoiceLine/cbc:InvoicedQuantity") == ["30000", "-1234", "11"]
    assert texts(document, "cac:InvoiceLine/cbc:LineExtensionAmount") == ["29.70", "-4.92", "0.10"]
    assert texts(document, "cac:InvoiceLine/cac:Price/cbc:PriceAmount") == ["0.99", "3.99", "8.99"]
    assert texts(document, "cac:InvoiceLine/cac:InvoicePeriod/cbc:StartDate") == [
        "2026-03-01",
        "2026-02-03",
        "2026-02-03",
    ]


def test_a_credit_note_has_positive_amounts_and_names_the_invoice() -> None:
    document = ACCEPTED["credit note"]
    assert tree(document).tag.endswith("CreditNote-2}CreditNote")
    assert text(document, "cbc:CreditNoteTypeCode") == "381"
    assert text(document, "cac:BillingReference/cac:InvoiceDocumentReference/cbc:ID") == "EA-2026-000001"
    assert text(document, "cbc:Note") == "Counted <twice> & wrong"
    assert texts(document, "cac:CreditNoteLine/cbc:CreditedQuantity") == ["1234"]
    assert texts(document, "cac:CreditNoteLine/cbc:LineExtensionAmount") == ["4.92"]
    assert text(document, "cac:PaymentMeans") is None


def test_a_reissued_invoice_names_the_one_it_replaces() -> None:
    document = ACCEPTED["reissued"]
    assert text(document, "cac:BillingReference/cac:InvoiceDocumentReference/cbc:ID") == "EA-2026-000007"
    assert text(document, "cbc:InvoiceTypeCode") == "380"


def test_what_has_no_minutes_is_one_piece() -> None:
    document = ACCEPTED["pieces"]
    assert texts(document, "cac:InvoiceLine/cbc:InvoicedQuantity") == ["1234", "1", "1", "-1"]
    quantities = tree(document).iterfind("cac:InvoiceLine/cbc:InvoicedQuantity", NAMES)
    assert [quantity.get("unitCode") for quantity in quantities] == ["MIN", "C62", "C62", "C62"]
    assert texts(document, "cac:InvoiceLine/cac:Price/cbc:PriceAmount") == ["3.99", "12.345", "0.005", "1.115"]


def test_a_part_of_a_usage_line_is_one_piece_as_its_minutes_do_not_make_the_amount() -> None:
    part = replace(used(1234, "3.99"), amount=Decimal("2"), list_amount=Decimal("2"))
    document = issued(part, tax=VAT_19)
    assert texts(document, "cac:InvoiceLine/cbc:InvoicedQuantity") == ["1"]
    assert texts(document, "cac:InvoiceLine/cac:Price/cbc:PriceAmount") == ["2"]


def test_lines_say_what_they_are_for() -> None:
    assert texts(ACCEPTED["EUR, 19 %"], "cac:InvoiceLine/cac:Item/cbc:Name") == [
        "HD video, Classroom",
        "Full HD video, Classroom",
    ]
    assert texts(ACCEPTED["EUR, 19 %"], "cac:InvoiceLine/cbc:Note") == [
        "177 minutes, 100 of them paid by packages or free minutes"
    ]
    names = "*/cac:Item/cbc:Name"
    assert texts(ACCEPTED["package"], names) == ["Minute package pkg-250k (9 March 2026)"]
    assert texts(usage(None, customer=ACADEMY, terms={"language": "ja"}), names)[0] == "HDビデオ：Classroom"  # noqa: RUF001
    corrections = ACCEPTED["corrections on an invoice"]
    assert texts(corrections, names)[1:] == ["Corrections of earlier days, Classroom"] * 2
    assert texts(corrections, "*/cac:Item/cac:SellersItemIdentification/cbc:ID") == ["hd", "hd", "fhd"]


def test_dates_are_those_of_issue_and_due_and_the_billed_month() -> None:
    document = ACCEPTED["EUR, 19 %"]
    assert text(document, "cbc:IssueDate") == "2026-04-01"
    assert text(document, "cbc:DueDate") == "2026-05-01"
    assert text(document, "cac:PaymentTerms/cbc:Note") == "Due on 2026-05-01"
    assert texts(document, "cac:InvoicePeriod/*") == ["2026-03-01", "2026-03-31"]
    assert texts(ACCEPTED["package"], "cac:InvoicePeriod/*") == ["2026-03-09", "2026-03-09"]


def test_an_address_is_kept_line_by_line() -> None:
    address = "cac:AccountingCustomerParty/cac:Party/cac:PostalAddress/"
    document = ACCEPTED["reverse charge"]
    assert text(document, f"{address}cbc:StreetName") == "1 rue <de> Rivoli"
    assert text(document, f"{address}cbc:AdditionalStreetName") == "Bât. B"
    assert text(document, f"{address}cac:AddressLine/cbc:Line") == "3e étage, 75001 Paris"
    assert text(document, f"{address}cac:Country/cbc:IdentificationCode") == "FR"


def test_an_account_for_transfers_is_named_when_the_bank_text_has_one() -> None:
    document = ACCEPTED["EUR, 19 %"]
    assert text(document, "cac:PaymentMeans/cbc:PaymentMeansCode") == "30"
    assert text(document, "cac:PaymentMeans/cbc:PaymentID") == "EA-2026-000001"
    assert text(document, "cac:PaymentMeans/cac:PayeeFinancialAccount/cbc:ID") == "DE89370400440532013000"
    in_words = ACCEPTED["EUR, bank in words"]
    code = tree(in_words).find("cac:PaymentMeans/cbc:PaymentMeansCode", NAMES)
    assert code is not None
    assert (code.text, code.get("name")) == ("1", "Post office <Berlin> & counter 5")


@pytest.mark.parametrize(
    ("bank", "iban"),
    [
        ("IBAN DE89 3704 0044 0532 0130 00 BIC COBADEFFXXX", "DE89370400440532013000"),
        ("GB82WEST12345698765432", "GB82WEST12345698765432"),
        ("DE89 3704 0044 0532 0130 01", None),
        ("DE88370400440532013000 or FR14 2004 1010 0505 0001 3M02 606", "FR1420041010050500013M02606"),
        ("三井住友銀行 普通 1234567", None),
    ],
)
def test_an_iban_counts_by_its_check_digits(bank: str, iban: str | None) -> None:
    assert iban_in(bank) == iban


@pytest.mark.parametrize(
    ("country", "tax_id", "vat"),
    [
        ("DE", "DE136695976", "DE136695976"),
        ("DE", "136 695 976", "DE136695976"),
        ("GR", "094259216", "EL094259216"),
        ("GR", "EL 094259216", "EL094259216"),
        ("GB", "980 7806 84", "GB980780684"),
        ("GB", "XI980780684", "XI980780684"),
        ("CH", "CHE-116.281.710", "CHE116281710"),
        ("JP", "T5835678256246", None),
        ("CN", "91110000600037341L", None),
        ("US", "12-3456789", None),
        (None, "DE136695976", None),
        ("DE", None, None),
    ],
)
def test_a_vat_number_has_the_prefix_of_its_country(country: str | None, tax_id: str | None, vat: str | None) -> None:
    assert vat_id(DocumentParty(id="x", name="X", country=country, tax_id=tax_id)) == vat


def test_other_tax_ids_are_the_sellers_registration_and_no_vat_number() -> None:
    document = ACCEPTED["JPY, 10 % rounded down"]
    schemes = "cac:Party/cac:PartyTaxScheme/cac:TaxScheme/cbc:ID"
    assert texts(document, f"cac:AccountingSupplierParty/{schemes}") == ["TAX"]
    assert texts(ACCEPTED["out of scope"], f"cac:AccountingSupplierParty/{schemes}") == ["TAX"]
    assert texts(ACCEPTED["out of scope"], f"cac:AccountingCustomerParty/{schemes}") == []
    assert texts(ACCEPTED["reverse charge"], f"cac:AccountingSupplierParty/{schemes}") == ["VAT"]
    assert texts(ACCEPTED["reverse charge"], f"cac:AccountingCustomerParty/{schemes}") == ["VAT"]


def test_why_no_tax_is_taken_is_said_where_a_rule_asks_for_it() -> None:
    category = "cac:TaxTotal/cac:TaxSubtotal/cac:TaxCategory/"
    reasons = {
        name: (text(ACCEPTED[name], f"{category}cbc:ID"), text(ACCEPTED[name], f"{category}cbc:TaxExemptionReason"))
        for name in ("EUR, 19 %", "reverse charge", "exempt", "zero rate", "export", "out of scope", "no tax")
    }
    assert reasons == {
        "EUR, 19 %": ("S", None),
        "reverse charge": ("AE", "Reverse charge"),
        "exempt": ("E", "Education, exempt"),
        "zero rate": ("Z", None),
        "export": ("G", "Export outside the EU"),
        "out of scope": ("O", "Not subject to VAT"),
        "no tax": ("O", "Not subject to VAT"),
    }


INCLUSIVE = a_tax("S", "10", prices="inclusive")
REFUSED = {
    "it is not issued yet": usage(VAT_19, number=None),
    "two decimals, and KWD has 3": usage(VAT_19, currency="KWD"),
    "its prices include tax": usage(INCLUSIVE),
    "it has no lines": issued(tax=VAT_19),
    'the seller "east" has no country': usage(VAT_19, seller=replace(BERLIN, country=None)),
    'the account "ecole" has no country': usage(VAT_19, customer=replace(PARIS, country=None)),
    'the seller "east" has no tax_id': usage(VAT_19, seller=replace(BERLIN, tax_id=None)),
    'tax_id of the seller "tokyo" is not a VAT number': usage(a_tax("G", "0"), seller=TOKYO),
    'needs the VAT number of the account "kunde"': usage(a_tax("AE", "0"), customer=KUNDE),
    "not subject to tax stand beside": issued(used(1, "3.99"), used(2000, "3.99"), taxes=[None, VAT_19]),
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_en_16931_cannot_say_has_no_xml_and_says_why(why: str) -> None:
    with pytest.raises(NoUbl, match=re.escape(why)) as raised:
        ubl_xml(REFUSED[why])
    assert "\n" not in str(raised.value)


def test_versions_that_are_rounded_a_whole_unit_apart_from_their_rate_have_no_xml() -> None:
    """9 JPY at 10 % are 0.9, rounded up 1; three versions make 3 JPY of 2.7, twelve 12 of 10.8."""
    versions = tuple(
        TaxVersion(valid_from=date(2026, 3, day), category="S", rate=Decimal(10), rounding="up", text=f"{day}")
        for day in range(1, 13)
    )
    lines = [used(9, "1000", first_day=date(2026, 3, day), last_day=date(2026, 3, day)) for day in range(1, 13)]
    tax = Tax(id="jp", versions=versions)
    assert text(issued(*lines[:3], tax=tax, currency="JPY"), "cac:TaxTotal/cbc:TaxAmount") == "3"
    with pytest.raises(NoUbl, match="its tax at 10 % is 1 or more off base x rate"):
        ubl_xml(issued(*lines, tax=tax, currency="JPY"))


def removed(name: str) -> Callable[[str], str]:
    return lambda xml: re.sub(rf"<cbc:{name}\b.*?</cbc:{name}>", "", xml, count=1)


def changed(before: str, after: str) -> Callable[[str], str]:
    return lambda xml: xml.replace(before, after)


# A document, what is done to its XML, and the rule that finds it.
WRONG = [
    ("EUR, 19 %", changed('"EUR">5.61<', '"EUR">5.62<'), "BR-CO-10"),
    ("EUR, 19 %", changed(">5.62</cbc:TaxExclusive", ">5.63</cbc:TaxExclusive"), "BR-CO-13"),
    ("EUR, 19 %", changed(">6.69</cbc:TaxInclusive", ">6.70</cbc:TaxInclusive"), "BR-CO-15"),
    ("EUR, 19 %", changed(">6.69</cbc:Payable", ">6.70</cbc:Payable"), "BR-CO-16"),
    ("EUR, 19 %", changed(">1.07<", ">2.97<"), "BR-CO-17"),
    ("EUR, 19 %", changed(">0.01</cbc:Charge", ">0.02</cbc:Charge"), "BR-CO-12"),
    ("EUR, 19 %", changed(">4.92</cbc:Line", ">4.921</cbc:Line"), "BR-DEC-23"),
    ("EUR, 19 %", removed("ID"), "XSD"),
    ("EUR, 19 %", changed("<cbc:ID>EA-2026-000001</cbc:ID>", "<cbc:ID></cbc:ID>"), "BR-02"),
    ("EUR, 19 %", changed("<cbc:ID>S</cbc:ID>", "<cbc:ID>Z</cbc:ID>"), "BR-Z-05"),
    ("EUR, 19 %", changed("<cbc:ID>S</cbc:ID>", "<cbc:ID>X</cbc:ID>"), "BR-CL-18"),
    ("EUR, 19 %", changed(">3.99<", ">-3.99<"), "BR-27"),
    ("EUR, 19 %", changed('"EUR"', '"XXE"'), "BR-CL-03"),
    ("EUR, 19 %", changed('unitCode="MIN"', 'unitCode="MINUTES"'), "BR-CL-23"),
    ("EUR, 19 %", changed("DE136695976", "ZZ136695976"), "BR-CO-09"),
    ("EUR, 19 %", removed("CustomizationID"), "BR-01"),
    ("EUR, 19 %", changed(">DE</cbc:Id", "></cbc:Id"), "BR-09"),
    ("reverse charge", changed("cbc:Percent>0<", "cbc:Percent>19<"), "BR-AE-05"),
    ("no tax", changed("<cbc:ID>O</cbc:ID>", "<cbc:ID>O</cbc:ID><cbc:Percent>0</cbc:Percent>"), "BR-O-05"),
    ("out of scope", changed("<cbc:ID>TAX</cbc:ID>", "<cbc:ID>VAT</cbc:ID>"), "BR-O-02"),
    ("credit note", changed(">381<", ">999<"), "BR-CL-01"),
]


@pytest.fixture(scope="module")
def found() -> list[tuple[FailedRule, ...]]:
    """What fails of each wrong XML, in one process."""
    return failed_rules([change(ubl_xml(ACCEPTED[name]).decode()).encode() for name, change, _ in WRONG])


@pytest.mark.parametrize("index", range(len(WRONG)), ids=[rule for _, _, rule in WRONG])
def test_a_wrong_xml_fails_with_the_rule_that_it_breaks(index: int, found: list[tuple[FailedRule, ...]]) -> None:
    assert WRONG[index][2] in {failed.rule for failed in found[index]}
