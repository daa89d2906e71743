"""The law of package sets: the set that is found is the cheapest of all, compared by billing every one of them."""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import combinations_with_replacement, product
from math import gcd

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from billing.money import from_scaled
from billing.rating.deductions import Deduction, WindowMinutes, deduct
from billing.rating.payers import Payer
from billing.reports.package_demand import Demand, Payable, demand
from billing.reports.package_sets import Offer, cheapest_set, least_total

ITEMS = ("audio", "sd", "hd")
# The brute force looks at sets of up to so many packages.
MOST = 6
PRICES = st.integers(0, 12).map(Decimal)
RATIOS = st.sampled_from([1, 2, 3, 4, 6, 9])

Prices = Mapping[str, Decimal]
Ratios = Mapping[str, int]


def overage(packages: Sequence[int], usage: Sequence[WindowMinutes], prices: Prices, ratios: Ratios) -> Decimal:
    """What is left to pay of a month that is one day: the same deductions as those of a bill."""
    payers = [Payer(id=str(number), remaining=minutes, ratios=ratios) for number, minutes in enumerate(packages)]
    paid = sum(each.minutes * prices[each.item] for each in deduct(usage, payers))
    return sum(minutes * prices[item] for _, _, item, minutes in usage) - paid


def wanted_by(paid: Sequence[Deduction], prices: Prices) -> Demand:
    """The usage that a package for all of it has paid."""
    return demand(Payable(each.minutes, each.package_minutes, prices[each.item]) for each in paid)


def sets(offers: Sequence[Offer]) -> Iterator[tuple[int, ...]]:
    """The counts by offer of all sets of two to six packages that are not dominated."""
    for counts in product(range(MOST + 1), repeat=len(offers)):
        if 2 <= sum(counts) <= MOST and not any(map(dominated, counts, offers, [offers] * len(offers))):
            yield counts


def dominated(count: int, offer: Offer, offers: Sequence[Offer]) -> bool:
    """Whether no more packages of another size have as many minutes and cost less, or the same and are fewer."""
    return any(
        n * minutes >= wanted * offer[0] and (n * price, n) < (wanted * offer[1], wanted)
        for wanted in range(1, count + 1)
        for minutes, price in offers
        for n in range(1, wanted + 1)
    )


@given(
    st.lists(st.tuples(st.sampled_from(ITEMS), st.integers(1, 8)), max_size=6),
    st.fixed_dictionaries(dict.fromkeys(ITEMS, RATIOS)),
    st.fixed_dictionaries(dict.fromkeys(ITEMS, PRICES)),
    st.dictionaries(st.integers(1, 50), st.integers(0, 60).map(Decimal), min_size=1, max_size=3),
)
@example([("audio", 5), ("hd", 3)], {"audio": 9, "sd": 1, "hd": 4}, {"audio": 1, "sd": 1, "hd": 12}, {8: 3, 9: 3})
@example(
    [("audio", 8)], {"audio": 4, "sd": 1, "hd": 1}, dict.fromkeys(ITEMS, Decimal(3)), {7: Decimal(4), 8: Decimal(5)}
)
@example([("hd", 2)], dict.fromkeys(ITEMS, 2), dict.fromkeys(ITEMS, Decimal(1)), {1: Decimal(0), 2: Decimal(0)})
@example(
    [("hd", 7), ("audio", 6)],
    {"audio": 3, "sd": 1, "hd": 1},
    {"audio": Decimal(2), "sd": Decimal(0), "hd": Decimal(1)},
    {4: Decimal(23), 9: Decimal(47)},
)
def test_no_set_of_packages_is_cheaper_than_the_one_that_is_found(
    minutes: list[tuple[str, int]], ratios: Ratios, prices: Prices, price_list: Mapping[int, Decimal]
) -> None:
    """Ratios may fall from item to item and prices be anything, so that the order of payment matters. Of equal totals
    fewer packages win, then fewer of the largest size, then of the next."""
    usage = [(300 * number, 1, item, count) for number, (item, count) in enumerate(minutes)]
    offers = sorted(price_list.items(), reverse=True)

    def key(counts: Sequence[int]) -> tuple[Decimal, int, tuple[int, ...]]:
        packages = [minutes for (minutes, _), count in zip(offers, counts, strict=True) for _ in range(count)]
        price = sum(count * price for (_, price), count in zip(offers, counts, strict=True))
        return price + overage(packages, usage, prices, ratios), sum(counts), tuple(counts)

    everything = Payer(id="all", remaining=10**6, ratios=ratios)
    found = cheapest_set(
        sorted(offers),
        wanted_by(deduct(usage, [everything]), prices),
        lambda packages: overage(packages, usage, prices, ratios),
    )
    assert found
    count_of = {each.minutes: each.count for each in found.set}
    counts = tuple(count_of.get(minutes, 0) for minutes, _ in offers)
    assert found.total == found.price + found.overage == key(counts)[0]
    best = min(map(key, sets(offers)), default=key(counts))
    assert key(counts) <= best
    assert key(counts) == best or sum(counts) > MOST


