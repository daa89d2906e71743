"""Explanations on the command line, of homes in which everything was ingested and billed there."""

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from billing.periods import day_start, local_iso
from tests.commands import Commands
from tests.sample_home import APP, SAMPLE, rows
from tests.test_homes import HOMES, unpacked
from tests.test_usage import Acme

DAY = date(2026, 3, 10)
NEXT = DAY + timedelta(days=1)
CAMERA = {"stream": "a/camera", "width": 640, "height": 360}
SCREEN = {"stream": "a/screen", "width": 1920, "height": 1080}
FIELDS = (
    *("account", "month", "currency", "run", "app_id", "item", "day", "window", "room_id", "user_id", "at", "seconds"),
    *("amount", "lines", "charges", "windows", "rooms", "intervals"),
)


def explained(run: Commands, line: str) -> dict[str, Any]:
    """The one object that is printed, once its links are known to sum up."""
    (found,) = rows(run, f"explain {line}")
    assert tuple(found) == FIELDS
    if found["rooms"] is not None:
        assert sum(Decimal(each["share"]) for each in found["rooms"]) == Decimal(found["amount"])
    return found


def acme_explained(acme: Acme, line: str) -> dict[str, Any]:
    """The same of the account with two apps."""
    return explained(Commands(home=acme.home.directory, now="2027-01-01T00:00:00Z"), f"acme --app 1 {line}")


def failing(run: Commands, line: str, exit_code: int) -> str:
    done = run(f"explain {line}")
    assert (done.exit_code, done.stdout) == (exit_code, ""), done.output
    return done.stderr


def test_the_sample_class_is_explained_down_to_the_lines_of_its_file(billed: Commands) -> None:
    found = explained(
        billed, f"academy --month 2026-03 --app {APP} --day 2026-03-10 --item 2k --room math --user anna --at 10:07:30"
    )
    (stretch,) = found["intervals"]
    camera = {"stream": "teacher/camera", "width": 640, "height": 360}
    screen = {"stream": "teacher/screen", "width": 1920, "height": 1080}
    event = {"cause": "event", "user_id": "anna", "file": str(SAMPLE / "events.ndjson")}
    assert stretch == {
        "app_id": APP,
        "room_id": "math",
        "user_id": "anna",
        "start": "2026-03-10T10:07:00+09:00",
        "end": "2026-03-10T10:12:00+09:00",
        "seconds": 300,
        "item": "2k",
        "reason": "screen_share",
        "area": 2_304_000,
        "streams": [camera, screen],
        "begins": {
            **event,
            "event_id": "e-14",
            "type": "video_on",
            "at": "2026-03-10T10:07:00.000+09:00",
            "line": 15,
        },
        "ends": {**event, "event_id": "e-22", "type": "video_off", "at": "2026-03-10T10:12:00.000+09:00", "line": 23},
    }
    assert 1920 * 1080 < 640 * 360 + 1920 * 1080 == stretch["area"] <= 3_686_400
    lines = (SAMPLE / "events.ndjson").read_text().splitlines()
    for side in ("begins", "ends"):
        assert json.loads(lines[stretch[side]["line"] - 1])["event_id"] == stretch[side]["event_id"]
    assert found["at"] == "2026-03-10T10:07:30+09:00"
    assert (found["seconds"], found["day"], found["run"]) == (300, "2026-03-10", None)
    assert found["windows"] == [
        {
            "app_id": APP,
            "item": "2k",
            "start": "2026-03-10T10:05:00+09:00",
            "seconds": 490,
            "seconds_so_far": 490,
            "minutes_so_far": 9,
            "minutes": 9,
            "paid": [{"payer": "starter", "minutes": 1, "units": 16, "left": 6}],
            "payable_minutes": 8,
            "amount": "0.12792",
        }
    ]


def test_a_window_is_explained_by_its_seconds_only(billed: Commands) -> None:
    found = explained(billed, f"academy --app {APP} --window 2026-03-10T10:07:00+09:00 --item 2k --room math")
    assert (found["window"], found["seconds"], found["amount"]) == ("2026-03-10T10:05:00+09:00", 490, "0.12792")
    of_users: Counter[str] = Counter()
    for each in found["intervals"]:
        of_users[each["user_id"]] += each["seconds"]
    assert of_users == {"anna": 180, "chloe": 180, "dan": 80 + 50}
    assert {each["end"] for each in found["intervals"]} >= {"2026-03-10T10:12:00+09:00"}


