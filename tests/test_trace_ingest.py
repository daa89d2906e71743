"""Records of Janus servers: however a feed is cut, shuffled and repeated, its events are those of the whole."""

import gzip
import json
import random
import shutil
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import polars as pl
import pytest

from billing.errors import UsageError
from billing.events.feed_states import FeedStates
from billing.events.log import EventLog
from billing.events.quarantine import Quarantine
from billing.events.record_log import RecordLog
from billing.events.schema import EVENT_SCHEMA
from billing.home import Home
from billing.jobs.ingest import FileReport, IngestContext
from billing.jobs.trace_ingest import TraceIngest, ingest_trace
from billing.output_files import Output
from billing.periods import DAY_SECONDS
from billing.sources.traces import TraceOptions, convert
from tests.event_facts import ingest, new_home

TRACES = Path(__file__).parent / "janus"
ROOMS = ("S1", "S2", "S3", "S3b", "S5")
APP = 7
LATER = datetime(2030, 1, 1, tzinfo=UTC)
Json = dict[str, object]


@cache
def recorded(trace: str) -> tuple[bytes, ...]:
    """The lines of a recorded room."""
    return tuple(gzip.decompress((TRACES / trace / "events.jsonl.gz").read_bytes()).splitlines())


def stamp(line: bytes) -> int:
    """The time of a line (µs)."""
    event = json.loads(line)
    return int(event.get("e", event)["timestamp"])


def of_server(lines: Iterable[bytes], name: str) -> list[bytes]:
    """The same lines, said by a server of another name."""
    return [line.replace(b'"emitter":"sfu-1"', f'"emitter":"{name}"'.encode()) for line in lines]


def call(home: Home, *files: Sequence[bytes], app: int = APP, **sizes: tuple[int, int]) -> TraceIngest:
    """One ingest of files with these lines."""
    directory = home.directory.parent / "files"
    directory.mkdir(exist_ok=True)
    paths = []
    for lines in files:
        paths.append(directory / f"{len(list(directory.iterdir())):06d}.jsonl")
        paths[-1].write_bytes(b"".join(line + b"\n" for line in lines))
    options = TraceOptions(source="janus", app_id=app, **sizes)
    done = ingest_trace(
        IngestContext(home=home, apps=[APP, APP + 1], now=LATER), [str(path) for path in paths], options
    )
    assert [report.error for report in done.reports] == [None] * len(files)
    for report in done.reports:
        assert report.read == report.accepted + report.duplicates + report.quarantined
    return done


def counted(report: FileReport) -> tuple[int, int, int, int]:
    """What a report says: read, accepted, duplicates, quarantined."""
    return report.read, report.accepted, report.duplicates, report.quarantined


def standing(home: Home) -> pl.DataFrame:
    """The events of the log that stand."""
    events = EventLog(directory=home.events).scan(0, 2**33)
    return events.select(*EVENT_SCHEMA).collect().sort("app_id", "room_id", "at", "seq", "event_id")


def whole(tmp_path: Path, lines: Sequence[bytes]) -> pl.DataFrame:
    """The events of a feed that comes in one file."""
    tmp_path.mkdir(exist_ok=True)
    home = new_home(tmp_path / "whole")
    call(home, lines)
    return standing(home)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """An empty home."""
    return new_home(tmp_path / "home")


