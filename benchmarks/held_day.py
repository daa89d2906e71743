"""`python -m benchmarks.held_day [--held 10]`: a five-minute file behind a day of a hundred million events.

The made-up day is ingested so many times, each time with other rooms and ids. Before and after that come files of as
many rows as five minutes of such a day have. Prints the processor seconds of each kind of file: the last five-minute
files must cost at most 1.3 times the first.
"""

import argparse
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
from tabulate import tabulate

from benchmarks.days import Day
from benchmarks.many_files import MOST_RATIO
from benchmarks.rooms import add_options, shape_of
from benchmarks.timing import use_few_processors

FILES_A_DAY = 288
COMPARED = 6  # files before and after; the one in the middle counts


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.held_day", description=__doc__.splitlines()[0])
    add_options(parser)
    parser.add_argument("--held", type=int, default=10, help="how many times the made-up day is ingested")
    arguments = parser.parse_args()
    held = arguments.held
    use_few_processors()
    day = Day(shape_of(arguments))
    billing = day.billing("held-day-home")
    billing.start_over(day.catalog)
    rows = pl.scan_parquet(day.file())
    total: int = rows.select(pl.len()).collect().item()
    size = total * held // FILES_A_DAY

    def ingested(name: str, parts: Iterator[pl.LazyFrame]) -> list[float]:
        seconds = []
        with TemporaryDirectory() as directory:
            for number, part in enumerate(parts):
                file = Path(directory) / "part.parquet"
                _under_other_names(part, f"{name}{number}").sink_parquet(file)
                seconds.append(billing.run("ingest", file).cpu_seconds)
                print(f"{name} {number}: {seconds[-1]:.2f} s", file=sys.stderr)
        return seconds

    first = statistics.median(ingested("first", (rows.slice(n * size, size) for n in range(COMPARED))))
    whole = ingested("held", (rows for _ in range(held)))
    last = statistics.median(ingested("last", (rows.slice(n * size, size) for n in range(COMPARED))))
    found = [
        (f"ingest of a file of {size:,} rows, the first", first),
        (f"the same, behind {held * total:,} rows of that day", last),
        ("the last of the first, target ≤ 1.3", last / first),
        (f"ingest of {total:,} rows, the first", whole[0]),
        ("the same, the last", whole[-1]),
    ]
    print(tabulate(found, headers=("what", "CPU seconds"), tablefmt="github", floatfmt=".2f"))
    return 0 if last <= MOST_RATIO * first else 1


def _under_other_names(rows: pl.LazyFrame, name: str) -> pl.LazyFrame:
    """The same events in rooms of their own."""
    return rows.with_columns(pl.col("event_id", "room_id") + f"-{name}")


if __name__ == "__main__":
    sys.exit(main())
