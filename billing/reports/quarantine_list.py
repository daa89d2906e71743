"""The quarantine as commands print it: each row with its text, and what became of rows that were judged again."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from billing.errors import UsageError, unknown
from billing.home import Home
from billing.reports.row_formats import Report, Row, frame_report

if TYPE_CHECKING:
    import polars as pl

ROW_FIELDS = ("id", "file", "line", "reason", "detail", "raw")
# Of a file that was read: read = accepted + duplicates + quarantined.
COUNTS = ("file", "read", "accepted", "duplicates", "quarantined")
NO_ROWS = "no such rows in quarantine"


def quarantined_rows(home: Home, *, reasons: Sequence[str] = (), files: Sequence[str] = ()) -> "pl.DataFrame":
    """The rows with one of these reasons and of one of these files; without any: all. By file, line and id."""
    from billing.events.quarantine import REASONS, Quarantine

    for reason in reasons:
        if reason not in REASONS:
            raise UsageError(unknown("reason", reason, REASONS))
    return Quarantine(directory=home.quarantine).rows(reasons=reasons or None, files=files or None)


def quarantine_report(found: "pl.DataFrame") -> Report:
    """Every row with its line, why it was quarantined, and its text."""
    return frame_report(found.select(ROW_FIELDS), empty=NO_ROWS, once=("file",))


def retried_report(rows: Sequence[Row]) -> Report:
    """What became of rows that were judged again, by file."""
    return Report(fields=COUNTS, rows=rows, empty="no rows to judge again", sums=COUNTS[1:])
