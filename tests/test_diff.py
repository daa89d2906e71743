"""Two months compared: the causes sum to the difference, and change only their sign when the sides are exchanged."""

import json
from collections import defaultdict
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.commands import Commands
from tests.policies_home import GONE_APP, NEW_APP, POLICIES, SELLER, apps_of
from tests.sample_home import rows
from tests.test_what_if import come_late

APP = 1400000001
CATALOG = f"""
[[account]]
id = "acme"
name = "Acme"
currency = "USD"
timezone = "UTC"
policy = "trtc-intl"
free_minutes = 0

[[app]]
id = {APP}
account = "acme"
name = "Rooms"

[[contract]]
account = "acme"
valid_from = "2026-03-01"
discount = "0.9"

[[package]]
id = "pkg"
account = "acme"
minutes = 800
purchased_at = "2026-03-01T00:00:00+00:00"
price = "1"
charge = "external"
"""
OPPOSITE = {"app_new": "app_gone", "app_gone": "app_new"}


def diff(run: Commands, account: str, a: str, b: str) -> dict[str, Any]:
    (found,) = rows(run, f"diff {account} {a} {b}")
    return found


def by_cause(found: dict[str, Any]) -> dict[str, Decimal]:
    sums: defaultdict[str, Decimal] = defaultdict(Decimal)
    for each in found["causes"]:
        sums[each["cause"]] += Decimal(each["amount"])
    return dict(sums)


def keyed(found: dict[str, Any], sign: int) -> dict[tuple[Any, ...], Decimal]:
    """The causes by what they are told apart by; with the sign -1, as the exchanged sides have them."""
    amounts = {}
    for each in found["causes"]:
        cause = OPPOSITE.get(each["cause"], each["cause"]) if sign < 0 else each["cause"]
        amounts[cause, each["app_id"], each["item"], each["run"]] = sign * Decimal(each["amount"])
    return amounts


def check(run: Commands, account: str, a: str, b: str) -> dict[str, Any]:
    """The difference, after its laws have been tried."""
    found, back = diff(run, account, a, b), diff(run, account, b, a)
    assert sum(by_cause(found).values()) == Decimal(found["difference"])
    assert Decimal(found["difference"]) == Decimal(found["amount_b"]) - Decimal(found["amount_a"])
    assert keyed(back, -1) == keyed(found, 1)
    return found


def _stay(number: int, user: str, day: str, minutes: int, size: tuple[int, int] | None) -> list[dict[str, Any]]:
    base = {"app_id": APP, "room_id": f"{day}-{number}", "user_id": user}
    begin = f"{day}T00:00:00Z"
    hours, rest = divmod(minutes, 60)
    found = [{**base, "type": "enter", "at": begin}, {**base, "type": "exit", "at": f"{day}T{hours:02}:{rest:02}:00Z"}]
    if size:
        stream = {"stream": "x/camera", "width": size[0], "height": size[1]}
        found.insert(1, {**base, "type": "video_on", "at": begin, **stream})
    return found


@pytest.fixture
def acme(tmp_path: Path) -> Commands:
    """1,000 minutes of audio in both months; of HD 1,000 in February and 2,000 in March, when a package pays 200."""
    run = Commands(home=tmp_path / "home", now="2026-04-01T09:00:00+00:00")
    catalog, file = tmp_path / "catalog.toml", tmp_path / "events.ndjson"
    catalog.write_text(CATALOG)
    stays = [
        *_stay(1, "a", "2026-02-10", 1000, None),
        # Nobody receives pictures alone.
        *(event for user in "hi" for event in _stay(2, user, "2026-02-11", 500, (1280, 720))),
        # HD first: the package pays it.
        *(event for user in "hi" for event in _stay(1, user, "2026-03-10", 1000, (1280, 720))),
        *_stay(3, "a", "2026-03-12", 1000, None),
    ]
    file.write_text("".join(json.dumps(event) + "\n" for event in stays))
    for line in ("init", f"catalog apply {catalog}", f"ingest {file}", "nightly"):
        done = run(line)
        assert done.exit_code == 0, done.output
    return run


def test_the_worked_example(acme: Commands) -> None:
    found = check(acme, "acme", "2026-02", "2026-03")
    assert (found["amount_a"], found["amount_b"], found["difference"]) == ("4.98", "7.3548", "2.3748")
    assert by_cause(found) == {
        "volume": Decimal("2.59883334"),
        "mix": Decimal("1.18333333"),
        "coverage": Decimal("-0.7581"),
        "price": Decimal("-0.64926667"),
    }


def test_a_month_beside_itself_has_no_causes(acme: Commands) -> None:
    found = check(acme, "acme", "2026-03", "2026-03")
    assert (found["difference"], found["causes"]) == ("0", [])


def test_another_policy_is_a_side(acme: Commands) -> None:
    found = check(acme, "acme", "2026-03", "2026-03@policy:trtc-intl-2021")
    (assumed,) = rows(acme, "what-if acme --month 2026-03 --policy trtc-intl-2021")
    assert found["amount_b"] == assumed["amount"]


def test_a_correction_stands_apart_by_its_run(billed: Commands, tmp_path: Path) -> None:
    come_late(billed, tmp_path)
    found = check(billed, "academy", "2026-03@run:1", "2026-03")
    (cause,) = found["causes"]
    assert cause["cause"] == "correction"
    assert cause["run"] > 1
    assert cause["amount"] == found["difference"] == "0.01485"


def test_what_was_known_at_an_instant_is_a_side(billed: Commands, tmp_path: Path) -> None:
    come_late(billed, tmp_path)
    found = check(billed, "academy", "2026-03@as-of:2026-03-12T00:00:00Z", "2026-03")
    assert found["difference"] == "0"


