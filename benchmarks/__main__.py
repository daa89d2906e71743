"""`python -m benchmarks`: times the engine against its rivals on one event log, then whole commands; see README.md."""

import argparse
import sys
from collections.abc import Collection, Mapping

import polars as pl
from tabulate import tabulate

from benchmarks.commands import COMMANDS, Command, Measured
from benchmarks.contenders import CONTENDERS, measured, missing
from benchmarks.days import Day
from benchmarks.rooms import add_options, shape_of
from benchmarks.timing import CommandFailedError, Timing, use_few_processors

GIGABYTE = 1e9
FAILED = "failed"
Contended = tuple[Timing | str, pl.DataFrame | None]
# The most that the engine's time may be of that of another.
TARGET_RATIOS = {"duckdb": 1 / 4, "clickhouse": 1 / 10, "floor": 5.0}
CONTENDER_HEADERS = ("contender", "seconds", "CPU seconds", "events/s", "peak GB", "engine's time of it", "target")
COMMAND_HEADERS = ("command", "seconds", "CPU seconds", "rows", "rows/s", "peak GB", "target", "")


def main() -> int:
    arguments = _arguments()
    use_few_processors()
    day = Day(shape_of(arguments))
    chosen = arguments.only or [*CONTENDERS, *COMMANDS]
    # Commands first: one of them is the ingest that writes the log for the contenders.
    commands = {name: _command(day, name) for name in COMMANDS if name in chosen}
    contenders = {name: _contender(day, name, arguments.runs) for name in CONTENDERS if name in chosen}
    differing = _differing({name: usage for name, (_, usage) in contenders.items() if usage is not None})
    if contenders:
        _print_contenders(contenders, differing, day.count(), arguments.runs)
    if commands:
        _print_commands(commands)
    failed = any(found.failed for found in commands.values()) or any(note == FAILED for note, _ in contenders.values())
    return 1 if failed or differing else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    add_options(parser)
    parser.add_argument("--runs", type=int, default=3, help="of each contender; the one in the middle counts")
    parser.add_argument("--only", action="append", choices=[*CONTENDERS, *COMMANDS], help="repeat for several")
    return parser.parse_args()


def _command(day: Day, name: str) -> Measured:
    print(f"{name} …", file=sys.stderr)
    try:
        found = COMMANDS[name].run(day)
    except CommandFailedError as error:
        print(error, file=sys.stderr)
        return Measured(timing=None, note=FAILED, failed=True)
    print(f"{found.timing.seconds:.2f} s" if found.timing else found.note, file=sys.stderr)
    return found


def _contender(day: Day, name: str, runs: int) -> Contended:
    """What a contender took, or why there is no time; and its rows."""
    if library := missing(name):
        return f"needs {library}: `make bench`", None
    print(f"{name} …", file=sys.stderr)
    try:
        timing, usage = measured(name, day.log(), day.shape.start, day.shape.end, runs)
    except CommandFailedError as error:
        print(error, file=sys.stderr)
        return FAILED, None
    print(f"{timing.seconds:.2f} s", file=sys.stderr)
    return timing, usage


def _print_contenders(contenders: Mapping[str, Contended], differing: Collection[str], events: int, runs: int) -> None:
    engine, _ = contenders.get("engine", (None, None))
    rows = []
    for name, (timing, _) in contenders.items():
        target = f"≤ {TARGET_RATIOS[name]:.2f}" if name in TARGET_RATIOS else ""
        if isinstance(timing, str) or name in differing:
            rows.append((name, timing if isinstance(timing, str) else "differs", "", "", "", "", target))
            continue
        ratio = f"{engine.seconds / timing.seconds:.2f}" if isinstance(engine, Timing) and name != "engine" else ""
        speed, peak = f"{events / timing.seconds:,.0f}", f"{timing.peak_bytes / GIGABYTE:.2f}"
        rows.append((name, f"{timing.seconds:.2f}", f"{timing.cpu_seconds:.2f}", speed, peak, ratio, target))
    print(f"\nMetering {events:,} events (the run in the middle of {runs})\n")
    print(tabulate(rows, headers=CONTENDER_HEADERS, tablefmt="github", disable_numparse=True, colalign=_columns(6)))
    usages = [usage for _, usage in contenders.values() if usage is not None]
    if usages and not differing:
        print(f"\nAll gave the same {usages[0].height:,} rows, {usages[0]['seconds'].sum():,} seconds.")


def _differing(usages: Mapping[str, pl.DataFrame]) -> set[str]:
    """Those whose rows are not those of the first, with a word on where."""
    differing: set[str] = set()
    if not usages:
        return differing
    (first, rows), *others = usages.items()
    for name, other in others:
        if other.equals(rows):
            continue
        differing.add(name)
        key = ["app_id", "window_start", "item", "reason"]
        both = rows.join(other, on=key, how="full", coalesce=True, suffix=f"_{name}")
        unlike = both.filter(pl.col("seconds").ne_missing(pl.col(f"seconds_{name}"))).sort(key)
        print(f"{first} and {name} differ in {unlike.height:,} rows:\n{unlike.head()}", file=sys.stderr)
    return differing


def _print_commands(commands: Mapping[str, Measured]) -> None:
    rows = [_command_row(COMMANDS[name], found) for name, found in commands.items()]
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
