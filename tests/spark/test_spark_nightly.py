"""The nightly on Spark: worker processes of a cluster on this machine, and everything on record as without them."""

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from tests.commands import ROOT, Commands
from tests.ledger import differences, ledger
from tests.property.rooms import (
    GAPS,
    KINDS,
    MILLISECONDS,
    SERVICES,
    SIZES,
    STREAMS,
    SUBSCRIBED_KINDS,
    TASK_GAPS,
    TASK_KINDS,
    events_of,
    tasks_of,
)

CLUSTER = "local-cluster[2,1,1024]"  # two workers, one core and 1024 MB each
START = 1_772_323_200  # 2026-03-01T00:00:00Z
DAY = 86_400
NOW = "2026-03-11T09:00:00+09:00"
CATALOG = """
[[account]]
id = "summed"
name = "Summed Inc."
currency = "USD"
timezone = "UTC"
policy = "trtc-intl"
free_minutes = 100

[[account]]
id = "streams"
name = "Streams Ltd."
currency = "CNY"
timezone = "UTC"
policy = "trtc-cn"

[[account]]
id = "east"
name = "East K.K."
currency = "USD"
timezone = "Asia/Tokyo"
policy = "trtc-intl"
"""
APPS = {1: "summed", 2: "streams", 3: "east", 4: "summed"}
ROOMS = 200


def missing() -> str | None:
    """What Spark lacks on this machine, and how it comes there."""
    if find_spec("pyspark") is None:
        return "pyspark is not installed: `make spark-test` installs it and runs these tests"
    if not shutil.which("java") and "JAVA_HOME" not in os.environ:
        return "there is no Java: apt-get install default-jre-headless, or set JAVA_HOME"
    return None


REASON = missing()
if REASON and os.environ.get("BILLING_REQUIRE_SPARK"):
    raise RuntimeError(REASON)
needs_spark = pytest.mark.skipif(REASON is not None, reason=str(REASON))


def rows(rng: random.Random, start: int, name: str) -> Iterator[dict[str, Any]]:
    """Events of rooms in all apps, which share their users; every third with automatic subscription, every fourth with
    tasks, which are named like users."""
    usual = (GAPS, MILLISECONDS, KINDS, [1, 2, 3, 4], [0, 0, 0, 1], STREAMS, SIZES, range(10))
    subscribed = (*usual[:2], SUBSCRIBED_KINDS, *usual[3:], [None, "c1", "c2"], [None, "all"])
    of_tasks = (TASK_GAPS, MILLISECONDS, TASK_KINDS, [1, 2], *usual[4:], SERVICES, [True, False])
    for number in range(ROOMS):
        choices = usual if number % 3 else subscribed
        steps = [[rng.choice(options) for options in choices] for _ in range(rng.randint(1, 15))]
        begin = start + rng.randrange(DAY)
        app, room = 1 + number % len(APPS), f"{name}{number}"
        yield from events_of(steps, begin, app, room)
        if number // len(APPS) % 4 == 0:
            steps = [[rng.choice(options) for options in of_tasks] for _ in range(rng.randint(1, 15))]
            yield from tasks_of(steps, begin, app, room)


def write(path: Path, events: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(event) + "\n" for event in events))


def run(home: Path, now: str, line: list[str]) -> subprocess.CompletedProcess[str]:
    """A command in a process that is told neither where Spark is nor which Python it shall use."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("SPARK_", "PYSPARK_"))}
    return subprocess.run(
        [sys.executable, "-m", "cli", *line],
        cwd=ROOT,
        env=env | {"BILLING_HOME": str(home), "BILLING_NOW": now},
        capture_output=True,
        text=True,
        check=False,
    )


def results(home: Path, now: str, *options: str) -> list[str]:
    """What a nightly says has become of each day."""
    done = run(home, now, ["nightly", "--format", "json", *options])
    assert done.returncode == 0, done.stderr
    return [outcome["result"] for outcome in json.loads(done.stdout)]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with a day to bill."""
    commands = Commands(home=tmp_path / "home")
    sample = ROOT / "sample_data"
    for line in ("init", f"catalog apply {sample}/catalog.toml", f"ingest {sample}/events.ndjson"):
        assert commands(line).exit_code == 0
    return commands.home


@needs_spark
def test_worker_processes_bill_and_correct_row_by_row_what_this_machine_does(tmp_path: Path) -> None:
    rng = random.Random(20_260_301)
    events = [event for event in rows(rng, START, "r") if event["at"] < (START + 3 * DAY) * 1000]
    late = rng.sample(events, len(events) // 20)
    on_time = [event for event in events if event not in late]
    write(tmp_path / "on_time.ndjson", on_time)
    write(tmp_path / "late.ndjson", late + list(rows(rng, START + 4 * DAY, "s")))
    apps = "".join(f'\n[[app]]\nid = {app}\naccount = "{account}"\nname = "{app}"\n' for app, account in APPS.items())
    (tmp_path / "catalog.toml").write_text(CATALOG + apps)

    here, there = tmp_path / "here", tmp_path / "th[e]re {1}"
    for home in (here, there):
        commands = Commands(home=home)
        for line in ("init", f"catalog apply {tmp_path}/catalog.toml", f"ingest {tmp_path}/on_time.ndjson"):
            assert commands(line).exit_code == 0

    # Stays go on over midnight, and the last of these days have no event at all.
    nights = {
        "2026-03-05T16:00:00Z": ({"billed"}, [f"ingest {tmp_path}/late.ndjson"]),
        "2026-03-06T16:00:00Z": (
            {"corrected", "billed"},
            [f"retract --app {app} --ingest 2 --reason why" for app in (1, 2)] + ["retract --app 1 --ingest 2 --undo"],
        ),
        "2026-03-07T16:00:00Z": ({"corrected", "billed"}, []),
    }
    for now, (expected, following) in nights.items():
        assert set(results(here, now)) == expected
        assert set(results(there, now, "--engine", "spark", "--master", CLUSTER)) == expected
        on_record = ledger(here)
        assert differences(ledger(there), on_record) == {}
        for home, line in product((here, there), following):
            assert Commands(home=home)(line).exit_code == 0
    for table in ("usage", "carried_state", "finding", "usage_correction", "finding_correction", "charge"):
        assert on_record[table], table
    usual = {"concurrent_rooms", "stale_stay", "outside_stay", "reentered"}
    assert usual | {"closed_connection", "implied_enter", "unbilled_service"} <= {
        cell for row in on_record["finding"] for cell in row
    }


@needs_spark
def test_a_master_that_cannot_be_used_is_an_error_that_says_what_spark_needs(home: Path) -> None:
    done = run(home, NOW, ["nightly", "--engine", "spark", "--master", "nowhere"])
    assert done.returncode == 1
    assert "Spark cannot be started" in done.stderr
    assert "Java 17" in done.stderr
    assert "Traceback" not in done.stderr


def test_this_machine_needs_no_spark(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyspark", None)
    monkeypatch.delitem(sys.modules, "billing.metering.spark", raising=False)
    refused = Commands(home=home)("nightly --engine spark")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "pip install 'billing[spark]'" in refused.stderr
    assert Commands(home=home)("nightly").exit_code == 0


def test_a_master_without_spark_is_refused(home: Path) -> None:
    refused = Commands(home=home)("nightly --master local[1]")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "--engine spark" in refused.stderr
