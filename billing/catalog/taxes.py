"""Taxes: what is added to a net amount, or is contained in a gross one. An account names one; nothing guesses it.

A tax has versions that follow each other by `valid_from`; the last day of service chooses one. The categories are
those of EN 16931: `S` standard, `AE` reverse charge, `O` out of scope, `E` exempt, `Z` zero rate, `G` export; all but
`S` have the rate 0. `rounding` is symmetric about zero: 215.7 is 215 `down`, 216 `up` and `half_up`; -215.7 is -215
`down`.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Literal

from billing.money import plain


@dataclass(frozen=True, slots=True, kw_only=True)
class TaxVersion:
    """A tax from one day on; `rate` is in percent."""

    valid_from: date
    category: Literal["S", "AE", "O", "E", "Z", "G"]
    rate: Decimal
    prices: Literal["exclusive", "inclusive"] = "exclusive"
    rounding: Literal["half_up", "up", "down"] = "half_up"
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tax:
    """A tax; its versions ascend by `valid_from`."""

    id: str
    versions: tuple[TaxVersion, ...]

    def version_on(self, day: date) -> TaxVersion:
        """The version that holds on a day of service; the first one for every day before it."""
        holding = [version for version in self.versions if version.valid_from <= day]
        return holding[-1] if holding else self.versions[0]

    @property
    def is_reverse_charge(self) -> bool:
        """Whether some version leaves the tax to the customer."""
        return any(version.category == "AE" for version in self.versions)


def tax_table(tax: Tax) -> dict[str, Any]:
    """The tax in the shape of a file, with every default written out."""
    return {"id": tax.id, "version": [_version_table(version) for version in tax.versions]}


def tax_from_table(table: Mapping[str, Any]) -> Tax:
    """The tax in such a table; days and rates may be text or values."""
    versions = (
        TaxVersion(
            **{
                **version,
                "valid_from": date.fromisoformat(str(version["valid_from"])),
                "rate": Decimal(version["rate"]),
            }
        )
        for version in table["version"]
    )
    return Tax(id=table["id"], versions=tuple(versions))


def _version_table(version: TaxVersion) -> dict[str, Any]:
    return asdict(version) | {"valid_from": version.valid_from.isoformat(), "rate": plain(version.rate)}
