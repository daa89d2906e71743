"""Causes: why one amount is higher than another, split exactly. Pure.

What an item of an app costs in a month is

    amount = (V x / 60 + r - d) p

V seconds of the app, x the item's share of them, r what rounding up to whole minutes adds (minutes - seconds / 60), d
the minutes that free minutes and packages pay, p the price of a payable minute. Between two months each of the five may
change, and how much of the difference each causes would depend on which is changed first. Its *Shapley value* is the
mean over all orders: the five values sum to the difference, and two months exchanged give the same with opposite signs.

    cause            closed form (a, b: the two sides; m: the mean of both)
    volume           ΔV [(xa pa + xb pb) / 3 + (xa pb + xb pa) / 6] / 60
    mix              Δx [(Va pa + Vb pb) / 3 + (Va pb + Vb pa) / 6] / 60
    minute_rounding  Δr pm
    coverage         -Δd pm
    price            Δp [(Va xa + Vb xb) / 3 + (Va xb + Vb xa) / 6] / 60 + Δp (rm - dm)

Example: 1,000 minutes each of audio and HD at 0.00099 and 0.00399 cost 4.98. With 2,000 of HD, a discount of 0.9, and
200 HD minutes that a package pays, 7.3548. The causes: volume 2.59883334, mix 1.18333333, coverage -0.7581, price
-0.64926667.

The exact values may be thirds and sixths. They are shown as whole numbers of 10^-8 that have the same sum: each is
rounded down, and what is missing goes to those with the largest remainders; of equal ones, to the first in the order
above. That is done on the side where the difference is positive, and negated for the other.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from billing.money import SCALE

VOLUME, MIX, MINUTE_ROUNDING, COVERAGE, PRICE = "volume", "mix", "minute_rounding", "coverage", "price"
# In the order in which equal remainders are rounded up.
SPLIT_CAUSES = (VOLUME, MIX, MINUTE_ROUNDING, COVERAGE, PRICE)


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemMonth:
    """A month of one item of an app; `app_seconds` are those of all its items. `price`: of a payable minute.

    Where units are not minutes, minutes are parts of 60 seconds: 10 units of six seconds are one.
    """

    app_seconds: int
    seconds: int
    minutes: int | Fraction
    deducted_minutes: int | Fraction
    price: Fraction

    @property
    def share(self) -> Fraction:
        """The part of the app's seconds; none of none."""
        return Fraction(self.seconds, self.app_seconds) if self.app_seconds else Fraction(0)

    @property
    def rounding(self) -> Fraction:
        """Minutes that rounding up has added."""
        return self.minutes - Fraction(self.seconds, 60)

    @property
    def amount(self) -> Fraction:
        """What the payable minutes cost."""
        return (self.minutes - self.deducted_minutes) * self.price


def split(a: ItemMonth, b: ItemMonth) -> dict[str, Fraction]:
    """The causes of `b.amount - a.amount`, exact, in the order of `SPLIT_CAUSES`."""
    volume, share, price = (a.app_seconds, b.app_seconds), (a.share, b.share), (a.price, b.price)
    mean_price = Fraction(a.price + b.price, 2)
    paid_alike = Fraction(a.rounding + b.rounding - a.deducted_minutes - b.deducted_minutes) / 2
    return {
        VOLUME: (b.app_seconds - a.app_seconds) * _mean_product(share, price) / 60,
        MIX: (b.share - a.share) * _mean_product(volume, price) / 60,
        MINUTE_ROUNDING: (b.rounding - a.rounding) * mean_price,
        COVERAGE: (a.deducted_minutes - b.deducted_minutes) * mean_price,
        PRICE: (b.price - a.price) * (_mean_product(volume, share) / 60 + paid_alike),
    }


def shown(causes: Mapping[str, Fraction]) -> dict[str, int]:
    """The causes in whole numbers of 10^-8 with the same sum, which must be a whole number of them."""
    difference = sum(causes.values())
    # A difference of zero has two sides alike: the first cause that is not zero decides.
    leading = difference or next((value for value in causes.values() if value), Fraction(0))
    if leading < 0:
        return {cause: -units for cause, units in _rounded({cause: -each for cause, each in causes.items()}).items()}
    return _rounded(causes)


def _rounded(causes: Mapping[str, Fraction]) -> dict[str, int]:
    scaled = {cause: value * SCALE for cause, value in causes.items()}
    down = {cause: value.numerator // value.denominator for cause, value in scaled.items()}
    missing = sum(scaled.values()) - sum(down.values())
    if missing.denominator != 1:
        raise ValueError(f"the causes {causes} have a sum with more than 8 decimals")
    # sorted() keeps the order of equal remainders.
    for cause in sorted(scaled, key=lambda cause: down[cause] - scaled[cause])[: int(missing)]:
        down[cause] += 1
    return down


def _mean_product(one: tuple[int | Fraction, int | Fraction], other: tuple[int | Fraction, int | Fraction]) -> Fraction:
    """The product of two changing factors, as the mean over all orders sees it while a third one changes."""
    alike = Fraction(one[0] * other[0] + one[1] * other[1])
    crossed = Fraction(one[0] * other[1] + one[1] * other[0])
    return alike / 3 + crossed / 6
