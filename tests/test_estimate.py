"""The estimate: published examples, who receives what, free minutes, the choice, and a month that is really billed."""

import json
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from billing.catalog.catalog import Catalog
from billing.catalog.reading import parse_catalog
from billing.cli.main import main
from billing.errors import UsageError
from billing.periods import day_bounds, days_between, parse_day, time_zone
from billing.reports.estimate import Estimate, estimate, tariff_of_account, tariff_of_policy
from billing.reports.package_sets import MOST_OF_ONE_SIZE, PackageSet, largest_counts
from billing.reports.planned_rooms import Room, live_room
from tests.estimate_facts import rooms_of_a_day
from tests.scenario import Program

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
NHD, VGA, HD, FHD = (640, 360), (640, 480), (1280, 720), (1920, 1080)
TOKYO = """
[[account]]
id = "acme"
name = "Acme K.K."
currency = "USD"
timezone = "Asia/Tokyo"
policy = "trtc-intl"
free_minutes = 500

[[app]]
id = 1400000001
account = "acme"
name = "Classroom"

[[contract]]
account = "acme"
valid_from = "2026-03-01"
discount = "0.85"
"""
PACKAGE = """
[[package]]
id = "pkg-1"
account = "acme"
minutes = 25000
purchased_at = "2026-03-01T18:00:00+09:00"
"""


def estimated(policy: str, room: Room, *, minutes: int, rooms_per_day: int = 1, days: int = 1) -> Estimate:
    return estimate(room, tariff_of_policy(policy, NOW), rooms_per_day=rooms_per_day, minutes=minutes, days=days)


def minutes_of(month: Estimate) -> dict[str, int]:
    return {each.item: each.minutes for each in month.items}


def amount_of(month: Estimate) -> str:
    return str(sum(each.amount for each in month.items).normalize())


@pytest.mark.parametrize(
    ("policy", "room", "minutes", "used", "amount"),
    [
        # E01 without the viewer who takes no video: 960x720 with a share, two of 640x480, two viewers.
        ("trtc-intl", Room(users=5, cameras=((960, 720), VGA, VGA), screen=FHD), 60, {"hd": 60, "2k": 240}, "4.077"),
        # E05, in both places
        ("trtc-cn", Room(users=3), 30, {"audio": 90}, "0.63"),
        ("trtc-intl", Room(users=3), 30, {"audio": 90}, "0.0891"),
        # E06
        ("trtc-cn", Room(users=2, cameras=(NHD, FHD)), 30, {"sd": 30, "fhd": 30}, "3.57"),
        # E07: B, who only listens in the example, is the one without a camera
        ("trtc-cn", Room(users=3, cameras=(NHD, FHD)), 30, {"sd": 60, "fhd": 60}, "7.14"),
    ],
)
def test_published_examples_are_estimated_as_published(
    policy: str, room: Room, minutes: int, used: dict[str, int], amount: str
) -> None:
    month = estimated(policy, room, minutes=minutes)
    assert (minutes_of(month), amount_of(month)) == (used, amount)


def test_one_user_alone_is_audio_whatever_is_sent() -> None:
    assert minutes_of(estimated("trtc-intl", Room(users=1, cameras=(HD,), screen=FHD), minutes=60)) == {"audio": 60}


def test_an_anchor_receives_the_other_anchors_and_not_itself() -> None:
    """One anchor of 1280x720, one of 1920x1080: each receives the other, the audience both, 2,995,200 pixels."""
    room = live_room(anchors=2, audience=3, cameras=(HD, FHD))
    assert minutes_of(estimated("trtc-intl", room, minutes=10)) == {"hd": 10, "fhd": 10, "2k": 30}


def test_an_anchor_without_a_camera_watches_like_the_audience() -> None:
    assert minutes_of(estimated("trtc-intl", live_room(anchors=3, audience=0, cameras=(HD,)), minutes=10)) == {
        "audio": 10,
        "hd": 20,
    }


def test_the_sender_of_a_screen_share_does_not_pay_for_it() -> None:
    assert minutes_of(estimated("trtc-intl", Room(users=2, screen=FHD), minutes=10)) == {"audio": 10, "fhd": 10}


