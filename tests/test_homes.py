"""Homes of earlier versions, kept as they were left: `billing init` upgrades them, and nothing that was billed changes.

Each folder of `tests/homes/` is named after a version of the program. It holds a home with several accounts, late
events that were corrected, rows in quarantine and a day that is only refreshed (`home.tar.gz`), and what that version
printed about it (`reports.tar.gz`). That of 0.4.0 has documents and payments too, and that of 0.5.0 a room with tasks,
one with automatic subscription, and sealed days.
"""

import json
import sqlite3
import tarfile
from datetime import timedelta
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
from openpyxl import load_workbook

from billing.catalog.catalog import Catalog
from billing.catalog.reading import parse_catalog
from billing.ledger.catalog_store import load_catalog
from billing.ledger.database import open_database, reading
from billing.periods import parse_instant
from tests.commands import Commands

pytestmark = pytest.mark.thorough

HOMES = sorted((Path(__file__).parent / "homes").iterdir())
# When its reports were printed.
NOW = {"0.4.0": "2026-05-02T23:05:00Z", "0.5.0": "2026-06-02T23:05:00Z"}
_OTHERS_NOW = "2026-04-02T23:05:00Z"
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
    commands = unpacked(tmp_path, request.param)
    assert commands("init").exit_code == 0
    reports = {file.stem: json.loads(file.read_text()) for file in (tmp_path / "reports").glob("*.json")}
    return commands, reports


def unpacked(folder: Path, kept: Path) -> Commands:
    """The commands in a kept home, which is not upgraded yet."""
    for name in ("home", "reports"):
        with tarfile.open(kept / f"{name}.tar.gz") as archive:
            archive.extractall(folder, filter="data")
    return Commands(home=folder / "home", now=NOW.get(kept.name, _OTHERS_NOW))


def _line_of(report: str) -> str:
    """The command line that made a kept report."""
    match report.split("-", 2):
        case ["charges", account, month]:
            return f"charges {account} --month {month} --provisional"
        case ["packages", account]:
            return f"packages {account}"
        case ["usage", "run"]:
            return "usage 20 --from 2026-03-28 --to 2026-04-01 --by day --run 7"
        case ["may", app, by]:
            return f"usage {app} --from 2026-05-03 --to 2026-05-04 --by {by}"
        case ["usage", app, by]:
            return f"usage {app} --from 2026-03-28 --to 2026-04-01 --by {by}"
        case ["findings"]:
            return "findings"
        case ["quarantine"]:
            return "quarantine list"
        case ["runs"]:
            return "runs --limit 100"
        case ["documents"]:
            return "invoice list"
        case ["balances"]:
            return "account balance"
        case ["payments"]:
            return "payment list"
    raise AssertionError(report)


def test_an_upgraded_home_reports_what_it_reported_before(kept: tuple[Commands, dict[str, Any]]) -> None:
    """Every row of every report; a later version may have more fields."""
    billing, reports = kept
    printed = [name for name in reports if name not in INVOICES and not name.startswith("issued-")]
    assert len(printed) == 29 + ("documents" in reports) * 3 + ("may-20-user" in reports) * 8
    for name in printed:
        done = billing(f"{_line_of(name)} --format json")
        assert done.exit_code == 0, (name, done.output)
        rows = json.loads(done.stdout)
        before = reports[name]
        known = [{field: row[field] for field in old} for row, old in zip(rows, before, strict=True)]
        assert known == before, name


