"""Sellers: the legal entities that issue invoices, each with its own series of numbers.

A number is made by the format of its series. `{prefix}-{year}-{seq:06}` with the prefix `EA` gives the 17th invoice of
2026 the number `EA-2026-000017`; `reset = "year"` begins with 1 again in each year, `never` does not. A format holds
`{prefix}`, `{year}` (of the issue date) and `{seq}`, or `{seq:06}` with zeros up to six digits; all else stands as it
is.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Literal

from billing.errors import UsageError

# The seller of a plain `[seller]` table.
ONLY_SELLER = "seller"

DEFAULT_FORMAT = "{prefix}-{year}-{seq:06}"
_FIELD = re.compile(r"\{([^{}]*)\}")
_FIELDS = "write {prefix}, {year} and {seq} or {seq:06} only"
_SEQ = re.compile(r"seq(?::0([1-9]))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberSeries:
    """How documents of one kind are numbered."""

    prefix: str
    format: str = DEFAULT_FORMAT
    reset: Literal["year", "never"] = "year"

    def number(self, seq: int, issued_on: date) -> str:
        """The number of the document that comes as the `seq`th of its period: `EA-2026-000017`."""
        return "".join(self._parts(seq, issued_on))

    def period(self, issued_on: date) -> str:
        """What the counting begins again with: "2026", or "" where it never does."""
        return f"{issued_on:%Y}" if self.reset == "year" else ""

    def _parts(self, seq: int, issued_on: date) -> Iterator[str]:
        for name, width, text in _parsed(self.format):
            match name:
                case "prefix":
                    yield self.prefix
                case "year":
                    yield f"{issued_on:%Y}"
                case "seq":
                    yield str(seq).zfill(width)
                case _:
                    yield text


@dataclass(frozen=True, slots=True, kw_only=True)
class Seller:
    """Whose invoices these are. `terms_days` after the issue date an invoice is due; `grace_days` after the end of a
    month it may be issued; `issue_zero`: also for nothing. The date in `timezone` is the issue date. `logo` is the name
    of a picture in the home; `bank` is printed as it stands."""

    id: str
    name: str
    address: str | None = None
    country: str | None = None
    tax_id: str | None = None
    timezone: str = "UTC"
    terms_days: int = 30
    logo: str | None = None
    bank: str | None = None
    grace_days: int = 0
    issue_zero: bool = False
    invoice: NumberSeries = NumberSeries(prefix="INV")
    credit_note: NumberSeries = NumberSeries(prefix="CN")


def check_format(format_text: str, reset: str) -> None:
    """A `UsageError` when numbers made by the format could be the same, or when it holds an unknown field."""
    names = [name for name, _, _ in _parsed(format_text)]
    if "seq" not in names:
        raise UsageError(f"the format has no {{seq}}, and every number would be the same; write {DEFAULT_FORMAT}")
    if reset == "year" and "year" not in names:
        raise UsageError('the format has no {year}: numbers would come again each year; add {year}, or reset = "never"')


def series_problems(sellers: Iterable[Seller]) -> Iterator[str]:
    """A line for each series whose numbers another one would give as well."""
    owners: dict[str, str] = {}
    for seller in sellers:
        for kind, series in (("invoice", seller.invoice), ("credit_note", seller.credit_note)):
            where = f'seller "{seller.id}": {kind}'
            owner = owners.setdefault(_shape(series), where)
            if owner != where:
                yield f'{where}: the numbers are those of {owner}: "{series.prefix}"; give it its own prefix'


def _shape(series: NumberSeries) -> str:
    """The format with the prefix in it. Zeros before a number do not tell numbers apart once they are used up."""
    texts = {"prefix": series.prefix, "year": "\0year", "seq": "\0seq"}  # no text has control characters
    return "".join(texts.get(name, text) for name, _, text in _parsed(series.format))


def _parsed(format_text: str) -> Iterator[tuple[str, int, str]]:
    """The parts of a format in order: (name of the field, width, ""), or ("", 0, text)."""
    end = 0
    for found in _FIELD.finditer(format_text):
        yield from _plain_text(format_text[end : found.start()])
        yield *_field(found[1]), ""
        end = found.end()
    yield from _plain_text(format_text[end:])


def _plain_text(text: str) -> Iterator[tuple[str, int, str]]:
    if "{" in text or "}" in text:
        raise UsageError(f"the format has a single brace; {_FIELDS}")
    if text:
        yield "", 0, text


def _field(text: str) -> tuple[str, int]:
    if text in ("prefix", "year"):
        return text, 0
    found = _SEQ.fullmatch(text)
    if not found:
        raise UsageError(f"unknown field {{{text}}} in the format; {_FIELDS}")
    return "seq", int(found[1] or 0)
