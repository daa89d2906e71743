"""How the console writes numbers, money and times.

count(1234567)               1,234,567
money(Decimal("4.1364"))     4.14           in the currency's digits; `exact` has all of them
clock(3725)                  1:02:05        hours, minutes, seconds
signed(3)                    +3
"""

from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal

from billing.money import plain, round_to_minor_unit

NOTHING = "\N{EN DASH}"
_MINUS = "\N{MINUS SIGN}"


def count(number: int | None) -> str:
    """A whole number with thousands."""
    return NOTHING if number is None else f"{number:,}".replace("-", _MINUS)


def signed(number: int | Decimal) -> str:
    """A number that says which way it goes."""
    text = f"{number:+,}" if isinstance(number, int) else f"{'+' if number >= 0 else ''}{exact(number)}"
    return text.replace("-", _MINUS)


def money(amount: Decimal | None, currency: str) -> str:
    """An amount in the digits of its currency."""
    return NOTHING if amount is None else f"{round_to_minor_unit(amount, currency):,f}".replace("-", _MINUS)


def exact(amount: Decimal | None, digits: int = 0) -> str:
    """An amount with all its digits, at least so many: those of a column are in line."""
    if amount is None:
        return NOTHING
    whole, _, rest = plain(abs(amount)).partition(".")
    rest = rest.ljust(digits, "0")
    return f"{_MINUS if amount < 0 else ''}{int(whole):,}{'.' + rest if rest else ''}"


def decimals(amounts: Iterable[Decimal | None]) -> int:
    """How many decimals the longest of some amounts has."""
    return max((len(plain(amount).partition(".")[2]) for amount in amounts if amount is not None), default=0)


def percent(share: Decimal | None) -> str:
    """A share of one: 0.125 is `12.5 %`."""
    return NOTHING if share is None else f"{share * 100:.1f} %".replace("-", _MINUS)


def clock(seconds: int) -> str:
    """Seconds as hours, minutes and seconds."""
    sign, seconds = (_MINUS if seconds < 0 else ""), abs(seconds)
    return f"{sign}{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def whole_minutes(seconds: int) -> int:
    """Seconds as minutes, rounded up: for reading, not for billing."""
    return -(-seconds // 60)


def instant(text: object) -> str:
    """An RFC 3339 time for reading: `2026-03-12 10:07:30 +09:00`."""
    if not text:
        return NOTHING
    at = datetime.fromisoformat(str(text))
    offset = at.strftime("%z")
    return f"{at:%Y-%m-%d %H:%M:%S} {'UTC' if offset == '+0000' else f'{offset[:3]}:{offset[3:]}'}"


def day(value: date | None) -> str:
    """A day as YYYY-MM-DD."""
    return NOTHING if value is None else f"{value:%Y-%m-%d}"


def month(value: date) -> str:
    """A month as YYYY-MM."""
    return f"{value:%Y-%m}"
