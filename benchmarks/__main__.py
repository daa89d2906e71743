"""`python -m benchmarks`: times the engine against DuckDB on the same event log, and the whole commands."""

import argparse
import sys
from collections.abc import Collection
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
from deltalake import DeltaTable
from tabulate import tabulate

from benchmarks.commands import COMMANDS, TARGET_SECONDS, day_home, run_ingest
from benchmarks.contenders import CONTENDERS
from benchmarks.rooms import Shape
from benchmarks.timing import timed

DATA = Path(__file__).parent / "data"
GIGABYTE = 1e9


def main() -> None:
    arguments = _arguments()
    shape = Shape(
        events=arguments.events, apps=arguments.apps, mean_stay_seconds=arguments.mean_stay_seconds, seed=arguments.seed
    )
    chosen = arguments.only or [*COMMANDS, *CONTENDERS]
    directory = DATA / f"{shape.events}-{shape.apps}-{shape.mean_stay_seconds}-{shape.seed}"
    _generate(shape, directory)
    commands = [_command_row(name, directory, shape) for name in COMMANDS if name in chosen]
    log = day_home(directory, shape).home / "events"
    if any(name in chosen for name in CONTENDERS):
        if not log.exists():
            run_ingest(directory, shape)
        _print_contenders(log, shape, [name for name in CONTENDERS if name in chosen])
    if commands:
        print("\nWhole commands (targets are for 10 million events)\n")
        print(
            tabulate(commands, headers=["command", "seconds", "target", "peak GB"], tablefmt="github", floatfmt=".2f")
        )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    default = Shape()
    parser.add_argument("--events", type=int, default=default.events)
    parser.add_argument("--apps", type=int, default=default.apps)
    parser.add_argument("--mean-stay-seconds", type=int, default=default.mean_stay_seconds)
    parser.add_argument("--seed", type=int, default=default.seed)
    parser.add_argument("--only", action="append", choices=[*COMMANDS, *CONTENDERS], help="repeat for several")
    return parser.parse_args()


def _generate(shape: Shape, directory: Path) -> None:
    """The day's event file; in a process of its own, whose memory is not counted as that of the ones started later."""
    path = directory / "events.parquet"
    if path.exists():
        return
    directory.mkdir(parents=True, exist_ok=True)
    print(f"making up {shape.events:,} events in {path}", file=sys.stderr)
    options = [
        f"--{name.replace('_', '-')}={getattr(shape, name)}" for name in ("events", "apps", "mean_stay_seconds", "seed")
    ]
    part = path.with_suffix(".part.parquet")
    timed([sys.executable, "-m", "benchmarks.rooms", str(part), *options])
    part.rename(path)


def _command_row(name: str, directory: Path, shape: Shape) -> tuple[str, float, float, float]:
    print(f"billing {name} …", file=sys.stderr)
    timing = COMMANDS[name](directory, shape)
    return name, timing.seconds, TARGET_SECONDS[name], timing.peak_bytes / GIGABYTE


def _print_contenders(log: Path, shape: Shape, names: Collection[str]) -> None:
    start, end = shape.start, shape.start + 86_400
    events = pl.scan_parquet(DeltaTable(str(log)).file_uris(), glob=False).select(pl.len()).collect().item()
    measured, usage = {}, {}
    with TemporaryDirectory() as scratch:
        for name in names:
            print(f"{name} …", file=sys.stderr)
            out = Path(scratch) / f"{name}.parquet"
            command = ["-m", "benchmarks.contenders", name, str(log), str(start), str(end), str(out)]
            timing = timed([sys.executable, *command])
            measured[name] = (*map(float, timing.stdout.split()), timing.peak_bytes)
            if out.exists():
                usage[name] = pl.read_parquet(out).sort(pl.all())
    rival = measured["duckdb"][0] if "duckdb" in measured else None
    rows = [
        (name, seconds, cpu_seconds, events / seconds, peak / GIGABYTE, seconds / rival if rival else None)
        for name, (seconds, cpu_seconds, peak) in measured.items()
    ]
    print(f"\nMetering {events:,} events\n")
    headers = ["contender", "seconds", "CPU seconds", "events/s", "peak GB", "of DuckDB's time"]
    print(tabulate(rows, headers=headers, tablefmt="github", floatfmt=("", ".2f", ".2f", ",.0f", ".2f", ".2f")))
    _compare(usage)


def _compare(usage: dict[str, pl.DataFrame]) -> None:
    """Says that the rows are the same, or fails with the first that are not."""
    if len(usage) < 2:
        return
    (first, rows), *others = usage.items()
    for name, other in others:
        key = ["app_id", "window_start", "item", "reason"]
        both = rows.join(other, on=key, how="full", coalesce=True, suffix="_other")
        differing = both.filter(pl.col("seconds").ne_missing(pl.col("seconds_other"))).sort(key)
        if differing.height or rows.height != other.height:
            sys.exit(f"{first} and {name} (seconds_other) differ in {differing.height:,} rows:\n{differing.head()}")
        print(f"\n{first} and {name} gave the same {rows.height:,} rows, {rows['seconds'].sum():,} seconds.")


if __name__ == "__main__":
    main()
