"""`billing verify` finds what was changed behind the program's back, and names its day, document or file."""

import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from openpyxl import load_workbook

from billing.money import round_half_up
from tests.commands import Commands
from tests.documents_home import apply, at, ingest, ok, rows
from tests.tampered_home import changed, checked, intact_home, log_file, rewritten, unpacked

pytestmark = pytest.mark.thorough

POLICY = """
[[policy]]
id = "own"
name = "Own rules"
[[policy.version]]
valid_from = 2027-01-01
method = "aggregate"
free_minutes = 0
tiers = [{ item = "hd" }]
ratios = { hd = 4, audio = 1 }
prices = { USD = { hd = "3.99", audio = "0.99" } }
"""
DAY = "2026-03-10"
NUMBER = "R-2026-000001"


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> Commands:
    return intact_home(tmp_path_factory.mktemp("intact"))


@pytest.fixture
def acme(intact: Commands, tmp_path: Path) -> Commands:
    return Commands(home=Path(shutil.copytree(intact.home, tmp_path / "home")), now=intact.now)


def found(run: Commands, line: str = "verify") -> list[dict[str, Any]]:
    """What does not agree: there must be something."""
    done = run(f"{line} --format json")
    assert done.exit_code == 1, done.output
    assert "Traceback" not in done.output
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    assert rows
    return rows


@pytest.mark.parametrize("line", ["", "acme", "--ledger", "--sample 3", "--full", "acme --month 2026-03 --full"])
def test_nothing_is_found_where_all_is_well(acme: Commands, line: str) -> None:
    assert rows(acme, f"verify {line}") == []
    assert rows(at(acme, "2027-05-01T09:00:00+09:00"), f"verify {line}") == []


@pytest.mark.parametrize(
    ("change", "check"),
    [
        ("UPDATE usage SET seconds = seconds - 1 WHERE day = '2026-03-10' AND window_start % 3600 = 0", "charge"),
        ("UPDATE usage SET reason = 'no_video_received' WHERE day = '2026-03-10'", "seal"),
        ("DELETE FROM usage WHERE day = '2026-03-10'", "charge"),
        ("UPDATE deduction SET minutes = minutes - 1 WHERE day = '2026-03-10'", "deduction"),
        ("UPDATE deduction SET package_minutes = package_minutes + 1 WHERE day = '2026-03-10'", "deduction"),
        ("UPDATE charge SET amount_scaled = amount_scaled - 1 WHERE day = '2026-03-10'", "charge"),
        ("UPDATE charge SET payable_minutes = 0, amount_scaled = 0 WHERE day = '2026-03-10'", "charge"),
        ("UPDATE charge SET unit_price_scaled = 1 WHERE day = '2026-03-10'", "price"),
        ("DELETE FROM charge WHERE day = '2026-03-10'", "charge"),
        ("UPDATE burn_down SET package_minutes = package_minutes - 1 WHERE day = '2026-03-10'", "balance"),
        ("UPDATE burn_down SET remaining = remaining + 1 WHERE day = '2026-03-10'", "balance"),
        ("UPDATE settled_day SET policy_hash = 'none' WHERE day = '2026-03-10'", "policy"),
        ("UPDATE settled_day SET ends_at = ends_at - 300 WHERE day = '2026-03-10'", "seal"),
        ("UPDATE day_seal SET root = events_root WHERE day = '2026-03-10'", "seal"),
        ("UPDATE day_seal SET head = root WHERE day = '2026-03-10'", "seal"),
        ("UPDATE day_seal SET events_root = root WHERE day = '2026-03-10'", "seal"),
        ("DELETE FROM day_seal WHERE day = '2026-03-10'", "seal"),
    ],
)
def test_a_changed_row_names_its_day(acme: Commands, change: str, check: str) -> None:
    changed(acme, change)
    for line in ("verify --ledger", "verify acme --month 2026-03"):
        assert (check, DAY) in {(row["check"], row["day"]) for row in found(acme, line)}
    if "day_seal" not in change and "ends_at" not in change:  # the next day begins there, and a chain is one
        assert "2026-03-11" not in {row["day"] for row in found(acme, "verify --ledger")}


