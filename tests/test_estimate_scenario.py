"""Scenarios: a file of one kind is the command of that kind, one of several is one bill, and mistakes are named."""

import json
import shlex
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from billing.cli.main import main
from billing.errors import BillingError
from billing.periods import day_bounds, days_between, parse_day, time_zone
from billing.reports.estimate_report import scenario_tariff
from billing.reports.estimate_scenario import MOST_KINDS, parse_scenario
from tests.commands import ROOT, Commands
from tests.estimate_facts import rooms_of_a_day
from tests.scenario import Program

CALLS = """
[[room]]
kind = "call"
calls_per_day = 20
users = 3
minutes = 45
camera = ["1280x720", "640x360"]
screen = "1920x1080"
"""
EVENING = """
[[room]]
kind = "live"
rooms_per_day = 2
anchors = 1
audience = 40
minutes = 90
camera = ["1280x720"]
"""


def estimated(text: str, run: Commands | None = None) -> dict[str, Any]:
    """What the command prints of a scenario on standard input."""
    env = {"BILLING_HOME": str(run.home), "BILLING_NOW": run.now} if run else {}
    result = CliRunner(env=env).invoke(main, ["estimate", "scenario", "-", "--format", "json"], input=text)
    assert result.exit_code == 0, result.output
    (row,) = json.loads(result.stdout)
    return dict(row)


def minutes_of(row: dict[str, Any]) -> dict[str, int]:
    return {each["item"]: each["minutes"] for each in row["items"]}


@pytest.mark.parametrize(
    ("tariff", "room", "days", "line"),
    [
        (
            'policy = "trtc-intl"', CALLS, "",
            "call --policy trtc-intl --calls-per-day 20 --users 3 --minutes 45 --camera 1280x720 --camera 640x360"
            " --screen 1920x1080",
        ),
        (
            'policy = "agora-2025"', EVENING, "days = 31",
            "live --policy agora-2025 --rooms-per-day 2 --anchors 1 --audience 40 --minutes 90 --camera 1280x720"
            " --days 31",
        ),
        (
            'account = "academy"', EVENING, "days = 4",
            "live --account academy --rooms-per-day 2 --anchors 1 --audience 40 --minutes 90 --camera 1280x720"
            " --days 4",
        ),
    ],
)  # fmt: skip
def test_a_scenario_of_one_kind_is_the_estimate_of_that_kind(
    tariff: str, room: str, days: str, line: str, billed: Commands
) -> None:
    """Its days are those of the file, or its own."""
    (row,) = json.loads(billed(f"estimate {line} --format json").stdout)
    assert estimated(f"{tariff}\n{days}\n{room}", billed) == row
    assert estimated(f"{tariff}\n{room}{days}\n", billed) == row


def test_several_kinds_are_one_bill() -> None:
    """20 calls of 45 minutes on 22 days and two evenings on four: the free minutes are there once, and the cheapest set
    of packages pays for both."""
    calls = estimated(f'policy = "trtc-intl"\ndays = 22\n{CALLS}')
    evenings = estimated(f'policy = "trtc-intl"\ndays = 4\n{EVENING}')
    both = estimated(f'policy = "trtc-intl"\ndays = 22\n{CALLS}{EVENING}days = 4\n')
    assert minutes_of(calls) == {"hd": 19_800, "2k": 39_600}
    assert minutes_of(evenings) == {"audio": 720, "hd": 28_800}
    assert minutes_of(both) == {"audio": 720, "hd": 48_600, "2k": 39_600}
    assert calls["free_minutes_used"] == evenings["free_minutes_used"] == both["free_minutes_used"] == 10_000
    paid = Decimal(calls["pay_as_you_go"]) + Decimal(evenings["pay_as_you_go"])
    assert Decimal(both["pay_as_you_go"]) > paid
    assert estimated(f'policy = "trtc-intl"\ndays = 22\n{EVENING}days = 4\n{CALLS}') == both


def test_free_minutes_of_the_file_take_the_place_of_those_of_the_policy() -> None:
    rooms = f'policy = "trtc-intl"\ndays = 1\n{EVENING}'
    assert estimated(rooms)["free_minutes_used"] == 10_000
    assert estimated(f"free_minutes = 180\n{rooms}")["free_minutes_used"] == 180
    without = estimated(f"free_minutes = 0\n{rooms}")
    assert (without["free_minutes_used"], without["pay_as_you_go"]) == (0, "28.9062")


