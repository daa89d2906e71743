"""Data files: Parquet files of the event log, each with rows of one UTC day."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from billing.events.coded_texts import NOT_CODED, Values
from billing.events.retractions import EMITTER, RETRACTS
from billing.events.schema import CONNECTION_KEYS_SCHEMA, EVENT_SCHEMA, KEYS_SCHEMA
from billing.periods import DAY_SECONDS

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetWriter

PARTITION = "day"
LOG_SCHEMA = pl.Schema(
    {
        **EVENT_SCHEMA,
        "ingest_id": pl.Int64(),
        "line": pl.Int64(),  # where the event stood in its file
        **KEYS_SCHEMA,
        **CONNECTION_KEYS_SCHEMA,
        RETRACTS: pl.Int64(),
        EMITTER: pl.String(),
    }
)
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

_IN_STEPS, _AT_RANDOM = ("at", "line"), ("event_id", "checks")
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


class DataFileWriter:
    """Writes rows of a day, in the schema of the log, to a path in its directory, piece by piece."""

    def __init__(self, directory: Path, path: str, day: date) -> None:
        self._target = directory / path
        self._path, self._day, self._rows = path, day, 0
        self._least: dict[str, int] = {}
        self._largest: dict[str, int] = {}
        self._writer: ParquetWriter | None = None

    def write(self, rows: pl.DataFrame, values: Values = NOT_CODED) -> None:
        """Adds rows, all of them with the same columns; texts may be coded, with these `values`."""
        # Libraries and compiled code, which take a while to load, are needed for writing only.
        from billing.events.coded_tables import arrow_table

        for group in rows.iter_slices(ROWS_PER_GROUP):
            table = arrow_table(group, values)
            if self._writer is None:
                from billing.events.parquet_writer import PatientParquetWriter

                self._target.parent.mkdir(parents=True, exist_ok=True)
                self._writer = PatientParquetWriter(self._target, table.schema, **_parquet_options(table.schema.names))
            self._writer.write_table(table)
        self._rows += rows.height
        bounds = (pl.col(BOUNDED).min().name.prefix("min."), pl.col(BOUNDED).max().name.prefix("max."))
        found = rows.select(*bounds).row(0, named=True)
        for name in BOUNDED:
            if found[f"min.{name}"] is not None:
                self._least[name] = min(self._least.get(name, found[f"min.{name}"]), found[f"min.{name}"])
                self._largest[name] = max(self._largest.get(name, found[f"max.{name}"]), found[f"max.{name}"])

    def close(self) -> DataFile:
        """Ends the file."""
        if self._writer:
            self._writer.close()
        return DataFile(
            path=self._path,
            day=self._day,
            rows=self._rows,
            size=self._target.stat().st_size,
            least=self._least,
            largest=self._largest,
        )


def file_path(day: date, name: str, number: int) -> str:
    """The path of the `number`-th file of an ingest or a compaction."""
    return f"{PARTITION}={day}/{name}-{number:05d}.parquet"


def write_file(rows: pl.DataFrame, directory: Path, path: str, day: date) -> DataFile:
    """Writes rows of a day, in the schema of the log, to a path in its directory."""
    writer = DataFileWriter(directory, path, day)
    writer.write(rows)
    return writer.close()


def _parquet_options(columns: Sequence[str]) -> dict[str, object]:
    """Texts and keys come again and again; times and lines come in small steps; ids and checks do neither, and to
    compress them takes as long as to compress all others, for a fifth of the file. Statistics help those who want some
    rooms."""
    return {
        "compression": {name: "none" if name in _AT_RANDOM else "lz4" for name in columns},
        "use_dictionary": [name for name in columns if name not in (*_AT_RANDOM, *_IN_STEPS)],
        "column_encoding": dict.fromkeys(_IN_STEPS, "DELTA_BINARY_PACKED"),
        "write_statistics": [name for name in columns if name in BOUNDED],
        "store_schema": False,
    }


def keyed(events: pl.DataFrame) -> pl.DataFrame:
    """Events with their keys."""
    return events.hstack(event_keys_of(events))


def event_keys_of(events: pl.DataFrame) -> pl.DataFrame:
    """The keys of events."""
    # Compiled code, which takes a while to load, is needed for writing only.
    from billing.events.keys import event_keys

    return event_keys(events)


def day_of(at_ms: int) -> date:
    """The UTC day that holds an instant."""
    return _EPOCH + timedelta(days=at_ms // DAY_MS)


def span_of(day: date) -> tuple[int, int]:
    """The bounds of a UTC day in epoch seconds."""
    start = (day - _EPOCH).days * DAY_SECONDS
    return start, start + DAY_SECONDS