@given(
    st.lists(st.tuples(st.sampled_from(ITEMS), st.integers(1, 8)), min_size=1, max_size=6),
    st.fixed_dictionaries(dict.fromkeys(ITEMS, RATIOS)),
    st.fixed_dictionaries(dict.fromkeys(ITEMS, PRICES)),
    st.dictionaries(st.integers(1, 50), st.integers(1, 60).map(Decimal), min_size=1, max_size=3),
)
@example(  # five packages of 6 minutes cost less than three of 10, and pay fewer minutes at the ratio 4
    [("hd", 6)], dict.fromkeys(ITEMS, 4), dict.fromkeys(ITEMS, Decimal(12)), {10: Decimal(2), 6: Decimal(1)}
)
def test_no_set_at_all_is_cheaper_by_more_than_whole_minutes_leave_over(
    minutes: list[tuple[str, int]], ratios: Ratios, prices: Prices, price_list: Mapping[int, Decimal]
) -> None:
    """A single package may be the cheapest, which the estimate compares by itself."""
    usage = [(300 * number, 1, item, count) for number, (item, count) in enumerate(minutes)]
    wanted = wanted_by(deduct(usage, [Payer(id="all", remaining=10**6, ratios=ratios)]), prices)

    def total(packages: Sequence[int]) -> Decimal:
        return sum(price_list[each] for each in packages) + overage(packages, usage, prices, ratios)

    found = cheapest_set(sorted(price_list.items()), wanted, lambda packages: overage(packages, usage, prices, ratios))
    assert found
    best = min(found.total, *(total([size]) for size in price_list), total([]))
    offers = sorted(price_list.items())
    left_over = max(wanted.ratios) - gcd(*wanted.ratios)
    for number in range(1, 5):
        for packages in combinations_with_replacement(sorted(price_list, reverse=True), number):
            assert best <= total(packages) + from_scaled(wanted.most_saved(number * left_over))
            assert least_total(packages, offers, wanted) <= total(packages)
    assert least_total([], offers, wanted) == total([])


def test_a_list_of_many_sizes_of_nearly_one_price_is_searched_in_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound: no set is cheaper than the usage at the lowest price of a minute."""
    monkeypatch.setattr("billing.reports.package_sets.MOST_PARTS", 200)
    monkeypatch.setattr("billing.reports.package_sets.KEPT_PARTS", 20)
    price_list = {10_007 + 1_201 * n: Decimal(10_007 + 1_201 * n) / 1250 + Decimal(n % 3) / 100 for n in range(8)}
    usage = [(300 * number, 1, "audio", 40_000) for number in range(10)]
    ratios, prices = dict.fromkeys(ITEMS, 1), dict.fromkeys(ITEMS, Decimal("0.00099"))
    found = cheapest_set(
        sorted(price_list.items()),
        wanted_by(deduct(usage, [Payer(id="all", remaining=10**9, ratios=ratios)]), prices),
        lambda packages: overage(packages, usage, prices, ratios),
    )
    assert found
    packages = [each.minutes for each in found.set for _ in range(each.count)]
    assert found.total == sum(map(price_list.__getitem__, packages)) + overage(packages, usage, prices, ratios)
    assert 320 <= found.total <= Decimal("320.3")


def test_a_month_without_offers_has_no_set() -> None:
    assert cheapest_set([], demand([]), lambda _: Decimal(0)) is None
