"""Mismatches: things that do not agree, in the columns in which they are reported."""

from dataclasses import dataclass
from datetime import date


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
