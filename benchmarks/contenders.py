"""Who meters the day: from the event log to usage rows `app_id, window_start, item, reason, seconds`.

`python -m benchmarks.contenders NAME LOG START END OUT` runs one of them, writes its rows to the Parquet file OUT and
prints the wall and processor seconds of the call, from the closed log to the finished frame: the start of Python and
the imports are not in them.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
from deltalake import DeltaTable

Contender = Callable[[Path, int, int], pl.DataFrame | None]


def engine(log: Path) -> Contender:
    """What `billing nightly` calls."""
    from billing.event_schema import EVENT_SCHEMA
    from billing.metering.meter import meter
    from billing.metering.rows import STATE_SCHEMA
    from billing.metering.tiers import TierRule
    from billing.storage.event_log import EventLog

    rule = TierRule(per_stream=False, tiers=(("hd", 921_600), ("fhd", 2_073_600), ("2k", 3_686_400), ("4k", None)))

    nobody = pl.DataFrame(schema=STATE_SCHEMA)
    # The nightly knows the apps from the catalog. A first, empty call loads the compiled code, as an import DuckDB.
    apps = pl.scan_parquet(log / "**/*.parquet", hive_partitioning=False).select(pl.col("app_id").unique()).collect()
    rules = dict.fromkeys(apps.to_series(), rule)
    meter(pl.LazyFrame(schema=EVENT_SCHEMA), nobody, 0, 300, rules)

    def run(log: Path, start: int, end: int) -> pl.DataFrame:
        return meter(EventLog(directory=log).scan(start, end), nobody, start, end, rules).usage

    return run


def duckdb(_: Path) -> Contender:
    """The same rows in SQL."""
    from benchmarks.duckdb_metering import usage

    def run(log: Path, start: int, end: int) -> pl.DataFrame:
        with TemporaryDirectory() as scratch:
            return usage(_files(log, start, end), start, end, scratch=scratch)

    return run


def floor(_: Path) -> Contender:
    """What no engine can be faster than: the columns decoded and the keys hashed, nothing metered."""

    def run(log: Path, start: int, end: int) -> None:
        events = pl.scan_parquet(_files(log, start, end), glob=False, hive_partitioning=False)
        events.filter(pl.col("at").is_between(start * 1000, end * 1000, closed="left")).select(
            pl.col("app_id", "at", "seq", "width", "height"),
            pl.col("type").hash(),
            user=pl.col("room_id").hash(1) ^ pl.col("user_id").hash(2) ^ pl.col("app_id").hash(3),
            stream=pl.col("stream").hash(4),
        ).collect()

    return run


CONTENDERS = {"engine": engine, "duckdb": duckdb, "floor": floor}


def _files(log: Path, start: int, end: int) -> list[str]:
    """The log's current files that may hold events of the span."""
    wanted = [("at", ">=", start * 1000), ("at", "<", end * 1000)]
    return DeltaTable(str(log)).file_uris(file_pruning_predicate=wanted)


def main() -> None:
    name, log, start, end, out = sys.argv[1:]
    contender = CONTENDERS[name](Path(log))
    began, used = time.perf_counter(), time.process_time()
    usage = contender(Path(log), int(start), int(end))
    print(time.perf_counter() - began, time.process_time() - used)
    if usage is not None:
        usage.write_parquet(out)


if __name__ == "__main__":
    main()
