"""The books of two accounts: what a month's facts, findings and packages say of them."""

import json
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from billing.errors import BillingError, UsageError
from billing.home import Home
from billing.invoicing.annex import Annex
from billing.ledger.account_ledger import AccountLedger
from billing.ledger.annexes import read_annex
from billing.ledger.database import open_database, reading
from billing.reports import account as books
from tests.commands import ROOT, Commands

CATALOG = """
[[account]]
id = "acme"
name = "Acme"
currency = "USD"
timezone = "Asia/Tokyo"
policy = "trtc-intl"
free_minutes = 20

[[account]]
id = "quiet"
name = "Quiet"
currency = "USD"
timezone = "UTC"
policy = "trtc-intl"

[[app]]
id = 1
account = "acme"
name = "One"

[[app]]
id = 2
account = "quiet"
name = "Two"

[[package]]
id = "march"
account = "acme"
minutes = 30
purchased_at = "2026-03-01T12:00:00+09:00"
term = "month"

[[package]]
id = "year"
account = "acme"
app = 1
minutes = 15
purchased_at = "2026-03-31T12:00:00+09:00"

[[contract]]
account = "acme"
valid_from = "2026-03-31"
discount = "0.5"
[contract.prices]
audio = "0.7"
"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Alone in a room from 00:00 to 01:00 on 2026-03-30, 03-31 and 04-01, billed up to 04-01."""
    home = Home.at(tmp_path / "home")
    (tmp_path / "catalog.toml").write_text(CATALOG)
    (tmp_path / "events.ndjson").write_text("".join(json.dumps(event) + "\n" for event in events()))
    run = Commands(home=home.directory, now="2026-04-02T09:00:00+09:00")
    for line in ("init", f"catalog apply {tmp_path}/catalog.toml", f"ingest {tmp_path}/events.ndjson", "nightly"):
        assert run(line).exit_code == 0
    return home


def events() -> Iterator[dict[str, Any]]:
    for day in ("2026-03-30", "2026-03-31", "2026-04-01"):
        for clock, kind in (("00:00:00", "enter"), ("01:00:00", "exit"), ("02:00:00.250", "exit")):
            yield {"app_id": 1, "at": f"{day}T{clock}+09:00", "room_id": "r", "user_id": "u", "type": kind}


def facts(home: Home, month: date) -> Annex:
    with reading(open_database(home.database)) as conn:
        return read_annex(AccountLedger.at(conn, "acme"), month)


def test_a_month_states_its_charges_with_the_list_price_unless_the_contract_has_its_own(home: Home) -> None:
    month = facts(home, date(2026, 3, 1)).month
    assert [(each.day.day, month.list_price(each), each.charge.unit_price) for each in month.charges] == [
        (30, Decimal("0.99"), Decimal("0.00099")),
        (31, None, Decimal("0.0007")),
    ]


def test_a_month_says_the_contracts_that_held(home: Home) -> None:
    (terms,) = facts(home, date(2026, 3, 1)).invoice.header.contract
    assert terms == "from 2026-03-31: list prices x 0.5, audio 0.7 per 1,000 minutes"


def test_a_month_has_the_packages_that_were_valid_in_it_as_of_its_end(home: Home) -> None:
    """20 free minutes, 30 of `march` and 15 of `year` pay for March's 60 + 60 minutes; April has 20 free ones again."""
    march = facts(home, date(2026, 3, 1))
    april = facts(home, date(2026, 4, 1))
    shown = ("id", "granted", "deducted", "lapsed", "remaining")
    rows = {name: [(*(getattr(each, field) for field in shown), month.deducted[each.id]) for each in month.packages]
            for name, month in (("march", march), ("april", april))}  # fmt: skip
    assert rows == {
        "march": [("free-2026-03", 20, 20, 0, 0, 20), ("march", 30, 30, 0, 0, 30), ("year", 15, 15, 0, 0, 15)],
        "april": [("free-2026-04", 20, 20, 0, 0, 20), ("year", 15, 15, 0, 0, 0)],
    }
    assert (march.packages[2].valid_from, march.packages[2].valid_to) == (date(2026, 3, 31), date(2027, 3, 31))
    through = [month.invoice.header.billed_through for month in (march, april)]
    assert through == [date(2026, 3, 31), date(2026, 4, 1)]


