"""Rows that somebody removed from the catalog's tables: each is named, and no other account waits for it."""

import json
import sqlite3
from pathlib import Path

import pytest

from tests.commands import Commands
from tests.sample_home import APP, SAMPLE
from tests.test_silence import CATALOG

POLICY = """
[[policy]]
id = "mine"
name = "Mine"
[[policy.version]]
valid_from = "2020-01-01"
method = "aggregate"
tiers = [{ item = "hd" }]
ratios = { audio = 1, hd = 4 }
free_minutes = 0
[policy.version.prices.USD]
audio = "1"
hd = "2"
"""
MISSING = {
    "account_terms": ("account_id = 'academy'", "the row of account 'academy' in the table account_terms is missing"),
    "policy": ("id = 'mine'", "the row of policy 'mine' of account 'academy' in the table policy is missing"),
    "app": (f"id = {APP}", f"the row of app {APP} of account 'academy' in the table app is missing"),
    "package": ("id = 'starter'", "the row of package 'starter' of account 'academy' in the table package is missing"),
}


@pytest.fixture
def damaged(billing: Commands, tmp_path: Path, request: pytest.FixtureRequest) -> Commands:
    """Two accounts with a billed day, and rows of a table of the first removed."""
    (tmp_path / "catalog.toml").write_text(CATALOG.format(id="fine", app=1, hold="") + POLICY)
    own = (SAMPLE / "catalog.toml").read_text().replace('"trtc-intl"', '"mine"').replace("free_minutes = 50", "")
    (tmp_path / "own.toml").write_text(own)
    event = {"app_id": 1, "at": "2026-03-10T10:00:00Z", "room_id": "r", "user_id": "u", "type": "enter"}
    (tmp_path / "events.ndjson").write_text(json.dumps(event) + "\n")
    for line in (
        f"catalog apply {tmp_path}/catalog.toml",
        f"catalog apply {tmp_path}/own.toml",
        f"ingest {SAMPLE}/events.ndjson {tmp_path}/events.ndjson",
        "nightly",
    ):
        assert billing(line).exit_code == 0
    table, where = request.param
    with sqlite3.connect(billing.home / "billing.db") as database:
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f"DROP TRIGGER {name}")
        database.execute(f"DELETE FROM {table} WHERE {where}")  # noqa: S608
    return Commands(home=billing.home, now="2026-03-12T09:00:00+09:00")


@pytest.mark.parametrize(
    ("damaged", "message"), [((table, where), message) for table, (where, message) in MISSING.items()],
    indirect=["damaged"], ids=MISSING,
)  # fmt: skip
def test_a_missing_row_is_named_and_other_accounts_are_served(damaged: Commands, tmp_path: Path, message: str) -> None:
    for line in (
        "charges academy --month 2026-03",
        "packages academy",
        f"invoice export academy --month 2026-03 -o {tmp_path}/a.xlsx",
    ):
        done = damaged(line)
        assert (done.exit_code, done.stdout, len(done.stderr.splitlines())) == (1, "", 1), done.output
        assert message in done.stderr
    for line in ("charges --all --month 2026-03", "status", "nightly"):
        done = damaged(line)
        assert done.exit_code == 1
        assert "fine" in done.stdout
        assert message in done.stderr.splitlines()[-1]
    assert [row["result"] for row in json.loads(damaged("nightly --account fine --format json").stdout)] == [
        "already_billed"
    ]


@pytest.mark.parametrize("damaged", [("account", "id = 'academy'")], indirect=True)
def test_a_missing_account_is_named_by_what_refers_to_it(damaged: Commands) -> None:
    for line in ("nightly", "status", f"usage {APP} --month 2026-03"):
        done = damaged(line)
        assert done.exit_code == 1
        assert "the row of account 'academy' in the table account is missing" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("damaged", [("used_policy", "1")], indirect=True)
def test_a_policy_that_days_were_billed_with_is_found_in_the_catalog_too(damaged: Commands, tmp_path: Path) -> None:
    assert damaged(f"invoice export academy --month 2026-03 -o {tmp_path}/a.xlsx").exit_code == 0
    with sqlite3.connect(damaged.home / "billing.db") as database:
        database.execute("UPDATE settled_day SET policy_hash = 'x' WHERE account_id = 'academy'")
    done = damaged(f"invoice export academy --month 2026-03 -o {tmp_path}/a.xlsx")
    assert (done.exit_code, len(done.stderr.splitlines())) == (1, 1)
    assert "used_policy" in done.stderr
