"""The quarantine: rows that could not be accepted, with their text.

There is one Parquet file for each ingested file, named by the SHA-256 of that file's bytes. A row's id is the first 12
digits of that hash and the row's line, such as `8b1a9953c461-17`; further rows of the same line of a trace end in `.2`,
`.3`, …. So ingesting a file again rewrites the same rows and adds none. Only the holder of the ingest lock writes
here; a file is replaced as a whole.

A row that leaves because it was accepted, or is a duplicate, leaves its id behind. So a retry that was killed can be
run again with the same ids: the rows that have left are done, while an id that was never here is an error.
"""

import os
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

import polars as pl

from billing.errors import UnknownNameError
from billing.events.durable_files import naming_damage, scan_files, sync, whole_parquet
from billing.events.rows import RawRow, RejectedRow, display_name

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
# As stored: of a row that has left only `id`, `file`, `file_hash`, `line` and the time (epoch ms) are kept.
_STORED_SCHEMA = pl.Schema({**QUARANTINE_SCHEMA, "left_at": pl.Int64()})
_LEFT = ("id", "file", "file_hash", "line")
# Why a row is quarantined.
REASONS = (
    *("bad_json", "too_long", "missing_field", "bad_type", "bad_value", "no_offset", "unknown_app"),
    *("future", "before_start", "archived", "conflict"),
)
_HASH_DIGITS = 12
_Rows = TypeVar("_Rows", pl.DataFrame, pl.LazyFrame)
PART_BYTES = 64 << 20  # held at once, or written as one row group
GROUP_ROWS = 100_000


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

        Rows that have left are not among them. A `UsageError` when an id was never there.
        """
        rows = _scan(self._files())
        for column, wanted in (("id", ids), ("reason", reasons), ("file", files)):
            if wanted is not None:
                rows = rows.filter(pl.col(column).is_in(sorted(map(display_name, wanted))))
        with self._naming_damage():
            found = rows.sort("file", "line", "id").collect()
        if missing := sorted(set(map(display_name, ids or ())) - set(found["id"])):
            raise UnknownNameError(
                f"no row {missing[0]} in quarantine: see `billing quarantine list` for those that are"
            )
        return _present(found)

    def ids(self, file_hash: str) -> pl.DataFrame:
        """The ids of the rows of one file, as the column `id`."""
        with self._naming_damage():
            return _present(self._stored(file_hash)).select("id").collect()

    def ever(self, file_hash: str) -> pl.DataFrame:
        """The ids of all rows of one file, also of those that have left, as the column `id`."""
        with self._naming_damage():
            return self._stored(file_hash).select("id").collect()

    def put(self, file_hash: str, rows: pl.LazyFrame) -> None:
        """Adds rows of one file, in place of those with the same ids."""
        kept = self._stored(file_hash).join(rows.select("id"), on="id", how="anti")
        self._replace(file_hash, pl.concat([kept, rows.with_columns(left_at=pl.lit(None, pl.Int64))]))

    def release(self, file_hash: str, ids: pl.Series, left_at: int) -> None:
        """Lets rows of one file leave; `left_at` in epoch ms."""
        left = pl.LazyFrame({"id": ids})
        stored = self._stored(file_hash)
        others = stored.join(left, on="id", how="anti")
        nulls = [pl.lit(None, dtype).alias(name) for name, dtype in QUARANTINE_SCHEMA.items() if name not in _LEFT]
        records = stored.join(left, on="id", how="semi").with_columns(*nulls, left_at=pl.lit(left_at, pl.Int64))
        self._replace(file_hash, pl.concat([others, records]))

    def discard_unfinished(self) -> None:
        """Removes what a process has left behind that was killed while it replaced a file."""
        for path in self.directory.glob("*.new"):
            path.unlink()

    def _files(self) -> list[Path]:
        return sorted(self.directory.glob("*.parquet"))

    def _naming_damage(self) -> AbstractContextManager[None]:
        return naming_damage(self._files, _STORED_SCHEMA)

    def _path(self, file_hash: str) -> Path:
        return self.directory / f"{file_hash}.parquet"

    def _stored(self, file_hash: str) -> pl.LazyFrame:
        path = self._path(file_hash)
        return _scan([path] if path.exists() else [])

    def _replace(self, file_hash: str, rows: pl.LazyFrame) -> None:
        self.directory.mkdir(exist_ok=True)
        path = self._path(file_hash)
        beside = path.with_suffix(".new")
        with self._naming_damage():
            longest = rows.select(pl.sum_horizontal(pl.col("raw", "header").str.len_bytes().max())).collect(
                engine="streaming"
            )
            group_rows = max(1, min(GROUP_ROWS, PART_BYTES // ((longest.item() or 0) + 1)))
            rows.sink_parquet(beside, compression="zstd", row_group_size=group_rows)
        sync(beside, self.directory)
        os.replace(beside, path)
        sync(path, self.directory.parent)


class HashedFile(Protocol):
    """A file of rows: its name as it was given, and the SHA-256 of its bytes, which may take a while."""

    @property
    def name(self) -> str: ...

    @property
    def digest(self) -> str: ...


class KnownFile(NamedTuple):
    """A file whose hash is known."""

    name: str
    digest: str


class Rejects:
    """Rejected rows of one file before they are stored, held in `directory`, which must be empty and which the caller
    removes."""

    def __init__(self, directory: Path, *, file: HashedFile, seen_at: int) -> None:
        self._directory = directory
        self._file, self._seen_at = file, seen_at
        self._held: list[pl.DataFrame] = []
        self._held_bytes = 0
        self._parts: list[Path] = []
        self.count = 0

    def add_lines(self, lines: Sequence[RejectedRow]) -> None:
        """Takes lines that could not be read as rows."""
        if lines:
            columns = {name: [getattr(line, name) for line in lines] for name in ("line", "reason", "detail")}
            self.add_rows(pl.DataFrame(columns), [RawRow(line.raw, None, None) for line in lines])

    def add_rows(self, rejected: pl.DataFrame, raws: Sequence[RawRow]) -> None:
        """Takes rows as `line`, `reason` and `detail`, with their text."""
        lines = rejected["line"].to_list()
        columns = {
            "id": [row_id(self._file.digest, line, raw.part) for line, raw in zip(lines, raws, strict=True)],
            "file": pl.Series([self._file.name]).new_from_index(0, len(lines)),
            "file_hash": pl.Series([self._file.digest]).new_from_index(0, len(lines)),
            "line": lines,
            "reason": rejected["reason"],
            "detail": rejected["detail"],
            "raw": [raw.text for raw in raws],
            "format": [raw.format for raw in raws],
            "header": [raw.header for raw in raws],
            "seen_at": pl.Series([self._seen_at]).new_from_index(0, len(lines)),
        }
        self.add(pl.DataFrame(columns, schema=QUARANTINE_SCHEMA))

    def add(self, entries: pl.DataFrame) -> None:
        """Takes rows in `QUARANTINE_SCHEMA`."""
        self.count += entries.height
        self._held.append(entries)
        self._held_bytes += int(entries.estimated_size())
        if self._held_bytes >= PART_BYTES:
            self._store()

    def rows(self) -> pl.LazyFrame:
        """Everything that was added."""
        self._store()
        return _scan(self._parts).drop("left_at")

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


def _present(rows: _Rows) -> _Rows:
    """Stored rows without those that have left, in `QUARANTINE_SCHEMA`."""
    return rows.filter(pl.col("left_at").is_null()).drop("left_at")


def _scan(paths: list[Path]) -> pl.LazyFrame:
    """The rows of files in `_STORED_SCHEMA`. (Files of older versions have no `left_at`.)"""
    return scan_files([whole_parquet(path) for path in paths], _STORED_SCHEMA)
