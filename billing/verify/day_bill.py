"""A day's bill once more: seconds to units, units to payers, the rest to amounts.

What a day costs is what its month, or the day alone, costs with it less what it costs without. So the bill of a day is
made of the day's windows and of what its month has so far. Worked, by day: 30, 20 and 40 s of audio in three windows
are 1, 0 and 1 minutes; with 1 package minute left the package pays the first, and 1 x 0.00099 = 99,000 x 10^-8 is
charged. By month: after 90 s (2 minutes) another 40 s are 1 minute, because 130 s are 3.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from itertools import pairwise
from types import MappingProxyType
from typing import NamedTuple

from billing.verify.money import PaymentSource, Slab, free_payer
from billing.verify.policy_rules import ITEM_PLACE, PolicyRules, UnitRule

# Seconds of a day: by window (its start), app and item.
Windows = Mapping[tuple[int, int, str], int]
# An app, or 0 for all together, and an item.
Cell = tuple[int, str]
# By window, app, item and payer: units, and the package minutes that they take.
Paid = dict[tuple[int, int, str, str], tuple[int, int]]
ALL_APPS = 0
BASE_FEE, MINIMUM_FEE = "base_fee", "minimum_fee"


class CellSum(NamedTuple):
    """What a cell has in a month so far."""

    seconds: int = 0
    units: int = 0
    payable: int = 0


class MonthSoFar(NamedTuple):
    """What the days of a month have under one policy: by cell, the package minutes that free minutes paid, and what it
    all cost."""

    month: str = ""
    policy: str = ""
    cells: Mapping[Cell, CellSum] = MappingProxyType({})
    free_units: int = 0
    amount: int = 0

    def at(self, day: date, policy: str) -> "MonthSoFar":
        """The same before a day: nothing in another month, or after the policy has changed."""
        same = (self.month, self.policy) == (f"{day:%Y-%m}", policy)
        return self if same else MonthSoFar(f"{day:%Y-%m}", policy)

    def within(self, items: frozenset[str]) -> "MonthSoFar":
        """That of some items."""
        return self._replace(cells={cell: used for cell, used in self.cells.items() if cell[1] in items})


NOTHING_SO_FAR = MonthSoFar()


class DayCharge(NamedTuple):
    """A day's use of an item in an app and slab."""

    seconds: int
    units: int
    deducted: int
    payable: int
    amount: int


class DayTerms(NamedTuple):
    """What holds on a day: who pays, what a unit costs, and the fees of the month."""

    day: date
    rules: PolicyRules
    sources: Sequence[PaymentSource]
    slabs: Sequence[Slab]
    fees: tuple[int, int] | None


class DayBill(NamedTuple):
    """A day in money; charges are by app, item and slab, and `so_far` is what the month has at its end."""

    paid: Paid
    charges: dict[tuple[int, str, int], DayCharge]
    fees: dict[str, int]
    so_far: MonthSoFar

    def package_minutes(self) -> dict[str, int]:
        """Those that each payer pays."""
        found: dict[str, int] = {}
        for (*_, payer_id), (_, taken) in self.paid.items():
            found[payer_id] = found.get(payer_id, 0) + taken
        return found


def bill_of(terms: DayTerms, windows: Windows, so_far: MonthSoFar) -> DayBill:
    """The bill of a day; `so_far` is what its month has before it."""
    rules, windows = terms.rules, counted(windows, terms.rules.unit)
    counts = so_far.within(rules.monthly_items)
    seconds = by_cell(windows.items())
    units = by_cell(added_units({(0, *cell): count for cell, count in seconds.items()}, rules.unit, counts))
    if rules.free_by_item:
        paid = _paid_by_item(terms, windows, units, counts)
    else:
        paid = paid_in_time(added_units(windows, rules.unit, counts) if terms.sources else (), terms.sources)
    deducted: dict[Cell, int] = {}
    for (_, app_id, item, _), (count, _) in paid.items():
        deducted[app_id, item] = deducted.get((app_id, item), 0) + count
    payable = {cell: units.get(cell, 0) - deducted.get(cell, 0) for cell in seconds.keys() | deducted.keys()}
    payable = {cell: count for cell, count in payable.items() if cell in seconds or deducted[cell]}
    charges = dict(_charges(terms, counts, payable, seconds, deducted))
    fees = _fees(terms, so_far.amount + sum(each.amount for each in charges.values()))
    after = _after(terms, so_far, charges, fees, paid) if rules.is_cumulative else NOTHING_SO_FAR
    return DayBill(paid, charges, fees, after)


