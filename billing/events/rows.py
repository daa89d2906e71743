"""Rows before they are events: where a row stood, what could be read of it, and why it was rejected.

A reader of any format hands over batches in `ROW_SCHEMA`: the event columns with what could be read of them, and
the first thing that could not (`reason`, `detail`). Whether the values make an event is decided in one place,
`billing.events.validation`.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import polars as pl

from billing.events.schema import EVENT_SCHEMA

LINE_LIMIT_BYTES = 1 << 20

# `row` numbers the rows of one reading from 1, upwards; `line` is where a row stood: the physical line it began on,
# or the row number in a Parquet file. `at_text` holds a time that is still text. `problem` and `problem_detail` are
# null for a row that could be read.
ROW_SCHEMA = pl.Schema(
    {
        "row": pl.Int64(),
        "line": pl.Int64(),
        "problem": pl.String(),
        "problem_detail": pl.String(),
        "at_text": pl.String(),
        **EVENT_SCHEMA,
        "width": pl.Int64(),
        "height": pl.Int64(),
    }
)

TEXT_COLUMNS = tuple(name for name, dtype in EVENT_SCHEMA.items() if dtype == pl.String)
INTEGER_COLUMNS = tuple(name for name, dtype in EVENT_SCHEMA.items() if dtype != pl.String)
REQUIRED_COLUMNS = ("app_id", "room_id", "at", "type")


class TraceLine(NamedTuple):
    """One line of a foreign trace, without its line end."""

    file: str
    number: int  # from 1
    text: bytes


class DerivedEvent(NamedTuple):
    """An event in the columns of the event schema, and the trace line that caused it."""

    file: str
    line: int
    event: dict[str, object]


class RejectedRow(NamedTuple):
    """A row that could not be accepted: its place, a bare reason code, a sentence, and the text as it was read."""

    file: str
    line: int  # from 1; a Parquet row counts as a line
    reason: str
    detail: str
    raw: str


class RawRow(NamedTuple):
    """A row as it was read, for the quarantine: what it takes to read it again."""

    text: str
    format: str | None  # "ndjson" or "csv"; None when the text is not the whole row
    header: str | None  # of a CSV row
    part: int = 0  # among the rows that come from one line


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Rows in `ROW_SCHEMA`, and the text of those at the given positions of the frame. The columns of `values` are
    coded (`billing.events.coded_texts`)."""

    frame: pl.DataFrame
    raw: Callable[[Sequence[int]], list[RawRow]]
    values: Mapping[str, pl.Series] = field(default_factory=dict)
    share_read: float = 1.0  # how much of the file was read with this batch, at most 1; about
    may_hold_nul: bool = True  # False: no text holds a NUL character


class Problem(NamedTuple):
    """What a row may have: `there` is true where it has it, false or null elsewhere."""

    there: pl.Expr
    reason: pl.Expr
    detail: pl.Expr

    @classmethod
    def of(cls, there: pl.Expr, reason: str, detail: str) -> "Problem":
        """A problem with the same reason and detail wherever it is."""
        return cls(there, pl.lit(reason), pl.lit(detail))


def first_problem(problems: Iterable[Problem]) -> tuple[pl.Expr, pl.Expr]:
    """Reason and detail of the first problem that each row has; null where it has none."""
    problems = list(problems)
    return (
        pl.coalesce([*(pl.when(problem.there).then(problem.reason) for problem in problems), pl.lit(None, pl.String)]),
        pl.coalesce([*(pl.when(problem.there).then(problem.detail) for problem in problems), pl.lit(None, pl.String)]),
    )


def display_name(name: str) -> str:
    """A file name or an argument as text that can be stored and printed: bytes that are not UTF-8 become `\\xff`."""
    try:
        encoded = os.fsencode(name)
    except UnicodeEncodeError:
        encoded = name.encode(errors="backslashreplace")
    return encoded.decode(errors="backslashreplace")
