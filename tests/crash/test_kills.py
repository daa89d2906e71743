"""A command that is killed, anywhere, and run again ends as if nothing had happened.

`make test` kills 40 and more, at steps and moments that differ each time; `make crash` at every step there is. A
failure names the step; pytest-randomly's seed, at the top of the output, brings the same choice again.
"""

import random
from collections.abc import Callable

import pytest

from tests.crash.night import NAMES
from tests.crash.site import EVERYWHERE, PARTS, Chapter, Story
from tests.crash.steps import Fate

STEPS = 2  # of each stage, unless everywhere
MOMENTS = 4 if EVERYWHERE else 1
assert len(NAMES) * (STEPS + MOMENTS) >= 40

Kills = Callable[[str, object], None]


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("name", NAMES)
def test_killed_at_a_step(name: str, part: int, story: Story, record_property: Kills) -> None:
    chapter = story.chapters[name]
    record_property("kills", sum(_killed_at(story, chapter, step) for step in chapter.some_steps(part, STEPS)))


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("name", NAMES)
def test_killed_at_any_moment_twice(name: str, part: int, story: Story, record_property: Kills) -> None:  # noqa: ARG001
    """The second time while it repairs what the first left behind."""
    chapter = story.chapters[name]
    kills = 0
    for _ in range(MOMENTS):
        seconds = chapter.course.seconds
        killed = [False]
        while not any(killed):
            fates = [Fate(dies_after=random.uniform(0, seconds)) for _ in range(2)]  # noqa: S311
            killed = [course.killed for course in story.disturbed(chapter, *fates)]
            seconds /= 2
        kills += sum(killed)
    record_property("kills", kills)


def _killed_at(story: Story, chapter: Chapter, step: int) -> int:
    """Kills before a step; where threads took fewer steps than the time before, before an earlier one."""
    while step and not story.disturbed(chapter, Fate(dies_at=step))[0].killed:
        step -= 1
    assert step
    return 1
