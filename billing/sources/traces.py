"""Traces: the event records of a foreign media server, converted to events of our schema.

All files of one call are one trace, because a user may enter in one file and leave in the next. (`billing ingest` keeps
the records, so that what it is given in many calls is one trace as well: `billing.jobs.trace_ingest`.)
"""

import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from billing.catalog.feeds import RECORD_SOURCES, Size
from billing.errors import UsageError
from billing.events.rows import DerivedEvent, RejectedRow, TraceLine
from billing.output_files import Output
from billing.sources import janus
from billing.sources.files.event_files import expand, open_event_file
from billing.sources.files.ndjson import line_of

SOURCES = {"janus": janus.derive}


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceOptions:
    """The server that wrote a trace, the app of its events, and the sizes of video that the trace does not tell."""

    source: str
    app_id: int
    camera_size: Size | None = None
    screen_size: Size | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """All events of a trace in the order of time, the lines that could not be read, and by file name the SHA-256 of the
    bytes and the number of lines."""

    events: list[DerivedEvent]
    rejected: list[RejectedRow]
    digests: dict[str, str]
    lines: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """The result of a conversion: how many events were written, and the lines that could not be read, or the first."""

    events: int
    lines: int
    unreadable: int
    rejected: list[RejectedRow]


def check_source(options: TraceOptions) -> None:
    """A `UsageError` where the source is not known."""
    if options.source not in SOURCES:
        raise UsageError(f"unknown source {options.source!r}: there is {', '.join((*SOURCES, *RECORD_SOURCES))}")


def read_trace(paths: Sequence[str], options: TraceOptions, *, spool: Path) -> Trace:
    """The trace in some files; if one cannot be read, none is. Standard input is copied to a file in `spool`."""
    check_source(options)
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
