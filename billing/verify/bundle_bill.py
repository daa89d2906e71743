"""The bill of a bundle: charges to lines, lines to sums, sums to tax and total, in fractions.

Every charge that is posted in the month stands on one line, a line is the sum of its charges, and each group of lines
(those of one version of a tax) is rounded once. Worked: 0.0099 + 0.01995 + 0.19188 = 0.22173, rounded half up: 0.22.
"""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any

from billing.verify.money import SCALE, rounded
from billing.verify.room_people import Row


class Disagreement(Exception):  # noqa: N818 - what is found, not a fault of the program
    """What does not agree, in one line."""


def must_be_equal(what: str, expected: object, found: object) -> None:
    """Stops where two things differ that must not."""
    if expected != found:
        raise Disagreement(f"{what}: {expected} is expected, {found} is there")


def check_bill(document: Row, charges: Sequence[Row], terms: Row) -> None:
    """The document against the charges that are posted in its month."""
    for name, expected in (("currency", terms["currency"]), ("month", f"{terms['month']}-01")):
        found = document["terms"]["currency"] if name == "currency" else document["month"]
        must_be_equal(f"the {name} of the bill", expected, found)
    must_be_equal("the customer of the bill", terms["account"], document["customer"]["id"])
    sign = -1 if document["kind"] == "credit_note" else 1
    by_line: dict[int, Fraction] = {}
    for charge in charges:
        if str(charge["posted_on"])[:7] != terms["month"]:
            must_be_equal(f"{charge['day']}: the line of a charge of another month", None, charge["line"])
        elif charge["line"] is None:
            raise Disagreement(f"{charge['day']}: a charge of {charge['item']} stands on no line of the bill")
        else:
            amount = sign * Fraction(charge["amount_scaled"], SCALE)
            by_line[charge["line"]] = by_line.get(charge["line"], Fraction(0)) + amount
    prices = {each["id"]: each["price"] for each in terms["packages"]}
    for line in document["lines"]:
        if line["kind"] in ("usage", "correction"):
            must_be_equal(f"line {line['line']} of the bill", by_line.pop(line["line"], None), Fraction(line["amount"]))
        elif line["kind"] == "package":
            price = sign * Fraction(prices[line["package"]] or 0)
            must_be_equal(f"line {line['line']} of the bill", price, Fraction(line["amount"]))
    must_be_equal("lines that charges name and the bill has not", [], sorted(by_line))
    _check_sums(document, int(terms["digits"]))


def _check_sums(document: Row, digits: int) -> None:
    taxes = {(each["tax"], each["valid_from"]): each for each in document["taxes"]}
    exact: dict[Any, Fraction] = {}
    rounding: dict[Any, Fraction] = {}
    for line in document["lines"]:
        of = rounding if line["kind"] == "rounding" else exact
        key = (line["tax"], line["tax_from"])
        of[key] = of.get(key, Fraction(0)) + Fraction(line["amount"])
    net = tax = Fraction(0)
    mode = document["terms"].get("rounding", "half_up")
    for key in exact.keys() | rounding.keys():
        version = taxes.get(key)
        base, amount = _group(exact.get(key, Fraction(0)), version, digits, mode)
        inclusive = amount if version and version["prices"] == "inclusive" else 0
        added = base + inclusive - exact.get(key, Fraction(0))
        must_be_equal("the rounding of the bill", added, rounding.get(key, Fraction(0)))
        if version:
            must_be_equal(f"the base of {version['text']}", base, Fraction(version["base"]))
            must_be_equal(f"the tax of {version['text']}", amount, Fraction(version["amount"]))
        net, tax = net + base, tax + amount
    for name, expected in (("net", net), ("tax", tax), ("total", net + tax)):
        must_be_equal(f"the {name} of the bill", expected, Fraction(document[name]))


def _group(exact: Fraction, version: Row | None, digits: int, rounding: str) -> tuple[Fraction, Fraction]:
    """Base and tax of the exact sum of some lines."""
    unit = 10**digits
    base = _rounded_by(rounding, exact, unit)
    if version is None:
        return base, Fraction(0)
    rate, mode = Fraction(version["rate"]), version["rounding"]
    if version["prices"] == "exclusive":
        return base, _rounded_by(mode, base * rate / 100, unit)
    tax = _rounded_by(mode, base * rate / (100 + rate), unit)
    return base - tax, tax


def _rounded_by(mode: str, value: Fraction, unit: int) -> Fraction:
    """`half_up`, `up` or `down`, symmetric about zero."""
    if mode == "half_up":
        return Fraction(rounded(value * unit), unit)
    whole, rest = divmod(abs(value) * unit, 1)
    size = Fraction(int(whole) + (mode == "up" and rest > 0), unit)
    return -size if value < 0 else size


def in_words(total: str, currency: str) -> str:
    """The last line: `total 0.22 USD`."""
    return f"total {total} {currency}"


def by_key(rows: Iterable[Row], *names: str) -> dict[Any, list[Row]]:
    """Rows by some of their values."""
    found: dict[Any, list[Row]] = {}
    for row in rows:
        key = tuple(row[name] for name in names)
        found.setdefault(key if len(names) > 1 else key[0], []).append(row)
    return found
