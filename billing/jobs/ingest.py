"""Ingest: event files into the event log, and what cannot be accepted into quarantine.

For every file `read = accepted + duplicates + quarantined`. A file is applied whole or not at all: first its
rejected rows are stored, then one commit adds its events to the log, and only then rows leave the quarantine that
no longer belong there. So a process that is killed anywhere loses nothing, and the same file again gives what an
undisturbed ingest gives.
"""

import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple

import polars as pl

from billing.errors import BillingError, UsageError
from billing.events.deduplication import Arrivals
from billing.events.log import DataFile, DeltaError, EventLog
from billing.events.quarantine import QUARANTINE_SCHEMA, Quarantine, Rejects, row_id
from billing.events.rows import Batch, DerivedEvent, RawRow, RejectedRow, TraceLine
from billing.events.validation import validate
from billing.home import Home
from billing.output_files import Output
from billing.read_ahead import read_ahead
from billing.sources import janus
from billing.sources.files.csv import read_csv_rows
from billing.sources.files.event_files import display_name, expand, open_event_file
from billing.sources.files.ndjson import ROWS_AT_ONCE, line_of, read_ndjson_rows, typed

Progress = Callable[[int], object]
Size = tuple[int, int]

SOURCES = {"janus": janus.derive}
_OS_ERROR = re.compile(r"(?:\(os error |\[Errno )(\d+)[)\]]")
_CONFLICT = "an event with this event_id came before on that day, with other content: the first one stands"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileReport:
    """What became of a file. `lines` is set for a foreign trace; where there is an `error`, nothing was applied."""

    file: str
    read: int = 0
    accepted: int = 0
    duplicates: int = 0
    quarantined: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)  # of the quarantined rows
    lines: int | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Converted:
    """What became of a foreign trace: how many events were written, and the lines that could not be read."""

    events: int
    lines: int
    rejected: list[RejectedRow]


def ingest_files(
    home: Home,
    paths: Sequence[str],
    *,
    apps: Collection[int],
    now: datetime,
    progress: Progress | None = None,
    standard_input: str = ".ndjson",
) -> Iterator[FileReport]:
    """Ingests files in the order given: patterns are expanded, `-` is standard input, read as a file with that ending.

    A file that fails has a report with its error, and does not stop the others. `apps` are the known app ids;
    `progress` is told how many more rows have been read.
    """
    desk = _Desk(home=home, apps=apps, now_ms=_epoch_ms(now), progress=progress)
    for path in expand(paths):
        try:
            with _storing(display_name(path)):
                report = _ingest_file(desk, path, standard_input)
        except BillingError as error:
            report = FileReport(file=display_name(path), error=str(error))
        yield report


def ingest_trace(
    home: Home,
    paths: Sequence[str],
    *,
    source: str,
    app_id: int,
    apps: Collection[int],
    now: datetime,
    camera_size: Size | None = None,
    screen_size: Size | None = None,
    progress: Progress | None = None,
) -> Iterator[FileReport]:
    """Ingests the events that a foreign source's files tell of. All files are one trace: if one fails, so do all.

    Of each file, `read` counts the events derived from its lines and the lines that could not be read.
    """
    desk = _Desk(home=home, apps=apps, now_ms=_epoch_ms(now), progress=progress)
    trace = _read_trace(paths, home.directory, source, app_id, camera_size, screen_size)
    for name, digest in trace.digests.items():
        rejected = [row for row in trace.rejected if row.file == name]
        events = _numbered([event for event in trace.events if event.file == name], {row.line for row in rejected})
        rows = _Rows(
            file=name,
            file_hash=digest,
            batches=partial(_event_batches, events),
            unread=rejected,
            lines=trace.lines[name],
        )
        with _storing(name), _workspace(home) as directory:
            report = _ingest(desk, rows, directory)
        yield report


