"""Reports: rows with named fields, as JSON or CSV for a program, or as a table to read.

JSON and CSV hold every field of every row, exactly: JSON is one array in ASCII, an object a line. A table is for a
screen: numbers are aligned and grouped by thousands, sums stand below, what all rows agree on may stand once above, an
instant that is a midnight shows its day, and long text is cut to the width.
"""

import csv
import json
import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, localcontext
from typing import IO, Literal

from billing.money import EXACT, plain

Format = Literal["table", "json", "csv"]
Row = Mapping[str, object]

# Numbers that count nothing.
_NAMES = frozenset({"app_id", "line", "run"})
# Text that may be cut.
_LONG = frozenset({"detail", "file", "raw", "room_id", "user_id"})
_SHORTEST_CUT = 10
_MIDNIGHT = "T00:00:00"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Rows and the order of their fields. The rest is for the table.

    `sums` have a total; `once` stand above if all rows agree on them; for `without` there is no room; `empty` is said
    instead when there are no rows.
    """

    fields: Sequence[str]
    rows: Sequence[Row]
    empty: str = "nothing to show"
    sums: Collection[str] = ()
    once: Collection[str] = ()
    without: Collection[str] = ()


def write_json(report: Report, stream: IO[str]) -> None:
    """Writes a JSON array of objects."""
    before = "["
    for row in report.rows:
        stream.write(before + json.dumps({field: row[field] for field in report.fields}, default=_value))
        before = ",\n "
    stream.write("]\n" if report.rows else "[]\n")


def write_csv(report: Report, stream: IO[str]) -> None:
    """Writes CSV with a header; an absent value is empty."""
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(report.fields)
    writer.writerows([_value(row[field]) for field in report.fields] for row in report.rows)


def write_table(report: Report, stream: IO[str], width: int) -> None:
    """Writes a table of at least one row, no wider than `width` unless what cannot be cut is."""
    shown = [field for field in report.fields if field not in report.without]
    once = [field for field in shown if field in report.once and len({row[field] for row in report.rows}) == 1]
    if once:
        stream.write(", ".join(f"{field} {_column(report, field).cells[0]}" for field in once) + "\n\n")
    columns = [_column(report, field) for field in shown if field not in once]
    columns[0].label()
    gap = "  " if sum(column.width + 2 for column in columns) - 2 <= width else " "
    _cut(columns, width - len(gap) * (len(columns) - 1))
    for cells in _lines(columns):
        padded = (column.pad(cell) for column, cell in zip(columns, cells, strict=True))
        stream.write(gap.join(padded).rstrip() + "\n")


@dataclass(slots=True, kw_only=True)
class _Column:
    """A column as it is printed; `foot` is None in all columns when there are no totals."""

    field: str
    is_number: bool
    head: Sequence[str]
    cells: Sequence[str]
    foot: str | None
    width: int = 0

    def __post_init__(self) -> None:
        self.width = max(_width(text) for text in (*self.head, *self.cells, self.foot or ""))

    def label(self) -> None:
        """Marks the row of totals in this column, if it has no total itself."""
        if self.foot == "":
            self.foot = "total"
            self.width = max(self.width, len(self.foot))

    def pad(self, cell: str) -> str:
        spaces = " " * (self.width - _width(cell))
        return spaces + cell if self.is_number else cell + spaces


def _column(report: Report, field: str) -> _Column:
    values = [row[field] for row in report.rows]
    numbers = [value for value in values if isinstance(value, int | Decimal) and not isinstance(value, bool)]
    places = max((_places(value) for value in numbers), default=0)
    foot = None
    if report.sums and len(values) > 1:
        with localcontext(EXACT):
            foot = _text(sum(numbers), places) if field in report.sums else ""
    if field in _NAMES:
        cells = [_text(value and str(value)) for value in values]
    elif values and all(isinstance(value, str) and value[10:19] == _MIDNIGHT for value in values):
        cells = [str(value)[:10] for value in values]
    else:
        cells = [_text(value, places) for value in values]
    head = field.split("_") if numbers and field not in _NAMES else [field]
    return _Column(field=field, is_number=bool(numbers), head=head, cells=cells, foot=foot)


def _cut(columns: Sequence[_Column], room: int) -> None:
    """Cuts long text, the longest first, until the columns fit into `room` or no text is long."""
    long = [column for column in columns if column.field in _LONG]
    while (excess := sum(column.width for column in columns) - room) > 0:
        widest = max(long, key=lambda column: column.width, default=None)
        if widest is None or widest.width <= _SHORTEST_CUT:
            break
        second = max((column.width for column in long if column is not widest), default=0)
        limit = max(widest.width - excess, min(second, widest.width - 1), _SHORTEST_CUT)
        widest.cells = [_shortened(cell, limit) for cell in widest.cells]
        widest.width = limit


def _lines(columns: Sequence[_Column]) -> Iterator[Sequence[str]]:
    """Head, rows and foot, each as one text for every column."""
    rule = ["-" * column.width for column in columns]
    height = max(len(column.head) for column in columns)
    for line in range(height):
        yield [column.head[at] if (at := line - height + len(column.head)) >= 0 else "" for column in columns]
    yield rule
    yield from zip(*(column.cells for column in columns), strict=True)
    feet = [column.foot for column in columns if column.foot is not None]
    if feet:
        yield rule
        yield feet


def _value(value: object) -> object:
    match value:
        case Decimal():
            return plain(value)
        case date():
            return value.isoformat()
        case list() | tuple() | dict():
            return json.dumps(value, default=_value)
    return value


def _text(value: object, places: int = 0) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case int() | Decimal():
            return f"{Decimal(value):,.{places}f}"
        case str():
            return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in value)
    return str(_value(value))


def _places(number: int | Decimal) -> int:
    """Decimals that are not trailing zeros."""
    return len(plain(Decimal(number)).partition(".")[2])


def _width(text: str) -> int:
    """Columns on a screen: East Asian wide characters take two."""
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def _shortened(text: str, limit: int) -> str:
    if _width(text) <= limit:
        return text
    while _width(text) > limit - 1:
        text = text[: min(len(text) - 1, limit)]
    return text + "…"
