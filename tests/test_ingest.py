"""Ingest: files into the event log, each counted, applied whole or not at all."""

import gzip
import io
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from filelock import FileLock
from numpy.typing import NDArray

from billing.errors import BillingError, UsageError
from billing.events import day_files, deduplication, key_index, key_runs
from billing.events import log as event_log
from billing.events.coded_texts import Values
from billing.events.keys import text_hashes
from billing.events.log import EventLog
from billing.events.quarantine import Quarantine
from billing.events.validation import validate
from billing.home import Home
from billing.jobs import ingest as ingest_job
from billing.jobs.ingest import IngestContext, ingest_files
from billing.jobs.trace_ingest import TraceIngest, ingest_trace
from billing.output_files import Output
from billing.sources.traces import TraceOptions, convert, write_ndjson
from tests.event_facts import (
    ABSENT,
    APPS,
    AT,
    counted,
    csv,
    event,
    ingest,
    logged,
    ndjson,
    new_home,
    parquet,
    written,
)

TRACE = Path(__file__).parent / "janus" / "S1"
LATER = datetime(2030, 1, 1, tzinfo=UTC)
JANUS = TraceOptions(source="janus", app_id=APPS[0], camera_size=(640, 360))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """An empty home."""
    return new_home(tmp_path / "home")


def quarantined(home: Home) -> list[tuple[int, str]]:
    """Line and reason of the rows in quarantine."""
    rows = Quarantine(directory=home.quarantine).rows()
    return list(zip(rows["line"], rows["reason"], strict=True))


def test_every_row_is_accepted_a_duplicate_or_quarantined(home: Home, tmp_path: Path) -> None:
    rows = [event(), event(), event(event_id="e-2"), event(width=1), {}]
    (report,) = ingest(home, written(tmp_path / "a.ndjson", ndjson(rows)))
    assert counted(report) == (5, 2, 1, 2)
    assert quarantined(home) == [(4, "conflict"), (5, "missing_field")]


def test_the_same_file_again_adds_nothing(home: Home, tmp_path: Path) -> None:
    path = written(tmp_path / "a.ndjson", ndjson([event(), event(event_id="e-2")]))
    assert [counted(report) for report in ingest(home, path, path)] == [(2, 2, 0, 0), (2, 0, 2, 0)]
    assert logged(home).height == 2
    assert EventLog(directory=home.events).last_ingest_id() == 1


def test_an_event_is_the_same_whatever_its_format(home: Home, tmp_path: Path) -> None:
    rows = [event(event_id=ABSENT, seq=0), event(seq=0)]
    reports = ingest(
        home,
        written(tmp_path / "a.parquet", parquet(rows)),
        written(tmp_path / "b.csv", csv(rows)),
        written(tmp_path / "c.ndjson", ndjson(rows)),
    )
    assert [counted(report) for report in reports] == [(2, 2, 0, 0), (2, 0, 2, 0), (2, 0, 2, 0)]


def test_a_key_is_the_app_the_utc_day_and_the_event_id(home: Home, tmp_path: Path) -> None:
    rows = [event(), event(app_id=APPS[1]), event(at=AT - 1), event(at=AT + 86_399_999), event(event_id="E-1")]
    (report,) = ingest(home, written(tmp_path / "a.ndjson", ndjson(rows)), now=datetime(2026, 3, 11, tzinfo=UTC))
    assert counted(report) == (5, 4, 0, 1)
    assert quarantined(home) == [(4, "conflict")]


@pytest.mark.parametrize(
    "change",
    [
        {"room_id": "other"},
        {"user_id": "bob"},
        {"at": AT + 1},
        {"seq": 1},
        {"type": "video_off"},
        {"stream": "bob/screen"},
        {"width": 641},
        {"height": None, "type": "video_off", "width": None},
    ],
    ids=str,
)
def test_a_known_key_with_other_billed_content_is_a_conflict(
    home: Home, tmp_path: Path, change: dict[str, object]
) -> None:
    (report,) = ingest(home, written(tmp_path / "a.ndjson", ndjson([event(), event(**change)])))
    (later,) = ingest(home, written(tmp_path / "b.ndjson", ndjson([event(**change)])))
    assert (counted(report), counted(later)) == ((2, 1, 0, 1), (1, 0, 0, 1))
    assert logged(home)["width"].to_list() == [640]


