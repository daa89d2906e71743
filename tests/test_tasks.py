"""Tasks of value-added services on the command line: from their events to seconds, findings and explanations."""

import json
import shutil
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from billing.events.keys import event_keys
from billing.events.log import EventLog
from billing.events.room_leaves import recomputed, room_leaves
from billing.events.schema import EVENT_SCHEMA
from billing.home import Home
from billing.ledger.bulk import unpacked
from billing.ledger.database import open_database, reading
from billing.ledger.tables import carried_state
from tests.commands import Commands
from tests.event_facts import ABSENT, event, judged, ndjson
from tests.sample_home import rows
from tests.test_usage import CATALOG

MARCH_1 = 1_772_323_200  # 2026-03-01T00:00:00Z
HD, FHD, SMALL = ({"width": width, "height": height} for width, height in ((1280, 720), (1920, 1080), (1280, 960)))
A, B = {"stream": "a/camera"}, {"stream": "b/camera"}


NOW = "2026-03-06T12:00:00Z"


@pytest.fixture(scope="module")
def new_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with an account in UTC on `trtc-intl`: to be copied."""
    directory = tmp_path_factory.mktemp("tasks")
    run = Commands(home=directory / "home", now=NOW)
    catalog = directory / "catalog.toml"
    catalog.write_text(
        CATALOG.format(zone="UTC", policy="trtc-intl").replace('"trtc-intl"', '"trtc-intl"\nfree_minutes = 0')
    )
    for line in ("init", f"catalog apply {catalog}"):
        assert run(line).exit_code == 0
    return run.home


@pytest.fixture
def acme(new_home: Path, tmp_path: Path) -> Commands:
    """Such a home, some days after the events."""
    return Commands(home=Path(shutil.copytree(new_home, tmp_path / "home")), now=NOW)


def of_task(second: int, kind: str, task: str, room: str = "r", **more: Any) -> dict[str, Any]:
    """An event of a task, so many seconds after the beginning of March."""
    return {"app_id": 1, "room_id": room, "at": (MARCH_1 + second) * 1000, "type": kind, "task_id": task, **more}


def recording(second: int, task: str, room: str = "r") -> dict[str, Any]:
    return of_task(second, "task_start", task, room, service="recording")


def mix(start: int, task: str, **more: Any) -> Iterator[dict[str, Any]]:
    """A mix of two cameras for ten minutes, with one of them a minute longer at both ends."""
    yield of_task(start - 120, "task_start", task, service="mix-h264", **more)
    yield of_task(start - 60, "video_on", task, **A, **SMALL, **more)
    yield of_task(start, "video_on", task, **B, **SMALL, **more)
    yield of_task(start + 600, "video_off", task, **B, **more)
    yield of_task(start + 660, "task_stop", task, **more)


def one_recording(task: str = "rec") -> Iterator[dict[str, Any]]:
    """The published example: 15,000 s audio, 3,500 s HD, 1,800 s FHD, 540 s above 2K."""
    yield recording(0, task)
    yield of_task(15_000, "video_on", task, **A, **HD)
    yield of_task(18_500, "video_on", task, **A, **FHD)
    yield of_task(20_300, "video_on", task, **B, **FHD)
    yield of_task(20_840, "task_stop", task)


def ingested(run: Commands, *events: dict[str, Any]) -> dict[str, Any]:
    file = run.home.parent / f"{len(list(run.home.parent.iterdir()))}.ndjson"
    file.write_bytes(ndjson(events))
    (report,) = rows(run, f"ingest {file}")
    return report


def nightly(run: Commands, *events: dict[str, Any]) -> None:
    assert ingested(run, *events)["accepted"] == len(events)
    assert run("nightly").exit_code == 0


def usage(run: Commands, first: str = "2026-03-01", last: str = "2026-03-01", by: str = "day") -> dict[Any, int]:
    """Seconds, corrections included."""
    sums: dict[Any, int] = {}
    for row in rows(run, f"usage 1 --from {first} --to {last} --by {by} --provisional"):
        key = tuple(row[name] for name in ("room_id", "user_id", "item", "reason") if name in row)
        sums[key] = sums.get(key, 0) + row["seconds"]
    return {key: seconds for key, seconds in sums.items() if seconds}


RECORDED = {
    ("recording:audio", "no_video_received"): 15_000,
    ("recording:hd", "camera"): 3_500,
    ("recording:fhd", "camera"): 1_800,
    ("recording:4k", "camera"): 540,
}


def test_the_published_recording_has_its_seconds_in_each_tier(acme: Commands) -> None:
    nightly(acme, *one_recording())
    assert usage(acme) == RECORDED
    assert usage(acme, by="room") == {("r", *key): seconds for key, seconds in RECORDED.items()}
    assert usage(acme, by="user") == {("r", "rec", *key): seconds for key, seconds in RECORDED.items()}


def test_two_mixes_of_ten_minutes_add_up_and_one_input_is_no_mix(acme: Commands) -> None:
    nightly(acme, *mix(200, "x"), *mix(300, "y"))
    assert usage(acme) == {("mix-h264:2k", "camera"): 1_200}


def test_a_task_is_no_user_of_the_room_and_no_event_of_a_user_touches_it(acme: Commands) -> None:
    """Its name is that of the user, who stays alone; the room is dismissed while it records."""
    user = {"user_id": "rec", "task_id": ABSENT}
    people = [recording(60, "rec") | user | {"type": "enter"}, recording(120, "rec") | user | {"type": "dismiss"}]
    people = [{name: value for name, value in each.items() if name not in ("task_id", "service")} for each in people]
    nightly(acme, *one_recording(), *people)
    assert usage(acme, by="user") == {
        **{("r", "rec", *key): seconds for key, seconds in RECORDED.items()},
        ("r", "rec", "audio", "alone_in_room"): 60,
    }


def test_a_task_goes_on_over_midnight_with_its_inputs_and_ends_a_day_after_its_last_event(acme: Commands) -> None:
    nightly(acme, recording(80_000, "rec"), of_task(86_000, "video_on", "rec", stream="a/screen", **HD))
    hd, audio = ("recording:hd", "screen_share"), ("recording:audio", "no_video_received")
    assert usage(acme) == {audio: 6_000, hd: 400}
    assert usage(acme, "2026-03-02", "2026-03-04") == {hd: 86_000}
    (found,) = rows(acme, "findings acme --month 2026-03")
    assert (found["finding"], found["day"], found["user_id"], found["at"]) == (
        "stale_stay",
        "2026-03-02",
        "rec",
        "2026-03-02T23:53:20.000+00:00",
    )


def test_a_late_stop_and_a_retraction_correct_what_was_billed(acme: Commands) -> None:
    nightly(acme, recording(0, "rec"))
    audio = ("recording:audio", "no_video_received")
    assert usage(acme) == {audio: 86_400}
    nightly(acme, of_task(100, "task_stop", "rec", event_id="stop"))
    assert usage(acme) == usage(acme, last="2026-03-03") == {audio: 100}
    assert acme("retract --app 1 --event-id stop --reason wrong").exit_code == 0
    assert acme("nightly").exit_code == 0
    assert usage(acme, last="2026-03-03") == {audio: 86_400}
    kinds = [row["kind"] for row in rows(acme, "usage 1 --from 2026-03-01 --to 2026-03-01 --by user")]
    assert kinds == ["usage", "correction", "correction"]


def test_the_open_day_has_the_seconds_of_running_tasks_so_far(acme: Commands) -> None:
    today = 5 * 86_400
    ingested(acme, recording(today, "rec"))
    assert acme("refresh").exit_code == 0
    ingested(acme, of_task(today + 1_000, "video_on", "rec", **A, **HD))
    assert acme("refresh").exit_code == 0
    so_far = usage(acme, "2026-03-06", "2026-03-06")
    assert so_far[("recording:audio", "no_video_received")] == 1_000
    assert set(so_far) == {("recording:audio", "no_video_received"), ("recording:hd", "camera")}
    by_user = usage(acme, "2026-03-06", "2026-03-06", by="user")
    assert by_user == {("r", "rec", *key): seconds for key, seconds in so_far.items()}


def test_findings_name_what_changed_nothing_or_is_not_billed(acme: Commands) -> None:
    policy = acme.home.parent / "catalog.toml"
    policy.write_text(
        CATALOG.format(zone="UTC", policy="trtc-cn").replace('"USD"', '"CNY"').replace("acme", "wasp")
        .replace("id = 1\n", "id = 3\n").replace("id = 2\n", "id = 4\n")
    )  # fmt: skip
    assert acme(f"catalog apply {policy}").exit_code == 0
    nightly(
        acme,
        of_task(1, "task_stop", "rec"),
        of_task(2, "video_on", "rec", **A, **HD),
        recording(3, "rec"),
        of_task(4, "video_on", "rec", **A, **HD),
        recording(10, "rec"),
        of_task(20, "task_stop", "rec", service="mix-h265"),
        of_task(30, "task_stop", "rec"),
        recording(5, "other") | {"app_id": 3},
        of_task(65, "task_stop", "other") | {"app_id": 3},
    )
    assert usage(acme) == {("recording:hd", "camera"): 6, ("recording:audio", "no_video_received"): 21}
    found = {(row["at"][17:19], row["finding"], row["detail"]) for row in rows(acme, "findings acme --month 2026-03")}
    ignored = ("outside_stay", "task was not running: the event was ignored")
    assert found == {
        *((second, *ignored) for second in ("01", "02", "20")),
        ("10", "reentered", "recording was already running: it went on, its inputs were cleared"),
    }
    (unbilled,) = rows(acme, "findings wasp --month 2026-03")
    assert (unbilled["finding"], unbilled["user_id"]) == ("unbilled_service", "other")
    assert unbilled["detail"] == "recording is no service of the policy: the task is not billed"
    assert rows(acme, "usage 3 --from 2026-03-01 --to 2026-03-01") == []


def test_a_task_is_explained_down_to_the_line_of_its_file(acme: Commands) -> None:
    nightly(acme, *one_recording())
    question = "acme --month 2026-03 --app 1 --day 2026-03-01 --item recording:fhd --user rec"
    (found,) = rows(acme, f"explain {question}")
    (stretch,) = found["intervals"]
    assert (stretch["seconds"], stretch["area"], found["amount"]) == (1_800, 2_073_600, "0.4047")
    assert stretch["streams"] == [{"stream": "a/camera", "width": 1920, "height": 1080}]
    assert [(stretch[end]["type"], stretch[end]["line"]) for end in ("begins", "ends")] == [
        ("video_on", 3),
        ("video_on", 4),
    ]
    (room,) = found["rooms"]
    assert (room["room_id"], room["seconds"], room["share"]) == ("r", 1_800, "0.4047")
    picture = acme.home.parent / "room.html"
    assert acme(f"explain {question} --format html -o {picture}").exit_code == 0
    assert 'class="fill-fhd"' in picture.read_text()


@pytest.mark.parametrize("ending", ["ndjson", "csv", "parquet"])
def test_every_format_has_tasks_and_an_event_without_an_id_has_one_id(acme: Commands, ending: str) -> None:
    events = pl.DataFrame(list(one_recording()), infer_schema_length=None)
    file = acme.home.parent / f"events.{ending}"
    getattr(events, f"write_{ending}")(file)
    (report,) = rows(acme, f"ingest {file}")
    assert (report["accepted"], report["duplicates"], report["quarantined"]) == (5, 0, 0)
    assert ingested(acme, *one_recording())["duplicates"] == 5
    assert acme("nightly").exit_code == 0
    assert usage(acme) == RECORDED


def test_the_same_id_for_another_task_or_service_is_a_conflict(acme: Commands) -> None:
    first = recording(0, "rec") | {"event_id": "e"}
    changed = [first | change for change in ({"task_id": "other"}, {"service": "mix-h264"}, {"user_id": "u"})]
    report = ingested(acme, first, first, *changed)
    assert (report["accepted"], report["duplicates"], report["quarantined"]) == (1, 1, 3)
    again = ingested(acme, *changed, first)
    assert (again["accepted"], again["duplicates"], again["quarantined"]) == (0, 1, 3)


TASK = {"task_id": "t", "user_id": ABSENT}
BARE = TASK | {"stream": ABSENT, "width": ABSENT, "height": ABSENT}


@pytest.mark.parametrize(
    ("changes", "reason", "detail"),
    [
        (BARE | {"type": "task_start"}, "missing_field", "service is missing"),
        (BARE | {"type": "task_start", "task_id": ABSENT, "service": "recording"}, "missing_field", "task_id is"),
        (BARE | {"type": "task_stop", "task_id": ABSENT}, "missing_field", "task_id is missing"),
        (TASK | {"task_id": ABSENT, "service": "recording", "user_id": "u"}, "missing_field", "task_id is missing"),
        (TASK | {"stream": ABSENT}, "missing_field", "stream is missing"),
        (TASK | {"width": ABSENT}, "missing_field", "width is missing"),
        (BARE | {"type": "task_start", "service": "copying"}, "bad_value", "service must be one of recording,"),
        (TASK | {"task_id": ""}, "bad_value", "task_id must have 1 to 128 bytes"),
        (TASK | {"task_id": "é" * 65}, "bad_value", "task_id must have 1 to 128 bytes"),
        (TASK | {"task_id": "a\0b"}, "bad_value", "task_id holds a NUL character"),
        (BARE | {"type": "enter", "user_id": "u"}, "bad_value", "task_id belongs to task_start, task_stop, video_on"),
        (TASK | {"type": "publish", "user_id": "u"}, "bad_value", "task_id belongs to task_start, task_stop, video_on"),
        (BARE | {"type": "dismiss"}, "bad_value", "task_id belongs to task_start, task_stop, video_on"),
        (TASK | {"connection": "c"}, "bad_value", "connection belongs to users"),
        (TASK | {"task_id": 7}, "bad_type", "task_id must be"),
    ],
)  # fmt: skip
def test_a_row_of_a_task_that_breaks_a_rule_has_its_reason(changes: dict[str, Any], reason: str, detail: str) -> None:
    for rows_beside in ([], [event()]):
        accepted, rejected = judged(ndjson([*rows_beside, event(**changes)]))
        assert len(accepted) == len(rows_beside)
        ((_, found, said),) = rejected
        assert (found, said[: len(detail)]) == (reason, detail)


def test_events_of_users_keep_their_keys_and_those_of_tasks_have_one_for_the_task() -> None:
    rows = [event(), event(connection="c"), event(**TASK), event(**TASK, service="recording"), event(connection="\0t")]
    frame = pl.DataFrame([{"seq": 0, **row} for row in rows], schema=EVENT_SCHEMA)
    keys, without = event_keys(frame), event_keys(frame.drop("task_id", "service")[:2])
    assert keys[:2].equals(without)
    assert keys["connection_key"].n_unique() == 5


def test_the_leaf_of_a_room_tells_its_tasks_apart(acme: Commands) -> None:
    ingested(acme, *one_recording(), recording(0, "rec", "s"), recording(0, "other", "t") | {"service": "mix-h264"})
    log = EventLog(directory=Home.at(acme.home).events)
    events = log.scan(MARCH_1, MARCH_1 + 86_400)
    leaves = room_leaves(events)
    assert leaves["leaf"].n_unique() == 3
    texts = recomputed(events.collect())
    keyed = events.select("room_key", "user_key", "connection_key").collect()
    assert texts.select(keyed.columns).sort(keyed.columns).equals(keyed.sort(keyed.columns))


def test_what_a_task_sends_may_come_by_several_files_in_any_order(acme: Commands) -> None:
    events = [*one_recording(), *mix(200, "x", room="m")]
    for part in (events[7:], events[2:7], events[:2]):
        ingested(acme, *part)
    assert acme("nightly").exit_code == 0
    assert usage(acme) == {**RECORDED, ("mix-h264:2k", "camera"): 600}


def test_a_state_without_tasks_is_stored_as_before(acme: Commands) -> None:
    enter = {"app_id": 1, "room_id": "r", "user_id": "u", "at": (MARCH_1 + 10) * 1000, "type": "enter"}
    nightly(acme, enter, recording(86_400 + 5, "rec"))
    with reading(open_database(Home.at(acme.home).database)) as conn:
        stored = {row.day: unpacked(row.frame).columns for row in conn.execute(carried_state.select())}
    assert "task_id" not in stored[date(2026, 3, 1)]
    assert "task_id" in stored[date(2026, 3, 2)]
    assert stored[date(2026, 3, 2)][-2:] == ["service", "task_id"]


def test_the_second_engine_and_a_bundle_agree_with_what_tasks_were_billed(acme: Commands) -> None:
    """A recording over midnight and a mix; and a user beside them, of the name of the recording."""
    user = [{"app_id": 1, "room_id": "r", "user_id": "rec", "at": (MARCH_1 + 5) * 1000, "type": "enter"}]
    nightly(acme, *one_recording(), *mix(200, "x"), recording(86_000, "rec"), *user)
    assert rows(acme, "verify acme --full") == []
    bundle, folder = acme.home.parent / "bundle.zip", acme.home.parent / "bundle"
    assert acme(f"bundle acme --month 2026-03 -o {bundle}").exit_code == 0
    zipfile.ZipFile(bundle).extractall(folder)
    said = subprocess.run([sys.executable, "-I", "verify.py"], cwd=folder, capture_output=True, text=True, check=False)
    total = sum(Decimal(row["amount"]) for row in rows(acme, "charges acme --month 2026-03"))
    last = said.stdout.splitlines()[-1]
    assert (said.returncode, last) == (0, f"total {total.quantize(Decimal('0.01'), ROUND_HALF_UP)} USD")


def test_the_second_engine_sees_that_seconds_of_a_task_were_changed(acme: Commands) -> None:
    nightly(acme, *one_recording())
    with closing(sqlite3.connect(acme.home / "billing.db")) as conn:
        for (trigger,) in conn.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            conn.execute(f"DROP TRIGGER {trigger}")
        conn.execute("UPDATE usage SET seconds = seconds - 1 WHERE item = 'recording:4k' AND seconds > 200")
        conn.commit()
    done = acme("verify acme --full --format json")
    assert done.exit_code == 1
    found = {row["detail"] for row in json.loads(done.stdout) if row["check"] == "usage"}
    assert any("recording:4k, camera" in detail for detail in found)
