"""Arrears: which step is reached when, and what `billing status` answers."""

import json
from pathlib import Path

import pytest

from billing.catalog.overdue import BUILTIN_OVERDUE_POLICIES
from billing.receivables.arrears import Arrears, reached
from tests.commands import Commands
from tests.documents_home import APP, apply, at, audio, catalog, home, ingest, ok, refused, rows

HOUR = 3_600_000
TRTC = BUILTIN_OVERDUE_POLICIES["trtc"]


def states(now: int, **recorded: int) -> list[str]:
    return [each.step.state for each in reached(TRTC, Arrears(began_ms=0, recorded_ms=recorded), now)]


def test_a_day_after_the_reminder_the_account_is_suspended() -> None:
    assert states(0) == ["reminded"]
    assert states(24 * HOUR - 1, reminded=0) == ["reminded"]
    assert states(24 * HOUR, reminded=0) == ["reminded", "suspended"]
    assert states(24 * HOUR + 60 * 24 * HOUR, reminded=0, suspended=24 * HOUR) == [
        "reminded",
        "suspended",
        "reclaimable",
    ]


def test_nobody_is_suspended_before_the_reminder_was_recorded_a_day_ago() -> None:
    """Cron stood still for ten days: the reminder is recorded then, and 24 hours are left to pay."""
    assert states(240 * HOUR) == ["reminded"]
    assert states(263 * HOUR, reminded=240 * HOUR) == ["reminded"]
    assert states(264 * HOUR, reminded=240 * HOUR) == ["reminded", "suspended"]


def status(run: Commands) -> dict[str, object]:
    (row,) = rows(run, f"status {APP}")
    return row


@pytest.fixture
def acme(tmp_path: Path) -> Commands:
    """10.00 of credit; 9 minutes on 03-10, 3 more on 03-11, at 1.00 each; nothing is billed yet."""
    run = Commands(home=tmp_path / "home", now="2026-03-10T09:00:00+09:00")
    ok(run, "init")
    apply(run, tmp_path, catalog('overdue_policy = "trtc"'))
    ok(run, "payment add acme 10 --id B1")
    events = [audio("2026-03-10", 9), audio("2026-03-11", 3), audio("2026-03-12", 1, "v")]
    ingest(at(run, "2026-03-12T23:00:00+09:00"), tmp_path, *events)
    return run


def test_the_story_of_an_account_in_arrears(acme: Commands) -> None:
    first = at(acme, "2026-03-11T00:20:00+09:00")
    ok(first, "nightly")
    assert (status(first)["balance"], status(first)["state"]) == ("1", "active")
    second = at(acme, "2026-03-12T00:20:00+09:00")
    ok(second, "nightly")
    row = status(second)
    assert (row["balance"], row["state"], row["reason"], row["admit"]) == ("-2", "reminded", "arrears", True)
    assert row["since"] == "2026-03-12T00:20:00.000+09:00"
    just_before = status(at(acme, "2026-03-13T00:19:59+09:00"))
    assert (just_before["state"], just_before["admit"]) == ("reminded", True)
    refusing = status(at(acme, "2026-03-13T00:20:00+09:00"))
    assert (refusing["state"], refusing["admit"], refusing["reason"]) == ("suspended", False, "arrears")
    assert (refusing["code_native"], refusing["code_web"]) == (-100013, 10006)
    assert (refusing["since"], refusing["valid_until"]) == (
        "2026-03-13T00:20:00.000+09:00",
        "2026-03-13T00:35:00.000+09:00",
    )
    paying = at(acme, "2026-03-13T15:00:00+09:00")
    ok(paying, "nightly")
    ok(paying, "payment add acme 5 --id B2")
    row = status(paying)
    assert (row["balance"], row["state"], row["reason"], row["admit"]) == ("2", "active", None, True)
    assert row["since"] == "2026-03-13T15:00:00.000+09:00"
    assert json.loads((acme.home / "status.json").read_text()) == [row]


