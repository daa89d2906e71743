"""Watch: the files of a spool directory are ingested as they are completed, and moved out of the way.

    spool/1018.ndjson   is ingested, then moved to   spool/done/1018.ndjson
    spool/notes.txt     cannot be, and is moved to   spool/failed/notes.txt, the reason beside it in notes.txt.reason

A server writes a file under another name, one that begins with a dot or ends in `.tmp` or `.part`, and renames it when
it is complete. A file that is written under its final name counts as complete when it was not changed for some seconds;
one that is changed after all, once it was moved, is brought back. Files are taken in the order of their names.

A file is ingested, then moved. A process that is killed in between takes the file again, and finds only duplicates.
What is wrong with the home, such as a full disk or a locked database, is not the fault of a file: the file stays, and
is tried again.
"""

import math
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from filelock import FileLock, Timeout

from billing.errors import BillingError, UsageError
from billing.events.rows import display_name
from billing.jobs.ingest import DISK_ERRORS, FileReport, cause
from billing.jobs.refresh import Refreshed
from billing.periods import WINDOW_SECONDS

RETRY_SECONDS = 30  # until what went wrong is tried again
LATE_SECONDS = 600  # so long moved files are looked at, in case that somebody writes to one after all

_RENAME = "rename a file to its final name when it is complete"
UNFINISHED = (".tmp", ".part", ".reason")
_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
}


class StoppedError(BaseException):
    """Raised while a lock is waited for, when the watch shall end. (No `Exception`: an ingest would keep it.)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A complete file of the spool directory, as it was when it was found."""

    path: Path
    stamp: tuple[int, int, int]

    def is_unchanged(self, path: Path) -> bool:
        """Whether it is at that path now, with the same content."""
        try:
            return _stamp(path.lstat()) == self.stamp
        except FileNotFoundError:
            return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Spool:
    """The directory where files arrive, and those to which they are moved. A file is complete when it was not changed
    for `settle_seconds`, and its name has no ending of unfinished ones."""

    directory: Path
    done: Path
    failed: Path
    settle_seconds: float = 5
    unfinished: tuple[str, ...] = UNFINISHED

    @contextmanager
    def held(self, home: Path) -> Iterator[None]:
        """Makes the directories, and lets nobody else watch this one; a `BillingError` where that cannot be."""
        if not self.directory.is_dir():
            raise UsageError(f"{self.directory} is not a directory: make it, and let files arrive there")
        for place in (self.directory, self.done, self.failed):
            if place.resolve().is_relative_to(home.resolve()):
                raise UsageError(f"{place} is in the home: watch a directory elsewhere")
        for place in (self.done, self.failed):
            place.mkdir(exist_ok=True)
            if place.resolve() == self.directory.resolve():
                raise UsageError(f"{place} is where files arrive: name another directory for those that were taken")
            if place.stat().st_dev != self.directory.stat().st_dev:
                raise UsageError(f"{place} is on another file system than {self.directory}: name one that is not")
        try:
            with FileLock(self.directory / ".watch.lock", blocking=False):
                yield
        except Timeout:
            raise BillingError(f"{self.directory} is watched by another `billing watch` already") from None

    def look(self, now: float) -> tuple[list[Found], list[tuple[str, str]]]:
        """The complete files by name, and the name and kind of what is there and no file."""
        files, others = [], []
        for entry in sorted(os.scandir(self.directory), key=lambda entry: os.fsencode(entry.name)):
            path = Path(entry.path)
            if entry.name.startswith(".") or entry.name.endswith(self.unfinished) or path in (self.done, self.failed):
                continue
            with suppress(FileNotFoundError):
                status = entry.stat(follow_symlinks=False)
                if not stat.S_ISREG(status.st_mode):
                    others.append((display_name(entry.name), _KINDS.get(stat.S_IFMT(status.st_mode), "a device")))
                elif abs(now - status.st_mtime) >= self.settle_seconds:
                    files.append(Found(path=path, stamp=_stamp(status)))
        return files, others


def moved(path: Path, to: Path) -> Path:
    """The new path of a file in another directory. A name that is taken there gets a number: `1018-2.ndjson`."""
    to.mkdir(exist_ok=True)
    stem, dot, endings = path.name.partition(".")
    place, number = to / path.name, 1
    while os.path.lexists(place):
        number += 1
        place = to / f"{stem}-{number}{dot}{endings}"
    path.rename(place)
    return place


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A file that was ingested, or could not be, and where it is now."""

    report: FileReport
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class PassedOver:
    """Something that is no file, and stays where it is."""

    name: str
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BroughtUp:
    """The days that were refreshed."""

    days: Sequence[Refreshed]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What is wrong; it is said once, and tried again. `is_over`: no longer."""

    message: str
    is_over: bool = False


Told = Taken | PassedOver | BroughtUp | Trouble


