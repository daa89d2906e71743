"""Package demand: the usage that packages can pay, and how much of its price a number of package minutes can save.

F(x) is the price of the first x package minutes, in the order in which they are paid: `paid_by`. K(x) is that of the x
dearest: `most_saved`. No x package minutes save more than K(x), and K is concave. Example: 1,000 minutes of audio at
0.00099 (ratio 1) and then 500 of HD at 0.00399 (ratio 4) are 3,000 package minutes; the first 1,000 of them cost 0.99,
the next 2,000 cost 1.995, which is 0.0009975 each, so the dearest 2,000 are HD.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from fractions import Fraction
from operator import attrgetter
from typing import NamedTuple

from billing.money import EXACT, SCALE


class _Stretch(NamedTuple):
    """Minutes of one item in a row, after `start` package minutes that cost `worth`."""

    start: int
    worth: int
    minutes: int
    ratio: int
    price: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """The usage that packages can pay, in the order in which they pay it. Money is in 10^-8."""

    stretches: Sequence[_Stretch]
    by_price: Sequence["_AtPrice"]
    pay_as_you_go: int
    ratios: frozenset[int]

    def paid_by(self, capacity: int) -> tuple[int, int]:
        """The first whole minutes that fit into so many package minutes: their package minutes and their price."""
        number = bisect_right(self.stretches, capacity, key=attrgetter("start"))
        if not number:
            return 0, 0
        stretch = self.stretches[number - 1]
        minutes = min(stretch.minutes, (capacity - stretch.start) // stretch.ratio)
        return stretch.start + minutes * stretch.ratio, stretch.worth + minutes * stretch.price

    def most_saved(self, capacity: int) -> int:
        """The price of the dearest package minutes, so many of them."""
        saved = 0
        for package_minutes, worth in self.by_price:
            taken = min(package_minutes, capacity)
            saved -= -taken * worth // package_minutes
            capacity -= taken
        return saved

    def dearer_than(self, price: Fraction) -> int:
        """Package minutes that cost more than `price` each."""
        return sum(each.package_minutes for each in self.by_price if each.price > price)


class _AtPrice(NamedTuple):
    """The whole demand at one ratio and price: package minutes and what they cost."""

    package_minutes: int
    worth: int

    @property
    def price(self) -> Fraction:
        """Of a package minute."""
        return Fraction(self.worth, self.package_minutes)


class Payable(NamedTuple):
    """Minutes that a package could pay, the package minutes that they take, and the price of one of the minutes."""

    minutes: int
    package_minutes: int
    price: Decimal


def demand(payable: Iterable[Payable]) -> Demand:
    """The usage that a package for all of it would pay, in the order in which it would.

    Of usage whose order is not known, such as that of a day known by its sums, the package minutes with the highest
    price come first: then no package minutes of the true order save more, and the bounds stay bounds.
    """
    stretches = []
    of_prices: dict[tuple[int, int], _AtPrice] = {}
    start = worth = 0
    for minutes, package_minutes, unit_price in payable:
        ratio, price = package_minutes // minutes, scaled(unit_price)
        stretches.append(_Stretch(start, worth, minutes, ratio, price))
        so_far = of_prices.get((ratio, price), _AtPrice(0, 0))
        of_prices[ratio, price] = _AtPrice(so_far.package_minutes + package_minutes, so_far.worth + minutes * price)
        start += package_minutes
        worth += minutes * price
    return Demand(
        stretches=stretches,
        by_price=sorted(of_prices.values(), key=attrgetter("price"), reverse=True),
        pay_as_you_go=worth,
        ratios=frozenset(stretch.ratio for stretch in stretches) or frozenset({1}),
    )


def scaled(money: Decimal) -> int:
    """Money in 10^-8."""
    with localcontext(EXACT):
        return int(money * SCALE)