# Units


def counted(windows: Windows, unit: UnitRule) -> Windows:
    """Seconds as they are counted: apps together are one; with items together, the day is one window."""
    if not unit.over_apps and not unit.over_items:
        return windows
    first = min((window for window, _, _ in windows), default=0)
    found: dict[tuple[int, int, str], int] = {}
    for (window, app_id, item), count in windows.items():
        key = (first if unit.over_items else window, ALL_APPS if unit.over_apps else app_id, item)
        found[key] = found.get(key, 0) + count
    return found


def added_units(windows: Windows, unit: UnitRule, so_far: MonthSoFar) -> Iterator[tuple[tuple[int, int, str], int]]:
    """What each window, app and item adds, in the order in which they are paid. With items together, a unit is of the
    item that completes it."""
    weights, seconds = unit.weights, dict[Cell, int]()
    for (app_id, item), used in so_far.cells.items():
        group = (app_id, "" if unit.over_items else item)
        seconds[group] = seconds.get(group, 0) + used.seconds * weights.get(item, 1)
    units = {group: unit.units(count) for group, count in seconds.items()}
    ordered = sorted(
        (window, app_id, ITEM_PLACE[item], item, count) for (window, app_id, item), count in windows.items()
    )
    for window, app_id, _, item, count in ordered:
        group = (app_id, "" if unit.over_items else item)
        after = seconds[group] = seconds.get(group, 0) + (count * weights.get(item, 1) if weights else count)
        so_many = unit.units(after)
        yield (window, app_id, item), so_many - units.get(group, 0)
        units[group] = so_many


def by_cell(counts: Iterable[tuple[tuple[int, int, str], int]]) -> dict[Cell, int]:
    """Sums over the windows of a day."""
    found: dict[Cell, int] = {}
    for (_, app_id, item), count in counts:
        found[app_id, item] = found.get((app_id, item), 0) + count
    return found


# Payers