# Two more catalogs, as 0.1.0 kept them: the texts of their files, with all that may be written in several ways.
RENAMED = """
[seller]
name = "Example Media AG"
address = '''
  Musterstraße 2
  10115 Berlin '''

[[account]]
id = "academy"
name = "Academy Inc."
currency = "USD"
timezone = "Asia/Tokyo"
policy = "trtc-intl"
"""
CHEAPER = """
[[package]]
id = "starter"
account = "academy"
minutes = 400
purchased_at = 2026-03-01t18:00:00.000+09:00
price = 20

[[contract]]
account = "academy"
valid_from = 2026-05-01
prices = { 4k = "30.50", audio = 1 }

[[policy]]
id = "own-2027"
name = "Own rules of 2027"
[[policy.version]]
valid_from = 2027-01-01
method = "per_stream"
free_minutes = 0
tiers = [{ item = "hd" }]
ratios = { hd = 4, audio = 1 }
prices = { JPY = { hd = "450.00", audio = 90 }, USD = { hd = "0.0", audio = "0" } }
package_prices.JPY = { 9000 = "900", 1000 = "110.0" }
"""


def test_the_catalog_of_then_is_the_same_in_an_upgraded_home(tmp_path: Path) -> None:
    """Before two changes, after one and after both: what the texts said, and the invoice of then in every cell.

    Their packages are billed elsewhere.
    """
    times = {"before": "2026-04-01T02:15:00Z", "renamed": "2026-04-02T01:00:00Z", "cheaper": "2026-04-02T02:00:00Z"}
    plain, changed = (unpacked(tmp_path / name, HOMES[0]) for name in ("plain", "changed"))
    texts = _with_changes(changed, {RENAMED: times["renamed"], CHEAPER: times["cheaper"]})
    assert [commands("init").exit_code for commands in (plain, changed)] == [0, 0]
    engine = open_database(f"sqlite:///{changed.home / 'billing.db'}")
    for count, at in enumerate(times.values(), start=1):
        expected = reduce(Catalog.merged, [parse_catalog(text, "catalog.toml") for text in texts[:count]])
        expected = expected.resolved(Catalog())
        with reading(engine) as conn:
            assert load_catalog(conn, as_of_ms=_ms(at)) == expected

    before, renamed, cheaper = (_invoice(changed, tmp_path, at) for at in times.values())
    assert before == _invoice(plain, tmp_path, times["before"])
    for old, new in (("学園 Academy K.K.", "Academy Inc."), ("Example Media GmbH", "Example Media AG")):
        assert (old in str(before), new in str(before)) == (True, False)
        assert (old in str(renamed), new in str(renamed)) == (False, True)
    assert cheaper["Invoice"] == renamed["Invoice"]


def _with_changes(commands: Commands, changes: dict[str, str]) -> list[str]:
    """Adds catalogs that were applied at some time, and returns the texts of all."""
    with sqlite3.connect(commands.home / "billing.db") as conn:
        rows = [(_ms(at), text) for text, at in changes.items()]
        conn.executemany("INSERT INTO catalog_change (applied_at_ms, source) VALUES (?, ?)", rows)
        texts = [text for (text,) in conn.execute("SELECT source FROM catalog_change ORDER BY id")]
    conn.close()
    return texts


def _ms(at: str) -> int:
    return int(parse_instant(at).timestamp() * 1000)


def _invoice(commands: Commands, folder: Path, at: str) -> dict[str, list[list[str | None]]]:
    """Every sheet of the academy's invoice of March, as it was known then."""
    file = folder / "invoice.xlsx"
    assert commands(f"invoice export academy --month 2026-03 --as-of {at} -o {file}").exit_code == 0
    book = load_workbook(file, data_only=True)
    return {sheet.title: _cells(sheet) for sheet in book.worksheets}


def test_an_upgraded_home_states_the_same_invoices(kept: tuple[Commands, dict[str, Any]], tmp_path: Path) -> None:
    """The total, and the seconds of every day, now and as of then."""
    billing, reports = kept
    for name, options in INVOICES.items():
        if name not in reports:
            assert "documents" in reports  # of that month it has an issued document
            continue
        assert billing(f"invoice export {options} -o {tmp_path / 'invoice.xlsx'}").exit_code == 0
        book = load_workbook(tmp_path / "invoice.xlsx", data_only=True)
        assert _total(_cells(book["Invoice"])) == _total(reports[name]["Invoice"])
        daily, before = _cells(book["Daily"]), reports[name]["Daily"]
        assert daily[: len(before)] == before
        # Below stand what was corrected in the month and the net, if anything was; 0.1.0 had that nowhere.
        corrected = ["Corrections", "Net of corrections"] if "Corrections" in book.sheetnames else []
        assert [row[0] for row in daily[-len(corrected) :] if corrected] == corrected
        assert len(daily) - len(before) in (0, len(corrected))


