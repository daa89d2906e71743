"""Many commands at the same time in one home: one does the work, others wait or find it done, and nothing is lost."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from openpyxl import load_workbook

from billing.events.data_files import LOG_SCHEMA
from billing.events.retractions import RETRACTS
from tests.commands import ROOT
from tests.crash.night import SPOOL, Stage
from tests.crash.site import Story
from tests.ledger import Rows, differences

pytestmark = pytest.mark.thorough

NIGHTLIES = 20
_HOLDER = """
import sys, time
from datetime import date
from pathlib import Path
from billing.home import Home
with Home.at(Path(sys.argv[1])).lock(sys.argv[2]):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def told(request: pytest.FixtureRequest) -> Story:
    """The story on both databases."""
    story: Story = request.getfixturevalue("story" if request.param == "sqlite" else "server_story")
    return story


def test_many_nightlies_bill_every_day_once(told: Story) -> None:
    chapter = told.chapters["nightly"]
    told.site.restore("nightly")
    courses = told.site.run_together([_json(chapter.stage)] * NIGHTLIES)
    assert [course.exit_code for course in courses] == [0] * NIGHTLIES, courses
    outcomes = Counter(
        (row["account"], row["day"], row["result"]) for course in courses for row in json.loads(course.printed)
    )
    settled = {(account, str(day)) for account, day, *_ in chapter.after.records["settled_day"]}
    assert {key[:2]: times for key, times in outcomes.items() if key[2] == "billed"} == dict.fromkeys(settled, 1)
    assert {result for *_, result in outcomes} == {"billed", "already_billed"}
    assert differences(told.site.state().records, chapter.after.records) == {}


def test_late_events_are_corrected_once(told: Story) -> None:
    chapter = told.chapters["nightly after late events"]
    told.site.restore(chapter.stage.name)
    courses = told.site.run_together([chapter.stage] * 6)
    assert [course.exit_code for course in courses] == [0] * 6, courses
    assert differences(told.site.state().records, chapter.after.records) == {}


def test_ingests_of_the_same_events_take_each_once(story: Story) -> None:
    story.site.restore("first ingest")
    stage = story.chapters["first ingest"].stage
    files = ["FILES/first.ndjson", "FILES/second.ndjson", "FILES/third.csv"]
    lines = [f"ingest {' '.join(files[turn:] + files[:turn])} --format json" for turn in (0, 1, 2)] * 2
    courses = story.site.run_together([replace(stage, line=line) for line in lines])
    assert [course.exit_code for course in courses] == [0] * len(lines), courses
    reports = [row for course in courses for row in json.loads(course.printed)]
    assert all(row["read"] == row["accepted"] + row["duplicates"] + row["quarantined"] for row in reports)
    events = story.site.state().records["events"]
    assert sum(row["accepted"] for row in reports) == len(events)
    keys = [(app, event_id) for event_id, app, *_ in events]
    assert len(set(keys)) == len(keys)
    ingested = story.chapters["catalog that grows"].before.records["events"]
    assert set(keys) == {(app, event_id) for event_id, app, *_ in ingested}
    assert _staging(story) == []


def test_an_ingest_while_days_are_billed_loses_nothing(told: Story) -> None:
    """Its events are in what is billed, or late for the next nightly."""
    told.site.restore("late ingest")
    names = ("nightly after late events", "late ingest", "late record of a trace")
    nightly, *ingests = (told.chapters[name].stage for name in names)
    courses = told.site.run_together([nightly, *ingests, nightly])
    assert [course.exit_code for course in courses] == [0] * 4, courses
    assert told.site.run(nightly).exit_code == 0
    assert _sums(told.site.state().records) == _sums(told.chapters["nightly after late events"].after.records)


