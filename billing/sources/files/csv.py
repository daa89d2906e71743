"""Rows of CSV: comma, double quotes, a header with the names of the event columns.

Unknown columns are ignored; app_id, room_id, at and type must be there, each name once. An empty cell is an absent
value. A number is digits with an optional minus. A quoted cell may hold line ends: the row counts as the line it
begins on. Blank lines are not rows. A row that cannot be read is `bad_value`, and a quote that never ends costs its
own line only.
"""

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from billing.errors import BillingError
from billing.events.rows import (
    INTEGER_COLUMNS,
    LINE_LIMIT_BYTES,
    REQUIRED_COLUMNS,
    ROW_SCHEMA,
    TEXT_COLUMNS,
    Batch,
    Problem,
    RawRow,
    first_problem,
)
from billing.events.schema import EVENT_SCHEMA
from billing.sources.files.lines import Line, too_long

BATCH_ROWS = 20_000
BATCH_BYTES = 8 << 20
_DIGITS = r"^-?[0-9]+$"


def read_csv(name: str, lines: Iterator[Line]) -> Iterator[Batch]:
    """The rows of the file `name`, or a `BillingError` about its header."""
    csv.field_size_limit(LINE_LIMIT_BYTES)
    rows = _rows(lines)
    header = next(rows, None)
    if header is None:
        return
    if header.problem:
        raise BillingError(f"{name}: the header on line {header.line} cannot be read: {header.problem[1]}")
    check_columns(name, header.cells)
    held: list[_Row] = []
    held_bytes = 0
    for row in rows:
        held.append(_checked(row, header))
        held_bytes += len(row.text)
        if len(held) >= BATCH_ROWS or held_bytes >= BATCH_BYTES:
            yield _batch(header, held)
            held, held_bytes = [], 0
    if held:
        yield _batch(header, held)


def read_csv_rows(header: str, texts: Sequence[str]) -> Iterator[Batch]:
    """The same for rows that stand on their own under one header; they are numbered by their place, from 1."""
    csv.field_size_limit(LINE_LIMIT_BYTES)
    head = next(_rows(_lines_of(header)))
    for start in range(0, len(texts), BATCH_ROWS):
        rows = []
        for number, text in enumerate(texts[start : start + BATCH_ROWS], start + 1):
            found = list(_rows(_lines_of(text)))
            problem = ("bad_value", "not one row of CSV")
            rows.append(found[0] if len(found) == 1 else _Row(number, text, [], problem))
            rows[-1].line = number
        yield _batch(head, [_checked(row, head) for row in rows])


def check_columns(name: str, columns: Sequence[str]) -> None:
    """A `BillingError` unless a file's columns have different names and none that every event needs is missing."""
    times = Counter(column for column in columns if column in EVENT_SCHEMA)
    twice = [column for column in times if times[column] > 1]
    if twice:
        raise BillingError(f"{name}: the column {twice[0]} is there twice: leave one of them")
    missing = [column for column in REQUIRED_COLUMNS if column not in times]
    if missing:
        raise BillingError(f"{name}: no column {', '.join(missing)}: the first line must name the columns of an event")


@dataclass(slots=True)
class _Row:
    """One row: the line it begins on, its text, its cells, and why they could not be read."""

    line: int
    text: str
    cells: list[str]
    problem: tuple[str, str] | None


class _TooLongError(Exception):
    """The row that is being read has more bytes than a row may have."""

    def __init__(self, size: int) -> None:
        self.size = size


class _Lines(Iterator[str]):
    """The lines that the `csv` reader asks for, and which of them it took for the row that it reads now."""

    def __init__(self, lines: Iterator[Line]) -> None:
        self._lines = lines
        self.begin_row()

    def begin_row(self) -> None:
        self.taken: list[Line] = []
        self._bytes = 0

    def __next__(self) -> str:
        line = next(self._lines)
        self.taken.append(line)
        self._bytes += line.long_bytes or len(line.content)
        if self._bytes > LINE_LIMIT_BYTES + 1:
            raise _TooLongError(self._bytes)
        return line.content.decode() + "\n"


