"""The event log on the disk: what reaches it when, and checkpoints that are not finished."""

import random
import re
from dataclasses import replace

import pytest
from deltalake import DeltaTable

from tests.crash.night import NAMES
from tests.crash.site import EVERYWHERE, Chapter, Story
from tests.crash.steps import Fate

pytestmark = pytest.mark.thorough

INGESTS = [name for name in NAMES if "ingest" in name or "retry" in name]
_COMMIT = re.compile(r"linkat .*_delta_log/\d+\.json$")
_REPLACED = re.compile(r"rename .*\.(new|part)$")


@pytest.mark.parametrize("name", INGESTS)
def test_events_reach_the_disk_before_the_commit_that_names_them_and_that_before_the_end(
    name: str, story: Story
) -> None:
    """A loss of power may lose what was not synchronised, in any order."""
    steps = story.chapters[name].course.steps
    commits = [
        (at, step.split()[1]) for at, step in enumerate(steps) if re.match(r"linkat .*_delta_log/\d+\.json$", step)
    ]
    assert commits
    for at, commit in commits:
        written = {step.split()[1] for step in steps[:at] if step.startswith("write home/events/day=")}
        assert {f"fsync {file}" for file in written} <= set(steps[:at])
        assert {f"fsync {commit}", "fsync home/events/_delta_log"} <= set(steps[at:])


def test_quarantine_and_workbook_reach_the_disk_before_they_take_the_place_of_others(story: Story) -> None:
    for name in ("first ingest", "quarantine retry", "invoice export again"):
        steps = story.chapters[name].course.steps
        replaced = [(at, step.split()[1]) for at, step in enumerate(steps) if _REPLACED.match(step)]
        assert replaced
        assert all(f"fsync {file}" in steps[:at] for at, file in replaced)


def test_a_checkpoint_that_is_not_finished_is_no_matter(story: Story) -> None:
    """The library writes one after a hundred commits; here, after every one."""
    site, told = story.site, story.chapters["late ingest"]
    site.restore(told.stage.name)
    DeltaTable(site.home / "events").alter.set_table_properties({"delta.checkpointInterval": "1"})
    stage = replace(told.stage, name="checkpoint")
    site.save(stage.name)
    before, course = site.state(), site.run(stage, Fate())
    assert any("checkpoint" in step for step in course.steps)
    chapter = Chapter(stage=stage, before=before, after=site.state(), course=course)
    first = next(at for at, step in enumerate(course.steps, 1) if "_delta_log" in step)
    steps = range(first, len(course.steps) + 1)
    for step in steps if EVERYWHERE else random.sample(steps, 3):
        story.killed_at_step(chapter, step)
        (failed,) = story.disturbed(chapter, Fate(fails_from=step, error="ENOSPC"))
        assert failed.exit_code == 0 or failed.failed_clearly, failed
