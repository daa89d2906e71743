"""The fields of a TOML table, read strictly.

A table is read against the fields it may have. Whatever is missing, unknown, of the wrong type or out of its bounds is
collected, so that a person who edits the file sees every mistake at once: `Refused` holds them all, each with the path
to the value (`version[2].prices.USD`) and a sentence that says what to write instead.
"""

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple, TypeGuard, TypeVar

from billing.catalog.items import ITEMS
from billing.errors import BillingError
from billing.money import SCALE_DIGITS, check_currency
from billing.periods import parse_day, parse_instant

T = TypeVar("T")

# Also what a spreadsheet file cannot hold. Line breaks are control characters too; only an address may have them.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")
_DECIMAL = re.compile(r"\d+(\.\d+)?", re.ASCII)
_LONGEST_NAME = 256
_LONGEST_ID = 128
_LONGEST_ADDRESS = 1024
_LONGEST_SHOWN = 60
# Package minutes and free minutes: far above any real number, and the sum of many still fits 64 bits.
MOST_MINUTES = 10**12
# Far above any real price, and every amount still fits a 64-bit count of 10^-8.
_HIGHEST_PRICE = 1_000_000_000


class Problem(NamedTuple):
    """One mistake: the path to the value (empty: the table itself) and what to do about it."""

    path: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.path}: {self.sentence}" if self.path else self.sentence


class Refused(Exception):  # noqa: N818 - not an error of the program: a reader's answer, always caught
    """A value cannot be used; `problems` says why, one entry for each mistake."""

    def __init__(self, *problems: Problem | str) -> None:
        self.problems = [p if isinstance(p, Problem) else Problem("", p) for p in problems]
        super().__init__("\n".join(map(str, self.problems)))

    def under(self, key: str) -> list[Problem]:
        """The same problems, seen from the table that holds the value under `key`."""
        return [Problem(_joined(key, path), sentence) for path, sentence in self.problems]


@dataclass(frozen=True, slots=True)
class Field:
    """How the value of a key is read; an optional one that is absent has its default."""

    read: Callable[[Any], Any]
    optional: bool = False
    default: Any = None


def read_table(table: object, fields: Mapping[str, Field]) -> dict[str, Any]:
    """The values of `table` by field name, or `Refused` with every mistake in it."""
    if not isinstance(table, dict):
        raise Refused("is not a table of names and values")
    problems = [Problem("", unknown("key", key, fields)) for key in table if key not in fields]
    values: dict[str, Any] = {}
    for key, field in fields.items():
        if key not in table:
            values[key] = field.default
            if not field.optional:
                problems.append(Problem(key, "is missing"))
            continue
        try:
            values[key] = field.read(table[key])
        except Refused as refused:
            problems += refused.under(key)
    if problems:
        raise Refused(*problems)
    return values


def read_list(values: object, read: Callable[[Any], T]) -> list[T]:
    """Every entry of an array, or `Refused` with the mistakes of all of them (`[2]` is the second)."""
    if not isinstance(values, list):
        raise Refused("is not a list")
    entries, problems = [], []
    for number, value in enumerate(values, start=1):
        try:
            entries.append(read(value))
        except Refused as refused:
            problems += refused.under(f"[{number}]")
    if problems:
        raise Refused(*problems)
    return entries


def unknown(noun: str, name: str, known: Iterable[str]) -> str:
    """The sentence for a name nobody knows: the closest known one, else all of them."""
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"known here: {', '.join(names)}"
    return f"unknown {noun} {name!r}; {hint}"


def text(value: object) -> str:
    """A name: one line of 1 to 256 characters."""
    return _line(value, _LONGEST_NAME)


def identifier(value: object) -> str:
    """An id: one line of 1 to 128 characters, without spaces at its ends."""
    return _line(value, _LONGEST_ID)


def address(value: object) -> str:
    """A postal address: up to 1024 characters on any number of lines."""
    if not isinstance(value, str):
        raise Refused(_not_a("text in quotes", value))
    lines = value.strip().splitlines()
    if not lines or len(value) > _LONGEST_ADDRESS or any(_CONTROL.search(line) for line in lines):
        raise Refused(f"must have 1 to {_LONGEST_ADDRESS} characters and none but line breaks for control")
    return "\n".join(line.strip() for line in lines)


def whole(low: int, high: int) -> Callable[[object], int]:
    """A whole number from `low` to `high`, both included."""

    def read(value: object) -> int:
        if not _is_whole(value):
            raise Refused(_not_a("a whole number", value))
        if not low <= value <= high:
            raise Refused(f"{value} is not from {low} to {high}")
        return value

    return read


