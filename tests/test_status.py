"""`billing status`: how far every account is billed, when its apps were heard, and what needs doing."""

import json
import sqlite3
from decimal import Decimal
from pathlib import Path

import polars as pl

from billing.reports.status import quarantined_by_app
from tests.commands import Commands
from tests.sample_home import APP, EVENT, SAMPLE, rows
from tests.test_silence import STOPPED, event, home, ingested


def states(run: Commands) -> dict[str, str]:
    return {row["account"]: row["state"] for row in rows(run, "status")}


def test_a_new_app_has_no_events_and_nothing_needs_doing(billing: Commands) -> None:
    (row,) = rows(billing, "status")
    assert row == {
        "account": "academy", "app_id": APP, "state": "no_events", "billed_through": None, "last_event_at": None,
        "quarantined": 0, "provisional_amount": None, "currency": "USD",
    }  # fmt: skip
    assert billing("status").stderr == "nothing needs doing\n"


def test_an_account_without_apps_has_a_row_too(billing: Commands, tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(
        '[[account]]\nid = "zoo"\nname = "Z"\ncurrency = "CNY"\ntimezone = "UTC"\npolicy = "trtc-cn"\n'
    )
    assert billing(f"catalog apply {tmp_path}/c.toml").exit_code == 0
    assert [(row["account"], row["app_id"], row["state"], row["currency"]) for row in rows(billing, "status")] == [
        ("academy", APP, "no_events", "USD"), ("zoo", None, "no_events", "CNY"),
    ]  # fmt: skip


def test_an_app_is_due_then_billed_and_its_last_event_and_quarantine_are_shown(billing: Commands) -> None:
    assert billing(f"ingest {SAMPLE}/events.ndjson").exit_code == 0
    (row,) = rows(billing, "status")
    assert (row["state"], row["last_event_at"], row["quarantined"]) == ("due", "2026-03-10T10:16:30.000+09:00", 1)
    assert billing("status").stderr.splitlines() == [
        "academy: due: 2026-03-10: run `billing nightly`",
        "quarantined rows: 1 no_offset: see `billing quarantine list`",
    ]
    assert billing("refresh").exit_code == 0
    (row,) = rows(billing, "status")
    assert Decimal(row["provisional_amount"]) == Decimal("0.22173")
    assert billing("nightly").exit_code == 0
    (row,) = rows(billing, "status")
    assert (row["state"], row["billed_through"], row["provisional_amount"]) == ("ok", "2026-03-10", "0")


def test_findings_of_the_last_billed_day_are_counted(billing: Commands) -> None:
    assert ingested(billing, EVENT | {"type": "exit"}).exit_code == 0
    assert billing("nightly").exit_code == 0
    assert billing("status").stderr == "findings of the last billed days: 1: see `billing findings`\n"


def test_a_failed_day_is_named(billing: Commands) -> None:
    with sqlite3.connect(billing.home / "billing.db") as database:
        database.execute("UPDATE account SET currency = 'EUR'")
    assert ingested(billing, EVENT).exit_code == 0
    assert billing("nightly").exit_code == 1
    assert states(billing) == {"academy": "failed"}
    assert billing("status").stderr.startswith("academy: failed on 2026-03-10: ")


def test_a_silent_app_is_named_and_so_is_a_held_day(tmp_path: Path) -> None:
    """Before and after a refresh, which knows that the users are still inside."""
    run = home(tmp_path, stopped="PT2H", fine="")
    for line in ("nightly", "refresh"):
        assert run(line).exit_code == 0
        assert states(run) == {"stopped": "held", "fine": "ok"}
        held, *_ = run("status").stderr.splitlines()
        assert held.startswith("stopped: held: 2026-03-10: ")
    assert run("nightly --despite-silence").exit_code == 0
    assert states(run) == {"stopped": "silent", "fine": "ok"}
    # (The stay of the user who entered at 09:00 ends now, after 24 hours.)
    assert run("status").stderr == f"stopped: {STOPPED.replace('(2)', '(1)')}: see to its feed\n"
    assert ingested(run, event(1, "2026-03-11T08:59:00", "exit")).exit_code == 0
    assert states(run)["stopped"] == "ok"


def test_the_table_fits_a_screen(tmp_path: Path) -> None:
    run = home(tmp_path, **{"a-rather-long-name-of-an-account": "PT2H", "fine": ""})
    (tmp_path / "bad.ndjson").write_text(json.dumps(EVENT | {"app_id": 1, "at": "2026-03-10T10:00:00"}) + "\n")
    for line in (f"ingest {tmp_path}/bad.ndjson", "refresh"):
        assert run(line).exit_code == 0
    table = run("status").stdout
    assert max(map(len, table.splitlines())) <= 80
    assert "2026-03-10" in table


def test_quarantined_rows_are_counted_by_the_app_that_they_name() -> None:
    stored = [
        ('{"app_id": 7, "at": 1}', "ndjson", None), ('{"at": 1, "app_id" : 7', "ndjson", None),
        ('{"app_id": "7"}', "ndjson", None), ("no", "ndjson", None), ("1,8,x", "csv", "at,app_id,note"),
        ("1", "csv", "at,app_id"), ("1,x", "csv", "at,app_id"), ("\x00", None, None),
    ]  # fmt: skip
    found = pl.DataFrame(stored, schema={"raw": pl.String, "format": pl.String, "header": pl.String}, orient="row")
    assert quarantined_by_app(found) == {7: 2, 8: 1}