# Every policy, and what belongs to one side only


@pytest.mark.parametrize("account", POLICIES)
def test_the_laws_hold_under_every_policy(policies: Commands, account: str) -> None:
    """Months with the corrections of April, slabs, fees, units of six seconds, and apps that are counted together."""
    found = check(policies, account, "2026-03", "2026-04")
    # What a late event adds to the use of the house, its minimum fee has less.
    assert ("correction" in by_cause(found)) == (account != "house")
    assert "volume" in by_cause(found)
    for side, month in (("amount_a", "2026-03"), ("amount_b", "2026-04")):
        posted = [row for row in rows(policies, f"charges {account} --month {month}") if row["kind"] == "usage"]
        corrected = sum(Decimal(each["amount"]) for each in found["causes"] if each["cause"] == "correction")
        usage = sum(Decimal(row["amount"]) for row in posted)
        assert Decimal(found[side]) == usage + (corrected if month == "2026-04" else 0)


@pytest.mark.parametrize(("account", "cause"), [(NEW_APP, "app_new"), (GONE_APP, "app_gone")])
def test_an_app_that_is_used_in_one_month_only_is_new_or_gone(policies: Commands, account: str, cause: str) -> None:
    found = check(policies, account, "2026-03", "2026-04")
    app, month = apps_of(account)[1], "2026-04" if cause == "app_new" else "2026-03"
    charges = rows(policies, f"charges {account} --month {month}")
    charged = sum(Decimal(row["amount"]) for row in charges if row["app_id"] == app)
    (of_app,) = [each for each in found["causes"] if each["app_id"] == app]
    assert (of_app["cause"], of_app["item"]) == (cause, None)
    assert Decimal(of_app["amount"]) == (charged if cause == "app_new" else -charged) != 0


def test_fees_are_a_cause_of_their_own(policies: Commands) -> None:
    """The minimum of April adds more, because less was used; the correction of March's fee stands with its run."""
    found = check(policies, "house", "2026-03", "2026-04")
    fees = [
        sum(
            Decimal(row["amount"])
            for row in rows(policies, f"charges house --month {month}")
            if row["item"] in ("base_fee", "minimum_fee") and row["kind"] == "usage"
        )
        for month in ("2026-03", "2026-04")
    ]
    (cause,) = [each for each in found["causes"] if each["cause"] == "fee"]
    assert Decimal(cause["amount"]) == fees[1] - fees[0] > 0
    assert (cause["app_id"], cause["item"], cause["run"]) == (None, None, None)


@pytest.mark.parametrize(
    ("account", "sides", "causes"),
    [
        ("vonage", "2026-03 2026-03@policy:weighed", {"app_new", "app_gone", "fee"}),
        ("agora", "2026-03@policy:vonage 2026-03@policy:agora-2025", {"coverage"}),
        ("byteplus", "2026-03@policy:livekit-cloud 2026-03@policy:agora-2025", {"app_new", "app_gone"}),
        ("house", "2026-04 2026-04@policy:trtc-intl", {"fee", "price", "minute_rounding"}),
    ],
)
def test_another_policy_is_a_side_of_every_kind(policies: Commands, account: str, sides: str, causes: set[str]) -> None:
    assert causes <= by_cause(check(policies, account, *sides.split())).keys()


def test_a_package_is_a_cause_where_it_is_charged_here(tmp_path: Path) -> None:
    """One of an app, one of the account, and one that is charged elsewhere."""
    packages = "".join(
        f'[[package]]\nid = "{name}"\naccount = "acme"\nminutes = 60\nprice = "{price}"\ncharge = "{charge}"\n'
        f'purchased_at = "2026-04-02T00:00:00+00:00"\n{app}'
        for name, price, charge, app in (
            ("one", "24.5", "invoice", f"app = {APP}\n"),
            ("two", "12", "prepaid", ""),
            ("far", "7", "external", ""),
        )
    )
    run = Commands(home=tmp_path / "home", now="2026-05-01T09:00:00+00:00")
    catalog, file = tmp_path / "catalog.toml", tmp_path / "events.ndjson"
    catalog.write_text(SELLER + CATALOG + packages)
    stays = [*_stay(1, "a", "2026-03-10", 100, None), *_stay(1, "a", "2026-04-10", 100, None)]
    file.write_text("".join(json.dumps(event) + "\n" for event in stays))
    for line in ("init", f"catalog apply {catalog}", f"ingest {file}", "nightly"):
        done = run(line)
        assert done.exit_code == 0, done.output
    found = check(run, "acme", "2026-03", "2026-04")
    assert [(each["app_id"], each["amount"]) for each in found["causes"] if each["cause"] == "package"] == [
        (None, "12"),
        (APP, "24.5"),
    ]


@pytest.mark.parametrize(
    ("sides", "message"),
    [
        ("2026-13 2026-03", "2026-13"),
        ("2026-02 2026-03", "no day of 2026-02 is billed"),
        ("2026-03@rum:1 2026-03", "2026-03@run:2"),
        ("2026-03@run:99 2026-03", "99"),
        ("2026-03@policy:trtc-in 2026-03", "did you mean"),
        ("2026-03@policy:trtc-cn 2026-03", "CNY"),
    ],
)
def test_wrong_sides_are_wrong_usage(billed: Commands, sides: str, message: str) -> None:
    done = billed(f"diff academy {sides}")
    assert done.exit_code == 2
    assert message in done.output
    assert "Traceback" not in done.output