def test_what_is_not_billed_does_not_make_a_conflict(home: Home, tmp_path: Path) -> None:
    rows = [event(role="anchor"), event(role="viewer", reason="x", source="y"), event(room_id="room", seq=0)]
    (report,) = ingest(home, written(tmp_path / "a.ndjson", ndjson(rows)))
    assert counted(report) == (3, 1, 2, 0)
    assert logged(home)["role"].to_list() == ["anchor"]


def test_the_first_stands_by_ingest_then_file_then_line(home: Home, tmp_path: Path) -> None:
    first = written(tmp_path / "b.ndjson", ndjson([event(width=1), event(width=2)]))
    second = written(tmp_path / "a.ndjson", ndjson([event(width=3)]))
    ingest(home, first, second)
    assert logged(home)["width"].to_list() == [1]


def test_files_are_cut_into_parts_and_days_without_anyone_noticing(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deduplication, "PART_ROWS", 7)
    monkeypatch.setattr(day_files, "ROWS_PER_RANGE", 10)
    monkeypatch.setattr(day_files, "MOST_OPEN", 2)
    monkeypatch.setattr(key_runs, "SPILLED_ENTRIES", 5)
    rows = [event(event_id=f"e-{n % 60}", at=AT - (n % 3) * 86_400_000) for n in range(100)]
    path = written(tmp_path / "a.parquet", parquet([*rows, event(event_id="e-0", width=9)]))
    assert [counted(report) for report in ingest(home, path, path)] == [(101, 60, 40, 1), (101, 0, 100, 1)]
    assert logged(home)["event_id"].sort().to_list() == sorted(f"e-{n}" for n in range(60))


