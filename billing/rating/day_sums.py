"""Day sums: a day billed by sums of seconds, with its windows read only where a payer runs out.

Minutes pay window by window because a payer may run out in the midst of a day. One that has enough for everything pays
all of it, in any order; one that has less than the smallest ratio pays nothing. So a stretch of a day in which every
payer is one of these has the same bill if all its seconds stand in one window. A day in which one runs out is cut near
that place until such stretches are left, and single windows. Example: a package with 5,000 package minutes left pays
1,000 minutes of HD at ratio 4 (4,000), and one with 3 left pays none; with 3,000 left it pays the first 750, and which
app these belong to, the windows say: 288 windows are cut a few times, at the latest each third time in the middle.

Where every payer pays for all apps, the minutes of all apps together say where one runs out. Apps stand apart only in
that window, where the order of apps counts.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import NamedTuple

from billing.catalog.items import WindowUsage
from billing.catalog.policies import PolicyVersion
from billing.catalog.quantities import DAILY, Quantity
from billing.periods import WINDOW_SECONDS, window_start
from billing.rating.deductions import WindowMinutes, counted, deduct, minutes_by_window
from billing.rating.payers import Payer
from billing.rating.period_use import NOTHING, PeriodUse


@dataclass(frozen=True, slots=True, kw_only=True)
class DayWindows:
    """The windows of a day, `[start, end)` in epoch seconds. `whole` has its sums by app and item in one window at its
    start; `sums` gives those of a part of it, which begins and ends with windows.

    `of_all_apps` may be the same in whole units over all apps (`pays_over_all_apps`), whose `by_app` gives the units of
    a single window by app. `guess` may say by which window about a share of a part is used.
    """

    start: int
    end: int
    whole: Sequence[WindowUsage]
    sums: Callable[[int, int], Sequence[WindowUsage]]
    by_app: Callable[[int, int], Sequence[WindowUsage]] | None = None
    of_all_apps: "DayWindows | None" = None
    guess: Callable[[int, int, Fraction], int] | None = None

    def counted(self, quantity: Quantity) -> "DayWindows":
        """The same as it is counted (`deductions.counted`)."""
        if not quantity.is_over_apps:
            return self
        sums = self.sums
        return replace(
            self, whole=counted(self.whole, quantity), sums=lambda start, end: counted(sums(start, end), quantity)
        )

    def cut(self, start: int, end: int, share: Fraction | None) -> int:
        """Where a part is cut: near a share of what is used in it; None: in its middle. `start`: it is one window."""
        middle = window_start((start + end) // 2)
        if share is None or self.guess is None or middle <= start:
            return max(start, middle)
        last = window_start(end - 1)
        return max(start + WINDOW_SECONDS, min(window_start(self.guess(start, end, share)), last))


def pays_over_all_apps(version: PolicyVersion, items: Collection[str]) -> bool:
    """Whether free minutes and packages of the whole account pay the units of a day with these items, whichever app
    they are of."""
    quantity = version.quantity
    is_by_cell = not quantity.is_over_apps and not quantity.is_over_items
    is_daily = version.monthly_items.isdisjoint(items)
    return is_by_cell and is_daily and (version.free_scope, version.free_order) == ("account", "time")


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
    if not payers:
        return usage
    of_all_apps = windows.of_all_apps if all(payer.app is None for payer in payers) else None
    found = _stretches(of_all_apps or windows, payers, quantity, use)
    if len(found) == 1:
        return usage
    if of_all_apps:
        return [row for stretch in _joined(found) for row in windows.sums(stretch.start, stretch.end)]
    return [row for stretch in found for row in stretch.usage]


# A good guess leaves a long part behind it, of which the next one cuts off the window.
_MOST_MISSES = 2


class _Part(NamedTuple):
    """A part of a day with its sums, and how many cuts in a row have left more than half of what they cut."""

    start: int
    end: int
    usage: Sequence[WindowUsage]
    misses: int = 0

    def after_cut(self, start: int, end: int, usage: Sequence[WindowUsage]) -> "_Part":
        """A part of this part."""
        is_miss = self.misses < _MOST_MISSES and 2 * (end - start) > self.end - self.start
        return _Part(start, end, usage, self.misses + 1 if is_miss else 0)


class _Stretch(NamedTuple):
    """A part in which no payer runs out, or a single window; `payers` are those before it."""

    start: int
    end: int
    usage: Sequence[WindowUsage]
    minutes: list[WindowMinutes]
    payers: Sequence[Payer]


def _stretches(windows: DayWindows, payers: Sequence[Payer], quantity: Quantity, use: PeriodUse) -> list[_Stretch]:
    seconds_so_far = use.seconds_by_group(quantity)
    found: list[_Stretch] = []
    pending = [_Part(windows.start, windows.end, windows.whole)]
    while pending:
        part = pending.pop()
        start, end, usage, misses = part
        after = dict(seconds_so_far)
        minutes = list(minutes_by_window(usage, after, quantity))
        share = _runs_out(minutes, payers)
        if share is not None:
            at = windows.cut(start, end, share if misses < _MOST_MISSES else None)
            if at > start:
                first = windows.sums(start, at)
                pending += [part.after_cut(at, end, _without(usage, first, at)), part.after_cut(start, at, first)]
                continue
            if windows.by_app:
                usage, after = windows.by_app(start, end), dict(seconds_so_far)
                minutes = list(minutes_by_window(usage, after, quantity))
        found.append(_Stretch(start, end, usage, minutes, payers))
        seconds_so_far = after
        payers = _after(payers, minutes)
    return found


def _joined(stretches: Iterable[_Stretch]) -> list[_Stretch]:
    """Stretches that follow each other as one, where no payer runs out in that either."""
    joined: list[_Stretch] = []
    for stretch in stretches:
        if joined:
            start, _, _, minutes, payers = joined[-1]
            if _runs_out([*minutes, *stretch.minutes], payers) is None:
                joined[-1] = _Stretch(start, stretch.end, (), [*minutes, *stretch.minutes], payers)
                continue
        joined.append(stretch)
    return joined


def _runs_out(minutes: Iterable[WindowMinutes], payers: Sequence[Payer]) -> Fraction | None:
    """What share of the minutes that no payer before it pays the first payer can pay that pays some, but not all; None:
    there is no such payer."""
    unpaid = [row for row in minutes if row[3]]
    for payer in payers:
        ratios, app = payer.ratios, payer.app
        mine: list[WindowMinutes] = []
        others: list[WindowMinutes] = []
        for row in unpaid:
            (mine if app in (None, row[1]) and row[2] in ratios else others).append(row)
        wanted = sum(ratios[item] * count for _, _, item, count in mine)
        if wanted <= payer.remaining:
            unpaid = others
        elif min(ratios[item] for _, _, item, _ in mine) <= payer.remaining:
            return Fraction(payer.remaining, wanted)
    return None


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
