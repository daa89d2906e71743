"""Taxes: which are charged, at what rate, and how they are rounded: data with a day from which each version holds.

`prices` says whether prices exclude the tax or include it; `category` is that of EN 16931: S standard, AE reverse
charge, O out of scope, E exempt, Z zero rate, G export.
"""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Literal

Category = Literal["S", "AE", "O", "E", "Z", "G"]
Prices = Literal["exclusive", "inclusive"]
TaxRounding = Literal["half_up", "up", "down"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaxVersion:
    """A tax from one day on; `rate` in percent, `text` as documents show it."""

    valid_from: date
    category: Category
    rate: Decimal
    prices: Prices = "exclusive"
    rounding: TaxRounding = "half_up"
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tax:
    """A tax with its versions, the oldest first."""

    id: str
    versions: tuple[TaxVersion, ...]

    def version_on(self, day: date) -> TaxVersion:
        """The version of a day; a day before the first one has the first."""
        held = [version for version in self.versions if version.valid_from <= day]
        return held[-1] if held else self.versions[0]