def test_an_upgraded_home_is_verified_and_what_it_bills_now_is_sealed(
    kept: tuple[Commands, dict[str, Any]], tmp_path: Path
) -> None:
    """The days of then have no seals; a late event of one of them seals its correction."""
    billing, _ = kept
    for line in ("verify", "verify --full", "verify --ledger"):
        done = billing(f"{line} --format json")
        assert (done.exit_code, done.stdout) == (0, "[]\n"), done.output
        assert "settled by an earlier version, without seals" in done.stderr
    late = {"app_id": 20, "room_id": "late", "user_id": "u", "type": "enter", "at": "2026-03-29T10:00:00Z"}
    events = [late, late | {"type": "exit", "at": "2026-03-29T10:07:00Z"}]
    (tmp_path / "late.ndjson").write_text("".join(json.dumps(event) + "\n" for event in events))
    assert billing(f"ingest {tmp_path / 'late.ndjson'}").exit_code == 0
    assert billing("nightly").exit_code == 0
    assert billing("verify --full --format json").stdout == "[]\n"
    with sqlite3.connect(billing.home / "billing.db") as conn:
        kinds = dict(conn.execute("SELECT kind, count(*) FROM day_seal GROUP BY kind"))
        conn.execute("DROP TRIGGER day_seal_refuses_delete")
        conn.execute("DELETE FROM day_seal WHERE kind = 'correction'")
    conn.close()
    assert kinds["correction"] > 0
    done = billing("verify --ledger --format json")
    assert "seal" in {row["check"] for row in json.loads(done.stdout)}


def test_an_issued_document_of_an_upgraded_home_is_the_same_in_every_cell(
    kept: tuple[Commands, dict[str, Any]], tmp_path: Path
) -> None:
    billing, reports = kept
    for name, before in reports.items():
        if name.startswith("issued-"):
            file = tmp_path / "document.xlsx"
            assert billing(f"invoice export {name.removeprefix('issued-')} -o {file}").exit_code == 0
            book = load_workbook(file, data_only=True)
            assert {sheet.title: _cells(sheet) for sheet in book.worksheets} == before
    assert json.loads(billing("audit --format json").stdout) == []


def _cells(sheet: Any) -> list[list[str | None]]:
    return [[None if cell is None else str(cell) for cell in row] for row in sheet.iter_rows(values_only=True)]


def _total(rows: list[list[str | None]]) -> str:
    """The last cell of the row "Total USD" or "Total including tax USD"."""
    (row,) = [row for row in rows if any(cell and cell.startswith("Total ") for cell in row[:-1]) and row[-1]]
    return str(row[-1])


def test_a_billed_home_goes_on_where_it_was(kept: tuple[Commands, dict[str, Any]]) -> None:
    """The nightly after the upgrade finds nothing late, and bills the days that are due."""
    billing, _ = kept
    next_night = parse_instant(billing.now) + timedelta(hours=25, minutes=25)
    billing = Commands(home=billing.home, now=next_night.isoformat())
    done = billing("nightly --format json")
    assert done.exit_code == 0, done.output
    results = [(row["account"], row["result"]) for row in json.loads(done.stdout)]
    assert set(results) == {(account, "billed") for account in ("academy", "berlin", "own")}
    again = billing("nightly --format json")
    assert {row["result"] for row in json.loads(again.stdout)} == {"already_billed"}
