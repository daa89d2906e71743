"""Tax ids, checked without a network: by their length, their characters and their check digits.

Checked are those of the EU (with or without the country's prefix: `DE136695976`, `136695976`), of the United Kingdom,
of China (the unified social credit code) and of Japan (`T` and the 13 digits of a corporate number). Others are
accepted as they are. A good check digit does not mean that the id was ever given to anybody.

The library takes a while to import: it is only imported where a file is read.
"""

import re
from functools import cache
from importlib import resources

# The European Union, by ISO 3166 code (VAT ids of Greece begin with EL).
EU_STATES = frozenset(
    "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK".split()  # noqa: SIM905
)
_JAPANESE = re.compile(r"T[0-9]{13}")


def check_tax_id(country: str, tax_id: str) -> None:
    """A `ValueError` that says what the country's ids look like, unless the id is one, or the country has no check."""
    if country == "JP":
        sample, good = "T and 13 digits", bool(_JAPANESE.fullmatch(tax_id)) and _is_valid("jp", "cn", tax_id[1:])
    elif country == "CN":
        sample, good = "18 digits and letters", _is_valid("cn", "uscc", tax_id)
    elif country == "GB" or country in EU_STATES:
        sample, good = "its VAT number", _is_valid(country.lower(), "vat", tax_id)
    else:
        return
    if not good or not tax_id.isascii():  # the library takes full-width digits for digits
        raise ValueError(f"{tax_id!r} is not a tax id of {country} ({sample}): a digit is wrong or missing")


def _is_valid(country: str, kind: str, number: str) -> bool:
    from stdnum.util import get_cc_module

    checked = get_cc_module(country, kind)
    if checked is None:
        raise AssertionError(f"no check of {kind} in {country}")
    return checked.is_valid(number)


@cache
def countries() -> frozenset[str]:
    """The countries of ISO 3166, as the time-zone database lists them: {"AD", "AE", ...}."""
    text = resources.files("tzdata").joinpath("zoneinfo", "iso3166.tab").read_text(encoding="utf-8")
    return frozenset(line[:2] for line in text.splitlines() if line[:1] not in ("", "#"))
