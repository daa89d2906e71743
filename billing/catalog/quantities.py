"""Quantities: how the seconds of a policy become what is paid for. One law:

    a day's charge is C(cumulative after) - C(cumulative before), with C over the policy's period

The period is a day or a calendar month. Seconds are summed within a *cell*: each app and item by itself, an item over
all apps, or all items together, each second counting as often as its weight says. The sum becomes units of `step`
seconds, a started one counting as a whole one (`up`) or not at all (`down`); `exact` counts seconds. A unit falls to
the app and item whose seconds complete it. Free minutes and slabs of the price are C's, too.

Example, a month over all apps: 90 s of audio on day 1 are 2 minutes; with 40 s more on day 2 it is 130 s and 3 minutes,
so day 2 is charged 1 minute.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

# Stands for the app where an item is counted over all apps of an account; no app has this id.
ALL_APPS = 0

Period = Literal["day", "month"]
Mode = Literal["up", "down", "exact"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """The rule from seconds to units. `per`: what is counted by itself, of `app`, `item` and `stay`."""

    period: Period = "day"
    step: int = 60
    mode: Mode = "up"
    per: tuple[str, ...] = ("app", "item")
    weights: Mapping[str, int] = field(default_factory=dict)

    @property
    def unit_seconds(self) -> int:
        """The seconds of one unit."""
        return 1 if self.mode == "exact" else self.step

    @property
    def is_over_apps(self) -> bool:
        """Whether the apps of an account are counted together."""
        return "app" not in self.per and "stay" not in self.per

    @property
    def is_over_items(self) -> bool:
        """Whether all items are counted together."""
        return "item" not in self.per and "stay" not in self.per

    def units(self, seconds: int) -> int:
        """Seconds as whole units."""
        step = 1 if self.mode == "exact" else self.step
        return seconds // step if self.mode == "down" else -(-seconds // step)


DAILY = Quantity()


@dataclass(frozen=True, slots=True, kw_only=True)
class Slab:
    """A part of a graduated price: the units up to and including `upto` (None: all above the slab before), counted over
    everything that is payable in the period. They cost the item's price times `discount`, or `price` per 1,000 minutes.
    """

    upto: int | None = None
    discount: Decimal | None = None
    price: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fee:
    """What a month costs besides its use: `base` always, and as much as its amount is below `minimum`."""

    base: Decimal = Decimal(0)
    minimum: Decimal = Decimal(0)