@pytest.mark.parametrize(
    ("line", "reached"),
    [
        ("--month 2026-03", ()),
        ("--month 2026-03 --item hd", ()),
        (f"--month 2026-03 --app {APP}", ()),
        ("--day 2026-03-10", ()),
        (f"--app {APP} --day 2026-03-10", ("windows", "rooms")),
        (f"--app {APP} --day 2026-03-10 --window 10:05", ("windows", "rooms")),
        ("--day 2026-03-10 --room library", ("windows", "rooms", "intervals")),
        ("--day 2026-03-10 --user anna", ("windows", "rooms", "intervals")),
    ],
)
def test_a_link_is_null_where_the_question_is_too_wide(line: str, reached: tuple[str, ...], billed: Commands) -> None:
    found = explained(billed, f"academy {line}")
    assert tuple(link for link in ("windows", "rooms", "intervals") if found[link] is not None) == reached
    charges = rows(billed, "charges academy --month 2026-03")
    assert found["charges"] == [row for row in charges if found["item"] in (None, row["item"])]
    assert sum(Decimal(each["amount"]) for each in found["lines"]) == sum(
        Decimal(row["amount"]) for row in found["charges"]
    )
    for each in found["lines"]:
        assert Decimal(each["amount"]) == each["payable_minutes"] * Decimal(each["unit_price"])


def test_every_link_has_the_seconds_of_the_one_before_it(billed: Commands) -> None:
    day = explained(billed, f"academy --app {APP} --day 2026-03-10")
    assert day["seconds"] == sum(each["seconds"] for each in day["charges"]) == 4225
    for link in ("windows", "rooms"):
        assert sum(each["seconds"] for each in day[link]) == 4225
    assert sum(Decimal(each["amount"]) for each in day["windows"]) == Decimal(day["amount"]) == Decimal("0.22173")
    usage = rows(billed, f"usage {APP} --month 2026-03 --by user")
    of_users = Counter(
        {(each["room_id"], each["user_id"], each["item"], each["reason"]): each["seconds"] for each in usage}
    )
    found: Counter[tuple[str, ...]] = Counter()
    for room in ("math", "library"):
        for each in explained(billed, f"academy --day 2026-03-10 --room {room}")["intervals"]:
            found[each["room_id"], each["user_id"], each["item"], each["reason"]] += each["seconds"]
    assert found == of_users


def test_grace_that_is_over_names_the_event_that_began_it(billed: Commands) -> None:
    found = explained(billed, "academy --day 2026-03-10 --room math --user chloe")
    last = found["intervals"][-1]
    assert (last["reason"], last["seconds"], last["ends"]["cause"]) == ("disconnect_grace", 90, "grace_over")
    assert last["begins"]["event_id"] == last["ends"]["event_id"] == "e-21"
    assert (last["ends"]["type"], last["ends"]["line"]) == ("disconnect", 22)


def test_as_csv_it_is_the_narrowest_link(billed: Commands) -> None:
    def printed(line: str) -> list[dict[str, str]]:
        return list(csv.DictReader(io.StringIO(billed(f"explain academy {line} --format csv").stdout)))

    charges = billed("charges academy --month 2026-03 --format csv").stdout
    assert billed("explain academy --month 2026-03 --format csv").stdout == charges
    assert sum(int(row["seconds"]) for row in printed(f"--app {APP} --day 2026-03-10")) == 4225
    (row,) = printed("--day 2026-03-10 --user anna --at 10:07:30")
    assert (row["start"], json.loads(row["begins"])["line"]) == ("2026-03-10T10:07:00+09:00", 15)


def test_a_screen_shows_each_link_with_its_sum(billed: Commands) -> None:
    shown = billed(f"explain academy --app {APP} --day 2026-03-10 --window 10:05 --item 2k --user anna").stdout
    assert max(map(len, shown.splitlines()[2:])) <= 80
    for part in (
        "180 seconds; the share of these rooms is 0.12792 USD",
        "10:05  2k        490      490        9        9     1        8  0.12792",
        "10:05  2k    starter        1     16     6",
        "math     2k    screen_share      490  0.12792",
        "anna     10:07:00  10:12:00      180  2k    screen_share  2,304,000",
        "2026-03-10T10:12:00.000+09:00  event  e-22      video_off  anna       23",
    ):
        assert part in shown, part
    nothing = billed("explain academy --month 2026-02")
    assert (nothing.exit_code, nothing.stderr) == (0, "nothing is charged for this\n")