def money(value: object) -> Decimal:
    """A price: a decimal in quotes or a whole number, from 0 to 10^9, with at most 8 decimals."""
    number = Decimal(value) if _is_whole(value) else _decimal(value)
    if not 0 <= number <= _HIGHEST_PRICE:
        raise Refused(f"{value} is not from 0 to {_HIGHEST_PRICE}")
    return number


def fraction(value: object) -> Decimal:
    """A multiplier: a decimal in quotes above 0 and not above 1, with at most 8 decimals."""
    number = _decimal(value)
    if not 0 < number <= 1:
        raise Refused(f'{value} is not above 0 and at most 1; 15 % off is written as "0.85"')
    return number


def currency_code(value: object) -> str:
    """A currency: three capital letters such as USD."""
    if not isinstance(value, str):
        raise Refused(_not_a('a currency code in quotes such as "USD"', value))
    try:
        return check_currency(value)
    except BillingError as error:
        raise Refused(str(error)) from None


def day(value: object) -> date:
    """A day: a TOML date or text such as "2026-03-01"."""
    if isinstance(value, datetime) or not isinstance(value, (date, str)):
        raise Refused(_not_a("a day such as 2026-03-01", value))
    try:
        return parse_day(value if isinstance(value, str) else value.isoformat())
    except BillingError as error:
        raise Refused(str(error)) from None


def instant(value: object) -> datetime:
    """An instant of the years 2000 to 2999 with its offset: text in RFC 3339, or TOML's own date-time."""
    if isinstance(value, str):
        try:
            moment = parse_instant(value)
        except BillingError as error:
            raise Refused(str(error)) from None
    elif isinstance(value, datetime):
        moment = value
    else:
        raise Refused(_not_a("a time with offset such as 2026-03-01T18:00:00+09:00", value))
    if moment.tzinfo is None:
        raise Refused(f"{moment.isoformat()} has no offset; write a time such as 2026-03-01T18:00:00+09:00")
    if moment.year not in range(2000, 3000):
        raise Refused(f"the year {moment.year} is not from 2000 to 2999")
    return moment


def one_of(*names: str) -> Callable[[object], str]:
    """One of the given words."""

    def read(value: object) -> str:
        if not isinstance(value, str):
            raise Refused(_not_a("text in quotes", value))
        if value not in names:
            raise Refused(f"{value!r} is none of {', '.join(names)}")
        return value

    return read


def read_by_item(read: Callable[[Any], T]) -> Callable[[object], dict[str, T]]:
    """A table with one value for each of some items, in the order of `ITEMS`."""

    def read_items(table: object) -> dict[str, T]:
        values = read_table(table, {item: Field(read, optional=True) for item in ITEMS})
        return {item: value for item, value in values.items() if value is not None}

    return read_items


def _joined(key: str, path: str) -> str:
    """`prices` and `USD` are `prices.USD`; `version` and `[2]` are `version[2]`."""
    return f"{key}.{path}" if path and not path.startswith("[") else key + path


def _is_whole(value: object) -> TypeGuard[int]:
    """True and false are whole numbers to Python, and mistakes here."""
    return isinstance(value, int) and not isinstance(value, bool)


def _line(value: object, longest: int) -> str:
    if not isinstance(value, str):
        raise Refused(_not_a("text in quotes", value))
    if value != value.strip() or not 1 <= len(value) <= longest:
        raise Refused(f"must have 1 to {longest} characters, without spaces at its ends")
    if _CONTROL.search(value):
        raise Refused("must not have control characters or line breaks")
    return value


def _decimal(value: object) -> Decimal:
    if isinstance(value, float):
        raise Refused(f'{value} is a floating-point number, which is not exact; write it in quotes: "{value}"')
    if not isinstance(value, str) or not _DECIMAL.fullmatch(value):
        raise Refused(_not_a('a decimal number in quotes such as "24.00"', value))
    if len(value.partition(".")[2]) > SCALE_DIGITS:
        raise Refused(f"{value} has more than {SCALE_DIGITS} decimals")
    return Decimal(value)


def _not_a(wanted: str, value: object) -> str:
    return f"{_shown(value)} is not {wanted}"


def _shown(value: object) -> str:
    """The value as its author would write it, shortened; a date or a number as plain text."""
    shown = repr(value) if isinstance(value, str) else str(value)
    if isinstance(value, bool):
        shown = shown.lower()
    return shown if len(shown) <= _LONGEST_SHOWN else shown[:_LONGEST_SHOWN] + "…"