def test_a_month_of_several_kinds_that_is_ingested_and_billed_costs_what_was_estimated(tmp_path: Path) -> None:
    """Three days of two lessons, and on the first two also a live room with a share: in the books of an account with a
    contract and few free minutes."""
    program = Program(home=tmp_path / "home", now="2026-03-04T06:00:00+09:00")
    catalog, events, scenario = (tmp_path / name for name in ("catalog.toml", "events.ndjson", "scenario.toml"))
    catalog.write_text(
        '[[account]]\nid = "acme"\nname = "Acme"\ncurrency = "USD"\ntimezone = "Asia/Tokyo"\npolicy = "trtc-intl"\n'
        'free_minutes = 300\n[[app]]\nid = 7\naccount = "acme"\nname = "Rooms"\n'
        '[[contract]]\naccount = "acme"\nvalid_from = "2026-03-01"\ndiscount = "0.85"\n'
    )
    rows: list[dict[str, Any]] = []
    for number, day in enumerate(days_between(parse_day("2026-03-01"), parse_day("2026-03-03"))):
        start, _ = day_bounds(day, time_zone("Asia/Tokyo"))
        vga, hd = (640, 480), (1280, 720)
        rows += rooms_of_a_day(start, app_id=7, rooms=2, users=4, minutes=185, cameras=[hd, vga], kind="lesson")
        if number < 2:
            rows += rooms_of_a_day(
                start, app_id=7, rooms=1, users=6, minutes=33, cameras=[hd], screen=(1920, 1080), kind="evening"
            )
    events.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    scenario.write_text(
        'account = "acme"\ndays = 3\n[[room]]\nkind = "live"\nrooms_per_day = 1\nanchors = 2\naudience = 4\n'
        'minutes = 33\ncamera = ["1280x720"]\nscreen = "1920x1080"\ndays = 2\n'
        '[[room]]\nkind = "call"\ncalls_per_day = 2\nusers = 4\nminutes = 185\ncamera = ["1280x720", "640x480"]\n'
    )
    for line in ("init", f"catalog apply {catalog}", f"ingest {events}", "nightly"):
        program.run(*shlex.split(line))
    (month,) = program.rows("estimate", "scenario", scenario)
    charges = program.rows("charges", "acme", "--month", "2026-03")
    items = {charge["item"] for charge in charges}
    assert minutes_of(month) == {
        item: sum(charge["minutes"] for charge in charges if charge["item"] == item) for item in items
    }
    (free,) = program.rows("packages", "acme")
    assert free["deducted"] == month["free_minutes_used"] > 0
    assert sum(Decimal(charge["amount"]) for charge in charges) == Decimal(month["pay_as_you_go"]) > 0


def test_the_scenario_of_the_sample_can_be_worked_out_by_hand() -> None:
    """440 lessons of 45 minutes, 1,320 talks of two for 10 minutes, four evenings of 90 minutes."""
    row = estimated((ROOT / "sample_data" / "scenario.toml").read_text(encoding="utf-8"))
    assert minutes_of(row) == {
        "audio": 1_320 * 2 * 10,
        "hd": 440 * 45 * 2 + 4 * 90,
        "fhd": 440 * 45,
        "2k": 4 * 90,
        "4k": 4 * 90 * 500,
    }


