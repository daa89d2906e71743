"""Tax ids, checked offline: their form and check digits, by country. Whether somebody has the id is not checked."""

from collections.abc import Callable
from importlib import import_module

_EU_WIDE = "stdnum.eu.vat"


def tax_id_problem(tax_id: str, country: str) -> str | None:
    """Why a text cannot be a tax id of a country; None: it can, or the country's form is not known here.

    A Japanese id is T and 13 digits, one of the EU has the prefix of its state or not.
    """
    match country:
        case "JP":
            is_valid = tax_id[:1] == "T" and _check("stdnum.jp.cn")(tax_id[1:])
            example = "T and the 13 digits of the corporate number"
        case "GB":
            is_valid, example = _check("stdnum.gb.vat")(tax_id), "a VAT number such as GB 980 7806 84"
        case "CN":
            is_valid, example = _check("stdnum.cn.uscc")(tax_id), "a unified social credit code of 18 characters"
        case _:
            states = import_module(_EU_WIDE).MEMBER_STATES
            state = "gr" if country == "GR" else country.lower()
            if state not in states and country != "GR":
                return None
            prefix = "EL" if country == "GR" else country
            text = tax_id if tax_id.upper().startswith(prefix) else prefix + tax_id
            is_valid, example = _check(_EU_WIDE)(text), f"a VAT number of {country}"
    return None if is_valid else f"{tax_id!r} is not {example}"


def _check(module: str) -> Callable[[str], bool]:
    check: Callable[[str], bool] = import_module(module).is_valid
    return check
