"""What the Delta tables of a home have in common: partitions by UTC day, files that are there before their commit, and
commits that are on the disk before anybody goes on."""

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
from deltalake import DeltaTable, Field, Schema
from deltalake.exceptions import DeltaError
from deltalake.schema import PrimitiveType
from deltalake.transaction import AddAction

from billing.errors import BillingError
from billing.events.commits import commit_file
from billing.events.data_files import PARTITION, DataFile
from billing.events.durable_files import sync

_TYPES = {"String": "string", "Int64": "long", "Int32": "integer", "Boolean": "boolean"}


def commits_of(directory: Path) -> Path:
    """The directory of a table's commits."""
    return directory / "_delta_log"


def address(directory: Path) -> str:
    """A directory as deltalake wants it: a plain path with `%` or `#` in it would be taken for an address."""
    return directory.absolute().as_uri()


def delta_schema(schema: pl.Schema) -> Schema:
    """The schema of a table with these columns, partitioned by day."""
    columns = [Field(name, PrimitiveType(_TYPES[str(dtype)])) for name, dtype in schema.items()]
    return Schema([*columns, Field(PARTITION, PrimitiveType("date"))])


def read_table(directory: Path, damaged: Callable[[str], BillingError]) -> DeltaTable | None:
    """The table in a directory as it is now; None before it was created. `damaged` makes the error from a detail."""
    try:
        if DeltaTable.is_deltatable(address(directory)):
            return DeltaTable(address(directory))
    except DeltaError as error:
        raise damaged(str(error).splitlines()[0]) from None
    if any(directory.glob(f"{PARTITION}=*/*.parquet")):
        raise damaged(f"{commits_of(directory)} is missing or empty")
    return None


def added(file: DataFile, now_ms: int, *, data_change: bool = True) -> AddAction:
    """A file as a commit adds it."""
    statistics = {"numRecords": file.rows, "minValues": file.least, "maxValues": file.largest}
    return AddAction(
        path=file.path,
        size=file.size,
        partition_values={PARTITION: file.day.isoformat()},
        modification_time=now_ms,
        data_change=data_change,
        stats=json.dumps(statistics),
    )


def sync_last(directory: Path, table: DeltaTable) -> None:
    """Waits until the last commit is on the disk; the table may be as it was before."""
    version, commits = table.version(), commits_of(directory)
    while commit_file(commits, version + 1).exists():
        version += 1
    sync(commit_file(commits, version), directory.parent)
