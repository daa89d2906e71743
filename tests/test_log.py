"""The event log: what is committed is read back by time, app and ingest, and nothing else is."""

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable

from billing.errors import BillingError
from billing.events.log import LOG_SCHEMA, EventLog
from billing.events.schema import EVENT_SCHEMA
from tests.event_facts import APPS, AT, event

DAY = date(2026, 3, 10)
START = AT // 1000


def events(*changes: dict[str, object]) -> pl.DataFrame:
    """Valid events with these changes."""
    return pl.DataFrame([event(seq=0, **change) for change in changes], schema=EVENT_SCHEMA)


def appended(log: EventLog, rows: pl.DataFrame, day: date = DAY) -> int:
    """The number of the ingest that brought these rows."""
    ingest_id = log.last_ingest_id() + 1
    log.commit([log.write(rows, day, ingest_id=ingest_id, number=0)], ingest_id=ingest_id, metadata={"file": "x"})
    return ingest_id


def found(log: EventLog, start: int, end: int, **wanted: object) -> list[str]:
    """The ids of the events in a span."""
    return sorted(log.scan(start, end, **wanted).collect()["event_id"])  # type: ignore[arg-type]


def test_a_log_without_commits_is_empty(tmp_path: Path) -> None:
    log = EventLog(directory=tmp_path / "events")
    assert log.scan(0, START).collect().schema == LOG_SCHEMA
    assert (log.version(), log.last_ingest_id(), log.first_event_at(APPS)) == (None, 0, {})


def test_events_are_read_back_with_their_ingest(tmp_path: Path) -> None:
    log = EventLog(directory=tmp_path / "events")
    rows = events({}, {"event_id": "e-2", "type": "dismiss", "user_id": None})
    assert appended(log, rows) == 1
    read = log.scan(START, START + 1).collect()
    assert read.schema == LOG_SCHEMA
    assert read.select(*EVENT_SCHEMA, "ingest_id").equals(rows.with_columns(ingest_id=pl.lit(1, pl.Int64)))


def test_a_span_is_half_open_in_whole_seconds_and_crosses_days(tmp_path: Path) -> None:
    log = EventLog(directory=tmp_path / "events")
    appended(log, events({"event_id": "a", "at": AT - 1}), date(2026, 3, 9))
    appended(log, events({"event_id": "b"}, {"event_id": "c", "at": AT + 999}, {"event_id": "d", "at": AT + 1000}))
    assert found(log, START - 1, START + 1) == ["a", "b", "c"]
    assert found(log, START, START + 2) == ["b", "c", "d"]
    assert found(log, START - 1, START) == ["a"]
    assert found(log, START + 1, START + 1) == []


def test_apps_and_what_was_known_at_an_ingest_narrow_a_span(tmp_path: Path) -> None:
    log = EventLog(directory=tmp_path / "events")
    appended(log, events({"event_id": "a"}))
    appended(log, events({"event_id": "b"}, {"event_id": "c", "app_id": APPS[1]}))
    assert found(log, START, START + 1, ingest_id=1) == ["a"]
    assert found(log, START, START + 1, ingest_id=2, apps=[APPS[1]]) == ["c"]
    assert found(log, START, START + 1, apps=[]) == []


def test_the_first_event_of_each_app_is_found(tmp_path: Path) -> None:
    log = EventLog(directory=tmp_path / "events")
    appended(log, events({"at": AT + 5}, {"event_id": "b", "at": AT + 3}))
    appended(log, events({"at": AT - 7, "app_id": APPS[1]}), date(2026, 3, 9))
    appended(log, events({"at": AT, "app_id": APPS[1]}))
    assert log.first_event_at([*APPS, 5]) == {APPS[0]: AT + 3, APPS[1]: AT - 7}


def test_files_that_are_not_committed_are_not_read_and_can_be_discarded(tmp_path: Path) -> None:
    log = EventLog(directory=tmp_path / "events")
    appended(log, events({"event_id": "a"}))
    log.write(events({"event_id": "b"}), DAY, ingest_id=2, number=0)
    assert found(log, START, START + 1) == ["a"]
    log.discard_uncommitted()
    assert [path.name for path in log.directory.glob("day=*/*")] == ["0000000001-00000.parquet"]
    assert found(log, START, START + 1) == ["a"]


