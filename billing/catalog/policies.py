"""Policies: the rule sets that say what a second costs. Versioned data, never code.

A policy is one rule set with a name. Its *versions* follow each other by `valid_from`; the day of usage chooses the
version, and a day before the first version uses the first. A version holds

- the tiers of video by pixel area (top inclusive) and how the area is taken: `aggregate` sums the areas of all video
  that is received at a moment and bills the moment once; `per_stream` bills every received stream in its own tier;
- list prices per 1,000 minutes, and list prices of prepaid packages, by currency;
- ratios: package minutes that one minute of an item takes (one HD minute at ratio 4 takes 4);
- the free minutes of a calendar month and the ratios they are taken at.

The built-in policies are the TOML files in `billing/catalog/policies/`; a catalog may bring its own in the same shape.
What a policy says is fixed by its hash, which does not depend on comments, layout, order of keys or trailing zeros.
"""

import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any, Literal

from billing.catalog.items import AUDIO, in_order
from billing.money import plain


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """A class of video: pixel areas above the tier before, up to and including `top_area` (None: no upper bound)."""

    item: str
    top_area: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyVersion:
    """The rules of a policy from one day on. Prices are per 1,000 minutes; `package_prices` are (minutes, price)."""

    valid_from: date
    method: Literal["aggregate", "per_stream"]
    tiers: tuple[Tier, ...]
    ratios: Mapping[str, int]
    free_minutes: int
    free_ratios: Mapping[str, int]
    prices: Mapping[str, Mapping[str, Decimal]]
    package_prices: Mapping[str, tuple[tuple[int, Decimal], ...]]

    @property
    def items(self) -> tuple[str, ...]:
        """Everything this version bills: audio, then its tiers."""
        return (AUDIO, *(tier.item for tier in self.tiers))


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A rule set; its versions ascend by `valid_from`."""

    id: str
    name: str
    versions: tuple[PolicyVersion, ...]

    def version_on(self, day: date) -> PolicyVersion:
        """The version that holds on a day of usage; the first one for every day before it."""
        holding = [version for version in self.versions if version.valid_from <= day]
        return holding[-1] if holding else self.versions[0]

    @property
    def hash(self) -> str:
        """SHA-256 (hex) of what the policy says: of `policy_source`."""
        return hashlib.sha256(policy_source(self).encode()).hexdigest()


@cache
def builtin_policies() -> Mapping[str, Policy]:
    """The policies that come with the program, by id."""
    files = resources.files("billing.catalog") / "policies"
    texts = [file.read_text(encoding="utf-8") for file in files.iterdir() if file.name.endswith(".toml")]
    policies = [policy_from_table(tomllib.loads(text)) for text in texts]
    return MappingProxyType({policy.id: policy for policy in sorted(policies, key=lambda policy: policy.id)})


def policy_source(policy: Policy) -> str:
    """The policy as canonical JSON text, in the shape of the TOML files: equal rules give equal text."""
    return json.dumps(policy_table(policy), sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def policy_from_source(source: str) -> Policy:
    """The policy that `policy_source` wrote, in this version of the program or in any earlier one."""
    return policy_from_table(json.loads(source))


def policy_table(policy: Policy) -> dict[str, Any]:
    """The policy in the shape it is read from, with every default written out."""
    return {"id": policy.id, "name": policy.name, "version": [_version_table(version) for version in policy.versions]}


def policy_from_table(table: Mapping[str, Any]) -> Policy:
    """The policy in a table that is known to be good: it ships with the program, was accepted before, or was checked by
    `billing.catalog.reading`. Nothing is checked here, so that rules that were billed with stay readable."""
    versions = tuple(_version_from_table(version) for version in table["version"])
    return Policy(id=table["id"], name=table["name"], versions=versions)


def _version_from_table(table: Mapping[str, Any]) -> PolicyVersion:
    """Days and prices may be text or already values."""
    return PolicyVersion(
        valid_from=date.fromisoformat(str(table["valid_from"])),
        method=table["method"],
        tiers=tuple(Tier(**tier) for tier in table["tiers"]),
        ratios=in_order(table["ratios"]),
        free_minutes=table["free_minutes"],
        free_ratios=in_order(table.get("free_ratios", table["ratios"])),
        prices={currency: prices_from_table(prices) for currency, prices in table.get("prices", {}).items()},
        package_prices={
            currency: tuple(sorted((int(minutes), Decimal(price)) for minutes, price in prices.items()))
            for currency, prices in table.get("package_prices", {}).items()
        },
    )


def prices_from_table(table: Mapping[str, Any]) -> dict[str, Decimal]:
    """Prices by item, in the order of the items."""
    return {item: Decimal(price) for item, price in in_order(table).items()}


def _version_table(version: PolicyVersion) -> dict[str, object]:
    return {
        "valid_from": version.valid_from.isoformat(),
        "method": version.method,
        "tiers": [
            {"item": tier.item} if tier.top_area is None else {"item": tier.item, "top_area": tier.top_area}
            for tier in version.tiers
        ],
        "ratios": dict(version.ratios),
        "free_minutes": version.free_minutes,
        "free_ratios": dict(version.free_ratios),
        "prices": {
            currency: {item: plain(price) for item, price in prices.items()}
            for currency, prices in version.prices.items()
        },
        "package_prices": {
            currency: {str(minutes): plain(price) for minutes, price in prices}
            for currency, prices in version.package_prices.items()
        },
    }
