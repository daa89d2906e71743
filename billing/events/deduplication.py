"""Deduplication: which accepted rows of an ingest are new events, which are duplicates, and which are conflicts.

Until the whole file is read, its rows are kept on disk in parts of at most about 500,000 rows, each split by UTC day
and sorted by room. Then the rows of each day are compared with each other and with the log. Rows with the same key
(app, UTC day, event id) are the same event. The first one stands: the one in the log, else the one with the lowest row
number. Another row with the same billed columns is a duplicate; a row with different ones is a conflict. What a source
assumed, in one row or the other, is not compared.

The new events of a day are written to files of the log that each hold one of 1, 2, 4 … 64 equal ranges of room keys.

Keys are compared by a 64-bit hash first, and by their texts where hashes are equal.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from functools import partial
from itertools import count
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from billing.events.data_files import DAY_MS, DataFile, day_of, keyed
from billing.events.log import MOST_RANGES, ROWS_PER_RANGE, EventLog
from billing.events.schema import ASSUMED_COLUMNS, BILLED_COLUMNS, EVENT_SCHEMA

PART_ROWS = 500_000
PART_BYTES = 128 << 20
PIECE_BYTES = 384 << 20  # twice what a million usual events take
FILES_AT_ONCE = 2
KEYS_AT_ONCE = 16_000_000  # hashes compared at once: 16 bytes each
SUSPECTS_AT_ONCE = 2_000_000  # rows compared at once, with their texts

_LIMITS = np.array([-(2**63) + number * (2**64 // MOST_RANGES) for number in range(1, MOST_RANGES)], np.int64)
_KEY = ["app_id", "event_id"]
_COMPARED = [name for name in BILLED_COLUMNS if name not in _KEY]


_Written = TypeVar("_Written")


class _Segment(NamedTuple):
    """The rows of one day of a part: a file sorted by room key. `bounds`: the first row of each range of room keys, and
    the number of rows."""

    path: Path
    bounds: NDArray[np.int64]

    @property
    def rows(self) -> int:
        return int(self.bounds[-1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Deduplicated:
    """The result of an ingest: the files to commit and the counts of rows. `conflicts` are row numbers."""

    ingest_id: int
    files: list[DataFile]
    accepted: int
    duplicates: int
    conflicts: pl.Series


class Deduplication:
    """Takes the accepted rows of the ingest `ingest_id`. They are held in `directory`, which must be empty and
    which the caller removes after `close`."""

    def __init__(self, log: EventLog, directory: Path, ingest_id: int) -> None:
        self._log = log
        self._directory = directory
        self._ingest_id = ingest_id
        self._held: list[pl.DataFrame] = []
        self._held_rows = self._held_bytes = self._last_row = 0
        self._parts = 0
        self._segments: dict[date, list[_Segment]] = defaultdict(list)
        self._part_writer = _Writers[None](1)

    def close(self) -> None:
        """Waits until the files in progress are written."""
        self._part_writer.close()

    def add(self, rows: pl.DataFrame) -> None:
        """Takes rows with the columns `row` (rising), `line` and those of `EVENT_SCHEMA`."""
        if rows.is_empty():
            return
        self._held.append(rows)
        self._held_rows += rows.height
        self._held_bytes += int(rows.estimated_size())
        if self._held_rows >= PART_ROWS or self._held_bytes >= PART_BYTES:
            self._store()

    def finish(self) -> Deduplicated:
        """Writes the new events to the log's directory; the caller commits them."""
        self._store()
        self._part_writer.results()
        if self._segments:
            self._log.create()
        duplicates = 0
        conflicts = pl.Series("row", [], dtype=pl.Int64)
        numbers = count()
        with closing(_Writers[DataFile](FILES_AT_ONCE)) as writers:
            for day in sorted(self._segments):
                with self._log.naming_damage():
                    repeats = self._repeats(day)
                duplicates += repeats.height - int(repeats["conflict"].sum())
                conflicts.append(repeats.filter("conflict")["row"])
                for events in self._new_events(day, repeats["row"]):
                    number = next(numbers)
                    writers.begin(partial(self._log.write, events, day, ingest_id=self._ingest_id, number=number))
            files = writers.results()
        return Deduplicated(
            ingest_id=self._ingest_id,
            files=files,
            accepted=sum(file.rows for file in files),
            duplicates=duplicates,
            conflicts=conflicts.sort(),
        )

    def _store(self) -> None:
        """Starts to write a part, once the part before is written."""
        if not self._held:
            return
        rows = keyed(pl.concat(self._held)).with_columns(key=_key_hash())
        self._last_row = self._held[-1]["row"][-1]
        self._held, self._held_rows, self._held_bytes = [], 0, 0
        self._part_writer.begin(partial(self._write, rows))

    def _write(self, rows: pl.DataFrame) -> None:
        """Writes a part: a file for each day."""
        days = rows["at"] // DAY_MS
        one_day = days.min() == days.max()
        # Most parts have one day only; then nothing is copied.
        for of_day in [rows] if one_day else rows.with_columns(day=days).partition_by("day", include_key=False):
            path = self._directory / f"{self._parts:06d}.arrow"
            in_order = of_day.sort("room_key", maintain_order=True)
            in_order.write_ipc(path)
            limits = np.searchsorted(in_order["room_key"].to_numpy(), _LIMITS)
            bounds = np.concatenate([[0], limits, [in_order.height]])
            self._segments[day_of(in_order["at"][0])].append(_Segment(path, bounds))
            self._parts += 1

    def _new_rows(self, day: date) -> pl.LazyFrame:
        """The rows of a day, with `row` and `key`."""
        return pl.concat([_rows(segment).lazy() for segment in self._segments[day]])

    def _known(self, day: date) -> pl.LazyFrame:
        """The log's events of a day in the same columns, with row number 0: they stand before all new rows."""
        events = self._log.scan_day(day)
        return events.select(*EVENT_SCHEMA, "line", row=pl.lit(0, pl.Int64)).with_columns(key=_key_hash())

    def _repeats(self, day: date) -> pl.DataFrame:
        """Rows that are not the first with their key: `row`, `conflict`."""
        known = self._known(day)
        known_rows = known.select(pl.len()).collect().item()
        rounds = 1 + (known_rows + sum(segment.rows for segment in self._segments[day])) // KEYS_AT_ONCE
        found = [pl.DataFrame(schema={"row": pl.Int64, "conflict": pl.Boolean})]
        for share in range(rounds):
            suspects = _suspects(self._new_rows(day), known, pl.col("key") % rounds == share)
            found.extend(_compared(self._new_rows(day), known, some) for some in _slices(suspects, SUSPECTS_AT_ONCE))
        return pl.concat(found)

    def _new_events(self, day: date, repeats: pl.Series) -> Iterator[pl.DataFrame]:
        """The rows of a day that are not `repeats`, one range of room keys at a time."""
        segments = self._segments[day]
        is_new = np.ones(self._last_row + 1, np.bool_)
        is_new[repeats.to_numpy()] = False
        pieces = sum(segment.rows for segment in segments) // ROWS_PER_RANGE
        step = MOST_RANGES >> min(max(0, pieces.bit_length() - 1), MOST_RANGES.bit_length() - 1)
        for first in range(0, MOST_RANGES, step):
            yield from _pieces(_new_of(segment, is_new, first, first + step) for segment in segments)