def _rows(lines: Iterator[Line]) -> Iterator[_Row]:
    """Rows; when one of several lines fails, only its first line is given up and the others are read one by one."""
    feed = _Lines(lines)
    reader = csv.reader(feed, strict=True)
    while True:
        row = _next_row(reader, feed)
        if not feed.taken:
            return
        first, *others = feed.taken
        if row.problem and others:
            yield _Row(
                first.number, _text([first]), [], ("bad_value", "not CSV: a quoted cell does not end as it should")
            )
            for line in others:
                yield from _rows(iter([line]))
        elif row.problem or row.cells:
            yield row


def _checked(row: _Row, header: _Row) -> _Row:
    """The row, with a problem if it has another number of cells than the header."""
    if not row.problem and len(row.cells) != len(header.cells):
        row.problem = ("bad_value", f"{len(row.cells)} cells where the header has {len(header.cells)}")
    return row


def _next_row(reader: Iterator[list[str]], feed: _Lines) -> _Row:
    feed.begin_row()
    cells: list[str] = []
    problem = None
    try:
        cells = next(reader, [])
    except _TooLongError as error:
        problem = too_long(error.size)
    except csv.Error as error:
        problem = ("bad_value", f"not CSV: {error}")
    except UnicodeDecodeError as error:
        problem = ("bad_value", f"bad UTF-8 at byte {error.start + 1} of the line")
    if len(cells) == 1 and not cells[0].strip():
        cells = []
    return _Row(feed.taken[0].number if feed.taken else 0, _text(feed.taken), cells, problem)


def _text(lines: Sequence[Line]) -> str:
    return b"\n".join(line.content for line in lines).removesuffix(b"\r").decode(errors="backslashreplace")


def _lines_of(text: str) -> Iterator[Line]:
    return (Line(number, line.encode(), 0) for number, line in enumerate(text.split("\n"), 1))


def _batch(header: _Row, rows: Sequence[_Row]) -> Batch:
    """Rows of text cells as a batch; a row that could not be read has no values."""
    cells = {
        name: ["" if row.problem else row.cells[place] for row in rows]
        for place, name in enumerate(header.cells)
        if name in EVENT_SCHEMA
    }
    lines = pl.Series([row.line for row in rows], dtype=pl.Int64)
    found = [row.problem or (None, None) for row in rows]
    frame = pl.DataFrame(
        {
            "row": lines,
            "line": lines,
            "found": pl.Series([reason for reason, _ in found], dtype=pl.String),
            "found_detail": pl.Series([detail for _, detail in found], dtype=pl.String),
            **{name: pl.Series(cells.get(name, [""] * len(rows)), dtype=pl.String) for name in EVENT_SCHEMA},
        }
    ).with_columns(pl.col(list(EVENT_SCHEMA)).replace({"": None}))

    def raw(positions: Sequence[int]) -> list[RawRow]:
        return [_raw(rows[at], header.text) for at in positions]

    return Batch(frame=frame.select(_read_columns()), raw=raw)


def _raw(row: _Row, header: str) -> RawRow:
    whole = row.problem is None or row.problem[0] != "too_long"
    return RawRow(row.text, "csv", header) if whole else RawRow(row.text, None, None)


def _read_columns() -> list[pl.Expr]:
    """The columns of `ROW_SCHEMA` out of cells of text."""
    problems = [Problem(pl.col("found").is_not_null(), pl.col("found"), pl.col("found_detail"))]
    columns = {name: pl.col(name) for name in ("row", "line", *TEXT_COLUMNS)}
    for name in INTEGER_COLUMNS:
        digits, value = pl.col(name).str.contains(_DIGITS), pl.col(name).cast(pl.Int64, strict=False)
        columns[name] = pl.when(digits).then(value)
        if name == "at":
            columns["at_text"] = pl.when(~digits).then(pl.col(name))
        else:
            problems.append(Problem.of(~digits, "bad_type", f"{name} must be an integer"))
        problems.append(Problem.of(digits & value.is_null(), "bad_value", f"{name} is beyond 64 bits"))
    columns["problem"], columns["problem_detail"] = first_problem(problems)
    return [columns[name].alias(name) for name in ROW_SCHEMA]
