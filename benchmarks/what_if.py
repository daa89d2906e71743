"""`python -m benchmarks.what_if DIRECTORY`: a month of 1,000 apps of one account, billed anew.

Usage is made up: four items in the first two hours of every day, on two of the days in every window; 124,000 charges,
5 million rows of usage. A package pays until it runs out. Prints the processor seconds of `billing what-if` and
`billing diff`, the least of several runs.
"""

import argparse
import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
from tabulate import tabulate

from benchmarks.days import Billing
from billing.catalog.reading import parse_catalog
from billing.events.log import EventLog
from billing.events.schema import EVENT_SCHEMA
from billing.home import Home
from billing.jobs import nightly
from billing.ledger import catalog_store
from billing.ledger.database import open_database, upgrade, writing
from billing.metering.meter import Span
from billing.metering.schemas import FINDINGS_SCHEMA, STATE_SCHEMA, USAGE_SCHEMA, Metered

APPS, FIRST_APP = 1_000, 1_600_000_001
MONTH, DAYS = date(2026, 3, 1), 31
START = int(datetime(MONTH.year, MONTH.month, MONTH.day, tzinfo=UTC).timestamp())
NOW = datetime(2026, 4, 1, 6, tzinfo=UTC)
FULL_DAYS, FULL_WINDOWS, WINDOWS = (0, 14), 288, 24
CLASSES = (("audio", "no_video_received"), ("hd", "camera"), ("fhd", "camera"), ("2k", "screen_share"))
QUESTIONS = (
    ("what-if", "all", "--month", "2026-03"),
    ("what-if", "all", "--month", "2026-03", "--packages", "none"),
    ("what-if", "all", "--month", "2026-03", "--packages", "best"),
    ("what-if", "all", "--month", "2026-03", "--packages", "best", "--format", "json"),
    ("diff", "all", "2026-03@run:1", "2026-03"),
)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.what_if", description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--runs", type=int, default=3, help="of each question; the least counts")
    parser.add_argument("--most-seconds", type=int, default=100, help="of a window, app and item")
    parser.add_argument("--package-minutes", type=int, default=3_000_000)
    arguments = parser.parse_args()
    billing = Billing(home=arguments.directory, now=NOW)
    if not billing.home.exists():
        _bill(Home.at(billing.home, None), arguments.most_seconds, arguments.package_minutes)
    rows = []
    for question in QUESTIONS:
        timings = [billing.run(*question) for _ in range(arguments.runs)]
        best = min(timings, key=lambda timing: timing.cpu_seconds)
        rows.append((f"`{' '.join(question)}`", f"{best.seconds:.2f}", f"{best.cpu_seconds:.2f}"))
    headers = ("command", "seconds", "CPU seconds")
    print(
        tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True, colalign=("left", "right", "right"))
    )


def _bill(home: Home, most_seconds: int, package_minutes: int) -> None:
    home.directory.mkdir(parents=True)
    upgrade(home.database)
    engine = open_database(home.database)
    with writing(engine) as conn:
        catalog_store.apply(conn, parse_catalog(_catalog(package_minutes), "catalog.toml"), applied_at_ms=0)
    _one_event_a_day(EventLog(directory=home.events))
    drawn = np.random.default_rng(1)

    def metering(_log: EventLog, _ingest: int, _carried: pl.DataFrame, span: Span) -> Metered:
        usage = _usage(span, drawn, most_seconds)
        empty = (pl.DataFrame(schema=schema) for schema in (STATE_SCHEMA, FINDINGS_SCHEMA))
        return Metered(usage=usage, state=next(empty), findings=next(empty))

    os.environ["BILLING_NOW"] = NOW.isoformat()
    last_day = MONTH + timedelta(days=DAYS - 1)
    results = [
        each.result for each in nightly.run_nightly(home, engine, nightly.Scope(day=last_day), metering=metering)
    ]
    assert results == ["billed"] * DAYS, results


def _usage(span: Span, drawn: np.random.Generator, most_seconds: int) -> pl.DataFrame:
    windows = FULL_WINDOWS if (span.start - START) // 86_400 in FULL_DAYS else WINDOWS
    rows = (
        pl.DataFrame({"app_id": range(FIRST_APP, FIRST_APP + APPS)})
        .join(pl.DataFrame({"window_start": range(span.start, span.start + 300 * windows, 300)}), how="cross")
        .join(pl.DataFrame(CLASSES, schema=["item", "reason"], orient="row"), how="cross")
    )
    seconds = pl.Series(drawn.integers(1, most_seconds, rows.height))
    return rows.with_columns(seconds=seconds).cast(dict(USAGE_SCHEMA)).select(*USAGE_SCHEMA)


def _one_event_a_day(log: EventLog) -> None:
    """Only days with events are metered."""
    log.create()
    files = []
    for number in range(DAYS):
        at = (START + number * 86_400) * 1000
        event = {"event_id": f"{number}", "app_id": FIRST_APP, "room_id": "hall", "user_id": "ann", "at": at, "seq": 0}
        rows = pl.DataFrame([{**event, "type": "enter"}], schema=EVENT_SCHEMA)
        files.append(log.write(rows, MONTH + timedelta(days=number), ingest_id=1, number=number))
    log.commit(files, ingest_id=1, metadata={})


def _catalog(package_minutes: int) -> str:
    account = '[[account]]\nid = "all"\nname = "all"\ncurrency = "USD"\ntimezone = "UTC"\npolicy = "trtc-intl"\n\n'
    package = (
        f'[[package]]\nid = "package"\naccount = "all"\nminutes = {package_minutes}\n'
        'purchased_at = "2026-03-01T12:00:00+00:00"\nprice = "2416"\nterm = "year"\n\n'
    )
    apps = (f'[[app]]\nid = {FIRST_APP + n}\naccount = "all"\nname = "app {n}"\n\n' for n in range(APPS))
    return "".join([account, package, *apps])


if __name__ == "__main__":
    main()
