"""Reading the values of a TOML table: what is just allowed and what is just not, and how a mistake is put."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from billing.catalog.fields import (
    Refused,
    address,
    day,
    fraction,
    identifier,
    instant,
    money,
    one_of,
    read_list,
    text,
    unknown,
    whole,
)

Reader = Callable[[Any], Any]


def said(read: Reader, value: object) -> str:
    """The only mistake in a value."""
    with pytest.raises(Refused) as refused:
        read(value)
    [problem] = refused.value.problems
    return str(problem)


@pytest.mark.parametrize(
    ("read", "allowed", "value"),
    [
        pytest.param(text, "x", "x", id="a name of one character"),
        pytest.param(text, "x" * 256, "x" * 256, id="a name of 256"),
        pytest.param(identifier, "x" * 128, "x" * 128, id="an id of 128"),
        pytest.param(address, "x" * 1024, "x" * 1024, id="an address of 1024"),
        pytest.param(whole(1, 3), 1, 1, id="the smallest whole number"),
        pytest.param(whole(1, 3), 3, 3, id="the largest"),
        pytest.param(money, "0", Decimal(0), id="a price of nothing"),
        pytest.param(money, 1_000_000_000, Decimal(10**9), id="a price of 10^9"),
        pytest.param(money, "0.12345678", Decimal("0.12345678"), id="a price of 8 decimals"),
        pytest.param(fraction, "1", Decimal(1), id="a discount of nothing"),
        pytest.param(fraction, "0.00000001", Decimal("0.00000001"), id="the largest discount"),
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
        (text, "", "must have 1 to 256 characters"),
        (text, "x" * 257, "must have 1 to 256 characters"),
        (identifier, "x" * 129, "must have 1 to 128 characters"),
        (address, "", "must have 1 to 1024 characters"),
        (address, " \n ", "must have 1 to 1024 characters"),
        (address, "x" * 1025, "must have 1 to 1024 characters"),
        (address, "Harbour\tStreet\n\x07", "must have 1 to 1024 characters and none but line breaks for control"),
        (whole(1, 3), 0, "0 is not from 1 to 3"),
        (whole(1, 3), 4, "4 is not from 1 to 3"),
        (money, "1000000000.00000001", "1000000000.00000001 is not from 0 to 1000000000"),
        (money, "0.123456789", "0.123456789 has more than 8 decimals"),
        (fraction, "1.00000001", "1.00000001 is not above 0 and at most 1"),
        (fraction, "0", "0 is not above 0 and at most 1"),
        (instant, "1999-12-31T23:59:59Z", "the year 1999 is not from 2000 to 2999"),
        (instant, datetime(3000, 1, 1, tzinfo=UTC), "the year 3000 is not from 2000 to 2999"),
        (day, datetime(2026, 3, 1, tzinfo=UTC), "2026-03-01 00:00:00+00:00 is not a day such as 2026-03-01"),
        (one_of("year", "month"), 1, "1 is not text in quotes"),
    ],
)
def test_what_lies_beyond_a_bound_is_refused_with_the_bound(read: Reader, refused: object, sentence: str) -> None:
    assert said(read, refused).startswith(sentence)


def test_lines_of_an_address_lose_the_spaces_around_them() -> None:
    assert address("\n  2-1 Marunouchi  \n Tokyo\n") == "2-1 Marunouchi\nTokyo"


def test_a_long_value_is_shown_by_its_first_60_characters() -> None:
    """The quotes count."""
    assert said(whole(1, 3), "x" * 58) == f"'{'x' * 58}' is not a whole number"
    assert said(whole(1, 3), "x" * 59) == f"'{'x' * 59}… is not a whole number"


def test_of_several_names_alike_the_closest_is_suggested() -> None:
    assert unknown("key", "timezon", ["timezones", "timezone"]) == "unknown key 'timezon'; did you mean 'timezone'?"


def test_what_is_refused_says_all_its_mistakes_one_on_each_line() -> None:
    with pytest.raises(Refused) as refused:
        read_list([0, 2, 4], whole(1, 3))
    assert str(refused.value).splitlines() == ["[1]: 0 is not from 1 to 3", "[3]: 4 is not from 1 to 3"]
