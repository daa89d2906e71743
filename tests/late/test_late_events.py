"""Late events: whatever comes when, originals and corrections are what one bill of everything would have been.

BILLING_STORIES is how many stories are told (2 if not given). `python -m tests.late SEED` tells one again, and cuts it
down to what it takes to fail.
"""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from tests.late.story import DAY, Account, Arrival, Row, Step, Story, story
from tests.late.telling import Telling, check_story

STORIES = int(os.environ.get("BILLING_STORIES", "2"))


@pytest.mark.parametrize("seed", range(STORIES))
def test_originals_and_corrections_are_what_a_clean_bill_gives(seed: int, tmp_path: Path) -> None:
    """After every night and at the end; and everything that was known then is still to be had from a compacted log."""
    check_story(story(seed), tmp_path)


@pytest.mark.parametrize("seed", range(200, 200 + max(1, STORIES // 4)))
def test_a_night_settles_what_the_last_refresh_showed(seed: int, tmp_path: Path) -> None:
    """Of days that were refreshed time and again while events came in, and are billed in one night. Of today, which
    goes on, the refresh is all there is."""
    tale = story(seed)
    *steps, last = (replace(step, command="refresh") for step in tale.steps if step.command != "compact")
    tale = replace(tale, steps=tuple(steps))
    telling = Telling(tale, tmp_path)
    telling.tell()
    assert not telling.settled
    telling.arrive(last.second)
    telling.cut(last, users=True)
    assert telling.settled_as_refreshed == len(tale.accounts)


def test_a_rebill_leaves_the_late_events_of_another_account_to_the_nightly(tmp_path: Path) -> None:
    accounts = tuple(
        Account(id=f"account-{app}", timezone="UTC", policy="trtc-intl", free_minutes=0, apps=(app,)) for app in (1, 2)
    )
    noon = 1_774_612_800
    told = [(DAY, 1, "enter", noon), (DAY, 2, "enter", noon), (2 * DAY, 1, "exit", noon + 600)]
    tale = Story(
        seed=0,
        begin=noon - DAY,
        accounts=accounts,
        packages=(),
        contracts=(),
        arrivals=tuple(
            Arrival(second=noon + delay, event=_event(app, kind, second)) for delay, app, kind, second in told
        ),
        steps=(
            Step(second=noon + DAY, command="nightly", account="account-1"),
            Step(second=noon + 2 * DAY, command="rebill", account="account-2"),
            Step(second=noon + 2 * DAY + 60, command="nightly", account="account-1"),
        ),
    )
    check_story(tale, tmp_path)


def _event(app: int, kind: str, second: int) -> Row:
    return {
        "event_id": f"{app}-{kind}",
        "app_id": app,
        "room_id": "hall",
        "user_id": "ann",
        "at": second * 1000,
        "type": kind,
    }
