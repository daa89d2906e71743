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
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from importlib import resources
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Literal

from billing.catalog.fields import (
    MOST_MINUTES,
    Field,
    Problem,
    Refused,
    currency_code,
    day,
    identifier,
    money,
    one_of,
    read_by_item,
    read_list,
    read_table,
    text,
    whole,
)
from billing.catalog.items import AUDIO, ITEM_RANK, ITEMS
from billing.errors import BillingError
from billing.money import plain

_LARGEST_AREA = 2**53
_HIGHEST_RATIO = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """A class of video: pixel areas above the tier before, up to and including `top_area` (None: no upper bound)."""

    item: str
    top_area: int | None


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
    policies = [parse_policy(tomllib.loads(text)) for text in texts]
    return MappingProxyType({policy.id: policy for policy in sorted(policies, key=lambda policy: policy.id)})


def parse_policy(table: object) -> Policy:
    """The policy in a table of the shape of `policies/*.toml`; one `BillingError` that names every mistake."""
    try:
        return read_policy(table)
    except Refused as refused:
        raise BillingError("the policy cannot be used:\n" + "\n".join(map(str, refused.problems))) from None


def policy_source(policy: Policy) -> str:
    """The policy as canonical JSON text, in the shape of the TOML files: equal rules give equal text."""
    table = {"id": policy.id, "name": policy.name, "version": [_version_table(version) for version in policy.versions]}
    return json.dumps(table, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def policy_from_source(source: str) -> Policy:
    """The policy that `policy_source` wrote."""
    return parse_policy(json.loads(source))


def read_policy(table: object) -> Policy:
    """The policy in a table, or `Refused` with every mistake in it."""
    return Policy(**_renamed(read_table(table, _POLICY), version="versions"))


def _read_versions(value: object) -> tuple[PolicyVersion, ...]:
    versions = read_list(value, _read_version)
    if not versions:
        raise Refused("a policy needs at least one version")
    if any(earlier.valid_from >= later.valid_from for earlier, later in pairwise(versions)):
        raise Refused("the versions must follow each other by valid_from, the oldest first")
    return tuple(versions)


def _read_version(table: object) -> PolicyVersion:
    values = read_table(table, _VERSION)
    items = (AUDIO, *(tier.item for tier in values["tiers"]))
    problems = _item_problems("ratios", values["ratios"], items)
    if values["free_ratios"] is None:
        values["free_ratios"] = values["ratios"]
    else:
        problems += _item_problems("free_ratios", values["free_ratios"], items)
    for currency, prices in values["prices"].items():
        problems += _item_problems(f"prices.{currency}", prices, items)
    if problems:
        raise Refused(*problems)
    return PolicyVersion(**values)


def _item_problems(path: str, values: Mapping[str, object], items: tuple[str, ...]) -> list[Problem]:
    """A version has a value for each of its items, and for no other."""
    missing = [Problem(path, f"{item} is missing") for item in items if item not in values]
    surplus = [Problem(path, f"{item} has no tier in this version") for item in values if item not in items]
    return missing + surplus


def _read_tiers(value: object) -> tuple[Tier, ...]:
    tiers = [Tier(**entry) for entry in read_list(value, lambda entry: read_table(entry, _TIER))]
    if not tiers or tiers[-1].top_area is not None or any(tier.top_area is None for tier in tiers[:-1]):
        raise Refused("every tier needs its top_area but the last, which has none: it takes every larger area")
    tops = [tier.top_area for tier in tiers if tier.top_area is not None]
    if any(lower >= upper for lower, upper in pairwise(tops)):
        raise Refused("each top_area must be larger than the one before")
    ranks = [ITEM_RANK[tier.item] for tier in tiers]
    if any(lower >= upper for lower, upper in pairwise(ranks)):
        raise Refused(f"the tiers must come in the order {', '.join(ITEMS[1:])}, each at most once")
    return tuple(tiers)


def _read_by_currency(read: Callable[[object], Any]) -> Callable[[object], dict[str, Any]]:
    """A reader of a table whose names are currencies."""

    def read_currencies(table: object) -> dict[str, Any]:
        fields = {currency_code(code): Field(read) for code in table} if isinstance(table, dict) else {}
        return read_table(table, fields)

    return read_currencies


def _read_package_prices(table: object) -> tuple[tuple[int, Decimal], ...]:
    """A table of package size (minutes) = price, smallest first."""
    sizes = table if isinstance(table, dict) else {}
    problems = [Problem("", f"{size!r} is not a number of minutes") for size in sizes if not _is_size(size)]
    if problems:
        raise Refused(*problems)
    prices = read_table(table, {size: Field(money) for size in sizes})
    return tuple(sorted((int(size), price) for size, price in prices.items()))


def _is_size(size: str) -> bool:
    return size.isascii() and size.isdigit() and not size.startswith("0") and len(size) <= len(str(MOST_MINUTES))


def _version_table(version: PolicyVersion) -> dict[str, object]:
    """The version in the shape it is read from, with every default written out."""
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


def _renamed(values: dict[str, Any], **names: str) -> dict[str, Any]:
    return {names.get(key, key): value for key, value in values.items()}


_TIER = {
    "item": Field(one_of(*ITEMS[1:])),
    "top_area": Field(whole(1, _LARGEST_AREA), optional=True),
}
_RATIOS = read_by_item(whole(1, _HIGHEST_RATIO))
_VERSION = {
    "valid_from": Field(day),
    "method": Field(one_of("aggregate", "per_stream")),
    "tiers": Field(_read_tiers),
    "ratios": Field(_RATIOS),
    "free_minutes": Field(whole(0, MOST_MINUTES)),
    "free_ratios": Field(_RATIOS, optional=True),
    "prices": Field(_read_by_currency(read_by_item(money)), optional=True, default={}),
    "package_prices": Field(_read_by_currency(_read_package_prices), optional=True, default={}),
}
_POLICY = {
    "id": Field(identifier),
    "name": Field(text),
    "version": Field(_read_versions),
}
