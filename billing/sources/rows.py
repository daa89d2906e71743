"""Rows on their way in: where a row stood, and why it was set aside."""

from typing import NamedTuple


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