@pytest.mark.parametrize(
    ("line", "exit_code", "says"),
    [
        ("academy", 2, "give --month, --day, --window or --at"),
        ("academi --month 2026-03", 2, "academy"),
        ("academy --month 2026-03 --app 7", 2, "unknown app '7'"),
        ("academy --month 2026-03 --room math", 2, "give --day, --window or --at as well"),
        ("academy --month 2026-02 --day 2026-03-10", 2, "2026-03-10 is not a day of 2026-02"),
        ("academy --day 2026-03-10 --room maths", 2, "did you mean 'math'?"),
        ("academy --day 2026-03-10 --room library --user anna", 2, "unknown user 'anna'; known here: emil"),
        ("academy --day 2026-03-10 --user nobody", 2, "unknown user 'nobody'"),
        (f"academy --day 2026-03-09 --app {APP}", 2, "2026-03-09 was not billed"),
        (f"academy --day 2026-03-11 --app {APP}", 2, "academy' is billed up to 2026-03-10"),
        (f"academy --day 2026-03-10 --app {APP} --run 9", 2, "there is no run 9"),
        ("academy --window 10:05 --month 2026-03", 2, "needs --day"),
        ("academy --day 2026-03-10 --window 2026-03-12T10:05:00+09:00", 2, "is not on 2026-03-10"),
        ("academy --day 2026-03-10 --window 10:05 --at 10:10", 2, "is not in the window of 10:05"),
        ("academy --day 2026-03-10 --at 25:00", 2, "25:00"),
    ],
)
def test_a_question_that_cannot_be_meant_is_refused(line: str, exit_code: int, says: str, billed: Commands) -> None:
    error = failing(billed, line, exit_code)
    assert says in error
    assert len(error.strip().splitlines()) <= 3


@pytest.fixture
def acme(tmp_path: Path) -> Acme:
    return Acme(tmp_path)


def test_a_stay_over_midnight_begins_with_the_day(acme: Acme) -> None:
    acme.ingest(
        (86_300, "r", "a", "enter", {}),
        (86_300, "r", "b", "enter", {}),
        (86_300, "r", "b", "video_on", CAMERA),
        (86_420, "r", "b", "exit", {}),
        (86_500, "r", "a", "exit", {}),
        day=DAY,
    )
    acme.bill(NEXT)
    before, after = (acme_explained(acme, f"--day {day} --room r --user b")["intervals"] for day in (DAY, NEXT))
    ends, begins, left = before[0]["ends"], after[0]["begins"], after[0]["ends"]
    midnight = "2026-03-11T00:00:00.000+09:00"
    nothing = {"event_id": None, "type": None, "user_id": None, "file": None, "line": None}
    assert ends == {"cause": "day_end", "at": midnight, **nothing}
    assert begins == {"cause": "day_start", "at": midnight, **nothing}
    assert (left["type"], left["line"]) == ("exit", 4)
    assert [each["seconds"] for each in (*before, *after)] == [100, 20]


def test_silence_and_grace_of_the_day_before_name_their_events(acme: Acme) -> None:
    acme.ingest(
        (100, "r", "quiet", "enter", {}),
        (86_390, "r", "cut", "enter", {}),
        (86_395, "r", "cut", "disconnect", {}),
        day=DAY,
    )
    acme.bill(NEXT)
    found = acme_explained(acme, f"--day {NEXT} --room r")["intervals"]
    ends = {each["user_id"]: each["ends"] for each in found}
    assert (ends["quiet"]["cause"], ends["quiet"]["type"], ends["quiet"]["line"]) == ("silent_24h", "enter", 1)
    assert (ends["cut"]["cause"], ends["cut"]["type"], ends["cut"]["line"]) == ("grace_over", "disconnect", 3)
    assert [each["end"] for each in found if each["user_id"] == "quiet"][-1] == "2026-03-11T00:01:40+09:00"


def test_each_stream_is_a_row_under_a_policy_that_bills_streams(acme: Acme) -> None:
    catalog = acme.directory / "catalog.toml"
    catalog.write_text(catalog.read_text().replace("trtc-intl", "trtc-cn").replace('"USD"', '"CNY"'))
    acme.run(f"catalog apply {catalog}")
    acme.ingest(
        (0, "r", "a", "enter", {}),
        (0, "r", "b", "enter", {}),
        (0, "r", "b", "video_on", CAMERA),
        (30, "r", "b", "video_on", SCREEN),
        (90, "r", "b", "exit", {}),
        (90, "r", "a", "exit", {}),
        day=DAY,
    )
    acme.bill(DAY)
    found = acme_explained(acme, f"--day {DAY} --room r --user b")
    assert [(each["item"], each["reason"], each["seconds"], each["streams"]) for each in found["intervals"]] == [
        ("sd", "camera", 90, [CAMERA]),
        ("fhd", "screen_share", 60, [SCREEN]),
    ]
    assert found["seconds"] == 150


