"""`python -m benchmarks`: times the engine against its rivals on one event log, then whole commands; see README.md."""

import argparse
import sys
from collections.abc import Sequence

import polars as pl
from tabulate import tabulate

from benchmarks.commands import COMMANDS, Command, Measured
from benchmarks.contenders import CONTENDERS, measured, missing
from benchmarks.days import Day
from benchmarks.rooms import add_options, shape_of
from benchmarks.timing import Timing, use_few_processors

GIGABYTE = 1e9
# The most that the engine's time may be of that of another.
TARGET_RATIOS = {"duckdb": 1 / 4, "clickhouse": 1 / 10, "floor": 5.0}
CONTENDER_HEADERS = ("contender", "seconds", "CPU seconds", "events/s", "peak GB", "engine's time of it", "target")
COMMAND_HEADERS = ("command", "seconds", "CPU seconds", "rows", "rows/s", "peak GB", "target", "")


def main() -> int:
    arguments = _arguments()
    use_few_processors()
    day = Day(shape_of(arguments))
    chosen = arguments.only or [*CONTENDERS, *COMMANDS]
    names = [name for name in CONTENDERS if name in chosen]
    same = not names or _print_contenders(day, names, arguments.runs)
    commands = {name: command for name, command in COMMANDS.items() if name in chosen}
    if commands:
        _print_commands(day, commands)
    return 0 if same else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    add_options(parser)
    parser.add_argument("--runs", type=int, default=3, help="of each contender; the one in the middle counts")
    parser.add_argument("--only", action="append", choices=[*CONTENDERS, *COMMANDS], help="repeat for several")
    return parser.parse_args()


def _print_contenders(day: Day, names: Sequence[str], runs: int) -> bool:
    """Prints their table; whether all gave the same rows."""
    log, events = day.log(), day.count()
    timings: dict[str, Timing | None] = {}
    usages: dict[str, pl.DataFrame] = {}
    for name in names:
        if library := missing(name):
            print(f"{name}: {library} is not installed; `make bench` installs it", file=sys.stderr)
            continue
        print(f"{name} …", file=sys.stderr)
        timings[name], usage = measured(name, log, day.shape.start, day.shape.end, runs)
        if usage is not None:
            usages[name] = usage
    differing = _differing(usages)
    rows = [_contender_row(name, timings, events, differs=name in differing) for name in timings]
    print(f"\nMetering {events:,} events (the run in the middle of {runs})\n")
    print(tabulate(rows, headers=CONTENDER_HEADERS, tablefmt="github", disable_numparse=True, colalign=_columns(6)))
    if usages and not differing:
        first = next(iter(usages.values()))
        print(f"\n{', '.join(usages)}: the same {first.height:,} rows, {first['seconds'].sum():,} seconds.")
    return not differing


def _contender_row(
    name: str, timings: dict[str, Timing | None], events: int, *, differs: bool
) -> tuple[str, str, str, str, str, str, str]:
    target = f"≤ {TARGET_RATIOS[name]:.2f}" if name in TARGET_RATIOS else ""
    timing, engine = timings[name], timings.get("engine")
    assert timing is not None
    if differs:
        return name, "differs", "", "", "", "", target
    ratio = f"{engine.seconds / timing.seconds:.2f}" if engine and name != "engine" else ""
    speed, peak = f"{events / timing.seconds:,.0f}", f"{timing.peak_bytes / GIGABYTE:.2f}"
    return name, f"{timing.seconds:.2f}", f"{timing.cpu_seconds:.2f}", speed, peak, ratio, target


def _differing(usages: dict[str, pl.DataFrame]) -> set[str]:
    """Those whose rows are not those of the first, with a word on where."""
    (first, rows), *others = usages.items() if usages else [("", None)]
    differing = set()
    for name, other in others:
        if other.equals(rows):
            continue
        differing.add(name)
        key = ["app_id", "window_start", "item", "reason"]
        both = rows.join(other, on=key, how="full", coalesce=True, suffix=f"_{name}")
        unlike = both.filter(pl.col("seconds").ne_missing(pl.col(f"seconds_{name}"))).sort(key)
        print(f"{first} and {name} differ in {unlike.height:,} rows:\n{unlike.head()}", file=sys.stderr)
    return differing


def _print_commands(day: Day, commands: dict[str, Command]) -> None:
    rows = []
    for name, command in commands.items():
        print(f"{name} …", file=sys.stderr)
        rows.append(_command_row(command, command.run(day)))
    print("\nWhole commands (targets in seconds are for 10 million events)\n")
    print(tabulate(rows, headers=COMMAND_HEADERS, tablefmt="github", disable_numparse=True, colalign=_columns(6, 8)))


def _command_row(command: Command, found: Measured) -> tuple[str, ...]:
    target = f"≤ {command.seconds:g} s" if command.seconds else ""
    if command.rows_per_second:
        target = f"≥ {command.rows_per_second:,}/s"
    timing = found.timing
    if timing is None:
        return command.title, "", "", "", "", "", target, found.note
    speed = f"{found.rows / timing.seconds:,.0f}" if found.rows else ""
    rows = f"{found.rows:,}" if found.rows else ""
    seconds, cpu_seconds, peak = timing.seconds, timing.cpu_seconds, timing.peak_bytes / GIGABYTE
    return command.title, f"{seconds:.2f}", f"{cpu_seconds:.2f}", rows, speed, f"{peak:.2f}", target, found.note


def _columns(numbers: int, columns: int = 7) -> list[str]:
    return ["left", *["right"] * (numbers - 1), *["left"] * (columns - numbers)]


if __name__ == "__main__":
    sys.exit(main())