def test_of_a_file_that_fails_nothing_is_being_written_any_more_when_the_next_one_begins(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts are written in the background, and the next file has the same names for its own."""
    written_parts: list[bool] = []
    take = deduplication.Deduplication._take

    def take_slowly(held: deduplication.Deduplication, rows: list[pl.DataFrame], share: float) -> None:
        time.sleep(0.3)
        take(held, rows, share)
        written_parts.append(True)

    def fail(_: int) -> None:
        raise BillingError("it failed here")

    monkeypatch.setattr(deduplication, "PART_ROWS", 1)
    monkeypatch.setattr(deduplication.Deduplication, "_take", take_slowly)
    file = str(written(tmp_path / "a.ndjson", ndjson([event()])))
    (report,) = ingest_files(IngestContext(home=home, apps=APPS, now=LATER, progress=fail), [file])
    assert (report.error, written_parts) == ("it failed here", [True])
    assert not (home.directory / "staging").exists()
    assert not list(home.events.rglob("*.parquet"))
    assert logged(home).is_empty()


def test_the_files_of_a_large_ingest_have_rooms_of_their_own(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then they can be read range by range; a small ingest beside it has all rooms in one file."""
    monkeypatch.setattr(day_files, "ROWS_PER_RANGE", 100)
    monkeypatch.setattr(event_log, "ROWS_PER_RANGE", 100)
    monkeypatch.setattr(deduplication, "PART_ROWS", 70)
    rows = [event(event_id=f"e-{n}", room_id=f"r-{n % 90}") for n in range(900)]
    ingest(home, written(tmp_path / "a.ndjson", ndjson(rows)))
    log, span = EventLog(directory=home.events), (AT // 1000, AT // 1000 + 1)
    rooms = [set(pl.read_parquet(file)["room_id"]) for file in log.files(*span)]
    assert len(rooms) == log.room_ranges(*span) == 8
    assert sum(map(len, rooms)) == len(set.union(*rooms)) == 90
    ingest(
        home, written(tmp_path / "b.ndjson", ndjson([event(event_id=f"f-{n}", room_id=f"r-{n}") for n in range(10)]))
    )
    assert log.room_ranges(*span) == 8
    more = [event(event_id=f"g-{n}", room_id=f"r-{n % 90}") for n in range(200)]
    ingest(home, written(tmp_path / "c.ndjson", ndjson(more)))
    assert log.room_ranges(*span) == 2  # it has a file for each half of the room keys
    assert log.room_ranges(*span, ingest_id=1) == 8
    assert sorted(log.scan(*span, ingest_id=1).collect()["event_id"]) == sorted(row["event_id"] for row in rows)


def test_keys_whose_hashes_are_equal_by_chance_are_told_apart_by_their_checks(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def few_hashes(texts: pl.Series, seeds: NDArray[np.uint64]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        hashes, checks = text_hashes(texts, seeds)
        return hashes % np.uint64(4), checks

    monkeypatch.setattr(key_index, "text_hashes", few_hashes)
    rows = [event(event_id=f"e-{n}", app_id=APPS[n % 2]) for n in range(50)]
    path = written(tmp_path / "a.ndjson", ndjson([*rows, *rows[:5], {**rows[7], "width": 9}]))
    assert [counted(report) for report in ingest(home, path, path)] == [(56, 50, 5, 1), (56, 0, 55, 1)]


def test_a_commit_carries_the_file_and_its_counts(home: Home, tmp_path: Path) -> None:
    path = written(tmp_path / "a.ndjson", ndjson([event(), {}]))
    ingest(home, path)
    log = sorted((home.events / "_delta_log").glob("*.json"))[-1].read_text().splitlines()
    (info,) = [entry["commitInfo"] for entry in map(json.loads, log) if "commitInfo" in entry]
    assert info["file"] == str(path)
    assert len(info["file_hash"]) == 64
    assert [info[name] for name in ("ingest_id", "read", "accepted", "duplicates", "quarantined")] == [1, 2, 1, 0, 1]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.ndjson.gz", b"\x1f\x8b\x08\0", "damaged or cut off"),
        ("a.parquet", b"garbage", "not a Parquet file"),
        ("a.csv", b"at\n1\n", "no column app_id, room_id, type"),
        ("a.txt", b"{}", "unknown kind of file"),
    ],
)
def test_a_file_that_fails_is_named_and_the_others_go_on(
    home: Home, tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    bad, good = written(tmp_path / name, content), written(tmp_path / "good.ndjson", ndjson([event()]))
    first, second, third, fourth = ingest(home, bad, tmp_path, tmp_path / "none.csv", good)
    assert first.error is not None
    assert str(bad) in first.error
    assert message in first.error
    assert "\n" not in first.error
    assert "is a directory" in str(second.error)
    assert "there is no such file" in str(third.error)
    assert (fourth.error, counted(fourth)) == (None, (1, 1, 0, 0))


def test_a_file_that_meets_a_fault_of_the_program_is_named_and_logged_and_the_others_go_on(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(frame: pl.DataFrame, values: Values, **rules: object) -> object:
        if "bad" in values["room_id"].to_list():
            raise ZeroDivisionError("nobody expects\nthis")
        return validate(frame, values, **rules)  # type: ignore[arg-type]

    monkeypatch.setattr(ingest_job, "validate", broken)
    bad, good = (written(tmp_path / f"{name}.ndjson", ndjson([event(room_id=name)])) for name in ("bad", "good"))
    first, second = ingest(home, bad, good)
    assert first.error == f"{bad}: not ingested, because of a fault in this program (ZeroDivisionError: nobody expects)"
    assert (second.error, counted(second)) == (None, (1, 1, 0, 0))
    assert "Traceback" in caplog.text
    assert not (home.directory / "staging").exists()


def test_a_number_of_any_length_stops_neither_its_file_nor_the_others(home: Home, tmp_path: Path) -> None:
    huge = written(tmp_path / "huge.ndjson", b'{"app_id": ' + b"9" * 60 + b"}\n" + ndjson([event()]))
    reports = ingest(home, huge, written(tmp_path / "good.ndjson", ndjson([event(event_id="e-2")])))
    assert [counted(report) for report in reports] == [(2, 1, 0, 1), (1, 1, 0, 0)]
    assert quarantined(home) == [(1, "bad_value")]


def test_a_pipe_that_nobody_writes_to_holds_no_lock_and_does_not_stop_the_others(home: Home, tmp_path: Path) -> None:
    pipe = tmp_path / "a.ndjson"
    os.mkfifo(pipe)
    first, second = ingest(home, pipe, written(tmp_path / "b.ndjson", ndjson([event()])))
    assert first.error == f"{pipe}: is a pipe or a device, not a file: send its content to standard input, and give -"
    assert counted(second) == (1, 1, 0, 0)


def test_standard_input_is_read_to_its_end_before_the_lock_is_taken(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            with FileLock(home.directory / "ingest.lock", blocking=False):  # nobody holds it
                return super().read(size)

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(Slow(ndjson([event()]))))
    (report,) = ingest(home, "-")
    assert (report.error, counted(report)) == (None, (1, 1, 0, 0))


def test_a_file_that_fails_at_its_end_leaves_nothing_behind(home: Home, tmp_path: Path) -> None:
    rows = ndjson([event(event_id=f"e-{n}") for n in range(30_000)] + [{}])
    path = tmp_path / "a.ndjson.gz"
    path.write_bytes(subprocess.run(["gzip", "-c"], input=rows, capture_output=True, check=True).stdout[:-5])
    (report,) = ingest(home, path)
    assert report.error
    assert sorted(entry.name for entry in home.directory.iterdir()) == ["ingest.lock"]


def test_an_empty_file_and_one_of_rejected_rows_make_no_commit(home: Home, tmp_path: Path) -> None:
    empty, bad = written(tmp_path / "a.ndjson", b""), written(tmp_path / "b.ndjson", b"\n{}\n")
    assert [counted(report) for report in ingest(home, empty, bad)] == [(0, 0, 0, 0), (1, 0, 0, 1)]
    assert EventLog(directory=home.events).version() is None


def test_binary_garbage_is_quarantined_line_by_line(home: Home, tmp_path: Path) -> None:
    (report,) = ingest(home, written(tmp_path / "a.ndjson", bytes(range(256)) * 10))
    assert counted(report) == (11, 0, 0, 11)
    assert {reason for _, reason in quarantined(home)} == {"bad_json"}


def test_patterns_and_standard_input_are_read(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path / "b.ndjson", ndjson([event(event_id="b")]))
    written(tmp_path / "a.ndjson", ndjson([event(event_id="a")]))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(ndjson([event(event_id="c"), {}]))))
    reports = ingest(home, f"{tmp_path}/*.ndjson", "-")
    assert [(report.file, report.accepted) for report in reports] == [
        (str(tmp_path / "a.ndjson"), 1),
        (str(tmp_path / "b.ndjson"), 1),
        ("-", 1),
    ]
    assert Quarantine(directory=home.quarantine).rows()["file"].to_list() == ["-"]


def test_a_name_with_any_characters_stays_outside_of_the_home(home: Home, tmp_path: Path) -> None:
    name = os.fsdecode(b"../home/\xff[x] =cmd.ndjson")
    path = written(tmp_path / "home" / ".." / os.path.basename(name), b"{}\n")
    (report,) = ingest(home, path)
    assert report.file.endswith("\\xff[x] =cmd.ndjson")
    assert counted(report) == (1, 0, 0, 1)
    assert sorted(entry.name for entry in home.directory.iterdir()) == ["ingest.lock", "quarantine"]


def test_a_home_that_cannot_be_written_is_said_and_nothing_changes(home: Home, tmp_path: Path) -> None:
    written(home.events, b"a file where the log should be")
    (report,) = ingest(home, written(tmp_path / "a.ndjson", ndjson([event()])))
    assert "not ingested" in str(report.error)
    (missing,) = ingest(Home.at(tmp_path / "nowhere"), tmp_path / "a.ndjson")
    assert "run `billing init` first" in str(missing.error)


def _ingest_in_process(directory: Path, path: Path) -> None:
    ingest(Home.at(directory), path)


def test_ingests_at_the_same_time_do_not_overlook_each_other(home: Home, tmp_path: Path) -> None:
    """Four processes bring 230 events in files that overlap; each has some of its own."""
    rows = [event(event_id=f"e-{n}") for n in range(230)]
    paths = [written(tmp_path / f"{n}.ndjson", ndjson(rows[n * 50 : n * 50 + 80])) for n in range(4)]
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_ingest_in_process, args=(home.directory, path)) for path in paths]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert sorted(logged(home)["event_id"]) == sorted(f"e-{n}" for n in range(230))
    assert EventLog(directory=home.events).last_ingest_id() == 4


