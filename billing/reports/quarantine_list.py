"""Quarantined rows for reading: how many there are for each reason and file, and the rows themselves."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from billing import periods
from billing.errors import UsageError, unknown
from billing.events.quarantine import REASONS, Quarantine
from billing.home import Home


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantineList:
    """The sums by file and reason of all rows, and those that are asked for."""

    sums: list[dict[str, Any]]
    rows: list[dict[str, Any]]
    found: int


def quarantine_list(
    home: Home, *, reason: str | None = None, file: str | None = None, skip: int = 0, limit: int = 100
) -> QuarantineList:
    """The rows of a reason and a file, or all; `limit` of them after `skip`."""
    if reason is not None and reason not in REASONS:
        raise UsageError(unknown("reason", reason, REASONS))
    every = Quarantine(directory=home.quarantine).rows()
    wanted = every
    for column, value in (("reason", reason), ("file", file)):
        if value is not None:
            wanted = wanted.filter(pl.col(column) == value)
    shown = wanted.slice(skip, limit).select("id", "file", "line", "reason", "detail", "raw")
    return QuarantineList(sums=quarantine_sums(every).to_dicts(), rows=shown.to_dicts(), found=wanted.height)


def quarantine_sums(rows: pl.DataFrame) -> pl.DataFrame:
    """How many rows there are of each file and reason, and when the first and the last of them were read."""
    minute = pl.from_epoch("seen_at", time_unit="ms").dt.strftime("%Y-%m-%dT%H:%MZ")
    return rows.group_by("file", "reason", maintain_order=True).agg(
        rows=pl.len(), first_seen=minute.min(), last_seen=minute.max()
    )


def quarantined_row(home: Home, row_id: str) -> dict[str, Any] | None:
    """A row with its text; None: it has left. A `UsageError` where it never was."""
    rows: Sequence[dict[str, Any]] = Quarantine(directory=home.quarantine).rows(ids=[row_id]).to_dicts()
    utc = periods.time_zone("UTC")
    return {**rows[0], "seen_at": periods.local_iso_ms(rows[0]["seen_at"], utc)} if rows else None