@pytest.mark.parametrize("trace", ROOMS)
def test_a_feed_in_two_calls_is_the_feed_in_one(home: Home, tmp_path: Path, trace: str) -> None:
    lines = recorded(trace)
    call(home, lines[: len(lines) // 2])
    call(home, lines[len(lines) // 2 :])
    assert standing(home).equals(whole(tmp_path, lines))


@pytest.mark.parametrize("trace", ROOMS)
def test_a_feed_in_a_call_for_every_30_seconds_is_the_feed_in_one(home: Home, tmp_path: Path, trace: str) -> None:
    lines = recorded(trace)
    for part in range(stamp(lines[0]) // 30_000_000, stamp(lines[-1]) // 30_000_000 + 1):
        call(home, [line for line in lines if stamp(line) // 30_000_000 == part])
    assert standing(home).equals(whole(tmp_path, lines))


@pytest.mark.parametrize("trace", ROOMS)
def test_the_order_of_lines_and_repetition_do_not_matter(home: Home, tmp_path: Path, trace: str) -> None:
    lines = list(recorded(trace))
    random.Random(3).shuffle(lines)
    (first,) = call(home, [*lines, *lines[:100]]).reports
    (again,) = call(home, lines).reports
    assert counted(first) == (len(lines) + 100, len(lines), 100, 0)
    assert counted(again) == (len(lines), 0, len(lines), 0)
    assert standing(home).equals(whole(tmp_path, recorded(trace)))


def test_a_line_that_comes_late_changes_what_it_would_have_changed(tmp_path: Path) -> None:
    """Without the `joined` of user_b and the second transport's end of S3."""
    lines = recorded("S3")
    expected = whole(tmp_path, lines)
    for number, line in enumerate(lines):
        if json.loads(line)["e"]["type"] in (1, 64, 128, 256) and number % 3 == 0:
            case = new_home(tmp_path / f"late-{number}")
            call(case, [other for other in lines if other is not line])
            call(case, [line])
            assert standing(case).equals(expected), line


def test_records_are_kept_and_counted_and_statistics_are_ignored(home: Home) -> None:
    (report,) = call(home, recorded("S1")).reports
    assert counted(report) == (745, 745, 0, 0)
    assert (report.lines, sum(report.ignored.values())) == (745, 702)
    kept = RecordLog(directory=home.records).scan().collect()
    assert kept.height == 745
    assert set(kept["emitter"]) == {"sfu-1"}
    assert kept["text"].str.contains('"emitter":"sfu-1"').all()


def test_servers_are_told_apart_in_one_file_and_in_files_of_their_own(home: Home, tmp_path: Path) -> None:
    """The same ids, users and rooms on two servers at once are twice the usage."""
    alone = {name: whole(tmp_path / name, of_server(recorded("S2"), name)) for name in ("sfu-1", "sfu-2")}
    mixed = [line for pair in zip(*(of_server(recorded("S2"), name) for name in alone), strict=True) for line in pair]
    call(home, mixed)
    apart = new_home(tmp_path / "apart")
    for name in alone:
        call(apart, of_server(recorded("S2"), name))
    assert standing(home).equals(standing(apart))
    assert standing(home).height == 2 * alone["sfu-1"].height
    rooms = standing(home).group_by("room_id").len().sort("room_id")
    assert rooms.rows() == [("101", 16), ("sfu-2/101", 16)]


def test_apps_are_told_apart(home: Home) -> None:
    call(home, recorded("S1"))
    (report,) = call(home, recorded("S1"), app=APP + 1).reports
    assert report.accepted == 745
    assert standing(home).group_by("app_id").len().sort("app_id").rows() == [(APP, 9), (APP + 1, 9)]


def test_a_feed_in_order_is_not_folded_again(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each hour a copy of S1: a call reads the records of its own, and of the minute before."""
    from billing.jobs import derivation

    read = 0

    def counting(event: object, place: object) -> object:
        nonlocal read
        read += 1
        return original(event, place)  # type: ignore[arg-type]

    original = derivation.read_event
    monkeypatch.setattr(derivation, "read_event", counting)
    telling = 43
    for hour in range(5):
        call(home, shifted(recorded("S1"), hour * 3600))
        assert read <= (hour + 1) * telling * 1.7
    call(home, [])
    assert standing(home).height == 5 * 9


def shifted(lines: Iterable[bytes], seconds: int) -> list[bytes]:
    """The same lines at another time."""
    moved = []
    for line in lines:
        event = json.loads(line)
        event = event.get("e", event)
        moved.append(json.dumps(event | {"timestamp": event["timestamp"] + seconds * 1_000_000}).encode())
    return moved


def test_a_late_record_is_folded_until_the_state_is_as_before(home: Home, tmp_path: Path) -> None:
    days = [shifted(recorded("S1"), day * DAY_SECONDS) for day in range(4)]
    late = next(line for line in days[1] if b'"leaving"' in line)
    call(home, *([line for line in day if line is not late] for day in days))
    before = snapshots(home)
    call(home, [late])
    after = snapshots(home)
    assert after.keys() == before.keys()
    changed = {cut for cut in after if after[cut] != before[cut]}
    assert {cut for cut in changed if not stamp(late) <= cut < stamp(days[2][0])} == set()
    assert standing(home).equals(whole(tmp_path, [line for day in days for line in day]))


def snapshots(home: Home) -> dict[int, object]:
    """The snapshots of the only feed."""
    states = FeedStates(directory=home.folds)
    (feed,) = states.feeds()
    return {cut: states.snapshot(feed, cut) for cut in states.cuts(feed)}


def test_lost_states_are_computed_again(home: Home, tmp_path: Path) -> None:
    lines = recorded("S2")
    call(home, lines[:400])
    for path in home.folds.rglob("*"):
        if path.is_file():
            path.unlink()
    call(home, lines[400:])
    assert standing(home).equals(whole(tmp_path, lines))


def test_states_without_their_records_are_no_reason_to_retract_events(home: Home) -> None:
    lines = recorded("S2")
    call(home, lines[:400])
    for directory in (home.folds, home.records):
        directory.rename(directory.with_suffix(".lost"))
    directory = home.directory.parent / "files"
    (directory / "rest.jsonl").write_bytes(b"\n".join(lines[400:]))
    context = IngestContext(home=home, apps=[APP], now=LATER)
    done = ingest_trace(context, [str(directory / "rest.jsonl")], TraceOptions(source="janus", app_id=APP))
    assert "records of sfu-1" in str(done.reports[-1].error)


def test_a_late_end_takes_back_the_end_that_was_derived_without_it(home: Home) -> None:
    lines = recorded("S1")
    leaving = [
        line
        for line in lines
        if any(end in line for end in (b'"leaving"', b'"detached"', b'"destroyed"', b'"disconnected"'))
    ]
    stop = json.loads(lines[0])["e"] | {"subtype": 2, "timestamp": stamp(lines[-1]) + 5_000_000, "event": {}}
    call(home, [line for line in lines if line not in leaving], [json.dumps(stop).encode()])
    ends = standing(home).filter(pl.col("type") == "exit")
    assert set(ends["reason"]) == {"server_stopped"}
    done = call(home, leaving)
    assert done.retracted > 0
    assert "server_stopped" not in set(standing(home)["reason"])


def test_an_unknown_app_is_wrong_usage(home: Home) -> None:
    with pytest.raises(UsageError, match="unknown app 9"):
        call(home, recorded("S1"), app=9)


def test_records_that_lack_what_they_need_are_quarantined(home: Home) -> None:
    event = json.loads(recorded("S1")[5])["e"]
    media = {"emitter": "sfu-1", "type": 32, "timestamp": event["timestamp"], "event": {"media": "video"}}
    core = {"emitter": "sfu-1", "type": 256, "timestamp": event["timestamp"], "event": {}}
    future = event | {"timestamp": 4_000_000_000_000_000}
    (report,) = call(home, [json.dumps(row).encode() for row in (media, core, future, event)]).reports
    assert (report.reasons, report.accepted) == ({"missing_field": 2, "future": 1}, 1)


def test_streams_of_unknown_size_are_quarantined_until_the_file_comes_with_sizes(home: Home) -> None:
    bare = [line.replace(b'\\"kind\\"', b'\\"what\\"') for line in recorded("S3")]
    (first,) = call(home, bare).reports
    assert (first.quarantined, first.reasons) == (4, {"missing_field": 4})
    assert counted(call(home, bare).reports[0]) == (1702, 0, 1702, 0)
    assert Quarantine(directory=home.quarantine).rows().height == 4
    (again,) = call(home, bare, camera_size=(640, 360)).reports
    assert again.quarantined == 0
    assert 0 < again.accepted < 100
    assert Quarantine(directory=home.quarantine).rows().is_empty()
    assert set(standing(home)["width"].drop_nulls()) == {640}


def test_events_of_an_older_event_log_are_derived_again(home: Home, tmp_path: Path) -> None:
    """The log comes from a backup, the records do not."""
    lines = recorded("S2")
    call(home, lines[:400])
    shutil.copytree(home.events, tmp_path / "backup")
    call(home, lines[400:])
    shutil.rmtree(home.events)
    shutil.copytree(tmp_path / "backup", home.events)
    call(home, [])
    assert standing(home).equals(whole(tmp_path, lines))


def test_events_of_an_older_version_are_known_and_go_on(home: Home, tmp_path: Path) -> None:
    """A home that has the events of a trace, and not its records; then the next class begins before the first ends."""
    lines = recorded("S2")
    output = tmp_path / "events.ndjson"
    half = tmp_path / "half.jsonl"
    half.write_bytes(b"\n".join(lines[:400]))
    convert([str(half)], Output(path=output), TraceOptions(source="janus", app_id=APP))
    ingest(home, output, now=LATER, apps=[APP])
    known = standing(home).height
    assert call(home, of_server(lines[:400], "sfu-9")).derived == 0
    call(home, of_server(lines[400:], "sfu-9"))
    assert standing(home).equals(whole(tmp_path, of_server(lines, "sfu-9")))
    assert standing(home).height > known
