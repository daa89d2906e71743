"""Period use: what a month has so far, for policies that count over the month.

A day's charge is C(after) - C(before). `PeriodUse` is what C is taken of: seconds, units and payable units of the
days before, by app and item, as the charges of these days have them. So it can always be had from the ledger, and late
events change it with the charges.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal, localcontext
from typing import TYPE_CHECKING, NamedTuple

from billing.catalog.items import FEES, ITEM_RANK
from billing.catalog.policies import PolicyVersion
from billing.catalog.quantities import Quantity
from billing.money import EXACT

if TYPE_CHECKING:
    from billing.rating.charges import Charge

# An app (or `ALL_APPS`) and an item.
Cell = tuple[int, str]


class CellUse(NamedTuple):
    """What a cell has so far."""

    seconds: int = 0
    units: int = 0
    payable: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodUse:
    """The days of a month (its first day) that are billed by one policy; `free_units` are the package minutes that the
    month's free minutes paid on them, `amount` what they cost."""

    month: date | None = None
    policy_id: str = ""
    cells: Mapping[Cell, CellUse] = field(default_factory=dict)
    free_units: int = 0
    amount: Decimal = Decimal(0)

    def of(self, day: date, policy_id: str) -> "PeriodUse":
        """The use before a day under a policy: nothing, in another month or after a change of the policy."""
        month = day.replace(day=1)
        is_same = (self.month, self.policy_id) == (month, policy_id)
        return self if is_same else PeriodUse(month=month, policy_id=policy_id)

    def within(self, items: Collection[str]) -> "PeriodUse":
        """The use of some items."""
        cells = {cell: use for cell, use in self.cells.items() if cell[1] in items}
        return replace(self, cells=cells)

    def plus(self, charges: Iterable["Charge"], free_units: int) -> "PeriodUse":
        """The use after a day."""
        cells = dict(self.cells)
        amount = self.amount
        with localcontext(EXACT):
            for charge in charges:
                amount += charge.amount
                if charge.item in FEES:
                    continue
                use = cells.get((charge.app_id, charge.item), CellUse())
                cells[charge.app_id, charge.item] = CellUse(
                    use.seconds + charge.seconds, use.units + charge.minutes, use.payable + charge.payable_minutes
                )
        return PeriodUse(
            month=self.month,
            policy_id=self.policy_id,
            cells=cells,
            free_units=self.free_units + free_units,
            amount=amount,
        )

    def seconds_by_group(self, quantity: Quantity) -> dict[tuple[int, str], int]:
        """Seconds by what is counted by itself."""
        seconds: Counter[tuple[int, str]] = Counter()
        for (app_id, item), use in self.cells.items():
            seconds[group_of(quantity, app_id, item)] += use.seconds * quantity.weights.get(item, 1)
        return dict(seconds)


NOTHING = PeriodUse()


def is_cumulative(version: PolicyVersion) -> bool:
    """Whether the days of a month depend on those before."""
    return bool(version.monthly_items or version.fees)


def group_of(quantity: Quantity, app_id: int, item: str) -> tuple[int, str]:
    """What the seconds of a cell are counted with."""
    return app_id, "" if quantity.is_over_items else item


def in_item_order(cells: Iterable[Cell]) -> list[Cell]:
    """Cells by item, then by app."""
    return sorted(cells, key=lambda cell: (ITEM_RANK[cell[1]], cell[0]))


def free_minutes_of(units: Mapping[Cell, int], amount: int, ratios: Mapping[str, int]) -> dict[Cell, int]:
    """The units that free minutes pay, which take the items in their order: of 8,000 minutes of audio and 5,000 of HD,
    10,000 free minutes pay 8,000 and 2,000."""
    paid = {}
    for cell in in_item_order(units):
        ratio = ratios[cell[1]]
        paid[cell] = min(units[cell], amount // ratio)
        amount -= paid[cell] * ratio
    return paid


def by_slab(payable: Mapping[Cell, int], tops: Sequence[int | None]) -> Counter[tuple[Cell, int]]:
    """The payable units of each cell in each slab, which the items fill in their order; `tops` are inclusive. 150,000
    units of audio with the tops 99,999 and None are 99,999 and 50,001."""
    found: Counter[tuple[Cell, int]] = Counter()
    slab = so_far = 0
    for cell in in_item_order(payable):
        left = payable[cell]
        while left > 0:
            top = tops[slab]
            taken = left if top is None else min(left, top - so_far)
            if taken:
                found[cell, slab] += taken
            left -= taken
            so_far += taken
            slab += top is not None and so_far == top
    return found
