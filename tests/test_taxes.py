"""Taxes: their versions, and what an account needs for one."""

from datetime import date
from decimal import Decimal

import pytest

from billing.catalog.catalog import Catalog
from billing.catalog.reading import parse_catalog
from billing.catalog.references import check_catalog
from billing.catalog.taxes import Tax, TaxVersion
from billing.errors import BillingError

JAPAN = """
[[tax]]
id = "jp-10"
[[tax.version]]
valid_from = 2014-04-01
category = "S"
rate = 8
text = "消費税 8%"
[[tax.version]]
valid_from = "2019-10-01"
category = "S"
rate = "10.50"
prices = "inclusive"
rounding = "down"
text = "消費税 10.5%"
"""
REVERSE = """
[[tax]]
id = "reverse"
version = [{ valid_from = 2010-01-01, category = "AE", rate = 0, text = "Reverse charge" }]
[[seller]]
id = "east"
name = "East GmbH"
country = "DE"
tax_id = "DE136695976"
[[account]]
id = "acme"
name = "Acme SA"
currency = "USD"
timezone = "UTC"
policy = "trtc-intl"
tax = "reverse"
country = "FR"
tax_id = "FR40303265045"
"""


def mistake(old: str, new: str) -> str:
    assert old in JAPAN
    with pytest.raises(BillingError) as refused:
        parse_catalog(JAPAN.replace(old, new), "catalog.toml")
    return str(refused.value).splitlines()[1]


def refusals(text: str) -> list[str]:
    catalog = parse_catalog(text, "catalog.toml")
    with pytest.raises(BillingError) as refused:
        check_catalog(catalog)
    return str(refused.value).splitlines()[1:]


def test_a_tax_is_read_whole() -> None:
    """What is left out: prices without the tax, rounded half up."""
    assert parse_catalog(JAPAN, "catalog.toml").taxes == {
        "jp-10": Tax(
            id="jp-10",
            versions=(
                TaxVersion(
                    valid_from=date(2014, 4, 1),
                    category="S",
                    rate=Decimal(8),
                    prices="exclusive",
                    rounding="half_up",
                    text="消費税 8%",
                ),
                TaxVersion(
                    valid_from=date(2019, 10, 1),
                    category="S",
                    rate=Decimal("10.5"),
                    prices="inclusive",
                    rounding="down",
                    text="消費税 10.5%",
                ),
            ),
        )
    }


def test_the_day_of_service_chooses_the_version() -> None:
    tax = parse_catalog(JAPAN, "catalog.toml").taxes["jp-10"]
    days = (date(1997, 4, 1), date(2019, 9, 30), date(2019, 10, 1), date(2030, 1, 1))
    assert [tax.version_on(day).rate for day in days] == [8, 8, Decimal("10.5"), Decimal("10.5")]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("rate = 8", "rate = 8.0", "version[1].rate: 8.0 is a floating-point number, which is not exact; write it in"),
        ("rate = 8", 'rate = "100.01"', "version[1].rate: 100.01 is not from 0 to 100"),
        ("rate = 8", 'rate = "8.12345"', "version[1].rate: 8.12345 has more than 4 decimals"),
        ("rate = 8", 'rate = "8 %"', "version[1].rate: '8 %' is not a decimal number in quotes"),
        ("rate = 8", "rate = 0", 'version[1]: the rate of category S is above 0; for a rate of 0 write category "Z"'),
        ('"S"\nrate = 8', '"AE"\nrate = 8', 'version[1]: the rate of category AE is 0; write rate = "0"'),
        ('"S"\nrate = 8', '"A"\nrate = 8', "version[1].category: 'A' is not 'S', 'AE', 'O', 'E', 'Z' or 'G'"),
        ('"down"', '"half_even"', "version[2].rounding: 'half_even' is not 'half_up', 'up' or 'down'"),
        ('"inclusive"', '"gross"', "version[2].prices: 'gross' is not 'exclusive' or 'inclusive'"),
        ("2019-10-01", "2014-04-01", "version: the versions must follow each other by valid_from, the oldest"),
        ('text = "消費税 8%"', "", "version[1].text: is missing"),
        ("rounding", "round", "version[2]: unknown key 'round'; did you mean 'rounding'?"),
        (JAPAN, '[[tax]]\nid = "none"\nversion = []', "version: at least one version is needed"),
    ],
)
def test_a_mistake_in_a_tax_is_named(old: str, new: str, said: str) -> None:
    assert said in mistake(old, new)


@pytest.mark.parametrize("category", ["AE", "O", "E", "Z", "G"])
def test_the_rate_of_every_category_but_the_standard_one_is_zero(category: str) -> None:
    text = JAPAN.replace('"S"\nrate = 8', f'"{category}"\nrate = "0.00"')
    assert parse_catalog(text, "catalog.toml").taxes["jp-10"].versions[0].rate == 0
    assert f"the rate of category {category} is 0" in mistake('"S"\nrate = 8', f'"{category}"\nrate = "0.0001"')


def test_an_account_has_the_tax_that_it_names() -> None:
    catalog = parse_catalog(REVERSE, "catalog.toml")
    check_catalog(catalog)
    account = catalog.accounts["acme"]
    assert catalog.tax_of(account) == catalog.taxes["reverse"]
    assert (
        Catalog(taxes=catalog.taxes).tax_of(parse_catalog(REVERSE.replace('tax = "reverse"', ""), "c").accounts["acme"])
        is None
    )


def test_a_tax_that_does_not_exist_is_named() -> None:
    assert refusals(REVERSE.replace('tax = "reverse"', 'tax = "revers"')) == [
        "account \"acme\": unknown tax 'revers'; did you mean 'reverse'?"
    ]
    account = "[[account]]" + REVERSE.split("[[account]]")[1]
    assert refusals(account) == ["account \"acme\": unknown tax 'reverse': there is none yet; add it as [[tax]]"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('country = "DE"\n', "", 'seller "east" has no country; give it'),
        ('tax_id = "DE136695976"\n', "", 'seller "east" has no tax_id; give it'),
        ('country = "FR"\ntax_id = "FR40303265045"\n', "", 'account "acme" has no country and no tax_id; give it'),
        (
            '"FR"\ntax_id = "FR40303265045"',
            '"CH"\ntax_id = "CHE-107.787.577"',
            'account "acme" is in CH, outside the EU',
        ),
        ('"FR"\ntax_id = "FR40303265045"', '"DE"\ntax_id = "DE136695976"', "seller and account are both in DE"),
    ],
)
def test_reverse_charge_is_between_two_known_parties_in_different_states(old: str, new: str, said: str) -> None:
    assert old in REVERSE
    [line] = refusals(REVERSE.replace(old, new))
    assert line.startswith('account "acme": tax "reverse" is reverse charge, and ')
    assert said in line
    assert line.endswith("choose another tax")


def test_reverse_charge_needs_a_seller() -> None:
    [line] = refusals(REVERSE[: REVERSE.index("[[seller]]")] + REVERSE[REVERSE.index("[[account]]") :])
    assert line.endswith("is reverse charge, and there is no seller; add a [[seller]] with country and tax_id")
