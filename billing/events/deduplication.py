"""Deduplication: which accepted rows of an ingest are new events, which are duplicates, and which are conflicts.

Rows with the same key (app, UTC day, event id) are the same event. The first one stands: the one in the log, else the
one with the lowest row number. Another row with the same billed columns is a duplicate; a row with different ones is a
conflict. What a source assumed, in one row or the other, is not compared.

Rows go through once, in parts of about 250,000. The keys of a part are looked up in the key index of their day and
among the parts before it; the new events are sorted by room and written to files of the log that each hold one of 1, 2,
4 … 64 equal ranges of room keys. So an ingest costs what arrives, whatever the day holds already.
"""

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

from billing.events.coded_texts import NOT_CODED, CodedRows, Values, joined
from billing.events.commits import Commit
from billing.events.data_files import DAY_MS, DataFile, day_of
from billing.events.day_files import DayFiles, gathered, order_by_room
from billing.events.key_index import DayKeys, entries
from billing.events.key_runs import CONFLICT, DOUBTFUL, DUPLICATE, NEW, Run, judged, sorted_places
from billing.events.keys import event_keys
from billing.events.log import EventLog
from billing.events.schema import ASSUMED_COLUMNS, BILLED_COLUMNS

PART_ROWS = 250_000
PART_BYTES = 128 << 20

_KEY = ["app_id", "event_id"]
_COMPARED = [name for name in BILLED_COLUMNS if name not in _KEY]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deduplicated:
    """The result of an ingest: the files to commit and the counts of rows. `conflicts` are row numbers, and so are
    `duplicate_rows`, if they were to be kept."""

    ingest_id: int
    files: list[DataFile]
    accepted: int
    duplicates: int
    conflicts: pl.Series
    duplicate_rows: pl.Series


