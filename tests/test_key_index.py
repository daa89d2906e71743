"""The key index: what an ingest knows of a day without reading it, and how the index comes back when it is lost."""

import json
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from billing.events import key_index
from billing.events.key_index import DayKeys
from billing.events.key_runs import Run, judged, merged, sorted_places
from billing.events.log import EventLog
from billing.home import Home
from tests.event_facts import AT, counted, event, ingest, logged, ndjson, new_home, parquet, written

DAY = date(2026, 3, 10)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home with a day that came in three files."""
    home = new_home(tmp_path / "home")
    for number in range(3):
        rows = [event(event_id=f"e-{number}-{n}", room_id=f"r-{n}") for n in range(5)]
        ingest(home, written(tmp_path / f"{number}.ndjson", ndjson(rows)))
    return home


def keys(home: Home) -> Path:
    """The directory of the day's index."""
    return home.events / "_keys" / str(DAY)


def again(home: Home, directory: Path) -> tuple[int, int, int, int]:
    """Counts of a file with a known event, a conflict, and a new event."""
    rows = [event(event_id="e-0-1", room_id="r-1"), event(event_id="e-1-2", room_id="other"), event(event_id="new")]
    (report,) = ingest(home, written(directory / "again.ndjson", ndjson(rows)))
    assert report.error is None
    return counted(report)


