"""Ingest: event files into the event log, and the rows that cannot be accepted into quarantine.

For every file `read = accepted + duplicates + quarantined`. A file is applied whole or not at all, in three steps: its
rejected rows are added to the quarantine; one commit adds its events to the log; rows that this reading did not reject
again leave the quarantine. A process that is killed between two steps loses nothing, and ingesting the file again gives
the same result as an undisturbed ingest.
"""

import logging
import os
import re
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path

import polars as pl

from billing.errors import BillingError
from billing.events.commits import Commit
from billing.events.deduplication import Deduplicated, Deduplication
from billing.events.key_index import discard_unfinished
from billing.events.log import DeltaError, EventLog
from billing.events.quarantine import HashedFile, Quarantine, Rejects
from billing.events.rows import Batch, RejectedRow, display_name
from billing.events.validation import validate
from billing.home import Home
from billing.ledger.catalog_store import load_catalog
from billing.ledger.database import Engine, reading
from billing.ledger.runs import last_read
from billing.read_ahead import read_ahead
from billing.sources.files.event_files import expand, open_event_file
from billing.sources.record_apps import RecordOptions
from billing.sources.record_files import RecordFile

Progress = Callable[[int], object]

_log = logging.getLogger(__name__)

# A full disk, or a home that cannot be written.
DISK_ERRORS = (OSError, DeltaError, pl.exceptions.ComputeError)

_OS_ERROR = re.compile(r"(?:\(os error |\[Errno )(\d+)[)\]]")
_CONFLICT = "an event with this event_id came before on that day, with other content: the first one stands"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileReport:
    """The counts of a file. `lines` is set for a file of foreign records, and `ignored` (by kind) counts those that say
    nothing billable; `dropped` is how many records its server says were lost. If there is an `error`, nothing was
    applied."""

    file: str
    read: int = 0
    accepted: int = 0
    duplicates: int = 0
    quarantined: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)  # of the quarantined rows
    lines: int | None = None
    ignored: Mapping[str, int] = field(default_factory=dict)
    dropped: int = 0
    error: str | None = None
    may_pass: bool = False  # the error is not that of the file: a full disk


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestContext:
    """The home that rows are ingested into, the known app ids, and the clock. `progress` is told of rows as they are
    read. `billed`: the last ingest that a bill rests on; the log must hold it, or it is not the log that was billed."""

    home: Home
    apps: Collection[int]
    now: datetime
    progress: Progress | None = None
    billed: Commit | None = None

    @property
    def now_ms(self) -> int:
        """The clock in epoch milliseconds."""
        return int(self.now.timestamp() * 1000)

    @property
    def log(self) -> EventLog:
        """The event log of the home."""
        return EventLog(directory=self.home.events)

    @property
    def quarantine(self) -> Quarantine:
        """The quarantine of the home."""
        return Quarantine(directory=self.home.quarantine)


@dataclass(slots=True, kw_only=True)
class RowVerdicts:
    """The rising numbers of rows of a file that were not accepted. In NDJSON without blank lines row n is line n."""

    duplicates: list[int] = field(default_factory=list)
    quarantined: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRows:
    """The rows of one file, which can be read more than once."""

    file: HashedFile
    batches: Callable[[], Iterator[Batch]]
    check_unchanged: Callable[[], None] = lambda: None
    unread: Sequence[RejectedRow] = ()  # lines that never became rows
    quarantined: pl.DataFrame | None = None  # rows from quarantine: the n-th of them is the row with the number n
    lines: int | None = None
    also: Callable[[], Mapping[str, object]] = dict  # what its commit says of it, beside the counts, once it is read
    verdicts: RowVerdicts | None = None  # is told which rows were not accepted


def open_context(home: Home, engine: Engine, now: datetime, progress: Progress | None = None) -> IngestContext:
    """The context with what the database knows."""
    with reading(engine) as conn:
        apps, billed = load_catalog(conn).apps, last_read(conn)
    return IngestContext(home=home, apps=apps, now=now, progress=progress, billed=billed)


