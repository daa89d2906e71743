"""`python -m benchmarks.many_files [--files 288]`: a day in many files, each ingested by a process of its own.

Prints the processor seconds of the first files and of the last ones, whose ratio must be at most 1.3; then of
`billing compact`, and of metering the day before and after it.
"""

import argparse
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
from tabulate import tabulate

from benchmarks.contenders import measured
from benchmarks.days import Day
from benchmarks.rooms import add_options, shape_of
from benchmarks.timing import use_few_processors
from billing.events.log import EventLog

MOST_RATIO = 1.3
COMPARED = 5  # files at either end; the one in the middle counts


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.many_files", description=__doc__.splitlines()[0])
    add_options(parser)
    parser.add_argument("--files", type=int, default=288)
    arguments = parser.parse_args()
    use_few_processors()
    day = Day(shape_of(arguments))
    billing = day.billing("many-files-home")
    billing.start_over(day.catalog)
    seconds: list[float] = []
    with TemporaryDirectory() as directory:
        for file in _cut(day.file(), arguments.files, Path(directory)):
            seconds.append(billing.run("ingest", file).cpu_seconds)
            print(f"{len(seconds)} of {arguments.files}: {seconds[-1]:.2f} s", file=sys.stderr)
    first, last = statistics.median(seconds[:COMPARED]), statistics.median(seconds[-COMPARED:])
    log, shape = EventLog(directory=billing.home / "events"), day.shape
    before, _ = measured("engine", log, shape.start, shape.end, 1)
    compaction = billing.run("compact")
    after, _ = measured("engine", log, shape.start, shape.end, 1)
    rows = [
        ("ingest of the first files", first),
        (f"ingest of the last of {arguments.files} files", last),
        ("the last of the first, target ≤ 1.3", last / first),
        ("most of any file", max(seconds)),
        ("`billing compact`", compaction.cpu_seconds),
        ("metering before", before.cpu_seconds),
        ("metering after", after.cpu_seconds),
    ]
    print(tabulate(rows, headers=("what", "CPU seconds"), tablefmt="github", floatfmt=".2f"))
    return 0 if last <= MOST_RATIO * first else 1


def _cut(file: Path, number: int, directory: Path) -> Iterator[Path]:
    """The rows of a file, in their order, in so many files, one at a time."""
    rows = pl.scan_parquet(file)
    total: int = rows.select(pl.len()).collect().item()
    size = -(-total // number)
    for start in range(0, total, size):
        piece = directory / f"{start:012d}.parquet"
        rows.slice(start, size).collect().write_parquet(piece)
        yield piece
        piece.unlink()


if __name__ == "__main__":
    sys.exit(main())
