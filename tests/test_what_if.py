"""Settled months billed anew: own terms give the bill; other policies, contracts and packages what they would cost."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.commands import Commands
from tests.sample_home import contents, database, rows

MONTH = "--month 2026-03"
KEPT = ("day", "app_id", "item", "seconds", "minutes", "deducted_minutes", "payable_minutes", "unit_price", "amount")
LATE = {"event_id": "late", "app_id": 1400000001, "room_id": "late", "user_id": "eve"}


def what_if(run: Commands, options: str = "") -> dict[str, Any]:
    (found,) = rows(run, f"what-if academy {MONTH} {options}")
    return found


def by_item(found: dict[str, Any], name: str) -> dict[str, Any]:
    return {row["item"]: row[name] for row in found["charges"]}


def come_late(run: Commands, directory: Path) -> None:
    """Somebody else is there for a quarter of an hour of the settled day, and is corrected."""
    events = [
        LATE | {"type": "enter", "at": "2026-03-10T11:00:00+09:00"},
        LATE | {"event_id": "gone", "type": "exit", "at": "2026-03-10T11:15:30+09:00"},
    ]
    file = directory / "late.ndjson"
    file.write_text("".join(json.dumps(event) + "\n" for event in events))
    for line in (f"ingest {file}", "nightly"):
        assert run(line).exit_code == 0


def test_own_terms_give_the_bill(billed: Commands) -> None:
    found = what_if(billed)
    charges = rows(billed, f"charges academy {MONTH}")
    assert [{key: row[key] for key in KEPT} for row in found["charges"]] == [
        {key: row[key] for key in KEPT} for row in charges
    ]
    assert (found["total"], found["billed"], found["difference"]) == ("0.22173", "0.22173", "0")
    assert found["months"] == ["2026-03"]
    assert {row["month"] for row in found["charges"]} == {"2026-03"}
    assert found["packages"] == []
    assert found["metered_again"] is False


def test_own_terms_give_the_bill_with_its_corrections(billed: Commands, tmp_path: Path) -> None:
    """930 s of audio more, of which half a minute had been started; nothing is left to pay for the 15 minutes."""
    come_late(billed, tmp_path)
    found = what_if(billed)
    assert found["total"] == found["billed"] == "0.23658"
    assert found["difference"] == "0"


def test_without_packages_only_the_free_minutes_pay(billed: Commands) -> None:
    """The package paid 100 of its minutes; the free ones pay 50: 39 of audio and 2 of HD, in order of windows."""
    found = what_if(billed, "--packages none")
    payers = {payer for row in found["charges"] for payer in row["deducted_by"]}
    assert payers == {"free-2026-03"}
    assert Decimal(found["total"]) > Decimal(found["billed"])
    assert Decimal(found["difference"]) == Decimal(found["total"]) - Decimal(found["billed"])


def test_a_contract_is_billed_from_stored_seconds(billed: Commands, tmp_path: Path) -> None:
    """Half the price of every minute."""
    contract = tmp_path / "contract.toml"
    contract.write_text('[[contract]]\nvalid_from = "2026-01-01"\ndiscount = "0.5"\n')
    found = what_if(billed, f"--contract {contract}")
    assert found["total"] == "0.110865"
    assert by_item(found, "unit_price") == {
        "audio": "0.000495",
        "hd": "0.001995",
        "fhd": "0.004495",
        "2k": "0.007995",
    }
    assert found["metered_again"] is False


def test_other_bounds_are_metered_again(billed: Commands, tmp_path: Path) -> None:
    """`trtc-intl-2021` has a limit at 307,200 that no stored second knows; it sums areas too, so the seconds of audio
    and of all pictures together stay."""
    come_late(billed, tmp_path)
    ours, found = what_if(billed), what_if(billed, "--policy trtc-intl-2021")
    assert found["metered_again"] is True
    ours_by_item, theirs = by_item(ours, "seconds"), by_item(found, "seconds")
    assert theirs["audio"] == ours_by_item["audio"]
    assert sum(theirs.values()) == sum(ours_by_item.values())
    assert theirs["fhd"] == ours_by_item["fhd"] + ours_by_item["2k"]


def test_a_package_of_a_file_has_the_list_price(billed: Commands, tmp_path: Path) -> None:
    file = tmp_path / "packages.toml"
    file.write_text("[[package]]\nminutes = 25000\n")
    found = what_if(billed, f"--packages {file}")
    assert found["packages"] == [{"minutes": 25000, "price": "24", "count": 1}]
    assert (found["amount"], found["packages_price"], found["total"]) == ("0", "24", "24")


def test_for_a_small_month_no_package_is_the_best(billed: Commands) -> None:
    found = what_if(billed, "--packages best")
    assert found["packages"] == []
    assert found["total"] == what_if(billed, "--packages none")["total"]


def test_asking_writes_nothing(billed: Commands) -> None:
    before = contents(billed.home), database(billed.home)
    for options in ("", "--packages best", "--policy trtc-cn"):
        what_if(billed, options)
    assert (contents(billed.home), database(billed.home)) == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--month 2026-04", "no day of 2026-04 is billed"),
        (f"{MONTH} --policy trtc-in", "did you mean"),
        ("", "give either --month"),
        ("--month 2026-01 --month 2026-03", "give months that follow each other"),
    ],
)
def test_wrong_questions_say_what_is_wrong(billed: Commands, options: str, message: str) -> None:
    done = billed(f"what-if academy {options}")
    assert done.exit_code == 2
    assert message in done.output
    assert "Traceback" not in done.output
