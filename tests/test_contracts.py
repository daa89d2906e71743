"""Which contract applies, and what a minute costs under it."""

from datetime import date
from decimal import Decimal

import pytest

from billing.catalog.contracts import Contract, contract_on, unit_prices
from billing.catalog.policies import PolicyVersion, builtin_policies


@pytest.fixture
def version() -> PolicyVersion:
    return builtin_policies()["trtc-intl"].version_on(date(2026, 3, 1))


def contract(valid_from: str = "2026-03-01", discount: str | None = None, **prices: str) -> Contract:
    return Contract(
        account="acme",
        valid_from=date.fromisoformat(valid_from),
        discount=Decimal(discount) if discount else None,
        prices={item: Decimal(price) for item, price in prices.items()},
    )


def test_without_a_contract_a_minute_costs_a_thousandth_of_the_list_price(version: PolicyVersion) -> None:
    prices = unit_prices(version, "USD", None)
    assert {item: str(price) for item, price in prices.items()} == {
        "audio": "0.00099000",
        "hd": "0.00399000",
        "fhd": "0.00899000",
        "2k": "0.01599000",
        "4k": "0.03599000",
    }


def test_a_discount_multiplies_the_list_price_and_rounds_half_up_to_eight_decimals(version: PolicyVersion) -> None:
    """0.99 / 1000 x 0.85 is exact; x 0.8515 is 0.000842985, x 0.33333333 is 0.00032999999..."""
    assert unit_prices(version, "USD", contract(discount="0.85"))["audio"] == Decimal("0.00084150")
    assert unit_prices(version, "USD", contract(discount="0.33333333"))["audio"] == Decimal("0.00033000")
    assert unit_prices(version, "USD", contract(discount="0.8515"))["audio"] == Decimal("0.00084299")


def test_a_contract_price_replaces_the_list_price_and_takes_no_discount(version: PolicyVersion) -> None:
    """HD at its agreed price; audio, which the contract does not name, at the discounted list price."""
    prices = unit_prices(version, "USD", contract(discount="0.5", hd="3.00"))
    assert prices["hd"] == Decimal("0.003")
    assert prices["audio"] == Decimal("0.000495")


def test_an_item_the_contract_leaves_out_takes_the_list_price(version: PolicyVersion) -> None:
    assert unit_prices(version, "USD", contract(hd="3.00"))["fhd"] == Decimal("0.00899")


def test_a_contract_price_of_zero_is_a_price(version: PolicyVersion) -> None:
    assert unit_prices(version, "USD", contract(audio="0"))["audio"] == 0


def test_in_a_currency_without_list_prices_only_contract_prices_exist(version: PolicyVersion) -> None:
    assert unit_prices(version, "EUR", None) == {}
    assert unit_prices(version, "EUR", contract(audio="0.9")) == {"audio": Decimal("0.0009")}


def test_the_latest_contract_that_has_begun_applies() -> None:
    march, june = contract("2026-03-01", "0.9"), contract("2026-06-01", "0.8")
    assert contract_on(date(2026, 2, 28), [june, march]) is None
    assert contract_on(date(2026, 3, 1), [june, march]) is march
    assert contract_on(date(2026, 5, 31), [june, march]) is march
    assert contract_on(date(2026, 6, 1), [march, june]) is june
    assert contract_on(date(2026, 6, 1), []) is None
