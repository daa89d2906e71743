"""Whole commands, timed as a user would type them, and what they should take."""

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from benchmarks.days import ACCOUNTS, Day
from benchmarks.month import export_invoice
from benchmarks.timing import Timing, median_of, timed

ALL_DEDUCTED = ("--package-minutes", "1000000000")
WORKER_MEGABYTES = 3_072  # beside the memory of Python
SHORT_RUNS = 5  # of what takes a moment only; the one in the middle counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a command took, or why it could not be measured. `rows`: how many rows it read or wrote, if that is told."""

    timing: Timing | None
    rows: int | None = None
    note: str = ""
    failed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """`seconds`, or `rows_per_second`, is the target, if there is one: the first for 10 million events, the second for
    any number."""

    run: Callable[[Day], Measured]
    title: str
    seconds: float | None = None
    rows_per_second: int | None = None


def _help(day: Day) -> Measured:
    return Measured(timing=median_of(SHORT_RUNS, lambda: day.billing().run("--help")))


def _estimate(day: Day) -> Measured:
    room = ("--calls-per-day", "20", "--users", "3", "--minutes", "45", "--camera", "1280x720", "--screen", "1920x1080")
    command = ("estimate", "call", "--policy", "trtc-intl", *room)
    return Measured(timing=median_of(SHORT_RUNS, lambda: day.billing().run(*command)))


def _usage(day: Day, by: str) -> Measured:
    day.log()
    billing = day.billing()
    billing.run("nightly")
    first = day.shape.day.isoformat()
    command = ("usage", str(day.shape.app_ids[0]), "--from", first, "--to", first, "--by", by)
    return Measured(timing=median_of(SHORT_RUNS, lambda: billing.run(*command)))


def _explain(day: Day, *, is_first: bool) -> Measured:
    """The first room of the first app, when somebody asked about that day before, or nobody did."""
    app_id, first = day.shape.app_ids[0], day.shape.day.isoformat()
    rooms = day.log().scan(day.shape.start, day.shape.end, apps=[app_id]).select(pl.col("room_id").min()).collect()
    billing = day.billing()
    billing.run("nightly")
    kept, command = billing.home / "room_seconds", ("explain", ACCOUNTS[0], "--app", str(app_id), "--day", first)

    def ask() -> Timing:
        if is_first:
            shutil.rmtree(kept, ignore_errors=True)
        return billing.run(*command, "--room", rooms.item(), "--format", "json")

    ask()
    return Measured(timing=median_of(SHORT_RUNS, ask))


def _ingest(day: Day, ending: str) -> Measured:
    home = "home" if ending == ".parquet" else "ndjson-home"
    timing = day.ingest(ending, home)
    return Measured(timing=timing, rows=_rows(timing))


def _nightly(day: Day, *options: str) -> Measured:
    day.log()
    billing = day.billing()
    billing.start_over(day.catalog, keep_events=True)
    return Measured(timing=billing.run("nightly", *options))


def _on_spark(day: Day, workers: int) -> Measured:
    if find_spec("pyspark") is None:
        return Measured(timing=None, note="needs pyspark: `make spark-test`")
    return _nightly(day, "--engine", "spark", "--master", f"local-cluster[{workers},1,{WORKER_MEGABYTES}]")


def _end_to_end(day: Day) -> Measured:
    ingest = day.ingest(".ndjson", "ndjson-home")
    billing = day.billing("ndjson-home")
    month = f"{day.shape.day:%Y-%m}"
    steps = [ingest, billing.run("nightly")]
    for account in ACCOUNTS:
        workbook = day.directory / f"{account}.xlsx"
        steps.append(billing.run("invoice", "export", account, "--month", month, "-o", workbook))
    whole = Timing(
        seconds=sum(step.seconds for step in steps),
        cpu_seconds=sum(step.cpu_seconds for step in steps),
        peak_bytes=max(step.peak_bytes for step in steps),
        stdout="",
    )
    ingested, billed, *invoices = (step.seconds for step in steps)
    note = f"ingest {ingested:.1f} s, nightly {billed:.1f} s, {len(invoices)} invoices {sum(invoices):.1f} s"
    return Measured(timing=whole, rows=_rows(ingest), note=note)


def _into_database(*options: str) -> Measured:
    with TemporaryDirectory() as directory:
        home = str(Path(directory) / "home")
        timing = timed([sys.executable, "-m", "benchmarks.many_apps", home, *options])
    usage, deductions, seconds, settling = timing.stdout.split()
    note = f"and {int(deductions):,} deductions; {float(settling):.1f} s of it in SQL"
    return Measured(timing=replace(timing, seconds=float(seconds)), rows=int(usage), note=note)


def _into_postgresql(*options: str) -> Measured:
    from tests.postgresql_server import started_postgresql

    with started_postgresql() as url:
        if url is None:
            return Measured(timing=None, note="no PostgreSQL on the PATH or in /usr/lib/postgresql")
        return _into_database(url, *options)


def _invoice(_: Day, apps: int) -> Measured:
    with TemporaryDirectory() as directory:
        timing, windows = export_invoice(Path(directory), apps)
    return Measured(timing=timing, rows=windows)


def _rows(ingest: Timing) -> int:
    """How many rows an ingest read, by its own account."""
    return sum(report["read"] for report in json.loads(ingest.stdout))


COMMANDS = {
    "help": Command(run=_help, title="`billing --help`", seconds=0.3),
    "estimate": Command(run=_estimate, title="`billing estimate call`", seconds=1.5),
    "ingest": Command(
        run=lambda day: _ingest(day, ".parquet"), title="`billing ingest`, Parquet", rows_per_second=600_000
    ),
    "nightly": Command(run=_nightly, title="`billing nightly` of that day", seconds=30),
    "spark-1": Command(run=lambda day: _on_spark(day, 1), title="that nightly on Spark, one worker of one core"),
    "spark-2": Command(run=lambda day: _on_spark(day, 2), title="that nightly on Spark, two workers of one core"),
    "usage-window": Command(
        run=lambda day: _usage(day, "window"), title="`billing usage --by window`, one day", seconds=1.5
    ),
    "explain-room": Command(
        run=lambda day: _explain(day, is_first=False), title="`billing explain --room`, one day", seconds=2
    ),
    "explain-first": Command(
        run=lambda day: _explain(day, is_first=True), title="the same, the first question about that day"
    ),
    "usage-day": Command(run=lambda day: _usage(day, "day"), title="`billing usage --by day`", seconds=1.5),
    "ingest-ndjson": Command(
        run=lambda day: _ingest(day, ".ndjson"), title="`billing ingest`, NDJSON", rows_per_second=250_000
    ),
    "end-to-end": Command(run=_end_to_end, title="NDJSON to the invoices of three accounts", seconds=90),
    "sqlite": Command(run=lambda _: _into_database(), title="a day of 1,000 apps into SQLite", seconds=20),
    "sqlite-deducted": Command(
        run=lambda _: _into_database(*ALL_DEDUCTED), title="that day, all deducted, into SQLite"
    ),
    "postgresql": Command(run=lambda _: _into_postgresql(), title="a day of 1,000 apps into PostgreSQL", seconds=20),
    "postgresql-deducted": Command(
        run=lambda _: _into_postgresql(*ALL_DEDUCTED), title="that day, all deducted, into PostgreSQL"
    ),
    "invoice": Command(
        run=lambda day: _invoice(day, 1), title="`billing invoice export`, a month of 1 app", seconds=10
    ),
    "invoice-10": Command(
        run=lambda day: _invoice(day, 10), title="`billing invoice export`, a month of 10 apps", seconds=40
    ),
}
