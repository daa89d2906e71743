"""Files of self-contained records: accounting, quarantine, assumptions and conversion, through the commands."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from billing.catalog.feeds import AUTOMATIC_SOURCES, RECORD_SOURCES
from billing.sources.record_files import RECORDS
from tests.commands import Commands
from tests.record_facts import FEEDS, SAMPLES, sample

CATALOG = """
[[account]]
id = "acme"
name = "Acme"
currency = "USD"
timezone = "UTC"
policy = "trtc-intl"

[[app]]
id = 7
account = "acme"
name = "Classroom"
feed = ["livekit:APIexample1", "trtc:1400000042"]

[app.assume]
camera = "1280x720"
screen = "1920x1080"
"""


@pytest.fixture
def billing(tmp_path: Path) -> Commands:
    """A home whose app 7 is known to LiveKit and TRTC."""
    commands = Commands(home=tmp_path / "home")
    assert commands("init").exit_code == 0
    apply(commands, CATALOG)
    return commands


def apply(billing: Commands, catalog: str) -> None:
    file = billing.home.parent / "catalog.toml"
    file.write_text(catalog)
    done = billing(f"catalog apply {file}")
    assert (done.exit_code, done.stderr) == (0, "")


def ingest(billing: Commands, line: str) -> list[dict[str, Any]]:
    done = billing(f"ingest {line} --format json")
    assert done.exit_code == 0, done.stderr
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return rows


def test_every_source_has_a_name_in_the_catalog() -> None:
    assert tuple(RECORDS) == RECORD_SOURCES
    assert set(AUTOMATIC_SOURCES) < set(RECORD_SOURCES)


def test_each_line_is_mapped_or_ignored_or_unreadable(billing: Commands, tmp_path: Path) -> None:
    """18 webhooks: 15 become an event each, 3 are ignored; and one line of nonsense."""
    file = tmp_path / "hooks.jsonl"
    file.write_bytes(b"\n".join([*sample("livekit-captured.jsonl"), b"", b"nonsense"]))
    done = billing(f"ingest --source livekit {file} --format json")
    assert json.loads(done.stdout) == [
        {
            "file": str(file),
            "read": 16,
            "accepted": 15,
            "duplicates": 0,
            "quarantined": 1,
            "lines": 19,
            "ignored": 3,
        }
    ]
    assert "rows were quarantined: 1 bad_json" in done.stderr
    assert (
        "records were ignored, because they say nothing billable: 1 room_started, 1 track_published AUDIO, "
        "1 participant_connection_aborted" in done.stderr
    )
    (again,) = ingest(billing, f"--source livekit {file}")
    assert (again["accepted"], again["duplicates"], again["quarantined"]) == (0, 15, 1)


@pytest.mark.parametrize("source", RECORDS)
def test_every_sample_is_read_whole(billing: Commands, source: str) -> None:
    (report,) = (
        ingest(billing, f"--source {source} --app 7 {FEEDS / SAMPLES[source]}")
        if source != "trtc"
        else ingest(billing, f"--source {source} {FEEDS / SAMPLES[source]}")
    )
    assert report["quarantined"] == 0
    assert report["accepted"] + report["duplicates"] == report["read"]


def test_records_without_an_app_wait_in_quarantine_until_the_catalog_has_it(billing: Commands) -> None:
    apply(billing, CATALOG.replace("trtc:1400000042", "trtc:2"))
    file = FEEDS / "trtc-captured.jsonl"
    (before,) = ingest(billing, f"--source trtc {file}")
    assert (before["accepted"], before["quarantined"]) == (0, 18)
    shown = json.loads(billing("quarantine list --format json").stdout)
    assert {row["reason"] for row in shown} == {"unknown_app"}
    apply(billing, CATALOG)
    (after,) = ingest(billing, f"--source trtc {file}")
    assert (after["quarantined"], after["ignored"]) == (0, 3)
    assert json.loads(billing("quarantine list --format json").stdout) == []


def test_a_size_that_nobody_knows_names_the_setting(billing: Commands) -> None:
    apply(billing, CATALOG.replace('screen = "1920x1080"', ""))
    ingest(billing, f"--source trtc {FEEDS / 'trtc-captured.jsonl'}")
    (row,) = json.loads(billing("quarantine list --format json").stdout)
    assert row["reason"] == "missing_field"
    assert 'set screen = "1920x1080" under [app.assume] of app 7 in the catalog' in row["detail"]


def test_a_record_under_another_assumption_is_a_duplicate(billing: Commands) -> None:
    file = FEEDS / "trtc-captured.jsonl"
    (first,) = ingest(billing, f"--source trtc {file}")
    apply(billing, CATALOG.replace("1280x720", "640x360").replace("[app.assume]", '[app.assume]\nsubscribe = "none"'))
    (again,) = ingest(billing, f"--source trtc {file}")
    assert again["quarantined"] == 0
    assert again["duplicates"] == first["accepted"] + first["duplicates"]


def test_a_file_that_fails_does_not_stop_the_others(billing: Commands, tmp_path: Path) -> None:
    cut = tmp_path / "cut.jsonl.gz"
    cut.write_bytes(gzip.compress((FEEDS / "livekit-captured.jsonl").read_bytes())[:-20])
    done = billing(f"ingest --source livekit {cut} {FEEDS / 'livekit-captured.jsonl'} --format json")
    assert done.exit_code == 1
    assert "damaged or cut off" in done.stderr
    assert [report["accepted"] for report in json.loads(done.stdout)] == [15]


def test_lines_that_are_too_long_are_counted(billing: Commands, tmp_path: Path) -> None:
    file = tmp_path / "long.jsonl"
    file.write_bytes(b'{"event":"' + b"x" * (1 << 20) + b'"}\n' + sample("livekit-captured.jsonl")[1])
    (report,) = ingest(billing, f"--source livekit {file}")
    assert (report["lines"], report["accepted"], report["quarantined"]) == (2, 1, 1)


def test_what_the_server_lost_is_said_and_listed(billing: Commands, tmp_path: Path) -> None:
    file = tmp_path / "hooks.jsonl"
    records = [json.loads(line) for line in sample("livekit-bodies.jsonl")]
    records[1]["numDropped"], records[4]["num_dropped"] = 2, "5"
    file.write_text("\n".join(map(json.dumps, records)))
    done = billing(f"ingest --source livekit --app 7 {file}")
    assert "finding feed_dropped: the server has lost 7 records before it could send them" in done.stderr
    (listed,) = json.loads(billing("ingests --format json").stdout)
    assert listed["feed_dropped"] == 7


def test_many_lines_are_read_in_batches(billing: Commands, tmp_path: Path) -> None:
    """45,000 rooms, more than two batches hold."""
    file = tmp_path / "rooms.jsonl"
    line = '{"event":"room_finished","room":{"name":"r%d"},"id":"EV_%d","createdAt":1772442000}\n'
    file.write_text("".join(line % (number, number) for number in range(45_000)))
    (report,) = ingest(billing, f"--source livekit --app 7 {file}")
    assert (report["lines"], report["accepted"]) == (45_000, 45_000)


def test_a_conflict_keeps_the_text_of_its_event(billing: Commands, tmp_path: Path) -> None:
    """Two webhooks with one id."""
    file = tmp_path / "hooks.jsonl"
    record = json.loads(sample("livekit-bodies.jsonl")[-1])
    file.write_text(f"{json.dumps(record)}\n{json.dumps(record | {'createdAt': '1772442111'})}\n")
    (report,) = ingest(billing, f"--source livekit --app 7 {file}")
    assert (report["lines"], report["accepted"], report["quarantined"]) == (2, 1, 1)
    (row,) = json.loads(billing("quarantine list --format json").stdout)
    assert (row["reason"], row["line"]) == ("conflict", 2)
    assert json.loads(row["raw"])["at"] == 1772442111000


def test_hostile_kinds_are_counted_under_few_names(billing: Commands, tmp_path: Path) -> None:
    file = tmp_path / "hooks.jsonl"
    file.write_text("".join(f'{{"event":"\\u001b[2J{"x" * number}"}}\n' for number in range(200)))
    done = billing(f"ingest --source livekit --app 7 {file}")
    assert "\x1b" not in done.stderr
    assert "kinds more" in done.stderr


def test_a_conversion_needs_no_home(tmp_path: Path) -> None:
    commands = Commands(home=tmp_path / "nowhere")
    out = tmp_path / "out.ndjson"
    done = commands(f"convert --source livekit --app 5 {FEEDS / 'livekit-captured.jsonl'} -o {out}")
    assert (done.exit_code, done.stderr) == (0, "15 events from 18 lines, 0 of which could not be read\n")
    assert {json.loads(line)["app_id"] for line in out.read_text().splitlines()} == {5}


def test_a_conversion_uses_the_catalog_of_its_home(billing: Commands, tmp_path: Path) -> None:
    out = tmp_path / "out.ndjson"
    done = billing(f"convert --source trtc {FEEDS / 'trtc-captured.jsonl'} -o {out}")
    assert done.exit_code == 0
    events = [json.loads(line) for line in out.read_text().splitlines()]
    assert {event["app_id"] for event in events} == {7}
    assert {event["width"] for event in events if event["type"] == "publish"} == {1280, 1920}


def test_sizes_on_the_command_line_stand_before_those_of_the_catalog(billing: Commands, tmp_path: Path) -> None:
    out = tmp_path / "out.ndjson"
    billing(f"convert --source trtc --camera-size 640x360 {FEEDS / 'trtc-captured.jsonl'} -o {out}")
    widths = [json.loads(line).get("width") for line in out.read_text().splitlines()]
    assert {width for width in widths if width} == {640, 1920}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--source lifekit", "unknown source 'lifekit'"),
        ("--source livekit --app 8", "unknown app '8'"),
        ("--source janus", "--source needs --app"),
        ("--app 7", "give --source too"),
    ],
)
def test_wrong_commands_are_said_in_one_line(billing: Commands, line: str, said: str) -> None:
    done = billing(f"ingest {line} {FEEDS / 'livekit-captured.jsonl'}")
    assert done.exit_code == 2
    assert said in done.stderr