def test_an_invoice_that_is_exported_meanwhile_shows_whole_days(told: Story) -> None:
    chapter = told.chapters["nightly after late events"]
    told.site.restore(chapter.stage.name)
    export = told.chapters["invoice export"].stage
    exports = [replace(export, line=export.line.replace("tokyo.xlsx", f"{number % 4}.xlsx")) for number in range(8)]
    courses = told.site.run_together([*exports[:4], chapter.stage, *exports[4:]])
    assert [course.exit_code for course in courses] == [0] * 9, courses
    assert told.site.run(export).exit_code == 0
    days = _by_day(told.site.work / "tokyo.xlsx")
    for number in range(4):
        path = told.site.work / f"{number}.xlsx"
        assert all(rows == days[day] for day, rows in _by_day(path).items())
        assert load_workbook(path, data_only=True)["Checks"]["C2"].value == "PASS"
    left = {"home", SPOOL, "tokyo.xlsx", *(f"{n}.xlsx" for n in range(4))}
    assert {path.name for path in told.site.work.iterdir()} == left


def test_everything_at_the_same_time(told: Story) -> None:
    told.site.restore("late ingest")
    stages = {name: chapter.stage for name, chapter in told.chapters.items()}
    now = stages["late ingest"].now
    more = [replace(stages[name], now=now) for name in ("refresh", "catalog that grows", "second ingest", "init")]
    late = [stages["late ingest"], stages["late record of a trace"]]
    ours = [*late, stages["nightly after late events"], stages["invoice export"], *more]
    courses = told.site.run_together([*ours, *reversed(ours), *ours])
    assert [course.exit_code for course in courses] == [0] * 3 * len(ours), courses
    assert told.site.run(stages["nightly after late events"]).exit_code == 0
    assert _sums(told.site.state().records) == _sums(told.chapters["nightly after late events"].after.records)
    assert _staging(told) == []


@pytest.mark.parametrize(
    ("name", "lock", "holder"),
    [("nightly", "nightly", "billing or changing the catalog"), ("late ingest", "ingest", "adding events")],
)
def test_a_command_says_that_it_waits_and_goes_on_when_the_other_is_killed(
    name: str, lock: str, holder: str, story: Story
) -> None:
    chapter = story.chapters[name]
    story.site.restore(name)
    command = [sys.executable, "-c", _HOLDER, str(story.site.home), lock]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout
        assert other.stdout.readline() == "held\n"
        words = [sys.executable, "-m", "cli", *story.site.words(chapter.stage)]
        environment = {**os.environ, "BILLING_NOW": chapter.stage.now}
        with subprocess.Popen(words, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) as waiting:
            assert waiting.stderr
            assert waiting.stderr.readline().startswith("the clock stands at")
            assert waiting.stderr.readline() == f"waiting: another command in this home is {holder}\n"
            other.send_signal(signal.SIGKILL)
            said = waiting.stderr.read()
        assert waiting.returncode == 0, said
        assert "waiting" not in said
    assert differences(story.site.state().records, chapter.after.records) == {}


def _json(stage: Stage) -> Stage:
    return replace(stage, line=f"{stage.line} --format json")


def _staging(story: Story) -> list[Path]:
    return [path for path in story.site.home.iterdir() if path.name not in _LASTING]


_LASTING = {"billing.db", "events", "folds", "quarantine", "records", "status.json"} | {
    f"{name}.lock" for name in ("ingest", "nightly", "status")
}


def _by_day(workbook: Path) -> dict[object, Rows]:
    """The seconds of each app, by day."""
    days: dict[object, Rows] = {}
    for row in load_workbook(workbook, data_only=True)["Daily"].iter_rows(values_only=True):
        days.setdefault(row[3], []).append(row)
    return {day: rows for day, rows in days.items() if isinstance(day, date)}


def _sums(records: dict[str, Rows]) -> dict[str, Counter[tuple[Any, ...]]]:
    """What is known of every day, originals and corrections together; events whatever the order of their ingests."""
    known = [place for place, name in enumerate(LOG_SCHEMA) if name not in ("ingest_id", RETRACTS)]
    return {
        "seconds": _summed(records["usage"] + records["usage_correction"], key=6),
        "minutes": _summed([row[:-1] for row in records["deduction"] + records["deduction_correction"]], key=6),
        "events": Counter(tuple(row[place] for place in known) for row in records["events"]),
    }


def _summed(rows: Iterable[tuple[Any, ...]], *, key: int) -> Counter[tuple[Any, ...]]:
    sums: Counter[tuple[Any, ...]] = Counter()
    for row in rows:
        sums[row[:key]] += row[key]
    return Counter({row: number for row, number in sums.items() if number})
