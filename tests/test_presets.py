"""Presets of other vendors, end to end: events, nightly, charges, with the figures that they publish."""

import json
from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.commands import Commands

pytestmark = pytest.mark.thorough

APPS = (1400000001, 1400000002)


class Vendor:
    """A home with one account under a policy, and what happens in its apps."""

    def __init__(self, folder: Path, policy: str, *, currency: str = "USD", free_minutes: int | None = 0) -> None:
        self.folder = folder
        self.billing = Commands(home=folder / "home", now="2026-04-01T00:00:00Z")
        self.ingested = 0
        free = "" if free_minutes is None else f"free_minutes = {free_minutes}"
        account = f'id = "a"\nname = "A"\ncurrency = "{currency}"\ntimezone = "UTC"\npolicy = "{policy}"\n{free}'
        apps = "".join(f'[[app]]\nid = {app}\naccount = "a"\nname = "App {app}"\n' for app in APPS)
        self.run("init")
        self.write("catalog.toml", f"[[account]]\n{account}\n{apps}")
        self.run(f"catalog apply {folder / 'catalog.toml'}")

    def run(self, line: str) -> str:
        done = self.billing(line)
        assert done.exit_code == 0, done.output
        return done.stdout

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path

    def ingest(self, events: Iterable[dict[str, Any]]) -> None:
        self.ingested += 1
        path = self.write(f"events-{self.ingested}.ndjson", "".join(json.dumps(event) + "\n" for event in events))
        self.run(f"ingest {path}")

    def charges(self, *, nightly: bool = True) -> list[dict[str, Any]]:
        if nightly:
            self.run("nightly")
        rows: list[dict[str, Any]] = json.loads(self.run("charges a --month 2026-03 --format json"))
        return rows

    def what_if(self, policy: str) -> dict[str, Any]:
        (answer,) = json.loads(self.run(f"what-if a --month 2026-03 --policy {policy} --format json"))
        found: dict[str, Any] = answer
        return found


def amount(rows: Iterable[dict[str, Any]]) -> Decimal:
    return sum((Decimal(row["amount"]) for row in rows), Decimal(0))


