"""Credit notes: net and tax are cumulative, and never more is credited than an invoice has."""

import itertools
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.catalog.taxes import Tax, TaxVersion
from billing.errors import BillingError
from billing.invoicing.credits import Credited, credit_note, shares, spread, whole
from billing.invoicing.documents import Document, DocumentLine, DocumentParty, Terms, groups, make_document
from billing.ledger.issued_charges import taken_off

SINCE = date(2020, 1, 1)


def tax_of(rate: str, prices: Any = "exclusive", rounding: Any = "half_up") -> Tax:
    version = TaxVersion(
        valid_from=SINCE, category="S", rate=Decimal(rate), prices=prices, rounding=rounding, text=f"VAT {rate} %"
    )
    return Tax(id="vat", versions=(version,))


def invoice(amounts: Sequence[str], tax: Tax | None = None, currency: str = "EUR") -> Document:
    lines = [
        DocumentLine(
            line=0,
            kind="usage",
            app_id=1,
            app_name="Classroom",
            item="audio",
            first_day=date(2026, 3, 1),
            last_day=date(2026, 3, 31),
            minutes=10,
            payable_minutes=10,
            list_amount=Decimal(amount),
            amount=Decimal(amount),
            tax=tax.id if tax else None,
            tax_from=SINCE if tax else None,
        )
        for amount in amounts
    ]
    return make_document(
        "usage",
        lines,
        groups(lines, [tax] if tax else [], currency),
        month=date(2026, 3, 1),
        seller=DocumentParty(id="seller", name="Rooms Ltd."),
        customer=DocumentParty(id="acme", name="Acme"),
        terms=Terms(currency=currency, timezone="UTC", language="en"),
    )


def credited_in_turn(document: Document, steps: Sequence[dict[int, Decimal]]) -> list[Document]:
    notes: list[Document] = []
    for amounts in steps:
        notes.append(credit_note(Credited(document=document, notes=notes), amounts, reason="agreed"))
    return notes


def test_an_invoice_credited_line_by_line_gets_back_its_tax_to_the_cent() -> None:
    document = invoice(["68.33", "57.50", "85.00", "68.33"], tax_of("20"))
    assert document.tax == Decimal("55.83")
    notes = credited_in_turn(document, [whole(Credited(document=document), [line]) for line in (1, 2, 3, 4)])
    assert [note.tax for note in notes] == [Decimal(each) for each in ("13.67", "11.50", "17.00", "13.66")]
    assert sum(note.total for note in notes) == document.total
    assert {note.kind for note in notes} == {"credit_note"}


def test_a_whole_credit_gives_back_the_rounding_too() -> None:
    document = invoice(["157.65", "1050.60", "949.05"], tax_of("10", rounding="down"), "JPY")
    assert (document.net, document.tax, document.total) == (2157, 215, 2372)
    note = credit_note(Credited(document=document), whole(Credited(document=document)), reason="wrong party")
    assert (note.net, note.tax, note.total) == (2157, 215, 2372)
    assert note.lines[-1].kind == "rounding"
    assert note.lines[0].minutes == 10


@pytest.mark.parametrize(
    ("amount", "message"),
    [("0.005", "smallest unit"), ("0", "above 0"), ("-1", "above 0"), ("279.17", "more than is left")],
)
def test_an_amount_that_cannot_be_credited_is_refused(amount: str, message: str) -> None:
    credited = Credited(document=invoice(["68.33", "57.50", "85.00", "68.33"], tax_of("20")))
    with pytest.raises(BillingError, match=message):
        spread(credited, Decimal(amount))


def test_what_a_later_correction_took_off_a_line_cannot_be_credited_again() -> None:
    credited = Credited(document=invoice(["10.00", "5.00"]), corrected={1: Decimal("-4.00"), 2: Decimal("3.00")})
    assert whole(credited) == {1: Decimal("6.00"), 2: Decimal("5.00")}
    with pytest.raises(BillingError, match="more than is left"):
        spread(credited, Decimal("6.01"), [1])


