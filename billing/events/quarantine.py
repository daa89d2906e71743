"""The quarantine: rows that could not be accepted, with their text, until they can.

One Parquet file for each source file, named by the SHA-256 of that file's bytes. A row's id is the first 12 digits
of that hash and the row's line (`8b1a9953c461-17`; when one line of a trace makes several such rows, the next ones
end in `.2`, `.3`, …), so reading a file again rewrites the same rows and adds none. Only whoever holds the ingest
lock writes here; a file is replaced as a whole.
"""

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from billing.errors import UsageError
from billing.events.durable_files import sync, whole_parquet

QUARANTINE_SCHEMA = pl.Schema(
    {
        "id": pl.String,
        "file": pl.String,
        "file_hash": pl.String,
        "line": pl.Int64,
        "reason": pl.String,
        "detail": pl.String,
        "raw": pl.String,
        "format": pl.String,  # of `raw`: "ndjson" or "csv"; null when the row cannot be read again
        "header": pl.String,  # of a CSV row
        "seen_at": pl.Int64,  # epoch ms of the ingest that set it aside
    }
)
# Why a row is quarantined.
REASONS = (
    *("bad_json", "too_long", "missing_field", "bad_type", "bad_value", "no_offset", "unknown_app"),
    *("future", "before_start", "conflict"),
)
_HASH_DIGITS = 12
PART_BYTES = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantine:
    """The quarantined rows in `directory`, which need not exist."""

    directory: Path

    def rows(
        self,
        *,
        ids: Collection[str] | None = None,
        reasons: Collection[str] | None = None,
        files: Collection[str] | None = None,
    ) -> pl.DataFrame:
        """The rows in `QUARANTINE_SCHEMA` by file, line and id; all, or those of the ids, reasons and file names given.

        A `UsageError` when an id is not there.
        """
        rows = _scan(sorted(self.directory.glob("*.parquet")))
        for column, wanted in (("id", ids), ("reason", reasons), ("file", files)):
            if wanted is not None:
                rows = rows.filter(pl.col(column).is_in(sorted(wanted)))
        found = rows.sort("file", "line", "id").collect()
        if missing := sorted(set(ids or ()) - set(found["id"])):
            raise UsageError(f"no row {missing[0]} in quarantine: see `billing quarantine list` for those that are")
        return found

    def of_file(self, file_hash: str) -> pl.LazyFrame:
        """The rows of one file, in `QUARANTINE_SCHEMA`."""
        path = self._path(file_hash)
        return _scan([path] if path.exists() else [])

    def put(self, file_hash: str, rows: pl.LazyFrame) -> None:
        """Adds rows of one file, in place of those with the same ids."""
        kept = self.of_file(file_hash).join(rows.select("id"), on="id", how="anti")
        self._replace(file_hash, pl.concat([kept, rows]))

    def remove(self, file_hash: str, ids: pl.Series) -> None:
        """Removes rows of one file."""
        gone = pl.LazyFrame({"id": ids})
        self._replace(file_hash, self.of_file(file_hash).join(gone, on="id", how="anti"))

    def discard_unfinished(self) -> None:
        """Removes what a process has left behind that was killed while it replaced a file."""
        for path in self.directory.glob("*.new"):
            path.unlink()

    def _path(self, file_hash: str) -> Path:
        return self.directory / f"{file_hash}.parquet"

    def _replace(self, file_hash: str, rows: pl.LazyFrame) -> None:
        self.directory.mkdir(exist_ok=True)
        path = self._path(file_hash)
        beside = path.with_suffix(".new")
        rows.sink_parquet(beside, compression="zstd")
        sync(beside, self.directory)
        os.replace(beside, path)
        sync(path, self.directory.parent)


class Rejects:
    """Rows on their way into the quarantine, held in `directory`, which must be empty and is the caller's to remove."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._held: list[pl.DataFrame] = []
        self._held_bytes = 0
        self._parts: list[Path] = []
        self.count = 0

    def add(self, rows: pl.DataFrame) -> None:
        """Takes rows in `QUARANTINE_SCHEMA`."""
        self.count += rows.height
        self._held.append(rows)
        self._held_bytes += int(rows.estimated_size())
        if self._held_bytes >= PART_BYTES:
            self._store()

    def rows(self) -> pl.LazyFrame:
        """Everything that was added."""
        self._store()
        return _scan(self._parts)

    def reasons(self) -> dict[str, int]:
        """How many rows have each reason."""
        return dict(self.rows().group_by("reason").len().collect().iter_rows())

    def _store(self) -> None:
        if self._held:
            self._parts.append(self._directory / f"{len(self._parts):06d}.parquet")
            pl.concat(self._held).write_parquet(self._parts[-1], compression="lz4")
            self._held, self._held_bytes = [], 0


def row_id(file_hash: str, line: int, part: int) -> str:
    """The id of the `part`-th row (from 0) that comes from a line."""
    return f"{file_hash[:_HASH_DIGITS]}-{line}" + (f".{part + 1}" if part else "")


def _scan(paths: list[Path]) -> pl.LazyFrame:
    if not paths:
        return pl.LazyFrame(schema=QUARANTINE_SCHEMA)
    return pl.scan_parquet(
        [whole_parquet(path) for path in paths], schema=QUARANTINE_SCHEMA, glob=False, hive_partitioning=False
    )
