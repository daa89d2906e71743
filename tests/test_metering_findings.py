"""Findings: what is said of accepted events that changed nothing or had to be interpreted."""

import random

import numpy as np
import polars as pl
import pytest

from billing.metering.engine.other_rooms import RoomHeap, rise, sink
from billing.metering.findings import concurrent_rooms, suspected_stays
from billing.metering.meter import meter
from billing.metering.schemas import FINDINGS_SCHEMA, STAY_SCHEMA
from tests.metering_facts import DAY, START, frame, metered, said, seen, span

OUTSIDE = "ignored: the user was not in the room, or in the wait after a disconnect"


def rooms_of_ann(*lines: str) -> list[tuple[int, str, str]]:
    """Second, room and detail of the `concurrent_rooms` in these events."""
    found = said(metered(seen(*lines)))
    return [(at, room, detail) for at, room, _, finding, detail in found if finding == "concurrent_rooms"]


def test_a_finding_says_what_was_done_with_the_event() -> None:
    result = metered(seen("5 r ann exit", "10 r ann enter", "20 r ann enter", "30.5 r ann disconnect", "31 r ann exit"))
    assert said(result) == [
        (5, "r", "ann", "outside_stay", OUTSIDE),
        (20, "r", "ann", "reentered", "already in the room: the stay went on, what was received was cleared"),
    ]


def test_a_finding_has_the_millisecond_of_its_event_and_a_stale_stay_that_of_its_end() -> None:
    """Silent since 10.5 s: stale 24 hours after second 10."""
    result = metered(seen("0.25 r ann exit", "10.5 r ann enter"), seconds=DAY + 60)
    assert result.findings["at"].to_list() == [START * 1000 + 250, (START + DAY + 10) * 1000]
    assert said(result)[1] == (DAY + 10, "r", "ann", "stale_stay", "no event for 24 hours: the stay ended here")


@pytest.mark.parametrize("turn", [1, -1])
def test_of_two_rooms_entered_in_one_second_the_later_id_is_the_finding(turn: int) -> None:
    """Whichever is first among the events."""
    assert rooms_of_ann(*["10 a ann enter", "10 b ann enter"][::turn]) == [(10, "b", "also in room a")]


def test_the_room_that_was_entered_later_is_the_finding() -> None:
    assert rooms_of_ann("10 z ann enter", "20 a ann enter") == [(20, "a", "also in room z")]


def test_of_several_other_rooms_the_first_id_is_named() -> None:
    assert rooms_of_ann("10 c ann enter", "20 a ann enter", "30 b ann enter") == [
        (20, "a", "also in room c"),
        (30, "b", "also in room a"),
    ]


def test_to_leave_one_room_and_enter_another_in_one_second_is_no_finding() -> None:
    assert rooms_of_ann("10 a ann enter", "20 a ann exit", "20 b ann enter") == []


def test_a_room_that_was_just_left_is_not_the_one_that_is_named() -> None:
    assert rooms_of_ann("5 c ann enter", "10 a ann enter", "20 a ann exit", "20 b ann enter") == [
        (10, "a", "also in room c"),
        (20, "b", "also in room c"),
    ]


def test_a_stay_of_no_second_is_no_finding_and_no_reason_for_one() -> None:
    """Entered and left in one second, before and after another room is entered."""
    assert rooms_of_ann("10 a ann enter", "20 b ann enter", "20.5 b ann exit") == []
    assert rooms_of_ann("10 b ann enter", "10.5 b ann exit", "10.6 a ann enter") == []


def test_a_user_of_one_name_in_two_apps_is_two_users() -> None:
    assert said(metered([*seen("10 a ann enter"), *seen("20 b ann enter", app=2)])) == []


def test_two_users_in_two_rooms_are_no_finding() -> None:
    """Whoever of them comes first, and also in one second."""
    for second in (10, 20):
        assert rooms_of_ann("10 a ann enter", f"{second} b bob enter", f"{second} c cid enter") == []


