"""Laws of the log: a day in many files is the day in one, whatever happens to its files and its index in between."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.events.compaction import compact_day, days_to_compact
from billing.events.log import EventLog
from billing.events.quarantine import Quarantine
from billing.home import Home
from billing.jobs.ingest import ingest_workspace
from billing.jobs.retract import Retraction, Selection, retract
from billing.metering.meter import Span
from billing.metering.schemas import STATE_SCHEMA
from billing.metering.spans import meter_log
from tests.event_facts import APPS, AT, counted, event, ingest, ndjson, new_home, written
from tests.metering_facts import INTL
from tests.test_compaction import context

FEWER = settings().max_examples // 4
DAY = AT // 1000
KEYS, CONTENTS = st.integers(0, 6), st.integers(0, 1)
ROWS = st.lists(st.tuples(KEYS, CONTENTS), min_size=1, max_size=6)
STEPS = st.one_of(
    ROWS,
    st.tuples(st.just("retract"), KEYS),
    st.just("compact"),
    st.just("lose the index"),
    st.just("damage the index"),
)


def row(key: int, content: int) -> dict[str, object]:
    """An event of the day: one of a key and one of two contents."""
    return event(event_id=f"e-{key}", room_id=f"r-{key % 3}", at=AT + key * 1000, width=100 + content)


def merge(home: Home) -> None:
    """Merges the files of the day, if it has two."""
    log = EventLog(directory=home.events)
    for day in days_to_compact(log):
        with ingest_workspace(context(home)):
            compact_day(log, day)


def damage(home: Home) -> None:
    """Changes a file of the index."""
    for file in home.events.glob("_keys/*/*.keys"):
        file.write_bytes(bytes(file.stat().st_size))


TO_FILES: dict[str, Callable[[Home], object]] = {
    "compact": merge,
    "lose the index": lambda home: shutil.rmtree(home.events / "_keys", ignore_errors=True),
    "damage the index": damage,
}


def standing(home: Home) -> dict[str, object]:
    """What stands: the width of each event by its id."""
    rows = EventLog(directory=home.events).scan(DAY, DAY + 86_400).collect()
    assert rows["event_id"].n_unique() == rows.height
    return dict(zip(rows["event_id"], rows["width"], strict=True))


@settings(max_examples=FEWER)
@given(steps=st.lists(STEPS, max_size=12))
def test_each_ingest_is_judged_by_what_stands_then(steps: list[Any]) -> None:
    """Beside a dictionary of the events that stand."""
    with tempfile.TemporaryDirectory() as directory:
        home, held = new_home(Path(directory) / "home"), dict[str, object]()
        for number, step in enumerate(steps):
            if isinstance(step, str):
                TO_FILES[step](home)
            elif isinstance(step, tuple):
                if held.pop(f"e-{step[1]}", None):
                    selection = Selection(app_id=APPS[0], event_ids=(f"e-{step[1]}",))
                    retract(context(home), Retraction(selection=selection, reason="why"))
            else:
                expected = [0, 0, 0]
                for key, content in step:
                    first = held.setdefault(f"e-{key}", None) or 100 + content
                    is_new = held[f"e-{key}"] is None
                    held[f"e-{key}"] = first
                    expected[0 if is_new else 1 if first == 100 + content else 2] += 1
                path = written(Path(directory) / f"{number}.ndjson", ndjson(row(*each) for each in step))
                (report,) = ingest(home, path)
                assert counted(report) == (len(step), *expected)
        assert standing(home) == held


@settings(max_examples=FEWER)
@given(rows=st.lists(st.tuples(KEYS, CONTENTS), min_size=1, max_size=30), data=st.data())
def test_a_day_in_many_files_is_the_day_in_one(rows: Any, data: st.DataObject) -> None:
    """The same rows, quarantine and usage, also when it is merged in between and afterwards."""
    cuts = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=8), label="cuts"))
    parts = [rows[first:after] for first, after in zip([0, *cuts], [*cuts, len(rows)], strict=True) if first < after]
    between = [data.draw(st.sampled_from(["", *TO_FILES]), label="between") for _ in parts]
    with tempfile.TemporaryDirectory() as directory:
        one, many = (new_home(Path(directory) / name) for name in ("one", "many"))
        ingest(one, written(Path(directory) / "day.ndjson", ndjson(row(*each) for each in rows)))
        for number, (part, step) in enumerate(zip(parts, between, strict=True)):
            # (Blank lines make the files differ: a file that comes again is in quarantine once.)
            text = b"\n" * number + ndjson(row(*each) for each in part)
            ingest(many, written(Path(directory) / f"{number}.ndjson", text))
            TO_FILES.get(step, lambda _: None)(many)
        expected = facts(one)
        assert facts(many) == expected
        merge(many)
        assert facts(many) == expected


def facts(home: Home) -> tuple[dict[str, object], list[str], list[tuple[object, ...]]]:
    """What stands, the texts in quarantine, and the usage of the day."""
    log = EventLog(directory=home.events)
    span = Span(start=DAY, end=DAY + 86_400, rules={APPS[0]: INTL})
    metered = meter_log(log, log.last_ingest_id(), pl.DataFrame(schema=STATE_SCHEMA), span)
    quarantined = Quarantine(directory=home.quarantine).rows()["raw"].to_list()
    return standing(home), sorted(quarantined), sorted(metered.usage.rows())
