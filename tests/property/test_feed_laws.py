"""A feed in any cut is the whole: the records of servers shuffled, repeated, cut into files and calls at any place, and
some of them days late, give the events of all records in one file."""

import tempfile
from functools import cache
from itertools import pairwise
from pathlib import Path

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.event_facts import new_home
from tests.test_trace_ingest import ROOMS, call, of_server, recorded, shifted, standing

EXAMPLES = max(4, settings().max_examples // 8)  # each writes a home, and many files


@cache
def telling(trace: str) -> tuple[bytes, ...]:
    """The lines of a room without most of its statistics, on one of two servers."""
    lines = [line for number, line in enumerate(recorded(trace)) if b'"subtype":3' not in line or number % 40 == 0]
    return tuple(of_server(lines, "sfu-1" if trace in ("S1", "S3b") else "sfu-2"))


@cache
def feed() -> tuple[bytes, ...]:
    """All rooms, two of them once more a day later."""
    lines = [line for trace in ROOMS for line in telling(trace)]
    return tuple(lines + [line for trace in ("S3", "S3b") for line in shifted(telling(trace), 86_400)])


@cache
def whole() -> pl.DataFrame:
    """The events of all records in one file."""
    with tempfile.TemporaryDirectory() as directory:
        home = new_home(Path(directory) / "home")
        call(home, feed())
        return standing(home)


@given(data=st.data())
@settings(max_examples=EXAMPLES)
def test_a_feed_in_any_cut_is_the_whole(data: st.DataObject) -> None:
    lines = list(feed())
    if data.draw(st.booleans(), label="shuffled"):
        data.draw(st.randoms(use_true_random=False)).shuffle(lines)
    late = {data.draw(st.integers(0, len(lines) - 1), label="late") for _ in range(data.draw(st.integers(0, 3)))}
    places = sorted({0, len(lines), *(data.draw(st.lists(st.integers(0, len(lines)), max_size=5), label="cuts"))})
    parts = [
        [line for number, line in enumerate(lines[start:end], start) if number not in late]
        for start, end in pairwise(places)
    ]
    with tempfile.TemporaryDirectory() as directory:
        home = new_home(Path(directory) / "home")
        while parts:
            together = data.draw(st.integers(1, len(parts)), label="files of a call")
            call(home, *parts[:together])
            parts = parts[together:]
            if data.draw(st.booleans(), label="again"):
                call(home, [line for number, line in enumerate(lines[:500]) if number not in late])
        call(home, [lines[number] for number in sorted(late)])
        assert standing(home).equals(whole())
