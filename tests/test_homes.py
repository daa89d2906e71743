"""Homes of earlier versions, kept as they were left: `billing init` upgrades them, and nothing that was billed changes.

Each folder of `tests/homes/` is named after a version of the program. It holds a home with several accounts, late
events that were corrected, rows in quarantine and a day that is only refreshed (`home.tar.gz`), and what that version
printed about it (`reports.tar.gz`).
"""

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from openpyxl import load_workbook

from tests.commands import Commands

HOMES = sorted((Path(__file__).parent / "homes").iterdir())
NOW = "2026-04-02T23:05:00Z"
# (The names of kept reports are the words of their command.)
INVOICES = {
    "invoice-academy-2026-03": "academy --month 2026-03",
    "invoice-academy-2026-03-then": "academy --month 2026-03 --as-of 2026-04-01T02:15:00Z",
    "invoice-academy-2026-04": "academy --month 2026-04",
    "invoice-berlin-2026-03": "berlin --month 2026-03",
    "invoice-own-2026-03": "own --month 2026-03",
}


@pytest.fixture(params=HOMES, ids=lambda home: home.name)
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Commands, dict[str, Any]]:
    """An upgraded home, and the reports of the version that left it."""
    for name in ("home", "reports"):
        with tarfile.open(request.param / f"{name}.tar.gz") as archive:
            archive.extractall(tmp_path, filter="data")
    commands = Commands(home=tmp_path / "home", now=NOW)
    assert commands("init").exit_code == 0
    reports = {file.stem: json.loads(file.read_text()) for file in (tmp_path / "reports").glob("*.json")}
    return commands, reports


def _line_of(report: str) -> str:
    """The command line that made a kept report."""
    match report.split("-", 2):
        case ["charges", account, month]:
            return f"charges {account} --month {month} --provisional"
        case ["packages", account]:
            return f"packages {account}"
        case ["usage", "run"]:
            return "usage 20 --from 2026-03-28 --to 2026-04-01 --by day --run 7"
        case ["usage", app, by]:
            return f"usage {app} --from 2026-03-28 --to 2026-04-01 --by {by}"
        case ["findings"]:
            return "findings"
        case ["quarantine"]:
            return "quarantine list"
        case ["runs"]:
            return "runs --limit 100"
    raise AssertionError(report)


def test_an_upgraded_home_reports_what_it_reported_before(kept: tuple[Commands, dict[str, Any]]) -> None:
    """Every row of every report; a later version may have more fields."""
    billing, reports = kept
    printed = [name for name in reports if name not in INVOICES]
    assert len(printed) == 29
    for name in printed:
        done = billing(f"{_line_of(name)} --format json")
        assert done.exit_code == 0, (name, done.output)
        rows = json.loads(done.stdout)
        before = reports[name]
        known = [{field: row[field] for field in old} for row, old in zip(rows, before, strict=True)]
        assert known == before, name


def test_an_upgraded_home_states_the_same_invoices(kept: tuple[Commands, dict[str, Any]], tmp_path: Path) -> None:
    """The total, and the seconds of every day, now and as of then."""
    billing, reports = kept
    for name, options in INVOICES.items():
        assert billing(f"invoice export {options} -o {tmp_path / 'invoice.xlsx'}").exit_code == 0
        book = load_workbook(tmp_path / "invoice.xlsx", data_only=True)
        assert _total(_cells(book["Invoice"])) == _total(reports[name]["Invoice"])
        daily, before = _cells(book["Daily"]), reports[name]["Daily"]
        assert daily[: len(before)] == before
        # Below stand what was corrected in the month and the net, if anything was.
        corrected = ["Corrections", "Net of corrections"] if "Corrections" in book.sheetnames else []
        assert [row[0] for row in daily[len(before) :]] == corrected


def _cells(sheet: Any) -> list[list[str | None]]:
    return [[None if cell is None else str(cell) for cell in row] for row in sheet.iter_rows(values_only=True)]


def _total(rows: list[list[str | None]]) -> str:
    """The last cell of the row "Total USD"."""
    (row,) = [row for row in rows if row[0] and row[0].startswith("Total ") and row[-1]]
    return str(row[-1])


def test_a_billed_home_goes_on_where_it_was(kept: tuple[Commands, dict[str, Any]]) -> None:
    """The nightly after the upgrade finds nothing late, and bills the days that are due."""
    billing, _ = kept
    done = billing("nightly --format json")
    assert done.exit_code == 0, done.output
    results = {row["account"]: row["result"] for row in json.loads(done.stdout)}
    assert results == {"academy": "billed", "berlin": "billed", "own": "already_billed"}  # in UTC the day is not over
    again = billing("nightly --format json")
    assert {row["result"] for row in json.loads(again.stdout)} == {"already_billed"}
