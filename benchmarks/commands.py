"""Whole commands, timed as a user would type them: `--help`, ingest, nightly, and the workbook of a month."""

import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from benchmarks.rooms import Shape
from benchmarks.timing import Timing, timed

ACCOUNTS = 3
MONTH = "2026-03"
MONTH_DAYS = 31
MONTH_APP = 1_500_000_001


@dataclass(frozen=True, slots=True, kw_only=True)
class Billing:
    """The `billing` command with its home, at a fixed time."""

    home: Path
    now: datetime

    def run(self, *arguments: str | Path) -> Timing:
        program = Path(sys.executable).with_name("billing")
        environment = {"BILLING_NOW": self.now.isoformat()}
        return timed([str(program), "--home", str(self.home), *map(str, arguments)], environment)

    def start_over(self, catalog: str, *, keep_events: bool = False) -> None:
        """An empty home with a catalog; with `keep_events`, one that has events but has billed nothing."""
        if keep_events:
            for database in self.home.glob("billing.db*"):
                database.unlink()
        elif self.home.exists():
            shutil.rmtree(self.home)
        self.home.mkdir(parents=True, exist_ok=True)
        catalog_file = self.home.parent / f"{self.home.name}-catalog.toml"
        catalog_file.write_text(catalog)
        self.run("init")
        self.run("catalog", "apply", catalog_file)


def day_home(directory: Path, shape: Shape) -> Billing:
    """The home of the day of `shape`, seen from the next morning."""
    morning_after = datetime.fromtimestamp(shape.start, UTC) + timedelta(days=1, hours=6)
    return Billing(home=directory / "home", now=morning_after)


def run_help(directory: Path, shape: Shape) -> Timing:
    return day_home(directory, shape).run("--help")


def run_ingest(directory: Path, shape: Shape) -> Timing:
    """Ingests the day's event file into an empty log."""
    billing = day_home(directory, shape)
    billing.start_over(_day_catalog(shape))
    return billing.run("ingest", directory / "events.parquet")


def run_nightly(directory: Path, shape: Shape) -> Timing:
    """Bills the day that was ingested."""
    billing = day_home(directory, shape)
    billing.start_over(_day_catalog(shape), keep_events=True)
    return billing.run("nightly")


def run_invoice(directory: Path, _: Shape) -> Timing:
    """Exports a month of 8,928 windows, each with usage and deductions."""
    month = datetime.fromisoformat(f"{MONTH}-01T00:00:00+00:00")
    billing = Billing(home=directory / "month", now=month + timedelta(days=MONTH_DAYS, hours=6))
    events = directory / "month.parquet"
    pl.DataFrame(_month_events(int(month.timestamp())), orient="row", schema=MONTH_SCHEMA).write_parquet(events)
    billing.start_over(_account("month") + _app(MONTH_APP, "month") + _package("month"))
    billing.run("ingest", events)
    billing.run("nightly")
    return billing.run("invoice", "export", "month", "--month", MONTH, "-o", directory / "invoice.xlsx")


COMMANDS = {"help": run_help, "ingest": run_ingest, "nightly": run_nightly, "invoice": run_invoice}
TARGET_SECONDS = {"help": 0.3, "ingest": 40, "nightly": 30, "invoice": 10}

MONTH_SCHEMA = {
    "event_id": pl.String,
    "app_id": pl.Int64,
    "room_id": pl.String,
    "user_id": pl.String,
    "at": pl.Int64,
    "type": pl.String,
    "stream": pl.String,
    "width": pl.Int32,
    "height": pl.Int32,
}


def _month_events(start: int) -> Iterator[tuple[object, ...]]:
    """Three users in one room from the first second of the month to the last; every twenty minutes another size."""
    sizes = ((320, 180), (1280, 720), (1920, 1080), (2560, 1440), (3840, 2160))
    number = 0
    for user in ("ann", "bob", "cyd"):
        steps = [("enter", start), *(("video_on", at) for at in range(start, start + MONTH_DAYS * 86_400, 1200))]
        for nth, (kind, at) in enumerate(steps):
            number += 1
            video = ("dan/camera", *sizes[nth % len(sizes)]) if kind == "video_on" else (None, None, None)
            yield f"{number:08d}", MONTH_APP, "hall", user, at * 1000 + nth, kind, *video


def _day_catalog(shape: Shape) -> str:
    accounts = [f"account-{number}" for number in range(ACCOUNTS)]
    apps = [_app(app_id, accounts[index % ACCOUNTS]) for index, app_id in enumerate(shape.app_ids)]
    return "".join([*map(_account, accounts), *apps, *map(_package, accounts)])


def _account(account: str) -> str:
    return (
        f'[[account]]\nid = "{account}"\nname = "{account}"\n'
        'currency = "USD"\ntimezone = "UTC"\npolicy = "trtc-intl"\n\n'
    )


def _app(app_id: int, account: str) -> str:
    return f'[[app]]\nid = {app_id}\naccount = "{account}"\nname = "app {app_id}"\n\n'


def _package(account: str) -> str:
    return (
        f'[[package]]\nid = "package-{account}"\naccount = "{account}"\nminutes = 3000000\n'
        'purchased_at = "2026-02-20T12:00:00+00:00"\nprice = "2416"\nterm = "year"\n\n'
    )