def test_a_month_that_is_not_over_has_the_days_that_are_billed(home: Home) -> None:
    april = facts(home, date(2026, 4, 1))
    assert april.month.days == [date(2026, 4, 1)]
    assert april.invoice.totals.total == Decimal("0.03")  # 40 minutes x 0.0007


def test_a_month_names_the_policy_that_priced_it(home: Home) -> None:
    ((policy, version),) = facts(home, date(2026, 3, 1)).month.policies
    assert (policy.id, version.valid_from) == ("trtc-intl", date(2023, 1, 12))
    assert [(item, version.prices["USD"][item], version.ratios[item]) for item in version.items][:2] == [
        ("audio", Decimal("0.99"), 1),
        ("hd", Decimal("3.99"), 4),
    ]


def test_a_month_without_a_billed_day_has_no_invoice(home: Home) -> None:
    with pytest.raises(BillingError, match=r"no day of 2026-05 is billed .* run `billing nightly` first"):
        facts(home, date(2026, 5, 1))


def test_findings_are_of_all_accounts_of_one_or_of_an_app(home: Home) -> None:
    engine, always = open_database(home.database), {"first": date(2000, 1, 1), "last": date(2100, 1, 1)}
    every = books.findings(engine, **always)
    assert every.select("day", "at", "finding").row(0) == (
        date(2026, 3, 30), "2026-03-30T02:00:00.250+09:00", "outside_stay",
    )  # fmt: skip
    assert every.height == 3
    assert books.findings(engine, account_id="acme", **always).equals(every)
    assert books.findings(engine, app_id=1, **always).equals(every)
    assert books.findings(engine, account_id="quiet", **always).is_empty()
    assert books.findings(engine, first=date(2026, 3, 31), last=date(2026, 3, 31)).height == 1
    with pytest.raises(UsageError, match="belongs to account 'acme'"):
        books.findings(engine, account_id="quiet", app_id=1, **always)


def test_packages_are_valid_from_an_instant_up_to_another(home: Home) -> None:
    rows = books.packages(open_database(home.database), "acme").select("id", "app_id", "valid_from", "expires_at")
    assert rows.rows() == [
        ("free-2026-03", None, "2026-03-01T00:00:00+09:00", "2026-04-01T00:00:00+09:00"),
        ("free-2026-04", None, "2026-04-01T00:00:00+09:00", "2026-05-01T00:00:00+09:00"),
        ("march", None, "2026-03-01T00:00:00+09:00", "2026-04-01T00:00:00+09:00"),
        ("year", 1, "2026-03-31T00:00:00+09:00", "2027-04-01T00:00:00+09:00"),
    ]


def test_views_become_pandas_frames(home: Home) -> None:
    frame = books.charges(open_database(home.database), "acme", date(2026, 3, 1)).to_pandas()
    assert frame["amount"].sum() == Decimal("0.0414")  # 10 x 0.00099 + 45 x 0.0007


def test_free_minutes_stand_before_a_package_whose_id_begins_like_theirs(tmp_path: Path) -> None:
    """Also while days are open; the package is older than the month."""
    run = Commands(home=tmp_path / "home")
    trial = '[[package]]\nid = "free-trial"\naccount = "academy"\nminutes = 5\npurchased_at = 2026-02-20T00:00:00Z\n'
    (tmp_path / "trial.toml").write_text(trial)
    sample = ROOT / "sample_data"
    for line in (
        "init",
        f"catalog apply {sample / 'catalog.toml'}",
        f"catalog apply {tmp_path / 'trial.toml'}",
        f"ingest {sample / 'events.ndjson'}",
        "refresh",
    ):
        assert run(line).exit_code == 0
    packages = json.loads(run("packages academy --provisional --format json").stdout)
    assert [package["id"] for package in packages] == ["free-2026-03", "free-trial", "starter"]