@pytest.mark.parametrize(
    ("corrections", "taken"),
    [([], 0), ([6, -6], 0), ([-6, 6], -6), ([5, -8], -3), ([-5, 5, -2], -5), ([-5, 2, -4], -7), ([3, 4], 0)],
)
def test_a_correction_takes_off_what_earlier_ones_added_first(corrections: list[int], taken: int) -> None:
    assert taken_off(corrections) == taken


@given(st.integers(0, 99), st.lists(st.integers(0, 99), max_size=9))
def test_what_is_left_of_a_charge_and_its_corrections_is_what_they_charge_in_all(first: int, totals: list[int]) -> None:
    """A charge goes from total to total; what can be credited of it and of each that adds is the last total."""
    posted = [first, *(after - before for before, after in itertools.pairwise([first, *totals]))]
    left = [amount + taken_off(posted[at + 1 :]) for at, amount in enumerate(posted)]
    assert sum(max(0, each) for amount, each in zip(posted, left, strict=True) if amount > 0) == [first, *totals][-1]


def test_a_line_that_does_not_exist_is_refused_by_name() -> None:
    with pytest.raises(BillingError, match=r"no line 3 .* its lines are 1, 2"):
        whole(Credited(document=invoice(["1.00", "2.00"])), [3])


def test_an_amount_is_spread_by_largest_remainder() -> None:
    assert shares(Decimal("1.00"), {"a": Decimal(1), "b": Decimal(2)}, Decimal("0.01")) == {
        "a": Decimal("0.33"),
        "b": Decimal("0.67"),
    }


AMOUNTS = st.lists(st.integers(1, 10**10).map(lambda units: str(Decimal(units).scaleb(-5))), min_size=1, max_size=5)
TAXES = st.one_of(
    st.none(),
    st.builds(
        tax_of,
        st.sampled_from(["20", "10", "7.7", "0.1", "100"]),
        st.sampled_from(["exclusive", "inclusive"]),
        st.sampled_from(["half_up", "up", "down"]),
    ),
)


@given(amounts=AMOUNTS, tax=TAXES, currency=st.sampled_from(["EUR", "JPY", "BHD"]), parts=st.lists(st.floats(0.01, 1)))
def test_credits_of_any_size_add_up_to_the_invoice_and_never_to_more(
    amounts: list[str], tax: Tax | None, currency: str, parts: list[float]
) -> None:
    document = invoice(amounts, tax, currency)
    digits = {"EUR": 2, "JPY": 0, "BHD": 3}[currency]
    notes: list[Document] = []
    for part in parts[:6]:
        credited = Credited(document=document, notes=notes)
        left = sum((each.left for each in credited.lines()), Decimal(0))
        amount = round(left * Decimal(part), digits)
        try:
            chosen = spread(credited, amount)
        except BillingError:
            assert amount <= 0 or amount > left
            continue
        notes.append(credit_note(credited, chosen, reason="part"))
        gross = notes[-1].net + (notes[-1].tax if tax and tax.versions[0].prices == "inclusive" else 0)
        assert gross == amount
        assert all(each.left >= 0 for each in Credited(document=document, notes=notes).lines())
    rest = Credited(document=document, notes=notes)
    if any(whole(rest).values()):
        notes.append(credit_note(rest, whole(rest), reason="rest"))
    assert sum(note.net for note in notes) == document.net
    assert sum(note.tax for note in notes) == document.tax


def test_an_invoice_with_a_negative_line_cannot_be_credited_above_its_total() -> None:
    """Usage 100 and a correction of -30: 77 with tax."""
    document = invoice(["100.00", "-30.00"], tax_of("10"))
    credited = Credited(document=document)
    with pytest.raises(BillingError, match=r"110 EUR with tax is more than is left .* 77 EUR"):
        credit_note(credited, whole(credited, [1]), reason="all of it")
    with pytest.raises(BillingError, match="more than is left"):
        spread(credited, Decimal("70.01"))
    assert credit_note(credited, spread(credited, Decimal("70.00")), reason="all of it").total == 77
    assert credit_note(credited, whole(credited), reason="all of it").total == 77
