"""Compaction: the small files of a UTC day become files like those of one large ingest.

A day that came in 288 files is read as 288 files. Its rows, retractions too, are written again, about a million to a
file, in the order of rooms; one commit takes the new files in and the old ones out. Rows keep their `ingest_id`, so
nothing of what was known at an ingest changes, and a commit of a compaction is no ingest: identities stay. The old
files are removed from the disk a day later, because somebody may still be reading them.

A day is worth it that has twice as many files as it needs.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from itertools import groupby

import polars as pl

from billing.events.data_files import LOG_SCHEMA, DataFile, event_keys_of
from billing.events.day_files import DayFiles, gathered, order_by_room, ranges_of
from billing.events.durable_files import scan_files, whole_parquet
from billing.events.log import EventLog
from billing.events.log_table import commit_files, files_of, files_that_left, next_version, open_table

PIECE_ROWS, PIECE_BYTES = 500_000, 128 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Compacted:
    """A UTC day whose files were merged, and how many files and rows it has."""

    day: date
    files_before: int
    files: int
    rows: int


def days_to_compact(log: EventLog, *, before: date | None = None) -> list[date]:
    """The UTC days (before one, if it is given) that have twice as many files as they need."""
    table = open_table(log.directory)
    files = sorted(files_of(table), key=lambda file: file.day) if table else []
    by_day = {day: list(of_day) for day, of_day in groupby(files, key=lambda file: file.day)}
    return [day for day, of_day in by_day.items() if (before is None or day < before) and _is_scattered(of_day)]


def compact_day(log: EventLog, day: date) -> Compacted:
    """Merges the files of a day. The caller holds the lock of ingest."""
    table = open_table(log.directory)
    old = files_of(table, day) if table else []
    total = sum(file.rows for file in old)
    new = DayFiles(log=log, name=f"compacted-{next_version(log.directory):020d}")
    with closing(new), log.naming_damage():
        for piece in _pieces(log, old):
            new.write(day, piece, expected=total)
        files = new.close()
    if sum(file.rows for file in files) != total:
        raise AssertionError(f"rows of {day} were lost or made up")
    commit_files(log.directory, files, [file.path for file in old], {"compacted": day.isoformat()})
    return Compacted(day=day, files_before=len(old), files=len(files), rows=total)


def remove_replaced(log: EventLog) -> int:
    """Removes files from the disk that left the log a day ago or earlier; how many."""
    table = open_table(log.directory)
    paths = files_that_left(table) if table else []
    for path in paths:
        (log.directory / path).unlink(missing_ok=True)
    return len(paths)


def _is_scattered(files: Sequence[DataFile]) -> bool:
    return len(files) >= 2 * ranges_of(sum(file.rows for file in files))


def _pieces(log: EventLog, files: Sequence[DataFile]) -> Iterator[pl.DataFrame]:
    """The rows of files, in pieces that fit in memory, each in the order of rooms."""
    held: list[pl.DataFrame] = []
    for file in files:
        rows = scan_files([whole_parquet(log.directory / file.path)], LOG_SCHEMA)
        for offset in range(0, file.rows, PIECE_ROWS):
            held.append(rows.slice(offset, PIECE_ROWS).collect())
            if sum(each.height for each in held) >= PIECE_ROWS or sum(map(_bytes, held)) >= PIECE_BYTES:
                yield _in_order(pl.concat(held))
                held = []
    if held:
        yield _in_order(pl.concat(held))


def _bytes(rows: pl.DataFrame) -> int:
    return int(rows.estimated_size())


def _in_order(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows by room; those of an older version, which have no keys, get them."""
    if rows["room_key"].null_count():
        rows = rows.with_columns(event_keys_of(rows).get_columns())
    return gathered(rows, order_by_room(rows["room_key"].to_numpy()))
