"""Closing months: numbers, due dates, what is refused, and what late events do to closed months."""

import json
from pathlib import Path

import pytest

from tests.commands import Commands
from tests.documents_home import APP, apply, at, audio, catalog, home, ingest, ok, refused, rows

TAXED = 'tax = "jp-10"'
APRIL = "2026-04-01T09:00:00+09:00"


@pytest.fixture
def acme(tmp_path: Path) -> Commands:
    """100 minutes in March, at 1.00 each, and no day of April."""
    return home(tmp_path, catalog(TAXED), [audio("2026-03-10", 100)], now=APRIL)


def test_a_month_becomes_an_invoice_with_number_tax_and_due_date(acme: Commands) -> None:
    assert rows(acme, "invoice finalize acme --month 2026-03") == [
        {
            "account": "acme",
            "month": "2026-03",
            "number": "R-2026-000001",
            "kind": "invoice",
            "net": "100",
            "tax": "10",
            "total": "110",
            "currency": "USD",
            "issued_on": "2026-04-01",
            "due_on": "2026-05-01",
            "result": "issued",
            "detail": "",
        }
    ]
    (again,) = rows(acme, "invoice finalize acme --month 2026-03")
    assert (again["number"], again["result"]) == ("R-2026-000001", "already_issued")
    assert {row["document"] for row in rows(acme, "charges acme --month 2026-03")} == {"R-2026-000001"}


def test_a_month_closed_before_has_its_standing_published_again(acme: Commands) -> None:
    """What a run that was killed after closing the month left out is there after the next."""
    ok(acme, "invoice finalize acme --month 2026-03")
    path = acme.home / "status.json"
    published = path.read_text(encoding="utf-8")
    path.rename(path.with_name("status.json.new"))
    ok(acme, "invoice finalize acme --month 2026-03")
    assert "acme" in published
    assert not path.with_name("status.json.new").exists()
    assert [row["app_id"] for row in json.loads(path.read_text(encoding="utf-8"))] == [
        row["app_id"] for row in json.loads(published)
    ]


def test_a_dry_run_gives_the_amounts_and_writes_nothing(acme: Commands) -> None:
    (planned,) = rows(acme, "invoice finalize acme --month 2026-03 --dry-run")
    assert (planned["number"], planned["total"], planned["result"]) == (None, "110", "would_issue")
    assert rows(acme, "invoice list") == []


def test_a_month_whose_days_are_not_all_billed_is_named(acme: Commands) -> None:
    done = acme("invoice finalize acme --month 2026-04 --format json")
    assert done.exit_code == 1
    assert "2026-03 is not closed" in done.stderr
    ok(acme, "invoice finalize acme --month 2026-03")
    assert "the month is settled with 2026-04-30" in refused(acme, "invoice finalize acme --month 2026-04")


def test_a_month_of_zero_is_closed_without_a_number(acme: Commands) -> None:
    ok(acme, "invoice finalize acme --month 2026-03")
    may = at(acme, "2026-05-01T09:00:00+09:00")
    ok(may, "nightly")
    (closed,) = rows(may, "invoice finalize acme --month 2026-04")
    assert (closed["number"], closed["result"]) == (None, "nothing_due")
    assert len(rows(may, "invoice list")) == 1


def test_late_events_for_a_closed_month_go_on_the_next_document(acme: Commands, tmp_path: Path) -> None:
    ok(acme, "invoice finalize acme --month 2026-03")
    ingest(acme, tmp_path, audio("2026-03-20", 30, "late"))
    ok(acme, "nightly")
    assert [row["amount"] for row in rows(acme, "charges acme --month 2026-03")] == ["100"]
    (late,) = rows(acme, "charges acme --month 2026-04")
    assert (late["day"], late["posted_on"], late["kind"], late["amount"]) == (
        "2026-03-20",
        "2026-04-01",
        "correction",
        "30",
    )
    assert rows(acme, "account balance acme")[0]["draft"] == "33"
    may = at(acme, "2026-05-01T09:00:00+09:00")
    ok(may, "nightly")
    (invoice,) = rows(may, "invoice finalize acme --month 2026-04")
    assert (invoice["number"], invoice["total"]) == ("R-2026-000002", "33")


def test_corrections_that_outweigh_the_usage_make_a_credit_note(acme: Commands) -> None:
    ok(acme, "invoice finalize acme --month 2026-03")
    ok(acme, f"retract --app {APP} --ingest 1 --reason 'a test'")
    ok(acme, "nightly")
    may = at(acme, "2026-05-01T09:00:00+09:00")
    ok(may, "nightly")
    (note,) = rows(may, "invoice finalize acme --month 2026-04")
    assert (note["number"], note["kind"], note["total"], note["due_on"]) == (
        "RC-2026-000001",
        "credit_note",
        "110",
        None,
    )
    assert rows(may, "invoice list")[0]["state"] == "paid"
    assert rows(may, "account balance acme")[0]["balance"] == "0"


