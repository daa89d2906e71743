"""Balances: what packages and free minutes have left, in package minutes: granted - deducted - lapsed.

A payer is a package or the free minutes of a month (`free-2026-03`). One minute of use takes as many package minutes as
the ratio of its item says.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date

from billing.catalog.packages import free_minutes_app, free_minutes_id
from billing.rating.deductions import Deduction
from billing.rating.period_use import NOTHING, PeriodUse


@dataclass(frozen=True, slots=True, kw_only=True)
class Balances:
    """Package minutes of an account's payers at one moment, by payer id; and what the period has so far, for policies
    that count over it."""

    granted: Mapping[str, int] = field(default_factory=dict)
    deducted: Mapping[str, int] = field(default_factory=dict)
    lapsed: Mapping[str, int] = field(default_factory=dict)
    use: PeriodUse = NOTHING

    def remaining(self, payer_id: str) -> int:
        """What the payer can still pay; negative when more was taken than granted."""
        return self._granted(payer_id) - self.deducted.get(payer_id, 0) - self.lapsed.get(payer_id, 0)

    def _granted(self, payer_id: str) -> int:
        """Free minutes that each app has for itself are granted once, by month."""
        of_app = None if payer_id in self.granted else free_minutes_app(payer_id)
        return self.granted.get(payer_id if of_app is None else free_minutes_id(of_app[0]), 0)

    @property
    def payers(self) -> set[str]:
        """Every payer that was ever granted, deducted from or lapsed."""
        return self.granted.keys() | self.deducted.keys() | self.lapsed.keys()

    def after(
        self,
        *,
        granted: Mapping[str, int] | None = None,
        deductions: Iterable[Deduction] = (),
        lapsed: Mapping[str, int] | None = None,
    ) -> "Balances":
        """The balances after grants (a known payer keeps its own), deductions and lapses."""
        taken = Counter(self.deducted)
        for deduction in deductions:
            taken[deduction.payer_id] += deduction.package_minutes
        gone = Counter(self.lapsed)
        gone.update(lapsed or {})
        return Balances(granted={**(granted or {}), **self.granted}, deducted=taken, lapsed=gone, use=self.use)


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageBalance:
    """A package or a month's free minutes, in package minutes; valid on both `valid_from` and `valid_to`."""

    id: str
    app_id: int | None
    valid_from: date
    valid_to: date
    granted: int
    deducted: int = 0
    lapsed: int = 0
    refunded: int = 0

    @property
    def remaining(self) -> int:
        """What can still pay."""
        return self.granted - self.deducted - self.lapsed - self.refunded
