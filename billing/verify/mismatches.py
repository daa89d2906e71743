"""Mismatches: things that do not agree, in the columns in which they are reported."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

import polars as pl

from billing.errors import BillingError

# What rows raise in which somebody has put something else: they are compared, and may hold anything.
_UNREADABLE = (
    *(BillingError, OSError, ValueError, TypeError, ArithmeticError, LookupError, AssertionError),
    pl.exceptions.PolarsError,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mismatch:
    """One thing that does not agree: what was to be expected, and what was found."""

    check: str
    account: str | None = None
    day: date | None = None
    app_id: int | None = None
    room_id: str | None = None
    document: str | None = None
    file: str | None = None
    expected: str
    found: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Days:
    """The days that are looked at, both included."""

    first: date = date.min
    last: date = date.max

    def __contains__(self, day: date) -> bool:
        return self.first <= day <= self.last


def readable(part: Iterator[Mismatch], check: str, account_id: str | None) -> Iterator[Mismatch]:
    """What a part finds; where it cannot go on because of what it reads, that is found too."""
    try:
        yield from part
    except _UNREADABLE as error:
        said = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        yield Mismatch(
            check=check, account=account_id, expected="what can be read", found="something else", detail=said
        )
