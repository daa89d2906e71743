"""Reports: rows with named fields, as JSON or CSV for a program, or as a table to read.

A table is for a screen: numbers are aligned and grouped by thousands, totals stand below, what all rows agree on may
stand once above, an instant that is a midnight shows its day, and text is cut to the width, long text first. Numbers
are never cut.
"""

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, localcontext
from typing import IO, TYPE_CHECKING, Literal

from billing.cli.messages import printable, say
from billing.money import EXACT, plain
from billing.reports.row_formats import Report as Report
from billing.reports.row_formats import frame_report as frame_report
from billing.reports.row_formats import plain_value, write_csv, write_json

if TYPE_CHECKING:
    pass

Format = Literal["table", "json", "csv"]

# Numbers that count nothing.
_NAMES = frozenset({"app_id", "ingest_id", "line", "run"})
# Text that is cut before other text is.
_LONG = frozenset({"detail", "file", "raw", "room_id", "user_id"})
_SHORTEST_CUT = 10
# No cell of a table is wider than a screen, so there is no need to measure more of a text than this.
_LONGEST_CELL = 500
_MIDNIGHT = "T00:00:00"


def print_report(report: Report, output_format: str) -> None:
    """Prints a report on stdout, or says on stderr that there is nothing to show."""
    if output_format == "json":
        write_json(report, sys.stdout)
    elif output_format == "csv":
        write_csv(report, sys.stdout)
    elif report.rows:
        write_table(report, sys.stdout, shutil.get_terminal_size().columns)
    elif report.empty:
        say(report.empty)
    sys.stdout.flush()


def write_table(report: Report, stream: IO[str], width: int) -> None:
    """Writes a table of at least one row, no wider than `width` unless its numbers and `whole` fields are."""
    shown = [field for field in report.fields if field not in report.without]
    once = [field for field in shown if field in report.once and len({row[field] for row in report.rows}) == 1]
    if once:
        stream.write(", ".join(f"{field} {_column(report, field).cells[0]}" for field in once) + "\n\n")
    columns = [_column(report, field) for field in shown if field not in once]
    if columns[0].foot == "":
        columns[0] = replace(columns[0], foot="total")
    widths = [column.width for column in columns]
    gap = 2 if sum(widths) + 2 * (len(widths) - 1) <= width else 1
    _render(columns, _fitted(columns, width - gap * (len(columns) - 1)), gap, stream)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Column:
    """A column as it is printed; `foot` is None in all columns when there are no totals."""

    field: str
    is_number: bool
    is_whole: bool
    head: Sequence[str]
    cells: Sequence[str]
    foot: str | None

    @property
    def width(self) -> int:
        """Columns on a screen that the widest text takes."""
        return max(_cells(text) for text in (*self.head, *self.cells, self.foot or ""))


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
    is_wide = len(field) > max(_SHORTEST_CUT, *map(len, cells))
    head = field.split("_") if field not in _NAMES and (numbers or is_wide) else [field]
    is_whole = bool(numbers) or field in report.whole
    return _Column(field=field, is_number=bool(numbers), is_whole=is_whole, head=head, cells=cells, foot=foot)


def _fitted(columns: Sequence[_Column], room: int) -> list[int]:
    """The columns' widths: text is cut, the widest first, until all fit into `room`; long text before other text."""
    widths = [column.width for column in columns]
    text = [at for at, column in enumerate(columns) if not column.is_whole]
    for chosen in ([at for at in text if columns[at].field in _LONG], text):
        while (excess := sum(widths) - room) > 0 and chosen:
            widest = max(chosen, key=lambda at: widths[at])
            if widths[widest] <= _SHORTEST_CUT:
                break
            second = max((widths[at] for at in chosen if at != widest), default=0)
            widths[widest] = max(widths[widest] - excess, min(second, widths[widest] - 1), _SHORTEST_CUT)
    return widths


def _render(columns: Sequence[_Column], widths: Sequence[int], gap: int, stream: IO[str]) -> None:
    """Writes head, rows and foot with rules between them. On a terminal the head is bold."""
    rule = ["-" * width for width in widths]
    height = max(len(column.head) for column in columns)
    heads = zip(*([""] * (height - len(column.head)) + [*column.head] for column in columns), strict=True)
    rows = zip(*(column.cells for column in columns), strict=True)
    foot = [] if columns[0].foot is None else [rule, [column.foot or "" for column in columns]]
    bold, plain_again = ("\x1b[1m", "\x1b[0m") if stream.isatty() else ("", "")

    def line(texts: Sequence[str]) -> str:
        placed = (
            _in_place(text, width, column.is_number) for text, width, column in zip(texts, widths, columns, strict=True)
        )
        return (" " * gap).join(placed).rstrip()

    stream.writelines(f"{bold}{line(head)}{plain_again}\n" for head in heads)
    stream.writelines(f"{line(row)}\n" for row in (rule, *rows, *foot))


def _in_place(text: str, width: int, is_number: bool) -> str:
    missing = width - _cells(text)
    if missing < 0 and text.isascii():
        return f"{text[: width - 1]}…"
    if missing < 0:
        from rich.cells import set_cell_size

        return set_cell_size(text, width - 1) + "…"
    return " " * missing + text if is_number else text + " " * missing


def _cells(text: str) -> int:
    """Columns on a screen that a text takes: two for each Chinese letter, none for an accent of its own."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _text(value: object, places: int = 0) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case int() | Decimal():
            return f"{Decimal(value):,.{places}f}"
        case str():
            return printable(value[:_LONGEST_CELL])
    return str(plain_value(value))


def _places(number: int | Decimal) -> int:
    """Decimals that are not trailing zeros."""
    return len(plain(Decimal(number)).partition(".")[2])