def test_an_audience_of_100000_is_metered_as_one_and_multiplied() -> None:
    """3 rooms x 30 days x 90 minutes: the anchor is audio, everybody else HD."""
    room = live_room(anchors=1, audience=100_000, cameras=(HD,))
    month = estimated("trtc-intl", room, minutes=90, rooms_per_day=3, days=30)
    assert minutes_of(month) == {"audio": 8_100, "hd": 810_000_000}
    assert [each.package_minutes for each in month.items] == [8_100, 3_240_000_000]


def test_free_minutes_last_a_month_and_are_taken_at_the_ratios() -> None:
    """240 HD minutes a day take 960 of the 10,000: ten days are free, and 100 minutes of the eleventh."""
    month = estimated("trtc-intl", Room(users=2, cameras=(HD, HD)), minutes=120, days=30)
    assert minutes_of(month) == {"hd": 7_200}
    assert month.free_minutes_used == 10_000
    assert month.pay_as_you_go == (7_200 - 2_500) * Decimal("0.00399")
    assert amount_of(month) == "28.728"


def test_the_cheapest_choice_is_marked() -> None:
    """90,000 audio minutes, 80,000 of them not free: 79.20 USD; a package pays 25,000 for 24.00 instead of 24.75."""
    month = estimated("trtc-intl", Room(users=2), minutes=60, rooms_per_day=25, days=30)
    assert month.pay_as_you_go == Decimal("79.2")
    assert [(each.minutes, each.overage, each.total, each.cheapest) for each in month.packages] == [
        (25_000, Decimal("54.45"), Decimal("78.45"), False),
        (250_000, 0, 227, False),
        (1_000_000, 0, 856, False),
        (3_000_000, 0, 2_416, False),
        (75_000, Decimal("4.95"), Decimal("76.95"), True),
    ]


def set_of(month: Estimate) -> PackageSet:
    (found,) = (choice for choice in month.packages if isinstance(choice, PackageSet))
    return found


def counts_of(found: PackageSet) -> dict[int, int]:
    return {each.minutes: each.count for each in found.set}


def test_several_packages_are_cheaper_than_the_largest_one() -> None:
    """10,775,000 of the 10,795,400 package minutes that are not free; one package of 3,000,000 costs 10,191.88234."""
    month = estimated(
        "trtc-intl", live_room(anchors=1, audience=500, cameras=(HD,)), rooms_per_day=2, minutes=90, days=30
    )
    assert [(choice.total, choice.cheapest) for choice in month.packages[3:]] == [
        (Decimal("10191.88234"), False),
        (Decimal("8829.34894"), True),
    ]
    found = set_of(month)
    assert counts_of(found) == {3_000_000: 3, 1_000_000: 1, 250_000: 3, 25_000: 1}
    assert (found.price, found.overage) == (8_809, Decimal("20.34894"))


def test_more_of_a_size_is_never_bought_than_larger_packages_give_for_less() -> None:
    for policy, currency in [("trtc-intl", "USD"), ("trtc-intl-2021", "USD"), ("trtc-cn", "CNY")]:
        offers = tariff_of_policy(policy, NOW).terms.version.package_prices[currency]
        assert largest_counts(offers) == [9, 3, 2, MOST_OF_ONE_SIZE]


def test_a_month_of_a_hundred_million_package_minutes_has_a_set_at_once() -> None:
    """28,800 minutes x 1,000 viewers at 4: one bill is enough, because no other set can be cheaper."""
    room = live_room(anchors=1, audience=1_000, cameras=(HD,))
    month = estimated("trtc-intl", room, rooms_per_day=1, minutes=960, days=30)
    found = set_of(month)
    assert counts_of(found) == {3_000_000: 38, 1_000_000: 1, 25_000: 8}
    assert found.total == min(choice.total for choice in month.packages)


def test_no_package_is_marked_where_paying_as_you_go_is_cheaper() -> None:
    month = estimated("trtc-cn", Room(users=3), minutes=30)
    assert month.pay_as_you_go == Decimal("0.63")
    assert not any(each.cheapest for each in month.packages)


def test_an_account_is_estimated_on_its_terms_without_its_packages() -> None:
    """120 HD minutes, of which 500 free minutes pay 125, and 15 % off: nothing to pay; then 480 at 0.0033915."""
    catalog = parse_catalog(TOKYO + PACKAGE, "catalog.toml")
    tariff = tariff_of_account(catalog, "acme", NOW)
    small = estimate(Room(users=2, cameras=(HD, HD)), tariff, rooms_per_day=1, minutes=60, days=1)
    assert (small.free_minutes_used, small.pay_as_you_go) == (480, 0)
    large = estimate(Room(users=2, cameras=(HD, HD)), tariff, rooms_per_day=1, minutes=60, days=5)
    assert (large.free_minutes_used, large.pay_as_you_go) == (500, 475 * Decimal("0.0033915"))


