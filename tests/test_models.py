"""The values of a catalog file: what is just allowed and what is just not, and how a mistake is put."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from billing.catalog.file_values import address, day, discount, identifier, instant, name, package_price, price
from billing.catalog.reading import parse_catalog
from billing.errors import BillingError, unknown

Reader = Callable[[Any], Any]
APP = '[[app]]\nid = {}\naccount = "acme"\nname = "Classroom"\n'


def said(read: Reader, value: object) -> str:
    """The mistake in a value."""
    with pytest.raises(ValueError, match=r"is|has|must") as refused:
        read(value)
    return str(refused.value)


@pytest.mark.parametrize(
    ("read", "allowed", "value"),
    [
        pytest.param(name, "x", "x", id="a name of one character"),
        pytest.param(name, "x" * 256, "x" * 256, id="a name of 256"),
        pytest.param(identifier, "x" * 128, "x" * 128, id="an id of 128"),
        pytest.param(address, "x" * 1024, "x" * 1024, id="an address of 1024"),
        pytest.param(price, "0", Decimal(0), id="a price of nothing"),
        pytest.param(package_price, 1_000_000_000, Decimal(10**9), id="a package at 10^9"),
        pytest.param(price, "600000", Decimal(600_000), id="1,000 minutes at 600,000"),
        pytest.param(price, "0.12345678", Decimal("0.12345678"), id="a price of 8 decimals"),
        pytest.param(discount, "1", Decimal(1), id="a discount of nothing"),
        pytest.param(discount, "0.00000001", Decimal("0.00000001"), id="the largest discount"),
        pytest.param(instant, "2000-01-01T00:00:00Z", datetime(2000, 1, 1, tzinfo=UTC), id="the year 2000"),
        pytest.param(
            instant, "2999-12-31T23:59:59Z", datetime(2999, 12, 31, 23, 59, 59, tzinfo=UTC), id="the year 2999"
        ),
    ],
)
def test_a_bound_belongs_to_what_is_allowed(read: Reader, allowed: object, value: object) -> None:
    assert read(allowed) == value


@pytest.mark.parametrize(
    ("read", "refused", "sentence"),
    [
        (name, "", "must have 1 to 256 characters"),
        (name, "x" * 257, "must have 1 to 256 characters"),
        (identifier, "x" * 129, "must have 1 to 128 characters"),
        (address, "", "must have 1 to 1024 characters"),
        (address, " \n ", "must have 1 to 1024 characters"),
        (address, "x" * 1025, "must have 1 to 1024 characters"),
        (address, "Harbour\tStreet\n\x07", "must have 1 to 1024 characters and none but line breaks for control"),
        (package_price, "1000000000.00000001", "1000000000.00000001 is not from 0 to 1000000000"),
        (price, "600000.00000001", "600000.00000001 is not from 0 to 600000"),
        (price, "0.123456789", "0.123456789 has more than 8 decimals"),
        (discount, "1.00000001", "1.00000001 is not above 0 and at most 1"),
        (discount, "0", "0 is not above 0 and at most 1"),
        (instant, "1999-12-31T23:59:59Z", "the year 1999 is not from 2000 to 2999"),
        (instant, datetime(3000, 1, 1, tzinfo=UTC), "the year 3000 is not from 2000 to 2999"),
        (day, datetime(2026, 3, 1, tzinfo=UTC), "2026-03-01 00:00:00+00:00 is not a day such as 2026-03-01"),
    ],
)
def test_what_lies_beyond_a_bound_is_refused_with_the_bound(read: Reader, refused: object, sentence: str) -> None:
    assert said(read, refused).startswith(sentence)


def test_lines_of_an_address_lose_the_spaces_around_them() -> None:
    assert address("\n  2-1 Marunouchi  \n Tokyo\n") == "2-1 Marunouchi\nTokyo"


def test_a_long_value_is_shown_by_its_first_60_characters() -> None:
    """The quotes count."""
    assert said(discount, "x" * 58) == f"'{'x' * 58}' is not a decimal number in quotes such as \"24.00\""
    assert said(discount, "x" * 59) == f'\'{"x" * 59}… is not a decimal number in quotes such as "24.00"'


@pytest.mark.parametrize("digits", [17, 19, 20, 40, 4_000])
@pytest.mark.parametrize("sign", ["", "-"])
def test_a_whole_number_may_have_any_length_and_is_refused_by_its_bound(sign: str, digits: int) -> None:
    with pytest.raises(BillingError, match=r"id: -?9+ is too (small; write 1 or|large; write 9007199254740992)"):
        parse_catalog(APP.format(sign + "9" * digits), "catalog.toml")


@pytest.mark.parametrize("number", [1, 2**53])
def test_the_smallest_and_the_largest_app_id(number: int) -> None:
    assert list(parse_catalog(APP.format(number), "catalog.toml").apps) == [number]


def test_of_several_names_alike_the_closest_is_suggested() -> None:
    assert unknown("key", "timezon", ["timezones", "timezone"]) == "unknown key 'timezon'; did you mean 'timezone'?"