KILLED = """
import os, signal, sys
from pathlib import Path
import billing.jobs.ingest as ingest
from billing.events import day_files, deduplication, key_index
from billing.events import log as event_log
from billing.events import quarantine
from tests.event_facts import ingest as run
from billing.home import Home

def kill_in(owner, name, after):
    inner = getattr(owner, name)
    def killed(*args, **kwargs):
        result = inner(*args, **kwargs) if after else None
        os.kill(os.getpid(), signal.SIGKILL)
        return result
    setattr(owner, name, killed)

kill_in(eval(sys.argv[1]), sys.argv[2], sys.argv[3] == "after")
run(Home.at(Path(sys.argv[4])), *sys.argv[5:])
"""


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(
    ("owner", "step"),
    [
        ("deduplication.Deduplication", "finish"),
        ("day_files.DayFiles", "write"),
        ("key_index.DayKeys", "write"),
        ("key_index.DayKeys", "name"),
        ("event_log.EventLog", "commit"),
        ("quarantine.Quarantine", "put"),
        ("quarantine.Quarantine", "release"),
        ("quarantine.os", "replace"),
    ],
)
def test_an_ingest_that_is_killed_at_any_step_and_run_again_is_an_undisturbed_ingest(
    home: Home, tmp_path: Path, owner: str, step: str, moment: str
) -> None:
    """The first ingest knows only one app, so that the second takes rows out of quarantine."""
    rows = [event(), {}, event(app_id=APPS[1]), event(width=1), event(event_id="e-2", at=AT - 1)]
    path = written(tmp_path / "a.ndjson", ndjson(rows))
    clean = new_home(tmp_path / "clean")
    for each in (home, clean):
        ingest(each, path, apps=APPS[:1])
        written(tmp_path / "b.ndjson", ndjson([event(event_id="e-3")]))
    command = [
        sys.executable,
        "-c",
        KILLED,
        owner,
        step,
        moment,
        str(home.directory),
        str(path),
        str(tmp_path / "b.ndjson"),
    ]
    died = subprocess.run(command, cwd=Path(__file__).parents[1], check=False)
    assert died.returncode == -signal.SIGKILL
    for each in (home, clean):
        ingest(each, path, tmp_path / "b.ndjson")
    assert logged(home).equals(logged(clean))
    assert quarantined(home) == quarantined(clean) == [(2, "missing_field"), (4, "conflict")]
    data = [sorted(file.name for file in each.events.glob("day=*/*")) for each in (home, clean)]
    assert len(data[0]) == len(data[1])
    assert not (home.directory / "staging").exists()


