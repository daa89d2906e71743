"""Traces: the event records of a foreign media server, converted to events of our schema.

All files of one call are one trace, because a user may enter in one file and leave in the next. Each file keeps its own
lines, its own events and its own rejected lines.
"""

import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from billing.catalog.feeds import RECORD_SOURCES
from billing.errors import UsageError
from billing.events.rows import Batch, DerivedEvent, RawRow, RejectedRow, TraceLine
from billing.output_files import Output
from billing.sources import janus
from billing.sources.files.event_files import expand, open_event_file
from billing.sources.files.ndjson import ROWS_AT_ONCE, line_of, typed

Size = tuple[int, int]

SOURCES = {"janus": janus.derive}


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceOptions:
    """The server that wrote a trace, the app of its events, and the sizes of video that the trace does not tell."""

    source: str
    app_id: int
    camera_size: Size | None = None
    screen_size: Size | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceFile:
    """One file of a trace. `parts`: the number of each event among the quarantine rows that its line may cause."""

    name: str
    digest: str  # SHA-256 of its bytes
    lines: int
    rejected: list[RejectedRow]
    events: list[DerivedEvent]
    parts: list[int]

    def batches(self) -> Iterator[Batch]:
        """The events as rows, numbered from 1."""
        for start in range(0, len(self.events), ROWS_AT_ONCE):
            yield self._batch(start, self.events[start : start + ROWS_AT_ONCE])

    def _batch(self, start: int, events: list[DerivedEvent]) -> Batch:
        numbers = range(start + 1, start + 1 + len(events))
        frame = typed(numbers, [event.line for event in events], [event.event for event in events], {})

        def raw(positions: Sequence[int]) -> list[RawRow]:
            return [RawRow(line_of(events[at].event), "ndjson", None, self.parts[start + at]) for at in positions]

        return Batch(frame=frame, raw=raw)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """All events of a trace in the order of time, the lines that could not be read, and by file name the SHA-256 of the
    bytes and the number of lines."""

    events: list[DerivedEvent]
    rejected: list[RejectedRow]
    digests: dict[str, str]
    lines: dict[str, int]

    def files(self) -> Iterator[TraceFile]:
        """The same, file by file."""
        for name, digest in self.digests.items():
            rejected = [row for row in self.rejected if row.file == name]
            events = [event for event in self.events if event.file == name]
            yield TraceFile(
                name=name,
                digest=digest,
                lines=self.lines[name],
                rejected=rejected,
                events=events,
                parts=_parts(events, rejected),
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """The result of a conversion: how many events were written, and the lines that could not be read, or the first."""

    events: int
    lines: int
    unreadable: int
    rejected: list[RejectedRow]


def read_trace(paths: Sequence[str], options: TraceOptions, *, spool: Path) -> Trace:
    """The trace in some files; if one cannot be read, none is. Standard input is copied to a file in `spool`."""
    if options.source not in SOURCES:
        raise UsageError(f"unknown source {options.source!r}: there is {', '.join((*SOURCES, *RECORD_SOURCES))}")
    digests: dict[str, str] = {}
    counts: Counter[str] = Counter()
    too_long: list[RejectedRow] = []

    def lines() -> Iterator[TraceLine]:
        for path in dict.fromkeys(expand(paths)):
            with open_event_file(path, spool=spool) as file:
                digests[file.name] = file.digest
                for line in file.trace_lines(too_long):
                    counts[file.name] += 1
                    yield line

    derived = SOURCES[options.source](
        lines(), app_id=options.app_id, camera_size=options.camera_size, screen_size=options.screen_size
    )
    counts.update(row.file for row in too_long)
    return Trace(
        events=derived.events,
        rejected=[*derived.rejected, *too_long],
        digests=digests,
        lines={name: counts[name] for name in digests},
    )


def convert(paths: Sequence[str], output: Output, options: TraceOptions) -> Conversion:
    """Writes the events of a trace as NDJSON, in the order of time."""
    trace = read_trace(paths, options, spool=Path(tempfile.gettempdir()))
    write_ndjson((event.event for event in trace.events), output)
    return Conversion(
        events=len(trace.events),
        lines=sum(trace.lines.values()),
        unreadable=len(trace.rejected),
        rejected=trace.rejected,
    )


def write_ndjson(events: Iterable[Mapping[str, object]], output: Output) -> None:
    """Writes events one a line, in the order given."""
    with output.open() as file:
        file.writelines(f"{line_of(event)}\n".encode("ascii") for event in events)


def _parts(events: Iterable[DerivedEvent], rejected: Iterable[RejectedRow]) -> list[int]:
    """A rejected line is part 0 of its line; its events come after it."""
    seen = Counter(row.line for row in rejected)
    parts = []
    for event in events:
        parts.append(seen[event.line])
        seen[event.line] += 1
    return parts
