"""Late events: whatever comes when, originals and corrections are what one bill of everything would have been.

BILLING_STORIES is how many stories are told (2 if not given). `python -m tests.late SEED` tells one again, and cuts it
down to what it takes to fail.
"""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from tests.late.story import DAY, Account, Arrival, Package, Step, Story, story
from tests.late.telling import Telling, check_story

pytestmark = pytest.mark.thorough

STORIES = int(os.environ.get("BILLING_STORIES", "2"))


@pytest.mark.parametrize(
    "seed", [pytest.param(seed, marks=[pytest.mark.thorough] if seed else []) for seed in range(STORIES)]
)
def test_originals_and_corrections_are_what_a_clean_bill_gives(seed: int, tmp_path: Path) -> None:
    """After every night and at the end; and everything that was known then is still to be had from a compacted log."""
    check_story(story(seed), tmp_path)


@pytest.mark.parametrize("seed", range(200, 200 + max(1, STORIES // 4)))
def test_a_night_settles_what_the_last_refresh_showed(seed: int, tmp_path: Path) -> None:
    """Of days that were refreshed time and again while events came in or were retracted, and are billed in one night.
    Of today, which goes on, the refresh is all there is."""
    tale = story(seed)
    *steps, last = (
        step if step.command in ("retract", "undo") else replace(step, command="refresh")
        for step in tale.steps
        if step.command != "compact"
    )
    tale = replace(tale, steps=tuple(steps))
    telling = Telling(tale, tmp_path)
    telling.tell()
    assert not telling.settled
    telling.arrive(last.second)
    telling.cut(last, users=True)
    assert telling.settled_as_refreshed == len(tale.accounts)


def test_a_rebill_leaves_the_late_events_of_another_account_to_the_nightly(tmp_path: Path) -> None:
    check_story(
        _short_story(
            [(DAY, 1, "enter", 0), (DAY, 2, "enter", 0), (2 * DAY, 1, "exit", 600)],
            [(DAY, "nightly", 1), (2 * DAY, "rebill", 2), (3 * DAY, "nightly", 1)],
        ),
        tmp_path,
    )


def test_a_package_that_ended_before_the_first_billed_day_lapses_with_it_also_when_that_day_is_late(
    tmp_path: Path,
) -> None:
    tale = _short_story(
        [(4 * DAY, 1, "enter", 3 * DAY), (5 * DAY, 1, "enter", 0)], [(4 * DAY, "cut", 1), (5 * DAY, "nightly", 1)]
    )
    bought = _NOON - 40 * DAY
    package = Package(
        id="old", account=tale.accounts[0], app=None, minutes=30, purchased_at=bought, term="month", known_at=bought
    )
    check_story(replace(tale, packages=(package,)), tmp_path)


_NOON = 1_774_612_800  # of 2026-03-27


def _short_story(told: list[tuple[int, int, str, int]], commands: list[tuple[int, str, int]]) -> Story:
    """Two accounts with an app each. Of an event: when it arrives, the app, what it is, when it happened; of a command:
    when, what, the account; all in seconds after noon."""
    accounts = tuple(
        Account(id=f"account-{app}", timezone="UTC", policy="trtc-intl", free_minutes=0, apps=(app,)) for app in (1, 2)
    )
    event = {"room_id": "hall", "user_id": "ann"}
    return Story(
        seed=0,
        begin=_NOON - DAY,
        accounts=accounts,
        packages=(),
        contracts=(),
        arrivals=tuple(
            Arrival(
                second=_NOON + arrives,
                event=event
                | {"event_id": f"{app}-{happened}", "app_id": app, "at": (_NOON + happened) * 1000, "type": kind},
            )
            for arrives, app, kind, happened in told
        ),
        steps=tuple(
            Step(second=_NOON + at, command=command, account=f"account-{app}") for at, command, app in commands
        ),
    )