def minutes(rows: Iterable[dict[str, Any]]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for row in rows:
        sums[row["item"]] = sums.get(row["item"], 0) + row["minutes"]
    return sums


def at(day: int, second: int) -> str:
    return f"2026-03-{day:02}T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}Z"


def stay(
    user: str,
    seconds: int,
    *,
    day: int = 2,
    start: int = 0,
    room: str = "r",
    app: int = APPS[0],
    receives: Iterable[tuple[str, int, int]] = (),
) -> Iterator[dict[str, Any]]:
    """A user's stay, with the streams received during all of it."""
    who = {"app_id": app, "room_id": room, "user_id": user}
    yield {**who, "type": "enter", "at": at(day, start)}
    for stream, width, height in receives:
        size = {"stream": stream, "width": width, "height": height}
        yield {**who, "type": "video_on", **size, "at": at(day, start)}
    yield {**who, "type": "exit", "at": at(day, start + seconds)}


def hours_of_audio(minutes_in_all: int, *, day: int, app: int = APPS[0]) -> Iterator[dict[str, Any]]:
    """So many minutes of audio on a day, by users of up to 1,000 minutes each."""
    number = 0
    while minutes_in_all > 0:
        taken = min(minutes_in_all, 1000)
        yield from stay(f"{day}-{number}", taken * 60, day=day, room=f"{day}-{app}", app=app)
        minutes_in_all -= taken
        number += 1


def test_agora_bills_an_hour_of_three_cameras_and_a_share(tmp_path: Path) -> None:
    """V1: five hosts, of whom three send 960x720 and one of these shares 1920x1080: 6.777 USD."""
    vendor = Vendor(tmp_path, "agora-2025")
    camera = (960, 720)
    streams = {"a": ("a/camera", *camera), "b": ("b/camera", *camera), "c": ("c/camera", *camera)}
    share = ("a/screen", 1920, 1080)
    for user in ("a", "b", "c", "v", "w"):
        received = [stream for sender, stream in streams.items() if sender != user]
        if user != "a":
            received.append(share)
        vendor.ingest(stay(user, 3600, receives=received))
    rows = vendor.charges()
    assert all(row["app_id"] is None for row in rows)
    found = {row["item"]: Decimal(row["amount"]) for row in rows}
    assert found == {"fhd": Decimal("0.5394"), "2k": Decimal("1.9188"), "4k": Decimal("4.3188")}
    assert amount(rows) == Decimal("6.777")


def test_agora_gives_a_discount_by_slab_over_the_month(tmp_path: Path) -> None:
    """V6: 600,000 minutes of audio in two apps: 99,999 + 400,000 + 100,001; the 100,000th is the first at -5 %."""
    vendor = Vendor(tmp_path, "agora-2025")
    vendor.ingest(hours_of_audio(99_999, day=2))
    vendor.ingest(hours_of_audio(300_001, day=3, app=APPS[1]))
    vendor.ingest(hours_of_audio(200_000, day=3))
    rows = vendor.charges()
    assert amount(rows) == Decimal("567.2699307")
    assert [(row["day"], row["payable_minutes"], row["unit_price"]) for row in rows] == [
        ("2026-03-02", 99_999, "0.00099"),
        ("2026-03-03", 400_000, "0.0009405"),
        ("2026-03-03", 100_001, "0.0009207"),
    ]


def test_agora_rounds_seconds_once_a_month_over_all_apps(tmp_path: Path) -> None:
    """30 s in one app and 20 s in the other on three days are 150 s: 3 minutes."""
    vendor = Vendor(tmp_path, "agora-2025")
    for day in (2, 5, 31):
        vendor.ingest(stay("u", 30, day=day))
        vendor.ingest(stay("u", 20, day=day, start=1000, app=APPS[1]))
    rows = vendor.charges()
    assert [(row["day"], row["app_id"], row["seconds"], row["minutes"]) for row in rows] == [
        ("2026-03-02", None, 50, 1),
        ("2026-03-05", None, 50, 1),
        ("2026-03-31", None, 50, 1),
    ]


def test_agora_takes_free_minutes_in_the_order_of_items_whatever_the_day(tmp_path: Path) -> None:
    """9,000 HD minutes are free until 4,000 audio minutes of a later day take the place of 3,000."""
    vendor = Vendor(tmp_path, "agora-2025", free_minutes=None)
    for number in range(9):
        vendor.ingest(stay(f"u{number}", 60_000, day=2, receives=[("x/camera", 1280, 720)]))
    vendor.ingest(hours_of_audio(4_000, day=3))
    rows = vendor.charges()
    assert [
        (row["day"], row["item"], row["minutes"], row["deducted_minutes"], row["payable_minutes"]) for row in rows
    ] == [
        ("2026-03-02", "hd", 9_000, 9_000, 0),
        ("2026-03-03", "audio", 4_000, 4_000, 0),
        ("2026-03-03", "hd", 0, -3_000, 3_000),
    ]
    assert amount(rows) == 3 * Decimal("3.99")
    (free,) = json.loads(vendor.run("packages a --format json"))
    assert (free["id"], free["granted"], free["deducted"]) == ("free-2026-03", 10_000, 10_000)


def test_late_events_correct_all_later_days_of_the_month(tmp_path: Path) -> None:
    """20 s late on the first day move the minute that 40 s of the second day had begun."""
    vendor = Vendor(tmp_path, "agora-2025")
    vendor.ingest(stay("u", 50, day=2))
    vendor.ingest(stay("u", 40, day=3))
    before = vendor.charges()
    assert minutes(before) == {"audio": 2}
    vendor.ingest(stay("late", 20, day=2, room="s"))
    rows = vendor.charges()
    assert [(row["day"], row["kind"], row["seconds"], row["minutes"]) for row in rows] == [
        ("2026-03-02", "usage", 50, 1),
        ("2026-03-02", "correction", 20, 1),
        ("2026-03-03", "usage", 40, 1),
        ("2026-03-03", "correction", 0, -1),
    ]
    assert minutes(rows) == {"audio": 2}


def test_alibaba_bills_three_users_of_audio(tmp_path: Path) -> None:
    """V3: 3 x 1,790 s are 5,370 s: 90 minutes, 0.54 CNY."""
    vendor = Vendor(tmp_path, "alibaba-artc", currency="CNY")
    for user in ("a", "b", "c"):
        vendor.ingest(stay(user, 1790))
    (row,) = vendor.charges()
    assert (row["app_id"], row["minutes"], Decimal(row["amount"])) == (APPS[0], 90, Decimal("0.54"))


def test_byteplus_gives_free_minutes_to_each_app(tmp_path: Path) -> None:
    """11,000 minutes in one app and 6,000 in the other: 10,000 and 6,000 are free."""
    vendor = Vendor(tmp_path, "byteplus", free_minutes=None)
    vendor.ingest(hours_of_audio(11_000, day=2))
    vendor.ingest(hours_of_audio(6_000, day=2, app=APPS[1]))
    rows = vendor.charges()
    assert [(row["app_id"], row["deducted_minutes"], row["payable_minutes"]) for row in rows] == [
        (APPS[0], 10_000, 1_000),
        (APPS[1], 6_000, 0),
    ]
    assert amount(rows) == Decimal("0.99")
    free = json.loads(vendor.run("packages a --format json"))
    assert [(row["app_id"], row["deducted"], row["lapsed"], row["remaining"]) for row in free] == [
        (APPS[0], 10_000, 0, 0),
        (APPS[1], 6_000, 4_000, 0),
    ]


def test_byteplus_bills_each_stream_in_its_tier(tmp_path: Path) -> None:
    vendor = Vendor(tmp_path, "byteplus")
    vendor.ingest(stay("a", 1800, receives=[("b/camera", 640, 360)]))
    vendor.ingest(stay("b", 1800, receives=[("a/camera", 640, 360)]))
    (row,) = vendor.charges()
    assert (row["item"], row["minutes"], Decimal(row["amount"])) == ("sd", 60, Decimal("0.1194"))


def test_vonage_bills_participant_minutes_and_nothing_while_nobody_publishes(tmp_path: Path) -> None:
    """The 100,001st minute is the first at -5 %."""
    vendor = Vendor(tmp_path, "vonage")
    seen = [("x/camera", 640, 360)]
    for number in range(101):
        received = stay(f"u{number}", 60_000 if number < 100 else 60, receives=seen)
        vendor.ingest(received)
    vendor.ingest(hours_of_audio(2_000, day=3))
    rows = vendor.charges()
    assert minutes(rows) == {"participant": 100_001}
    assert [(row["payable_minutes"], row["unit_price"]) for row in rows] == [(100_000, "0.0041"), (1, "0.003895")]
    assert amount(rows) == Decimal("410.003895")


def test_livekit_rounds_each_stay_up_before_summing(tmp_path: Path) -> None:
    """10 s and 70 s are 1 + 2 minutes; 00:04:10 to 00:06:11 is 121 s: 3."""
    vendor = Vendor(tmp_path, "livekit-cloud")
    vendor.ingest([*stay("a", 10), *stay("b", 70), *stay("a", 121, start=250)])
    (row,) = vendor.charges()
    assert (row["item"], row["minutes"], Decimal(row["amount"])) == ("connection", 6, Decimal("0.003"))
    usage = json.loads(vendor.run(f"usage {APPS[0]} --from 2026-03-02 --to 2026-03-02 --by window --format json"))
    assert [row["seconds"] for row in usage] == [4 * 60, 2 * 60]
    by_user = json.loads(vendor.run(f"usage {APPS[0]} --from 2026-03-02 --to 2026-03-02 --by user --format json"))
    assert {row["user_id"]: row["seconds"] for row in by_user} == {"a": 240, "b": 120}


def test_livekit_rounds_a_stay_over_midnight_once(tmp_path: Path) -> None:
    """90 s from 23:59:30 on: 30 s before midnight are a minute, and the second one begins 30 s after it."""
    vendor = Vendor(tmp_path, "livekit-cloud")
    who = {"app_id": APPS[0], "room_id": "r", "user_id": "u"}
    vendor.ingest([{**who, "type": "enter", "at": at(2, 86_370)}, {**who, "type": "exit", "at": at(3, 60)}])
    rows = vendor.charges()
    assert [(row["day"], row["minutes"]) for row in rows] == [("2026-03-02", 1), ("2026-03-03", 1)]


def test_livekit_rounds_connections_where_they_have_names(tmp_path: Path) -> None:
    """A phone of 30 s and a laptop of 70 s beside it are 1 + 2 minutes; an exit without a name ends all that are left.

    The laptop of the second user goes on over midnight: 23:59:30 to 00:00:40 are 70 s, 2 minutes, of which the second
    begins on the next day.
    """
    vendor = Vendor(tmp_path, "livekit-cloud")
    a, b = ({"app_id": APPS[0], "room_id": "r", "user_id": user} for user in "ab")
    vendor.ingest(
        [
            {**a, "connection": "phone", "type": "enter", "at": at(2, 0)},
            {**a, "connection": "laptop", "type": "enter", "at": at(2, 10)},
            {**a, "connection": "phone", "type": "exit", "at": at(2, 30)},
            {**a, "type": "exit", "at": at(2, 80)},
            {**b, "connection": "phone", "type": "enter", "at": at(2, 86_350)},
            {**b, "connection": "laptop", "type": "enter", "at": at(2, 86_370)},
            {**b, "connection": "phone", "type": "exit", "at": at(2, 86_380)},
            {**b, "connection": "laptop", "type": "exit", "at": at(3, 40)},
        ]
    )
    rows = vendor.charges()
    assert [(row["day"], row["minutes"]) for row in rows] == [("2026-03-02", 1 + 2 + 1 + 1), ("2026-03-03", 1)]
    by_user = json.loads(vendor.run(f"usage {APPS[0]} --from 2026-03-02 --to 2026-03-03 --by user --format json"))
    assert {(row["day"], row["user_id"]): row["seconds"] for row in by_user} == {
        ("2026-03-02", "a"): 180,
        ("2026-03-02", "b"): 120,
        ("2026-03-03", "b"): 60,
    }


@pytest.mark.parametrize("policy", ["agora-2025", "alibaba-artc", "byteplus", "vonage", "livekit-cloud"])
def test_what_if_gives_what_the_policy_would_have_billed(tmp_path: Path, policy: str) -> None:
    """The same events under TRTC and asked what another costs, and billed by it."""
    events = [
        list(stay("a", 3601, receives=[("b/camera", 1280, 720)])),
        list(stay("b", 3599, receives=[("a/camera", 640, 360)])),
        list(stay("c", 40_000, day=4, app=APPS[1])),
        list(hours_of_audio(12_000, day=9)),
    ]
    trtc, other = (tmp_path / name for name in ("trtc", "other"))
    trtc.mkdir()
    other.mkdir()
    currency = "CNY" if policy == "alibaba-artc" else "USD"
    asked = Vendor(trtc, "trtc-intl")
    billed = Vendor(other, policy, currency=currency)
    for each in events:
        asked.ingest(each)
        billed.ingest(each)
    asked.charges()
    rows, answer = billed.charges(), asked.what_if(policy)
    billed.run("verify a")  # exit 0: nothing that does not agree
    assert (answer["currency"], Decimal(answer["amount"])) == (currency, amount(rows))
    keys = ("day", "app_id", "item", "seconds", "minutes", "payable_minutes", "unit_price", "amount")
    assert [[row[key] for key in keys] for row in answer["charges"]] == [[row[key] for key in keys] for row in rows]


def test_livekit_counts_a_connection_that_opens_after_an_exit_without_a_name(tmp_path: Path) -> None:
    """What the exit says of all connections it does not say of one that opens later: 70 s are 2 minutes. A connection
    that was closed stays closed, also after midnight."""
    vendor = Vendor(tmp_path, "livekit-cloud")
    who = {"app_id": APPS[0], "room_id": "r", "user_id": "u"}
    vendor.ingest(
        [
            {**who, "connection": "one", "type": "enter", "at": at(2, 86_000)},
            {**who, "type": "exit", "at": at(2, 86_030)},
            {**who, "connection": "two", "type": "enter", "at": at(2, 86_100)},
            {**who, "connection": "two", "type": "exit", "at": at(2, 86_170)},
            {**who, "connection": "two", "type": "enter", "at": at(3, 60)},
            {**who, "connection": "two", "type": "exit", "at": at(3, 660)},
        ]
    )
    assert [(row["day"], row["minutes"]) for row in vendor.charges()] == [("2026-03-02", 1 + 2)]
    vendor.run("verify a --full")  # exit 0: both engines say so