def test_a_long_stay_behind_a_short_one_is_still_known() -> None:
    """In a all day, in b for ten seconds: c, an hour later, overlaps with a."""
    assert rooms_of_ann("10 a ann enter", "20 b ann enter", "30 b ann exit", "3600 c ann enter") == [
        (20, "b", "also in room a"),
        (3600, "c", "also in room a"),
    ]


def test_a_stay_that_was_carried_in_is_a_reason_for_a_finding_and_not_one_itself() -> None:
    """In a and b since yesterday; c is entered with the first second of the day."""
    first = metered(seen("10 a ann enter", "20 b ann enter"), seconds=300)
    assert len(said(first)) == 1
    later = meter(frame(seen("300 c ann enter")), first.state, span(START + 300, START + 600))
    assert [(at, room, detail) for at, room, _, _, detail in said(later)] == [(300, "c", "also in room a")]


@pytest.mark.parametrize("shift", [20, 40, 62])
def test_whatever_their_keys_two_persons_who_come_by_turns_do_not_hide_each_other(shift: int) -> None:
    """One twice at once, the other as well, a third only once, and their keys in every order."""
    for keys in ([0, 1], [1, 0], [-1, 1], [-2, -1]):
        third = next(key for key in (-2, -1, 0, 1) if key not in keys)
        stays = pl.DataFrame(
            {
                "row_number": [0, 1, 2, 3, 4],
                "person_key": [key << shift for key in (*keys, *keys, third)],
                "second": [0, 100_000, 200_000, 300_000, 0],
                "stay_end": [400_000] * 5,
            }
        )
        assert sorted(suspected_stays(stays)["row_number"]) == [0, 1, 2, 3]


def test_one_user_in_hundreds_of_rooms_at_once_is_found_in_each_but_the_first() -> None:
    """A recorder, for one: what this costs must not grow with the square of the rooms."""
    found = rooms_of_ann(*(f"{number / 10} r-{number:04} ann enter" for number in range(300)))
    assert sorted(found) == [(number // 10, f"r-{number:04}", "also in room r-0000") for number in range(1, 300)]


@pytest.mark.parametrize("size", range(1, 40))
def test_a_heap_gives_its_rooms_back_in_order(size: int) -> None:
    """Whatever the order in which they came; some come twice."""
    rooms = random.Random(size).choices(range(size), k=size)
    heap = RoomHeap(room=np.empty(size, np.int64), stay_end=np.empty(size, np.int64))
    for place, room in enumerate(rooms):
        rise(heap, place, room, room + 100)
    least = []
    for place in reversed(range(size)):
        least.append((heap.room[0], heap.stay_end[0]))
        sink(heap, place, heap.room[place], heap.stay_end[place])
    assert least == [(room, room + 100) for room in sorted(rooms)]


@pytest.mark.parametrize("seed", range(20))
def test_of_any_stays_those_that_began_beside_another_are_found(seed: int) -> None:
    """Compared pair by pair. Stays of three users of two apps in six rooms, or of one user in forty."""
    draw = random.Random(seed)
    apps, rooms, users, seconds = ([7, 8], 6, "abc", 20) if seed % 2 else ([7], 40, "a", 60)
    places = {(draw.choice(apps), f"r-{draw.randrange(rooms):02}", draw.choice(users)) for _ in range(90)}
    stays = []
    for app, room, user in sorted(places):
        begins = draw.random() < 0.8
        second = draw.randrange(seconds) if begins else 0
        stays.append((app, room, user, second, second + draw.randrange(seconds // 2), begins))
    expected = set()
    for app, room, user, second, end, begins in stays:
        others = [
            other_room
            for other_app, other_room, other_user, other_second, other_end, other_begins in stays
            if (other_app, other_user) == (app, user) and other_room != room and other_second <= second < other_end
            if other_second < second or not other_begins or other_room < room
        ]
        if begins and end > second and others:
            expected.add((app, room, user, (START + second) * 1000, f"also in room {min(others)}"))
    draw.shuffle(stays)
    found = concurrent_rooms(pl.DataFrame(stays, schema=STAY_SCHEMA, orient="row"), START)
    assert set(found.select("app_id", "room_id", "user_id", "at", "detail").rows()) == expected
    assert found.height == len(expected)
    assert found.schema == FINDINGS_SCHEMA
