"""Laws of minutes and money: nothing is paid twice, nothing vanishes, and cuts and order of input change nothing."""

import random
from collections import Counter
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from billing.catalog.items import ITEMS as ALL_ITEMS
from billing.catalog.items import WindowUsage
from billing.money import from_scaled, to_scaled
from billing.rating.charges import rate_day
from billing.rating.deductions import Deduction, deduct, minutes_by_window, whole_minutes
from billing.rating.payers import Payer
from tests.oracle_rating import deductions_minute_by_minute

ITEMS = ALL_ITEMS[:6]
PRICES = {
    item: Decimal(number).scaleb(-8) for item, number in zip(ITEMS, (99_000, 7, 399_001, 1, 0, 3_599_000), strict=True)
}
APPS = st.integers(1, 3)


@st.composite
def days(draw: st.DrawFn) -> list[WindowUsage]:
    """Some windows of a day, each app and item at most once in each, in any order."""
    places = draw(st.lists(st.tuples(st.integers(0, 5), APPS, st.sampled_from(ITEMS)), unique=True, max_size=12))
    return [WindowUsage(window * 300, app, item, draw(st.integers(1, 400))) for window, app, item in places]


@st.composite
def payer_lists(draw: st.DrawFn, most_units: int = 60) -> list[Payer]:
    """Payers in some order of payment, with small balances so that they run out inside a window."""
    return [
        Payer(
            id=f"payer-{number}",
            app=draw(st.none() | APPS),
            remaining=draw(st.integers(0, most_units)),
            ratios=dict(zip(ITEMS, draw(st.lists(st.integers(1, 36), min_size=6, max_size=6)), strict=True)),
        )
        for number in range(draw(st.integers(0, 4)))
    ]


@given(days(), payer_lists())
def test_deduction_equals_the_minute_by_minute_oracle(usage: list[WindowUsage], payers: list[Payer]) -> None:
    """Same deductions, same minutes left to pay."""
    rated = rate_day(usage, payers, PRICES)
    expected, unpaid = deductions_minute_by_minute(usage, payers)
    assert sorted(rated.deductions) == sorted(expected)
    assert sum(charge.payable_minutes for charge in rated.charges) == unpaid


@given(days(), payer_lists())
def test_every_minute_is_paid_by_exactly_one_payer(usage: list[WindowUsage], payers: list[Payer]) -> None:
    """minutes = deducted + payable for each charge, and what is deducted is what the payers paid."""
    rated = rate_day(usage, payers, PRICES)
    paid: Counter[tuple[int, str]] = Counter()
    for deduction in rated.deductions:
        paid[deduction.app_id, deduction.item] += deduction.minutes
    for charge in rated.charges:
        assert charge.minutes == whole_minutes(charge.seconds) == charge.deducted_minutes + charge.payable_minutes
        assert charge.deducted_minutes == paid.pop((charge.app_id, charge.item), 0)
        assert charge.payable_minutes >= 0
    assert not paid


@given(days(), payer_lists())
def test_no_payer_gives_more_than_it_has(usage: list[WindowUsage], payers: list[Payer]) -> None:
    """granted = deducted + remaining with remaining >= 0; units = minutes x ratio; only its own app is paid for."""
    by_id = {payer.id: payer for payer in payers}
    deducted: Counter[str] = Counter()
    for deduction in rate_day(usage, payers, PRICES).deductions:
        payer = by_id[deduction.payer_id]
        assert deduction.minutes > 0
        assert deduction.package_minutes == deduction.minutes * payer.ratios[deduction.item]
        assert payer.app in (None, deduction.app_id)
        deducted[payer.id] += deduction.package_minutes
    assert all(0 <= deducted[payer.id] <= payer.remaining for payer in payers)


@given(days(), payer_lists())
def test_a_minute_is_payable_only_when_nobody_could_pay_it(usage: list[WindowUsage], payers: list[Payer]) -> None:
    """Whoever may pay for an app and has something left over at the end had no whole minute of a payable item left."""
    rated = rate_day(usage, payers, PRICES)
    left = {payer.id: payer.remaining for payer in payers}
    for deduction in rated.deductions:
        left[deduction.payer_id] -= deduction.package_minutes
    for charge in rated.charges:
        if charge.payable_minutes:
            may_pay = [payer for payer in payers if payer.app in (None, charge.app_id)]
            assert all(left[payer.id] < payer.ratios[charge.item] for payer in may_pay)


@given(days())
def test_window_minutes_sum_to_the_minutes_of_the_day(usage: list[WindowUsage]) -> None:
    """The increments of the windows add up to the day's seconds, rounded up once."""
    minutes: Counter[tuple[int, str]] = Counter()
    seconds: Counter[tuple[int, str]] = Counter()
    for _, app_id, item, added in minutes_by_window(usage):
        assert added >= 0
        minutes[app_id, item] += added
    for row in usage:
        seconds[row.app_id, row.item] += row.seconds
    assert minutes == {key: whole_minutes(total) for key, total in seconds.items()}


@given(days(), payer_lists(), st.integers(0, 6))
def test_deducting_in_two_halves_equals_deducting_the_day(
    usage: list[WindowUsage], payers: list[Payer], cut: int
) -> None:
    """Window by window or at once: the day can be cut anywhere when balances are carried over."""
    increments = list(minutes_by_window(usage))
    before = deduct([row for row in increments if row[0] < cut * 300], payers)
    after = deduct([row for row in increments if row[0] >= cut * 300], less(payers, before))
    assert before + after == deduct(increments, payers)


@given(days(), payer_lists(most_units=0), st.integers(1, 36))
def test_rounding_is_never_paid_twice(usage: list[WindowUsage], poor: list[Payer], ratio: int) -> None:
    """When no package runs out, windows take exactly what the day's minutes take at once."""
    rich = Payer(id="rich", remaining=10**9, ratios=dict.fromkeys(ITEMS, ratio))
    rated = rate_day(usage, [*poor, rich], PRICES)
    units = sum(deduction.package_minutes for deduction in rated.deductions)
    assert units == ratio * sum(charge.minutes for charge in rated.charges)
    assert all(charge.payable_minutes == 0 and charge.amount == 0 for charge in rated.charges)


@given(days(), payer_lists(), st.randoms(use_true_random=False))
def test_the_order_of_the_rows_changes_nothing(
    usage: list[WindowUsage], payers: list[Payer], shuffler: random.Random
) -> None:
    """Usage is a set of rows."""
    shuffled = usage[:]
    shuffler.shuffle(shuffled)
    assert rate_day(shuffled, payers, PRICES) == rate_day(usage, payers, PRICES)


@given(days(), payer_lists())
def test_amounts_are_exact_and_stored_without_loss(usage: list[WindowUsage], payers: list[Payer]) -> None:
    """Each amount is a whole number of 10^-8, and their sum is the price of all payable minutes."""
    charges = rate_day(usage, payers, PRICES).charges
    assert all(from_scaled(to_scaled(charge.amount)) == charge.amount for charge in charges)
    scaled = sum(charge.payable_minutes * to_scaled(PRICES[charge.item]) for charge in charges)
    assert sum(charge.amount for charge in charges) == from_scaled(scaled)


def less(payers: list[Payer], deductions: list[Deduction]) -> list[Payer]:
    """The payers with what is left after the deductions."""
    used: Counter[str] = Counter()
    for deduction in deductions:
        used[deduction.payer_id] += deduction.package_minutes
    return [
        Payer(id=payer.id, app=payer.app, remaining=payer.remaining - used[payer.id], ratios=payer.ratios)
        for payer in payers
    ]
