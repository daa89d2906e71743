"""The spool: what was taken in is on the disk before it is acknowledged, and waits there for the ingest.

Whoever takes something in adds an entry and is told when it is durable. One thread writes: all that has come in the
meantime goes to the disk with one `fdatasync` for each segment. A segment is sealed at 32 MiB, or 60 seconds after it
was begun, or soon when somebody waits for its ingest.

Nothing is taken when 32 MiB wait for the disk, when 4 GiB wait for the ingest, or when the disk is nearly full.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from billing.errors import BillingError
from billing.web.segments import OPEN, Feed, OpenSegment, SegmentName, count_rows, recover, stamp

SEGMENT_BYTES = 32 << 20
SEGMENT_SECONDS = 60.0
WAITING_BYTES = 32 << 20
BACKLOG_BYTES = 4 << 30
FREE_BYTES = 256 << 20
_TICK_SECONDS = 1.0

_log = logging.getLogger(__name__)


class FullError(Exception):
    """Nothing is taken now: the message says why, and `retry_seconds` when it may go again."""

    def __init__(self, message: str, retry_seconds: int) -> None:
        super().__init__(message)
        self.retry_seconds = retry_seconds


@dataclass(slots=True, kw_only=True)
class Entry:
    """Whole lines to take in. When it is told, it has its place (segment and number of its first line, from 1) or the
    error that kept it from the disk."""

    feed: Feed
    lines: bytes
    rows: int
    token: object = None  # of whoever added it
    stamp: str = ""
    first: int = 0
    error: OSError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What waits for the ingest: rows and bytes, and the age of the oldest segment."""

    rows: int
    bytes: int
    segments: int
    oldest_seconds: float


@dataclass(slots=True, kw_only=True)
class _Held:
    """A segment that waits for the ingest."""

    rows: int
    bytes: int
    begun_at: float


