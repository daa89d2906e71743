"""The records of media servers as they came, in the Delta table `records/` of the home, by the UTC day of their time.

A record means something only after others, so events are derived from what is stored here, and derived again when a
record comes late. A record is identified by its app and its `key`, a 128-bit hash of its content, which has the emitter
in it; `text` is that content as JSON, keys in order. `batch` numbers what was stored at once: 1, 2, 3 …
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import count
from pathlib import Path

import polars as pl

from billing.events.data_files import DAY_MS, PARTITION, DataFile, day_of, file_path, span_of
from billing.events.delta_table import BatchTable
from billing.events.durable_files import naming_damage, scan_files
from billing.periods import DAY_SECONDS

US_PER_MS, US_PER_SECOND = 1_000, 1_000_000
DAY_US = DAY_SECONDS * US_PER_SECOND
RECORD_SCHEMA = pl.Schema(
    {
        "source": pl.String,
        "app_id": pl.Int64,
        "emitter": pl.String,
        "rooms_in": pl.String,  # what its room ids begin with in events
        "at": pl.Int64,  # µs
        "type": pl.Int64,
        "ignored": pl.Boolean,  # it tells nothing but that the server was alive
        "key": pl.String,
        "assumed": pl.String,  # of what it does not tell: `camera=640x360`
        "text": pl.String,
        "file": pl.String,
        "file_hash": pl.String,
        "line": pl.Int64,
        "batch": pl.Int64,
    }
)
_BOUNDED = ["app_id", "at", "batch"]
ROWS_PER_FILE = 1_000_000
MOST_FILES = 32  # of a day that is over


@dataclass(slots=True, kw_only=True)
class RecordLog:
    """The records in `directory`, which need not exist, for the holder of the ingest lock."""

    directory: Path
    table: BatchTable = field(init=False)

    def __post_init__(self) -> None:
        self.table = BatchTable(directory=self.directory, schema=RECORD_SCHEMA, name="records")

    def scan(self, start: int | None = None, end: int | None = None, *, after: int = 0) -> pl.LazyFrame:
        """The records with `start <= at < end` (µs), of the batches after one, in `RECORD_SCHEMA`."""
        wanted: list[tuple[str, str, object]] = [("batch", ">", after)] if after else []
        condition = pl.col("batch") > after
        if start is not None:
            wanted += [(PARTITION, ">=", day_of(start // US_PER_MS)), ("at", ">=", start)]
            condition &= pl.col("at") >= start
        if end is not None:
            wanted += [(PARTITION, "<=", day_of((end - 1) // US_PER_MS)), ("at", "<", end)]
            condition &= pl.col("at") < end
        return scan_files(self.table.files(wanted), RECORD_SCHEMA).filter(condition)

    def collect(self, rows: pl.LazyFrame) -> pl.DataFrame:
        """The rows of a scan; if that fails, the error names the file that is damaged."""
        with naming_damage(lambda: self.table.files([]), RECORD_SCHEMA):
            return rows.collect()

    def write(self, rows: pl.DataFrame, *, batch: int, numbers: "count[int]") -> list[DataFile]:
        """Writes rows of a batch, which nobody sees before `commit`; `numbers` numbers its files."""
        self.table.create()
        rows = rows.with_columns(batch=pl.lit(batch, pl.Int64))
        files = []
        for (number,), of_day in rows.group_by(pl.col("at") // DAY_US, maintain_order=True):
            files += self._write_day(of_day, day_of(int(str(number)) * DAY_MS), batch, numbers)
        return files

    def commit(self, files: Sequence[DataFile], *, batch: int, metadata: Mapping[str, object]) -> None:
        """Adds the files of a batch to the table; `metadata` is kept with the commit."""
        self.table.commit(files, batch=batch, metadata=metadata)

    def tidy(self, before: int) -> None:
        """Merges the files of one day before an instant (µs) that has many."""
        today = day_of(before // US_PER_MS)
        days = (day for day, files in self.table.days().items() if files > MOST_FILES and day < today)
        if day := min(days, default=None):
            start, end = (second * US_PER_SECOND for second in span_of(day))
            rows = self.collect(self.scan(start, end))
            last = self.table.last_batch()
            self.table.merge(self._write_day(rows, day, last, count(50_000)), day)

    def _write_day(self, rows: pl.DataFrame, day: date, batch: int, numbers: "count[int]") -> list[DataFile]:
        rows = rows.select(*RECORD_SCHEMA).sort("emitter", "at", "key")
        return [
            self.table.write(piece, path, day, bounded=_BOUNDED)
            for piece in rows.iter_slices(ROWS_PER_FILE)
            for path in [file_path(day, f"{batch:010d}", next(numbers))]
        ]
