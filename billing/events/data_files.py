"""Data files: Parquet files of the event log, each with rows of one UTC day."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import polars as pl

from billing.events.retractions import RETRACTS
from billing.periods import DAY_SECONDS

DAY_MS = DAY_SECONDS * 1000
ROWS_PER_GROUP = 100_000  # what a reader that wants some rooms only can leave out
BOUNDED = [
    "app_id",
    "at",
    "ingest_id",
    "room_key",
    "connection_key",
    RETRACTS,
]  # the columns whose bounds the log knows of every file

_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFile:
    """A file in its place in the log's directory but not committed. A column of nulls has no bounds."""

    path: str  # relative to the directory of the log
    day: date
    rows: int
    size: int
    least: Mapping[str, int]
    largest: Mapping[str, int]


def write_file(rows: pl.DataFrame, directory: Path, path: str, day: date) -> DataFile:
    """Writes rows of a day, in the schema of the log, to a path in its directory."""
    target = directory / path
    target.parent.mkdir(parents=True, exist_ok=True)
    rows.write_parquet(target, compression="lz4", row_group_size=ROWS_PER_GROUP)
    least, largest = (
        {name: value for name, value in bounds.row(0, named=True).items() if value is not None}
        for bounds in (rows.select(pl.col(BOUNDED).min()), rows.select(pl.col(BOUNDED).max()))
    )
    return DataFile(path=path, day=day, rows=rows.height, size=target.stat().st_size, least=least, largest=largest)


def keyed(events: pl.DataFrame) -> pl.DataFrame:
    """Events with their keys."""
    # Compiled code, which takes a while to load, is needed for writing only.
    from billing.events.keys import event_keys

    return events.hstack(event_keys(events))


def day_of(at_ms: int) -> date:
    """The UTC day that holds an instant."""
    return _EPOCH + timedelta(days=at_ms // DAY_MS)


def span_of(day: date) -> tuple[int, int]:
    """The bounds of a UTC day in epoch seconds."""
    start = (day - _EPOCH).days * DAY_SECONDS
    return start, start + DAY_SECONDS
