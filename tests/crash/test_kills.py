"""A command that is killed, anywhere, and run again ends as if nothing had happened.

`make test` kills 40 and more, at steps and moments that differ each time; `make crash` at every step there is. A
failure names the step; pytest-randomly's seed, at the top of the output, brings the same choice again.
"""

from collections.abc import Callable

import pytest

from tests.crash.night import NAMES
from tests.crash.site import PARTS, Story

STEPS = 2  # of each stage, unless everywhere
assert len(NAMES) * (STEPS + 1) >= 40

Kills = Callable[[str, object], None]


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("name", NAMES)
def test_killed_at_a_step(name: str, part: int, story: Story, record_property: Kills) -> None:
    chapter = story.chapters[name]
    record_property("kills", sum(story.killed_at_step(chapter, step) for step in chapter.some_steps(part, STEPS)))


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("name", NAMES)
def test_killed_at_any_moment_twice(name: str, part: int, story: Story, record_property: Kills) -> None:  # noqa: ARG001
    record_property("kills", story.killed_at_moments(story.chapters[name]))
