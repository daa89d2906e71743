"""A SQLite database that somebody else keeps locked, or that is gone."""

import sqlite3
import threading
from contextlib import closing
from dataclasses import replace
from random import uniform

import pytest

from tests.crash.site import Story
from tests.ledger import differences

pytestmark = pytest.mark.thorough

STAGES = ["catalog", "refresh", "nightly", "rebill"]


@pytest.mark.parametrize("name", STAGES)
def test_a_database_that_stays_locked(name: str, story: Story) -> None:
    chapter, site = story.chapters[name], story.site
    site.restore(name)
    file = site.home / "billing.db"
    impatient = replace(site, environment={"BILLING_DATABASE_URL": f"sqlite:///{file}?timeout=0.05"})
    with closing(sqlite3.connect(file)) as other:
        other.execute("BEGIN IMMEDIATE")
        course = impatient.run(chapter.stage)
    assert course.failed_clearly, course
    assert "database is locked" in course.said
    assert site.run(chapter.stage).exit_code == 0
    assert differences(site.state().records, chapter.after.records) == {}


@pytest.mark.parametrize("name", STAGES)
def test_a_database_that_is_removed(name: str, story: Story) -> None:
    """It is not made anew, so that nobody bills into an empty one; with a copy put back all is well."""
    chapter, site = story.chapters[name], story.site
    site.restore(name)
    file = site.home / "billing.db"
    timer = threading.Timer(uniform(0, chapter.course.seconds / 2), file.unlink)
    timer.start()
    course = site.run(chapter.stage)
    timer.join()
    assert not file.exists()
    assert course.exit_code == 0 or course.failed_clearly, course
    site.restore(name)
    assert site.run(chapter.stage).exit_code == 0
    assert differences(site.state().records, chapter.after.records) == {}
