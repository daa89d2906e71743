"""Lists, and what is done for every account or only for some: `ingests`, `charges --all`, `invoice export --all`,
`nightly --account`."""

import json
from pathlib import Path

import pytest
from openpyxl import load_workbook

from billing.reports.invoice_files import file_names
from tests.commands import Commands
from tests.sample_home import SAMPLE, rows

OTHER = """
[[account]]
id = "a/b"
name = "Other"
currency = "CNY"
timezone = "UTC"
policy = "trtc-cn"

[[account]]
id = "idle"
name = "Idle"
currency = "USD"
timezone = "UTC"
policy = "trtc-intl"

[[app]]
id = 2
account = "a/b"
name = "Two"
"""


@pytest.fixture
def both(billing: Commands, tmp_path: Path) -> Commands:
    """A home with a second account that has events, and one that has none."""
    (tmp_path / "other.toml").write_text(OTHER)
    event = {"app_id": 2, "at": "2026-03-09T10:00:00Z", "room_id": "r", "user_id": "u"}
    end = event | {"at": "2026-03-09T10:30:00Z", "type": "exit"}
    (tmp_path / "other.ndjson").write_text(json.dumps(event | {"type": "enter"}) + "\n" + json.dumps(end) + "\n")
    for line in (f"catalog apply {tmp_path}/other.toml", f"ingest {SAMPLE}/events.ndjson {tmp_path}/other.ndjson"):
        assert billing(line).exit_code == 0
    return billing


def test_ingests_are_listed_with_their_counts(both: Commands, tmp_path: Path) -> None:
    at = {"at": "2026-03-11T00:00:00.000+00:00"}
    first = {"ingest_id": 1, "file": f"{SAMPLE}/events.ndjson", "read": 30, "accepted": 28, "duplicates": 1} | at
    second = {"ingest_id": 2, "file": f"{tmp_path}/other.ndjson", "read": 2, "accepted": 2, "duplicates": 0} | at
    assert rows(both, "ingests") == [first | {"quarantined": 1}, second | {"quarantined": 0}]


def test_a_home_without_events_has_no_ingests(billing: Commands) -> None:
    assert billing("ingests").stderr == "no ingests yet\n"


def test_charges_of_all_are_those_of_each_account(both: Commands) -> None:
    assert both("nightly").exit_code == 0
    for options in ("", " --provisional"):
        each = {name: rows(both, f"charges {name} --month 2026-03{options}") for name in ("a/b", "academy", "idle")}
        expected = [{"account": name, **row} for name, found in each.items() for row in found]
        assert rows(both, f"charges --all --month 2026-03{options}") == expected
    table = both("charges --all --month 2026-03").stdout
    *_, total = table.splitlines()
    assert max(map(len, table.splitlines())) <= 80
    assert total.split() == ["total", "102", "45", "57"], "amounts of two currencies have no sum"


def test_all_invoices_are_written_into_a_directory(both: Commands, tmp_path: Path) -> None:
    assert both("nightly").exit_code == 0
    (tmp_path / "out").mkdir()
    done = both(f"invoice export --all --month 2026-03 -o {tmp_path}/out")
    assert done.exit_code == 0
    assert done.stderr.splitlines() == [
        f"written: {tmp_path}/out/a_b-2026-03.xlsx",
        f"written: {tmp_path}/out/academy-2026-03.xlsx",
        "skipped: idle, no day of 2026-03 is billed",
    ]
    assert both(f"invoice export academy --month 2026-03 -o {tmp_path}/one.xlsx").exit_code == 0
    one, other = (load_workbook(tmp_path / name) for name in ("one.xlsx", "out/academy-2026-03.xlsx"))
    for sheet in one.worksheets:
        assert list(other[sheet.title].values) == list(sheet.values)


def test_an_account_that_fails_does_not_stop_the_invoices_of_others(both: Commands, tmp_path: Path) -> None:
    assert both("nightly").exit_code == 0
    (tmp_path / "out" / "a_b-2026-03.xlsx").mkdir(parents=True)
    done = both(f"invoice export --all --month 2026-03 -o {tmp_path}/out")
    assert done.exit_code == 1
    assert "Error: account a/b: cannot write" in done.stderr
    assert (tmp_path / "out" / "academy-2026-03.xlsx").is_file()


def test_only_the_accounts_that_are_named_are_billed(both: Commands) -> None:
    assert [row["account"] for row in rows(both, "nightly --account a/b")] == ["a/b", "a/b"]
    assert [row["account"] for row in rows(both, "nightly --account academy --account academy")] == ["academy"]
    assert both("nightly --account idle").stderr == "nothing to bill\nno events yet: idle\n"


WRONG = {
    "nightly --account acadmy": "unknown account 'acadmy'; did you mean 'academy'?",
    "charges --month 2026-03": "give either an account or --all",
    "charges academy --all --month 2026-03": "give either an account or --all",
    "invoice export --all --month 2026-03 -o {tmp}/no": "is not a directory: with --all, name one that exists",
    "invoice export academy --month 2026-03 -o {tmp}": "give a name ending in .xlsx",
}


@pytest.mark.parametrize(("line", "message"), WRONG.items())
def test_wrong_use_gets_a_clear_line(both: Commands, tmp_path: Path, line: str, message: str) -> None:
    done = both(line.format(tmp=tmp_path))
    assert (done.exit_code, done.stdout) == (2, "")
    assert message in done.stderr.splitlines()[-1]


def test_names_of_files_are_safe_and_different() -> None:
    names = file_names(["acme", "a/b", "a_b", "..", "-x", "会社", "Acme", "x" * 128, "a b", "C:\\x"])
    assert {key: names[key] for key in ("a_b", "..", "-x", "会社", "C:\\x")} == {
        "a_b": "a_b", "..": "_.", "-x": "_x", "会社": "会社", "C:\\x": "C__x",
    }  # fmt: skip
    assert len({name.casefold() for name in names.values()}) == len(names)
    assert all(len(name.encode()) < 240 for name in names.values())
