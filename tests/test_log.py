"""The event log: what is committed is read back by time, app and ingest, and nothing else is."""

import io
import json
import shutil
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
from billing.events.quarantine import Quarantine
from billing.events.schema import EVENT_SCHEMA
from billing.metering.meter import Span
from billing.metering.schemas import STATE_SCHEMA
from billing.metering.spans import meter_log
from tests.event_facts import APPS, AT, event, ingest, ndjson, new_home, written
from tests.metering_facts import INTL

DAY = date(2026, 3, 10)
START = AT // 1000


def events(*changes: dict[str, object]) -> pl.DataFrame:
    """Valid events with these changes."""
    return pl.DataFrame([event(seq=0, **change) for change in changes], schema=EVENT_SCHEMA)


def appended(log: EventLog, rows: pl.DataFrame, day: date = DAY) -> int:
    """The number of the ingest that brought these rows."""
    log.create()
    ingest_id = log.last_ingest_id() + 1
    log.commit([log.write(rows, day, ingest_id=ingest_id, number=0)], ingest_id=ingest_id, metadata={"file": "x"})
    return ingest_id


def commit_of(log: EventLog, version: int | None = None) -> Path:
    """The file of a commit, or of the last one."""
    return log.directory / "_delta_log" / f"{log.version() if version is None else version:020d}.json"


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
    commit_of(log).write_text("{not json\n")
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


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:0],
        lambda content: content[:200],
        lambda content: content[:-1],
        lambda content: b"".join(content.splitlines(keepends=True)[:-1]),
        lambda content: content.replace(b"{", b"", 1),
        lambda content: content[:0] + b"null",
    ],
    ids=["empty", "cut", "last byte", "last line", "first byte", "other JSON"],
)
@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_damaged_commit_is_damage_and_is_never_written_over(
    tmp_path: Path, damage: Callable[[bytes], bytes], version: int
) -> None:
    """The Delta library takes an empty commit for none, and would give its number to the next ingest."""
    log = EventLog(directory=tmp_path / "events")
    for name in ("a", "b", "c"):
        appended(log, events({"event_id": name}))
    data = log.write(events({"event_id": "d"}), DAY, ingest_id=4, number=0)
    commit = commit_of(log, version)
    left = damage(commit.read_bytes())
    commit.write_bytes(left)
    for access in (
        log.version,
        log.last_ingest_id,
        log.discard_uncommitted,
        lambda: log.scan(START, START + 1),
        lambda: log.commit([data], ingest_id=4, metadata={}),
    ):
        with pytest.raises(BillingError, match=f"damaged; restore it from a backup: {commit} is empty or cut off"):
            access()
    assert commit.read_bytes() == left
    assert (log.directory / data.path).exists()


def test_a_commit_that_is_missing_between_others_is_damage(tmp_path: Path) -> None:
    log = EventLog(directory=tmp_path / "events")
    for name in ("a", "b", "c"):
        appended(log, events({"event_id": name}))
    commit_of(log, 2).unlink()
    with pytest.raises(BillingError, match=r"00000000000000000002.json is missing"):
        log.version()


@pytest.mark.parametrize("remains", ["nothing", "an empty directory", "another file"])
def test_data_without_commits_are_damage_and_not_an_empty_log(tmp_path: Path, remains: str) -> None:
    log = EventLog(directory=tmp_path / "events")
    appended(log, events({}))
    commits = log.directory / "_delta_log"
    shutil.rmtree(commits)
    if remains != "nothing":
        commits.mkdir()
    if remains == "another file":
        (commits / "notes.txt").write_text("gone")
    for access in (log.version, log.discard_uncommitted, log.create):
        with pytest.raises(BillingError, match=f"damaged; restore it from a backup: {commits} is missing or empty"):
            access()
    assert len(list(log.directory.glob("day=*/*"))) == 1


def test_data_of_later_ingests_than_the_last_commit_are_damage_and_are_not_removed(tmp_path: Path) -> None:
    """As after restoring `_delta_log` alone from an old backup."""
    log = EventLog(directory=tmp_path / "events")
    for name in ("a", "b", "c"):
        appended(log, events({"event_id": name}))
    commit_of(log, 3).unlink()
    commit_of(log, 2).unlink()
    with pytest.raises(BillingError, match=r"0000000003-00000.parquet is of a later ingest than the last commit, 1"):
        log.discard_uncommitted()
    assert len(list(log.directory.glob("day=*/*"))) == 3


