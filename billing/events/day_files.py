"""Day files: the data files of one commit, written piece by piece, for each UTC day and each range of its rooms.

A day of which about R million events are expected gets 1, 2, 4 … 64 files, at most R, each for an equal range of room
keys. Each piece is sorted by room, and so is the part of a file that comes of it. At most 500 files are open at once:
before another one, the oldest is closed, and what comes later for its rooms goes into a new file.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date
from itertools import count, pairwise

import numpy as np
import polars as pl
from numpy.typing import NDArray

from billing.events.coded_texts import NOT_CODED, Values
from billing.events.data_files import DataFile, DataFileWriter, file_path
from billing.events.key_runs import Places, sorted_places
from billing.events.log import MOST_RANGES, ROWS_PER_RANGE, EventLog

MOST_OPEN = 500

_LIMITS = np.array([-(2**63) + number * (2**64 // MOST_RANGES) for number in range(1, MOST_RANGES)], np.int64)


@dataclass(slots=True, kw_only=True)
class DayFiles:
    """The files of a commit to a log, whose names begin with `name`; `close` gives those that were written."""

    log: EventLog
    name: str
    _ranges: dict[date, int] = field(default_factory=dict)
    _open: dict[tuple[date, int], DataFileWriter] = field(default_factory=dict)
    _written: list[DataFile] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=count)

    def write(self, day: date, rows: pl.DataFrame, values: Values = NOT_CODED, *, expected: int) -> None:
        """Writes rows of a day, sorted by room; texts may be coded. `expected`: how many rows the day will get."""
        if day not in self._ranges:
            self._ranges[day] = ranges_of(expected)
        step = MOST_RANGES // self._ranges[day]
        edges = [0, *np.searchsorted(rows["room_key"].to_numpy(), _LIMITS[step - 1 :: step]), rows.height]
        for number, (first, after) in enumerate(pairwise(edges)):
            if first < after:
                self._writer(day, number).write(rows[first:after], values)

    def close(self) -> list[DataFile]:
        """Closes what is open, also where one fails to; all files, by day and room."""
        with ExitStack() as closing:
            for place in reversed(self._open):
                closing.callback(self._close, place)
        return sorted(self._written, key=lambda file: file.path)

    def remove(self) -> None:
        """Removes all files."""
        for file in self._written:
            (self.log.directory / file.path).unlink(missing_ok=True)

    def _writer(self, day: date, number: int) -> DataFileWriter:
        if (day, number) not in self._open:
            if not self._written and not self._open:
                self.log.create()
            while len(self._open) >= MOST_OPEN:
                self._close(next(iter(self._open)))
            path = file_path(day, self.name, next(self._numbers))
            self._open[day, number] = DataFileWriter(self.log.directory, path, day)
        return self._open[day, number]

    def _close(self, place: tuple[date, int]) -> None:
        self._written.append(self._open.pop(place).close())


def order_by_room(room_keys: NDArray[np.int64]) -> Places:
    """The places of rows in the order of their rooms."""
    # With its first bit turned round, a signed number is in the same order as an unsigned one.
    return sorted_places(room_keys.view(np.uint64) ^ np.uint64(1 << 63))


def gathered(rows: pl.DataFrame, places: NDArray[np.integer]) -> pl.DataFrame:
    """The rows at these places. Column after column: polars' plan for all of them takes as long again."""
    there = pl.lit(pl.Series(places.astype(np.uint32)))
    return rows.select_seq(
        pl.lit(None, column.dtype).alias(column.name)
        if column.null_count() == rows.height > 0
        else pl.col(column.name).gather(there)
        for column in rows
    )


def ranges_of(rows: int) -> int:
    """Into how many ranges of rooms so many rows of a day are divided."""
    pieces = max(1, rows // ROWS_PER_RANGE)
    return min(MOST_RANGES, 1 << (pieces.bit_length() - 1))
