"""The quarantine as commands and pages show it: how many rows there are of each file and reason, each row with its
text, and what became of rows that were judged again."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from billing import periods
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


def quarantine_sums(rows: "pl.DataFrame") -> "pl.DataFrame":
    """How many rows there are of each file and reason, and when the first and the last of them were read."""
    import polars as pl

    minute = pl.from_epoch("seen_at", time_unit="ms").dt.strftime("%Y-%m-%dT%H:%MZ")
    return rows.group_by("file", "reason", maintain_order=True).agg(
        rows=pl.len(), first_seen=minute.min(), last_seen=minute.max()
    )


def quarantined_row(home: Home, row_id: str) -> dict[str, Any] | None:
    """A row with its text; None: it has left. A `UsageError` where it never was."""
    from billing.events.quarantine import Quarantine

    rows: Sequence[dict[str, Any]] = Quarantine(directory=home.quarantine).rows(ids=[row_id]).to_dicts()
    utc = periods.time_zone("UTC")
    return {**rows[0], "seen_at": periods.local_iso_ms(rows[0]["seen_at"], utc)} if rows else None


def quarantine_report(found: "pl.DataFrame") -> Report:
    """Every row with its line, why it was quarantined, and its text."""
    return frame_report(found.select(ROW_FIELDS), empty=NO_ROWS, once=("file",))


def retried_report(rows: Sequence[Row]) -> Report:
    """What became of rows that were judged again, by file."""
    return Report(fields=COUNTS, rows=rows, empty="no rows to judge again", sums=COUNTS[1:])
