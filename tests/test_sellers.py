"""Sellers and their numbers."""

from datetime import date

import pytest

from billing.catalog.catalog import Account, Catalog
from billing.catalog.reading import parse_catalog
from billing.catalog.references import check_catalog
from billing.catalog.sellers import NumberSeries, Seller
from billing.errors import BillingError

EAST = """
[[seller]]
id = "east"
name = "East GmbH"
address = "Signalstraße 1\\nBerlin"
country = "DE"
tax_id = "DE136695976"
timezone = "Europe/Berlin"
terms_days = 14
logo = "logo.png"
bank = "IBAN DE89 3704 0044 0532 0130 00\\nBIC COBADEFFXXX"
grace_days = 2
issue_zero = true
invoice = { prefix = "EA" }
credit_note = { prefix = "EAC", format = "{prefix}{seq}", reset = "never" }
"""
ISSUED_ON = date(2026, 4, 2)


def mistake(old: str, new: str) -> str:
    """The first mistake in the seller with something else in it."""
    assert old in EAST
    with pytest.raises(BillingError) as refused:
        parse_catalog(EAST.replace(old, new), "catalog.toml")
    return str(refused.value).splitlines()[1]


def account(seller: str | None = None) -> Account:
    return Account(id="acme", name="A", currency="USD", timezone="UTC", policy="trtc-intl", seller=seller)


def test_a_seller_is_read_whole() -> None:
    assert parse_catalog(EAST, "catalog.toml").sellers == {
        "east": Seller(
            id="east",
            name="East GmbH",
            address="Signalstraße 1\nBerlin",
            country="DE",
            tax_id="DE136695976",
            timezone="Europe/Berlin",
            terms_days=14,
            logo="logo.png",
            bank="IBAN DE89 3704 0044 0532 0130 00\nBIC COBADEFFXXX",
            grace_days=2,
            issue_zero=True,
            invoice=NumberSeries(prefix="EA"),
            credit_note=NumberSeries(prefix="EAC", format="{prefix}{seq}", reset="never"),
        )
    }


def test_a_plain_seller_table_is_the_seller_called_seller() -> None:
    seller = Seller(id="seller", name="Rooms Ltd")
    assert parse_catalog('[seller]\nname = "Rooms Ltd"\n', "catalog.toml").sellers == {"seller": seller}
    assert (seller.timezone, seller.terms_days, seller.grace_days, seller.issue_zero) == ("UTC", 30, 0, False)
    assert (seller.invoice.number(1, ISSUED_ON), seller.credit_note.number(1, ISSUED_ON)) == (
        "INV-2026-000001",
        "CN-2026-000001",
    )
    with pytest.raises(BillingError, match=r"\[seller\]: id: a seller with an id is written as \[\[seller\]\]"):
        parse_catalog('[seller]\nid = "east"\nname = "Rooms Ltd"\n', "catalog.toml")


@pytest.mark.parametrize(
    ("series", "seq", "number"),
    [
        (NumberSeries(prefix="EA"), 17, "EA-2026-000017"),
        (NumberSeries(prefix="EA"), 1_234_567, "EA-2026-1234567"),
        (NumberSeries(prefix="R", format="{prefix}/{seq}/{year}"), 17, "R/17/2026"),
        (NumberSeries(prefix="R", format="{year}{seq:03}", reset="never"), 17, "2026017"),
        (NumberSeries(prefix="{seq}%s{0}", format="{prefix} {seq}", reset="never"), 1, "{seq}%s{0} 1"),
    ],
)
def test_a_number_is_made_by_the_format(series: NumberSeries, seq: int, number: str) -> None:
    """A prefix is text, whatever it looks like."""
    assert series.number(seq, ISSUED_ON) == number


