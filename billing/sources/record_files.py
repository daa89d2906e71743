"""Files of self-contained records: read line by line in bounded memory, as rows for an ingest or as NDJSON.

A line that cannot be read is a row with its problem, so for each file

    lines = mapped + ignored + unreadable, and rows = events + unreadable
"""

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from billing.events.rows import Batch, RawRow, RejectedRow
from billing.output_files import Output
from billing.sources.agora import AGORA
from billing.sources.bigbluebutton import BIGBLUEBUTTON
from billing.sources.files.event_files import EventFile, expand, open_event_file
from billing.sources.files.lines import too_long
from billing.sources.files.ndjson import ROWS_AT_ONCE, line_of, typed
from billing.sources.livekit import LIVEKIT
from billing.sources.mediasoup import MEDIASOUP
from billing.sources.record_apps import RecordApps, RecordOptions
from billing.sources.record_fields import Event
from billing.sources.record_maps import Outcome, outcome
from billing.sources.traces import Conversion
from billing.sources.trtc import TRTC

RECORDS = {source.name: source for source in (LIVEKIT, TRTC, MEDIASOUP, AGORA, BIGBLUEBUTTON)}

BYTES_AT_ONCE = 16 << 20
UNREAD_KEPT = 10  # of a conversion
_KINDS_COUNTED = 50
_KIND_CHARACTERS = 40


@dataclass(slots=True, kw_only=True)
class Tally:
    """The lines of a file. `ignored` by kind; `dropped`: how many records the server says were lost on the way."""

    lines: int = 0
    mapped: int = 0
    unreadable: int = 0
    dropped: int = 0
    ignored: Counter[str] = field(default_factory=Counter)

    def add(self, found: Outcome) -> None:
        """Counts a line."""
        self.lines += 1
        self.dropped += found.dropped
        if found.problem:
            self.unreadable += 1
        elif found.ignored is not None:
            self.ignored[self._kind(found.ignored)] += 1
        else:
            self.mapped += 1

    def check(self) -> None:
        """No line is lost."""
        if self.lines != self.mapped + self.ignored.total() + self.unreadable:
            raise AssertionError(f"lines were lost or made up: {self}")

    def _kind(self, kind: str) -> str:
        """A kind as it is counted: whatever a file says, there are few, and they are short."""
        short = kind[:_KIND_CHARACTERS].encode(errors="backslashreplace").decode()
        return short if short in self.ignored or len(self.ignored) < _KINDS_COUNTED else "other"


@dataclass(slots=True, kw_only=True)
class RecordFile:
    """The records of an open file. `tally` counts the lines of the last whole reading."""

    file: EventFile
    options: RecordOptions
    tally: Tally = field(default_factory=Tally)

    def batches(self) -> Iterator[Batch]:
        """Events and unreadable lines as rows, numbered from 1."""
        rows = _Rows()
        for number, line, found in self.outcomes():
            rows.add(number, line, found)
            if rows.is_full:
                yield rows.batch()
                rows = _Rows(first=rows.next)
        if rows.events:
            yield rows.batch()

    def outcomes(self) -> Iterator[tuple[int, bytes, Outcome]]:
        """What each line became: its number, its text, and events or a problem."""
        source, apps, tally = RECORDS[self.options.source], RecordApps(self.options), Tally()
        for number, content, long_bytes in self.file.lines():
            line = content.removesuffix(b"\r")
            if not line or line.isspace():
                continue
            found = Outcome(problem=too_long(long_bytes)) if long_bytes else outcome(source, apps, line)
            tally.add(found)
            yield number, line, found
        tally.check()
        self.tally = tally


class _Rows:
    """The rows of a batch; the first has the number `first`."""

    def __init__(self, first: int = 1) -> None:
        self.first = first
        self.events: list[Event] = []
        self._lines: list[int] = []
        self._parts: list[int] = []
        self._problems: dict[int, tuple[str, str]] = {}
        self._texts: dict[int, bytes] = {}
        self._bytes = 0

    @property
    def is_full(self) -> bool:
        return len(self.events) >= ROWS_AT_ONCE or self._bytes >= BYTES_AT_ONCE

    @property
    def next(self) -> int:
        return self.first + len(self.events)

    def add(self, number: int, line: bytes, found: Outcome) -> None:
        """Takes what a line became; its problem is part 0 of it, and its events come after."""
        rows: list[Event] = [{}, *found.events] if found.problem else found.events
        if found.problem:
            self._problems[len(self.events)] = found.problem
            self._texts[len(self.events)] = line
        self.events += rows
        self._lines += [number] * len(rows)
        self._parts += range(len(rows))
        self._bytes += len(line)

    def batch(self) -> Batch:
        # What a column cannot hold is a problem too, of an event that has its text.
        frame = typed(range(self.first, self.next), self._lines, self.events, dict(self._problems))
        return Batch(frame=frame, raw=self._raw)

    def _raw(self, positions: Sequence[int]) -> list[RawRow]:
        return [self._raw_row(at) for at in positions]

    def _raw_row(self, at: int) -> RawRow:
        if at in self._texts:
            return RawRow(self._texts[at].decode(errors="backslashreplace"), None, None)
        return RawRow(line_of(self.events[at]), "ndjson", None, self._parts[at])


def convert_records(paths: Sequence[str], output: Output, options: RecordOptions) -> Conversion:
    """Writes the events of some files as NDJSON, in the order of the records."""
    done = Tally()
    events, rejected = 0, list[RejectedRow]()
    with output.open() as to:
        for path in dict.fromkeys(expand(paths)):
            with open_event_file(path, spool=Path(tempfile.gettempdir())) as file:
                records = RecordFile(file=file, options=options)
                for number, line, found in records.outcomes():
                    to.writelines(f"{line_of(event)}\n".encode("ascii") for event in found.events)
                    events += len(found.events)
                    if found.problem and len(rejected) < UNREAD_KEPT:
                        rejected.append(
                            RejectedRow(file.name, number, *found.problem, line.decode(errors="backslashreplace"))
                        )
            done.lines += records.tally.lines
            done.unreadable += records.tally.unreadable
    return Conversion(events=events, lines=done.lines, unreadable=done.unreadable, rejected=rejected)
