"""The key index: beside the event log, the keys that each UTC day holds, so that an ingest looks up its own keys only.

For each day there is a directory in `_keys` with files of entries (`billing.events.key_runs`) and `state.json`, which
names them, and the last ingest whose rows are among them, with its identity:

    _keys/2026-03-10/state.json
    _keys/2026-03-10/0000000288-0.keys

The log is the truth. An index says what the log held at that ingest: rows of later ones are read from the log and
added; one that is missing, changed or damaged, or of another log, is built again from all rows of the day. Each ingest
writes its entries before its commit and names them in the state after it, so that a process killed between the two has
an index that is behind, never one that is ahead. `_keys` may be removed at any time.

Runs are kept few by merging: as soon as eight are of one size class, they become one. So an entry is written again
with each eightfold growth of its day only.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from billing.events.coded_texts import NOT_CODED, Values, looked_up
from billing.events.commits import Commit
from billing.events.durable_files import replace_file, sync
from billing.events.key_runs import ASSUMED, RETRACTION, FreshRuns, Numbers, Run, checks_of, folded, write_merged
from billing.events.keys import CODE_BITS, event_keys, text_hashes
from billing.events.log import EventLog
from billing.events.retractions import RETRACTS
from billing.events.schema import (
    ASSUMED_COLUMNS,
    BILLED_COLUMNS,
    CONNECTION_KEYS_SCHEMA,
    KEYS_SCHEMA,
    SIZE_AND_TYPE,
)

DIRECTORY = "_keys"
ALIKE = 8  # so many runs of one size class are merged
ROWS_AT_ONCE = 1_000_000  # read from the log
_STATE = "state.json"
_FORMAT = 1
_COLUMNS = ("event_id", *BILLED_COLUMNS, "assumed", RETRACTS)
_KEYS = [name for name in (*KEYS_SCHEMA, *CONNECTION_KEYS_SCHEMA) if name != SIZE_AND_TYPE]
_OTHERS = ("at", "seq", "width", "height", "receives", "assumed")
_CODES = 2**CODE_BITS - 1


class _File(NamedTuple):
    """A file of a run, as it was when it was written."""

    name: str
    entries: int
    changed_ns: int


@dataclass(slots=True, kw_only=True)
class DayKeys:
    """The keys of a day: `stored` by the log, and `fresh` ones of the ingest that is going on."""

    directory: Path
    stored: list[Run]
    fresh: FreshRuns
    _last: int = 0  # the ingest that all runs cover, but for what was added
    _has_new: bool = False
    _files: list[_File] = field(default_factory=list)

    @classmethod
    def of(cls, log: EventLog, day: date, last: Commit | None, spare: Path) -> "DayKeys":
        """The keys that the log holds of a day, with `last` its last ingest; large fresh runs are kept in `spare`."""
        directory = log.directory / DIRECTORY / day.isoformat()
        keys = cls(directory=directory, stored=[], fresh=FreshRuns(directory=spare))
        covered = keys._read(log)
        if last and covered < last.ingest_id:
            keys._catch_up(log, day, covered)
        keys._last = last.ingest_id if last else 0
        return keys

    @property
    def runs(self) -> Sequence[Run]:
        """All runs."""
        return *self.stored, *self.fresh.runs

    def add(self, run: Run) -> None:
        """Adds the keys of new events."""
        self.fresh.add(run)
        self._has_new = True

    def write(self) -> None:
        """Writes the fresh runs to the disk; `name` makes them part of the index."""
        if not self.fresh.runs:
            return
        ingest_id = self._last + self._has_new
        self.directory.mkdir(parents=True, exist_ok=True)
        known = {file.name for file in self._files}
        for path in self.directory.iterdir():
            if path.name != _STATE and path.name not in known:
                path.unlink()
        self._add(self.fresh.runs, f"{ingest_id:010d}-0")
        self.fresh.runs = []
        self._merge_alike(ingest_id)

    def name(self, commit: Commit) -> None:
        """Names the files that were written as the keys of the log at this commit, and removes the others."""
        state = {"format": _FORMAT, "ingest_id": commit.ingest_id, "identity": commit.identity, "files": self._files}
        replace_file(self.directory / _STATE, json.dumps(state).encode(), self.directory)
        known = {file.name for file in self._files}
        for path in self.directory.glob("*.keys"):
            if path.name not in known:
                path.unlink()

    def _add(self, runs: Sequence[Run], name: str) -> None:
        path = self.directory / f"{name}.keys"
        run = write_merged(runs, path)
        sync(path, self.directory)
        self.stored.append(run)
        self._files.append(_File(path.name, len(run), path.stat().st_mtime_ns))

    def _merge_alike(self, ingest_id: int) -> None:
        for number in range(1, 64):
            classes = [_size_class(len(run)) for run in self.stored]
            alike = next((size for size in sorted(set(classes)) if classes.count(size) >= ALIKE), None)
            if alike is None:
                return
            alike_runs = [run for run, size in zip(self.stored, classes, strict=True) if size == alike]
            kept = [place for place, size in enumerate(classes) if size != alike]
            self.stored, self._files = [self.stored[place] for place in kept], [self._files[place] for place in kept]
            self._add(alike_runs, f"{ingest_id:010d}-{number}")

    def _read(self, log: EventLog) -> int:
        """Opens the files that the state names; the last ingest that they cover, 0 where they are of no use."""
        try:
            state = json.loads((self.directory / _STATE).read_bytes())
            files = [_File(*file) for file in state["files"]]
            usable = (
                state["format"] == _FORMAT
                and log.commit_identity(int(state["ingest_id"])) == state["identity"]
                and all(_is_whole(self.directory / file.name, file) for file in files)
            )
            if usable:
                self._files = files
                self.stored = [Run.in_file(self.directory / file.name, file.entries) for file in files]
                return int(state["ingest_id"])
        except (OSError, ValueError, TypeError, LookupError):
            pass
        shutil.rmtree(self.directory, ignore_errors=True)
        return 0

    def _catch_up(self, log: EventLog, day: date, covered: int) -> None:
        """Adds the rows of ingests after `covered`, from the log."""
        for rows in log.rows_of(day, after=covered, columns=_COLUMNS, at_once=ROWS_AT_ONCE):
            self.fresh.add(Run.of(*entries(rows, event_keys(rows))))


def entries(rows: pl.DataFrame, keys: pl.DataFrame, values: Values = NOT_CODED) -> tuple[Numbers, Numbers]:
    """Hash and check of each row: of events, or of rows of the log with `retracts`; `keys` are their event keys. Texts
    may be coded, with these `values`."""
    hashes, key_checks = text_hashes(rows["event_id"], rows["app_id"].to_numpy().astype(np.uint64))
    code = (keys[SIZE_AND_TYPE] & _CODES).to_frame()
    kinds = {kind: _assumes(rows, values, kind) for kind in ASSUMED_COLUMNS}
    content = keys.select(_KEYS).hstack(code).hstack(_compared(rows, values, kinds))
    checks = checks_of(key_checks, folded(map(_numbers, content), rows.height))
    if rows["assumed"].null_count() < rows.height:
        checks |= rows["assumed"].is_not_null().to_numpy() * ASSUMED
    if RETRACTS in rows.columns:
        checks |= (rows[RETRACTS] > 0).fill_null(value=False).to_numpy() * RETRACTION
    return hashes, checks


def _compared(rows: pl.DataFrame, values: Values, kinds: Mapping[str, pl.Series]) -> pl.DataFrame:
    """Numbers that stand for what is compared: null where it is absent or was assumed; and what was assumed."""
    receives = looked_up(rows, values, "receives", pl.col("receives") == "all")
    numbers = rows.select(*_OTHERS).with_columns(receives=receives)
    for kind, columns in ASSUMED_COLUMNS.items():
        if kinds[kind].any():
            numbers = numbers.with_columns(pl.when(~pl.lit(kinds[kind])).then(pl.col(columns)))
    assumed = sum(assumes.cast(pl.Int64) * 2**place for place, assumes in enumerate(kinds.values()))
    return numbers.with_columns(pl.Series("assumed", assumed))


def _assumes(rows: pl.DataFrame, values: Values, kind: str) -> pl.Series:
    """Whether each row says that its source assumed something of this kind."""
    return looked_up(rows, values, "assumed", pl.col("assumed").str.contains(kind)).fill_null(value=False)


def _numbers(column: pl.Series) -> Numbers:
    return column.cast(pl.Int64).fill_null(-1).to_numpy().view(np.uint64)


def discard_unfinished(log: EventLog) -> None:
    """Removes what a process has left behind that was killed while it replaced a state."""
    for path in (log.directory / DIRECTORY).glob("*/*.new"):
        path.unlink()


def _size_class(entries: int) -> int:
    """Runs of the same class differ less than eightfold."""
    return entries.bit_length() // 3


def _is_whole(path: Path, file: _File) -> bool:
    status = path.stat()
    return status.st_size == 16 * file.entries and status.st_mtime_ns == file.changed_ns