def test_the_identity_of_a_commit_says_which_history_a_log_has(tmp_path: Path) -> None:
    first, second = (EventLog(directory=tmp_path / name) for name in ("first", "second"))
    assert (first.last_commit(), first.commit_identity(0), first.commit_identity(1)) == (None, None, None)
    for log in (first, second):
        appended(log, events({"event_id": "a"}))
    assert first.last_commit() == second.last_commit()
    shutil.copytree(first.directory, tmp_path / "backup")
    restored = EventLog(directory=tmp_path / "backup")
    appended(first, events({"event_id": "b", "at": AT + 1}))
    appended(restored, events({"event_id": "c", "at": AT + 2}))
    assert first.commit_identity(1) == restored.commit_identity(1)
    assert first.commit_identity(2) != restored.commit_identity(2)
    for log in (first, restored):
        appended(log, events({"event_id": "d"}))
    last = (first.last_commit(), restored.last_commit())
    assert [commit.ingest_id for commit in last if commit] == [3, 3]
    assert last[0] != last[1]


def test_an_identity_is_found_after_a_compaction_and_is_none_after_a_clean_up(tmp_path: Path) -> None:
    log = EventLog(directory=tmp_path / "events")
    for name in ("a", "b"):
        appended(log, events({"event_id": name}))
    before = [log.commit_identity(ingest) for ingest in (1, 2)]
    DeltaTable(log.directory).optimize.compact()
    appended(log, events({"event_id": "c"}))
    assert [log.commit_identity(ingest) for ingest in (1, 2)] == before
    assert len({*before, log.commit_identity(3), None}) == 4
    DeltaTable(log.directory).create_checkpoint()
    commit_of(log, 1).unlink()
    assert [log.commit_identity(ingest) for ingest in (1, 2)] == [None, before[1]]


def test_a_commit_of_an_older_version_is_identified_by_its_file_and_time(tmp_path: Path) -> None:
    logs = []
    for name, file_hash in (("first", "aa"), ("second", "bb"), ("third", "aa")):
        log = EventLog(directory=tmp_path / name)
        log.create()
        metadata = {"file_hash": file_hash, "ingested_at": 5}
        log.commit([log.write(events({}), DAY, ingest_id=1, number=0)], ingest_id=1, metadata=metadata)
        lines = commit_of(log).read_text().splitlines()
        described = json.loads(lines[0])
        del described["commitInfo"]["identity"]
        commit_of(log).write_text("\n".join([json.dumps(described), *lines[1:]]))
        logs.append(log)
    first, second, third = (log.commit_identity(1) for log in logs)
    assert first == third
    assert len({first, second, None}) == 3


def foreign(content: bytes) -> bytes:  # noqa: ARG001 - it has nothing to do with what was there
    """A Parquet file of somebody else."""
    buffer = io.BytesIO()
    pl.DataFrame({"city": ["Oslo"]}).write_parquet(buffer)
    return buffer.getvalue()


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "foreign": foreign,
    "pages": lambda content: content[:8] + b"\xff" * (len(content) // 2) + content[8 + len(content) // 2 :],
    "footer": lambda content: content[:-60] + b"\xff" * 52 + content[-8:],
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_or_foreign_file_of_the_log_is_named_whatever_reads_it(
    tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    """Its first and last bytes are those of a Parquet file."""
    home = new_home(tmp_path / "home")
    first, second = (
        written(tmp_path / f"{n}.ndjson", ndjson(event(event_id=f"{n}-{m}") for m in range(300))) for n in "ab"
    )
    ingest(home, first, second)
    log = EventLog(directory=home.events)
    file = sorted(home.events.glob("day=*/*"))[1]
    file.write_bytes(damage(file.read_bytes()))
    span = Span(start=START, end=START + 86_400, rules={APPS[0]: INTL})
    for access in (
        lambda: log.first_event_at([APPS[0]]),
        lambda: log.late_events(after=0, upto=2, before=START + 86_400),
        lambda: meter_log(log, 2, pl.DataFrame(schema=STATE_SCHEMA), span),
    ):
        with pytest.raises(BillingError, match=f"{file} is damaged: restore it from a backup"):
            access()
    shutil.rmtree(log.directory / "_keys")  # with it, an ingest does not read old files
    (report,) = ingest(home, written(tmp_path / "c.ndjson", ndjson([event(event_id="c")])))
    assert str(report.error).startswith(f"{file} is damaged: restore it from a backup")
    assert "\n" not in str(report.error)
    assert log.last_ingest_id() == 2


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_or_foreign_file_of_the_quarantine_is_named_whatever_reads_it(
    tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    home = new_home(tmp_path / "home")
    path = written(tmp_path / "a.ndjson", ndjson(event(event_id=f"{n}", width=0) for n in range(300)))
    ingest(home, path)
    (file,) = home.quarantine.iterdir()
    file.write_bytes(damage(file.read_bytes()))
    left = file.read_bytes()
    with pytest.raises(BillingError, match=f"{file} is damaged: restore it from a backup"):
        Quarantine(directory=home.quarantine).rows()
    (report,) = ingest(home, path)
    assert str(report.error).startswith(f"{file} is damaged: restore it from a backup")
    assert file.read_bytes() == left
