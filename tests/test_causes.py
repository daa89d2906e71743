"""Causes of a difference: the worked example, a slow mean over all orders, and the digits that are shown."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import permutations

import pytest

from billing.rating.causes import SPLIT_CAUSES, ItemMonth, shown, split

SCALE = 10**8


def month(
    *, app_seconds: int, seconds: int, minutes: int | None = None, deducted: int = 0, price: str = "0.00399"
) -> ItemMonth:
    return ItemMonth(
        app_seconds=app_seconds,
        seconds=seconds,
        minutes=-(-seconds // 60) if minutes is None else minutes,
        deducted_minutes=deducted,
        price=Fraction(price),
    )


def shapley(a: ItemMonth, b: ItemMonth) -> dict[str, Fraction]:
    """The mean over the 120 orders in which volume, mix, rounding, coverage and price can change."""
    sides = [(m.app_seconds, m.share, m.rounding, m.deducted_minutes, m.price) for m in (a, b)]

    def amount(now: Sequence[int]) -> Fraction:
        volume, share, rounding, deducted, price = (sides[side][at] for at, side in enumerate(now))
        return (Fraction(volume) * share / 60 + rounding - deducted) * price

    totals = dict.fromkeys(SPLIT_CAUSES, Fraction(0))
    orders = list(permutations(range(5)))
    for order in orders:
        now = [0] * 5
        for player in order:
            before = amount(now)
            now[player] = 1
            totals[SPLIT_CAUSES[player]] += amount(now) - before
    return {cause: total / len(orders) for cause, total in totals.items()}


AUDIO = (
    month(app_seconds=120_000, seconds=60_000, price="0.00099"),
    month(app_seconds=180_000, seconds=60_000, price="0.000891"),
)
HD = (
    month(app_seconds=120_000, seconds=60_000),
    month(app_seconds=180_000, seconds=120_000, deducted=200, price="0.003591"),
)


def summed(parts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    return {cause: sum(part[cause] for part in parts) for cause in SPLIT_CAUSES}


def test_the_worked_example() -> None:
    causes = summed([shown(split(*AUDIO)), shown(split(*HD))])
    assert causes == {
        "volume": 259_883_334,
        "mix": 118_333_333,
        "minute_rounding": 0,
        "coverage": -75_810_000,
        "price": -64_926_667,
    }
    assert sum(causes.values()) == 735_480_000 - 498_000_000


PAIRS = {
    "audio": AUDIO,
    "hd": HD,
    "an item that is new": (
        month(app_seconds=500, seconds=0, minutes=0, price="0.00399"),
        month(app_seconds=700, seconds=200),
    ),
    "minutes that are rounded up": (month(app_seconds=61, seconds=61), month(app_seconds=59, seconds=59)),
    "everything at once": (
        month(app_seconds=1_000_003, seconds=77_777, minutes=1_400, deducted=13, price="0.00899"),
        month(app_seconds=999_983, seconds=99_991, minutes=1_700, deducted=1_600, price="0.00719"),
    ),
}


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_the_closed_forms_are_the_mean_over_all_orders(pair: tuple[ItemMonth, ItemMonth]) -> None:
    assert split(*pair) == shapley(*pair)


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_what_is_shown_sums_to_the_difference_and_changes_only_its_sign_when_sides_are_exchanged(
    pair: tuple[ItemMonth, ItemMonth],
) -> None:
    a, b = pair
    there, back = shown(split(a, b)), shown(split(b, a))
    assert sum(there.values()) == (b.amount - a.amount) * SCALE
    assert back == {cause: -units for cause, units in there.items()}
    assert all(abs(units - split(a, b)[cause] * SCALE) < 1 for cause, units in there.items())


def test_equal_remainders_are_rounded_up_in_the_order_of_the_causes() -> None:
    third = Fraction(1, 3 * SCALE)
    assert shown({"volume": third, "mix": third, "price": third}) == {"volume": 1, "mix": 0, "price": 0}
    assert shown({"volume": -third, "mix": -third, "price": -third}) == {"volume": -1, "mix": 0, "price": 0}


def test_a_difference_of_zero_has_opposite_signs_from_its_other_side_too() -> None:
    half = Fraction(1, 2 * SCALE)
    assert shown({"volume": half, "mix": -half}) == {"volume": 1, "mix": -1}
    assert shown({"volume": -half, "mix": half}) == {"volume": -1, "mix": 1}


def test_amounts_with_more_than_8_decimals_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="more than 8 decimals"):
        shown({"volume": Fraction(1, 3)})
