"""Accounts of every policy are verified and bundled like others: stays, months, slabs, free minutes of apps, fees."""

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.commands import Commands
from tests.documents_home import apply, at, ingest, ok, rows
from tests.policies_home import LATE_DAY, OWN_POLICY, POLICIES, SELLER, talk
from tests.tampered_home import changed, checked, unpacked
from tests.test_bundle import assert_found, first, forged, last
from tests.test_verification import found

MONTHS = ("2026-03", "2026-04")


@pytest.fixture
def home(policies: Commands, tmp_path: Path) -> Commands:
    return Commands(home=Path(shutil.copytree(policies.home, tmp_path / "home")), now=policies.now)


@pytest.mark.parametrize(
    "line",
    [
        "--ledger",
        "--full --month 2026-03",
        "house --month 2026-04 --sample 4",
        pytest.param("--sample 20", marks=pytest.mark.thorough),
        pytest.param("--full", marks=pytest.mark.thorough),
    ],
)
def test_nothing_is_found_where_all_is_well(policies: Commands, line: str) -> None:
    """And nothing is left out: no policy is of a kind that is not computed."""
    done = policies(f"verify {line} --format json")
    assert (done.exit_code, json.loads(done.stdout)) == (0, []), done.output
    assert "not computed" not in done.output


def statement(table: str, change: str, account: str, day: str, *more: str) -> str:
    where = " AND ".join([f"account_id = '{account}'", f"day = '{day}'", *more])
    what = f"UPDATE {table} SET {change}" if change else f"DELETE FROM {table}"  # noqa: S608
    return f"{what} WHERE {where}"


LAST = "2026-03-31"
CHANGES = [
    # A minute more or less.
    *((account, LATE_DAY, "usage", "seconds = seconds + 60", "charge") for account in POLICIES),
    # A part of a graduated price, and its amount.
    ("house", LATE_DAY, "charge", "slab = slab + 7", "charge"),
    ("house", LATE_DAY, "charge", "unit_price_scaled = 4950000, amount_scaled = payable_minutes * 4950000", "price"),
    ("agora", LATE_DAY, "charge", "amount_scaled = amount_scaled + 1", "charge"),
    ("agora", LATE_DAY, "charge", "slab = 1", "charge"),
    ("vonage", LAST, "charge", "payable_minutes = payable_minutes + 1, minutes = minutes + 1", "charge"),
    ("vonage", "2026-03-02", "charge", "unit_price_scaled = 389500", "price"),
    ("alibaba", LAST, "charge", "", "charge"),
    ("livekit", LAST, "charge", "minutes = minutes - 1", "charge"),
    # Fees.
    ("house", LAST, "charge", "amount_scaled = amount_scaled - 1, unit_price_scaled = unit_price_scaled - 1", "charge"),
    # Who pays.
    ("agora", LATE_DAY, "deduction", "minutes = minutes + 1", "deduction"),
    ("house", LATE_DAY, "deduction", "package_minutes = package_minutes + 1", "deduction"),
    ("byteplus", "2026-03-02", "deduction", "payer_id = 'free-2026-03:32'", "deduction"),
    ("byteplus", "2026-03-02", "burn_down", "package_minutes = package_minutes - 1", "balance"),
    ("house", "2026-03-02", "burn_down", "remaining = remaining + 1", "balance"),
    ("byteplus", "2026-04-30", "lapse", "package_minutes = package_minutes + 1", "balance"),
]  # fmt: skip


@pytest.mark.parametrize(("account", "day", "table", "change", "check"), CHANGES)
def test_a_changed_row_names_its_day(
    home: Commands, account: str, day: str, table: str, change: str, check: str
) -> None:
    more = ["item = 'minimum_fee'"] if day == LAST and account == "house" else []
    changed(home, statement(table, change, account, day, *more))
    assert (check, account, day) in {
        (row["check"], row["account"], row["day"]) for row in found(home, f"verify {account} --ledger")
    }


def test_slabs_and_fees_are_no_jumps_of_the_price(policies: Commands) -> None:
    """Units of the house cost 0.099, 0.08 and 0.0495 on days with the same terms."""
    for month in MONTHS:
        assert "price" not in {row["id"].split("-")[0] for row in rows(policies, f"check house --month {month}")}


def test_other_free_minutes_than_those_of_the_account_are_found(home: Commands) -> None:
    changed(home, "UPDATE free_grant SET minutes = minutes + 1 WHERE account_id = 'byteplus' AND month = '2026-03-01'")
    assert ("grant", "2026-03-01") in {(row["check"], row["day"]) for row in found(home, "verify byteplus --ledger")}