def test_a_corrected_day_that_was_changed_is_named(acme: Commands) -> None:
    changed(acme, "UPDATE usage_correction SET seconds = seconds + 1 WHERE day = '2026-04-11'")
    assert {row["day"] for row in found(acme, "verify --ledger")} == {"2026-04-11"}
    assert rows(acme, "verify --ledger --month 2026-03") == []


def test_the_last_seals_cannot_be_cut_off(acme: Commands) -> None:
    changed(acme, "DELETE FROM day_seal WHERE kind = 'correction'")
    assert ("seal", "2026-04-11") in {(row["check"], row["day"]) for row in found(acme, "verify --ledger")}


def test_a_chain_that_was_made_anew_contradicts_the_document(acme: Commands) -> None:
    """Its heads are right again, but an invoice has the one of before."""
    changed(acme, 'UPDATE document SET snapshot = replace(snapshot, \'"seal":"\', \'"seal":"00\')')
    assert {row["document"] for row in found(acme) if row["check"] == "seal"} == {NUMBER, "R-2026-000002"}


def test_an_invoice_prints_the_head_of_its_moment(acme: Commands, tmp_path: Path) -> None:
    """The one that the chain had after the last run that the invoice knows of; later seals do not reach it."""
    with sqlite3.connect(acme.home / "billing.db") as conn:
        heads = dict(
            conn.execute(
                "SELECT number, (SELECT head FROM day_seal WHERE run_id <= document.run_id"
                " ORDER BY day_seal.number DESC LIMIT 1) FROM document"
            ).fetchall()
        )
    conn.close()
    assert len({*heads.values()}) == 2
    for number, head in heads.items():
        ok(acme, f"invoice export {number} -o {tmp_path / 'invoice.xlsx'}")
        sheet = load_workbook(tmp_path / "invoice.xlsx").worksheets[0]
        texts = [str(value) for row in sheet.iter_rows(values_only=True) for value in row if value]
        assert f"Seal of all days billed so far: {head}" in texts


@pytest.mark.parametrize(
    ("change", "check"),
    [
        ("UPDATE contract_price SET price = '999' WHERE item = 'audio'", "contract"),
        ("DELETE FROM contract_price WHERE item = 'audio'", "contract"),
        ("UPDATE contract SET discount = '0.5'", "contract"),
        ("DELETE FROM contract", "contract"),
        ("UPDATE package SET minutes = minutes + 1", "package"),
        ("UPDATE package SET valid_to = '2030-01-01'", "package"),
        ("UPDATE package SET purchased_at = '2026-02-01T08:00:00+09:00'", "package"),
        ("UPDATE package SET price_scaled = 1", "package"),
        ("INSERT INTO package SELECT 'more' || id, account_id, app_id, minutes, purchased_at, price_scaled, term,"
         " valid_from, valid_to, charge FROM package", "package"),
        ("UPDATE account SET currency = 'EUR'", "account"),
        ("UPDATE account_terms SET free_minutes = 5", "account"),
        ("UPDATE catalog_change SET source = '{'", "catalog"),
        ("UPDATE catalog_change SET source = replace(source, '1000', '999')", "contract"),
        ("UPDATE policy SET source = replace(source, '0.99', '0.98')", "policy"),
    ],
)  # fmt: skip
def test_a_changed_contract_or_package_is_not_the_one_that_was_applied(
    acme: Commands, tmp_path: Path, change: str, check: str
) -> None:
    if check == "policy":
        apply(acme, tmp_path, POLICY)
    changed(acme, change)
    assert check in {row["check"] for row in found(acme, "verify --ledger")}
    assert check in {row["check"] for row in found(acme, "verify acme --month 2026-04")}


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE document SET snapshot = replace(snapshot, 'Acme K.K.', 'Somebody') WHERE id = 1",
        "UPDATE document SET total_scaled = 1, net_scaled = 0, tax_scaled = 1 WHERE id = 1",
        "UPDATE document SET due_on = '2027-01-01' WHERE id = 1",
        "UPDATE document_file SET content = content || ' ' WHERE document_id = 1",
        "UPDATE annex_column SET hash = 'none' WHERE document_id = 1 AND header = 'Minutes'",
        "DELETE FROM transfer WHERE document_id = 1",
        "UPDATE document_charge SET line = 2 WHERE document_id = 1",
    ],
)
def test_a_changed_document_or_file_names_its_number(acme: Commands, change: str) -> None:
    changed(acme, change)
    lines = ["verify", "verify acme --month 2026-03"]
    for line in lines if "annex" in change else [*lines, "verify --ledger"]:
        assert NUMBER in {row["document"] for row in found(acme, line)}
    if "snapshot" not in change:  # a chain is one
        assert rows(acme, "verify acme --month 2026-04") == []