def test_a_reissue_has_the_present_party_and_frees_what_was_paid(acme: Commands, tmp_path: Path) -> None:
    ok(acme, "invoice finalize acme --month 2026-03")
    ok(acme, "payment add acme 50 --id B1")
    apply(acme, tmp_path, catalog().replace("Acme K.K.", "Acme Holding K.K."))
    written = rows(acme, "invoice reissue R-2026-000001")
    assert [(each["number"], each["total"], each["state"]) for each in written] == [
        ("RC-2026-000001", "110", "issued"),
        ("R-2026-000002", "100", "part_paid"),
    ]
    old, _, new = rows(acme, "invoice list")
    assert (old["state"], old["paid"], new["paid"], new["open"]) == ("credited", "0", "50", "50")
    assert {row["document"] for row in rows(acme, "charges acme --month 2026-03")} == {"R-2026-000002"}
    assert "has credited it already" in refused(acme, "invoice reissue R-2026-000001")
    assert rows(acme, "audit") == []


def test_an_account_without_seller_says_what_to_add(tmp_path: Path) -> None:
    without = catalog().replace(catalog()[: catalog().index("[[tax]]")], "")
    run = home(tmp_path, without, [audio("2026-03-10", 1)], now=APRIL)
    assert "add a [seller] to the catalog" in refused(run, "invoice finalize acme --month 2026-03")


def test_days_of_grace_are_waited_for(tmp_path: Path) -> None:
    text = catalog().replace("terms_days = 30", "grace_days = 2")
    run = home(tmp_path, text, [audio("2026-03-10", 1)], now=APRIL)
    assert "the days of grace last until 2026-04-02" in refused(run, "invoice finalize acme --month 2026-03")
    assert rows(at(run, "2026-04-03T00:00:00+09:00"), "invoice finalize acme --month 2026-03")[0]["result"] == "issued"


def test_one_account_that_fails_does_not_stop_the_others(tmp_path: Path) -> None:
    other = '[[account]]\nid = "zeta"\nname = "Zeta"\ncurrency = "USD"\ntimezone = "UTC"\npolicy = "trtc-intl"\n'
    run = home(tmp_path, catalog(more=other), [audio("2026-03-10", 1)], now=APRIL)
    done = run("invoice finalize --all --month 2026-03 --format json")
    assert done.exit_code == 1
    assert "R-2026-000001" in done.stdout
    assert "account zeta" in done.stderr


def test_packages_are_billed_as_the_catalog_says(tmp_path: Path) -> None:
    package = """
[[package]]
id = "{id}"
account = "acme"
minutes = 25000
purchased_at = "2026-03-05T10:00:00+09:00"
price = "24.00"
charge = "{charge}"
"""
    packages = "".join(package.format(id=charge, charge=charge) for charge in ("invoice", "prepaid", "external"))
    run = home(tmp_path, catalog(TAXED, packages), [audio("2026-03-10", 100)], now=APRIL)
    (prepaid,) = rows(run, "invoice list")
    assert (prepaid["purpose"], prepaid["month"], prepaid["total"]) == ("package", None, "26.4")
    (usage,) = rows(run, "invoice finalize acme --month 2026-03")
    assert usage["total"] == "26.4"  # the packages have paid the minutes
    lines = rows(run, f"invoice show {usage['number']}")[0]["lines"]
    assert [(line["kind"], line["package"], line["amount"]) for line in lines] == [
        ("usage", None, "0"),
        ("package", "invoice", "24"),
    ]
    dearer = catalog(TAXED, packages.replace('price = "24.00"', 'price = "25.00"'))
    (tmp_path / "dearer.toml").write_text(dearer, encoding="utf-8")
    assert "it is billed on R-2026-000001" in refused(run, f"catalog apply {tmp_path / 'dearer.toml'}")


def test_what_money_refers_to_stays_in_the_catalog(acme: Commands, tmp_path: Path) -> None:
    package = """
[[package]]
id = "old"
account = "acme"
minutes = 25000
purchased_at = "2026-04-01T08:00:00+09:00"
price = "24.00"
[[account]]
id = "zeta"
name = "Zeta"
currency = "USD"
timezone = "UTC"
policy = "trtc-intl"
[[app]]
id = 77
account = "zeta"
name = "Lobby"
"""
    apply(acme, tmp_path, catalog(TAXED, package))
    for line in ("package refund old", "app disable 77", "payment add zeta 5 --id Z1"):
        ok(acme, line)
    assert "it was refunded" in refused(acme, "catalog remove package old")
    assert "disabled or enabled by hand" in refused(acme, "catalog remove app 77")
    assert "payments, documents or messages" in refused(acme, "catalog remove account zeta")
    (tmp_path / "other.toml").write_text(catalog(TAXED, package.replace('"24.00"', '"30"')), encoding="utf-8")
    assert "it was refunded" in refused(acme, f"catalog apply {tmp_path / 'other.toml'}")
    ok(acme, "payment add acme 92233720368 --id K1")
    assert "more than can be stored" in refused(acme, "payment add acme 92233720368 --id K2")