def test_a_base_fee_that_was_removed_is_found(home: Commands) -> None:
    changed(home, statement("charge", "", "house", LAST, "item = 'base_fee'"))
    wrong = {row["detail"]: row for row in found(home, "verify house --ledger")}
    row = wrong["amount of 0, base_fee"]
    assert (row["day"], row["app_id"], row["expected"], row["found"]) == (LAST, None, "150000000", "none")


@pytest.mark.parametrize("account", ["livekit", "vonage", "agora"])
def test_seconds_that_all_sums_agree_with_are_found_by_the_rooms(home: Commands, account: str) -> None:
    """A minute is moved from one window into another."""
    day = "2026-03-02"
    app, item, first_window, last_window = _longest(home, account, day)
    for sign, window in (("-", first_window), ("+", last_window)):
        more = f"item = '{item}'", f"app_id = {app}", f"window_start = {window}"
        changed(home, statement("usage", f"seconds = seconds {sign} 60", account, day, *more))
    assert "charge" not in {row["check"] for row in found(home, f"verify {account} --ledger")}
    assert ("usage", "2026-03-02") in {(row["check"], row["day"]) for row in found(home, f"verify {account} --full")}


def _longest(home: Commands, account: str, day: str) -> Sequence[Any]:
    """The app and item with the most windows on a day, the first of these and the last."""
    with sqlite3.connect(home.home / "billing.db") as conn:
        row: Sequence[Any] = conn.execute(
            "SELECT app_id, item, min(window_start), max(window_start) FROM usage WHERE account_id = ? AND day = ?"
            " GROUP BY app_id, item, reason ORDER BY count(*) DESC",
            (account, day),
        ).fetchone()
    conn.close()
    return row


# Bundles


