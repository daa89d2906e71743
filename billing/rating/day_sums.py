"""Day sums: a day billed by sums of seconds, with its windows read only where a payer runs out.

Minutes pay window by window because a payer may run out in the midst of a day. One that has enough for everything pays
all of it, in any order; one that has less than the smallest ratio pays nothing. So a stretch of a day in which every
payer is one of these has the same bill if all its seconds stand in one window. A day in which one runs out is halved
until such stretches are left, and single windows. Example: a package with 5,000 package minutes left pays 1,000 minutes
of HD at ratio 4 (4,000), and one with 3 left pays none; with 3,000 left it pays the first 750, and which app these
belong to, the windows say: 288 windows are halved at most nine times.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from billing.catalog.items import WindowUsage
from billing.catalog.quantities import DAILY, Quantity
from billing.periods import window_start
from billing.rating.deductions import WindowMinutes, counted, deduct, minutes_by_window
from billing.rating.payers import Payer
from billing.rating.period_use import NOTHING, PeriodUse


@dataclass(frozen=True, slots=True, kw_only=True)
class DayWindows:
    """The windows of a day, `[start, end)` in epoch seconds. `whole` has its sums by app and item in one window at its
    start; `sums` gives those of a part of it, which begins and ends with windows.

    `whole` and `sums` may be over all apps, in whole minutes of each, if no payer is of one app. Then `by_app` gives
    the sums of a single window, which count where a payer runs out in it.
    """

    start: int
    end: int
    whole: Sequence[WindowUsage]
    sums: Callable[[int, int], Sequence[WindowUsage]]
    by_app: Callable[[int, int], Sequence[WindowUsage]] | None = None

    def counted(self, quantity: Quantity) -> "DayWindows":
        """The same as it is counted (`deductions.counted`)."""
        if not quantity.is_over_apps:
            return self
        sums = self.sums
        return replace(
            self, whole=counted(self.whole, quantity), sums=lambda start, end: counted(sums(start, end), quantity)
        )


def in_stretches(
    usage: Sequence[WindowUsage],
    windows: DayWindows,
    payers: Sequence[Payer],
    quantity: Quantity = DAILY,
    use: PeriodUse = NOTHING,
) -> Sequence[WindowUsage]:
    """Usage with the bill of the day's windows, in as few stretches as that takes.

    `usage` has the sums of the day, with the same minutes of each item as `windows.whole`; `use` is what the period has
    before the day.
    """
    seconds_so_far = use.seconds_by_group(quantity)
    if not payers or not _runs_out(minutes_by_window(usage, dict(seconds_so_far), quantity), payers):
        return usage
    stretches: list[WindowUsage] = []
    pending = [(windows.start, windows.end, windows.whole)]
    while pending:
        start, end, of_part = pending.pop()
        after = dict(seconds_so_far)
        minutes = list(minutes_by_window(of_part, after, quantity))
        if _runs_out(minutes, payers):
            middle = window_start((start + end) // 2)
            if middle > start:
                first = windows.sums(start, middle)
                pending += [(middle, end, _without(of_part, first, middle)), (start, middle, first)]
                continue
            if windows.by_app:
                of_part, after = windows.by_app(start, end), dict(seconds_so_far)
                minutes = list(minutes_by_window(of_part, after, quantity))
        stretches += of_part
        seconds_so_far = after
        payers = _after(payers, minutes)
    return stretches


def _runs_out(minutes: Iterable[WindowMinutes], payers: Sequence[Payer]) -> bool:
    """Whether a payer can pay some of the minutes, but not all that no payer before it pays."""
    unpaid = [row for row in minutes if row[3]]
    for payer in payers:
        ratios, app = payer.ratios, payer.app
        mine: list[WindowMinutes] = []
        others: list[WindowMinutes] = []
        for row in unpaid:
            (mine if app in (None, row[1]) and row[2] in ratios else others).append(row)
        if sum(ratios[item] * count for _, _, item, count in mine) <= payer.remaining:
            unpaid = others
        elif min(ratios[item] for _, _, item, _ in mine) <= payer.remaining:
            return True
    return False


def _without(usage: Iterable[WindowUsage], first: Iterable[WindowUsage], start: int) -> list[WindowUsage]:
    """What is left of a stretch after its first part."""
    gone = {(app_id, item): seconds for _, app_id, item, seconds in first}
    rest = ((app_id, item, seconds - gone.get((app_id, item), 0)) for _, app_id, item, seconds in usage)
    return [WindowUsage(start, app_id, item, seconds) for app_id, item, seconds in rest if seconds]


def _after(payers: Sequence[Payer], minutes: Iterable[WindowMinutes]) -> list[Payer]:
    """The payers with what they have left."""
    left = {payer.id: payer.remaining for payer in payers}
    for deduction in deduct(minutes, payers):
        left[deduction.payer_id] -= deduction.package_minutes
    return [replace(payer, remaining=left[payer.id]) for payer in payers if left[payer.id]]