def ingest_files(
    context: IngestContext,
    paths: Sequence[str],
    *,
    standard_input: str = ".ndjson",
    verdicts: RowVerdicts | None = None,
) -> Iterator[FileReport]:
    """Ingests files in the order given: patterns are expanded, `-` is standard input, read as a file with that ending.

    A file that fails has a report with its error, and does not stop the others. `verdicts` is for one file only.
    """
    for path in expand(paths):
        yield attempt(display_name(path), partial(_ingest_file, context, path, standard_input, verdicts))


def ingest_records(context: IngestContext, paths: Sequence[str], options: RecordOptions) -> Iterator[FileReport]:
    """Ingests files of self-contained records, each by itself. A file that fails does not stop the others.

    Of each file, `read` counts the events derived from its lines and the lines that could not be read.
    """
    for path in dict.fromkeys(expand(paths)):
        yield attempt(display_name(path), partial(_ingest_record_file, context, path, options))


def ingest_rows(context: IngestContext, rows: FileRows, directory: Path) -> FileReport:
    """Validates, deduplicates and stores the rows of a file, in an empty `directory` of the workspace."""
    log = context.log
    rejects = Rejects(made(directory / "rejects"), file=rows.file, seen_at=context.now_ms)
    rejects.add_lines(rows.unread)
    told = rows.verdicts
    with closing(Deduplication(log, made(directory / "parts"), keeps_duplicates=told is not None)) as deduplication:
        read = len(rows.unread) + _validate_rows(context, rows, deduplication, rejects)
        unique = deduplication.finish()
        if told:
            told.duplicates = unique.duplicate_rows.to_list()
        _reject_conflicts(rows, unique.conflicts, rejects)
        if told:
            told.quarantined.sort()
        rows.check_unchanged()
        report = FileReport(
            file=rows.file.name,
            read=read,
            accepted=unique.accepted,
            duplicates=unique.duplicates,
            quarantined=rejects.count,
            reasons=rejects.reasons(),
            lines=rows.lines,
        )
        if read != report.accepted + report.duplicates + report.quarantined:
            raise AssertionError(f"rows were lost or made up: {report}")
        _store(context, rows, rejects, unique, report, deduplication)
    return report


@contextmanager
def ingest_workspace(context: IngestContext) -> Iterator[Path]:
    """The ingest lock and an empty directory for unfinished work. What a killed process left there is removed, once the
    log is known to be the one that was billed."""
    home = context.home
    with home.lock("ingest"):
        if context.billed:
            context.log.check_holds(context.billed)
        directory = home.directory / "staging"
        shutil.rmtree(directory, ignore_errors=True)
        context.log.discard_uncommitted()
        context.quarantine.discard_unfinished()
        discard_unfinished(context.log)
        try:
            yield made(directory)
        finally:
            shutil.rmtree(directory, ignore_errors=True)


def attempt(name: str, ingest: Callable[[], FileReport]) -> FileReport:
    """The report of `ingest`, or one with the error: whatever is wrong with one file, the others are ingested."""
    try:
        return ingest()
    except BillingError as error:
        return FileReport(file=name, error=str(error))
    except DISK_ERRORS as error:
        text = f"{name}: not ingested ({cause(error)}): put that right and try again"
        return FileReport(file=name, error=text, may_pass=True)
    # One of the two broad excepts of the program; the other is around one account in nightly. (A panic of polars is no
    # `Exception`.)
    except (Exception, pl.exceptions.PanicException) as error:
        _log.exception("%s: not ingested", name)
        fault = f"{type(error).__name__}: {cause(error)}"
        return FileReport(file=name, error=f"{name}: not ingested, because of a fault in this program ({fault})")


def made(directory: Path) -> Path:
    """The directory, which did not exist before."""
    directory.mkdir()
    return directory


def _ingest_file(context: IngestContext, path: str, standard_input: str, verdicts: RowVerdicts | None) -> FileReport:
    with open_event_file(path, spool=context.home.directory, standard_input=standard_input) as file:
        rows = FileRows(
            file=file,
            batches=file.batches,
            check_unchanged=file.check_unchanged,
            verdicts=verdicts,
        )
        return _ingest_in_workspace(context, rows)


