"""One installation under fire: a home, its database, commands that meet their fate there, and states to go back to."""

import json
import os
import random
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.commands import ROOT
from tests.crash.night import SECRET, SPOOL, STAGES, Stage, write_files
from tests.crash.steps import Course, Fate
from tests.ledger import cells, differences, ledger

# How much is tried: a step of each command, and one more that is `thorough`; with BILLING_KILLS=all every step that
# there is, in parts that can run side by side.
EVERYWHERE = os.environ.get("BILLING_KILLS") == "all"
PARTS = range(8 if EVERYWHERE else 2)
EACH_PART = pytest.mark.parametrize(
    "part", [pytest.param(part, marks=[pytest.mark.thorough] if part else []) for part in PARTS]
)
# What a command that is refused the second time leaves to the next one.
_NEXT_TIME = {"home/status.json.new"}
# Tables of rows that are changed: the last number given so far.
_COUNTING = ("number_series",)

_UNWATCHED = Fate(watched=False)


class Launcher:
    """The process that forks the commands."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.launcher"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.unavailable: str | None = self._answer()  # why nothing can be run on this machine

    def run(self, **request: Any) -> list[Course]:
        """How commands went."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return [Course(**course) for course in self._answer()]

    def _answer(self) -> Any:
        assert self._process.stdout
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        """Ends it."""
        self._process.communicate()


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What a site has: its records, the cells of its workbooks, the names of its files."""

    records: dict[str, Any]
    files: set[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerDatabase:
    """A database of its own on a PostgreSQL server."""

    server_url: str
    name: str = "story"

    @property
    def url(self) -> str:
        """Where it is."""
        return f"{self.server_url.rpartition('/')[0]}/{self.name}"

    def create(self, copy_of: str = "template1") -> None:
        """Makes it, in place of one with its name."""
        self.execute(f'DROP DATABASE IF EXISTS "{self.name}" WITH (FORCE)')
        self.execute(f'CREATE DATABASE "{self.name}" TEMPLATE "{copy_of}"')
        # PostgreSQL writes ahead of a sequence, and forgets so in a copy: after a crash numbers would come twice.
        self.execute("CHECKPOINT")

    def execute(self, statement: str) -> None:
        """Runs a statement outside of the database and of any transaction."""
        with psycopg.connect(self.server_url, autocommit=True) as conn:
            conn.execute(statement)  # type: ignore[call-overload]


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A directory with the `home`, files to read in `files`, and copies of earlier states in `states`."""

    directory: Path
    launcher: Launcher
    database: ServerDatabase | None = None  # None: SQLite in the home
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def work(self) -> Path:
        """What commands change: the home, and beside it the workbooks."""
        return self.directory / "work"

    @property
    def home(self) -> Path:
        """The home."""
        return self.work / "home"

    def run(self, stage: Stage, fate: Fate = _UNWATCHED) -> Course:
        """Runs the command of a stage."""
        return self._run([stage], fate)[0]

    def run_together(self, stages: Sequence[Stage]) -> list[Course]:
        """Runs the commands of stages at the same time."""
        return self._run(stages, _UNWATCHED)

    def _run(self, stages: Sequence[Stage], fate: Fate) -> list[Course]:
        outputs = [self.directory / f"output-{number}" for number in range(len(stages))]
        commands = [
            {"arguments": self.words(stage), "environment": self._environment(stage), "output": str(output)}
            for stage, output in zip(stages, outputs, strict=True)
        ]
        courses = self.launcher.run(commands=commands, directory=str(self.work), fate=asdict(fate))
        for course, output in zip(courses, outputs, strict=True):
            course.printed = output.with_suffix(".stdout").read_text(encoding="utf-8")
            course.said = output.with_suffix(".stderr").read_text(encoding="utf-8")
        return courses

    def words(self, stage: Stage) -> list[str]:
        """The command line of a stage, without its first word."""
        words = ["--home", str(self.home), *stage.arguments]
        for name, place in (("FILES", self.directory / "files"), ("OUT", self.work)):
            words = [word.replace(f"{name}/", f"{place}/") for word in words]
        return words

    def _environment(self, stage: Stage) -> dict[str, str]:
        database = {"BILLING_DATABASE_URL": self.database.url} if self.database else {}
        return {"BILLING_NOW": stage.now, "BILLING_CRASH_SECRET": SECRET, **database, **self.environment}

    def save(self, name: str) -> None:
        """Keeps a copy of what is there now."""
        shutil.copytree(self.work, self.directory / "states" / name)
        if self.database:
            ServerDatabase(server_url=self.database.server_url, name=f"before {name}").create(self.database.name)

    def restore(self, name: str) -> None:
        """Goes back to a copy."""
        shutil.rmtree(self.work, ignore_errors=True)
        shutil.copytree(self.directory / "states" / name, self.work)
        if self.database:
            self.database.create(f"before {name}")

    def state(self) -> State:
        """What is there now."""
        files = {str(path.relative_to(self.work)) for path in self.work.rglob("*") if path.is_file()}
        return State(records=self._records(self.work), files=files)

    @contextmanager
    def looked_at(self) -> Iterator[dict[str, Any]]:
        """The records as they are now, read from a copy, so that nothing is tidied up by looking."""
        copy = self.directory / "copy"
        shutil.copytree(self.work, copy)
        try:
            yield self._records(copy)
        finally:
            shutil.rmtree(copy)

    def _records(self, work: Path) -> dict[str, Any]:
        records: dict[str, Any] = {}
        if self.database or (work / "home" / "billing.db").exists():
            records |= ledger(work / "home", self.database.url if self.database else None)
        for workbook in sorted(work.glob("*.xlsx")):
            records[workbook.name] = sorted(cells(workbook).items())
        return records


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Chapter:
    """A stage as it goes when nothing happens: the state before and after, and its course."""

    stage: Stage
    before: State
    after: State
    course: Course

    def some_steps(self, part: int, *, every: int = 1) -> Sequence[int]:
        """A step (from 1) by chance; or this part of every one, or of every second, third … one.

        Of a row of equal steps, such as the pages of one transaction, only the first and the last count.
        """
        names = ["", *self.course.steps, ""]
        steps = [at for at in range(1, len(names) - 1) if not names[at - 1] == names[at] == names[at + 1]]
        if not EVERYWHERE:
            return [random.choice(steps)]
        return steps[random.randrange(every) :: every][part :: len(PARTS)]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Story:
    """All stages, gone through once undisturbed; the state before each is kept under its name."""

    site: Site
    chapters: dict[str, Chapter]

    @classmethod
    def told(cls, site: Site) -> "Story":
        """Goes through the stages on an empty site."""
        site.work.mkdir()
        write_files(site.directory / "files", site.work / SPOOL)
        if site.database:
            site.database.create()
        chapters = {}
        state = site.state()
        for stage in STAGES:
            site.save(stage.name)
            before, course = state, site.run(stage, Fate())
            assert course.exit_code == 0, course.said
            state = site.state()
            chapters[stage.name] = Chapter(stage=stage, before=before, after=state, course=course)
        return cls(site=site, chapters=chapters)

    def disturbed(self, chapter: Chapter, *fates: Fate, meanwhile: Callable[[], object] = lambda: None) -> list[Course]:
        """Runs the stage with these fates, one after the other, then undisturbed, and compares what there is.

        Whatever happened, nothing is on record that was not there before and is not there at the end. `meanwhile`
        is called at some moment of the first run.
        """
        self.site.restore(chapter.stage.name)
        timer = threading.Timer(_moment(chapter.course.seconds), meanwhile)
        timer.start()
        courses = [self.site.run(chapter.stage, fate) for fate in fates]
        timer.join()
        with self.site.looked_at() as records:
            made_up = _made_up(records, chapter)
        again = self.site.run(chapter.stage)
        what = f"{chapter.stage.name}: {fates}, last steps {[course.steps[-1:] for course in courses]}"
        assert again.exit_code == 0 or (chapter.stage.is_once and again.failed_clearly), f"{what}: {again.said}"
        assert made_up == {}, f"{what}: made up {made_up}"
        state = self.site.state()
        apart = differences(state.records, chapter.after.records)
        assert apart == {}, f"{what}: here and there are only {apart}"
        left = state.files - chapter.after.files - (_NEXT_TIME if chapter.stage.is_once else set())
        assert not left, f"{what}: left behind {left}"
        assert _spooled(state) == _spooled(chapter.after), f"{what}: files of the spool are lost"
        return courses

    def killed_at_step(self, chapter: Chapter, step: int) -> int:
        """Kills the command before a step, or before an earlier one where threads took fewer than the time before."""
        while step and not self.disturbed(chapter, Fate(dies_at=step))[0].killed:
            step -= 1
        assert step
        return 1

    def killed_at_moments(self, chapter: Chapter) -> int:
        """Kills the command at some moment, and once more while it repairs what that left behind; says how often."""
        seconds, kills = chapter.course.seconds, 0
        while not kills:
            courses = self.disturbed(chapter, *(Fate(dies_after=_moment(seconds)) for _ in range(2)))
            kills = sum(course.killed for course in courses)
            seconds /= 2
        return kills


def _spooled(state: State) -> set[str]:
    return {file for file in state.files if file.startswith(SPOOL) and file.endswith(".ndjson")}


def _moment(seconds: float) -> float:
    return random.uniform(0, seconds)


def _made_up(records: dict[str, Any], chapter: Chapter) -> dict[str, Any]:
    before, after = chapter.before.records, chapter.after.records
    found = {name: [row for row in rows if row not in before.get(name, [])] for name, rows in records.items()}
    found = {name: [row for row in rows if row not in after.get(name, [])] for name, rows in found.items()}
    return {name: rows for name, rows in found.items() if rows and name not in _COUNTING}
