"""The invoice of a month: lines, discount, rounding, total."""

import json
import random
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.catalog.contracts import Contract
from billing.invoicing.invoice import BilledMonth, Header, Invoice, Line, Party, Totals, UsedPolicy, make_invoice
from billing.rating.charges import Charge, PostedCharge
from tests.invoice_facts import CORRECTIONS, Correcting, Month, corrected_month

DAY = date(2026, 3, 2)


def charge(
    item: str, payable: int, unit_price: str, *, list_price: str | None = None, day: date = DAY, app_id: int = 1
) -> PostedCharge:
    """A charge of 60 seconds for each payable minute, on 2026-03-02 for app 1 unless said otherwise."""
    return PostedCharge(
        day=day,
        kind="usage",
        run_id=12,
        posted_on=day,
        currency="USD",
        list_price=None if list_price is None else Decimal(list_price) / 1000,
        charge=Charge(
            app_id=app_id,
            item=item,
            seconds=payable * 60,
            minutes=payable,
            deducted_minutes=0,
            payable_minutes=payable,
            unit_price=Decimal(unit_price),
            amount=payable * Decimal(unit_price),
        ),
    )


def month_of(*charges: PostedCharge, currency: str = "USD") -> BilledMonth:
    return Month(windows=[], currency=currency, apps={1: "One", 2: "Two", 3: "Three"}).billed(*charges)


def invoice_of(*charges: PostedCharge, currency: str = "USD") -> Invoice:
    return make_invoice(month_of(*charges, currency=currency))


