"""Balances: what packages and free minutes have left; granted - used - lapsed."""

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageBalance:
    """A package or a month's free minutes, in package units; valid on both `valid_from` and `valid_to`."""

    id: str
    app_id: int | None
    valid_from: date
    valid_to: date
    granted: int
    deducted: int = 0
    lapsed: int = 0

    @property
    def remaining(self) -> int:
        """What can still pay."""
        return self.granted - self.deducted - self.lapsed
