"""Day files: the data files of one ingest, written piece by piece, for each UTC day and each range of its rooms.

A day of which about R million events are expected gets 1, 2, 4 … 64 files, at most R, each for an equal range of room
keys. Each piece is sorted by room, and so is the part of a file that comes of it. At most 500 files are open at once:
before another one, the oldest is closed, and what comes later for its rooms goes into a new file.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from itertools import count, pairwise

import numpy as np
import polars as pl

from billing.events.data_files import DataFile, DataFileWriter
from billing.events.log import MOST_RANGES, ROWS_PER_RANGE, EventLog

MOST_OPEN = 500

_LIMITS = np.array([-(2**63) + number * (2**64 // MOST_RANGES) for number in range(1, MOST_RANGES)], np.int64)


@dataclass(slots=True, kw_only=True)
class DayFiles:
    """The files of the ingest `ingest_id`; `close` gives those that were written, for the commit."""

    log: EventLog
    ingest_id: int
    _ranges: dict[date, int] = field(default_factory=dict)
    _open: dict[tuple[date, int], DataFileWriter] = field(default_factory=dict)
    _written: list[DataFile] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=count)

    def write(self, day: date, events: pl.DataFrame, *, expected: int) -> None:
        """Writes events of a day with their keys, sorted by room; `expected`: how many the day will get in all."""
        if day not in self._ranges:
            pieces = max(1, expected // ROWS_PER_RANGE)
            self._ranges[day] = min(MOST_RANGES, 1 << (pieces.bit_length() - 1))
        step = MOST_RANGES // self._ranges[day]
        edges = [0, *np.searchsorted(events["room_key"].to_numpy(), _LIMITS[step - 1 :: step]), events.height]
        for number, (first, after) in enumerate(pairwise(edges)):
            if first < after:
                self._writer(day, number).write(self.log.rows(events[first:after], ingest_id=self.ingest_id))

    def close(self) -> list[DataFile]:
        """Closes what is open; all files, by day and room."""
        for place in list(self._open):
            self._close(place)
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
            self._open[day, number] = self.log.writer(day, ingest_id=self.ingest_id, number=next(self._numbers))
        return self._open[day, number]

    def _close(self, place: tuple[date, int]) -> None:
        self._written.append(self._open.pop(place).close())