def paid_in_time(added: Iterable[tuple[tuple[int, int, str], int]], sources: Sequence[PaymentSource]) -> Paid:
    """Who pays, one window after the other: whole units, the first source that can."""
    left = {each.payer_id: each.remaining for each in sources}
    found: Paid = {}
    for (window, app_id, item), units in added:
        for source in sources:
            if source.app_id not in (None, app_id):
                continue
            ratio = source.ratios.get(item)
            if ratio is None or not units:
                continue
            if paid := min(units, left[source.payer_id] // ratio):
                units -= paid
                left[source.payer_id] -= paid * ratio
                found[window, app_id, item, source.payer_id] = (paid, paid * ratio)
    return found


def _paid_by_item(terms: DayTerms, windows: Windows, units: Mapping[Cell, int], so_far: MonthSoFar) -> Paid:
    """The free minutes pay the items of the period in their order, whatever the day; then packages pay the rest."""
    free, *packages = terms.sources
    budget = free.remaining + (so_far.free_units if terms.rules.unit.is_monthly else 0)
    before = {cell: used.units for cell, used in so_far.cells.items()}
    after = {cell: before.get(cell, 0) + units.get(cell, 0) for cell in before.keys() | units.keys()}
    was, now = (_free_units(of, budget, free.ratios) for of in (before, after))
    first = min((window for window, _, _ in windows), default=0)
    changes = {cell: now[cell] - was.get(cell, 0) for cell in now}
    found: Paid = {
        (first, *cell, free.payer_id): (change, change * free.ratios[cell[1]])
        for cell, change in changes.items()
        if change
    }
    rest = [((first, *cell), units.get(cell, 0) - changes[cell]) for cell in sorted(now, key=_line_place)]
    return found | paid_in_time([each for each in rest if each[1] > 0], packages)


def _free_units(units: Mapping[Cell, int], budget: int, ratios: Mapping[str, int]) -> dict[Cell, int]:
    found = {}
    for cell in sorted(units, key=_item_place):
        found[cell] = min(units[cell], budget // ratios[cell[1]])
        budget -= found[cell] * ratios[cell[1]]
    return found


def _item_place(cell: Cell) -> tuple[int, int]:
    return ITEM_PLACE[cell[1]], cell[0]


def _line_place(cell: Cell) -> tuple[int, int]:
    return cell[0], ITEM_PLACE[cell[1]]


# Amounts


def _charges(
    terms: DayTerms,
    so_far: MonthSoFar,
    payable: Mapping[Cell, int],
    seconds: Mapping[Cell, int],
    deducted: Mapping[Cell, int],
) -> Iterator[tuple[tuple[int, str, int], DayCharge]]:
    """What each app and item costs in each slab; its seconds, and what others pay, are of the first of them."""
    added = _by_slab(terms.slabs, so_far, payable)
    for cell in sorted(added, key=_line_place):
        for slab, count in added[cell].items():
            is_first = slab == next(iter(added[cell]))
            used, paid = (of.get(cell, 0) if is_first else 0 for of in (seconds, deducted))
            amount = count * terms.slabs[slab].prices.get(cell[1], 0)
            yield (*cell, slab), DayCharge(used, count + paid, paid, count, amount)


def _by_slab(slabs: Sequence[Slab], so_far: MonthSoFar, payable: Mapping[Cell, int]) -> dict[Cell, dict[int, int]]:
    """The payable units that the day adds to each slab, by cell; a cell with use has a slab even if it adds nothing."""
    if len(slabs) == 1:
        return {cell: {0: count} for cell, count in payable.items()}
    before = {cell: used.payable for cell, used in so_far.cells.items()}
    after = {cell: before.get(cell, 0) + payable.get(cell, 0) for cell in before.keys() | payable.keys()}
    was, now = _filled(slabs, before), _filled(slabs, after)
    found: dict[Cell, dict[int, int]] = {}
    for cell in after:
        changes = [there - here for here, there in zip(was.get(cell, [0] * len(slabs)), now[cell], strict=True)]
        found[cell] = {slab: change for slab, change in enumerate(changes) if change}
        if not found[cell] and cell in payable:
            found[cell] = {max((slab for slab, count in enumerate(now[cell]) if count), default=0): 0}
    return {cell: of_slabs for cell, of_slabs in found.items() if of_slabs}


def _filled(slabs: Sequence[Slab], payable: Mapping[Cell, int]) -> dict[Cell, list[int]]:
    """Units laid end to end, in the order of items, and cut at the tops of the slabs."""
    found, start = {}, 0
    for cell in sorted(payable, key=_item_place):
        end = start + max(payable[cell], 0)
        cuts = [0, *(end if slab.top is None else slab.top for slab in slabs)]
        found[cell] = [max(0, min(end, max(top, bottom)) - max(start, bottom)) for bottom, top in pairwise(cuts)]
        start = end
    return found


def _fees(terms: DayTerms, amount: int) -> dict[str, int]:
    """On the last day of a month: the base, and what is missing of the minimum."""
    if terms.fees is None or (terms.day + timedelta(days=1)).day != 1:
        return {}
    base, minimum = terms.fees
    fees = {BASE_FEE: base, MINIMUM_FEE: max(0, minimum - base - amount)}
    return {item: fee for item, fee in fees.items() if fee}


def _after(
    terms: DayTerms,
    so_far: MonthSoFar,
    charges: Mapping[tuple[int, str, int], DayCharge],
    fees: Mapping[str, int],
    paid: Paid,
) -> MonthSoFar:
    cells = dict(so_far.cells)
    for (app_id, item, _), each in charges.items():
        used = cells.get((app_id, item), CellSum())
        cells[app_id, item] = CellSum(used.seconds + each.seconds, used.units + each.units, used.payable + each.payable)
    free = sum(taken for (*_, payer_id), (_, taken) in paid.items() if payer_id == free_payer(terms.day))
    amount = so_far.amount + sum(each.amount for each in charges.values()) + sum(fees.values())
    return so_far._replace(cells=cells, free_units=so_far.free_units + free, amount=amount)
