"""Payments: recorded once, allocated by reference and due date, and files of a bank."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.receivables.allocation import OpenInvoice, allocate, named_in
from tests.commands import Commands
from tests.documents_home import audio, catalog, home, ok, refused, rows

A = OpenInvoice(id=1, number="A", due_on=date(2026, 4, 30), open=Decimal(100))
B = OpenInvoice(id=2, number="B", due_on=date(2026, 5, 31), open=Decimal(50))


def test_the_example_of_two_invoices() -> None:
    """120 pays A 100 and B 20; 40 more pay the rest of B, and 10 stay credit."""
    first = allocate(Decimal(120), [B, A])
    assert [(each.invoice.number, each.amount) for each in first] == [("A", 100), ("B", 20)]
    rest = OpenInvoice(id=2, number="B", due_on=B.due_on, open=Decimal(30))
    assert [(each.invoice.number, each.amount) for each in allocate(Decimal(40), [rest])] == [("B", 30)]


def test_the_named_invoice_is_paid_first() -> None:
    assert [(each.invoice.number, each.amount) for each in allocate(Decimal(70), [A, B], first="B")] == [
        ("B", 50),
        ("A", 20),
    ]


@pytest.mark.parametrize(
    ("reference", "named"),
    [("for INV-1", "INV-1"), ("inv-12.", "INV-12"), ("INV-1 and INV-12", None), ("INV-123", None), ("", None)],
)
def test_a_reference_names_a_number_that_stands_by_itself(reference: str, named: str | None) -> None:
    invoices = [
        OpenInvoice(id=n, number=number, due_on=date(2026, 4, 30), open=Decimal(1))
        for n, number in enumerate(("INV-1", "INV-12"))
    ]
    assert named_in(reference, invoices) == named


@given(st.decimals(0, 10_000, places=2), st.lists(st.decimals("0.01", 1_000, places=2), max_size=6))
def test_never_more_is_paid_than_there_is_or_than_is_open(credit: Decimal, opens: list[Decimal]) -> None:
    invoices = [
        OpenInvoice(id=n, number=f"I{n}", due_on=date(2026, 1, 1 + n), open=each) for n, each in enumerate(opens)
    ]
    paid = allocate(credit, invoices)
    assert sum(each.amount for each in paid) == min(credit, sum(opens))
    assert all(0 < each.amount <= each.invoice.open for each in paid)
    full = [each.invoice.number for each in paid[:-1]]
    assert full == [f"I{n}" for n in range(len(full))]
    assert all(each.amount == each.invoice.open for each in paid[:-1])


@pytest.fixture
def acme(tmp_path: Path) -> Commands:
    """An open invoice R-2026-000001 of 110.00."""
    now = "2026-04-01T09:00:00+09:00"
    run = home(tmp_path, catalog('tax = "jp-10"'), [audio("2026-03-10", 100)], now=now)
    ok(run, "invoice finalize acme --month 2026-03")
    return run


def test_a_payment_is_recorded_once(acme: Commands) -> None:
    (first,) = rows(acme, "payment add acme 120.00 --id B1 --reference R-2026-000001")
    assert first["allocated"] == [{"number": "R-2026-000001", "amount": "110"}]
    assert (first["result"], first["credit"], first["received_on"]) == ("recorded", "10", "2026-04-01")
    (second,) = rows(acme, "payment add acme 120 --id B1 --reference R-2026-000001")
    assert (second["result"], second["allocated"], second["credit"]) == ("already_recorded", [], "10")
    assert rows(acme, "invoice list")[0]["state"] == "paid"
    assert len(rows(acme, "payment list acme")) == 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("acme 0.005 --id X", "smallest unit"),
        ("acme 0 --id X", "above 0"),
        ("nobody 5 --id X", "unknown account 'nobody'"),
        ("acme 5 --id B1", "is on record with amount 1 instead of 5"),
    ],
)
def test_a_payment_that_cannot_be_is_refused(acme: Commands, line: str, message: str) -> None:
    ok(acme, "payment add acme 1 --id B1")
    assert message in refused(acme, f"payment add {line}")
    assert len(rows(acme, "payment list")) == 1


def test_a_file_of_a_bank_is_imported_once_and_what_matches_nobody_is_kept(acme: Commands, tmp_path: Path) -> None:
    profile = tmp_path / "bank.toml"
    profile.write_text(
        '[columns]\nid = "Id"\ndate = "Day"\namount = "Amount"\nreference = "Text"\n'
        '[format]\ndate = "%d.%m.%Y"\ndecimal = ","\ndelimiter = ";"\n',
        encoding="utf-8",
    )
    statement = tmp_path / "statement.csv"
    statement.write_text(
        "Id;Day;Amount;Text\n"
        "T1;02.04.2026;1.000,00;invoice R-2026-000001\n"
        "T2;03.04.2026;5,00;hello\n"
        "T3;04.04.2026;-7,00;fee\n"
        "T4;31.02.2026;1,00;R-2026-000001\n",
        encoding="utf-8",
    )
    line = f"payment import {statement} --profile {profile}"
    (found,) = rows(acme, line)
    assert (found["id"], found["credit"], found["received_on"]) == ("T1", "890", "2026-04-02")
    unmatched = [(row["id"], row["line"], row["detail"]) for row in rows(acme, "payment unmatched")]
    assert unmatched == [
        ("T2", 3, "its reference names neither an invoice nor an account"),
        ("T4", 5, "'31.02.2026' is not a day of the form %d.%m.%Y"),
    ]
    assert [row["result"] for row in rows(acme, line)] == ["already_recorded"]
    ok(acme, "payment add acme 5.00 --id T2")
    assert [row["id"] for row in rows(acme, "payment unmatched")] == ["T4"]


def test_a_credit_after_a_write_off_gives_back_only_what_was_paid(acme: Commands) -> None:
    """40 of 110 are paid, and 70 given up."""
    ok(acme, "payment add acme 40 --id B1")
    (lost,) = rows(acme, "invoice write-off R-2026-000001 --reason insolvent")
    assert (lost["state"], lost["open"]) == ("written_off", "0")
    assert "nothing is open" in refused(acme, "invoice write-off R-2026-000001 --reason again")
    ok(acme, "invoice credit R-2026-000001 --reason wrong")
    (balance,) = rows(acme, "account balance acme")
    assert (balance["credit"], balance["balance"]) == ("40", "40")
    assert rows(acme, "audit") == []