@pytest.fixture(scope="module")
def archives(policies: Commands, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    """The bundle of an account and month, made when it is asked for."""
    folder = tmp_path_factory.mktemp("archives")

    def archive(account: str, month: str) -> Path:
        path = folder / f"{account}-{month}.zip"
        if not path.exists():
            ok(policies, f"bundle {account} --month {month} -o {path}")
        return path

    return archive


@pytest.mark.parametrize("account", POLICIES)
def test_a_bundle_has_the_total_of_the_invoice(
    policies: Commands, archives: Callable[[str, str], Path], tmp_path: Path, account: str
) -> None:
    """In April, with a day of March that was corrected in April and depends on the days before it."""
    (invoice,) = [row for row in rows(policies, "invoice list") if row["account"] == account]
    for month in MONTHS:
        folder = unpacked(archives(account, month), tmp_path / month)
        exit_code, lines = checked(folder)
        assert exit_code == 0, lines
        if month == "2026-03":
            assert Decimal(lines[-1].split()[1]) == Decimal(invoice["total"])
        assert f"events-{LATE_DAY}.ndjson" in {path.name for path in folder.iterdir()}


def with_so_far(**values: Any) -> Callable[[Any], Any]:
    """Other figures of the month before a day."""
    return lambda days: [*days[:3], {**days[3], "so_far": {**days[3]["so_far"], **values}}, *days[4:]]


def other_policy(old: str, new: str) -> Callable[[Any], Any]:
    """Another text of the policy, under its hash."""

    def change(terms: Any) -> Any:
        return {**terms, "policies": {name: text.replace(old, new) for name, text in terms["policies"].items()}}

    return change


FORGERIES: Sequence[tuple[str, str, Callable[[Any], Any], str]] = [
    ("house", "days.ndjson", with_so_far(amount=0), "what the month has so far"),
    ("house", "days.ndjson", with_so_far(cells=[]), "what the month has so far"),
    ("house", "charges.ndjson", first(slab=1), "2026-03-02: charges of"),
    ("house", "bill.json", lambda bill: {**bill, "terms": {**bill["terms"], "rounding": "half_up"}}, "the rounding"),
    ("house", "terms.json", other_policy('"base":"1.5', '"base":"2.5'), "the policy"),
    ("agora", "days.ndjson", with_so_far(free_units=0), "what the month has so far"),
    ("agora", "days.ndjson", first(remaining={}), "2026-03-02"),
    ("agora", "deductions.ndjson", last(minutes=1), "deductions under seal"),
    ("byteplus", "days.ndjson", first(remaining={"free-2026-03:32": 60}), "what payers have left"),
    ("livekit", "state-2026-03-31.ndjson", first(begun=[]), "under no seal"),
    ("vonage", "terms.json", lambda terms: {**terms, "contracts": []}, "charges of"),
]


@pytest.mark.parametrize(("account", "name", "change", "named"), FORGERIES)
def test_what_is_forged_in_a_bundle_is_said_in_one_line(
    archives: Callable[[str, str], Path],
    tmp_path: Path,
    account: str,
    name: str,
    change: Callable[[Any], Any],
    named: str,
) -> None:
    folder = unpacked(archives(account, "2026-03"), tmp_path)
    forged(folder, name, change)
    assert_found(folder, named)


# What is rare


RATIOS = """
[[policy]]
id = "ratios"
name = "Free minutes at ratios, in the order of items"
[[policy.version]]
valid_from = 2026-01-01
[[policy.version.meter]]
items = [{ name = "audio" }, { name = "hd" }]
[policy.version.quantity]
period = "month"
per = ["item"]
[[policy.version.allowance]]
amount = 21
ratios = { audio = 1, hd = 4 }
order = "items"
[policy.version.price.USD]
audio = "1000"
hd = "4000"
"""


def one_account(policy: str) -> str:
    """A catalog with an account under a policy, and two apps."""
    account = f'[[account]]\nid = "a"\nname = "A"\ncurrency = "USD"\ntimezone = "UTC"\npolicy = "{policy}"\n'
    apps = "".join(f'[[app]]\nid = {app}\naccount = "a"\nname = "App {app}"\n' for app in (10, 11))
    return SELLER + OWN_POLICY + RATIOS + account + apps


def told(run: Commands, folder: Path, *events: Iterable[dict[str, Any]]) -> None:
    ingest(run, folder, *(json.dumps(event) + "\n" for each in events for event in each))
    ok(run, "nightly")


def test_free_minutes_may_have_more_left_after_a_day_than_before_it(tmp_path: Path) -> None:
    """Of 21 free minutes, 20 pay 5 of HD; a day later 2 of audio come first, 4 of HD are left, and 18 are taken."""
    run = Commands(home=tmp_path / "home", now="2026-04-05T00:00:00Z")
    ok(run, "init")
    apply(run, tmp_path, one_account("ratios"))
    who = {"app_id": 10, "room_id": "r"}
    stream = {"stream": "x/camera", "width": 1280, "height": 720}
    seen = [
        {**who, "user_id": user, "at": f"2026-03-02T10:{minute}:00Z", "type": kind, **more}
        for user in "ab"
        for minute, kind, more in (("00", "enter", {}), ("00", "video_on", stream), ("10", "exit", {}))
    ]
    alone = [
        {**who, "user_id": "c", "at": f"2026-03-05T10:0{minute}:00Z", "type": kind}
        for minute, kind in ((0, "enter"), (2, "exit"))
    ]
    told(run, tmp_path, seen, alone)
    charges = rows(run, "charges a --month 2026-03")
    assert [(each["day"], each["item"], each["deducted_minutes"], each["payable_minutes"]) for each in charges] == [
        ("2026-03-02", "hd", 5, 15),
        ("2026-03-05", "audio", 2, 0),
        ("2026-03-05", "hd", -1, 1),
    ]
    (free,) = [each for each in rows(run, "packages a") if each["id"] == "free-2026-03"]
    assert (free["deducted"], free["lapsed"]) == (18, 3)
    assert rows(run, "verify") == []
    ok(run, f"bundle a --month 2026-03 -o {tmp_path / 'b.zip'}")
    assert checked(unpacked(tmp_path / "b.zip", tmp_path / "b"))[1][-1] == "total 64 USD"


@pytest.mark.thorough
def test_a_month_counts_from_the_day_on_which_its_policy_changed(tmp_path: Path) -> None:
    """Also where the account comes back to a policy; billed again it is the same."""
    run = Commands(home=tmp_path / "home", now="2026-03-01T00:00:00Z")
    ok(run, "init")
    policies = ["agora-2025", "vonage", "agora-2025", "weighed", "trtc-intl", "weighed"]
    for number, policy in enumerate(policies, 1):
        run = at(run, f"2026-03-{3 * number + 1:02}T01:00:00Z")
        apply(run, tmp_path, one_account(policy))
        first, second = (f"2026-03-{3 * number - day:02}" for day in (2, 0))
        told(run, tmp_path, talk(10, first, "09:00", 1_805, video=True), talk(11, second, "10:00", 999, video=True))
        assert rows(run, "verify --ledger") == []
    assert "nothing different" in run("rebill a --from 2026-03-01 --reason x --dry-run").stderr
