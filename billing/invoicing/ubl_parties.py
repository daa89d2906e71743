"""The parties of an invoice in UBL, and the numbers they are known by: tax ids and bank accounts.

A tax id is a VAT identifier when it begins with the prefix of its country (BR-CO-09): `DE136695976`, `EL094259216` for
Greece. In the EU and the United Kingdom a missing prefix is added. Any other id (Japan's `T5835678256246`) is the
seller's tax registration; EN 16931 has no place for one of the customer. Where nothing is subject to tax, no VAT
identifier is named (BR-O-02).
"""

import re
from xml.etree.ElementTree import Element

from billing.catalog.tax_ids import EU_STATES
from billing.invoicing.documents import DocumentParty
from billing.invoicing.ubl_words import cac, cbc

# The first letters of VAT identifiers, where they are not the code of the country.
_OTHER_PREFIXES = {"GR": ("EL",), "GB": ("GB", "XI")}
_SEPARATORS = re.compile(r"[ .-]")
# As one word, or as printed: in groups of four, the last one may be shorter.
_IBAN = re.compile(r"\b[A-Z]{2}[0-9]{2}(?:[A-Z0-9]{11,30}|(?: [A-Z0-9]{4}){2,7}(?: [0-9]{1,3})?)\b")
_VAT, _OTHER_TAX = "VAT", "TAX"


def party(role: str, side: DocumentParty, *, is_taxable: bool) -> Element:
    """The element of the seller or the customer."""
    return cac(
        role,
        cac(
            "Party",
            cac("PartyIdentification", cbc("ID", side.id)),
            _address(side),
            _tax_scheme(role, side, is_taxable=is_taxable),
            cac("PartyLegalEntity", cbc("RegistrationName", side.name)),
        ),
    )


def vat_id(side: DocumentParty) -> str | None:
    """The VAT identifier of a party with the prefix of its country, when its tax id is one."""
    if side.tax_id is None or side.country is None:
        return None
    number = _SEPARATORS.sub("", side.tax_id)
    prefixes = _OTHER_PREFIXES.get(side.country, (side.country,))
    if number.startswith(prefixes):
        return number
    return prefixes[0] + number if side.country in EU_STATES or side.country == "GB" else None


def iban_in(text: str) -> str | None:
    """The first bank account (IBAN) in a text, by its check digits: the number modulo 97 is 1."""
    numbers = (found.group().replace(" ", "") for found in _IBAN.finditer(text))
    return next((number for number in numbers if _checked(number) == 1), None)


def _checked(iban: str) -> int:
    return int("".join(str(int(letter, 36)) for letter in iban[4:] + iban[:4])) % 97


def _address(side: DocumentParty) -> Element:
    """Lines as they stand: street, additional street, and one more line for all others."""
    lines = (side.address or "").splitlines()
    rest = ", ".join(lines[2:])
    return cac(
        "PostalAddress",
        *(cbc(name, line) for name, line in zip(("StreetName", "AdditionalStreetName"), lines, strict=False)),
        cac("AddressLine", cbc("Line", rest)) if rest else None,
        cac("Country", cbc("IdentificationCode", side.country)),
    )


def _tax_scheme(role: str, side: DocumentParty, *, is_taxable: bool) -> Element | None:
    number = vat_id(side) if is_taxable else None
    if number:
        return cac("PartyTaxScheme", cbc("CompanyID", number), cac("TaxScheme", cbc("ID", _VAT)))
    if side.tax_id and role == "AccountingSupplierParty":
        return cac("PartyTaxScheme", cbc("CompanyID", side.tax_id), cac("TaxScheme", cbc("ID", _OTHER_TAX)))
    return None
