"""The drainer: what the spool holds goes into the event log, by the ordinary ingest and its lock.

It is `billing watch` over the spool, as a thread of the service. A segment that was ingested is removed, or moved to
`spool/kept` for some days, when what became of its rows is known. A drainer that is killed takes the segment again, and
finds only duplicates. When the home cannot take anything (a full disk, a database that is gone) segments stay, and are
tried again. One that fails by itself is moved to `spool/failed`, and tried again when the service is started the next
time.
"""

import logging
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from billing.errors import BillingError
from billing.home import Home
from billing.jobs.ingest import FileReport, RowVerdicts, ingest_files, ingest_records, ingest_workspace, open_context
from billing.jobs.refresh import Refreshed, run_refresh
from billing.jobs.trace_ingest import ingest_trace
from billing.jobs.watch import UNFINISHED, BroughtUp, StoppedError, Taken, Told, Trouble, Watch
from billing.jobs.watch import Spool as Arrivals
from billing.ledger.catalog_store import load_catalog
from billing.ledger.database import Engine, reading
from billing.ledger.runs import FAILED
from billing.periods import now
from billing.sources.record_apps import RecordOptions
from billing.sources.traces import TraceOptions
from billing.web.batches import Batches
from billing.web.segments import EVENTS, OPEN, SEALED, Feed, SegmentName
from billing.web.spool import Spool

TRACE_SOURCES = ("janus",)
_KEPT = "kept"
_LOOK_SECONDS = 1.0
_CLEAN_SECONDS = 3600.0

_log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Drained:
    """What was ingested since the start."""

    segments: int = 0
    accepted: int = 0
    duplicates: int = 0
    quarantined: int = 0
    failed: int = 0

    def add(self, report: FileReport) -> None:
        """Counts a segment."""
        self.segments += 1
        self.accepted += report.accepted
        self.duplicates += report.duplicates
        self.quarantined += report.quarantined
        self.failed += report.error is not None