def convert(
    paths: Sequence[str],
    output: Output,
    *,
    source: str,
    app_id: int,
    camera_size: Size | None = None,
    screen_size: Size | None = None,
) -> Converted:
    """Writes the events that a foreign source's files tell of as NDJSON."""
    trace = _read_trace(paths, Path(tempfile.gettempdir()), source, app_id, camera_size, screen_size)
    write_ndjson((event.event for event in trace.events), output)
    return Converted(events=len(trace.events), lines=sum(trace.lines.values()), rejected=trace.rejected)


def write_ndjson(events: Iterable[Mapping[str, object]], output: Output) -> None:
    """Writes events one a line in their order."""
    with output.open() as file:
        file.writelines(f"{line_of(event)}\n".encode("ascii") for event in events)


def retry_quarantine(
    home: Home,
    *,
    apps: Collection[int],
    now: datetime,
    ids: Collection[str] | None = None,
    fixed: Mapping[str, str] | None = None,
) -> list[FileReport]:
    """Judges quarantined rows again: those of `ids` and of `fixed` (the corrected text of a row by its id), or all.

    Rows that are accepted or duplicates leave the quarantine; the others stay, with the reason that holds now.
    There is a report for each file with such rows; `read` counts the rows that were tried. Rows whose whole text
    was not kept (`too_long`, lines of a trace) are left alone, unless they are fixed.
    """
    desk = _Desk(home=home, apps=apps, now_ms=_epoch_ms(now))
    with _storing("quarantine"), _workspace(home) as directory:
        wanted = None if ids is None and not fixed else {*(ids or ()), *(fixed or ())}
        stored = _corrected(Quarantine(directory=home.quarantine).rows(ids=wanted), fixed or {})
        stored = stored.filter(pl.col("format").is_not_null()).sort("file_hash", "format", "header", "line", "id")
        reports = []
        for rows in stored.partition_by("file_hash", maintain_order=True):
            file, file_hash = rows["file"][0], rows["file_hash"][0]
            batches = partial(_stored_batches, rows)
            again = _Rows(file=file, file_hash=file_hash, batches=batches, stored=rows)
            reports.append(_ingest(desk, again, _made(directory / file_hash)))
    return reports


@dataclass(frozen=True, slots=True, kw_only=True)
class _Desk:
    """Where and by what rows are judged."""

    home: Home
    apps: Collection[int]
    now_ms: int
    progress: Progress | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    """The rows of one file, which can be read more than once."""

    file: str
    file_hash: str
    batches: Callable[[], Iterator[Batch]]
    check: Callable[[], None] = lambda: None  # refuses a file that has changed since
    unread: Sequence[RejectedRow] = ()  # lines that never became rows
    stored: pl.DataFrame | None = None  # rows from quarantine: the n-th of them is the row with the number n
    lines: int | None = None


class _Trace(NamedTuple):
    """What a source made of its files, and each file's digest and number of lines."""

    events: list[DerivedEvent]
    rejected: list[RejectedRow]
    digests: dict[str, str]
    lines: dict[str, int]


def _ingest_file(desk: _Desk, path: str, standard_input: str) -> FileReport:
    with open_event_file(path, spool=desk.home.directory, standard_input=standard_input) as file:
        rows = _Rows(file=file.name, file_hash=file.digest, batches=file.batches, check=file.check_unchanged)
        with _workspace(desk.home) as directory:
            return _ingest(desk, rows, directory)


@contextmanager
def _storing(name: str) -> Iterator[None]:
    """Says what a full disk or a home that cannot be written means: nothing of `name` was applied."""
    try:
        yield
    except (OSError, DeltaError, pl.exceptions.ComputeError) as error:
        raise BillingError(f"{name}: not ingested ({_cause(error)}): put that right and ingest it again") from error


def _cause(error: Exception) -> str:
    """What the operating system said; libraries put it into words of their own, over several lines."""
    if found := _OS_ERROR.search(str(error)):
        return os.strerror(int(found[1]))
    return str(error).partition("\n")[0]


