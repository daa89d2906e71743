"""Shares of rooms, and rooms of so many events that only the users who are asked for are metered as stretches."""

import json
from collections import Counter
from datetime import date
from decimal import Decimal
from pathlib import Path

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from billing.money import from_scaled
from billing.reports.explained_rooms import MANY_EVENTS, room_shares
from billing.reports.room_seconds import ROOM_SECONDS_SCHEMA
from tests.commands import Commands
from tests.sample_home import rows
from tests.test_usage import Acme

DAY = date(2026, 3, 10)


def seconds(*counts: tuple[str, str, int]) -> pl.DataFrame:
    """Rooms with an item and seconds."""
    named = [(room, item, "camera", count) for room, item, count in counts]
    return pl.DataFrame(named, schema=ROOM_SECONDS_SCHEMA, orient="row")


def test_what_is_left_goes_to_the_largest_remainders_and_of_equal_ones_to_the_first() -> None:
    thirds = room_shares(seconds(("c", "hd", 1), ("a", "hd", 1), ("b", "hd", 1)), {"hd": Decimal(1)})
    assert [(each.room_id, str(each.share)) for each in thirds] == [
        ("a", "0.33333334"),
        ("b", "0.33333333"),
        ("c", "0.33333333"),
    ]
    cents = room_shares(seconds(("a", "hd", 1), ("b", "hd", 5)), {"hd": Decimal("0.00000001")})
    assert [each.share for each in cents] == [0, Decimal("0.00000001")]


def test_each_item_has_its_own_amount_and_one_without_costs_nothing() -> None:
    found = room_shares(seconds(("a", "hd", 60), ("a", "audio", 60), ("b", "hd", 180)), {"hd": Decimal("0.4")})
    assert [(each.room_id, each.item, each.share) for each in found] == [
        ("a", "audio", 0),
        ("a", "hd", Decimal("0.1")),
        ("b", "hd", Decimal("0.3")),
    ]


@given(
    counts=st.dictionaries(st.text(max_size=3), st.integers(1, 10**9), min_size=1, max_size=30),
    scaled=st.integers(0, 10**15),
)
def test_shares_sum_to_the_amount_and_each_is_less_than_a_unit_from_its_part(
    counts: dict[str, int], scaled: int
) -> None:
    amount, total = from_scaled(scaled), sum(counts.values())
    found = room_shares(seconds(*((room, "hd", count) for room, count in counts.items())), {"hd": amount})
    assert sum(each.share for each in found) == amount
    for each in found:
        assert abs(each.share * total - amount * each.seconds) < Decimal("0.00000001") * total
    some = set(list(counts)[:3])
    assert room_shares(
        seconds(*((room, "hd", count) for room, count in counts.items())), {"hd": amount}, rooms=some
    ) == [each for each in found if each.room_id in some]


def test_a_user_of_a_room_of_very_many_events_has_the_seconds_of_the_bill(tmp_path: Path) -> None:
    acme = Acme(tmp_path)
    camera = {"stream": "u0/camera", "width": 640, "height": 360}
    users, times = 40, MANY_EVENTS // 40 + 1
    events = [(number, "r", f"u{number}", "enter", {}) for number in range(users)]
    events += [
        (100 + 60 * turn + number, "r", f"u{number}", ("video_on", "video_off")[turn % 2], camera)
        for turn in range(times)
        for number in range(users)
    ]
    acme.ingest(*events, day=DAY)
    acme.bill(DAY)
    run = Commands(home=acme.home.directory, now="2027-01-01T00:00:00Z")
    (found,) = rows(run, f"explain acme --app 1 --day {DAY} --room r --user u7")
    billed = Counter(
        {
            (row["item"], row["reason"]): row["seconds"]
            for row in rows(run, "usage 1 --month 2026-03 --by user")
            if row["user_id"] == "u7"
        }
    )
    stretches: Counter[tuple[str, str]] = Counter()
    for each in found["intervals"]:
        stretches[each["item"], each["reason"]] += each["seconds"]
    assert stretches == billed
    assert len(found["intervals"]) > times
    (window,) = rows(run, f"explain acme --app 1 --day {DAY} --room r --user u7 --window 12:00")
    assert sum(each["seconds"] for each in window["intervals"]) == 300
    assert json.dumps(window["window"]) == '"2026-03-10T12:00:00+09:00"'
