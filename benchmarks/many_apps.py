"""A day of 1,000 apps into SQL: what the nightly does after metering, with seconds that are made up.

`python -m benchmarks.many_apps HOME [URL]` makes a home with ten accounts of 100 apps, each with usage in every window
under seven items and reasons: 2,016,000 rows. It bills that day and prints the rows of usage and of deductions, and the
seconds of all of it and of settling alone (what goes into the database, account by account). Each account has a package
of 3,000,000 minutes, which is soon used up; with `--package-minutes 1000000000` every window has deductions, more than
a million.
"""

import argparse
import time
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl

from billing.catalog.reading import parse_catalog
from billing.events.log import EventLog
from billing.events.schema import EVENT_SCHEMA
from billing.home import Home
from billing.jobs import nightly
from billing.ledger import catalog_store, settled_days
from billing.ledger.database import Engine, open_database, upgrade, writing
from billing.ledger.settled_days import SpanBill
from billing.metering.meter import Span
from billing.metering.schemas import FINDINGS_SCHEMA, STATE_SCHEMA, USAGE_SCHEMA, Metered

ACCOUNTS, APPS = 10, 1_000
FIRST_APP = 1_600_000_001
DAY = date(2026, 3, 10)
DAY_START = 1_773_100_800
NOW = "2026-03-11T06:00:00+00:00"
CLASSES = (
    ("audio", "no_video_received"),
    ("audio", "alone_in_room"),
    ("audio", "disconnect_grace"),
    ("hd", "camera"),
    ("hd", "screen_share"),
    ("fhd", "camera"),
    ("2k", "screen_share"),
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.many_apps", description=__doc__)
    parser.add_argument("home", type=Path)
    parser.add_argument("url", nargs="?")
    parser.add_argument("--package-minutes", type=int, default=3_000_000)
    arguments = parser.parse_args()
    home = Home.at(arguments.home, arguments.url)
    home.directory.mkdir(parents=True)
    upgrade(home.database)
    engine = open_database(home.database)
    with writing(engine) as conn:
        catalog = _catalog(arguments.package_minutes)
        catalog_store.apply(conn, parse_catalog(catalog, "catalog.toml"), applied_at_ms=0)
    _one_event_of_each_account(EventLog(directory=home.events))
    usage = _usage()
    settling, deductions, settle = 0.0, 0, settled_days.settle

    def timed_settle(engine: Engine, bill: SpanBill) -> int:
        nonlocal settling, deductions
        began = time.perf_counter()
        run = settle(engine, bill)
        settling += time.perf_counter() - began
        deductions += sum(len(day.billed.deductions) for day in bill.days)
        return run

    def metering(_log: EventLog, _ingest: int, _carried: pl.DataFrame, span: Span) -> Metered:
        assert span.start == DAY_START
        return Metered(
            usage=usage, state=pl.DataFrame(schema=STATE_SCHEMA), findings=pl.DataFrame(schema=FINDINGS_SCHEMA)
        )

    settled_days.settle = timed_settle
    began = time.perf_counter()
    results = [
        outcome.result for outcome in nightly.run_nightly(home, engine, nightly.Scope(day=DAY), metering=metering)
    ]
    seconds = time.perf_counter() - began
    assert results == ["billed"] * ACCOUNTS, results
    print(usage.height, deductions, seconds, settling)


def _usage() -> pl.DataFrame:
    apps = pl.DataFrame({"app_id": range(FIRST_APP, FIRST_APP + APPS)})
    windows = pl.DataFrame({"window_start": range(DAY_START, DAY_START + 86_400, 300)})
    classes = pl.DataFrame(CLASSES, schema=["item", "reason"], orient="row")
    rows = apps.join(windows, how="cross").join(classes, how="cross")
    seconds = np.random.default_rng(1).integers(1, 30_000, rows.height)
    return rows.with_columns(seconds=pl.Series(seconds)).cast(dict(USAGE_SCHEMA)).select(*USAGE_SCHEMA)


def _one_event_of_each_account(log: EventLog) -> None:
    """An account's first day is that of its oldest event."""
    event = {"room_id": "hall", "user_id": "ann", "at": DAY_START * 1000, "seq": 0, "type": "enter"}
    rows = [{**event, "event_id": str(app), "app_id": app} for app in range(FIRST_APP, FIRST_APP + ACCOUNTS)]
    log.create()
    file = log.write(pl.DataFrame(rows, schema=EVENT_SCHEMA), DAY, ingest_id=1, number=0)
    log.commit([file], ingest_id=1, metadata={})


def _catalog(package_minutes: int) -> str:
    accounts = (
        f'[[account]]\nid = "account-{number}"\nname = "account {number}"\ncurrency = "USD"\ntimezone = "UTC"\n'
        f'policy = "trtc-intl"\n\n[[package]]\nid = "package-{number}"\naccount = "account-{number}"\n'
        f'minutes = {package_minutes}\npurchased_at = "2026-03-01T12:00:00+00:00"\nprice = "2416"\nterm = "year"\n\n'
        for number in range(ACCOUNTS)
    )
    apps = (
        f'[[app]]\nid = {FIRST_APP + number}\naccount = "account-{number % ACCOUNTS}"\nname = "app {number}"\n\n'
        for number in range(APPS)
    )
    return "".join([*accounts, *apps])


if __name__ == "__main__":
    main()