@contextmanager
def _workspace(home: Home) -> Iterator[Path]:
    """The ingest lock, and an empty directory for what is not finished; a killed process leaves its own to the next."""
    with home.lock("ingest"):
        directory = home.directory / "staging"
        shutil.rmtree(directory, ignore_errors=True)
        EventLog(directory=home.events).discard_uncommitted()
        Quarantine(directory=home.quarantine).discard_unfinished()
        try:
            yield _made(directory)
        finally:
            shutil.rmtree(directory, ignore_errors=True)


def _ingest(desk: _Desk, rows: _Rows, directory: Path) -> FileReport:
    """Judges all rows of a file and stores them, under the ingest lock."""
    log = EventLog(directory=desk.home.events)
    ingest_id = log.last_ingest_id() + 1
    rejects = Rejects(_made(directory / "rejects"))
    if rows.unread:
        _, lines, reasons, details, texts = zip(*rows.unread, strict=True)
        raws = [RawRow(text, None, None) for text in texts]
        rejects.add(_as_entries(desk, rows, lines, reasons, details, raws))
    read = len(rows.unread)
    judged = (
        (batch, *validate(batch.frame, apps=desk.apps, now_ms=desk.now_ms)) for batch in read_ahead(rows.batches())
    )
    with closing(Arrivals(log, _made(directory / "arrivals"), ingest_id)) as arrivals:
        for batch, accepted, rejected in read_ahead(judged):
            arrivals.add(accepted)
            if rejected.height:
                rejects.add(_entries(desk, rows, batch, rejected))
            read += batch.frame.height
            if desk.progress:
                desk.progress(batch.frame.height)
        settled = arrivals.settle()
    _reject(desk, rows, rejects, settled.conflicts)
    rows.check()
    report = FileReport(
        file=rows.file,
        read=read,
        accepted=settled.accepted,
        duplicates=settled.duplicates,
        quarantined=rejects.count,
        reasons=rejects.reasons(),
        lines=rows.lines,
    )
    if read != report.accepted + report.duplicates + report.quarantined:
        raise AssertionError(f"rows were lost or made up: {report}")
    _store(desk, rows, rejects, log, ingest_id, settled.files, report)
    return report


def _store(
    desk: _Desk,
    rows: _Rows,
    rejects: Rejects,
    log: EventLog,
    ingest_id: int,
    files: Sequence[DataFile],
    report: FileReport,
) -> None:
    """Adds to the quarantine, commits, then takes from the quarantine what this reading did not set aside again."""
    quarantine = Quarantine(directory=desk.home.quarantine)
    stored = rows.stored if rows.stored is not None else quarantine.of_file(rows.file_hash).select("id").collect()
    if rejects.count:
        quarantine.put(rows.file_hash, rejects.rows())
    if files:
        metadata = {"file": rows.file, "file_hash": rows.file_hash, "ingested_at": desk.now_ms}
        counts = {name: getattr(report, name) for name in ("read", "accepted", "duplicates", "quarantined")}
        log.commit(files, ingest_id=ingest_id, metadata=metadata | counts)
    released = stored.select("id").lazy().join(rejects.rows().select("id"), on="id", how="anti").collect()
    if released.height:
        quarantine.remove(rows.file_hash, released["id"])


def _reject(desk: _Desk, rows: _Rows, rejects: Rejects, conflicts: pl.Series) -> None:
    """Reads the rows again to set these row numbers aside, with their text, as conflicts."""
    if conflicts.is_empty():
        return
    for batch in rows.batches():
        frame = batch.frame.with_row_index("position")
        found = frame.filter(pl.col("row").is_in(conflicts.implode())).select(
            "position", reason=pl.lit("conflict"), detail=pl.lit(_CONFLICT)
        )
        rejects.add(_entries(desk, rows, batch, found))


def _entries(desk: _Desk, rows: _Rows, batch: Batch, rejected: pl.DataFrame) -> pl.DataFrame:
    """Rejected rows of a batch (`position`, `reason`, `detail`) as they stand in quarantine."""
    positions = rejected["position"].to_list()
    if rows.stored is not None:
        entries = rows.stored[(batch.frame["row"].gather(positions) - 1).to_list()]
        return entries.with_columns(rejected["reason"], rejected["detail"])
    lines = batch.frame["line"].gather(positions)
    return _as_entries(desk, rows, lines, rejected["reason"], rejected["detail"], batch.raw(positions))


