"""Segments: the files of the spool, in which what was taken in waits for the ingest.

    spool/events-20261127T170651123-0001.ndjson.open       is written to
    spool/events-20261127T170651123-0001.ndjson            is sealed: complete, and waits for the drainer
    spool/livekit-1400000001-20261127T170651123-0001.ndjson    frames of the callbacks of one app

A name says what the lines are (a feed) and when the segment was begun, in UTC by the machine's clock. One line is one
row: none is blank.
"""

import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from billing.events.durable_files import sync

OPEN = ".open"
SEALED = ".ndjson"

_NAME = re.compile(r"(?P<source>[a-z]+)(?:-(?P<app>\d+))?-(?P<stamp>\d{8}T\d{9}-\d{4,})\.ndjson", re.ASCII)
_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """What the lines of a segment are: events (without an app), or what a media server called back for an app."""

    source: str
    app_id: int | None = None

    @property
    def name(self) -> str:
        """What the names of its segments begin with."""
        return self.source if self.app_id is None else f"{self.source}-{self.app_id}"


EVENTS = Feed(source="events")


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentName:
    """What the name of a segment says. `stamp`: the time of its beginning and a number, such as
    `20261127T170651123-0001`."""

    feed: Feed
    stamp: str

    @classmethod
    def of(cls, name: str) -> "SegmentName | None":
        """The parts of a sealed segment's name; None if it is another file's."""
        match = _NAME.fullmatch(name)
        if match is None:
            return None
        app = match["app"]
        return cls(feed=Feed(source=match["source"], app_id=None if app is None else int(app)), stamp=match["stamp"])

    def __str__(self) -> str:
        return f"{self.feed.name}-{self.stamp}{SEALED}"

    @property
    def begun_at(self) -> float:
        """When it was begun, in epoch seconds."""
        text = self.stamp.partition("-")[0]
        return datetime.strptime(f"{text}000+0000", "%Y%m%dT%H%M%S%f%z").timestamp()


def stamp(now: float, number: int) -> str:
    """The stamp of the segment with this number of a process, begun at epoch second `now`.

    Example: `stamp(0.0625, 1)` is `19700101T000000062-0001`.
    """
    return f"{datetime.fromtimestamp(now, UTC):%Y%m%dT%H%M%S%f}"[:-3] + f"-{number:04d}"


class OpenSegment:
    """A segment that is written to: `size` bytes and `rows` of it are on the disk."""

    def __init__(self, directory: Path, name: SegmentName) -> None:
        self.name = name
        self.size = self.rows = 0
        self._is_clean = True
        self._path = directory / f"{name}{OPEN}"
        self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        sync(directory, directory)

    def append(self, content: bytes, rows: int) -> None:
        """Adds whole lines, and waits until they are on the disk. An `OSError` if they are not: then none of them is
        in the segment when it is sealed."""
        self._clean()
        self._is_clean = False
        done = 0
        while done < len(content):
            done += os.write(self._file, memoryview(content)[done:])
        os.fdatasync(self._file)
        self._is_clean = True
        self.size += len(content)
        self.rows += rows

    def seal(self) -> None:
        """Closes it under its final name, or removes it if it holds nothing."""
        self._clean()
        give_final_name(self._path, self.size)
        os.close(self._file)

    def _clean(self) -> None:
        """Cuts off what is not known to be on the disk."""
        if not self._is_clean:
            os.ftruncate(self._file, self.size)
            os.fdatasync(self._file)
            self._is_clean = True


def give_final_name(path: Path, size: int) -> None:
    """Seals an open segment of `size` bytes; one without any is removed."""
    if size:
        path.rename(path.with_name(path.name.removesuffix(OPEN)))
    else:
        path.unlink()


def recover(directory: Path) -> None:
    """Seals the segments that a process left open. What comes after the last LF was not acknowledged, and is cut."""
    for path in sorted(directory.glob(f"*{SEALED}{OPEN}")):
        with path.open("r+b") as file:
            size = _end_of_last_line(file.fileno())
            file.truncate(size)
            os.fsync(file.fileno())
        give_final_name(path, size)


def count_rows(path: Path) -> int:
    """How many lines a sealed segment has."""
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(_BLOCK_BYTES), b""))


def _end_of_last_line(file: int) -> int:
    end = os.fstat(file).st_size
    while end:
        start = max(0, end - _BLOCK_BYTES)
        place = os.pread(file, end - start, start).rfind(b"\n")
        if place >= 0:
            return start + place + 1
        end = start
    return 0
