"""Tax ids: check digits, without a network."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from billing.catalog.tax_ids import EU_STATES, check_tax_id, countries

# Of each country one that is good: with the check digits computed by its published rule.
GOOD = {
    "DE": "136695976",
    "AT": "U13585627",
    "GR": "094259216",
    "FR": "40303265045",
    "GB": "980780684",
    "CN": "91110000600037341L",
    "JP": "T7000012050002",
}


@pytest.mark.parametrize(("country", "tax_id"), GOOD.items(), ids=GOOD)
def test_a_good_id_is_accepted_and_one_with_another_digit_is_not(country: str, tax_id: str) -> None:
    check_tax_id(country, tax_id)
    last = len(tax_id) - 2
    wrong = tax_id[:last] + str((int(tax_id[last]) + 1) % 10) + tax_id[last + 1 :]
    for bad in (wrong, tax_id[:-1], tax_id + "0", ""):
        with pytest.raises(ValueError, match=f"is not a tax id of {country} .*: a digit is wrong or missing"):
            check_tax_id(country, bad)


@pytest.mark.parametrize(("country", "prefix"), [("DE", "DE"), ("AT", "AT"), ("GR", "EL"), ("FR", "FR"), ("GB", "GB")])
def test_a_vat_id_may_have_the_prefix_of_its_country_and_of_no_other(country: str, prefix: str) -> None:
    check_tax_id(country, prefix + GOOD[country])
    with pytest.raises(ValueError, match="is not a tax id"):
        check_tax_id(country, "PL" + GOOD[country])


def test_an_id_in_japan_begins_with_a_t() -> None:
    for bad in ("7000012050002", "T 7000012050002", "t7000012050002", "T７000012050002"):  # noqa: RUF001
        with pytest.raises(ValueError, match="T and 13 digits"):
            check_tax_id("JP", bad)


def test_ids_of_other_countries_are_accepted_as_they_are() -> None:
    check_tax_id("US", "12-3456789")
    check_tax_id("CH", "whatever")


@pytest.mark.parametrize("country", sorted(EU_STATES))
def test_each_state_of_the_union_has_a_check(country: str) -> None:
    assert country in countries()
    with pytest.raises(ValueError, match=f"is not a tax id of {country}"):
        check_tax_id(country, "0")


@given(st.sampled_from(sorted({*EU_STATES, *GOOD})), st.text(max_size=20) | st.text("0123456789²٣７ABTU", max_size=20))  # noqa: RUF001
@example("DE", "DE²²²²²²²²²")
@example("DE", "１３６６９５９７６")  # noqa: RUF001
@example("JP", "T²²²²²²²²²²²²²")
def test_no_text_whatever_fails_otherwise(country: str, tax_id: str) -> None:
    try:
        check_tax_id(country, tax_id)
    except ValueError as error:
        assert f"is not a tax id of {country} (" in str(error)  # noqa: PT017
    else:
        assert tax_id.isascii()