class _Writers(Generic[_Written]):
    """Writes files in the background, `at_once` at a time: half of the work on a file uses one processor only."""

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._pool = ThreadPoolExecutor(at_once)
        self._begun: list[Future[_Written]] = []

    def begin(self, write: Callable[[], _Written]) -> None:
        """Starts to write the next file; waits while `at_once` others are being written."""
        if len(self._begun) >= self._at_once:
            self._begun[-self._at_once].result()
        self._begun.append(self._pool.submit(write))

    def results(self) -> list[_Written]:
        """The results of all files, once they are written."""
        return [begun.result() for begun in self._begun]

    def close(self) -> None:
        """Waits until the files in progress are written."""
        self._pool.shutdown(cancel_futures=True)


def _rows(segment: _Segment, first: int = 0, after: int = MOST_RANGES) -> pl.DataFrame:
    """The rows of a segment, or of some of its ranges of rooms, mapped into memory."""
    begin, end = (int(segment.bounds[place]) for place in (first, after))
    with pa.memory_map(str(segment.path)) as part:
        rows = pl.from_arrow(pa.ipc.open_file(part).read_all().slice(begin, end - begin))
    assert isinstance(rows, pl.DataFrame)  # noqa: S101 - a table becomes a frame
    return rows


def _new_of(segment: _Segment, is_new: NDArray[np.bool_], first: int, after: int) -> pl.DataFrame:
    """The rows of some of the ranges of rooms of a segment that are new."""
    rows = _rows(segment, first, after)
    return rows.filter(pl.Series(is_new[rows["row"].to_numpy()]))


def _pieces(frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """The same rows as one frame, or as several where their texts are large."""
    held: list[pl.DataFrame] = []
    held_bytes = 0
    for frame in frames:
        if held and held_bytes + frame.estimated_size() > PIECE_BYTES:
            yield pl.concat(held)
            held, held_bytes = [], 0
        if frame.height:
            held.append(frame)
            held_bytes += int(frame.estimated_size())
    if held:
        yield pl.concat(held)


def _key_hash() -> pl.Expr:
    return pl.col("event_id").hash(1) ^ pl.col("app_id").hash(2)


def _suspects(new: pl.LazyFrame, known: pl.LazyFrame, share: pl.Expr) -> pl.Series:
    """The hashes, of those in this share, that more than one row has."""
    # To sort takes a quarter of the time that a table of all keys takes.
    keys = new.select("key").filter(share).collect()["key"].sort()
    repeated = keys.filter(keys == keys.shift()).unique()
    known_keys = known.select("key").filter(share).collect(engine="streaming")["key"]
    return pl.concat([repeated, keys.filter(keys.is_in(known_keys.implode()))]).unique()


def _slices(suspects: pl.Series, length: int) -> Iterator[pl.Series]:
    for offset in range(0, len(suspects), length):
        yield suspects.slice(offset, length)


def _compared(new: pl.LazyFrame, known: pl.LazyFrame, suspects: pl.Series) -> pl.DataFrame:
    """Of the rows with these hashes, those that are not the first with their key: `row`, `conflict`."""
    columns = ["row", *_KEY, *_COMPARED, "assumed"]
    rows = pl.concat(
        [
            side.filter(pl.col("key").is_in(suspects.implode())).select(columns).collect(engine="streaming")
            for side in (known, new)
        ]
    ).sort("row")
    first = rows.unique(_KEY, keep="first", maintain_order=True)
    pairs = rows.join(first, on=_KEY, suffix="_first").filter(pl.col("row") != pl.col("row_first"))
    same = pl.all_horizontal(_is_same(name) for name in _COMPARED)
    return pairs.select("row", conflict=~same)


def _is_same(name: str) -> pl.Expr:
    """Whether a column of a row is that of the first with its key, or was assumed."""
    same = pl.col(name).eq_missing(pl.col(f"{name}_first"))
    named = [kind for kind, columns in ASSUMED_COLUMNS.items() if name in columns]
    assumed = (
        pl.col(f"assumed{side}").str.contains(kind).fill_null(value=False) for side in ("", "_first") for kind in named
    )
    return pl.any_horizontal(same, *assumed)
