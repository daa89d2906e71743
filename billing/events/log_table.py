"""The Delta table of the event log: how it is opened, and what is committed to it.

A table is opened again only if its directory of commits, or one of the commit files since the last checkpoint, has
changed. Files become part of the table, or leave it, in one commit each time: those of an ingest; those that replace
others in a compaction; those that leave for the archive. Files that left stay on the disk for a day, for readers that
opened the table before.

Where days are archived, the table says so itself, in two properties: the first day that is still here, and the
directory that has those before it.
"""

import os
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import NamedTuple

import polars as pl
from deltalake import CommitProperties, Transaction
from deltalake import DeltaTable as DeltaTable
from deltalake.exceptions import DeltaError as DeltaError
from deltalake.transaction import AddAction, RemoveAction

from billing.events.commits import check_commits, commit_file, damaged
from billing.events.data_files import BOUNDED, LOG_SCHEMA, PARTITION, DataFile
from billing.events.delta import added, address, commits_of, delta_schema, read_table, sync_last
from billing.events.durable_files import sync

LAST_INGEST = "billing-ingest"  # the application transaction whose version is the number of the last ingest
KEPT_HOURS = 24  # files that have left the table
CLOCK_TICK_NS = 100_000_000  # of the coarsest file system

_COMPACTED = re.compile(r"compacted-[0-9]{20}-[0-9]{5,}\.parquet")  # the version that it was committed in
_DATA_FILE = re.compile(r"[0-9]{10}-[0-9]{5,}\.parquet")
_ARCHIVED_BEFORE, _ARCHIVE = "billing.archivedBefore", "billing.archive"
_DELTA_SCHEMA = delta_schema(LOG_SCHEMA)
# Old log entries hold what each ingest counted: they are kept.
_CONFIGURATION = {"delta.enableExpiredLogCleanup": "false"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """Where the events of the UTC days before `before` are."""

    before: date
    directory: str


class _Opened(NamedTuple):
    """A table, and the state of its directory of commits when it was opened."""

    table: DeltaTable
    files: Sequence[Path]
    stamp: tuple[int, ...]


_opened: dict[Path, _Opened] = {}


def open_table(directory: Path) -> DeltaTable | None:
    """The table in a directory; None before it was created. A `BillingError` when it is damaged."""
    place = commits_of(directory).absolute()
    opened = _opened.get(place)
    if opened and opened.stamp == _stamp(place, opened.files):
        return opened.table
    _opened.pop(place, None)
    began = time.time_ns()
    files = check_commits(commits_of(directory))
    stamp = _stamp(place, files)
    table = read_table(directory, partial(damaged, directory))
    # Another change at the same tick of the file system's clock would not be seen.
    if table and stamp and stamp[0] < began - CLOCK_TICK_NS:
        _opened[place] = _Opened(table, files, stamp)
    return table


def create_table(directory: Path) -> None:
    """Makes the table, if it is not there."""
    if not open_table(directory):
        DeltaTable.create(address(directory), _DELTA_SCHEMA, partition_by=[PARTITION], configuration=_CONFIGURATION)
        sync(commit_file(commits_of(directory), 0), directory.parent)


def commit_ingest(directory: Path, files: Sequence[DataFile], ingest_id: int, metadata: Mapping[str, object]) -> None:
    """Adds the files of an ingest; they and the commit are on the disk when this returns."""
    _commit(directory, files, (), metadata, [Transaction(LAST_INGEST, ingest_id)])


def commit_files(
    directory: Path, new: Sequence[DataFile], removed: Iterable[str], metadata: Mapping[str, object]
) -> None:
    """Adds and removes files, in one commit that is of no ingest."""
    _commit(directory, new, removed, metadata, None)


def files_of(table: DeltaTable, day: date | None = None) -> list[DataFile]:
    """The files of a UTC day, or of all, with what is known of them."""
    added = pl.DataFrame(table.get_add_actions(flatten=True)).sort("path")
    if day:
        added = added.filter(pl.col(f"partition.{PARTITION}").cast(pl.Date) == day)
    return [_data_file(row) for row in added.iter_rows(named=True)]


def archive_of(table: DeltaTable) -> Archive | None:
    """The archive of a table, if it has one."""
    properties = table.metadata().configuration
    before, directory = properties.get(_ARCHIVED_BEFORE), properties.get(_ARCHIVE)
    return Archive(before=date.fromisoformat(before), directory=directory) if before and directory else None


def set_archive(directory: Path, archive: Archive | None) -> None:
    """Says where the events of old days are; None: here, all of them. Once is enough."""
    table = _widened(directory)
    if archive_of(table) == archive:
        return
    properties = {
        _ARCHIVED_BEFORE: archive.before.isoformat() if archive else "",
        _ARCHIVE: archive.directory if archive else "",
    }
    table.alter.set_table_properties(properties, raise_if_not_exists=False)
    sync_last(directory, table)


def files_that_left(table: DeltaTable) -> list[str]:
    """The paths of files that have left the table long enough ago to be removed from the disk."""
    paths = table.vacuum(retention_hours=KEPT_HOURS, dry_run=True, enforce_retention_duration=False)
    return [path for path in paths if path.startswith(f"{PARTITION}=") and path.endswith(".parquet")]


def uncommitted_files(directory: Path, ingest_id: int, version: int) -> list[Path]:
    """The data files of an ingest or compaction that came after the last ones and was killed before its commit. A
    `BillingError` where they are of a later ingest than that."""
    first, left = f"{ingest_id + 1:010d}", []
    days = [path for path in directory.glob(f"{PARTITION}=*") if path.is_dir()]
    for path in (day / name for day in days for name in os.listdir(day) if first <= name):
        if _DATA_FILE.fullmatch(path.name):
            if int(path.name[:10]) > ingest_id + 1:
                raise damaged(directory, f"{path} is of a later ingest than the last commit, {ingest_id}")
            left.append(path)
        elif _COMPACTED.fullmatch(path.name) and int(path.name.split("-")[1]) > version:
            left.append(path)
    return left


def next_version(directory: Path) -> int:
    """The version that the next commit of files makes."""
    return int(_widened(directory).version()) + 1


def _commit(
    directory: Path,
    new: Sequence[DataFile],
    removed: Iterable[str],
    metadata: Mapping[str, object],
    transactions: list[Transaction] | None,
) -> None:
    for file in new:
        sync(directory / file.path, directory)
    table = _widened(directory)
    is_ingest = transactions is not None
    now_ms = time.time_ns() // 1_000_000
    actions: list[AddAction | RemoveAction] = [added(file, now_ms, data_change=is_ingest) for file in new]
    known = {file.path: file for file in files_of(table)} if removed else {}
    actions += [
        RemoveAction(path, is_ingest, now_ms, known[path].size, {PARTITION: known[path].day.isoformat()})
        for path in removed
    ]
    table.create_write_transaction(
        actions,
        mode="append",
        schema=_DELTA_SCHEMA,
        partition_by=[PARTITION],
        commit_properties=CommitProperties(custom_metadata=dict(metadata), app_transactions=transactions),
    )
    sync_last(directory, table)


def _widened(directory: Path) -> DeltaTable:
    """The table, with the columns that one of an older version lacks."""
    table = open_table(directory)
    if not table:
        raise AssertionError("the log must be created before its first data file")
    known = {field.name for field in table.schema().fields}
    missing = [field for field in _DELTA_SCHEMA.fields if field.name not in known]
    if missing:
        table.alter.add_columns(missing)
    return table


def _data_file(row: Mapping[str, object]) -> DataFile:
    def bounds(end: str) -> dict[str, int]:
        # Other programs that compact the table know the bounds of texts as well.
        found = {name: row.get(f"{end}{name}") for name in BOUNDED}
        return {name: int(str(value)) for name, value in found.items() if value is not None}

    return DataFile(
        path=str(row["path"]),
        day=date.fromisoformat(str(row[f"partition.{PARTITION}"])),
        rows=int(str(row["num_records"] or 0)),
        size=int(str(row["size_bytes"])),
        least=bounds("min."),
        largest=bounds("max."),
    )


def _stamp(commits: Path, files: Sequence[Path]) -> tuple[int, ...]:
    """What changes with the directory of the commits, and with each of these files; empty where one is missing."""
    try:
        found = [os.stat(path) for path in (commits, *files)]
    except FileNotFoundError:
        return ()
    return tuple(number for each in found for number in (each.st_mtime_ns, each.st_size, each.st_ino))
