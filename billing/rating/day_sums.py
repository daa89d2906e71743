"""Day sums: whether a day can be billed by its sums, without looking at its windows.

Minutes pay window by window only because a payer may run out in the midst of a day. One that has enough for everything
pays all of it, in any order; one that has less than the smallest ratio pays nothing. So a day on which every payer is
one of these has the same bill if all its seconds stand in one window. Example: a package with 5,000 package minutes
left pays 1,000 minutes of HD at ratio 4 (4,000), and one with 3 left pays none; with 3,000 left it pays the first 750,
and which app these belong to, the windows say.
"""

from collections.abc import Iterable, Sequence

from billing.catalog.items import WindowUsage
from billing.rating.deductions import whole_minutes
from billing.rating.payers import Payer


def needs_windows(sums: Iterable[WindowUsage], payers: Sequence[Payer]) -> bool:
    """Whether a payer runs out on the day; `sums` has each app and item once."""
    unpaid = [(app_id, item, whole_minutes(seconds)) for _, app_id, item, seconds in sums]
    for payer in payers:
        ratios, app = payer.ratios, payer.app
        mine = [row for row in unpaid if app in (None, row[0])]
        if sum(ratios[item] * minutes for _, item, minutes in mine) <= payer.remaining:
            unpaid = [row for row in unpaid if app not in (None, row[0])]
        elif min(ratios[item] for _, item, _ in mine) <= payer.remaining:
            return True
    return False
