"""Deductions: minutes of use that packages and free minutes pay, window by window.

A day's minutes grow with the *cumulative* seconds of each app and item, so a started minute is paid once, however many
windows it spans:

    window        usage  cumulative  minutes so far  now
    00:00-00:05   30 s   30 s        1               1
    00:05-00:10   20 s   50 s        1               0
    00:10-00:15   40 s   90 s        2               1

Inside a window apps pay by id, then items from audio up. A payer pays whole minutes only: one that has 3 units left
pays no HD minute at ratio 4, but three audio minutes. What it cannot pay goes to the next payer, and what none can pay
is payable. Packages pay no minutes of services, free minutes only some.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from billing.catalog.items import ITEM_RANK, WindowUsage
from billing.catalog.quantities import ALL_APPS, DAILY, Quantity
from billing.rating.payers import Payer
from billing.rating.period_use import group_of


class Deduction(NamedTuple):
    """Minutes of one window that one payer pays, and the package minutes they take from it."""

    window_start: int
    app_id: int
    item: str
    payer_id: str
    minutes: int
    package_minutes: int


# (window_start, app_id, item, minutes): what a window adds to the day's minutes of its app and item; 0 when it only
# goes on with a started minute. A plain tuple, because a day has millions.
WindowMinutes = tuple[int, int, str, int]


def minutes_by_window(
    usage: Iterable[WindowUsage],
    seconds_so_far: dict[tuple[int, str], int] | None = None,
    quantity: Quantity = DAILY,
) -> Iterator[WindowMinutes]:
    """The minutes (units of `quantity`) each row of a day's usage adds, in the order they are paid; they sum to the
    day's minutes.

    `seconds_so_far`: those before, by app and item (or what is counted together), if this is not the beginning of the
    period; these are added to them.
    """
    seconds_so_far = {} if seconds_so_far is None else seconds_so_far
    units, weights, is_over_items = quantity.units, quantity.weights, quantity.is_over_items
    for window_start, app_id, item, seconds in _in_order_of_payment(usage):
        group = group_of(quantity, app_id, item) if is_over_items else (app_id, item)
        before = seconds_so_far.get(group, 0)
        after = seconds_so_far[group] = before + (seconds * weights.get(item, 1) if weights else seconds)
        yield window_start, app_id, item, units(after) - units(before) if before else units(after)


def counted(usage: Sequence[WindowUsage], quantity: Quantity) -> Sequence[WindowUsage]:
    """A day's usage as it is counted: apps that are counted together are one. Where items are, too, the day is one
    window: a minute falls to the first item that completes it on the day."""
    if not quantity.is_over_apps and not quantity.is_over_items:
        return usage
    start = min((row[0] for row in usage), default=0)
    sums: dict[tuple[int, int, str], int] = {}
    for window_start, app_id, item, seconds in usage:
        key = (
            start if quantity.is_over_items else window_start,
            ALL_APPS if quantity.is_over_apps else app_id,
            item,
        )
        sums[key] = sums.get(key, 0) + seconds
    return [WindowUsage(*key, seconds) for key, seconds in sums.items()]


def _in_order_of_payment(usage: Iterable[WindowUsage]) -> Iterator[WindowUsage]:
    """Window by window, inside a window by app and item. Sorting many small lists is quicker than one of millions."""
    rank = ITEM_RANK
    by_window: dict[int, list[WindowUsage]] = {}
    for row in usage:
        by_window.setdefault(row[0], []).append(row)
    for window_start in sorted(by_window):
        yield from sorted(by_window[window_start], key=lambda row: (row[1], rank[row[2]]))


def whole_minutes(seconds: int) -> int:
    """Seconds as minutes, a started minute counting as a whole one."""
    return DAILY.units(seconds)


def deduct(increments: Iterable[WindowMinutes], payers: Sequence[Payer]) -> list[Deduction]:
    """What each payer pays of the minutes; both come in the order in which they pay and are paid."""
    remaining = {payer.id: payer.remaining for payer in payers}
    has_own_payers = any(payer.app is not None for payer in payers)
    payers_of: dict[int, list[Payer]] = {}
    deductions = []
    for window_start, app_id, item, minutes in increments:
        who = app_id if has_own_payers else ALL_APPS
        if who not in payers_of:
            payers_of[who] = [payer for payer in payers if payer.app in (None, app_id)]
        ran_out = False
        for payer in payers_of[who]:
            if not minutes:
                break
            payer_id, ratio = payer.id, payer.ratios.get(item)
            left = remaining[payer_id]
            if ratio is None:
                continue
            paid = min(minutes, left // ratio)
            if paid:
                units = paid * ratio
                remaining[payer_id] = left - units
                minutes -= paid
                deductions.append(Deduction(window_start, app_id, item, payer_id, paid, units))
            elif not left:
                ran_out = True
        if ran_out:
            # So that a day costs the same however many packages were used up before.
            payers_of[who] = [payer for payer in payers_of[who] if remaining[payer.id]]
    return deductions