def test_entries_while_suspended_are_billed_with_a_finding(acme: Commands, tmp_path: Path) -> None:
    ok(at(acme, "2026-03-12T00:20:00+09:00"), "nightly")
    suspended = at(acme, "2026-03-14T00:20:00+09:00")
    ingest(suspended, tmp_path, audio("2026-03-13", 2, "w"))
    ok(suspended, "nightly")
    found = rows(suspended, "findings --from 2026-03-12 --to 2026-03-13")
    assert [(row["finding"], row["user_id"], row["at"]) for row in found] == [
        ("entered_suspended", "w", "2026-03-13T10:00:00.000+09:00")
    ]
    assert rows(suspended, "charges acme --month 2026-03")[-1]["amount"] == "2"


def test_a_held_account_is_admitted_until_the_end_of_the_day(acme: Commands) -> None:
    ok(at(acme, "2026-03-12T00:20:00+09:00"), "nightly")
    later = at(acme, "2026-03-14T12:00:00+09:00")
    assert status(later)["admit"] is False
    (held,) = rows(later, "account hold acme --until 2026-03-15")
    assert (held["admit"], held["state"]) == (True, "active")
    assert status(at(acme, "2026-03-15T23:59:59+09:00"))["admit"] is True
    assert status(at(acme, "2026-03-16T00:00:00+09:00"))["admit"] is False


def test_a_disabled_app_is_refused_until_it_is_enabled(acme: Commands) -> None:
    (off,) = rows(acme, f"app disable {APP}")
    assert (off["admit"], off["state"], off["reason"]) == (False, "disabled", "disabled")
    (on,) = rows(at(acme, "2026-03-10T10:00:00+09:00"), f"app enable {APP}")
    assert (on["admit"], on["state"], on["since"]) == (True, "active", "2026-03-10T10:00:00.000+09:00")
    assert "unknown app" in refused(acme, "app disable 5", 2)


def test_an_unknown_app_is_an_answer_and_no_error(acme: Commands) -> None:
    (row,) = rows(acme, "status 5")
    assert (row["admit"], row["reason"], row["account"]) == (False, "unknown_app", None)


def test_without_pay_as_you_go_nobody_enters_when_no_minutes_are_left(tmp_path: Path) -> None:
    terms = catalog("pay_as_you_go = false").replace("free_minutes = 0", "free_minutes = 5")
    run = home(tmp_path, terms, [audio("2026-03-10", 4)], now="2026-03-11T09:00:00+09:00")
    assert status(run)["admit"] is True
    evening = at(run, "2026-03-11T12:00:00+09:00")
    ingest(evening, tmp_path, audio("2026-03-11", 1, "v"))
    ok(evening, "refresh")
    row = status(evening)
    assert (row["admit"], row["state"], row["reason"]) == (False, "no_minutes", "no_minutes")
    april = at(run, "2026-04-01T00:00:00+09:00")
    assert status(april)["admit"] is True


def test_without_a_policy_nothing_ever_happens(acme: Commands, tmp_path: Path) -> None:
    apply(acme, tmp_path, catalog())
    late = at(acme, "2026-06-01T00:20:00+09:00")
    ok(late, "nightly")
    assert (status(late)["state"], status(late)["balance"]) == ("active", "-3")


def test_a_list_of_admissions_that_is_lost_is_written_whole_again(tmp_path: Path) -> None:
    other = catalog("").replace('"acme"', '"other"').replace(str(APP), str(APP + 1))
    accounts = other[other.index("[[account]]") :]
    run = Commands(home=tmp_path / "home", now="2026-03-10T09:00:00+09:00")
    ok(run, "init")
    apply(run, tmp_path, catalog("") + accounts)
    path = run.home / "status.json"
    published = json.loads(path.read_text())
    for damage in (None, "[{", "7", '{"account": 1}', '["account"]', '[{"account": "acme"}]'):
        if damage is None:
            path.unlink()
        else:
            path.write_text(damage)
        ok(run, "payment add acme 10 --id B1")
        again = json.loads(path.read_text())
        assert [row["app_id"] for row in again] == [row["app_id"] for row in published] == [APP, APP + 1]