def test_the_terms_are_those_of_the_accounts_own_day() -> None:
    """The contract begins on 1 March; at 16:00 on 28 February in London it is 1 March in Tokyo."""
    catalog = parse_catalog(TOKYO, "catalog.toml")
    before = tariff_of_account(catalog, "acme", datetime(2026, 2, 28, 14, tzinfo=UTC))
    after = tariff_of_account(catalog, "acme", datetime(2026, 2, 28, 16, tzinfo=UTC))
    assert (before.terms.prices["hd"], after.terms.prices["hd"]) == (Decimal("0.00399"), Decimal("0.0033915"))


def test_an_own_policy_is_estimated_for_its_account() -> None:
    with pytest.raises(UsageError, match="did you mean 'trtc-intl'"):
        tariff_of_policy("trtc-int", NOW)
    with pytest.raises(UsageError, match="give --account"):
        tariff_of_policy("ours", NOW)
    with pytest.raises(UsageError, match="acme"):
        tariff_of_account(Catalog(), "acme", NOW)


@pytest.mark.parametrize(
    ("room", "says"),
    [
        ({"users": 0}, "users: 0"),
        ({"users": 2, "cameras": (HD, HD, HD)}, "3 cameras"),
        ({"users": 2, "cameras": ((0, 720),)}, "0x720"),
        ({"users": 2, "screen": (1280, 16_385)}, "1280x16385"),
        ({"anchors": 0, "audience": 5}, "anchors: 0"),
        ({"anchors": 1, "audience": -1}, "audience: -1"),
        ({"anchors": 1, "audience": 5, "cameras": (HD, HD)}, "anchors: 1"),
    ],
)
def test_a_room_that_cannot_be_is_refused(room: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        live_room(**room) if "anchors" in room else Room(**room)


@pytest.mark.parametrize(
    ("plan", "says"),
    [
        ({"rooms_per_day": 0, "minutes": 1, "days": 1}, "rooms a day: 0"),
        ({"rooms_per_day": 1, "minutes": 1_441, "days": 1}, "minutes: 1441 is not from 1 to 1440"),
        ({"rooms_per_day": 1, "minutes": 1, "days": 32}, "days: 32 is not from 1 to 31"),
    ],
)
def test_a_month_that_cannot_be_is_refused(plan: dict[str, int], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        estimated("trtc-cn", Room(users=2), **plan)


def test_a_policy_is_estimated_without_a_home_and_leaves_none(tmp_path: Path) -> None:
    program = Program(home=tmp_path / "home", now="2026-03-04T12:00:00Z")
    (row,) = program.rows(
        *shlex.split("estimate live --policy trtc-intl --rooms-per-day 2 --anchors 1 --audience 4 --minutes 30"),
        *shlex.split("--days 1 --camera 1280x720"),
    )
    assert row["items"] == [
        {"item": "audio", "minutes": 60, "package_minutes": 60, "unit_price": "0.00099", "amount": "0.0594"},
        {"item": "hd", "minutes": 240, "package_minutes": 960, "unit_price": "0.00399", "amount": "0.9576"},
    ]
    assert (row["free_minutes_used"], row["pay_as_you_go"], row["currency"]) == (1_020, "0", "USD")
    assert row["packages"][-1] == {
        "set": [{"minutes": 25_000, "count": 2}],
        "price": "48",
        "overage": "0",
        "total": "48",
        "cheapest": False,
    }
    assert row["packages"][0] == {
        "minutes": 25_000,
        "price": "24",
        "overage": "0",
        "total": "24",
        "cheapest": False,
    }
    assert list(tmp_path.iterdir()) == []


def test_a_long_set_is_shown_on_two_lines_of_80_columns() -> None:
    command = "estimate live --policy trtc-intl --rooms-per-day 2 --anchors 1 --audience 500 --minutes 90"
    lines = CliRunner().invoke(main, shlex.split(f"{command} --camera 1280x720")).stdout.splitlines()
    assert lines[-2] == "3 x 3,000,000 + 1 x 1,000,000  8,809      20.34894   8,829.34894  cheapest"
    assert lines[-1].strip() == "+ 3 x 250,000 + 1 x 25,000"
    assert max(map(len, lines)) <= 80


FEE = """
[[policy]]
id = "ours"
name = "Ours"

[[policy.version]]
valid_from = "2026-01-01"
price.USD = { audio = "1", hd = "4" }
fee.USD = { base = "49", minimum = "100" }

[[policy.version.meter]]
count = "user"
area = "sum"
items = [{ name = "audio" }, { name = "hd" }]
"""


@pytest.mark.parametrize("days", [10, 31])
def test_the_fees_of_a_month_are_in_its_estimate(days: int) -> None:
    """49 always, and what is missing to 100; they come with the month's last day, however many days have rooms."""
    catalog = parse_catalog(TOKYO.replace("trtc-intl", "ours").split("[[contract]]")[0] + FEE, "catalog.toml")
    month = estimate(Room(users=2), tariff_of_account(catalog, "acme", NOW), rooms_per_day=1, minutes=1_000, days=days)
    used = Decimal(2 * days)
    to_pay = used - Decimal("0.5")  # 500 free minutes
    missing = max(51 - to_pay, 0)
    fees = [("base_fee", 49), *([("minimum_fee", missing)] if missing else [])]
    assert [(each.item, each.amount) for each in month.items] == [("audio", used), *fees]
    assert month.pay_as_you_go == to_pay + 49 + missing


def test_a_second_screen_share_is_refused() -> None:
    command = "estimate call --policy trtc-cn --calls-per-day 1 --users 2 --minutes 1 --screen 640x480 --screen 640x480"
    result = CliRunner().invoke(main, shlex.split(command))
    assert (result.exit_code, result.stderr) == (2, "Error: a room has one screen share: give --screen once\n")


def test_an_estimate_does_not_load_what_it_does_not_need() -> None:
    """A price must be there before the customer has hung up."""
    heavy = "sqlalchemy deltalake openpyxl pyarrow pandas"
    script = f"import sys, billing.reports.estimate; print(sorted(sys.modules.keys() & set('{heavy}'.split())))"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize("with_package", [False, True])
def test_a_month_that_is_ingested_and_billed_costs_what_was_estimated(tmp_path: Path, *, with_package: bool) -> None:
    """Three days of two lessons of four: a teacher with camera and screen, a pupil with a camera, two who watch."""
    program = Program(home=tmp_path / "home", now="2026-03-04T06:00:00+09:00")
    catalog = tmp_path / "catalog.toml"
    catalog.write_text(TOKYO + (PACKAGE if with_package else ""), encoding="utf-8")
    events = tmp_path / "events.ndjson"
    rows = [
        row
        for day in days_between(parse_day("2026-03-01"), parse_day("2026-03-03"))
        for row in rooms_of_a_day(
            day_bounds(day, time_zone("Asia/Tokyo"))[0],
            app_id=1400000001,
            rooms=2,
            users=4,
            minutes=185,
            cameras=[HD, VGA],
            screen=FHD,
        )
    ]
    events.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    program.run("init")
    program.run("catalog", "apply", catalog)
    program.run("ingest", events)
    program.run("nightly")
    (month,) = program.rows(
        *shlex.split("estimate call --account acme --calls-per-day 2 --users 4 --minutes 185 --days 3"),
        *shlex.split("--camera 1280x720 --camera 640x480 --screen 1920x1080"),
    )
    charges = program.rows("charges", "acme", "--month", "2026-03")
    minutes = {
        item: sum(charge["minutes"] for charge in charges if charge["item"] == item)
        for item in {charge["item"] for charge in charges}
    }
    billed = sum(Decimal(charge["amount"]) for charge in charges)
    deducted = {row["id"]: row["deducted"] for row in program.rows("packages", "acme")}
    assert minutes == {each["item"]: each["minutes"] for each in month["items"]}
    assert deducted["free-2026-03"] == month["free_minutes_used"]
    if with_package:
        # It runs out: what is over is charged.
        assert 25_000 - deducted["pkg-1"] < 4
        assert billed == Decimal(month["packages"][0]["overage"]) > 0
    else:
        assert billed == Decimal(month["pay_as_you_go"])