def test_old_log_entries_are_kept_and_say_what_was_ingested(tmp_path: Path) -> None:
    log = EventLog(directory=tmp_path / "events")
    appended(log, events({}))
    table = DeltaTable(log.directory)
    assert table.metadata().configuration["delta.enableExpiredLogCleanup"] == "false"
    assert table.metadata().partition_columns == ["day"]
    assert (table.history(1)[0]["file"], table.history(1)[0]["ingest_id"]) == ("x", 1)


def test_the_last_ingest_and_the_rows_survive_compaction_and_clean_up(tmp_path: Path) -> None:
    log = EventLog(directory=tmp_path / "events")
    for name in ("a", "b", "c"):
        appended(log, events({"event_id": name}))
    table = DeltaTable(log.directory)
    table.optimize.compact()
    table.vacuum(0, dry_run=False, enforce_retention_duration=False)
    table.create_checkpoint()
    for entry in sorted((log.directory / "_delta_log").glob("*.json"))[:-1]:
        entry.unlink()
    assert log.last_ingest_id() == 3
    assert found(log, START, START + 1, ingest_id=2) == ["a", "b"]
    assert appended(log, events({"event_id": "d"})) == 4
    assert found(log, START, START + 1) == ["a", "b", "c", "d"]


@pytest.mark.parametrize("name", ["with space", "[x]*", "été", "a#b?c", "day=2020-01-01"])
def test_the_log_may_lie_in_a_directory_of_any_name(tmp_path: Path, name: str) -> None:
    log = EventLog(directory=tmp_path / name / "events")
    appended(log, events({"event_id": "a"}))
    appended(log, events({"event_id": "b"}))
    assert found(log, START, START + 1) == ["a", "b"]
    assert log.directory.is_dir()


def test_other_engines_read_the_table(tmp_path: Path) -> None:
    log = EventLog(directory=tmp_path / "events")
    appended(log, events({"event_id": "a"}, {"event_id": "b"}))
    table = DeltaTable(log.directory).to_pyarrow_table()
    assert table.num_rows == 2
    assert set(table.column_names) == {*LOG_SCHEMA, "day"}
    assert table["day"].to_pylist() == [DAY, DAY]


def test_statistics_name_the_bounds_of_each_file(tmp_path: Path) -> None:
    log = EventLog(directory=tmp_path / "events")
    appended(log, events({"event_id": "a"}, {"event_id": "b", "at": AT + 9}))
    entries = (log.directory / "_delta_log" / f"{log.version():020d}.json").read_text().splitlines()
    (added,) = [entry["add"] for entry in map(json.loads, entries) if "add" in entry]
    largest = json.loads(added["stats"])["maxValues"]
    assert largest.pop("room_key") == log.scan(START, START + 1).select("room_key").collect().item(0, 0)
    assert largest == {"app_id": APPS[0], "at": AT + 9, "ingest_id": 1}


def test_reading_the_log_imports_neither_pandas_nor_pyarrow(tmp_path: Path) -> None:
    log = EventLog(directory=tmp_path / "events")
    appended(log, events({}))
    code = (
        "import sys; from pathlib import Path; from billing.events.log import EventLog\n"
        f"log = EventLog(directory=Path({str(log.directory)!r}))\n"
        f"assert log.scan({START}, {START + 1}).collect().height == 1\n"
        "print([name for name in ('pandas', 'pyarrow') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_damaged_log_says_what_to_do(tmp_path: Path) -> None:
    log = EventLog(directory=tmp_path / "events")
    appended(log, events({}))
    next((tmp_path / "events" / "_delta_log").glob("*.json")).write_text("{not json\n")
    with pytest.raises(BillingError, match="damaged; restore it from a backup"):
        log.version()


@pytest.mark.parametrize(
    "damage", [lambda content: content[:300], lambda content: content[:0], lambda content: content[4:]]
)
def test_a_damaged_file_of_the_log_says_what_to_do(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    """As after a copy that was cut off."""
    log = EventLog(directory=tmp_path / "events")
    appended(log, events({}))
    file = next((tmp_path / "events").glob("*/*.parquet"))
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(BillingError, match=f"{file} is damaged: restore it from a backup"):
        log.scan(START, START + 1)
