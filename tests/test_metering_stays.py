"""Stays: small rooms, one at a time, in every order that users can take.

Users of a room are linked with each other (who is there, who waits, who is silent), and a link that is lost shows only
in certain orders. Expected is what the obvious meter says.
"""

from functools import partial
from itertools import pairwise, permutations, product
from unittest.mock import patch

import pytest

from billing.metering.meter import meter
from billing.metering.rows import Hashing
from tests import oracle
from tests.metering_facts import (
    DAY,
    POLICIES,
    RULES,
    START,
    Row,
    findings_of,
    frame,
    metered,
    nobody,
    plain,
    seen,
    state_of,
    usage_of,
    windows_of,
)

USERS = ("ann", "bob", "cid", "dan")
ENTERED = [f"{second} r {user} enter" for second, user in enumerate(USERS)]


def as_obvious(rows: list[Row], seconds: int = DAY, cut: int | None = None) -> None:
    """Seconds, findings and state of the first seconds of the day are those of the obvious meter; with a cut, of the
    two spans before and after it."""
    state, carried = nobody(), {}
    bounds = [0, seconds] if cut is None else [0, cut, seconds]
    for start, end in pairwise(bounds):
        fast = meter(frame(rows), state, START + start, START + end, RULES)
        slow = oracle.meter(rows, carried, START + start, START + end, POLICIES)
        assert usage_of(fast) == windows_of(slow)
        assert findings_of(fast) == slow.findings
        assert plain(state_of(fast)) == plain(slow.state)
        state, carried = fast.state, slow.state


@pytest.mark.parametrize("leaving", list(permutations(USERS)), ids="-".join)
def test_whoever_leaves_first_the_others_stay_and_the_last_is_alone(leaving: tuple[str, ...]) -> None:
    rows = seen(*ENTERED, *(f"{100 * turn} r {user} exit" for turn, user in enumerate(leaving, 1)))
    as_obvious(rows, 600)
    alone = usage_of(metered(rows, 600))
    assert sum(n for (_, _, _, reason), n in alone.items() if reason == "alone_in_room") == 1 + 100


@pytest.mark.parametrize("leaving", list(permutations(USERS[:3])), ids="-".join)
def test_the_one_who_is_left_alone_by_a_dismissal_of_nobody_stays(leaving: tuple[str, ...]) -> None:
    """Two leave, the third is alone until somebody enters again, and all are dismissed."""
    first, second, third = leaving
    rows = seen(
        *ENTERED[:3],
        f"10 r {first} exit",
        f"20 r {second} exit",
        f"30 r {first} enter",
        f"40 r {second} enter",
        "50 r - dismiss",
        f"60 r {third} enter",
    )
    as_obvious(rows, 300)


@pytest.mark.parametrize(("waiting", "returns"), list(product(permutations(USERS[:3]), USERS[:3])), ids=str)
def test_every_wait_ends_after_90_seconds_whoever_returns_from_his(waiting: tuple[str, ...], returns: str) -> None:
    """Three lose the connection, one is back, a fourth loses it."""
    rows = seen(
        *ENTERED,
        *(f"{10 * turn} r {user} disconnect" for turn, user in enumerate(waiting, 1)),
        f"40 r {returns} reconnect",
        "50 r dan disconnect",
    )
    as_obvious(rows, 300)
    as_obvious(rows, 300, cut=45)


@pytest.mark.parametrize(("signs", "leaves"), list(product(permutations(USERS[:3]), USERS[:3])), ids=str)
def test_every_silent_stay_ends_after_24_hours_whoever_leaves(signs: tuple[str, ...], leaves: str) -> None:
    """The last sign of three in some order; one leaves, a fourth gives a last sign."""
    rows = seen(
        *ENTERED,
        *(f"{10 * turn} r {user} video_on x/camera 640x480" for turn, user in enumerate(signs, 1)),
        f"40 r {leaves} exit",
        "50 r dan video_off x/camera",
    )
    as_obvious(rows, 2 * DAY)
    as_obvious(rows, 2 * DAY, cut=45)
    as_obvious(rows, 2 * DAY, cut=DAY + 15)


@pytest.mark.parametrize("end", [DAY + 9, DAY + 10, DAY + 11])
def test_a_stay_becomes_stale_with_the_second_that_is_24_hours_after_the_last_sign(end: int) -> None:
    """A span that ends before that second carries the stay on."""
    rows = seen("0 r ann enter", "10 r ann video_off x/camera")
    as_obvious(rows, end)
    assert metered(rows, end).state.height == (1 if end < DAY + 10 else 0)


