"""The annex of an invoice: the facts behind its lines."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from billing.catalog.items import WindowUsage
from billing.invoicing.annex import Annex, CorrectedDeduction
from billing.rating.deductions import Deduction
from tests.invoice_facts import CORRECTIONS, Correcting, Month, corrected

DAY = date(2026, 3, 2)


def annex(*posted: Correcting) -> Annex:
    return corrected(Month(windows=[(1, DAY, 0, "hd", 90)], apps={1: "One", 2: "Two", 3: "Three"}).annex(), *posted)


def test_the_items_are_those_of_the_policy_and_any_other_that_was_used_or_corrected() -> None:
    sd = Correcting(DAY, "sd", windows=[(0, 60), (300, -60)], unit_price=Decimal("0.001"))
    assert annex().items == ("audio", "hd", "fhd", "2k", "4k")
    assert annex(sd).items == ("audio", "sd", "hd", "fhd", "2k", "4k")
    assert annex(replace(sd, windows=[(0, 60)], minutes=1)).items == ("audio", "sd", "hd", "fhd", "2k", "4k")


def test_what_a_correction_takes_from_each_payer_is_summed_over_its_windows() -> None:
    """A payer that pays as much as before, in other windows, is left out."""
    posted = annex(Correcting(DAY, "hd", minutes=3, paid={"pkg-1": 2}))
    (detail,) = posted.corrected
    moved = [Deduction(0, 1, "hd", "pkg-2", 5, 20), Deduction(300, 1, "hd", "pkg-2", -5, -20)]
    more = [Deduction(300, 1, "hd", "pkg-1", 1, 4), Deduction(600, 1, "hd", "pkg-1", -1, -4)]
    details = [replace(detail, deductions=[*detail.deductions, *moved, *more])]
    found = list(replace(posted, corrected=details).corrected_deductions())
    assert found == [CorrectedDeduction(1, DAY, "hd", 41, "pkg-1", 2, 8)]


def test_a_correction_whose_payers_paid_something_else_is_refused() -> None:
    posted = annex(Correcting(DAY, "hd", minutes=3, paid={"pkg-1": 2}))
    with pytest.raises(ValueError, match="not those of its payers"):
        replace(posted, corrected=[])


def test_there_are_corrections_where_only_windows_have_changed() -> None:
    assert not annex().has_corrections
    assert annex(CORRECTIONS[0]).has_corrections
    assert annex(Correcting(DAY, "hd", windows=[(0, -60), (300, 60)])).has_corrections
    assert annex().settled[0].usage == [WindowUsage(1772377200, 1, "hd", 90)]
