"""Ingest of records that mean something only after others: they are stored as they came, and events are derived.

A file is stored whole or not at all, in the Delta table `records/`: of its events `read = accepted + duplicates +
quarantined`. When all files of a call are stored, the event log gets what the new records change in the events of
their servers (`billing.jobs.derivation`). So it does not matter how a feed is cut into files and calls. A process that
is killed between two steps loses nothing: the next call derives what is still to be derived.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from pathlib import Path

import polars as pl
from xxhash import xxh3_128_hexdigest

from billing.errors import UsageError
from billing.events.data_files import DataFile
from billing.events.durable_files import scan_files
from billing.events.feed_states import FeedStates
from billing.events.quarantine import Rejects, row_id
from billing.events.record_log import RECORD_SCHEMA, RecordLog
from billing.events.rows import RejectedRow, TraceLine, display_name
from billing.events.validation import FUTURE_MS
from billing.jobs.derivation import Derivation, Derived
from billing.jobs.ingest import FileReport, IngestContext, attempt, ingest_workspace, made
from billing.sources.files.event_files import EventFile, expand, open_event_file
from billing.sources.janus import assumed_sizes, room_prefixes
from billing.sources.janus.records import Place, Sign
from billing.sources.janus.trace import UnreadableError, raw_of, read_event, read_events
from billing.sources.traces import TraceOptions, check_source

PART_ROWS = 100_000
_KINDS = {1: "session", 2: "handle", 8: "jsep", 16: "webrtc", 32: "media", 64: "plugin", 128: "transport", 256: "core"}


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceIngest:
    """The reports of the files, and how many events were derived and are no longer derived."""

    reports: list[FileReport]
    derived: int
    retracted: int


def ingest_trace(context: IngestContext, paths: Sequence[str], options: TraceOptions) -> TraceIngest:
    """Stores the records of some files, and derives events. A file that fails does not stop the others."""
    check_source(options)
    if options.app_id not in context.apps:
        raise UsageError(f"unknown app {options.app_id}: apply a catalog that has it first")
    with ingest_workspace(context) as directory:
        storing = _Storing.begin(context, options, directory)
        reports = [attempt(display_name(path), partial(storing.store, path)) for path in dict.fromkeys(expand(paths))]
        derived = Derived()

        def derive() -> FileReport:
            nonlocal derived
            derivation = Derivation(context=context, records=storing.log, directory=made(directory / "derived"))
            derived = derivation.run()
            return FileReport(file="records")

        failed = attempt("records", derive)
    reports = [_adjusted(report, derived.rejected.get(storing.hashes.get(report.file, ""), 0)) for report in reports]
    if failed.error:
        reports.append(replace(failed, error=f"{failed.error} (records are stored; the next ingest derives events)"))
    return TraceIngest(reports=reports, derived=derived.added, retracted=derived.retracted)


def _adjusted(report: FileReport, rejected: int) -> FileReport:
    """The report of a file some of whose records turned out to lack what a bill needs."""
    if not rejected:
        return report
    reasons = dict(report.reasons)
    reasons["missing_field"] = reasons.get("missing_field", 0) + rejected
    accepted, quarantined = report.accepted - rejected, report.quarantined + rejected
    return replace(report, accepted=accepted, quarantined=quarantined, reasons=reasons)


@dataclass(slots=True, kw_only=True)
class _Storing:
    """What stores files. `prefixes`: what the room ids of each server of the app begin with in events."""

    context: IngestContext
    options: TraceOptions
    directory: Path
    log: RecordLog
    prefixes: dict[str, str]
    hashes: dict[str, str] = field(default_factory=dict)  # of files, by name

    @classmethod
    def begin(cls, context: IngestContext, options: TraceOptions, directory: Path) -> "_Storing":
        log, states = RecordLog(directory=context.home.records), FeedStates(directory=context.home.folds)
        log.table.discard_uncommitted()
        states.discard_unfinished()
        of_app = pl.col("app_id") == options.app_id
        pending = log.collect(
            log.scan(after=states.through().batch).filter(of_app).select("emitter", "rooms_in").unique()
        )
        known = {feed.emitter: feed.rooms_in for feed in states.feeds() if feed.app_id == options.app_id}
        prefixes = known | dict(pending.iter_rows())
        return cls(context=context, options=options, directory=directory, log=log, prefixes=prefixes)

    def store(self, path: str) -> FileReport:
        """Stores the records of a file."""
        with open_event_file(path, spool=self.context.home.directory) as file:
            self.hashes[file.name] = file.digest
            batch = _Batch(storing=self, file=file, number=self.log.table.last_batch() + 1)
            batch.read()
            file.check_unchanged()
            return batch.commit(made(self.directory / f"rejects-{len(self.hashes)}"))

    def prefix(self, emitters: set[str]) -> dict[str, str]:
        """What the room ids of servers begin with; new ones get theirs."""
        new = emitters - self.prefixes.keys()
        if new:
            rooms_in = dict.fromkeys(new, "") if self._has_older_events() else room_prefixes(new, self.prefixes)
            self.prefixes |= rooms_in
        return self.prefixes

    def _has_older_events(self) -> bool:
        """Whether the app has events of this source that were not derived from stored records: their rooms have the
        ids of their server, and go on."""
        log = self.context.log
        older = log.accepted(self.options.app_id).filter(
            pl.col("source") == self.options.source, pl.col("emitter").is_null()
        )
        with log.naming_damage():
            return older.limit(1).collect().height > 0


@dataclass(slots=True, kw_only=True)
class _Batch:
    """The records of one file on their way into the table."""

    storing: _Storing
    file: EventFile
    number: int
    read_events: int = 0
    duplicates: int = 0
    ignored: dict[str, int] = field(default_factory=dict)
    lines: int = 0
    rejected: dict[int, RejectedRow] = field(default_factory=dict)  # by line; the first reason stands
    accepted_lines: set[int] = field(default_factory=set)
    files: list[DataFile] = field(default_factory=list)
    held: list[tuple[object, ...]] = field(default_factory=list)
    numbers: "count[int]" = field(default_factory=count)

    def read(self) -> None:
        """Writes the new records to the table's directory."""
        options, too_long = self.storing.options, list[RejectedRow]()
        sizes = assumed_sizes(options.camera_size, options.screen_size)
        latest = (self.storing.context.now_ms + FUTURE_MS) * 1000
        for line, event in read_events(self._counted(self.file.trace_lines(too_long)), self._reject):
            try:
                text = _text(event)
                sign = read_event(event, Place(line.file, line.number, self.file.digest, text, sizes))
                if sign.at > latest:
                    raise UnreadableError("future", "timestamp is more than 5 minutes ahead of this machine's clock")
            except UnreadableError as error:
                self._reject(line, error.reason, error.detail)
                continue
            self._hold(sign, line, text)
            if len(self.held) >= PART_ROWS:
                self._write_part()
        self._write_part()
        self.lines += len(too_long)
        for row in too_long:
            self.rejected.setdefault(row.line, row)

    def commit(self, directory: Path) -> FileReport:
        """Adds to the quarantine, and commits. (The derivation lets rows leave that are records now.)"""
        context, file = self.storing.context, self.file
        rejects = Rejects(directory, file=file, seen_at=context.now_ms)
        rejects.add_lines([self.rejected[line] for line in sorted(self.rejected)])
        before = context.quarantine.ids(file.digest)
        if rejects.count:
            context.quarantine.put(file.digest, rejects.rows())
        report = FileReport(
            file=file.name,
            read=self.read_events + rejects.count,
            accepted=self.read_events - self.duplicates,
            duplicates=self.duplicates,
            quarantined=rejects.count,
            reasons=rejects.reasons(),
            lines=self.lines,
            ignored=self.ignored,
        )
        if self.files:
            now_records = {row_id(file.digest, line, 0) for line in self.accepted_lines - self.rejected.keys()}
            counts = {name: getattr(report, name) for name in ("read", "accepted", "duplicates", "quarantined")}
            metadata = {"file": file.name, "file_hash": file.digest, "ingested_at": context.now_ms, **counts}
            metadata["released"] = json.dumps(sorted(now_records & set(before["id"])))
            self.storing.log.commit(self.files, batch=self.number, metadata=metadata)
        return report

    def _counted(self, lines: Iterator[TraceLine]) -> Iterator[TraceLine]:
        for line in lines:
            self.lines += 1
            if self.storing.context.progress:
                self.storing.context.progress(1)
            yield line

    def _reject(self, line: TraceLine, reason: str, detail: str) -> None:
        self.rejected.setdefault(line.number, RejectedRow(line.file, line.number, reason, detail, raw_of(line)))

    def _hold(self, sign: Sign, line: TraceLine, text: str) -> None:
        self.read_events += 1
        if sign.record is None:
            kind = _KINDS.get(sign.type, f"type {sign.type}")
            self.ignored[kind] = self.ignored.get(kind, 0) + 1
        sizes = sign.record.place.sizes if sign.record else ()
        assumed = ",".join(f"{kind}={width}x{height}" for kind, (width, height) in sizes) or None
        key = xxh3_128_hexdigest((text if assumed is None else f"{text}\0{assumed}").encode())
        self.held.append((sign.emitter, sign.at, sign.type, sign.record is None, key, assumed, text, line.number))

    def _write_part(self) -> None:
        if not self.held:
            return
        columns = ("emitter", "at", "type", "ignored", "key", "assumed", "text", "line")
        schema = {name: RECORD_SCHEMA[name] for name in columns}
        rows = pl.DataFrame(self.held, schema=schema, orient="row")
        self.held = []
        new = rows.unique("key", keep="first", maintain_order=True)
        new = new.join(self._known(rows), on="key", how="anti", maintain_order="left")
        self.duplicates += rows.height - new.height
        if new.is_empty():
            return
        prefixes, options = self.storing.prefix(set(new["emitter"].unique())), self.storing.options
        new = new.with_columns(
            source=pl.lit(options.source),
            app_id=pl.lit(options.app_id, pl.Int64),
            rooms_in=pl.col("emitter").replace_strict(prefixes, return_dtype=pl.String),
            file=pl.lit(self.file.name),
            file_hash=pl.lit(self.file.digest),
        )
        self.accepted_lines |= set(new["line"])
        self.files += self.storing.log.write(new, batch=self.number, numbers=self.numbers)

    def _known(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The keys of the app's records of the same span: in the table, and in what this batch has written."""
        log, first, last = self.storing.log, rows["at"].min(), rows["at"].max()
        assert isinstance(first, int)  # noqa: S101 - there are rows
        assert isinstance(last, int)  # noqa: S101
        written = [log.directory / file.path for file in self.files]
        known = pl.concat([log.scan(first, last + 1), scan_files(written, RECORD_SCHEMA)])
        of_app = pl.col("app_id") == self.storing.options.app_id
        return log.collect(known.filter(of_app, pl.col("at").is_between(first, last)).select("key"))


def _text(event: object) -> str:
    """The content of an event as JSON in ASCII, with keys in order."""
    try:
        return json.dumps(event, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (ValueError, RecursionError):
        raise UnreadableError("bad_value", "it holds a number beyond all bounds, or too many levels") from None
