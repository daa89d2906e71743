import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from billing.events.log import EventLog
from billing.home import Home
from tests.commands import ROOT, Commands
from tests.sample_home import APP, EVENT, SAMPLE, rows

pytestmark = pytest.mark.thorough

PATIENCE_SECONDS = 60


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    """A directory in which files arrive."""
    directory = tmp_path / "spool"
    directory.mkdir()
    return directory


@contextmanager
def process(billing: Commands, *words: str | Path) -> Iterator[subprocess.Popen[str]]:
    """`billing` as a process of its own, which is ended at the end."""
    environment = {**os.environ, "BILLING_HOME": str(billing.home), "BILLING_NOW": billing.now}
    command = [sys.executable, "-m", "cli", *map(str, words)]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) as running:
        try:
            yield running
        finally:
            running.kill()


def said(running: subprocess.Popen[str], text: str) -> str:
    """What it says next, up to the line that has this text."""
    assert running.stderr
    lines = ""
    for line in running.stderr:
        lines += line
        if text in line:
            return lines
    raise AssertionError(f"it ended and said only: {lines}")


def until(condition: Callable[[], bool]) -> None:
    """Waits for something that another process does."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def arrive(spool: Path, name: str, *events: dict[str, object]) -> None:
    """A file that is written under another name and renamed."""
    (spool / f".{name}").write_text("".join(f"{json.dumps(event)}\n" for event in events))
    (spool / f".{name}").rename(spool / name)


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.glob("[!.]*") if path.is_file())


def test_files_are_taken_as_they_arrive_until_a_signal(billing: Commands, spool: Path) -> None:
    with process(billing, "watch", spool, "--settle", "0") as running:
        said(running, "watching")
        shutil.copy(SAMPLE / "events.ndjson", spool / ".copy")
        (spool / ".copy").rename(spool / "class.ndjson")
        line = said(running, "class.ndjson")
        assert line.endswith("class.ndjson: read 30, accepted 28, duplicates 1, quarantined 1 (1 no_offset)\n")
        (spool / "notes.txt").write_text("no events")
        assert "Error: " in said(running, "moved to")

        arrive(spool, "unknown.ndjson", {**EVENT, "app_id": 7})
        said(running, "(1 unknown_app)")
        more = billing.home.parent / "more.toml"
        more.write_text('[[app]]\nid = 7\naccount = "academy"\nname = "New"\n')
        assert billing(f"catalog apply {more}").exit_code == 0
        arrive(spool, "known.ndjson", {**EVENT, "app_id": 7})
        said(running, "accepted 1")

        running.send_signal(signal.SIGTERM)
        assert "stopped" in said(running, "stopped")
        assert running.wait() == 0
    assert names(spool / "done") == ["class.ndjson", "known.ndjson", "unknown.ndjson"]
    assert names(spool / "failed") == ["notes.txt", "notes.txt.reason"]


def test_killed_again_and_again_it_loses_nothing_and_takes_nothing_twice(billing: Commands, spool: Path) -> None:
    files = 12
    for number in range(files):
        events = [{**EVENT, "event_id": f"{number}-{row}", "user_id": f"user-{row}"} for row in range(3)]
        arrive(spool, f"{number:03}.ndjson", *events)
    kills = 0
    while names(spool):
        left = len(names(spool))
        with process(billing, "watch", spool, "--settle", "0", "--no-refresh") as running:
            until(lambda running=running, left=left: len(names(spool)) < left or running.poll() is not None)
            time.sleep(random.uniform(0, 0.1))
            running.kill()
            kills += 1
    assert kills > 1
    events = EventLog(directory=Home.at(billing.home).events).accepted(APP).collect()
    assert Counter(events["event_id"]) == {f"{number}-{row}": 1 for number in range(files) for row in range(3)}
    assert names(spool / "done") == [f"{number:03}.ndjson" for number in range(files)]


def test_another_ingest_only_delays_it_and_it_can_be_stopped_meanwhile(billing: Commands, spool: Path) -> None:
    with process(billing, "watch", spool, "--settle", "0", "--no-refresh") as running:
        said(running, "watching")
        with Home.at(billing.home).lock("ingest"):
            arrive(spool, "a.ndjson", EVENT)
            said(running, "waiting: another command in this home is adding events")
        said(running, "accepted 1")
        with Home.at(billing.home).lock("ingest"):
            arrive(spool, "b.ndjson", EVENT)
            said(running, "waiting")
            running.send_signal(signal.SIGINT)
            said(running, "stopped")
        assert running.wait() == 0
    assert names(spool) == ["b.ndjson"]


def test_a_nightly_at_work_puts_a_refresh_off(billing: Commands, spool: Path) -> None:
    arrive(spool, "a.ndjson", EVENT)
    with Home.at(billing.home).lock("nightly"):
        done = billing(f"watch {spool} --once --settle 0")
    assert done.exit_code == 1
    assert "accepted 1" in done.stderr
    assert "not refreshed: put off" in done.stderr


def test_once_takes_what_is_there_and_refreshes(billing: Commands, spool: Path) -> None:
    shutil.copy(SAMPLE / "events.ndjson", spool / "class.ndjson")
    assert billing(f"watch {spool} --once --settle 0").exit_code == 0
    assert names(spool / "done") == ["class.ndjson"]
    provisional = billing("usage 1400000001 --from 2026-03-10 --to 2026-03-10 --by day --provisional --format json")
    assert sum(row["seconds"] for row in json.loads(provisional.stdout)) > 0


def test_what_it_refreshes_is_what_an_ingest_and_a_refresh_come_to(billing: Commands, spool: Path) -> None:
    other = Commands(home=Path(shutil.copytree(billing.home, billing.home.with_name("other"))))
    lines = (SAMPLE / "events.ndjson").read_text().splitlines(keepends=True)
    for number in range(0, len(lines), 7):
        (spool / f"{number:02}.ndjson").write_text("".join(lines[number : number + 7]))
    assert billing(f"watch {spool} --once --settle 0").exit_code == 0
    assert other(f"ingest {SAMPLE}/events.ndjson").exit_code == 0
    assert other("refresh").exit_code == 0
    line = f"usage {APP} --from 2026-03-10 --to 2026-03-11 --provisional"
    assert rows(billing, line) == rows(other, line)


def test_a_trace_is_read_as_its_source_says(billing: Commands, spool: Path) -> None:
    shutil.copy(SAMPLE / "janus/events.jsonl.gz", spool / "janus.jsonl.gz")
    after = Commands(home=billing.home, now="2026-10-13T09:00:00+09:00")
    done = after(f"watch {spool} --source janus --app {APP} --once --settle 0 --no-refresh")
    assert done.exit_code == 0, done.stderr
    assert "read 797, accepted 797, duplicates 0" in done.stderr
    assert "16 events were derived" in done.stderr


def test_every_line_of_the_json_log_is_an_object(billing: Commands, spool: Path) -> None:
    shutil.copy(SAMPLE / "events.ndjson", spool / "class.ndjson")
    done = billing(f"--log-format json watch {spool} --once --settle 0")
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    (ingested,) = [line for line in lines if line.get("event") == "ingested"]
    assert (ingested["accepted"], ingested["moved_to"]) == (28, str(spool / "done/class.ndjson"))


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("--app 1400000001", "give --source too"),
        ("--source janus", "--source needs --app"),
        ("--source janus --app 5", "unknown app '5'"),
        ("--source mars --app 1400000001", "unknown source"),
        ("--done /proc/done", "No such file or directory"),
    ],
)
def test_what_cannot_work_is_said_at_once(billing: Commands, spool: Path, words: str, error: str) -> None:
    done = billing(f"watch {spool} {words}")
    assert done.exit_code in (1, 2)
    assert error in done.stderr
    assert done.stderr.count("\n") == 1


def test_without_a_home_there_is_nothing_to_watch_for(tmp_path: Path, spool: Path) -> None:
    done = Commands(home=tmp_path / "none")(f"watch {spool}")
    assert done.exit_code == 1
    assert "run `billing init` first" in done.stderr
