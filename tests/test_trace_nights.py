"""Nights of a Janus server: a class is billed for what it lasted, however its records came, and late records by
correction."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from sample_data.demo import SAMPLE_DATA
from tests.commands import Commands
from tests.sample_home import rows
from tests.test_trace_ingest import ROOMS, of_server, recorded, stamp

pytestmark = pytest.mark.thorough

SCHOOL = 1400000002
ACCOUNT = "school"
MORNING, NEXT = "2026-10-13T09:00:00Z", "2026-10-14T09:00:00Z"


def school(home: Path) -> Commands:
    """A home with the sample's school."""
    run = Commands(home=home, now=MORNING)
    for line in ("init", f"catalog apply {SAMPLE_DATA}/janus/catalog.toml"):
        assert run(line).exit_code == 0
    return run


def ingest(run: Commands, *files: Sequence[bytes]) -> None:
    """One call with files of these lines."""
    directory = run.home.parent / f"{run.home.name}-files"
    directory.mkdir(exist_ok=True)
    first = len(list(directory.iterdir()))
    for number, lines in enumerate(files, first):
        (directory / f"{number:05d}.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))
    names = " ".join(str(directory / f"{number:05d}.jsonl") for number in range(first, first + len(files)))
    assert run(f"ingest --source janus --app {SCHOOL} {names}").exit_code == 0


def seconds(run: Commands) -> dict[tuple[str, ...], int]:
    """What is billed of October, corrections included: seconds by day, item and reason."""
    sums: Counter[tuple[str, ...]] = Counter()
    for row in rows(run, f"usage {SCHOOL} --month 2026-10 --by day"):
        sums[row["day"], row["item"], row["reason"]] += row["seconds"]
    return {key: value for key, value in sums.items() if value}


def billed(home: Path, *calls: Sequence[bytes]) -> dict[tuple[str, ...], int]:
    """The seconds of a feed that comes in these calls before the night."""
    run = school(home)
    for lines in calls:
        ingest(run, lines)
    assert [row["result"] for row in rows(run, "nightly")] == ["billed"]
    return seconds(run)


def said(at: float, kind: int, body: dict[str, Any], user: str = "", subtype: int | None = None) -> bytes:
    """A record at a second of 2026-10-12."""
    handle = {"session_id": f"s-{user}", "handle_id": f"h-{user}", "opaque_id": f"{user}/x"} if user else {}
    event = {"emitter": "sfu", "type": kind, "timestamp": int((1791763200 + at) * 1e6), **handle, "event": body}
    return json.dumps(event | ({} if subtype is None else {"subtype": subtype})).encode()


def plugin(at: float, event: str, user: str = "", **data: object) -> bytes:
    """A record of the VideoRoom plugin."""
    return said(at, 64, {"plugin": "janus.plugin.videoroom", "data": {"event": event, "room": 1, **data}}, user)


def ten_minutes() -> list[bytes]:
    """A class of 10 minutes and 10 seconds, from 12:00 on: ann and bob come together, and leave together."""
    lines = [said(0, 2, {"name": "attached"}, user) for user in ("ann", "bob")]
    lines += [plugin(0.1, "joined", user, id=user, private_id=1) for user in ("ann", "bob")]
    lines += [said(10.0 * number, 32, {"lost": 0}, "ann", 3) for number in range(1, 61)]
    lines += [plugin(610, "leaving", id=user) for user in ("ann", "bob")]
    lines += [said(610.1, 2, {"name": "detached"}, user) for user in ("ann", "bob")]
    return lines


def test_a_class_that_is_cut_in_the_middle_is_billed_for_what_it_lasted(tmp_path: Path) -> None:
    """With the second half as a trace of its own, nobody would leave for 24 hours: 172,800 s instead of 1,220 s."""
    lines = ten_minutes()
    whole = billed(tmp_path / "whole", lines)
    cut = billed(tmp_path / "cut", lines[:34], lines[34:])
    assert cut == whole == {("2026-10-12", "audio", "no_video_received"): 1220}


@pytest.mark.parametrize("trace", ROOMS)
def test_recorded_rooms_are_billed_alike_however_they_are_cut(tmp_path: Path, trace: str) -> None:
    lines = recorded(trace)
    halves = lines[: len(lines) // 2], lines[len(lines) // 2 :]
    parts = [
        [line for line in lines if stamp(line) // 30_000_000 == part]
        for part in sorted({stamp(line) // 30_000_000 for line in lines})
    ]
    whole = billed(tmp_path / "whole", lines)
    assert billed(tmp_path / "halves", *halves) == whole
    assert billed(tmp_path / "parts", *parts) == whole
    assert billed(tmp_path / "backwards", halves[1], lines[::-1]) == whole


@pytest.mark.parametrize("trace", ROOMS)
def test_a_line_a_day_late_is_billed_by_correction(tmp_path: Path, trace: str) -> None:
    lines = list(recorded(trace))
    whole = billed(tmp_path / "whole", lines)
    late = next(line for line in lines if b'"media":"video"' in line and b'"receiving":true' in line)
    run = school(tmp_path / "late")
    ingest(run, [line for line in lines if line is not late])
    assert [row["result"] for row in rows(run, "nightly")] == ["billed"]
    before = seconds(run)
    ingest(run, [late])
    after = Commands(home=run.home, now=NEXT)
    assert [row["result"] for row in rows(after, "nightly")] == ["corrected", "billed"]
    assert seconds(after) == whole
    assert before != whole


def test_servers_in_one_file_are_billed_as_the_sum_of_each(tmp_path: Path) -> None:
    names = ("sfu-1", "sfu-2")
    feeds = [of_server(recorded("S2"), name) for name in names]
    alone = [Counter(billed(tmp_path / name, feed)) for name, feed in zip(names, feeds, strict=True)]
    mixed = [line for pair in zip(*feeds, strict=True) for line in pair]
    assert billed(tmp_path / "mixed", mixed) == dict(alone[0] + alone[1])
    assert billed(tmp_path / "apart", *feeds) == dict(alone[0] + alone[1])


def test_what_was_known_then_is_what_its_ingests_had_brought(tmp_path: Path) -> None:
    """Usage by user of a settled day is read as its run read it, and corrections are told apart."""
    lines = ten_minutes()
    run = school(tmp_path / "home")
    ingest(run, lines[:34])
    ingest(run, [said(1000, 256, {"status": "shutdown"}, subtype=2)])
    rows(run, "nightly")
    first = rows(run, f"usage {SCHOOL} --month 2026-10 --by user")
    assert sum(row["seconds"] for row in first) == 2000
    ingest(run, lines[34:])
    assert rows(run, f"usage {SCHOOL} --month 2026-10 --by user") == first
    after = Commands(home=run.home, now=NEXT)
    assert "corrected" in [row["result"] for row in rows(after, "nightly")]
    assert sum(seconds(after).values()) == 1220


def test_derived_events_can_be_retracted_and_stay_retracted(tmp_path: Path) -> None:
    run = school(tmp_path / "home")
    ingest(run, ten_minutes()[:34])
    assert run(f"retract --app {SCHOOL} --ingest 1 --reason test").exit_code == 0
    ingest(run, ten_minutes()[34:])
    assert rows(run, "nightly")[0]["result"] == "billed"
    assert seconds(run) == {}
    assert run(f"retract --app {SCHOOL} --ingest 1 --undo").exit_code == 0
    rows(Commands(home=run.home, now=NEXT), "nightly")
    assert sum(seconds(run).values()) == 1220
