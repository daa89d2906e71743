"""Taxes of documents by published rules and examples; each test names its source.

They say what the program can do; a tax adviser must confirm what a seller sets up.
"""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from billing.catalog.taxes import Tax, TaxVersion
from billing.invoicing.documents import Document, DocumentLine, DocumentParty, Terms, group_of, groups, make_document


def tax(
    rate: str, *, prices: Any = "exclusive", rounding: Any = "half_up", category: Any = "S", name: str = "t"
) -> Tax:
    version = TaxVersion(
        valid_from=date(2000, 1, 1),
        category=category,
        rate=Decimal(rate),
        prices=prices,
        rounding=rounding,
        text=f"{rate} %",
    )
    return Tax(id=name, versions=(version,))


def document(currency: str, *parts: tuple[Tax, Sequence[str]]) -> Document:
    """A document with lines of these amounts under each tax."""
    lines = []
    for each, amounts in parts:
        named, valid_from = group_of(each, date(2026, 3, 31))
        lines += [
            DocumentLine(
                line=0,
                kind="usage",
                app_id=1,
                item="audio",
                first_day=date(2026, 3, 1),
                last_day=date(2026, 3, 31),
                list_amount=Decimal(amount),
                amount=Decimal(amount),
                tax=named,
                tax_from=valid_from,
            )
            for amount in amounts
        ]
    return make_document(
        "usage",
        lines,
        groups(lines, [each for each, _ in parts], currency),
        month=date(2026, 3, 1),
        seller=DocumentParty(id="seller", name="Rooms Ltd."),
        customer=DocumentParty(id="acme", name="Acme"),
        terms=Terms(currency=currency, timezone="UTC", language="en"),
    )


def amounts(found: Document) -> tuple[Decimal, Decimal, Decimal]:
    return found.net, found.tax, found.total


@pytest.mark.parametrize(("rounding", "expected"), [("down", 31), ("half_up", 32), ("up", 32)])
def test_japan_one_rounding_for_each_rate_of_an_invoice(rounding: str, expected: int) -> None:
    """National Tax Agency of Japan, Q&A on the qualified invoice system, question 57: the tax is rounded once for each
    rate of an invoice, and the issuer chooses up, down or nearest; a sum of taxes rounded by item is not allowed.

    Three items of 105 JPY at 10 % (the example of https://packagist.org/packages/foovar/jp-invoice): 315 JPY, tax 31.5.
    By item it would be 3 x 10 = 30.
    """
    found = document("JPY", (tax("10", rounding=rounding), ["105", "105", "105"]))
    assert amounts(found) == (315, expected, 315 + expected)


def test_japan_each_rate_is_rounded_by_itself() -> None:
    """The same rule with the standard and the reduced rate on one invoice, both rounded down.

    105 at 10 % is 10.5 → 10, and 99 + 9 at 8 % is 8.64 → 8: together 18. One rounding for both rates would give 19.
    """
    standard, reduced = (tax("10", rounding="down", name="jp-10"), tax("8", rounding="down", name="jp-8"))
    found = document("JPY", (standard, ["105"]), (reduced, ["99", "9"]))
    assert {each.tax: (each.base, each.amount) for each in found.taxes} == {"jp-10": (105, 10), "jp-8": (108, 8)}
    assert amounts(found) == (213, 18, 231)


def test_japan_tax_in_prices_that_include_it() -> None:
    """The same Q&A: of a total with tax, the tax is total x 10/110. 1,000 JPY hold 90.9: 90 rounded down, 91 up."""
    assert amounts(document("JPY", (tax("10", prices="inclusive", rounding="down"), ["1000"]))) == (910, 90, 1000)
    assert amounts(document("JPY", (tax("10", prices="inclusive", rounding="up"), ["1000"]))) == (909, 91, 1000)


@pytest.mark.parametrize(("lines", "gst"), [(["0.14", "0.14", "0.14"], "0.04"), (["1.15"], "0.12"), (["1.14"], "0.11")])
def test_australia_the_gst_of_all_supplies_is_added_and_then_rounded(lines: list[str], gst: str) -> None:
    """A New Tax System (Goods and Services Tax) Act 1999, section 9-90 (2)(a): the GST of the supplies of an invoice is
    added without rounding, and the sum is rounded to the nearest cent, 0.5 cents upwards
    (http://www5.austlii.edu.au/au/legis/cth/consol_act/antsasta1999402/s9.90.html).

    Three of 0.14 at 10 %: 1.4 cents each, together 4.2 → 4 cents; rounded one by one it would be 3. 11.5 cents are 12.
    """
    assert document("AUD", (tax("10"), lines)).tax == Decimal(gst)


@pytest.mark.parametrize(
    ("net", "rounding", "vat"),
    [
        ("10.02", "half_up", "2.00"),
        ("10.025", "half_up", "2.01"),
        ("0.03", "half_up", "0.01"),
        ("0.02", "half_up", "0.00"),
        ("10.04", "down", "2.00"),
        ("10.04", "half_up", "2.01"),
    ],
)
def test_united_kingdom_half_a_penny_goes_up_and_the_vat_payable_may_go_down(net: str, rounding: str, vat: str) -> None:
    """HMRC internal manual VATREC12030: VAT of less than 0.5 of one penny is rounded down, 0.5 or more up; VATREC12010
    on VAT Notice 700, paragraph 17.5: an invoice trader may round the VAT payable of an invoice down to the whole penny
    (https://www.gov.uk/hmrc-internal-manuals/vat-trader-records/vatrec12030).

    20 % of 10.02 is 2.004. A base of 10.025 is 10.03 first, of which 20 % is 2.006. 20 % of 10.04 is 2.008.
    """
    assert document("GBP", (tax("20", rounding=rounding), [net])).tax == Decimal(vat)


def test_european_standard_tax_by_category_and_rate() -> None:
    """Peppol BIS Billing 3.0, published example `Allowance-example.xml` (EN 16931: BT-117 is BT-116 x BT-119 / 100,
    rounded to two decimals, and BT-110 is the sum of BT-117; https://github.com/OpenPEPPOL/peppol-bis-invoice-3).

    25 % of 4,000 + 900 and an exempt line of 1,000: tax 1,225 and 0, total 7,125. (Its document allowance and charge of
    200 each cancel out.)
    """
    exempt = tax("0", category="E", name="exempt")
    found = document("EUR", (tax("25", name="standard"), ["4000.00", "900.00"]), (exempt, ["1000.00"]))
    assert {(each.category, each.rate): (each.base, each.amount) for each in found.taxes} == {
        ("S", 25): (4900, 1225),
        ("E", 0): (1000, 0),
    }
    assert amounts(found) == (5900, 1225, 7125)
