"""What a policy charges for a period, the slow, obvious way: from the sums of the whole period, without any day.

Written from the page of policies alone: seconds are weighed and summed, become units, free units take the items in
their order, and what is left fills the slabs in the same order.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal

ORDER = ["audio", "sd", "hd", "fhd", "2k", "4k"]


def units_of(seconds: int, step: int, mode: str) -> int:
    """Counted one by one."""
    if mode == "exact":
        return seconds
    units = 0
    while seconds >= step:
        seconds -= step
        units += 1
    return units + (1 if mode == "up" and seconds else 0)


def month_charge(
    seconds: Mapping[tuple[int, str], int],
    *,
    step: int,
    mode: str,
    per: Sequence[str],
    weights: Mapping[str, int],
    free: int,
    ladder: Sequence[tuple[int | None, Mapping[str, Decimal]]],
) -> tuple[int, Decimal]:
    """The units and the amount of a month, `seconds` by app and item. With items counted together all cost the same."""
    groups: dict[tuple[int, str], int] = {}
    for (app, item), used in seconds.items():
        key = app if "app" in per else 0, item if "item" in per else ORDER[0]
        groups[key] = groups.get(key, 0) + used * weights.get(item, 1)
    in_order = sorted(groups, key=lambda key: (ORDER.index(key[1]), key[0]))
    one_by_one = [key[1] for key in in_order for _ in range(units_of(groups[key], step, mode))]
    amount = Decimal(0)
    for number, item in enumerate(one_by_one[free:], 1):
        amount += next(prices[item] for top, prices in ladder if top is None or number <= top)
    return len(one_by_one), amount
