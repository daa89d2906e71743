"""The invoice of a month: lines, discount, rounding, total."""

import random
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest

from billing.invoicing.invoice import CorrectedDeduction, DayCharge, Facts, Invoice, make_invoice
from tests.invoice_facts import CORRECTIONS, Correcting, Month, corrected

DAY = date(2026, 3, 2)


def charge(item: str, payable: int, unit_price: str, *, list_price: str | None = None, **other: object) -> DayCharge:
    """A charge of 60 seconds for each payable minute, on 2026-03-02 for app 1 unless said otherwise."""
    fields: dict[str, object] = {"day": DAY, "app_id": 1, "deducted_minutes": 0, **other}
    return DayCharge(
        item=item,
        seconds=payable * 60,
        minutes=payable,
        payable_minutes=payable,
        list_price=None if list_price is None else Decimal(list_price),
        unit_price=Decimal(unit_price),
        amount=payable * Decimal(unit_price),
        **fields,  # type: ignore[arg-type]
    )


def facts_of(*charges: DayCharge, currency: str = "USD") -> Facts:
    return replace(Month(windows=[], currency=currency, apps={1: "One", 2: "Two"}).facts(), charges=charges)


def invoice_of(*charges: DayCharge, currency: str = "USD") -> Invoice:
    return make_invoice(facts_of(*charges, currency=currency))


def test_the_published_room_of_six_costs_4_14_and_shows_its_rounding() -> None:
    """60 hd minutes, 240 2k minutes, 60 audio minutes at list price."""
    invoice = invoice_of(charge("hd", 60, "0.00399"), charge("2k", 240, "0.01599"), charge("audio", 60, "0.00099"))
    assert [(line.item, line.amount) for line in invoice.lines] == [
        ("audio", Decimal("0.0594")),
        ("hd", Decimal("0.2394")),
        ("2k", Decimal("3.8376")),
    ]
    assert (invoice.subtotal, invoice.rounding, invoice.total) == (
        Decimal("4.1364"),
        Decimal("0.0036"),
        Decimal("4.14"),
    )


@pytest.mark.parametrize(
    ("currency", "unit_price", "minutes", "total"),
    [
        ("USD", "0.00145", 100, "0.15"),  # 0.145, which binary fractions hold as 0.14499999…
        ("USD", "0.00135", 100, "0.14"),  # 0.135: half to even would give 0.14 too
        ("USD", "0.00125", 100, "0.13"),  # 0.125: half to even would give 0.12
        ("JPY", "0.005", 100, "1"),
        ("KWD", "0.000005", 100, "0.001"),
    ],
)
def test_the_total_is_rounded_half_up_to_the_minor_unit(
    currency: str, unit_price: str, minutes: int, total: str
) -> None:
    invoice = invoice_of(charge("audio", minutes, unit_price), currency=currency)
    assert invoice.total == Decimal(total)
    assert invoice.subtotal + invoice.rounding == invoice.total


def test_only_the_total_is_rounded_not_the_lines() -> None:
    """Three lines of 0.004: each would round to nothing, together they are 0.01."""
    invoice = invoice_of(*(charge(item, 1, "0.004") for item in ("audio", "hd", "2k")))
    assert invoice.total == Decimal("0.01")


def test_there_is_one_line_for_each_app_item_and_unit_price_and_a_price_change_reads_from_old_to_new() -> None:
    invoice = invoice_of(
        charge("hd", 1, "0.002", day=DAY + timedelta(days=9)),
        charge("hd", 2, "0.004"),
        charge("hd", 4, "0.004", day=DAY + timedelta(days=1)),
        charge("hd", 8, "0.004", app_id=2),
        charge("audio", 16, "0.001"),
    )
    assert [(line.app_id, line.item, line.unit_price, line.minutes) for line in invoice.lines] == [
        (1, "audio", Decimal("0.001"), 16),
        (1, "hd", Decimal("0.004"), 6),
        (1, "hd", Decimal("0.002"), 1),
        (2, "hd", Decimal("0.004"), 8),
    ]
    assert (invoice.lines[1].first_day, invoice.lines[1].last_day) == (DAY, DAY + timedelta(days=1))


def test_a_contract_discount_is_shown_against_the_list_price() -> None:
    """1,000 hd minutes at 3.99, less 15 %."""
    invoice = invoice_of(charge("hd", 1000, "0.0033915", list_price="3.99"))
    (line,) = invoice.lines
    assert (line.list_price, line.list_amount, line.discount, line.amount) == (
        Decimal("3.99"),
        Decimal("3.99"),
        Decimal("-0.5985"),
        Decimal("3.3915"),
    )
    assert invoice.list_amount + invoice.discount == invoice.subtotal


def test_a_price_of_the_contracts_own_has_no_discount() -> None:
    (line,) = invoice_of(charge("hd", 1000, "0.003")).lines
    assert (line.list_price, line.list_amount, line.discount) == (None, line.amount, 0)


