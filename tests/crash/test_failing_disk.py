"""A disk that is full, cannot be written, or fails: a clear error, nothing lost, and the command can be run again."""

import random

import pytest

from tests.crash.night import NAMES
from tests.crash.site import EACH_PART, Story
from tests.crash.steps import Fate

pytestmark = pytest.mark.thorough


@EACH_PART
@pytest.mark.parametrize("name", NAMES)
def test_a_disk_that_is_full_or_fails_on_the_way(name: str, part: int, story: Story) -> None:
    chapter = story.chapters[name]
    for step in chapter.some_steps(part, every=6):
        (course,) = story.disturbed(chapter, Fate(fails_from=step, error=random.choice(["ENOSPC", "EIO"])))
        # What is left to do when all is done, such as removing what is no longer needed, may fail.
        assert course.exit_code == 0 or course.failed_clearly, f"at step {step}: {course}"


@pytest.mark.parametrize("name", NAMES)
def test_a_disk_that_cannot_be_written(name: str, story: Story) -> None:
    error = random.choice(["EROFS", "EACCES"])
    (course,) = story.disturbed(story.chapters[name], Fate(fails_from=1, error=error))
    assert course.failed_clearly, course
