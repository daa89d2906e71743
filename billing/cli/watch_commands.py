"""Watching a spool directory: one process that ingests what arrives, as it arrives."""

import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from billing.cli.homes import open_engine, pass_home
from billing.cli.ingest_commands import Trace, ingested, trace_options
from billing.cli.messages import say, say_error, timed_messages
from billing.cli.options import FILE, collected
from billing.errors import BillingError
from billing.periods import now

if TYPE_CHECKING:
    from billing.home import Home
    from billing.jobs.ingest import FileReport
    from billing.jobs.refresh import Refreshed
    from billing.jobs.watch import Spool, Told, Watch

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_NAP_SECONDS = 0.2  # a signal is noticed after that


@dataclass(frozen=True, slots=True, kw_only=True)
class _Places:
    """Where files are moved."""

    done: Path | None
    failed: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pace:
    """When what is done."""

    interval: float
    settle: float
    refreshes: bool
    once: bool


@click.command()
@click.argument("directory", type=FILE, metavar="DIR")
@trace_options(required=False)
@collected(
    "places",
    _Places,
    click.option("--done", type=FILE, metavar="DIR", help="For files that were ingested.  [default: done in DIR]"),
    click.option("--failed", type=FILE, metavar="DIR", help="For files that cannot be.  [default: failed in DIR]"),
)
@collected(
    "pace",
    _Pace,
    click.option(
        "--interval",
        type=click.FloatRange(0.1, 3600),
        default=1,
        show_default=True,
        metavar="SECONDS",
        help="How often to look.",
    ),
    click.option(
        "--settle",
        type=click.FloatRange(0, 3600),
        default=5,
        show_default=True,
        metavar="SECONDS",
        help="A file that was not changed for so long is complete.",
    ),
    click.option(
        "--refresh/--no-refresh",
        "refreshes",
        default=True,
        show_default=True,
        help="Also refresh, after each 5 minutes.",
    ),
    click.option("--once", is_flag=True, help="Only take what is there now, refresh, and end."),
)
@pass_home
def watch(home: "Home", directory: Path, trace: Trace, places: _Places, pace: _Pace) -> None:
    """Ingest files as they arrive in a directory. Each is moved away when it is done; one that cannot be ingested goes
    to another directory, with the reason. A name that begins with a dot or ends in .tmp or .part is not final: rename a
    file when it is complete. After each five minutes in which events came, today's figures are refreshed.

    It goes on until a signal (SIGTERM, Ctrl-C) stops it, after the file in hand; a second signal stops it at once. A
    watch that was killed loses nothing and takes nothing twice when it is started again.

    \b
    Example:
      billing watch /srv/spool
      billing watch /srv/janus --source janus --app 1400000001 --no-refresh
      billing watch /srv/spool --once
    """
    from billing.jobs.watch import Spool, StoppedError
    from billing.jobs.watch import watch as turns

    spool = Spool(
        directory=directory,
        done=places.done or directory / "done",
        failed=places.failed or directory / "failed",
        settle_seconds=pace.settle,
    )
    list(ingested(home, [], trace, ""))  # what is wrong with the home or the options is said at once
    failed = False
    with spool.held(home.directory), timed_messages(), stopping() as stop:
        watching = _watch(home, spool, trace, stop, refreshes=pace.refreshes)
        say(f"watching {directory}: files go to {spool.done} when they are ingested, else to {spool.failed}")
        with suppress(StoppedError):
            for told in turns(watching, sleep=lambda: stop.sleep(pace.interval), once=pace.once):
                failed |= not _say(told)
        say("stopped" if stop.is_asked else "done")
    if failed and pace.once:
        raise BillingError("not everything was done: see above")


class _Stop:
    """Whether a signal has asked to stop. The next one ends the process as it would any other."""

    def __init__(self) -> None:
        self.is_asked = False

    def ask(self, _signal: int, _frame: FrameType | None) -> None:
        """What a signal calls."""
        self.is_asked = True
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_DFL)

    def check(self) -> None:
        """Raises if it has: while a lock is waited for, no file is in hand."""
        from billing.jobs.watch import StoppedError

        if self.is_asked:
            raise StoppedError

    def sleep(self, seconds: float) -> None:
        """Sleeps until then, or until it is asked to stop."""
        until = time.monotonic() + seconds
        while not self.is_asked and (rest := until - time.monotonic()) > 0:
            time.sleep(min(rest, _NAP_SECONDS))


@contextmanager
def stopping() -> Iterator[_Stop]:
    """Signals ask to stop, and mean what they did before at the end."""
    stop = _Stop()
    before = {each: signal.signal(each, stop.ask) for each in _SIGNALS}
    try:
        yield stop
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _watch(home: "Home", spool: "Spool", trace: Trace, stop: _Stop, *, refreshes: bool) -> "Watch":
    from billing.jobs.ingest import ingest_workspace, open_context
    from billing.jobs.refresh import run_refresh
    from billing.jobs.watch import Watch

    home = replace(home, waiting=stop.check)

    def ingest(path: Path) -> "FileReport":
        (report,) = ingested(home, [str(path)], trace, "")
        return report

    def check_home() -> None:
        with ingest_workspace(open_context(home, open_engine(home), now())):
            pass

    def refresh() -> Sequence["Refreshed"]:
        return run_refresh(replace(home, waiting=_put_off), open_engine(home))

    return Watch(
        spool=spool,
        ingest=ingest,
        check_home=check_home,
        clock=time.time,
        refresh=refresh if refreshes else None,
        is_stopping=lambda: stop.is_asked,
    )


def _put_off() -> None:
    raise BillingError("put off for five minutes, so that files need not wait")


def _say(told: "Told") -> bool:
    """A line for each thing that happened; whether it was as it should be."""
    from billing.jobs.watch import BroughtUp, PassedOver, Taken

    match told:
        case Taken(report=report, path=path):
            return _say_taken(report, path)
        case BroughtUp(days=days):
            return _say_brought_up(days)
        case PassedOver(name=name, kind=kind):
            say(f"{name} is {kind} and stays where it is: only files are ingested")
            return True
    if told.is_over:
        say("files are taken again")
        return True
    say_error(told.message)
    return False


def _say_taken(report: "FileReport", path: Path) -> bool:
    from billing.events.rows import display_name

    where = display_name(str(path))
    if report.error:
        say_error(f"{report.error}: moved to {where}", event="failed", file=report.file, moved_to=where)
        return False
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(report.reasons.items()))
    counts = f"read {report.read:,}, accepted {report.accepted:,}, duplicates {report.duplicates:,}"
    quarantined = f", quarantined {report.quarantined:,} ({reasons})" if report.quarantined else ""
    say(f"{report.file}: {counts}{quarantined}", event="ingested", moved_to=where, **asdict(report))
    return True


def _say_brought_up(days: Sequence["Refreshed"]) -> bool:
    from billing.ledger.runs import FAILED

    failed = [day for day in days if day.result == FAILED]
    for day in failed:
        say_error(f"{day.account}, {day.day}: {day.detail}")
    accounts = len({day.account for day in days})
    say(f"refreshed: {len(days) - len(failed):,} days of {accounts:,} accounts", event="refreshed")
    return not failed