@dataclass(slots=True, kw_only=True)
class Watch:
    """The watch over one spool directory. `ingest` and `refresh` raise what is wrong with the home, and so does
    `check_home`, which tells a file that cannot be ingested from a home that cannot take any. `clock`: epoch seconds.
    """

    spool: Spool
    ingest: Callable[[Path], FileReport]
    check_home: Callable[[], None]
    clock: Callable[[], float]
    refresh: Callable[[], Sequence[Refreshed]] | None = None
    is_stopping: Callable[[], bool] = lambda: False

    _tries: Counter[Path] = field(default_factory=Counter)
    _ingested: dict[Found, FileReport] = field(default_factory=dict)  # and not moved yet
    _moved: dict[Path, tuple[Found, float]] = field(default_factory=dict)  # with the time until which it is looked at
    _passed_over: set[tuple[str, str]] = field(default_factory=set)
    _trouble: str = ""
    _retry_at: float = 0
    _look_back_at: float = 0
    _refresh_at: float = 0
    _is_stale: bool = True  # what came before a process was killed may not be refreshed yet

    def __post_init__(self) -> None:
        self._refresh_at = _next_window(self.clock())

    def turn(self) -> Iterator[Told]:
        """Takes the files that are complete now, and refreshes when it is time."""
        yield from self._bring_back()
        if self.clock() >= self._retry_at:
            try:
                yield from self._take_all()
            except (BillingError, *DISK_ERRORS) as error:
                yield from self._tell(error)
            else:
                if self._trouble:
                    yield Trouble(message=self._trouble, is_over=True)
                self._trouble = ""
        yield from self._refreshed_in_time()

    def once(self) -> Iterator[Told]:
        """One turn, and one refresh after it."""
        self._refresh_at = math.inf
        yield from self.turn()
        yield from self.bring_up()

    def bring_up(self) -> Iterator[Told]:
        """Refreshes, if anything came since the last time."""
        self._refresh_at = _next_window(self.clock())
        if self.refresh and self._is_stale:
            try:
                yield BroughtUp(days=self.refresh())
                self._is_stale = False
            except (BillingError, *DISK_ERRORS) as error:
                yield Trouble(message=f"not refreshed: {_message(error)}")

    def _refreshed_in_time(self) -> Iterator[Told]:
        if self.clock() >= self._refresh_at and not self.is_stopping():
            yield from self.bring_up()

    def _tell(self, error: BaseException) -> Iterator[Told]:
        self._retry_at = self.clock() + RETRY_SECONDS
        if self._trouble != _message(error):
            self._trouble = _message(error)
            yield Trouble(message=self._trouble)

    def _take_all(self) -> Iterator[Told]:
        files, others = self.spool.look(self.clock())
        yield from (PassedOver(name=name, kind=kind) for name, kind in others if (name, kind) not in self._passed_over)
        self._passed_over = set(others)
        # A file that keeps failing for another reason than itself keeps no other file waiting.
        for found in sorted(files, key=lambda found: self._tries[found.path]):
            if self.is_stopping():
                return
            self._tries[found.path] += 1
            yield from self._take(found)
            del self._tries[found.path]
            yield from self._refreshed_in_time()

    def _take(self, found: Found) -> Iterator[Told]:
        report = self._ingested.get(found) or self._report(found)
        if not found.is_unchanged(found.path):
            return
        self._ingested[found] = report
        path = moved(found.path, self.spool.failed if report.error else self.spool.done)
        del self._ingested[found]
        self._moved[path] = (found, self.clock() + LATE_SECONDS)
        self._is_stale |= report.accepted > 0
        if report.error:
            with suppress(OSError):  # the message says it, too
                path.with_name(f"{path.name}.reason").write_text(f"{report.error}\n", errors="backslashreplace")
        yield Taken(report=report, path=path)

    def _report(self, found: Found) -> FileReport:
        """The report of a file. What is wrong with the home is raised instead: an error is that of the file if it comes
        twice while the home is well."""
        report = FileReport(file=display_name(str(found.path)))
        for _ in range(2):
            try:
                report = self.ingest(found.path)
            except UsageError:
                raise
            except BillingError as error:
                report = replace(report, error=str(error))
            if not report.error:
                break
            if report.may_pass:
                raise BillingError(report.error)
            self.check_home()
        return report

    def _bring_back(self) -> Iterator[Told]:
        """Brings back files that were written to after they were moved."""
        if self.clock() < self._look_back_at:
            return
        self._look_back_at = self.clock() + RETRY_SECONDS
        for path, (found, until) in list(self._moved.items()):
            if found.is_unchanged(path):
                if self.clock() < until:
                    continue
            elif path.exists():
                moved(path, self.spool.directory)
                name = display_name(path.name)
                yield Trouble(message=f"{name} was written to after it was ingested: it is ingested again; {_RENAME}")
            del self._moved[path]


def watch(watching: Watch, *, sleep: Callable[[], None], once: bool) -> Iterator[Told]:
    """Turn after turn until it is stopped; or one turn and a refresh."""
    if once:
        yield from watching.once()
        return
    while not watching.is_stopping():
        yield from watching.turn()
        sleep()


def _message(error: BaseException) -> str:
    return str(error) if isinstance(error, BillingError) else cause(error)


def _stamp(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_ino, status.st_size, status.st_mtime_ns


def _next_window(now: float) -> float:
    return now - now % WINDOW_SECONDS + WINDOW_SECONDS
