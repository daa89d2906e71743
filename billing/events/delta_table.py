"""A Delta table of numbered batches, partitioned by UTC day: each commit adds the files of one batch, or merges files.

The number of the last batch is an application transaction of the table. The files of a batch begin with its number, so
that what a killed process left behind is known. One process writes at a time; readers see whole commits only.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
from deltalake import CommitProperties, DeltaTable, Transaction

from billing.errors import BillingError
from billing.events.commits import check_commits, commit_file
from billing.events.data_files import PARTITION, ROWS_PER_GROUP, DataFile
from billing.events.delta import added, address, commits_of, delta_schema, read_table, sync_last
from billing.events.durable_files import sync, whole_parquet

_TRANSACTION = "billing-batch"
Wanted = list[tuple[str, str, object]]


@dataclass(slots=True, kw_only=True)
class BatchTable:
    """The table in `directory`, which is there once something was written. `name`: what is in it.

    It is opened once: what other processes commit after that is not seen.
    """

    directory: Path
    schema: pl.Schema
    name: str
    _opened: DeltaTable | None = None

    def last_batch(self) -> int:
        """The number of the last batch; 0 when there is none."""
        table = self._table()
        return (table.transaction_version(_TRANSACTION) or 0) if table else 0

    def batches(self, *, after: int) -> list[dict[str, Any]]:
        """What was said of the batches after one when they were committed, in their order; of some it may be lost."""
        table = self._table()
        new = self.last_batch() - after
        # Merges are commits as well, one of them at most for each batch.
        found = table.history(2 * new + 2) if table and new > 0 else []
        return [commit for commit in reversed(found) if int(commit.get("batch", 0)) > after]

    def files(self, wanted: Wanted) -> list[Path]:
        """The Parquet files that may hold what is wanted."""
        return [whole_parquet(path) for path in self._paths(wanted)]

    def days(self) -> dict[date, int]:
        """How many files each day has."""
        counts: dict[date, int] = {}
        for path in self._paths([]):
            day = date.fromisoformat(path.parent.name.removeprefix(f"{PARTITION}="))
            counts[day] = counts.get(day, 0) + 1
        return counts

    def create(self) -> None:
        """Makes the table, if it is not there: before its first data file, because data without a table are damage."""
        if not self._table():
            DeltaTable.create(address(self.directory), delta_schema(self.schema), partition_by=[PARTITION])
            sync(commit_file(commits_of(self.directory), 0), self.directory.parent)

    def write(self, rows: pl.DataFrame, path: str, day: date, *, bounded: Sequence[str]) -> DataFile:
        """Writes rows of a day to a path in the directory, with the bounds of some columns. Nobody sees them before
        `commit`."""
        target = self.directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        rows.write_parquet(target, compression="zstd", row_group_size=ROWS_PER_GROUP)
        least, largest = (rows.select(getattr(pl.col(bounded), end)()).row(0, named=True) for end in ("min", "max"))
        size = target.stat().st_size
        return DataFile(path=path, day=day, rows=rows.height, size=size, least=least, largest=largest)

    def commit(self, files: Sequence[DataFile], *, batch: int, metadata: Mapping[str, object]) -> None:
        """Adds the files of the next batch, all at once. They are on the disk before the commit is, and the commit
        before this returns."""
        self._write(files, batch=batch, metadata={"batch": batch, **metadata})

    def merge(self, files: Sequence[DataFile], day: date) -> None:
        """Puts these files, which hold all rows of a day, in the place of those that the day has."""
        replaced = self._paths([(PARTITION, "=", day)])
        self._write(files, batch=None, metadata={"merged": str(day)}, day=day)
        for path in replaced:
            path.unlink()

    def discard_uncommitted(self) -> None:
        """Removes what a process that was killed had written and not committed, or had merged."""
        committed = {path.name for path in self._paths([])}
        for path in self.directory.glob(f"{PARTITION}=*/*.parquet"):
            if path.name not in committed:
                path.unlink()
        for path in commits_of(self.directory).glob("*#*"):
            path.unlink()

    def _write(
        self, files: Sequence[DataFile], *, batch: int | None, metadata: Mapping[str, object], day: date | None = None
    ) -> None:
        for file in files:
            sync(self.directory / file.path, self.directory)
        now_ms = time.time_ns() // 1_000_000
        transactions = [] if batch is None else [Transaction(_TRANSACTION, batch)]
        table = self._table()
        if table is None:
            raise AssertionError("the table must be created before its first data file")
        table.create_write_transaction(
            [added(file, now_ms) for file in files],
            mode="append" if day is None else "overwrite",
            schema=delta_schema(self.schema),
            partition_by=[PARTITION],
            partition_filters=None if day is None else [(PARTITION, "=", day.isoformat())],
            commit_properties=CommitProperties(custom_metadata=dict(metadata), app_transactions=transactions),
        )
        sync_last(self.directory, table)
        table.update_incremental()

    def _paths(self, wanted: Wanted) -> list[Path]:
        table = self._table()
        addresses = table.file_uris(file_pruning_predicate=wanted) if table else []
        return [self.directory.absolute().joinpath(*address.rsplit("/", 2)[1:]) for address in addresses]

    def _table(self) -> DeltaTable | None:
        if self._opened is None:
            self._opened = self._open()
        return self._opened

    def _open(self) -> DeltaTable | None:
        check_commits(commits_of(self.directory))
        return read_table(self.directory, self._damaged)

    def _damaged(self, detail: str) -> BillingError:
        return BillingError(f"the {self.name} in {self.directory} are damaged; restore them from a backup: {detail}")
