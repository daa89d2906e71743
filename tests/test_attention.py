"""What needs doing about an account: arrears by its overdue policy, and documents that are overdue."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from billing.home import Home
from billing.ledger.database import open_database
from billing.money import plain
from billing.reports.attention import needs
from tests.commands import Commands
from tests.documents_home import audio, catalog, home, ok


def found(run: Commands, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str | None, str, str]]:
    """Kind, account, subject and amount of what concerns money."""
    monkeypatch.setenv("BILLING_NOW", run.now)
    every = needs(Home.at(run.home), open_database(run.home / "billing.db"))
    return [
        (each.kind, each.account, each.subject, plain(each.amount or Decimal(0)))
        for each in every
        if each.kind in ("arrears", "overdue")
    ]


def test_an_account_that_is_billed_later_needs_nothing_until_its_document_is_overdue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = home(tmp_path, catalog(), [audio("2026-03-10", 90)], now="2026-04-03T09:00:00+09:00")
    ok(run, "invoice finalize acme --month 2026-03")
    assert found(run, monkeypatch) == []
    assert found(replace(run, now="2026-05-03T23:00:00+09:00"), monkeypatch) == []
    late = replace(run, now="2026-05-04T00:00:00+09:00")
    assert found(late, monkeypatch) == [("overdue", "acme", "2026-05-03", "90")]
    ok(late, "payment add acme 60 --id B1")
    assert found(late, monkeypatch) == [("overdue", "acme", "2026-05-03", "30")]
    ok(late, "payment add acme 30 --id B2")
    assert found(late, monkeypatch) == []


def test_an_account_with_an_overdue_policy_is_in_arrears_while_that_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = catalog('overdue_policy = "trtc"')
    run = home(tmp_path, text, [audio("2026-03-10", 9)], now="2026-03-11T09:00:00+09:00")
    assert found(run, monkeypatch) == [("arrears", "acme", "", "-9")]
    ok(run, "payment add acme 10 --id B1")
    assert found(run, monkeypatch) == []
