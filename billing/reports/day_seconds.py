"""Day seconds: what each app and item of a day has used up to an instant, read when asked for, and kept.

A bill that finds out where its packages run out asks for few instants of a day, and the next bill of the same search
for nearly the same ones. The seconds up to an instant are those up to a known one before or after it, and what lies
between. Example: a day of 288 windows is known at both ends; up to window 250 it is the whole day without the windows
from 250 on, 38 of which are read.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import accumulate

from billing.catalog.items import WindowUsage
from billing.catalog.quantities import Quantity
from billing.rating.day_sums import DayWindows

# Where only the sums of all apps count.
_ALL_APPS = 0
# The seconds of thousands of apps are kept for so many instants of a day, the units of all apps together for all.
_INSTANTS_KEPT = 16

Seconds = Mapping[tuple[int, str], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class DaySeconds:
    """A day from `start` to `end`, of which the `whole` seconds by app and item are known.

    `read` gives the sums of a part that begins and ends with windows; `sample` the seconds of some of the apps by
    window, from which it is guessed where to look.
    """

    start: int
    end: int
    whole: Seconds
    quantity: Quantity
    read: Callable[[int, int], Seconds]
    sample: Callable[[], Mapping[int, int]]
    seconds_so_far: dict[int, Seconds] = field(default_factory=dict)
    units_so_far: dict[int, Counter[str]] = field(default_factory=dict)
    sampled: list[tuple[list[int], list[int]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.seconds_so_far.update({self.start: {}, self.end: self.whole})

    def windows(self, *, over_all_apps: bool) -> DayWindows:
        """The day as a bill reads it; `over_all_apps`: see `day_sums.pays_over_all_apps`."""
        return DayWindows(
            start=self.start,
            end=self.end,
            whole=self.sums(self.start, self.end),
            sums=self.sums,
            of_all_apps=self._of_all_apps() if over_all_apps else None,
            guess=self.guess,
        )

    def _of_all_apps(self) -> DayWindows:
        return DayWindows(
            start=self.start,
            end=self.end,
            whole=self.units(self.start, self.end),
            sums=self.units,
            by_app=self.units_by_app,
            guess=self.guess,
        )

    def sums(self, start: int, end: int) -> list[WindowUsage]:
        """The seconds of a part by app and item."""
        before = self._seconds(start)
        return [
            WindowUsage(start, app_id, item, used)
            for (app_id, item), so_far in self._seconds(end).items()
            if (used := so_far - before.get((app_id, item), 0))
        ]

    def units(self, start: int, end: int) -> list[WindowUsage]:
        """The units that a part adds over all apps, as seconds of whole units."""
        before, after = self._units(start), self._units(end)
        return [
            WindowUsage(start, _ALL_APPS, item, added * self.quantity.unit_seconds)
            for item in after
            if (added := after[item] - before[item])
        ]

    def units_by_app(self, start: int, end: int) -> list[WindowUsage]:
        """The same of each app."""
        before, units, step = self._seconds(start), self.quantity.units, self.quantity.unit_seconds
        added = (
            (app_id, item, units(so_far) - units(before.get((app_id, item), 0)))
            for (app_id, item), so_far in self._seconds(end).items()
        )
        return [WindowUsage(start, app_id, item, count * step) for app_id, item, count in added if count]

    def guess(self, start: int, end: int, share: Fraction) -> int:
        """The window by whose end about this share of a part is used, if the apps of the sample are like the others."""
        starts, so_far = self._sample()
        first, last = bisect_left(starts, start), bisect_left(starts, end)
        used = so_far[last] - so_far[first]
        if not used:
            return (start + end) // 2
        return starts[max(first, bisect_left(so_far, so_far[first] + share * used, first, last + 1) - 1)]

    def _sample(self) -> tuple[list[int], list[int]]:
        """The windows of the sample, and its seconds before the first of them, the second, … and after the last."""
        if not self.sampled:
            by_window = self.sample()
            starts = sorted(by_window)
            self.sampled.append((starts, list(accumulate((by_window[each] for each in starts), initial=0))))
        return self.sampled[0]

    def _expected(self, start: int, end: int) -> int:
        """The seconds of the sample in a part: the more, the longer does it take to read."""
        starts, so_far = self._sample()
        return so_far[bisect_left(starts, end)] - so_far[bisect_left(starts, start)]

    def _units(self, at: int) -> Counter[str]:
        if at not in self.units_so_far:
            units: Counter[str] = Counter()
            of_seconds = self.quantity.units
            for (_, item), seconds in self._seconds(at).items():
                units[item] += of_seconds(seconds)
            self.units_so_far[at] = units
        return self.units_so_far[at]

    def _seconds(self, at: int) -> Seconds:
        known = self.seconds_so_far
        if at not in known:
            before, after = max(each for each in known if each < at), min(each for each in known if each > at)
            from_before = self._expected(before, at) <= self._expected(at, after)
            seconds = dict(known[before if from_before else after])
            sign = 1 if from_before else -1
            for cell, used in (self.read(before, at) if from_before else self.read(at, after)).items():
                seconds[cell] = seconds.get(cell, 0) + sign * used
            if len(known) > _INSTANTS_KEPT:
                # Both ends of the day stay.
                del known[[*known][2]]
            known[at] = seconds
        return known[at]