def test_the_order_of_the_stored_rows_does_not_matter() -> None:
    facts = Month(
        windows=[(1, DAY, 300 * n, item, 61) for n in range(9) for item in ("audio", "hd")], apps={1: "One"}
    ).facts()
    shuffled = random.Random(3).sample(facts.charges, len(facts.charges))
    assert make_invoice(replace(facts, charges=shuffled)).lines == make_invoice(facts).lines


def test_the_items_are_those_of_the_policy_and_whatever_else_was_used() -> None:
    invoice = invoice_of(charge("sd", 1, "0.001"))
    assert invoice.items == ("audio", "sd", "hd", "fhd", "2k", "4k")
    assert invoice_of().items == ("audio", "hd", "fhd", "2k", "4k")


def test_a_charge_that_does_not_add_up_is_refused() -> None:
    with pytest.raises(ValueError, match="payable minutes x unit price"):
        replace(charge("hd", 2, "0.004"), amount=Decimal("0.009"))
    with pytest.raises(ValueError, match="neither a package nor the customer"):
        replace(charge("hd", 2, "0.004"), deducted_minutes=1)


def test_a_month_says_how_far_it_is_billed() -> None:
    finished = invoice_of()
    assert finished.is_finished
    half = make_invoice(replace(facts_of(), days=[DAY, DAY + timedelta(days=1)]))
    assert (half.is_finished, half.billed_through) == (False, date(2026, 3, 3))
    assert make_invoice(replace(facts_of(), days=[])).billed_through is None


def test_corrections_are_lines_of_their_own_after_the_usage_and_count_in_every_sum() -> None:
    facts = corrected(facts_of(charge("hd", 10, "0.00399", list_price="3.99")), *CORRECTIONS)
    invoice = make_invoice(facts)
    assert [
        (line.is_correction, line.app_id, line.item, line.seconds, line.minutes, line.deducted_minutes, line.amount)
        for line in invoice.lines
    ] == [
        (False, 1, "hd", 600, 10, 0, Decimal("0.0399")),
        (True, 1, "audio", -120, -2, 0, Decimal("-0.00198")),
        (True, 1, "hd", 260, 5, 3, Decimal("0.00798")),
        (True, 2, "2k", 0, 0, 0, Decimal(0)),
        (True, 2, "4k", 61, 2, 0, Decimal("0.07198")),
        (True, 3, "sd", 7000, 117, 0, Decimal("0.23399883")),
    ]
    assert (invoice.lines[2].first_day, invoice.lines[2].last_day) == (date(2026, 2, 28), date(2026, 3, 5))
    assert invoice.subtotal == sum(line.amount for line in invoice.lines) == Decimal("0.35187883")
    assert invoice.list_amount + invoice.discount == invoice.subtotal
    assert (invoice.rounding, invoice.total) == (Decimal("-0.00187883"), Decimal("0.35"))


def test_a_correction_is_discounted_as_the_day_that_it_corrects() -> None:
    """1,000 minutes less, which had cost 3.99 less 15 %."""
    taken_back = replace(
        Correcting(DAY, "hd", windows=[(0, -60_000)], minutes=-1000).correction(),
        unit_price=Decimal("0.0033915"),
        amount=Decimal("-3.3915"),
    )
    (line,) = make_invoice(replace(facts_of(), corrections=[taken_back])).lines
    assert (line.list_amount, line.discount, line.amount) == (Decimal("-3.99"), Decimal("0.5985"), Decimal("-3.3915"))


@pytest.mark.parametrize(
    ("minutes", "total", "rounding"),
    [(-125, "-0.13", "-0.005"), (-124, "-0.12", "0.004"), (125, "0.13", "0.005"), (-4, "0", "0.004")],
)
def test_a_credit_is_rounded_as_a_charge_of_the_same_amount(minutes: int, total: str, rounding: str) -> None:
    invoice = make_invoice(corrected(facts_of(), Correcting(DAY, "hd", minutes=minutes, unit_price=Decimal("0.001"))))
    assert (invoice.total, invoice.rounding) == (Decimal(total), Decimal(rounding))
    assert f"{invoice.total:f}" in (total, "0.00")


def test_an_item_that_is_only_corrected_is_an_item_of_the_invoice() -> None:
    sd = Correcting(DAY, "sd", windows=[(0, 60), (300, -60)], unit_price=Decimal("0.001"))
    assert make_invoice(facts_of()).items == ("audio", "hd", "fhd", "2k", "4k")
    assert make_invoice(corrected(facts_of(), sd)).items == ("audio", "sd", "hd", "fhd", "2k", "4k")


def test_a_correction_that_does_not_add_up_is_refused() -> None:
    correction = Correcting(DAY, "hd", minutes=3, paid={"pkg-1": 1}).correction()
    with pytest.raises(ValueError, match="payable minutes x unit price"):
        replace(correction, amount=Decimal(1))
    with pytest.raises(ValueError, match="neither a package nor the customer"):
        replace(correction, minutes=4)
    with pytest.raises(ValueError, match="not those of its payers"):
        replace(correction, deducted=())
    with pytest.raises(ValueError, match="nothing has changed"):
        replace(correction, deducted=(*correction.deducted, CorrectedDeduction("pkg-2", 0, 0)))
