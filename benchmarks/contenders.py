"""Who meters the day: from the event log to usage rows `app_id, window_start, item, reason, seconds`.

`python -m benchmarks.contenders NAME LOG START END OUT` runs one of them, writes its rows to the Parquet file OUT and
prints the wall and processor seconds of the call, from the closed log to the finished frame: the start of Python and
the imports are not in them. `measured` starts it in that way.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from benchmarks.timing import CommandFailedError, Timing, median_of, timed
from billing.events.log import EventLog

NEEDS = {"clickhouse": "chdb"}
Contender = Callable[[EventLog, int, int], pl.DataFrame | None]


def engine(log: EventLog) -> Contender:
    """What `billing nightly` calls."""
    from billing.metering.meter import Span
    from billing.metering.schemas import STATE_SCHEMA
    from billing.metering.spans import meter_log
    from billing.metering.tiers import TierRule

    rule = TierRule(per_stream=False, tiers=(("hd", 921_600), ("fhd", 2_073_600), ("2k", 3_686_400), ("4k", None)))
    nobody = pl.DataFrame(schema=STATE_SCHEMA)
    # The nightly knows the apps from the catalog, and the last ingest. A first, empty call loads the compiled code, as
    # an import loads that of the others.
    all_files = pl.scan_parquet(log.directory / "day=*/*.parquet", hive_partitioning=False)
    rules = dict.fromkeys(all_files.select(pl.col("app_id").unique()).collect().to_series(), rule)
    last = log.last_ingest_id()
    with TemporaryDirectory() as empty:
        meter_log(EventLog(directory=Path(empty)), last, nobody, Span(start=0, end=300, rules=rules))

    def run(log: EventLog, start: int, end: int) -> pl.DataFrame:
        return meter_log(log, last, nobody, Span(start=start, end=end, rules=rules)).usage

    return run


def duckdb(_: EventLog) -> Contender:
    """The same rows in DuckDB SQL."""
    from benchmarks.duckdb_metering import usage

    def run(log: EventLog, start: int, end: int) -> pl.DataFrame:
        with TemporaryDirectory() as scratch:
            return usage(log.files(start, end), start, end, scratch=scratch)

    return run


def clickhouse(_: EventLog) -> Contender:
    """The same rows in ClickHouse SQL."""
    from benchmarks.clickhouse_metering import usage

    return lambda log, start, end: usage(log.files(start, end), start, end)


def pandas(_: EventLog) -> Contender:
    """The same rows in pandas."""
    from benchmarks.pandas_metering import usage

    return lambda log, start, end: usage(log.files(start, end), start, end)


def floor(_: EventLog) -> Contender:
    """What an engine that reads events can hardly be faster than: the columns decoded and the keys hashed, and nothing
    metered."""

    def run(log: EventLog, start: int, end: int) -> None:
        log.scan(start, end).select(
            pl.col("app_id", "at", "seq", "width", "height"),
            pl.col("type").hash(),
            user=pl.col("room_id").hash(1) ^ pl.col("user_id").hash(2) ^ pl.col("app_id").hash(3),
            stream=pl.col("stream").hash(4),
        ).collect()

    return run


CONTENDERS = {"engine": engine, "duckdb": duckdb, "clickhouse": clickhouse, "pandas": pandas, "floor": floor}


def missing(name: str) -> str | None:
    """The library without which a contender cannot be run, if it is not installed."""
    library = NEEDS.get(name)
    return library if library and find_spec(library) is None else None


def measured(name: str, log: EventLog, start: int, end: int, runs: int) -> tuple[Timing, pl.DataFrame | None]:
    """The run in the middle of several, each in a process of its own, without its start and imports (but with their
    memory); and the sorted rows of all, or None where nothing is metered."""
    usages: list[pl.DataFrame] = []

    def run() -> Timing:
        with TemporaryDirectory() as scratch:
            out = Path(scratch) / "usage.parquet"
            command = ["-m", "benchmarks.contenders", name, str(log.directory), str(start), str(end), str(out)]
            timing = timed([sys.executable, *command])
            if out.exists():
                usages.append(pl.read_parquet(out).sort(pl.all()))
        seconds, cpu_seconds = map(float, timing.stdout.split())
        return replace(timing, seconds=seconds, cpu_seconds=cpu_seconds)

    timing = median_of(runs, run)
    if any(not usage.equals(usages[0]) for usage in usages):
        raise CommandFailedError(f"{name} gave different rows each time")
    return timing, usages[0] if usages else None


def main() -> None:
    name, directory, start, end, out = sys.argv[1:]
    log = EventLog(directory=Path(directory))
    contender = CONTENDERS[name](log)
    began, used = time.perf_counter(), time.process_time()
    usage = contender(log, int(start), int(end))
    print(time.perf_counter() - began, time.process_time() - used)
    if usage is not None:
        usage.write_parquet(out)


if __name__ == "__main__":
    main()