def test_counting_begins_again_each_year_or_never() -> None:
    series = NumberSeries(prefix="EA")
    assert (series.period(date(2026, 12, 31)), series.period(date(2027, 1, 1))) == ("2026", "2027")
    assert NumberSeries(prefix="EA", reset="never").period(ISSUED_ON) == ""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('id = "east"', "", "[[seller]] #1: id: is missing"),
        ('"EA" }', '"EA", format = "{prefix}-{year}" }', "invoice: the format has no {seq}, and every number would be"),
        ('"EA" }', '"EA", format = "{prefix}-{seq}" }', "invoice: the format has no {year}: numbers would come again"),
        ('"EA" }', '"EA", format = "{prefix}{year}{seq:6}" }', "invoice: unknown field {seq:6} in the format; write"),
        ('"EA" }', '"EA", format = "{prefix}{year}{seq:00}" }', "invoice: unknown field {seq:00} in the format"),
        ('"EA" }', '"EA", format = "{year}{seq}{prefix.real}" }', "invoice: unknown field {prefix.real} in the format"),
        ('"EA" }', '"EA", format = "{year}{seq}{}" }', "invoice: unknown field {} in the format"),
        ('"EA" }', '"EA", format = "{{year}}{seq}" }', "invoice: the format has a single brace; write {prefix}"),
        ('"EA" }', '"EA", format = "{year}{seq} }" }', "invoice: the format has a single brace; write {prefix}"),
        ('"EA" }', '"EA", reset = "month" }', "invoice.reset: 'month' is not 'year' or 'never'"),
        ('"EA" }', '"EA", start = 7 }', "invoice: unknown key 'start'; known here: prefix, format, reset"),
        ('"EA" }', '"" }', "invoice.prefix: must have 1 to 32 characters"),
        ('"EA" }', f'"{"E" * 33}" }}', "invoice.prefix: must have 1 to 32 characters"),
        ('"EA" }', '"E\\nA" }', "invoice.prefix: must not have control characters or line breaks"),
        ('invoice = { prefix = "EA" }', 'invoice = "EA"', "invoice: is not a table of names and values"),
        ("terms_days = 14", "terms_days = 3651", "terms_days: 3651 is too large; write 3650 or less"),
        ("terms_days = 14", "terms_days = -1", "terms_days: -1 is too small; write 0 or more"),
        ("grace_days = 2", "grace_days = 366", "grace_days: 366 is too large; write 365 or less"),
        ("issue_zero = true", "issue_zero = 1", "issue_zero: 1 is not true or false"),
        ('"logo.png"', '"logo.gif"', "logo: 'logo.gif' is not the name of a .png, .jpg or .jpeg file"),
        ('"logo.png"', '"/etc/logo.png"', "logo: '/etc/logo.png' is not a file inside the home; write its name"),
        ('"logo.png"', '"../logo.png"', "logo: '../logo.png' is not a file inside the home; write its name"),
        ('"DE"', '"UK"', "country: 'UK' is no ISO 3166 country; the United Kingdom is \"GB\""),
        ('"DE"', '"de"', "country: 'de' is no ISO 3166 country; write two capital letters such as DE"),
        ('"DE"', "49", "country: 49 is not a country code in quotes"),
        ("DE136695976", "DE136695977", "'DE136695977' is not a tax id of DE (its VAT number): a digit is wrong"),
        ("Europe/Berlin", "Europe/Bonn", "timezone: unknown time zone 'Europe/Bonn'"),
    ],
)
def test_a_mistake_in_a_seller_is_named(old: str, new: str, said: str) -> None:
    assert said in mistake(old, new)


def test_an_account_has_the_seller_that_it_names_or_the_only_one() -> None:
    east, west = Seller(id="east", name="East"), Seller(id="west", name="West")
    assert Catalog().seller_of(account()) is None
    assert Catalog(sellers={"east": east}).seller_of(account()) == east
    both = Catalog(sellers={"east": east, "west": west})
    assert both.seller_of(account("west")) == west
    assert both.seller_of(account()) is None


@pytest.mark.parametrize(
    ("invoice", "credit_note", "clashes"),
    [
        ('{ prefix = "W" }', '{ prefix = "WC" }', []),
        ('{ prefix = "EA" }', '{ prefix = "WC" }', ["invoice"]),
        ('{ prefix = "W" }', '{ prefix = "EA" }', ["credit_note"]),
        ('{ prefix = "W" }', '{ prefix = "W" }', ["credit_note"]),
        ('{ prefix = "EA", format = "{prefix}-{year}-{seq:04}" }', '{ prefix = "WC" }', ["invoice"]),
        ('{ prefix = "W", format = "EA-{year}-{seq}" }', '{ prefix = "WC" }', ["invoice"]),
        (
            '{ prefix = "EA", format = "{year}-{prefix}-{seq}" }',
            '{ prefix = "EA", format = "{prefix}/{year}/{seq}" }',
            [],
        ),
    ],
)
def test_series_that_would_give_the_same_numbers_are_refused(
    invoice: str, credit_note: str, clashes: list[str]
) -> None:
    """Zeros before a number do not help: EA-2026-100000 has none of them."""
    west = f'[[seller]]\nid = "west"\nname = "West"\ninvoice = {invoice}\ncredit_note = {credit_note}\n'
    catalog = parse_catalog(EAST + west, "catalog.toml")
    if not clashes:
        check_catalog(catalog)
        return
    with pytest.raises(BillingError) as refused:
        check_catalog(catalog)
    lines = str(refused.value).splitlines()[1:]
    assert [line.split(": ")[1] for line in lines] == clashes
    assert all(line.startswith('seller "west": ') and line.endswith("; give it its own prefix") for line in lines)