def test_the_published_room_of_six_costs_4_14_and_shows_its_rounding() -> None:
    """60 hd minutes, 240 2k minutes, 60 audio minutes at list price."""
    invoice = invoice_of(charge("hd", 60, "0.00399"), charge("2k", 240, "0.01599"), charge("audio", 60, "0.00099"))
    assert [(line.item, line.amount) for line in invoice.lines] == [
        ("audio", Decimal("0.0594")),
        ("hd", Decimal("0.2394")),
        ("2k", Decimal("3.8376")),
    ]
    assert (invoice.totals.subtotal, invoice.totals.rounding, invoice.totals.total) == (
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
    assert invoice.totals.total == Decimal(total)
    assert invoice.totals.subtotal + invoice.totals.rounding == invoice.totals.total


def test_only_the_total_is_rounded_not_the_lines() -> None:
    """Three lines of 0.004: each would round to nothing, together they are 0.01."""
    invoice = invoice_of(*(charge(item, 1, "0.004") for item in ("audio", "hd", "2k")))
    assert invoice.totals.total == Decimal("0.01")


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
    assert invoice.totals.list_amount + invoice.totals.discount == invoice.totals.subtotal


def test_a_price_of_the_contracts_own_has_no_discount() -> None:
    (line,) = invoice_of(charge("hd", 1000, "0.003")).lines
    assert (line.list_price, line.list_amount, line.discount) == (None, line.amount, 0)


def test_the_order_of_the_stored_rows_does_not_matter() -> None:
    windows = [(1, DAY, 300 * n, item, 61) for n in range(9) for item in ("audio", "hd")]
    month = Month(windows=windows, apps={1: "One"}).annex().month
    shuffled = random.Random(3).sample(month.charges, len(month.charges))
    assert make_invoice(replace(month, charges=shuffled)).lines == make_invoice(month).lines


def test_a_month_says_how_far_it_is_billed() -> None:
    finished = invoice_of().header
    assert finished.is_finished
    half = make_invoice(replace(month_of(), days=[DAY, DAY + timedelta(days=1)])).header
    assert (half.is_finished, half.billed_through, half.days_billed) == (False, date(2026, 3, 3), 2)
    assert make_invoice(replace(month_of(), days=[])).header.billed_through is None


def test_an_invoice_repeats_the_parties_the_terms_and_the_names_of_the_apps() -> None:
    month = Month(windows=[], discount=Decimal("0.85"), apps={1: "One"}).billed(charge("hd", 1, "0.001"))
    invoice = make_invoice(month)
    assert invoice.seller
    assert (invoice.seller.name, invoice.customer.name) == ("RTC Service Ltd.", "Acme K.K.")
    assert invoice.header.contract == ("from 2026-03-01: list prices x 0.85",)
    assert [(policy.id, policy.hash) for policy in invoice.header.policies] == [("own", month.policies[0][0].hash)]
    assert [line.app_name for line in invoice.lines] == ["One"]


def test_contracts_are_told_as_far_as_they_held() -> None:
    """One until the 14th, another from the 15th, a third only in the next month."""
    terms = {"account": "acme", "discount": Decimal("0.5")}
    contracts = [
        Contract(valid_from=date(2026, 4, 1), **terms),  # type: ignore[arg-type]
        Contract(valid_from=date(2026, 3, 15), prices={"hd": Decimal("1.50")}, **terms),  # type: ignore[arg-type]
        Contract(valid_from=date(2025, 1, 1), account="acme", discount=Decimal("0.90")),
    ]
    month = replace(month_of(charge("hd", 1, "0.001", list_price="3.99", day=date(2026, 3, 15))), contracts=contracts)
    invoice = make_invoice(month)
    assert invoice.header.contract == (
        "from 2025-01-01: list prices x 0.9",
        "from 2026-03-15: list prices x 0.5, hd 1.5 per 1,000 minutes",
    )
    assert invoice.lines[0].list_price is None


def test_corrections_are_lines_of_their_own_after_the_usage_and_count_in_every_sum() -> None:
    usage = month_of(charge("hd", 10, "0.00399", list_price="3.99"))
    invoice = make_invoice(corrected_month(usage, *CORRECTIONS))
    assert [
        (line.kind, line.app_id, line.item, line.seconds, line.minutes, line.deducted_minutes, line.amount)
        for line in invoice.lines
    ] == [
        ("usage", 1, "hd", 600, 10, 0, Decimal("0.0399")),
        ("correction", 1, "audio", -120, -2, 0, Decimal("-0.00198")),
        ("correction", 1, "hd", 260, 5, 3, Decimal("0.00798")),
        ("correction", 2, "2k", 0, 0, 0, Decimal(0)),
        ("correction", 2, "4k", 61, 2, 0, Decimal("0.07198")),
        ("correction", 3, "sd", 7000, 117, 0, Decimal("0.23399883")),
    ]
    assert (invoice.lines[2].first_day, invoice.lines[2].last_day) == (date(2026, 2, 28), date(2026, 3, 5))
    assert invoice.totals.subtotal == sum(line.amount for line in invoice.lines) == Decimal("0.35187883")
    assert invoice.totals.list_amount + invoice.totals.discount == invoice.totals.subtotal
    assert (invoice.totals.rounding, invoice.totals.total) == (Decimal("-0.00187883"), Decimal("0.35"))


def test_a_correction_is_discounted_as_the_day_that_it_corrects() -> None:
    """1,000 minutes less, which had cost 3.99 less 15 %."""
    posted = Correcting(DAY, "hd", windows=[(0, -60_000)], minutes=-1000).correction()
    discounted = replace(posted.charge, unit_price=Decimal("0.0033915"), amount=Decimal("-3.3915"))
    (line,) = invoice_of(replace(posted, charge=discounted)).lines
    assert (line.list_amount, line.discount, line.amount) == (Decimal("-3.99"), Decimal("0.5985"), Decimal("-3.3915"))


@pytest.mark.parametrize(
    ("minutes", "total", "rounding"),
    [(-125, "-0.13", "-0.005"), (-124, "-0.12", "0.004"), (125, "0.13", "0.005"), (-4, "0", "0.004")],
)
def test_a_credit_is_rounded_as_a_charge_of_the_same_amount(minutes: int, total: str, rounding: str) -> None:
    invoice = invoice_of(Correcting(DAY, "hd", minutes=minutes, unit_price=Decimal("0.001")).correction())
    assert (invoice.totals.total, invoice.totals.rounding) == (Decimal(total), Decimal(rounding))
    assert f"{invoice.totals.total:f}" in (total, "0.00")


PARTIES = st.builds(Party, name=st.text(), address=st.none() | st.text())
AMOUNTS = st.decimals(min_value=-(10**12), max_value=10**12, places=8)
COUNTS = st.integers(-(2**53), 2**53)
DAYS = st.dates(date(1970, 1, 1), date(2999, 12, 31))
LINES = st.builds(
    Line,
    **dict.fromkeys(("app_id", "seconds", "minutes", "deducted_minutes", "payable_minutes"), COUNTS),
    list_price=st.none() | AMOUNTS,
    **dict.fromkeys(("unit_price", "list_amount", "discount", "amount"), AMOUNTS),
)
HEADERS = st.builds(
    Header, month=DAYS, billed_through=st.none() | DAYS, policies=st.lists(st.builds(UsedPolicy)).map(tuple)
)


@st.composite
def invoices(draw: st.DrawFn) -> Invoice:
    list_amount, discount, rounding = (draw(AMOUNTS) for _ in range(3))
    subtotal = list_amount + discount
    return Invoice(
        header=draw(HEADERS),
        seller=draw(st.none() | PARTIES),
        customer=draw(PARTIES),
        lines=tuple(draw(st.lists(LINES, max_size=3))),
        totals=Totals(
            list_amount=list_amount,
            discount=discount,
            subtotal=subtotal,
            rounding=rounding,
            total=subtotal + rounding,
        ),
    )


@given(invoices())
@settings(max_examples=100, deadline=None)
def test_a_stored_invoice_is_the_invoice(invoice: Invoice) -> None:
    """Reading back what was stored gives an equal invoice, and equal invoices have one text."""
    stored = invoice.to_json()
    again = Invoice.from_json(stored)
    assert again == invoice
    assert again.to_json() == stored
    assert stored.isascii()


def test_a_stored_invoice_has_sorted_keys_and_exact_decimals_as_text() -> None:
    invoice = invoice_of(charge("hd", 60, "0.00399", list_price="3.99"))
    stored = json.loads(invoice.to_json())
    assert list(stored) == sorted(stored)
    assert stored["totals"] == {
        "discount": "0",
        "list_amount": "0.2394",
        "rounding": "0.0006",
        "subtotal": "0.2394",
        "total": "0.24",
    }
    assert (stored["header"]["month"], stored["lines"][0]["unit_price"]) == ("2026-03-01", "0.00399")
    longer = replace(invoice.totals, total=Decimal("0.2400"), rounding=Decimal("0.000600"))
    assert replace(invoice, totals=longer).to_json() == invoice.to_json()


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"header": 1}'])
def test_a_text_that_is_no_stored_invoice_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="validation error"):
        Invoice.from_json(text)


def test_totals_that_do_not_add_up_are_refused() -> None:
    totals = invoice_of(charge("hd", 60, "0.00399")).totals
    with pytest.raises(ValueError, match="do not add up"):
        replace(totals, total=Decimal("0.25"))
    with pytest.raises(ValueError, match="do not add up"):
        replace(totals, discount=Decimal("-0.01"))