def test_a_document_that_was_removed_leaves_a_gap(acme: Commands) -> None:
    changed(acme, "DELETE FROM document WHERE id = 1")
    assert "number" in {row["check"] for row in found(acme)}


# The log


def shifted(events: pl.DataFrame) -> pl.DataFrame:
    return events.with_columns(pl.col("at") + 1000)


def smaller(events: pl.DataFrame) -> pl.DataFrame:
    """Another user, with the keys that stood beside the name before."""
    return events.with_columns(pl.lit("u2").cast(events.schema["user_id"]).alias("user_id"))


def fewer(events: pl.DataFrame) -> pl.DataFrame:
    return events.head(events.height - 1)


def more(events: pl.DataFrame) -> pl.DataFrame:
    return pl.concat([events, events.head(1).with_columns(pl.col("at") - 60_000, event_id=pl.lit("more"))])


@pytest.mark.parametrize("change", [shifted, smaller, fewer, more])
def test_a_changed_event_names_its_day(acme: Commands, change: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
    """Also where somebody has put the size of the new file into the log."""
    rewritten(acme, DAY, change, committed=True)
    for line in ("verify", "verify --sample 2", "verify acme --month 2026-03"):
        assert ("event", DAY) in {(row["check"], row["day"]) for row in found(acme, line)}
    assert rows(acme, "verify acme --month 2026-04") == []


@pytest.mark.parametrize("change", [shifted, fewer])
def test_another_size_than_the_log_says_is_found_without_reading(
    acme: Commands, change: Callable[[pl.DataFrame], pl.DataFrame]
) -> None:
    file = rewritten(acme, DAY, change, committed=False)
    for line in ("verify", "verify --ledger"):
        wrong = [row for row in found(acme, line) if row["check"] == "file"]
        assert [(row["day"], row["file"]) for row in wrong] == [(DAY, str(file))]


def _add_a_byte(file: Path) -> None:
    with file.open("ab") as open_file:
        open_file.write(b"\0")


def _overwrite(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[4:-8] = bytes(len(content) - 12)
    file.write_bytes(content)


def _garble(file: Path) -> None:
    """The marks at both ends and the size stay."""
    content = bytearray(file.read_bytes())
    for place in range(10, len(content) // 2):
        content[place] ^= 0x55
    file.write_bytes(content)


def _forbid(file: Path) -> None:
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize("damage", [Path.unlink, _add_a_byte, _overwrite, _garble, _forbid])
def test_a_missing_or_damaged_file_names_the_day_of_its_partition(
    acme: Commands, damage: Callable[[Path], None]
) -> None:
    file = log_file(acme, DAY)
    damage(file)
    for line in ("verify", "verify --full", "verify acme --month 2026-03"):
        wrong = [row for row in found(acme, line) if row["check"] == "file"]
        assert [(row["day"], row["file"]) for row in wrong] == [(DAY, str(file))]
    assert rows(acme, "verify acme --month 2026-04") == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read_is_named(acme: Commands) -> None:
    file = log_file(acme, DAY)
    file.chmod(0)
    assert str(file) in {row["file"] for row in found(acme)}


def test_a_log_that_cannot_be_opened_is_a_row(acme: Commands) -> None:
    for commit in (acme.home / "events" / "_delta_log").glob("*.json"):
        commit.write_text("{")
    assert "log" in {row["check"] for row in found(acme)}


# The second engine


def test_usage_that_all_sums_agree_with_is_found_by_the_second_engine(acme: Commands) -> None:
    """One minute is moved to the next window, and every root is made anew: only the rooms say otherwise."""
    changed(
        acme,
        "UPDATE usage SET seconds = seconds - 60 WHERE day = '2026-04-10' AND window_start ="
        " (SELECT min(window_start) FROM usage WHERE day = '2026-04-10')",
        "UPDATE usage SET seconds = seconds + 60 WHERE day = '2026-04-10' AND window_start ="
        " (SELECT max(window_start) FROM usage WHERE day = '2026-04-10')",
    )
    assert ("usage", "2026-04-10") in {(row["check"], row["day"]) for row in found(acme, "verify --full")}


SUBSCRIBED = """
[[account]]
id = "berlin"
name = "Berlin"
currency = "CNY"
timezone = "Europe/Berlin"
policy = "trtc-cn"

[[app]]
id = 7
account = "berlin"
name = "Rooms"
"""


def lecture() -> list[dict[str, Any]]:
    """A lecturer publishes to listeners who are subscribed to all, over the night in which the clocks change; one of
    them turns the screen off, and one is cut off for a while."""
    steps = [
        ("2026-03-28T21:00:00Z", "lecturer", "enter", {"receives": "all", "connection": "l1"}),
        ("2026-03-28T21:00:10Z", "lecturer", "publish", {"stream": "lecturer/camera", "width": 1280, "height": 720}),
        ("2026-03-28T21:05:00Z", "lecturer", "publish", {"stream": "lecturer/screen", "width": 1920, "height": 1080}),
        ("2026-03-28T22:10:00Z", "one", "enter", {"receives": "all", "connection": "a1"}),
        ("2026-03-28T22:40:00Z", "two", "enter", {"receives": "all", "connection": "b1"}),
        ("2026-03-28T22:50:00Z", "one", "video_off", {"stream": "lecturer/screen", "connection": "a1"}),
        ("2026-03-29T00:30:00Z", "two", "disconnect", {"connection": "b1"}),
        ("2026-03-29T00:31:00Z", "two", "reconnect", {"receives": "all", "connection": "b2"}),
        ("2026-03-29T01:30:00Z", "lecturer", "unpublish", {"stream": "lecturer/camera"}),
        ("2026-03-29T22:30:00Z", "one", "exit", {"connection": "a1"}),
        ("2026-03-29T22:40:00Z", "two", "exit", {}),
        ("2026-03-29T22:50:00Z", "lecturer", "exit", {}),
    ]
    return [
        {"app_id": 7, "room_id": "hall", "user_id": user, "at": at, "type": kind, **more}
        for at, user, kind, more in steps
    ]


def test_rooms_with_automatic_subscription_agree_by_stream_and_over_a_change_of_clocks(tmp_path: Path) -> None:
    """Also when an event in the midst of them comes late; and so do their bundles."""
    run = Commands(home=tmp_path / "home", now="2026-04-02T00:00:00Z")
    ok(run, "init")
    apply(run, tmp_path, SUBSCRIBED)
    told = [json.dumps(event) + "\n" for event in lecture()]
    ingest(run, tmp_path, *told[:5], *told[6:])
    ok(run, "nightly")
    assert rows(run, "verify --full") == rows(run, "verify") == []
    ingest(run, tmp_path, told[5])
    assert "corrected" in {row["result"] for row in rows(run, "nightly")}
    assert rows(run, "verify --full") == rows(run, "verify") == []
    (fhd,) = {row["item"] for row in rows(run, "usage 7 --from 2026-03-29 --to 2026-03-29 --by day")} & {"fhd"}
    assert fhd
    for month in ("2026-03", "2026-04"):
        amounts = [Decimal(row["amount"]) for row in rows(run, f"charges berlin --month {month}")]
        charged = sum(amounts, Decimal(0))
        ok(run, f"bundle berlin --month {month} -o {tmp_path / month}.zip")
        exit_code, lines = checked(unpacked(tmp_path / f"{month}.zip", tmp_path / month))
        assert exit_code == 0, lines
        # What April corrects makes a credit note, with positive amounts.
        assert Decimal(lines[-1].split()[1]) == abs(round_half_up(charged, 2))


# Usage of the command


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("verify nobody", "unknown account"),
        ("verify --ledger --full", "give one of"),
        ("verify --sample 0", "--sample"),
        ("verify --month 2026-3x", "is not a month"),
    ],
)
def test_what_cannot_be_verified_is_said(acme: Commands, line: str, said: str) -> None:
    done = acme(line)
    assert done.exit_code == 2
    assert said in done.stderr


def test_a_table_says_what_to_do(acme: Commands) -> None:
    changed(acme, "UPDATE charge SET amount_scaled = amount_scaled - 1 WHERE day = '2026-03-10'")
    done = acme("verify")
    assert done.exit_code == 1
    assert "do not agree" in done.stderr or "does not agree" in done.stderr
    assert DAY in done.stdout