@pytest.mark.parametrize("back", [99, 100, 101])
def test_whoever_returns_in_the_second_in_which_his_wait_ends_has_left_before(back: int) -> None:
    rows = seen("0 r ann enter", "0 r bob enter", "10 r ann disconnect", f"{back} r ann reconnect", "200 r ann exit")
    as_obvious(rows, 300)
    usage = usage_of(metered(rows, 300))
    assert usage[1, START, "audio", "disconnect_grace"] == min(back - 10, 90)


@pytest.mark.parametrize("app", [1, 2])
def test_a_size_that_changes_moves_the_seconds_and_a_stream_that_ends_takes_its_area_along(app: int) -> None:
    """Two cameras and a share come, change their size, are repeated, and go; one goes that never came."""
    rows = seen(
        "0 r ann enter",
        "0 r bob enter",
        "10 r ann video_on a/camera 640x480",
        "20 r ann video_on b/camera 1280x720",
        "30 r ann video_on a/screen 1920x1080",
        "40 r ann video_on b/camera 320x180",
        "50 r ann video_on b/camera 320x180",
        "60 r ann video_off c/camera",
        "70 r ann video_off a/screen",
        "80 r ann video_on a/screen 320x180",
        "90 r ann video_off a/camera",
        "100 r ann video_off a/camera",
        "110 r ann reconnect",
        "120 r ann video_on a/camera 3840x2160",
        "130 r bob exit",
        "140 r bob enter",
        "150 r ann disconnect",
        "160 r ann enter",
        "170 r ann video_off a/camera",
        "180 r ann video_on b/camera 320x180",
        app=app,
    )
    as_obvious(rows, 300)
    for cut in (15, 30, 40, 65, 70, 75, 110, 115, 130, 140, 150, 155, 160, 170, 180):
        as_obvious(rows, 300, cut=cut)


@pytest.mark.parametrize("event", ["exit", "disconnect", "enter", "reconnect", "video_off x/camera"])
@pytest.mark.parametrize("before", ["video_on x/camera 640x480", "disconnect"])
def test_what_was_carried_in_stands_before_the_first_event_of_the_span(before: str, event: str) -> None:
    """An event in the very millisecond in which the span begins, of somebody who receives video or waits."""
    rows = seen("0 r ann enter", "0 r bob enter", f"10 r ann {before}", f"40 r ann {event}", "50 r bob exit")
    as_obvious(rows, 300, cut=40)


def test_a_stay_that_is_carried_into_many_spans_ends_90_seconds_after_the_disconnect() -> None:
    """Spans of 30 s for the wait; of two hours and a quarter for the silence that ends a stay after 24 hours."""
    rows = seen("0 r ann enter", "0 r bob enter", "10 r ann disconnect", "20 r bob video_off x/camera")
    state, carried = nobody(), {}
    for start, end in pairwise([*range(START, START + 120, 30), *range(START + 120, START + DAY + 8_220, 8_100)]):
        fast = meter(frame(rows), state, start, end, RULES)
        slow = oracle.meter(rows, carried, start, end, POLICIES)
        assert usage_of(fast) == windows_of(slow)
        assert findings_of(fast) == slow.findings
        state, carried = fast.state, slow.state
    assert state.is_empty()


def test_streams_whose_keys_collide_are_hashed_anew() -> None:
    """Sixty streams of one user in 1,024 keys; only the seed changes."""
    rows = seen(
        "0 r ann enter", "0 r bob enter", *(f"{second} r ann video_on {second}/camera 64x48" for second in range(1, 61))
    )
    with patch("billing.metering.meter.Hashing", partial(Hashing, mask=2**10 - 1)):
        as_obvious(rows, 300)


def test_of_two_sizes_in_one_millisecond_the_later_event_id_counts_in_every_order_of_the_input() -> None:
    events = seen(
        "0 r ann enter",
        "0 r bob enter",
        "10 r ann video_on x/camera 640x480",
        "10 r ann video_on x/camera 1920x1080",
        "10 r ann video_on y/camera 320x180",
        "10 r bob video_on x/camera 640x480",
    )
    entered, videos = events[:2], events[2:]
    usages = [usage_of(metered([*entered, *rows], 300)) for rows in permutations(videos)]
    as_obvious(events, 300)
    assert all(usage == usages[0] for usage in usages)
