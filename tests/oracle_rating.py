"""Deduction the slow, obvious way: every second in turn, and every minute paid on its own.

Written from the rules alone: a day's first second of an app and item starts its first minute, the sixty-first the
second one; whoever is first in the order and can pay a whole minute pays it.
"""

from collections import Counter

from billing.catalog.items import WindowUsage
from billing.rating.deductions import Deduction
from billing.rating.payers import Payer

ITEMS_IN_ORDER = ["audio", "sd", "hd", "fhd", "2k", "4k"]


def deductions_minute_by_minute(usage: list[WindowUsage], payers: list[Payer]) -> tuple[list[Deduction], int]:
    """The deductions of a day (each window, app, item and payer once) and the number of minutes that nobody paid."""
    left = {payer.id: payer.remaining for payer in payers}
    seconds_so_far: Counter[tuple[int, str]] = Counter()
    paid: Counter[tuple[int, int, str, str]] = Counter()
    unpaid = 0
    for row in sorted(usage, key=lambda row: (row.window_start, row.app_id, ITEMS_IN_ORDER.index(row.item))):
        for _ in range(row.seconds):
            starts_a_minute = seconds_so_far[row.app_id, row.item] % 60 == 0
            seconds_so_far[row.app_id, row.item] += 1
            if not starts_a_minute:
                continue
            for payer in payers:
                may_pay = payer.app is None or payer.app == row.app_id
                if may_pay and left[payer.id] >= payer.ratios[row.item]:
                    left[payer.id] -= payer.ratios[row.item]
                    paid[row.window_start, row.app_id, row.item, payer.id] += 1
                    break
            else:
                unpaid += 1
    ratio = {payer.id: payer.ratios for payer in payers}
    deductions = [
        Deduction(window_start, app_id, item, payer_id, minutes, minutes * ratio[payer_id][item])
        for (window_start, app_id, item, payer_id), minutes in paid.items()
    ]
    return deductions, unpaid
