"""A command that is killed, anywhere, and run again ends as if nothing had happened.

`make test` kills each at one step; `make test-all` kills 40 and more, at steps and moments that differ each time;
`make crash` at every step there is. A failure names the step; pytest-randomly's seed, at the top of the output, brings
the same choice again.
"""

from collections.abc import Callable

import pytest

from tests.crash.night import NAMES
from tests.crash.site import EACH_PART, EVERYWHERE, PARTS, Story

pytestmark = pytest.mark.thorough

MOMENTS = 8 if EVERYWHERE else 1
assert len(NAMES) * (len(PARTS) + MOMENTS) >= 40

Kills = Callable[[str, object], None]


@EACH_PART
@pytest.mark.parametrize("name", NAMES)
def test_killed_at_a_step(name: str, part: int, story: Story, record_property: Kills) -> None:
    chapter = story.chapters[name]
    record_property("kills", sum(story.killed_at_step(chapter, step) for step in chapter.some_steps(part)))


@pytest.mark.thorough
@pytest.mark.parametrize("name", NAMES)
def test_killed_at_any_moment_twice(name: str, story: Story, record_property: Kills) -> None:
    record_property("kills", sum(story.killed_at_moments(story.chapters[name]) for _ in range(MOMENTS)))
