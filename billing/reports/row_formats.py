"""Rows with named fields, as JSON or CSV for a program.

Both hold every field of every row, exactly: JSON is one array in ASCII, an object a line. In CSV, text that a
spreadsheet would take for a formula has an apostrophe before it.
"""

import csv
import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import IO, TYPE_CHECKING, Any

from billing.money import plain

if TYPE_CHECKING:
    import polars as pl

Row = Mapping[str, object]

# What a spreadsheet takes for a formula; the apostrophes make the rule reversible. Numbers and a lone sign are none.
_FORMULA = re.compile(r"'*[=+\-@\t\r].", re.DOTALL)
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Rows and the order of their fields. The rest is for the table that a command prints.

    `sums` have a total; `once` stand above if all rows agree on them; for `without` there is no room; `whole` are never
    cut, because somebody will type them; `empty` is said instead when there are no rows.
    """

    fields: Sequence[str]
    rows: Sequence[Row]
    empty: str = "nothing to show"
    sums: Collection[str] = ()
    once: Collection[str] = ()
    without: Collection[str] = ()
    whole: Collection[str] = ()


def frame_report(frame: "pl.DataFrame", **layout: Any) -> Report:
    """A report of a frame's rows."""
    return Report(fields=frame.columns, rows=frame.to_dicts(), **layout)


def write_json(report: Report, stream: IO[str]) -> None:
    """Writes a JSON array of objects."""
    before = "["
    for row in report.rows:
        stream.write(before + json.dumps({field: row[field] for field in report.fields}, default=plain_value))
        before = ",\n "
    stream.write("]\n" if report.rows else "[]\n")


def write_csv(report: Report, stream: IO[str]) -> None:
    """Writes CSV with a header; an absent value is empty."""
    write_csv_rows(report.fields, report.rows, stream)


def write_csv_rows(fields: Sequence[str], rows: Iterable[Row], stream: IO[str]) -> None:
    """The same for rows that are read while they are written."""
    writer = csv.writer(_Lines(stream), lineterminator="\r\n")
    writer.writerow(fields)
    writer.writerows([_csv_value(row[field]) for field in fields] for row in rows)


@dataclass(frozen=True, slots=True)
class _Lines:
    """Ends lines with LF. The writer is told CR LF, because it quotes only the line ends that it knows."""

    stream: IO[str]

    def write(self, line: str) -> None:
        self.stream.write(line.removesuffix("\r\n") + "\n")


def plain_value(value: object) -> object:
    """A value as JSON or CSV writes it: decimals as exact text, days as YYYY-MM-DD."""
    match value:
        case Decimal():
            return plain(value)
        case date():
            return value.isoformat()
        case list() | tuple() | dict():
            return json.dumps(value, default=plain_value)
    return value


def _csv_value(value: object) -> object:
    if isinstance(value, str) and _FORMULA.match(value) and not _NUMBER.fullmatch(value):
        return f"'{value}"
    return plain_value(value)