@dataclass(slots=True, kw_only=True)
class Spool:
    """The spool in a directory. `tell` gets entries, a group at a time, in the thread that writes; `sealed` is called
    there when there is something to ingest."""

    directory: Path
    tell: Callable[[Sequence[Entry]], None] = lambda _: None
    sealed: Callable[[], None] = lambda: None
    clock: Callable[[], float] = time.time
    segment_bytes: int = SEGMENT_BYTES
    segment_seconds: float = SEGMENT_SECONDS
    backlog_bytes: int = BACKLOG_BYTES
    free_bytes: int = FREE_BYTES
    trouble: str = ""  # why the last entries did not reach the disk
    stored_rows: int = 0
    syncs: int = 0

    _lock: threading.Condition = field(default_factory=threading.Condition)
    _entries: list[Entry] = field(default_factory=list)
    _entry_bytes: int = 0
    _open: dict[Feed, OpenSegment] = field(default_factory=dict)
    _begun: dict[Feed, float] = field(default_factory=dict)
    _held: dict[str, _Held] = field(default_factory=dict)
    _backlog: int = 0
    _wanted: dict[str, float] = field(default_factory=dict)  # stamps of segments to be sealed soon, and since when
    _is_awaited: bool = False
    _number: int = 0
    _free: int = 0
    _is_closing: bool = False
    _thread: threading.Thread | None = None

    def open(self) -> None:
        """Recovers what a killed process left, and begins to write."""
        try:
            self.directory.mkdir(mode=0o700, exist_ok=True)
            recover(self.directory)
            self._free = _free_bytes(self.directory)
            found = [(path, SegmentName.of(path.name)) for path in self.directory.iterdir()]
            for path, name in found:
                if name:
                    size = path.stat().st_size
                    self._held[str(name)] = _Held(rows=count_rows(path), bytes=size, begun_at=name.begun_at)
                    self._backlog += size
        except OSError as error:
            raise BillingError(f"{self.directory} cannot be used ({error.strerror}): put that right first") from None
        self._thread = threading.Thread(target=self._write_all, name="spool")
        self._thread.start()

    def close(self) -> None:
        """Writes what has come, and seals all segments."""
        with self._lock:
            self._is_closing = True
            self._lock.notify()
        if self._thread:
            self._thread.join()

    def check_room(self) -> None:
        """A `FullError` when nothing can be taken."""
        if self._is_closing:
            raise FullError("the service is about to end", 5)
        if self._entry_bytes >= WAITING_BYTES:
            raise FullError("too much waits for the disk", 1)
        if self._free < self.free_bytes:
            raise FullError("the disk is nearly full", 60)
        if self._backlog >= self.backlog_bytes:
            raise FullError("too much waits to be ingested", 60)

    def add(self, entry: Entry) -> None:
        """Takes an entry, of which `tell` will hear; a `FullError` when there is no room."""
        self.check_room()
        with self._lock:
            if self._is_closing:
                raise FullError("the service is about to end", 5)
            self._entries.append(entry)
            self._entry_bytes += len(entry.lines)
            self._lock.notify()

    def want(self, wanted: str) -> None:
        """Asks that the segment with this stamp be sealed soon: somebody waits for its ingest."""
        with self._lock:
            self._wanted.setdefault(wanted, time.monotonic())
            self._lock.notify()

    def await_segments(self, is_awaited: bool) -> None:
        """Whether the ingest has nothing to do. Then what is wanted is sealed at once; else it is sealed together."""
        with self._lock:
            self._is_awaited = is_awaited
            self._lock.notify()

    def drained(self, name: str) -> None:
        """A segment was ingested, and is gone."""
        with self._lock:
            held = self._held.pop(name, None)
            self._backlog -= held.bytes if held else 0

    def waiting(self) -> Waiting:
        """What waits for the ingest now."""
        with self._lock:
            held = list(self._held.values())
        oldest = min((each.begun_at for each in held), default=None)
        return Waiting(
            rows=sum(each.rows for each in held),
            bytes=sum(each.bytes for each in held),
            segments=len(held),
            oldest_seconds=0.0 if oldest is None else max(0.0, self.clock() - oldest),
        )

    def refusal(self) -> str:
        """Why nothing can be taken now, if so."""
        try:
            self.check_room()
        except FullError as full:
            return str(full)
        return self.trouble

    def _write_all(self) -> None:
        while True:
            with self._lock:
                if not (self._entries or self._is_closing or (self._wanted and self._is_awaited)):
                    self._lock.wait(_TICK_SECONDS)
                entries, self._entries = self._entries, []
                is_closing = self._is_closing
            self._write_group(entries)
            self._seal_due(everything=is_closing)
            self._look_at_disk()
            if is_closing:
                return

    def _write_group(self, entries: list[Entry]) -> None:
        """Writes entries, each feed's with as few syncs as its segments need, and tells of them."""
        by_feed: dict[Feed, list[Entry]] = {}
        for entry in entries:
            by_feed.setdefault(entry.feed, []).append(entry)
        for feed, of_feed in by_feed.items():
            for part in _parts(of_feed, self.segment_bytes):
                self._write(feed, part)
        with self._lock:
            self._entry_bytes -= sum(len(entry.lines) for entry in entries)
        if entries:
            self.tell(entries)

    def _write(self, feed: Feed, entries: Sequence[Entry]) -> None:
        try:
            segment = self._segment(feed)
            first, content = segment.rows + 1, b"".join([entry.lines for entry in entries])
            segment.append(content, sum(entry.rows for entry in entries))
        except OSError as error:
            self._fail(feed, entries, error)
            return
        self.trouble = ""
        self.syncs += 1
        for entry in entries:
            entry.stamp, entry.first = segment.name.stamp, first
            first += entry.rows
            self.stored_rows += entry.rows
        with self._lock:
            held = self._held.setdefault(str(segment.name), _Held(rows=0, bytes=0, begun_at=segment.name.begun_at))
            self._backlog += segment.size - held.bytes
            held.rows, held.bytes = segment.rows, segment.size
        if segment.size >= self.segment_bytes:
            self._seal(feed)

    def _fail(self, feed: Feed, entries: Sequence[Entry], error: OSError) -> None:
        """None of these entries is on the disk; what the segment held before is, and is sealed where that can be."""
        if self.trouble != (error.strerror or str(error)):
            self.trouble = error.strerror or str(error)
            _log.error("events cannot be stored (%s): they are refused until that is put right", self.trouble)
        for entry in entries:
            entry.error = error
        self._seal(feed)

    def _segment(self, feed: Feed) -> OpenSegment:
        if feed not in self._open:
            self._number += 1
            now = self.clock()
            name = SegmentName(feed=feed, stamp=stamp(now, self._number))
            self._open[feed], self._begun[feed] = OpenSegment(self.directory, name), time.monotonic()
        return self._open[feed]

    def _seal_due(self, *, everything: bool) -> None:
        now = time.monotonic()
        with self._lock:
            due = [wanted for wanted, since in self._wanted.items() if self._is_awaited or now - since >= _TICK_SECONDS]
            for wanted in due:
                del self._wanted[wanted]
        for feed, segment in list(self._open.items()):
            if everything or now - self._begun[feed] >= self.segment_seconds or segment.name.stamp in due:
                self._seal(feed)

    def _seal(self, feed: Feed) -> None:
        segment = self._open.get(feed)
        if segment is None:
            return
        try:
            segment.seal()
        except OSError as error:  # it is tried again, and goes on being written to
            self.trouble = error.strerror or str(error)
            return
        del self._open[feed]
        self.sealed()

    def _look_at_disk(self) -> None:
        try:
            self._free = _free_bytes(self.directory)
            if self.trouble and not self._entries:
                self._probe()
                self.trouble = ""
        except OSError as error:
            self.trouble = error.strerror or str(error)

    def _probe(self) -> None:
        """Writes a little, to see whether the disk takes something again."""
        probe = self.directory / f".probe{OPEN}"
        try:
            with probe.open("wb") as file:
                file.write(b"\n")
                file.flush()
                os.fsync(file.fileno())
        finally:
            probe.unlink(missing_ok=True)


def _parts(entries: list[Entry], most_bytes: int) -> list[list[Entry]]:
    """Entries in parts of at most so many bytes, each with one entry at least."""
    parts: list[list[Entry]] = [[]]
    size = 0
    for entry in entries:
        if size and size + len(entry.lines) > most_bytes:
            parts.append([])
            size = 0
        parts[-1].append(entry)
        size += len(entry.lines)
    return parts


def _free_bytes(directory: Path) -> int:
    found = os.statvfs(directory)
    return found.f_bavail * found.f_frsize