def _ingest_record_file(context: IngestContext, path: str, options: RecordOptions) -> FileReport:
    with open_event_file(path, spool=context.home.directory) as file:
        records = RecordFile(file=file, options=options)
        rows = FileRows(
            file=file,
            batches=records.batches,
            check_unchanged=file.check_unchanged,
            also=lambda: {"feed_dropped": records.tally.dropped} if records.tally.dropped else {},
        )
        report, tally = _ingest_in_workspace(context, rows), records.tally
    return replace(report, lines=tally.lines, ignored=dict(tally.ignored), dropped=tally.dropped)


def _ingest_in_workspace(context: IngestContext, rows: FileRows) -> FileReport:
    with ingest_workspace(context) as directory:
        return ingest_rows(context, rows, directory)


def cause(error: BaseException) -> str:
    """The message of the operating system; libraries wrap it in several lines of their own."""
    if found := _OS_ERROR.search(str(error)):
        return os.strerror(int(found[1]))
    return str(error).partition("\n")[0]


def _validate_rows(context: IngestContext, rows: FileRows, deduplication: Deduplication, rejects: Rejects) -> int:
    """Hands each row on as accepted or rejected; the number of rows."""
    rules = partial(validate, apps=context.apps, now_ms=context.now_ms, archive=context.log.archive())
    validated = (
        (batch, *rules(batch.frame, values=batch.values, may_hold_nul=batch.may_hold_nul))
        for batch in read_ahead(rows.batches())
    )
    read = 0
    for batch, accepted, rejected in read_ahead(validated):
        deduplication.add(accepted, batch.values, share_read=batch.share_read)
        if rejected.height:
            _reject(rows, batch, rejected, rejects)
        read += batch.frame.height
        if context.progress:
            context.progress(batch.frame.height)
    return read


def _reject_conflicts(rows: FileRows, conflicts: pl.Series, rejects: Rejects) -> None:
    """Reads the rows again, for the texts of those with the row numbers `conflicts`."""
    if conflicts.is_empty():
        return
    for batch in rows.batches():
        found = batch.frame.with_row_index("position").filter(pl.col("row").is_in(conflicts.implode()))
        conflicting = found.select("position", reason=pl.lit("conflict"), detail=pl.lit(_CONFLICT))
        _reject(rows, batch, conflicting, rejects)


def _reject(rows: FileRows, batch: Batch, rejected: pl.DataFrame, rejects: Rejects) -> None:
    """Adds rows of a batch (`position`, `reason`, `detail`) to the rejects."""
    positions = rejected["position"].to_list()
    if rows.verdicts:
        rows.verdicts.quarantined += batch.frame["row"].gather(positions).to_list()
    if rows.quarantined is None:
        lines = batch.frame["line"].gather(positions)
        rejects.add_rows(rejected.select(lines, "reason", "detail"), batch.raw(positions))
    else:
        entries = rows.quarantined[(batch.frame["row"].gather(positions) - 1).to_list()]
        rejects.add(entries.with_columns(rejected["reason"], rejected["detail"]))


def _store(
    context: IngestContext,
    rows: FileRows,
    rejects: Rejects,
    unique: Deduplicated,
    report: FileReport,
    deduplication: Deduplication,
) -> None:
    """Adds to the quarantine, commits to the log, then takes from the quarantine what was not rejected again."""
    quarantine = context.quarantine
    before = quarantine.ids(rows.file.digest) if rows.quarantined is None else rows.quarantined.select("id")
    if rejects.count:
        quarantine.put(rows.file.digest, rejects.rows())
    commit = None
    if unique.files:
        metadata = {"file": rows.file.name, "file_hash": rows.file.digest, "ingested_at": context.now_ms, **rows.also()}
        counts = {name: getattr(report, name) for name in ("read", "accepted", "duplicates", "quarantined")}
        commit = context.log.commit(unique.files, ingest_id=unique.ingest_id, metadata=metadata | counts)
    deduplication.committed(commit)
    released = before.lazy().join(rejects.rows().select("id"), on="id", how="anti").collect()
    if released.height:
        quarantine.release(rows.file.digest, released["id"], context.now_ms)
