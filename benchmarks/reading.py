"""`python -m benchmarks.reading`: the processor seconds of commands that only read.

Most of what they take is imports. Each runs on a home with one event, and on one where 30 days are billed (ten apps of
three accounts, 10,000 events a day, an ingest for each). Of several runs the least counts: whatever else runs on the
machine only adds to it.
"""

import argparse
import shutil
import sys
from datetime import timedelta
from pathlib import Path

import polars as pl
from tabulate import tabulate

from benchmarks.days import ACCOUNTS, Billing, Day
from benchmarks.rooms import Shape

TARGET_CPU_SECONDS = 0.5
DAYS = 30
SHAPE = Shape(events=10_000 * DAYS, days=DAYS)
MONTH = ("--month", f"{SHAPE.day:%Y-%m}")
APP = str(SHAPE.app_ids[0])
COMMANDS: tuple[tuple[str, ...], ...] = (
    ("charges", ACCOUNTS[0], *MONTH),
    ("charges", "--all", *MONTH),
    ("explain", ACCOUNTS[0], *MONTH),
    ("packages", ACCOUNTS[0]),
    ("runs",),
    ("status",),
    ("findings", ACCOUNTS[0], *MONTH),
    ("ingests",),
    ("catalog", "show"),
    ("quarantine", "list"),
    ("usage", APP, *MONTH, "--by", "day"),
    ("usage", APP, *MONTH, "--by", "window"),
)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reading", description=__doc__)
    parser.add_argument("--runs", type=int, default=7, help="of each command; the least counts")
    runs = parser.parse_args().runs
    homes = (_home("reading-1", days=1, first_rows=1), _home("reading-30", days=DAYS))
    rows = []
    for command in COMMANDS:
        print(f"{' '.join(command)} …", file=sys.stderr)
        seconds = [min(home.run(*command).cpu_seconds for _ in range(runs)) for home in homes]
        rows.append((f"`{' '.join(command)}`", *(f"{each:.2f}" for each in seconds), f"≤ {TARGET_CPU_SECONDS}"))
    headers = ("command", "CPU seconds, one event", f"CPU seconds, {DAYS} days", "target")
    print(tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True, colalign=("left", *["right"] * 3)))


def _home(name: str, *, days: int, first_rows: int | None = None) -> Billing:
    """A home in which so many days are billed; `first_rows`: from no more than these rows."""
    day = Day(SHAPE)
    billing = day.billing(name)
    morning_after = day.billing().now - timedelta(days=DAYS - days)
    billing = Billing(home=billing.home, now=morning_after)
    if not (billing.home / "billing.db").exists():
        billing.start_over(day.catalog)
        for file in _files(day, first_rows)[:days]:
            billing.run("ingest", file)
        billing.run("nightly")
    return billing


def _files(day: Day, first_rows: int | None) -> list[Path]:
    """A file for each day of the event file."""
    events = pl.read_parquet(day.file()).head(first_rows or SHAPE.events)
    directory = day.directory / f"by-day-{first_rows}"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    by_day = events.with_columns(pl.from_epoch("at", time_unit="ms").dt.date().alias("day")).partition_by(
        "day", as_dict=True, include_key=False
    )
    for (date,), of_day in sorted(by_day.items()):
        of_day.write_parquet(directory / f"{date}.parquet")
    return sorted(directory.glob("*.parquet"))


if __name__ == "__main__":
    main()