def test_who_is_subscribed_to_a_room_receives_what_is_published(acme: Acme) -> None:
    acme.ingest(
        (0, "r", "a", "enter", {"receives": "all"}),
        (0, "r", "b", "enter", {"receives": "all"}),
        (10, "r", "a", "publish", CAMERA),
        (40, "r", "a", "publish", SCREEN),
        (70, "r", "b", "video_off", {"stream": "a/screen"}),
        (100, "r", "a", "exit", {}),
        (120, "r", "b", "exit", {}),
        day=DAY,
    )
    acme.bill(DAY)
    found = acme_explained(acme, f"--day {DAY} --room r --user b")["intervals"]
    assert [
        (each["seconds"], each["streams"], each["begins"]["user_id"], each["begins"]["line"]) for each in found
    ] == [
        (10, [], "b", 2),
        (30, [CAMERA], "a", 3),
        (30, [CAMERA, SCREEN], "a", 4),
        (30, [CAMERA], "b", 5),
        (20, [], "a", 6),
    ]
    assert found[-1]["reason"] == "alone_in_room"


def test_a_corrected_day_is_explained_as_the_last_run_read_it_and_as_an_earlier_one_did(acme: Acme) -> None:
    acme.ingest((0, "r", "a", "enter", {}), (60, "r", "a", "exit", {}), day=DAY)
    acme.bill(DAY)
    acme.ingest((120, "r", "late", "enter", {}), (300, "r", "late", "exit", {}), day=DAY)
    acme.bill(NEXT)
    now = acme_explained(acme, f"--day {DAY} --room r")
    first = acme_explained(acme, f"--day {DAY} --room r --run 1")
    assert [each["user_id"] for each in now["intervals"]] == ["a", "late"]
    assert [each["user_id"] for each in first["intervals"]] == ["a"]
    assert (now["seconds"], first["seconds"]) == (240, 60)
    assert [row["kind"] for row in now["charges"]] == ["usage", "correction"]
    assert Decimal(now["amount"]) == sum(Decimal(row["amount"]) for row in now["charges"])
    (window,) = now["windows"]
    assert (window["minutes"], window["seconds"]) == (4, 240)
    posted = acme_explained(acme, "--month 2026-03")["charges"]
    assert [row for row in posted if row["day"] == "2026-03-10"] == now["charges"]


def test_what_the_terms_were_stands_on_each_line(acme: Acme) -> None:
    catalog = acme.directory / "catalog.toml"
    contract = '[[contract]]\naccount = "acme"\nvalid_from = 2026-03-11\ndiscount = "0.5"\n'
    catalog.write_text(catalog.read_text() + contract)
    acme.run(f"catalog apply {catalog}")
    for day in (DAY, NEXT):
        acme.ingest((0, "r", "a", "enter", {}), (60, "r", "a", "exit", {}), day=day)
        acme.bill(day)
    lines = acme_explained(acme, "--month 2026-03")["lines"]
    assert [(each["contract"], each["list_price"], each["unit_price"]) for each in lines] == [
        (None, "0.00099", "0.00099"),
        ("2026-03-11", "0.00099", "0.000495"),
    ]
    assert {(each["policy"], each["policy_version"]) for each in lines} == {("trtc-intl", "2023-01-12")}


def test_without_the_kept_seconds_of_rooms_or_with_wrong_ones_the_answer_is_the_same(billed: Commands) -> None:
    question = f"academy --app {APP} --day 2026-03-10"
    first = explained(billed, question)
    (kept,) = (billed.home / "room_seconds").rglob("*.parquet")
    whole = kept.read_bytes()
    pl.read_parquet(kept).with_columns(pl.col("seconds") + 1).write_parquet(kept)
    assert explained(billed, question) == first
    kept.write_bytes(b"no parquet")
    assert explained(billed, question) == first
    kept.unlink()
    assert explained(billed, question) == first
    assert pl.read_parquet(kept).equals(pl.read_parquet(io.BytesIO(whole)))


