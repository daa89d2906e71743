"""Documents and money on both databases: the same commands give the same rows, and what is written refuses changes."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import delete, select, update
from sqlalchemy.exc import DatabaseError

from billing.cli.main import main
from billing.ledger.database import open_database, reading, writing
from billing.ledger.document_tables import WRITTEN_ONCE
from tests.documents_home import audio, catalog

pytestmark = pytest.mark.thorough

PACKAGE = """
[[package]]
id = "{charge}"
account = "acme"
minutes = 250000
purchased_at = "2026-03-11T10:00:00+09:00"
price = "227"
charge = "{charge}"
"""
STORY = [
    ("2026-04-01T09:00:00+09:00", "nightly"),
    ("2026-04-01T09:00:00+09:00", "invoice finalize acme --month 2026-03"),
    ("2026-04-01T10:00:00+09:00", "payment add acme 100 --id B1 --reference R-2026-000002"),
    ("2026-04-01T10:00:00+09:00", "invoice credit R-2026-000002 --lines 1 --reason wrong"),
    ("2026-04-01T11:00:00+09:00", "package refund prepaid"),
    ("2026-04-01T11:00:00+09:00", "package refund external"),
    ("2026-04-01T12:00:00+09:00", "payment add acme 100 --id B2"),
    ("2026-05-01T09:00:00+09:00", "nightly"),
    ("2026-05-01T09:00:00+09:00", "invoice finalize acme --month 2026-04"),
]
ENDS = ["invoice list", "account balance", "packages acme", "payment list", "charges acme --month 2026-03", "audit"]
ENDS += ["verify --full", "verify --ledger"]


def run(url: str, home: Path, now: str, line: str) -> list[dict[str, Any]]:
    arguments = ["--home", str(home), "--database-url", url, *line.split()]
    if not line.startswith(("init", "catalog", "ingest")):
        arguments += ["--format", "json"]
    result = CliRunner(env={"BILLING_NOW": now}).invoke(main, arguments, catch_exceptions=False)
    assert result.exit_code == 0, f"{line}: {result.output}"
    found: list[dict[str, Any]] = json.loads(result.stdout) if "--format" in arguments else []
    return found


def told(url: str, folder: Path) -> dict[str, Any]:
    """What the commands of the story print, and what stands at its end."""
    home, start = folder / "home", "2026-04-01T09:00:00+09:00"
    packages = "".join(PACKAGE.format(charge=charge) for charge in ("invoice", "prepaid", "external"))
    (folder / "catalog.toml").write_text(catalog('tax = "jp-10"\noverdue_policy = "trtc"', packages), encoding="utf-8")
    (folder / "events.ndjson").write_text(audio("2026-03-10", 100) + audio("2026-03-12", 40), encoding="utf-8")
    for line in ("init", f"catalog apply {folder}/catalog.toml", f"ingest {folder}/events.ndjson"):
        run(url, home, start, line)
    printed = {f"{now} {line}": run(url, home, now, line) for now, line in STORY}
    return printed | {line: run(url, home, "2026-05-02T09:00:00+09:00", line) for line in ENDS}


def test_both_databases_tell_the_same_story(database_url: str, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "this").mkdir()
    expected = told(f"sqlite:///{tmp_path / 'other' / 'billing.db'}", tmp_path / "other")
    found = told(database_url, tmp_path / "this")
    assert found == expected
    assert found["audit"] == found["verify --full"] == found["verify --ledger"] == []
    assert [(row["number"], row["total"]) for row in found["invoice list"]] == [
        ("R-2026-000001", "249.7"),
        ("R-2026-000002", "359.7"),
        ("RC-2026-000001", "110"),
        ("RC-2026-000002", "249.7"),
        ("RC-2026-000003", "249.65"),
    ]


def test_what_is_written_once_refuses_changes(database_url: str, tmp_path: Path) -> None:
    told(database_url, tmp_path)
    engine = open_database(database_url)
    with reading(engine) as conn:
        filled = [table for table in WRITTEN_ONCE if conn.execute(select(table).limit(1)).first()]
    assert len(filled) > 8
    for table in filled:
        for change in (delete(table), update(table).values({table.c[0].name: table.c[0]})):
            with pytest.raises(DatabaseError, match=f"{table.name} is written once"), writing(engine) as conn:
                conn.execute(change)
