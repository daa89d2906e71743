"""Late events: whatever comes when, originals and corrections are what one bill of everything would have been.

BILLING_STORIES is how many stories are told (2 if not given).
"""

import os
from pathlib import Path

import pytest
from deltalake import DeltaTable

from tests.late.story import Story, books, money, settled_rows

STORIES = int(os.environ.get("BILLING_STORIES", "2"))


@pytest.mark.parametrize("seed", range(STORIES))
def test_originals_and_corrections_are_what_a_clean_bill_gives(seed: int, tmp_path: Path) -> None:
    story = Story(seed, tmp_path)
    home = None
    before: dict[str, set[str]] = {}
    for home, now in story.nights():
        settled = settled_rows(home, now)
        for name, rows in before.items():
            assert rows <= settled[name], f"seed {seed}, {now}: settled rows of {name} have changed"
        before = settled
        money(home, now)
    assert home is not None
    assert {row["result"] for row in home.run(story.end, "nightly")} == {"already_billed"}
    assert settled_rows(home, story.end) == before
    clean = story.clean()
    for compare in (books, money):
        expected, found = compare(clean, story.end), compare(home, story.end)
        for name in expected:
            assert found[name] == expected[name], f"seed {seed}: {name}"


@pytest.mark.parametrize("seed", range(100, 100 + max(1, STORIES // 4)))
def test_what_was_known_after_any_run_is_shown_again(seed: int, tmp_path: Path) -> None:
    """Also after the log was compacted and cleaned up."""
    story = Story(seed, tmp_path)
    then = []
    for home, now in story.nights():
        if runs := home.run(now, "runs", "--limit", "1"):
            then.append((runs[0]["id"], books(home, now)))
    table = DeltaTable((home.directory / "events").as_uri())
    table.optimize.compact()
    table.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    for run, known in then[:: max(1, len(then) // 4)]:
        assert books(home, now, "--run", str(run)) == known, f"seed {seed}, run {run}"


@pytest.mark.parametrize("seed", range(200, 200 + max(1, STORIES // 4)))
def test_a_night_settles_what_the_last_refresh_showed(seed: int, tmp_path: Path) -> None:
    """Two weeks that were never billed, refreshed as their events come in two lots, are billed in one night; of today,
    which goes on, the refresh is all there is."""
    story = Story(seed, tmp_path)
    home, now = story.home("real"), story.end
    lots = [story.events[::2], story.events[1::2]]
    for hour, events in enumerate(lots, 4):
        now = story.end.replace(hour=hour)
        story.ingest(home, now, events)
        home.run(now, "refresh")
    shown = (books(home, now, "--provisional"), money(home, now, "--provisional"))
    assert not any(settled_rows(home, now).values())
    assert {row["result"] for row in home.run(now, "nightly")} == {"billed"}
    assert all(settled_rows(home, now).values())
    assert (books(home, now, "--provisional"), money(home, now, "--provisional")) == shown