def test_a_log_that_is_not_what_was_billed_fails_and_says_so(billed: Commands) -> None:
    """The ledger stays, and the log of another home takes the place of its own."""
    import sqlite3

    connection = sqlite3.connect(billed.home / "billing.db")
    for (name,) in connection.execute("select name from sqlite_master where type = 'trigger'").fetchall():
        connection.execute(f"drop trigger {name}")
    connection.execute("update usage set seconds = seconds + 1 where item = '2k' and seconds = 490")
    connection.commit()
    connection.close()
    error = failing(billed, "academy --day 2026-03-10 --room math", 1)
    assert "are not those that run 1 billed" in error
    assert "restore both from one backup" in error


@pytest.mark.parametrize("kept", HOMES, ids=lambda home: home.name)
def test_the_rooms_of_a_home_of_an_earlier_version_are_explained(kept: Path, tmp_path: Path) -> None:
    run = unpacked(tmp_path, kept)
    assert run("init").exit_code == 0
    found = list(_of_each_room(run))
    assert len(found) > 3
    for answer, of_users in found:
        seconds: Counter[tuple[str, ...]] = Counter()
        for each in answer["intervals"]:
            seconds[each["user_id"], each["item"], each["reason"]] += each["seconds"]
        assert seconds == of_users


def _of_each_room(run: Commands) -> Iterator[tuple[dict[str, Any], Counter[tuple[str, ...]]]]:
    """Each room and day of the apps of a home explained, with its users' seconds."""
    for account in rows(run, "account list"):
        for app in account["apps"]:
            usage = rows(run, f"usage {app} --from 2026-03-28 --to 2026-04-01 --by user")
            rooms: dict[tuple[str, str], Counter[tuple[str, ...]]] = {}
            for row in usage:
                of_room = rooms.setdefault((row["day"], row["room_id"]), Counter())
                of_room[row["user_id"], row["item"], row["reason"]] += row["seconds"]
            for (day, room), seconds in rooms.items():
                # (Of some rooms all is taken back.)
                if any(seconds.values()):
                    line = f"{account['id']} --app {app} --day {day} --room {room}"
                    yield explained(run, line), Counter({key: count for key, count in seconds.items() if count})


def test_an_hour_that_clocks_skip_is_refused_and_one_that_they_repeat_needs_its_offset(tmp_path: Path) -> None:
    berlin = Acme(tmp_path, zone="Europe/Berlin")
    day = date(2026, 10, 25)
    start = day_start(day, berlin.zone)
    berlin.ingest((9000, "r", "a", "enter", {}), (16_200, "r", "a", "exit", {}), day=day)
    berlin.bill(day)
    first, second = (local_iso(start + seconds, berlin.zone) for seconds in (9300, 12_900))
    assert (first[11:], second[11:]) == ("02:35:00+02:00", "02:35:00+01:00")
    for instant in (first, second):
        found = acme_explained(berlin, f"--window {instant} --room r")
        assert (found["window"], found["seconds"]) == (instant, 300)
    run = Commands(home=berlin.home.directory, now="2027-01-01T00:00:00Z")
    assert "there was no 02:30" in failing(run, "acme --app 1 --day 2026-03-29 --window 02:30", 2)


def test_an_app_without_usage_on_a_billed_day_has_empty_links(acme: Acme) -> None:
    acme.ingest((0, "r", "a", "enter", {}), (60, "r", "a", "exit", {}), day=DAY)
    acme.bill(DAY)
    found = explained(Commands(home=acme.home.directory, now="2027-01-01T00:00:00Z"), f"acme --app 2 --day {DAY}")
    links = ("lines", "charges", "windows", "rooms")
    assert {name: found[name] for name in links} == {name: [] for name in links}
    assert (found["seconds"], found["amount"], found["intervals"]) == (0, "0", None)


def test_a_room_that_was_taken_back_is_explained_as_it_was_billed(acme: Acme) -> None:
    run = Commands(home=acme.home.directory, now="2027-01-01T00:00:00Z")
    acme.ingest((0, "r", "a", "enter", {}), (60, "r", "a", "exit", {}), day=DAY)
    acme.bill(DAY)
    assert run("retract --app 1 --ingest 1 --reason 'a test server'").exit_code == 0
    acme.bill(NEXT)
    assert "unknown room 'r'" in failing(run, f"acme --app 1 --day {DAY} --room r", 2)
    assert acme_explained(acme, f"--day {DAY} --room r --run 1")["seconds"] == 60
    now = acme_explained(acme, f"--day {DAY}")
    assert (now["seconds"], Decimal(now["amount"]), now["rooms"], now["windows"]) == (0, 0, [], [])
    assert [row["seconds"] for row in now["charges"]] == [60, -60]