class Deduplication:
    """Takes the accepted rows of the ingest that follows the last one of the log.

    `directory` must be empty, and the caller removes it after `close`. `keeps_duplicates`: their row numbers are told.
    """

    def __init__(self, log: EventLog, directory: Path, *, keeps_duplicates: bool = False) -> None:
        self._log = log
        self._directory = directory
        self._share_read = 1.0
        self._last = log.last_commit()
        self._ingest_id = log.last_ingest_id() + 1
        self._held: list[CodedRows] = []
        self._held_rows = self._held_bytes = 0
        self._keys: dict[date, DayKeys] = {}
        self._files = DayFiles(log=log, name=f"{self._ingest_id:010d}")
        self._duplicates = 0
        self._keeps_duplicates = keeps_duplicates
        self._duplicate_rows: list[pl.Series] = [pl.Series("row", [], dtype=pl.Int64)]
        self._conflicts: list[pl.Series] = [pl.Series("row", [], dtype=pl.Int64)]
        self._taken_back: list[pl.DataFrame] = []
        self._doubtful: list[tuple[date, Path]] = []
        self._pool = ThreadPoolExecutor(1)
        self._part: Future[None] | None = None

    def close(self) -> None:
        """Waits for the part in progress, and removes what was written and not committed."""
        self._pool.shutdown(cancel_futures=True)
        self._files.close()
        if self._log.last_ingest_id() < self._ingest_id:
            self._files.remove()

    def add(self, rows: pl.DataFrame, values: Values = NOT_CODED, *, share_read: float = 1.0) -> None:
        """Takes rows with the columns `row` (rising), `line` and those of `EVENT_SCHEMA`, in which texts may be coded.

        `share_read`: how much of the file was read with them, for how many files are worth it.
        """
        self._share_read = max(share_read, 1e-9)
        if rows.is_empty():
            return
        self._held.append(CodedRows.of(rows, values))
        self._held_rows += rows.height
        self._held_bytes += int(rows.estimated_size())
        if self._held_rows >= PART_ROWS or self._held_bytes >= PART_BYTES:
            self._begin_part()

    def take_back(self, rows: Iterable[pl.DataFrame]) -> None:
        """Frees the keys of events that this ingest retracts: rows with `RETRACTS`."""
        self._taken_back.extend(rows)

    def finish(self) -> Deduplicated:
        """Writes the rest of the events to the log's directory, and their keys; the caller commits them."""
        self._begin_part()
        self._end_part()
        for rows in self._taken_back:
            for day, of_day in _by_day(rows):
                self._keys_of(day).add(Run.of(*entries(of_day, event_keys(of_day))))
        files = self._files.close()
        for day, part in self._doubtful:
            self._settle_doubts(day, pl.read_ipc(part), [file.path for file in files])
        for keys in self._keys.values():
            keys.write()
        return Deduplicated(
            ingest_id=self._ingest_id,
            files=files,
            accepted=sum(file.rows for file in files),
            duplicates=self._duplicates,
            conflicts=pl.concat(self._conflicts).sort(),
            duplicate_rows=pl.concat(self._duplicate_rows).sort(),
        )

    def committed(self, commit: Commit | None) -> None:
        """Names the keys that were written as those of the log at this commit; None: nothing was to be committed."""
        named = commit or self._last
        for keys in self._keys.values():
            if named:
                keys.name(named)

    def _begin_part(self) -> None:
        """Starts to work on the rows that are held, once the part before is done."""
        self._end_part()
        if self._held:
            rows, self._held, self._held_rows, self._held_bytes = self._held, [], 0, 0
            self._part = self._pool.submit(partial(self._take, rows, self._share_read))

    def _end_part(self) -> None:
        if self._part:
            self._part.result()
            self._part = None

    def _take(self, held: list[CodedRows], share_read: float) -> None:
        """Compares the rows of a part and writes those that are new."""
        part = joined(held)
        held.clear()
        for day, of_day in _by_day(part.frame):
            new = self._new(day, of_day, part.values)
            if new.height:
                log_rows = self._log.rows(new, ingest_id=self._ingest_id)
                self._files.write(day, log_rows, part.values, expected=round(new.height / share_read))

    def _new(self, day: date, rows: pl.DataFrame, values: Values) -> pl.DataFrame:
        """The new events of a day with their keys, in the order of rooms."""
        keys = event_keys(rows, values)
        hashes, checks = entries(rows, keys, values)
        order = sorted_places(hashes)
        run = Run(hashes=hashes[order], checks=checks[order])
        held = self._keys_of(day)
        verdicts = judged(held.runs, run, order)
        is_new = verdicts == NEW
        self._count_duplicates(rows["row"], pl.Series(verdicts == DUPLICATE))
        self._conflicts.append(rows["row"].filter(pl.Series(verdicts == CONFLICT)))
        is_doubtful = pl.Series(verdicts == DOUBTFUL)
        if is_doubtful.any():
            part = self._directory / f"{len(self._doubtful):06d}.arrow"
            doubtful = rows.filter(is_doubtful).select("row", *_KEY, *_COMPARED, "assumed")
            CodedRows(frame=doubtful, values=values).decoded().write_ipc(part)
            self._doubtful.append((day, part))
        if is_new.any():
            kept = is_new[order]
            held.add(Run(hashes=run.hashes[kept], checks=run.checks[kept]))
        places = np.flatnonzero(is_new)
        in_order = places[order_by_room(keys["room_key"].to_numpy()[places])]
        return gathered(rows.drop("row").hstack(keys), in_order)

    def _settle_doubts(self, day: date, rows: pl.DataFrame, files: list[str]) -> None:
        """Tells duplicates from conflicts by comparing columns with the events that hold the keys."""
        with self._log.naming_damage():
            holders = self._log.standing_of(day, rows.select(_KEY), files)
        pairs = rows.join(holders, on=_KEY, suffix="_first")
        is_same = pairs.select(pl.all_horizontal(_is_same(name) for name in _COMPARED)).to_series()
        self._count_duplicates(pairs["row"], is_same)
        self._conflicts.append(pairs["row"].filter(~is_same))

    def _count_duplicates(self, rows: pl.Series, is_duplicate: pl.Series) -> None:
        self._duplicates += int(is_duplicate.sum())
        if self._keeps_duplicates:
            self._duplicate_rows.append(rows.filter(is_duplicate))

    def _keys_of(self, day: date) -> DayKeys:
        if day not in self._keys:
            spare = self._directory / day.isoformat()
            spare.mkdir()
            with self._log.naming_damage():
                self._keys[day] = DayKeys.of(self._log, day, self._last, spare)
        return self._keys[day]


def _is_same(name: str) -> pl.Expr:
    """Whether a column of a row is that of the first with its key, or was assumed."""
    same = pl.col(name).eq_missing(pl.col(f"{name}_first"))
    named = [kind for kind, columns in ASSUMED_COLUMNS.items() if name in columns]
    assumed = (
        pl.col(f"assumed{side}").str.contains(kind).fill_null(value=False) for side in ("", "_first") for kind in named
    )
    return pl.any_horizontal(same, *assumed)


def _by_day(rows: pl.DataFrame) -> Iterator[tuple[date, pl.DataFrame]]:
    """The rows of each UTC day. Most parts have one day only; then nothing is copied."""
    days = rows["at"] // DAY_MS
    one_day = days.min() == days.max()
    for of_day in [rows] if one_day else rows.with_columns(day=days).partition_by("day", include_key=False):
        yield day_of(of_day["at"][0]), of_day
