"""Sellers: the legal entities that issue documents, each with its series of numbers.

The format of a number is data: `{prefix}-{year}-{seq:06}` is EA-2026-000001; `{year}` is that of the issue date, and
the numbers begin again with it where `reset` is "year".
"""

import re
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

DEFAULT_FORMAT = "{prefix}-{year}-{seq:06}"
DEFAULT_TERMS_DAYS = 30
_FIELD = re.compile(r"\{(prefix|year|seq(?::0([1-9]))?)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberSeries:
    """How the documents of one kind are numbered."""

    prefix: str
    format: str = DEFAULT_FORMAT
    reset: Literal["year", "never"] = "year"

    def number(self, sequence: int, issued_on: date) -> str:
        """The number of the document in that place of its period."""

        def filled(found: re.Match[str]) -> str:
            match found[1]:
                case "prefix":
                    return self.prefix
                case "year":
                    return f"{issued_on.year}"
            return f"{sequence:0{found[2] or 1}}"

        return _FIELD.sub(filled, self.format)

    def period(self, issued_on: date) -> str:
        """The year whose documents are counted together; empty: they are counted for ever."""
        return f"{issued_on.year}" if self.reset == "year" else ""


def format_problem(series: NumberSeries) -> str | None:
    """Why a format cannot number documents, if so."""
    fields = [found.split(":")[0] for found, _ in _FIELD.findall(series.format)]
    if "{" in _FIELD.sub("", series.format) or "}" in _FIELD.sub("", series.format):
        return f"{series.format!r} may have {{prefix}}, {{year}} and {{seq}} or {{seq:06}}, and no other braces"
    if fields.count("seq") != 1:
        return f"{series.format!r} needs {{seq}} once, such as {{seq:06}}"
    if series.reset == "year" and "year" not in fields:
        return f'{series.format!r} needs {{year}}, because its numbers begin again each year; or write reset = "never"'
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seller:
    """Who issues documents. Its `timezone` decides the issue date and when an invoice is overdue.

    `terms_days`: how long after its issue an invoice is due; `grace_days`: how long after its end a month stays open;
    `issue_zero`: whether a month of zero gets an invoice too. `logo` is a picture in the home.
    """

    id: str
    name: str
    address: str | None = None
    country: str | None = None
    tax_id: str | None = None
    timezone: str = "UTC"
    terms_days: int = DEFAULT_TERMS_DAYS
    logo: str | None = None
    bank: str | None = None
    grace_days: int = 0
    issue_zero: bool = False
    invoice: NumberSeries = field(default_factory=lambda: NumberSeries(prefix="INV"))
    credit_note: NumberSeries = field(default_factory=lambda: NumberSeries(prefix="CN"))
