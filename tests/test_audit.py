"""The audit finds what was changed behind the program's back."""

import json
import sqlite3
from pathlib import Path

import pytest

from tests.commands import Commands
from tests.documents_home import at, audio, catalog, home, ok, rows


@pytest.fixture
def acme(tmp_path: Path) -> Commands:
    """Two invoices, a credit note and a payment."""
    days = [audio("2026-03-10", 100), audio("2026-04-10", 50)]
    run = home(tmp_path, catalog('tax = "jp-10"'), days, now="2026-05-01T09:00:00+09:00")
    for line in (
        "invoice finalize acme --month 2026-03",
        "invoice finalize acme --month 2026-04",
        "invoice credit R-2026-000001 --amount 10 --reason goodwill",
        "payment add acme 30 --id B1",
    ):
        ok(run, line)
    return run


def test_nothing_is_found_where_all_is_well(acme: Commands) -> None:
    assert rows(acme, "audit") == []
    assert rows(at(acme, "2027-05-01T09:00:00+09:00"), "audit") == []


@pytest.mark.parametrize(
    ("change", "checks"),
    [
        ("UPDATE document SET snapshot = replace(snapshot, 'Acme K.K.', 'Somebody') WHERE id = 1", {"chain"}),
        ("UPDATE document SET total_scaled = 1, net_scaled = 0, tax_scaled = 1 WHERE id = 2", {"row", "ledger"}),
        ("UPDATE document SET due_on = '2027-01-01' WHERE id = 1", {"row"}),
        ("DELETE FROM document WHERE id = 1", {"number", "chain", "charge"}),
        ("UPDATE document SET issued_on = '2026-05-09' WHERE id = 1", {"issue date", "row"}),
        ("DELETE FROM document_charge WHERE document_id = 2", {"charge", "line"}),
        ("UPDATE transfer SET amount_scaled = amount_scaled + 1 WHERE cause = 'payment'", {"ledger"}),
        ("DELETE FROM transfer WHERE document_id = 2", {"ledger"}),
        ("UPDATE usage SET seconds = seconds - 1 WHERE day = '2026-04-10'", {"annex"}),
        ("UPDATE usage SET reason = 'camera' WHERE day = '2026-03-10'", {"annex"}),
        ("DELETE FROM annex_column WHERE document_id = 1", {"annex"}),
        ("DELETE FROM closed_month WHERE month = '2026-03-01'", {"month"}),
    ],
)
def test_every_change_is_named(acme: Commands, change: str, checks: set[str]) -> None:
    with sqlite3.connect(acme.home / "billing.db") as conn:
        triggers = conn.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for (name,) in triggers:
            conn.execute(f"DROP TRIGGER {name}")
        conn.execute(change)
    conn.close()
    done = acme("audit --format json")
    assert done.exit_code == 1
    assert checks <= {row["check"] for row in json.loads(done.stdout)}, done.stdout


def test_a_refund_at_the_instant_of_an_invoice_does_not_reach_its_annex(tmp_path: Path) -> None:
    """The clock stands still for both."""
    package = """
[[package]]
id = "old"
account = "acme"
minutes = 25000
purchased_at = "2026-03-01T08:00:00+09:00"
price = "24.00"
"""
    run = home(tmp_path, catalog(more=package), [audio("2026-03-10", 10)], now="2026-04-01T09:00:00+09:00")
    ok(run, "invoice finalize acme --month 2026-03")
    ok(run, "package refund old")
    assert rows(run, "audit") == []
