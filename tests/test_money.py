"""Exact amounts, one rounding, half up."""

from decimal import Decimal, Inexact

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.errors import BillingError
from billing.money import (
    check_currency,
    from_scaled,
    minor_digits,
    plain,
    round_half_up,
    round_to_minor_unit,
    to_scaled,
)

SIXTY_FOUR_BITS = st.integers(-(2**63), 2**63 - 1)


@pytest.mark.parametrize(
    ("amount", "currency", "rounded"),
    [
        ("4.1364", "USD", "4.14"),
        ("0.0891", "USD", "0.09"),
        ("0.005", "USD", "0.01"),
        ("0.015", "USD", "0.02"),
        ("0.025", "USD", "0.03"),
        ("0.0249999999", "USD", "0.02"),
        ("-0.005", "USD", "-0.01"),
        ("99.5", "JPY", "100"),
        ("98.5", "JPY", "99"),
        ("1.0005", "KWD", "1.001"),
        ("3", "CNY", "3.00"),
    ],
)
def test_a_total_is_rounded_half_up_to_the_minor_unit(amount: str, currency: str, rounded: str) -> None:
    """Half to even would give 0.02 for 0.025 and 98 for 98.5."""
    assert str(round_to_minor_unit(Decimal(amount), currency)) == rounded


def test_currencies_have_their_own_minor_units() -> None:
    assert [minor_digits(currency) for currency in ("USD", "CNY", "JPY", "KWD")] == [2, 2, 0, 3]


@pytest.mark.parametrize("currency", ["usd", "US", "USDT", "", "U$D", "\uff35SD", "USD\n"])
def test_a_currency_is_three_capital_letters(currency: str) -> None:
    assert check_currency("USD") == "USD"
    with pytest.raises(BillingError, match="three-letter ISO 4217 code"):
        check_currency(currency)


@given(SIXTY_FOUR_BITS)
def test_a_stored_amount_comes_back_as_it_was(scaled: int) -> None:
    """Whole numbers of 10^-8 over all of 64 bits."""
    assert to_scaled(from_scaled(scaled)) == scaled


@pytest.mark.parametrize("scaled", [2**63, -(2**63) - 1, 10**30])
def test_an_amount_beyond_64_bits_is_an_error_that_says_what_to_do(scaled: int) -> None:
    with pytest.raises(BillingError, match=r"is more than can be stored .*: agree on lower prices"):
        to_scaled(from_scaled(scaled))


def test_an_amount_with_more_than_eight_decimals_is_never_stored() -> None:
    assert to_scaled(Decimal("0.00000001")) == 1
    with pytest.raises(Inexact):
        to_scaled(Decimal("0.000000001"))


@given(SIXTY_FOUR_BITS)
def test_plain_text_is_exact_and_has_no_exponent(scaled: int) -> None:
    """The text reads back as the same number, and ends neither in a decimal point nor in a superfluous zero."""
    text = plain(from_scaled(scaled))
    assert Decimal(text) == from_scaled(scaled)
    assert set(text) <= set("-0123456789.")
    assert "." not in text or text[-1] in "123456789"


@pytest.mark.parametrize(
    ("value", "text"),
    [("0.00399000", "0.00399"), ("4.1364", "4.1364"), ("1E+3", "1000"), ("0E-8", "0"), ("-0.00", "0"), ("100", "100")],
)
def test_plain_text_examples(value: str, text: str) -> None:
    assert plain(Decimal(value)) == text


@given(SIXTY_FOUR_BITS, st.integers(0, 7))
def test_rounding_moves_a_value_by_at_most_half_a_unit_and_ties_away_from_zero(scaled: int, digits: int) -> None:
    value = from_scaled(scaled)
    rounded = round_half_up(value, digits)
    half = Decimal(5).scaleb(-digits - 1)
    assert -half <= abs(value) - abs(rounded) < half
    assert rounded * 10**digits % 1 == 0