def read_from_log(home: Home, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """After which ingest rows are read from the log: filled by ingests that do."""
    read: list[int] = []
    rows_of = EventLog.rows_of

    def noted(log: EventLog, day: date, *, after: int, columns: list[str], at_once: int) -> object:
        read.append(after)
        return rows_of(log, day, after=after, columns=columns, at_once=at_once)

    monkeypatch.setattr(EventLog, "rows_of", noted)
    assert home
    return read


def test_an_ingest_does_not_read_the_rows_of_the_day(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = read_from_log(home, monkeypatch)
    assert again(home, tmp_path) == (3, 1, 1, 1)
    assert again(home, tmp_path) == (3, 0, 2, 1)
    assert read == []


def cut(keys: Path) -> None:
    """A file of the index lost its end."""
    file = sorted(keys.glob("*.keys"))[0]
    file.write_bytes(file.read_bytes()[:-8])


def touched(keys: Path) -> None:
    """A file of the index was changed."""
    file = sorted(keys.glob("*.keys"))[0]
    file.write_bytes(bytes(byte ^ 255 for byte in file.read_bytes()))


def foreign(keys: Path) -> None:
    """The index says that it is of another log."""
    state = json.loads((keys / "state.json").read_text())
    (keys / "state.json").write_text(json.dumps({**state, "identity": "another"}))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "removed": shutil.rmtree,
    "a file is missing": lambda keys: sorted(keys.glob("*.keys"))[0].unlink(),
    "a file is cut off": cut,
    "a file is changed": touched,
    "the state is no JSON": lambda keys: (keys / "state.json").write_text("{"),
    "the state is a list": lambda keys: (keys / "state.json").write_text("[]"),
    "of another log": foreign,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_an_index_that_is_lost_or_damaged_is_built_again(
    damage: Callable[[Path], object], home: Home, tmp_path: Path
) -> None:
    damage(keys(home))
    assert again(home, tmp_path) == (3, 1, 1, 1)
    assert (keys(home) / "state.json").exists()


def test_an_index_that_is_behind_reads_the_later_ingests_only(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a process that was killed between its commit and the index, or after one of an older version."""
    shutil.copytree(keys(home), tmp_path / "keys")
    ingest(home, written(tmp_path / "a.ndjson", ndjson([event(event_id="late")])))
    shutil.rmtree(keys(home))
    shutil.copytree(tmp_path / "keys", keys(home))
    read = read_from_log(home, monkeypatch)
    (report,) = ingest(home, written(tmp_path / "b.ndjson", ndjson([event(event_id="late"), event(event_id="new")])))
    assert counted(report) == (2, 1, 1, 0)
    assert read == [3]


def test_a_log_from_a_backup_does_not_trust_an_index_that_is_ahead(home: Home, tmp_path: Path) -> None:
    """The index knows an ingest that the restored log never had."""
    shutil.copytree(home.events, tmp_path / "backup")
    ingest(home, written(tmp_path / "a.ndjson", ndjson([event(event_id="lost")])))
    shutil.copytree(home.events / "_keys", tmp_path / "keys")
    shutil.rmtree(home.events)
    shutil.copytree(tmp_path / "backup", home.events)
    shutil.rmtree(home.events / "_keys")
    shutil.copytree(tmp_path / "keys", home.events / "_keys")
    (report,) = ingest(home, written(tmp_path / "b.ndjson", ndjson([event(event_id="lost"), event(event_id="e-0-0")])))
    assert counted(report) == (2, 1, 0, 1)
    assert "lost" in logged(home)["event_id"]


def test_absent_values_are_equal_however_they_were_read(tmp_path: Path) -> None:
    home = new_home(tmp_path / "home")
    bare = {"stream": None, "width": None, "height": None}
    rows = [
        each
        for n in range(20)
        for each in (
            event(event_id=f"in-{n}", type="enter", connection="a long connection" if n % 2 else None, **bare),
            event(event_id=f"on-{n}", stream="a very long stream/camera"),
            event(event_id=f"end-{n}", type="dismiss", user_id=None, **bare),
        )
    ]
    path = written(tmp_path / "a.ndjson", ndjson(rows))
    ingest(home, path)
    shutil.rmtree(keys(home))
    other = written(tmp_path / "a.parquet", parquet(rows))
    assert [counted(each) for each in ingest(home, path, other)] == [(60, 0, 60, 0)] * 2


def test_runs_of_one_size_class_are_merged(tmp_path: Path) -> None:
    home = new_home(tmp_path / "home")
    for number in range(20):
        ingest(home, written(tmp_path / "a.ndjson", ndjson([event(event_id=f"e-{number}")])))
    assert len(list(keys(home).glob("*.keys"))) == 6  # two of eight, and four of one
    log = EventLog(directory=home.events)
    (tmp_path / "spare").mkdir()
    assert sorted(map(len, DayKeys.of(log, DAY, log.last_commit(), tmp_path / "spare").runs)) == [1, 1, 1, 1, 8, 8]


def test_what_was_assumed_is_not_compared_and_what_was_told_is(tmp_path: Path) -> None:
    home = new_home(tmp_path / "home")
    told = event(event_id="told")
    assumed = event(event_id="assumed", width=100, height=100, assumed="size")
    rows = [told, assumed, {**assumed, "width": 50}, {**told, "width": 9, "assumed": "size"}, {**told, "width": 9}]
    (report,) = ingest(home, written(tmp_path / "a.ndjson", ndjson(rows)))
    assert counted(report) == (5, 2, 2, 1)
    later = [{**assumed, "room_id": "other"}, {**assumed, "assumed": None}, {**told, "assumed": "receives"}]
    (report,) = ingest(home, written(tmp_path / "b.ndjson", ndjson(later)))
    assert counted(report) == (3, 0, 2, 1)


def test_sorted_places_are_those_of_a_stable_sort() -> None:
    numbers = np.random.default_rng(1).integers(0, 2**64, 5000, np.uint64)
    for each in (numbers, numbers % np.uint64(7), numbers >> np.uint64(50), numbers[:0]):
        assert sorted_places(each).tolist() == np.argsort(each, kind="stable").tolist()


@pytest.mark.parametrize("sizes", [(0, 5), (3, 1), (100, 7, 40), (1, 1, 1, 1, 1, 1, 1, 1, 1)])
def test_merged_runs_hold_the_entries_of_all(sizes: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(2)
    runs = [Run.of(*(random.integers(0, 2**64, size, np.uint64) for _ in range(2))) for size in sizes]
    expected = sorted(pair for run in runs for pair in zip(run.hashes.tolist(), run.checks.tolist(), strict=True))
    for most in (10**6, 2):
        monkeypatch.setattr("billing.events.key_runs.SPILLED_ENTRIES", most)
        whole = merged(runs)
        assert sorted(zip(whole.hashes.tolist(), whole.checks.tolist(), strict=True)) == expected
        assert whole.hashes.tolist() == sorted(whole.hashes.tolist())


def test_a_key_with_an_event_and_its_retraction_is_free() -> None:
    row = Run(hashes=np.array([5], np.uint64), checks=np.array([2**40 + 8], np.uint64))
    taken_back = Run(hashes=row.hashes, checks=row.checks | np.uint64(1))
    order = np.zeros(1, np.int32)
    assert judged([row], row, order).tolist() == [1]
    assert judged([row, taken_back], row, order).tolist() == [0]
    assert judged([row, taken_back, row], row, order).tolist() == [1]


def test_rows_of_a_log_without_an_index_are_read_in_pieces(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_index, "ROWS_AT_ONCE", 2)
    shutil.rmtree(home.events / "_keys")
    assert again(home, tmp_path) == (3, 1, 1, 1)


def test_late_files_touch_the_index_of_each_of_their_days(home: Home, tmp_path: Path) -> None:
    rows = [event(event_id="e", at=AT - n * 86_400_000) for n in range(30)]
    path = written(tmp_path / "a.ndjson", ndjson(rows))
    assert [counted(each) for each in ingest(home, path, path)] == [(30, 30, 0, 0), (30, 0, 30, 0)]
    assert len(list((home.events / "_keys").iterdir())) == 30
    assert isinstance(logged(home), pl.DataFrame)
