"""`python -m benchmarks.growth [MILLIONS ...]`: how time and memory of metering grow with the day, as a table and a
picture.

Days of so many million events, then days with short and long stays, then one room of 100,000 users. Each is made up as
Parquet, goes through `billing ingest`, and is metered by the engine as the nightly calls it; events and homes are
removed once they are measured, unless `--keep` is given.
"""

import argparse
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tabulate import tabulate

from benchmarks.contenders import measured
from benchmarks.days import Day
from benchmarks.rooms import Shape
from benchmarks.timing import Timing, use_few_processors

MILLIONS = (1, 2, 5, 10, 20, 50, 100)
STAYS = {300: "5 min", 1_500: "25 min", 36_000: "10 h"}
CROWD = 100_000
MOST_RATIO, MOST_GIGABYTES = 1.3, 4.0
MILLION, GIGABYTE = 1_000_000, 1e9
HEADERS = ("day", "events", "seconds", "CPU seconds", "µs an event", "of the first", "peak GB", "ingest rows/s")
COLOUR, LIMIT = "tab:blue", {"color": "tab:red", "linestyle": "--", "linewidth": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One day that was ingested and metered."""

    label: str
    events: int
    timing: Timing
    ingest_seconds: float

    @property
    def event_us(self) -> float:
        """Microseconds an event."""
        return self.timing.seconds / self.events * MILLION

    @property
    def peak_gigabytes(self) -> float:
        return self.timing.peak_bytes / GIGABYTE


def main() -> None:
    arguments = _arguments()
    use_few_processors()

    def point(label: str, shape: Shape) -> Point:
        return _point(label, Day(shape), arguments.runs, keep=arguments.keep)

    sizes = [
        point(f"{millions:g} million", Shape(events=round(millions * MILLION)))
        for millions in sorted(arguments.millions)
    ]
    at = round(arguments.stays_at * MILLION)
    stays = [
        point(f"stays of {length}", Shape(events=at, mean_stay_seconds=seconds)) for seconds, length in STAYS.items()
    ]
    crowd = point(f"one room of {arguments.crowd:,} users", Shape(rooms=1, room_size=arguments.crowd))
    rows = [_row(each, sizes[0]) for each in (*sizes, *stays, crowd)]
    print(f"\nMetering by the engine (the run in the middle of {arguments.runs})\n")
    print(tabulate(rows, headers=HEADERS, tablefmt="github", disable_numparse=True, colalign=["left", *["right"] * 7]))
    _draw(sizes, stays, arguments.out)
    print(f"\nwritten: {arguments.out}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__.splitlines()[0])
    parser.add_argument("millions", nargs="*", type=float, default=MILLIONS, metavar="MILLIONS", help="events of a day")
    parser.add_argument(
        "--stays-at", type=float, default=10, metavar="MILLIONS", help="the days of short and long stays"
    )
    parser.add_argument("--crowd", type=int, default=CROWD, help="the users of the one room")
    parser.add_argument("--runs", type=int, default=3, help="of each; the one in the middle counts")
    parser.add_argument("--keep", action="store_true", help="keep event files and homes, 5 GB for 100 million events")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "growth.png", help="the picture")
    return parser.parse_args()


def _point(label: str, day: Day, runs: int, *, keep: bool) -> Point:
    print(f"{label} …", file=sys.stderr)
    was_there = day.directory.exists()
    ingest = day.ingest()
    if not (keep or was_there):
        day.file().unlink()
    events = day.count()
    timing, _ = measured("engine", day.log(), day.shape.start, day.shape.end, runs)
    if not (keep or was_there):
        shutil.rmtree(day.directory)
    point = Point(label=label, events=events, timing=timing, ingest_seconds=ingest.seconds)
    print(f"{timing.seconds:.2f} s, {point.event_us:.3f} µs an event, {point.peak_gigabytes:.2f} GB", file=sys.stderr)
    return point


def _row(point: Point, first: Point) -> tuple[str, ...]:
    timing = point.timing
    return (
        point.label,
        f"{point.events:,}",
        f"{timing.seconds:.2f}",
        f"{timing.cpu_seconds:.2f}",
        f"{point.event_us:.3f}",
        f"{point.event_us / first.event_us:.2f}",
        f"{point.peak_gigabytes:.2f}",
        f"{point.events / point.ingest_seconds:,.0f}",
    )


def _draw(sizes: Sequence[Point], stays: Sequence[Point], out: Path) -> None:
    """Three panels, each from zero: time an event and memory by events, time an event by length of stay."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4), layout="constrained")
    by_events, memory, by_stay = figure.subplots(1, 3, width_ratios=(2, 2, 1))
    millions = [point.events / MILLION for point in sizes]
    by_events.plot(millions, [point.event_us for point in sizes], "o-", color=COLOUR)
    most = MOST_RATIO * sizes[0].event_us
    by_events.axhline(most, label=f"{MOST_RATIO} times the first", **LIMIT)
    by_events.set(title="Time of metering an event", xlabel="events of a day, million", ylabel="µs an event, two cores")
    memory.plot(millions, [point.peak_gigabytes for point in sizes], "o-", color=COLOUR)
    memory.axhline(MOST_GIGABYTES, label=f"{MOST_GIGABYTES:g} GB", **LIMIT)
    memory.set(title="Peak memory", xlabel="events of a day, million", ylabel="GB, the whole process")
    by_stay.bar(list(STAYS.values()), [point.event_us for point in stays], color=COLOUR, width=0.6)
    by_stay.set(title="By length of stay", xlabel="mean stay", ylabel="µs an event, two cores")
    slowest = 1.1 * max(most, *(point.event_us for point in (*sizes, *stays)))
    by_events.set_ylim(top=slowest)
    by_stay.set_ylim(top=slowest)
    for panel in (by_events, memory):
        panel.set_xlim(left=0)
        panel.legend(loc="lower right", frameon=False)
    for panel in (by_events, memory, by_stay):
        panel.set_ylim(bottom=0)
        panel.grid(axis="y", alpha=0.3)
        panel.spines[["top", "right"]].set_visible(False)
    figure.savefig(out, dpi=120)


if __name__ == "__main__":
    main()