# Foreign sources


def trace(tmp_path: Path) -> tuple[Path, Path]:
    """A recorded trace, cut into two files, with two lines that are none."""
    lines = gzip.decompress((TRACE / "events.jsonl.gz").read_bytes()).splitlines(keepends=True)
    middle = len(lines) // 2
    return (
        written(tmp_path / "1.jsonl", b"".join(lines[:middle]) + b"oops\n"),
        written(tmp_path / "2.jsonl.gz", gzip.compress(b"".join(lines[middle:]) + b"x" * (2 << 20))),
    )


def ingest_janus(home: Home, *files: Path) -> TraceIngest:
    """The result of an ingest of these files as records of Janus."""
    return ingest_trace(IngestContext(home=home, apps=APPS, now=LATER), [str(file) for file in files], JANUS)


def test_a_trace_counts_records_and_lines_that_cannot_be_read(home: Home, tmp_path: Path) -> None:
    first, second = ingest_janus(home, *trace(tmp_path)).reports
    assert (first.quarantined, second.quarantined) == (1, 1)
    assert (first.lines, second.lines) == (first.read, second.read)
    assert quarantined(home) == [(first.lines, "bad_json"), (second.lines, "too_long")]


def test_a_trace_is_ingested_directly_or_by_way_of_its_converted_events(home: Home, tmp_path: Path) -> None:
    paths = trace(tmp_path)
    done = ingest_janus(home, *paths)
    output = str(tmp_path / "out.ndjson")
    names = [str(path) for path in paths]
    converted = convert(names, Output(path=output), JANUS)
    (report,) = ingest(home, output, now=LATER)
    assert converted.events == done.derived == report.duplicates
    assert converted.lines == sum(each.lines or 0 for each in done.reports)
    assert [(row.file, row.reason) for row in converted.rejected] == [(names[0], "bad_json"), (names[1], "too_long")]


def test_a_file_of_a_trace_that_fails_does_not_stop_the_others(home: Home, tmp_path: Path) -> None:
    first, second = trace(tmp_path)
    reports = ingest_janus(home, first, tmp_path / "none.jsonl", second).reports
    assert [bool(report.error) for report in reports] == [False, True, False]
    assert "there is no such file" in str(reports[1].error)
    assert logged(home).height == 9


def test_an_unknown_source_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown source 'jitsi': there is janus"):
        convert([str(tmp_path)], Output(path="-"), TraceOptions(source="jitsi", app_id=APPS[0]))


def test_events_are_written_one_a_line_in_schema_order(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    events = [{"type": "enter", "at": AT, "room_id": "é", "seq": 0, "user_id": None}]
    line = f'{{"room_id":"\\u00e9","at":{AT},"seq":0,"type":"enter"}}\n'
    write_ndjson(events, Output(path=tmp_path / "out.ndjson"))
    write_ndjson(events, Output(path="-"))
    assert (tmp_path / "out.ndjson").read_text() == capsys.readouterr().out == line
    with pytest.raises(BillingError, match="does not exist; create it first"):
        write_ndjson(events, Output(path=tmp_path / "none" / "out.ndjson"))
