"""Stays: small rooms in every order that users can take.

Users of a room are linked with each other (who is there, who waits, who is silent), and a link that is lost shows only
in certain orders. Expected is what the obvious meter says.
"""

from itertools import pairwise, permutations, product
from unittest.mock import patch

import pytest

from billing.metering.engine import parts
from billing.metering.meter import meter
from tests import oracle
from tests.metering_facts import (
    DAY,
    POLICIES,
    START,
    Row,
    findings_of,
    frame,
    metered,
    nobody,
    plain,
    seen,
    span,
    state_of,
    usage_of,
    windows_of,
)

USERS = ("ann", "bob", "cid", "dan")
THREE = USERS[:3]


def as_obvious(rows: list[Row], seconds: int = DAY, cuts: tuple[int, ...] = ()) -> None:
    """Seconds, findings and state of the first seconds of the day are those of the obvious meter, span by span between
    the cuts. Nearly every room is a part of its own, so that each of its users comes to be the first of a part."""
    state, carried = nobody(), {}
    for start, end in pairwise([0, *cuts, seconds]):
        with patch.object(parts, "ROWS_PER_PART", 3):
            fast = meter(frame(rows), state, span(START + start, START + end))
        slow = oracle.meter(rows, carried, START + start, START + end, POLICIES)
        assert usage_of(fast) == windows_of(slow)
        assert findings_of(fast) == slow.findings
        assert state_of(fast) == plain(slow.state)
        state, carried = fast.state, slow.state


def rooms(*cases: list[str], users: tuple[str, ...] = USERS) -> list[Row]:
    """A room for each case: its users enter one second after the other, then follow the lines of the case."""
    entered = [f"{second} {user} enter" for second, user in enumerate(users)]
    lines = [(f"r{number:02}", line) for number, case in enumerate(cases) for line in [*entered, *case]]
    return seen(*(f"{second} {room} {rest}" for room, line in lines for second, rest in [line.split(maxsplit=1)]))


def test_whoever_leaves_first_the_others_stay_and_the_last_is_alone() -> None:
    """Four users, 24 orders: alone for one second at the beginning and for 100 at the end."""
    rows = rooms(*([f"{100 * turn} {user} exit" for turn, user in enumerate(who, 1)] for who in permutations(USERS)))
    as_obvious(rows, 600)
    usage = usage_of(metered(rows, 600))
    assert sum(seconds for (*_, reason), seconds in usage.items() if reason == "alone_in_room") == 24 * (1 + 100)


def test_whoever_is_left_a_dismissal_ends_every_stay() -> None:
    """Two leave, both return, and all are dismissed; the third enters again."""
    as_obvious(
        rooms(
            *(
                [
                    f"10 {first} exit",
                    f"20 {second} exit",
                    f"30 {first} enter",
                    f"40 {second} enter",
                    "50 - dismiss",
                    f"60 {third} enter",
                ]
                for first, second, third in permutations(THREE)
            ),
            users=THREE,
        ),
        300,
    )


def test_every_wait_ends_after_90_seconds_whoever_returns_from_his() -> None:
    """Three lose the connection in some order, one of them is back, a fourth loses it."""
    rows = rooms(
        *(
            [
                *(f"{10 * turn} {user} disconnect" for turn, user in enumerate(waiting, 1)),
                f"40 {returns} reconnect",
                "50 dan disconnect",
            ]
            for waiting, returns in product(permutations(THREE), THREE)
        )
    )
    as_obvious(rows, 300)
    as_obvious(rows, 300, cuts=(15, 45, 110))


def test_every_silent_stay_ends_after_24_hours_whoever_leaves() -> None:
    """Three give their last sign in some order, one of them leaves, a fourth gives a last sign."""
    rows = rooms(
        *(
            [
                *(f"{10 * turn} {user} video_on x/camera 640x480" for turn, user in enumerate(signs, 1)),
                f"40 {leaves} exit",
                "50 dan video_off x/camera",
            ]
            for signs, leaves in product(permutations(THREE), THREE)
        )
    )
    as_obvious(rows, 2 * DAY)
    as_obvious(rows, 2 * DAY, cuts=(45, DAY + 15))


def test_whoever_is_alone_leaves_an_empty_room() -> None:
    """Nobody is left to be dismissed; whoever enters next is alone, whoever returns is dismissed with the others."""
    as_obvious(
        [
            *rooms(["10 ann exit", "20 - dismiss", "30 ann enter"], users=("ann",)),
            *seen("0 s ann enter", "10 s ann exit", "20 s - dismiss"),
            *seen("0 t ann enter", "10 t ann exit", "20 t bob enter", "30 t bob exit", "40 t - dismiss"),
            *seen(
                "0 u ann enter", "1 u bob enter", "10 u ann exit", "20 u ann enter", "30 u bob exit", "40 u - dismiss"
            ),
        ],
        300,
    )
    as_obvious(seen("0 s ann enter", "10 s ann exit", "20 s - dismiss"), 300)


def test_whoever_came_back_is_alone_when_the_other_leaves() -> None:
    """The room is the only one, so that its users are the first of a part."""
    entered = ["0 r ann enter", "1 r bob enter", "10 r ann exit", "20 r ann enter"]
    for after in (["30 r bob exit"], ["30 r bob exit", "40 r - dismiss"], ["30 r ann exit"]):
        as_obvious(seen(*entered, *after), 300)


