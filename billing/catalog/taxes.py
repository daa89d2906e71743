"""Taxes."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class TaxVersion:
    """A version of a tax."""

    valid_from: date
    category: Literal["S", "AE", "O", "E", "Z", "G"]
    rate: Decimal
    prices: Literal["exclusive", "inclusive"] = "exclusive"
    rounding: Literal["half_up", "up", "down"] = "half_up"
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tax:
    """A tax."""

    id: str
    versions: tuple[TaxVersion, ...]

    def version_on(self, day: date) -> TaxVersion:
        """The version of a day."""
        held = [version for version in self.versions if version.valid_from <= day]
        return held[-1] if held else self.versions[0]