@dataclass(slots=True, kw_only=True)
class Drainer:
    """Ingests the segments of a spool, and refreshes every five minutes if it should. `keep_days`: how long segments
    stay in `spool/kept` when they are ingested, for whoever restores an earlier backup."""

    home: Home
    engine: Engine
    spool: Spool
    batches: Batches
    refreshes: bool = True
    keep_days: int = 0
    drained: Drained = field(default_factory=Drained)

    _wake: threading.Event = field(default_factory=threading.Event)
    _is_stopping: bool = False
    _thread: threading.Thread | None = None

    def put_back(self) -> None:
        """Before the spool is opened: what failed the last time is tried again; what was ingested is removed."""
        failed = self.spool.directory / "failed"
        for path in failed.glob(f"*{SEALED}") if failed.is_dir() else ():
            path.rename(self.spool.directory / path.name)
        for path in self.batches.done.glob(f"*{SEALED}"):
            self._put_away(path)

    def start(self) -> None:
        """Begins to ingest."""
        self.home = replace(self.home, waiting=self._check)
        self._thread = threading.Thread(target=self._run, name="drainer", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """There is something to ingest."""
        self._wake.set()

    def ask_to_stop(self) -> None:
        """It shall end after the segment in hand."""
        self._is_stopping = True
        self._wake.set()

    def stop(self, seconds: float) -> bool:
        """Ends after the segment in hand; whether it has within this time. (It may be killed at any time.)"""
        self.ask_to_stop()
        if self._thread:
            self._thread.join(seconds)
        return not (self._thread and self._thread.is_alive())

    def _run(self) -> None:
        watch = self._watch()
        clean_at = 0.0
        with suppress(StoppedError):
            while not self._is_stopping:
                self.spool.await_segments(False)
                for told in watch.turn():
                    self._take_note(told)
                if time.monotonic() >= clean_at:
                    clean_at = time.monotonic() + _CLEAN_SECONDS
                    with suppress(OSError):
                        self.batches.forget_old()
                        self._forget_kept()
                self.spool.await_segments(True)
                self._wake.wait(_LOOK_SECONDS)
                self._wake.clear()

    def _watch(self) -> Watch:
        directory = self.spool.directory
        arrivals = Arrivals(
            directory=directory,
            done=self.batches.done,
            failed=directory / "failed",
            settle_seconds=0,
            unfinished=(*UNFINISHED, OPEN, ".key", ".new"),
        )
        return Watch(
            spool=arrivals,
            ingest=self._ingest,
            check_home=self._check_home,
            clock=time.time,
            refresh=self._refresh if self.refreshes else None,
            is_stopping=lambda: self._is_stopping,
        )

    def _check(self) -> None:
        """Raises when it shall end: while a lock is waited for, no segment is in hand."""
        if self._is_stopping:
            raise StoppedError

    def _check_home(self) -> None:
        with ingest_workspace(open_context(self.home, self.engine, now())):
            pass

    def _refresh(self) -> Sequence[Refreshed]:
        return run_refresh(replace(self.home, waiting=_put_off), self.engine)

    def _ingest(self, path: Path) -> FileReport:
        name = SegmentName.of(path.name)
        if name is None:
            raise BillingError(f"{path} is no segment of the spool: ingest it by `billing ingest`")
        return self._ingest_events(path, name.stamp) if name.feed == EVENTS else self._ingest_frames(path, name.feed)

    def _ingest_events(self, path: Path, stamp: str) -> FileReport:
        verdicts = RowVerdicts()
        (report,) = ingest_files(open_context(self.home, self.engine, now()), [str(path)], verdicts=verdicts)
        if not report.error:
            self.batches.keep(stamp, duplicates=verdicts.duplicates, quarantined=verdicts.quarantined)
        return report

    def _ingest_frames(self, path: Path, feed: Feed) -> FileReport:
        context = open_context(self.home, self.engine, now())
        with reading(self.engine) as conn:
            apps = load_catalog(conn).apps
        if feed.app_id is None or feed.app_id not in apps:
            raise BillingError(f"{path.name}: the catalog has no app {feed.app_id}: apply one that has it, and restart")
        if feed.source in TRACE_SOURCES:
            assume = apps[feed.app_id].assume
            sizes = {f"{kind}_size": assume.size(kind) for kind in ("camera", "screen")}
            trace = TraceOptions(source=feed.source, app_id=feed.app_id, **sizes)
            return _first_error(ingest_trace(context, [str(path)], trace).reports)
        options = RecordOptions(source=feed.source, app_id=feed.app_id, apps=apps)
        return _first_error(list(ingest_records(context, [str(path)], options)))

    def _take_note(self, told: Told) -> None:
        match told:
            case Taken(report=report, path=path):
                self._take_away(report, path)
            case BroughtUp(days=days):
                for day in days:
                    if day.result == FAILED:
                        _log.error("%s, %s: %s", day.account, day.day, day.detail)
            case Trouble(message=message, is_over=is_over):
                _log.log(
                    logging.INFO if is_over else logging.ERROR, "segments are ingested again" if is_over else message
                )

    def _take_away(self, report: FileReport, path: Path) -> None:
        self.drained.add(report)
        if report.error:
            _log.error("%s: moved to %s", report.error, path)
        else:
            self._put_away(path)
        self.spool.drained(path.name)

    def _put_away(self, path: Path) -> None:
        if not self.keep_days:
            path.unlink(missing_ok=True)
            return
        kept = self.spool.directory / _KEPT
        kept.mkdir(exist_ok=True)
        path.rename(kept / path.name)

    def _forget_kept(self) -> None:
        oldest = time.time() - self.keep_days * 86_400
        for path in (self.spool.directory / _KEPT).glob(f"*{SEALED}") if self.keep_days else ():
            if path.stat().st_mtime < oldest:
                path.unlink(missing_ok=True)


def _first_error(reports: Sequence[FileReport]) -> FileReport:
    return next((report for report in reports if report.error), reports[0])


def _put_off() -> None:
    raise BillingError("put off for five minutes, so that segments need not wait")
