"""`python -m benchmarks.file_to_usage [.parquet|.ndjson]`: from a file to settled usage, beside DuckDB.

`billing ingest` and `billing nightly` of the made-up day, and DuckDB doing the same from the same file in one run:
read, leave out repeated ids, meter. The target is a ratio of processor seconds. The rows of usage must be equal.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
from tabulate import tabulate

from benchmarks.days import Day
from benchmarks.rooms import add_options, shape_of
from benchmarks.timing import Timing, timed, use_few_processors

MOST_RATIO = {".parquet": 1.3, ".ndjson": 1.0}
HEADERS = ("file", "ingest, CPU s", "nightly, CPU s", "DuckDB, CPU s", "of DuckDB's", "target", "peak GB", "usage")


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What each step took, and whether the usage is the same."""

    ingest: Timing
    nightly: Timing
    duckdb: Timing
    is_equal: bool

    @property
    def ratio(self) -> float:
        return (self.ingest.cpu_seconds + self.nightly.cpu_seconds) / self.duckdb.cpu_seconds


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.file_to_usage", description=__doc__.splitlines()[0])
    add_options(parser)
    parser.add_argument("--ending", action="append", choices=[*MOST_RATIO])
    arguments = parser.parse_args()
    use_few_processors()
    day = Day(shape_of(arguments))
    rows = [_row(ending, compared(day, ending)) for ending in arguments.ending or MOST_RATIO]
    print(tabulate(rows, headers=HEADERS, tablefmt="github", disable_numparse=True))


def compared(day: Day, ending: str) -> Compared:
    """Both ways from the file of a day."""
    home = f"usage{ending}"
    ingest = day.ingest(ending, home)
    nightly = day.billing(home).run("nightly")
    with TemporaryDirectory() as scratch:
        out = Path(scratch) / "usage.parquet"
        shape = day.shape
        arguments = [str(day.file(ending)), str(shape.start), str(shape.end), str(out)]
        duckdb = timed([sys.executable, "-m", "benchmarks.file_to_usage_rival", *arguments])
        rival = pl.read_parquet(out)
    settled = _settled(day, home)
    totals = rival.group_by("app_id", "item").agg(pl.col("seconds").sum()).sort(pl.all())
    return Compared(ingest=ingest, nightly=nightly, duckdb=duckdb, is_equal=settled.equals(totals))


def _settled(day: Day, home: str) -> pl.DataFrame:
    """The settled seconds of the day by app and item."""
    import billing

    books = billing.open(day.billing(home).home)
    frames = [books.usage(app, day.shape.day, day.shape.day, by="day") for app in day.shape.app_ids]
    seconds = pl.concat(frames)
    return seconds.group_by("app_id", "item").agg(pl.col("seconds").sum()).sort(pl.all())


def _row(ending: str, found: Compared) -> tuple[str, ...]:
    peak = max(found.ingest.peak_bytes, found.nightly.peak_bytes) / 1e9
    return (
        ending,
        f"{found.ingest.cpu_seconds:.2f}",
        f"{found.nightly.cpu_seconds:.2f}",
        f"{found.duckdb.cpu_seconds:.2f}",
        f"{found.ratio:.2f}",
        f"≤ {MOST_RATIO[ending]:.1f}",
        f"{peak:.2f}",
        "equal" if found.is_equal else "differs",
    )


if __name__ == "__main__":
    main()