def test_a_picture_of_one_pixel_is_a_picture() -> None:
    for app in (1, 2):
        video = ["10 r ann video_on x/camera 1x1", "20 r ann video_on x/camera 2x1", "30 r ann video_off x/camera"]
        rows = seen("0 r ann enter", "0 r bob enter", *video, app=app)
        as_obvious(rows, 300)
        as_obvious(rows, 300, cuts=(15, 25))


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


def test_a_size_that_changes_moves_the_seconds_and_a_stream_that_ends_takes_its_area_along() -> None:
    """Two cameras and a share come, change their size, are repeated, and go; one goes that never came."""
    lines = [
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
    ]
    rows = [*seen(*lines, app=1), *seen(*lines, app=2)]
    as_obvious(rows, 300)
    as_obvious(rows, 300, cuts=(15, 35, 65, 75, 115, 135, 155, 165, 185))


def test_what_was_carried_in_stands_before_the_first_event_of_the_span() -> None:
    """An event in the very millisecond in which the span begins, of somebody who receives video or waits."""
    rows = rooms(
        *(
            [f"10 ann {before}", f"40 ann {event}", "50 bob exit"]
            for before in ("video_on x/camera 640x480", "disconnect")
            for event in ("exit", "disconnect", "enter", "reconnect", "video_off x/camera")
        ),
        users=("ann", "bob"),
    )
    as_obvious(rows, 300, cuts=(40,))


def test_a_stay_that_is_carried_into_many_spans_ends_when_it_would_in_one() -> None:
    """Spans of 30 s for the wait of 90; of some hours for the silence that ends a stay after 24."""
    rows = seen("0 r ann enter", "0 r bob enter", "10 r ann disconnect", "20 r bob video_off x/camera")
    as_obvious(rows, DAY + 8_000, cuts=(30, 60, 90, 120, 20_000, 50_000, DAY))


def test_of_two_sizes_in_one_millisecond_the_later_event_id_counts_in_every_order_of_the_input() -> None:
    entered = seen("0 r ann enter", "0 r bob enter")
    videos = seen(
        "10 r ann video_on x/camera 640x480",
        "10 r ann video_on x/camera 1920x1080",
        "10 r ann video_on y/camera 320x180",
        "10 r bob video_on x/camera 640x480",
    )
    rows = [
        row | {"room_id": f"r{number}"}
        for number, order in enumerate(permutations(videos))
        for row in [*entered, *order]
    ]
    as_obvious(rows, 300)


@pytest.mark.parametrize("others", [1, 62, 63, 64])
def test_the_later_event_id_counts_however_many_events_share_its_millisecond(others: int) -> None:
    """Two sizes of one stream, the later id first and last among streams that have one size."""
    first, last = seen("10 r ann video_on x/camera 1920x1080", "10 r ann video_on x/camera 640x480")
    between = seen(*(f"10 r ann video_on {number}/camera 1x1" for number in range(others)))
    entered = seen("0 r ann enter", "0 r bob enter")
    for one, other in (("a", "z"), ("z", "a")):
        as_obvious([*entered, first | {"event_id": one}, *between, last | {"event_id": other}], 300)


@pytest.mark.parametrize("low", [-(2**39), -8, -7, 0])
@pytest.mark.parametrize("spread", [1, 8, 2**20 - 1, 2**20, 2**31 - 1, 2**31, 2**37 - 1, 2**40])
def test_events_of_one_millisecond_take_effect_in_the_order_of_their_seq(spread: int, low: int) -> None:
    """However far apart they are; the millisecond comes first, and the event id has no say. (At these times numbers
    that overflow would put an enter behind other events.)"""
    lines = [
        "0 {} ann enter",
        "0 {} bob enter",
        "10.001 {} ann video_on x/camera 320x180",
        "10.000 {} ann video_on x/camera 1920x1080",
        "10.000 {} ann video_on x/camera 640x480",
        "20.000 {} ann exit",
        "20.000 {} ann enter",
        "30.000 {} ann video_off x/camera",
        "30.000 {} ann video_on x/camera 1280x720",
    ]
    begin = {0: DAY - 1_000, 1: DAY - 11_000}
    rows = []
    for room, chosen in (("r", [0, 1, 2, 3]), ("s", [0, 1, 3, 4]), ("t", range(9))):
        in_room = seen(*(lines[number].format(room) for number in chosen))
        rows += [
            row | {"seq": low + spread * (number in (3, 5, 7)), "at": row["at"] + begin.get(number, DAY - 300) * 1000}
            for row, number in zip(in_room, chosen, strict=True)
        ]
    as_obvious(rows)
    as_obvious(rows, cuts=(DAY - 295, DAY - 285, DAY - 275))


def test_an_earlier_millisecond_comes_first_whatever_the_types() -> None:
    """One event of each type after one of each."""
    types = ("exit", "disconnect", "dismiss", "enter", "reconnect", "video_off x/camera", "video_on x/camera 640x480")
    cases = [
        [f"10.000 {'-' if one == 'dismiss' else 'ann'} {one}", f"10.001 {'-' if other == 'dismiss' else 'ann'} {other}"]
        for one, other in product(types, types)
    ]
    as_obvious(rooms(*cases, users=("ann", "bob")), 300)
