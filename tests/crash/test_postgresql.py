"""With PostgreSQL: commands that are killed, and a server that goes away."""

import subprocess

import psycopg
import pytest

from tests.crash.site import EACH_PART, EVERYWHERE, Story
from tests.crash.steps import Fate
from tests.crash.test_kills import Kills
from tests.postgresql_server import server_programs, server_user

pytestmark = pytest.mark.thorough

STAGES = ["nightly", "nightly after late events", "rebill"]
if EVERYWHERE:
    STAGES += ["init", "catalog", "refresh after more events"]
INTERRUPTIONS = 10 if EVERYWHERE else 1


@EACH_PART
@pytest.mark.parametrize("name", STAGES)
def test_killed_at_a_step(name: str, part: int, server_story: Story, record_property: Kills) -> None:
    chapter = server_story.chapters[name]
    record_property(
        "kills", sum(server_story.killed_at_step(chapter, step) for step in chapter.some_steps(part, every=6))
    )


@pytest.mark.parametrize("name", STAGES)
def test_killed_at_any_moment_twice(name: str, server_story: Story, record_property: Kills) -> None:
    record_property("kills", server_story.killed_at_moments(server_story.chapters[name]))


@EACH_PART
@pytest.mark.parametrize("name", STAGES)
def test_connections_that_break(name: str, part: int, server_story: Story) -> None:
    """From a step on, every connection breaks when it is used."""
    chapter = server_story.chapters[name]
    for step in chapter.some_steps(part, every=12):
        (course,) = server_story.disturbed(chapter, Fate(fails_from=step, error="ECONNRESET"))
        # Nothing is said to the server after the last commit but good-bye.
        assert course.exit_code == 0 or course.failed_clearly, f"at step {step}: {course}"


@pytest.mark.parametrize("name", STAGES)
def test_a_server_that_ends_all_connections(name: str, server_story: Story) -> None:
    chapter, database = server_story.chapters[name], server_story.site.database
    assert database
    of_others = f"datname = '{database.name}' AND pid <> pg_backend_pid()"
    end_all = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {of_others}"  # noqa: S608
    for _ in range(INTERRUPTIONS):
        (course,) = server_story.disturbed(chapter, Fate(watched=False), meanwhile=lambda: database.execute(end_all))
        assert course.exit_code == 0 or course.failed_clearly, course


@pytest.mark.parametrize("name", STAGES)
def test_a_server_that_crashes_and_comes_back(name: str, server_story: Story) -> None:
    chapter, database = server_story.chapters[name], server_story.site.database
    assert database
    with psycopg.connect(database.server_url) as conn:
        (directory,) = conn.execute("SHOW data_directory").fetchone() or ("",)
    programs = server_programs()
    assert programs

    def restart() -> None:
        log = f"{directory}/../server.log"
        command = [programs / "pg_ctl", "restart", "-D", directory, "-m", "immediate", "-l", log]
        subprocess.run(command, user=server_user(), cwd=directory, check=True, stdout=subprocess.DEVNULL)

    for _ in range(INTERRUPTIONS):
        (course,) = server_story.disturbed(chapter, Fate(watched=False), meanwhile=restart)
        assert course.exit_code == 0 or course.failed_clearly, course