def _as_entries(
    desk: _Desk,
    rows: _Rows,
    lines: Iterable[int],
    reasons: Iterable[str],
    details: Iterable[str],
    raws: Sequence[RawRow],
) -> pl.DataFrame:
    lines = list(lines)
    entries = {
        "id": [row_id(rows.file_hash, line, raw.part) for line, raw in zip(lines, raws, strict=True)],
        "file": [rows.file] * len(lines),
        "file_hash": [rows.file_hash] * len(lines),
        "line": lines,
        "reason": reasons,
        "detail": details,
        "raw": [raw.text for raw in raws],
        "format": [raw.format for raw in raws],
        "header": [raw.header for raw in raws],
        "seen_at": [desk.now_ms] * len(lines),
    }
    return pl.DataFrame(entries, schema=QUARANTINE_SCHEMA)


def _corrected(stored: pl.DataFrame, fixed: Mapping[str, str]) -> pl.DataFrame:
    """Quarantined rows with the corrected text of some; one whose format was not known is JSON now."""
    if not fixed:
        return stored
    texts = {row: text.encode(errors="backslashreplace").decode() for row, text in fixed.items()}
    raw = pl.col("id").replace_strict(texts, default=pl.col("raw"), return_dtype=pl.String)
    formats = pl.when(raw != pl.col("raw")).then(pl.col("format").fill_null("ndjson")).otherwise("format")
    return stored.with_columns(raw=raw, format=formats)


def _stored_batches(stored: pl.DataFrame) -> Iterator[Batch]:
    """Quarantined rows as they were read, numbered by their place from 1."""
    before = 0
    for (kind, header), group in stored.group_by("format", "header", maintain_order=True):
        texts = group["raw"].to_list()
        for batch in read_csv_rows(str(header), texts) if kind == "csv" else read_ndjson_rows(texts):
            yield replace(batch, frame=batch.frame.with_columns(pl.col("row") + before))
        before += len(texts)


def _read_trace(
    paths: Sequence[str], spool: Path, source: str, app_id: int, camera_size: Size | None, screen_size: Size | None
) -> _Trace:
    if source not in SOURCES:
        raise UsageError(f"unknown source {source!r}: there is {', '.join(SOURCES)}")
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

    derived = SOURCES[source](lines(), app_id=app_id, camera_size=camera_size, screen_size=screen_size)
    counts.update(row.file for row in too_long)
    return _Trace(derived.events, [*derived.rejected, *too_long], digests, {name: counts[name] for name in digests})


def _numbered(events: Iterable[DerivedEvent], rejected_lines: Collection[int]) -> list[tuple[DerivedEvent, int]]:
    """Each event with its number among the quarantine's possible rows of its line, where the line itself may be one."""
    seen = Counter(rejected_lines)
    numbered = []
    for event in events:
        numbered.append((event, seen[event.line]))
        seen[event.line] += 1
    return numbered


def _event_batches(events: Sequence[tuple[DerivedEvent, int]]) -> Iterator[Batch]:
    for start in range(0, len(events), ROWS_AT_ONCE):
        yield _event_batch(events[start : start + ROWS_AT_ONCE], start + 1)


def _event_batch(events: Sequence[tuple[DerivedEvent, int]], first: int) -> Batch:
    numbers = range(first, first + len(events))
    frame = typed(numbers, [event.line for event, _ in events], [event.event for event, _ in events], {})

    def raw(positions: Sequence[int]) -> list[RawRow]:
        return [RawRow(line_of(event.event), "ndjson", None, part) for event, part in (events[at] for at in positions)]

    return Batch(frame=frame, raw=raw)


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory


def _epoch_ms(instant: datetime) -> int:
    return int(instant.timestamp() * 1000)