MISTAKES = {
    "an unknown key": (f'policy = "trtc-intl"\nday = 3\n{CALLS}', "unknown key 'day'; did you mean 'days'?"),
    "an unknown key of a room": (
        f'policy = "trtc-intl"\n{CALLS}cameras = []\n',
        "[[room]] #1: unknown key 'cameras'; did you mean 'camera'?",
    ),
    "a key of the other kind": (
        f'policy = "trtc-intl"\n{CALLS}{EVENING}users = 3\n',
        "[[room]] #2: unknown key 'users'; known here: kind, minutes, days, camera, screen, rooms_per_day, anchors,"
        " audience",
    ),
    "no prices": (CALLS, 'policy: write either policy = "trtc-intl", for its list prices, or account = "ID"'),
    "two prices": (
        f'policy = "trtc-intl"\naccount = "acme"\n{CALLS}',
        'policy: write either policy = "trtc-intl", for its list prices, or account = "ID"',
    ),
    "a policy that is no text": (f"policy = 5\n{CALLS}", "policy: 5 is not text in quotes"),
    "no room": ('policy = "trtc-intl"', "[[room]]: write 1 to 200 of them; there are 0"),
    "too many rooms": (
        f'policy = "trtc-intl"\n{CALLS * (MOST_KINDS + 1)}', "[[room]]: write 1 to 200 of them; there are 201",
    ),
    "one bracket": (
        'policy = "trtc-intl"\n[room]\nkind = "call"\n',
        "[room]: write [[room]], with two brackets, once for each kind of rooms",
    ),
    "no kind": (
        'policy = "trtc-intl"\n[[room]]\nusers = 3\n', "[[room]] #1: kind: is missing",
    ),
    "another kind": (
        f'policy = "trtc-intl"\n{CALLS.replace("call", "show", 1)}',
        "[[room]] #1: kind: 'show' is not \"call\" or \"live\"",
    ),
    "a missing number": (f'policy = "trtc-intl"\n{CALLS.replace("users = 3", "")}', "[[room]] #1: users: is missing"),
    "a number in quotes": (
        f'policy = "trtc-intl"\n{CALLS.replace("45", chr(34) + "45" + chr(34))}',
        "[[room]] #1: minutes: '45' is not a whole number",
    ),
    "a number with a point": (
        f'policy = "trtc-intl"\n{CALLS.replace("45", "45.0")}', "[[room]] #1: minutes: 45.0 is not a whole number",
    ),
    "true": (f'policy = "trtc-intl"\ndays = true\n{CALLS}', "days: true is not a whole number"),
    "more than a day": (
        f'policy = "trtc-intl"\n{CALLS.replace("45", "1441")}', "[[room]] #1: minutes: 1441 is not from 1 to 1440",
    ),
    "more than a month": (f'policy = "trtc-intl"\n{CALLS}days = 32\n', "[[room]] #1: days: 32 is not from 1 to 31"),
    "a number of many digits": (
        f'policy = "trtc-intl"\nfree_minutes = 0x{"f" * 6000}\n{CALLS}',
        "free_minutes: the number is not from 0 to 1000000000000",
    ),
    "one camera without a list": (
        f'policy = "trtc-intl"\n{EVENING.replace("[", "").replace("]", "").replace("room", "[[room]]", 1)}',
        """[[room]] #1: camera: '1280x720' is not a list of sizes such as ["1280x720", "640x360"]""",
    ),
    "a size that is none": (
        f'policy = "trtc-intl"\n{CALLS.replace("640x360", "small")}',
        "[[room]] #1: camera: 'small' is not a size in pixels such as 1280x720",
    ),
    "more cameras than users": (
        f'policy = "trtc-intl"\n{CALLS.replace("users = 3", "users = 1")}',
        "[[room]] #1: 2 cameras, but users: 1; each camera belongs to one of them",
    ),
    "more cameras than anchors": (
        f'policy = "trtc-intl"\n{EVENING.replace("[" + chr(34), "[" + chr(34) + "640x360" + chr(34) + ", " + chr(34))}',
        "[[room]] #1: 2 cameras, but anchors: 1; each camera belongs to one of them",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "line"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_named_in_one_line(text: str, line: str) -> None:
    with pytest.raises(BillingError) as caught:
        parse_scenario(text, "scenario.toml")
    assert str(caught.value).splitlines() == ["scenario.toml has a mistake:", line]


def test_every_mistake_has_its_line() -> None:
    text = f'polizy = "x"\ndays = 0\n{CALLS.replace("users = 3", "user = 3")}[[room]]\nkind = 7\n'
    with pytest.raises(BillingError) as caught:
        parse_scenario(text, "scenario.toml")
    assert str(caught.value).splitlines() == [
        "scenario.toml has 6 mistakes:",
        "unknown key 'polizy'; did you mean 'policy'?",
        'policy: write either policy = "trtc-intl", for its list prices, or account = "ID"',
        "days: 0 is not from 1 to 31",
        "[[room]] #1: unknown key 'user'; did you mean 'users'?",
        "[[room]] #1: users: is missing",
        '[[room]] #2: kind: 7 is not "call" or "live"',
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no such file"),
        (b"policy = ", "is not TOML"),
        (b"a = " + b"[" * 5000, "is not TOML"),
        (b"\xff\xfe", "is not text in UTF-8"),
        (f'policy = "trtc-int"\n{CALLS}'.encode(), "unknown policy 'trtc-int'; did you mean 'trtc-intl'?"),
        (f'account = "acadmy"\n{CALLS}'.encode(), "unknown account 'acadmy'; did you mean 'academy'?"),
    ],
)
def test_a_file_that_cannot_be_estimated_is_named(
    content: bytes | None, message: str, billed: Commands, tmp_path: Path
) -> None:
    file = tmp_path / "scenario.toml"
    if content is not None:
        file.write_bytes(content)
    done = billed(f"estimate scenario {file}")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith(f"Error: {file}")
    assert message in done.stderr


def test_standard_input_that_is_no_text_is_named() -> None:
    done = CliRunner().invoke(main, ["estimate", "scenario", "-"], input=b"\xff")
    assert (done.exit_code, done.stderr) == (1, "Error: standard input: is not text in UTF-8\n")


def test_a_policy_needs_no_home(tmp_path: Path) -> None:
    scenario = parse_scenario(f'policy = "trtc-cn"\n{CALLS}', "scenario.toml")

    def no_catalog() -> Any:
        raise AssertionError("the catalog is read")

    assert scenario_tariff(no_catalog, scenario, datetime(2026, 3, 4, tzinfo=UTC)).currency == "CNY"
    result = CliRunner(env={"BILLING_HOME": str(tmp_path / "home")}).invoke(
        main, ["estimate", "scenario", str(ROOT / "sample_data" / "scenario.toml")]
    )
    assert result.exit_code == 0
    assert list(tmp_path.iterdir()) == []
