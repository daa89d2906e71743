"""Policies: the rule sets that say what a second costs. Versioned data, never code.

A policy is one rule set with a name. Its *versions* follow each other by `valid_from`; the day of usage chooses the
version, and a day before the first version uses the first. A version holds

- the tiers of video by pixel area (top inclusive) and how the area is taken: `aggregate` sums the areas of all video
  that is received at a moment and bills the moment once; `per_stream` bills every received stream in its own tier;
- list prices per 1,000 minutes, and list prices of prepaid packages, by currency;
- ratios: package minutes that one minute of an item takes (one HD minute at ratio 4 takes 4);
- the free minutes of a calendar month and the ratios they are taken at;
- how seconds become minutes (`billing.catalog.quantities`), slabs of the price, fees, and how a total is rounded;
- value-added services (`billing.catalog.services`).

A version is written in one of two shapes: with `method` and `tiers`, which leaves everything of the last line as it is
for TRTC, or with a `meter` (docs/policies.md). Both are read into the same rules.

The built-in policies are the TOML files in `billing/catalog/policies/`, with the services of `services.toml` beside
them; a catalog may bring its own in the same shape.
What a policy says is fixed by its hash, which does not depend on comments, layout, order of keys or trailing zeros.
"""

import hashlib
import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from decimal import Decimal
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any, Literal

from billing.catalog.items import AUDIO, Tier, in_order
from billing.catalog.quantities import DAILY, Fee, Quantity, Slab
from billing.catalog.services import Service, service_from_table, service_table
from billing.money import plain

Method = Literal["aggregate", "per_stream", "stay"]
_LADDER = "ladder"


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyVersion:
    """The rules of a policy from one day on. Prices are per 1,000 minutes; `package_prices` are (minutes, price).

    Seconds without video are billed as `base_item`, and not at all if their reason is in `free_when`. Free minutes are
    those of the account or of each app (`free_scope`); they pay window by window (`free_order` `time`), or the items of
    the period in their order (`items`). `rounding` is that of a total to the currency's smallest unit.
    """

    valid_from: date
    method: Method
    tiers: tuple[Tier, ...]
    ratios: Mapping[str, int]
    free_minutes: int
    free_ratios: Mapping[str, int]
    prices: Mapping[str, Mapping[str, Decimal]]
    package_prices: Mapping[str, tuple[tuple[int, Decimal], ...]]
    base_item: str = AUDIO
    free_when: tuple[str, ...] = ()
    quantity: Quantity = DAILY
    free_scope: Literal["account", "app"] = "account"
    free_order: Literal["time", "items"] = "time"
    slabs: Mapping[str, tuple[Slab, ...]] = field(default_factory=dict)
    fees: Mapping[str, Fee] = field(default_factory=dict)
    rounding: Literal["half_up", "down"] = "half_up"
    services: tuple[Service, ...] = ()

    @property
    def items(self) -> tuple[str, ...]:
        """Everything this version bills of users: seconds without video, then its tiers."""
        return tuple(dict.fromkeys((self.base_item, *(tier.item for tier in self.tiers))))

    @property
    def service_items(self) -> tuple[str, ...]:
        """Everything this version bills of services."""
        return tuple(item for service in self.services for item in service.items)

    def list_prices(self, currency: str) -> Mapping[str, Decimal]:
        """What a thousand minutes cost, by item; those of services, too."""
        prices = {item: price for each in self.services for item, price in each.prices.get(currency, {}).items()}
        return {**self.prices.get(currency, {}), **prices}

    def top_area(self, item: str) -> int | None:
        """The largest area of an item; None: it has no bound, or no area."""
        tiers = [*self.tiers, *(tier for each in self.services for tier in each.tiers)]
        return next((tier.top_area for tier in tiers if tier.item == item), None)

    @property
    def all_free_ratios(self) -> dict[str, int]:
        """The free minutes that a minute of an item takes; of services, of those that they pay."""
        return {
            **self.free_ratios,
            **{item: ratio for each in self.services for item, ratio in each.free_ratios.items()},
        }

    @property
    def monthly_items(self) -> frozenset[str]:
        """The items whose seconds are summed over a month before they are rounded."""
        of_users = self.items if self.quantity.period == "month" else ()
        services = (item for each in self.services if each.period == "month" for item in each.items)
        return frozenset((*of_users, *services))

    def service(self, name: str) -> Service | None:
        """How it bills a service; None: not at all."""
        return next((service for service in self.services if service.name == name), None)

    @property
    def counts_app_days(self) -> bool:
        """Whether each app and day is counted by itself, in seconds of audio and video, at flat prices."""
        counts_stays = self.method == "stay" or self.base_item != AUDIO or self.free_when
        is_daily = self.quantity == DAILY and not self.monthly_items
        return is_daily and not counts_stays and not self.slabs and self.free_order == "time"


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


@cache
def policies_with_services() -> Mapping[str, Policy]:
    """The same with the value-added services that come beside them (`services.toml`): what days are billed by."""
    lists = tomllib.loads((resources.files("billing.catalog") / "services.toml").read_text(encoding="utf-8"))["list"]
    beside = {policy_id: each["version"] for each in lists for policy_id in each["policies"]}
    return MappingProxyType(
        {policy.id: _with_services(policy, beside.get(policy.id, ())) for policy in builtin_policies().values()}
    )


def _with_services(policy: Policy, beside: Sequence[Mapping[str, Any]]) -> Policy:
    """A version begins with each of the policy's and with each of the services'; before the first, these hold too."""
    services = [(each["valid_from"], tuple(map(service_from_table, each["service"]))) for each in beside]
    if not services:
        return policy
    first = policy.versions[0].valid_from
    days = sorted({version.valid_from for version in policy.versions} | {day for day, _ in services if day > first})
    versions: list[PolicyVersion] = []
    for day in days:
        held = [of_day for valid_from, of_day in services if valid_from <= day] or [services[0][1]]
        version = replace(policy.version_on(day), valid_from=day, services=held[-1])
        if not versions or replace(version, valid_from=versions[-1].valid_from) != versions[-1]:
            versions.append(version)
    return replace(policy, versions=tuple(versions))


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
        package_prices={
            currency: tuple(sorted((int(minutes), Decimal(price)) for minutes, price in prices.items()))
            for currency, prices in table.get("package_prices", {}).items()
        },
        services=tuple(map(service_from_table, table.get("service", ()))),
        **(_metered_rules(table) if "meter" in table else _tiered_rules(table)),
    )


def _tiered_rules(table: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "method": table["method"],
        "tiers": tuple(Tier(**tier) for tier in table["tiers"]),
        "ratios": in_order(table["ratios"]),
        "free_minutes": table["free_minutes"],
        "free_ratios": in_order(table.get("free_ratios", table["ratios"])),
        "prices": {currency: prices_from_table(prices) for currency, prices in table.get("prices", {}).items()},
        "rounding": table.get("money", {}).get("round", "half_up"),
    }


def _metered_rules(table: Mapping[str, Any]) -> dict[str, Any]:
    (meter,) = table["meter"]
    base_item, tiers = _meter_items(meter["items"])
    quantity = dict(table.get("quantity", {}))
    if "per" in quantity:
        quantity["per"] = tuple(quantity["per"])
    items = list(dict.fromkeys((base_item, *(tier.item for tier in tiers))))
    one_for_one = dict.fromkeys(items, 1)
    (allowance,) = table.get("allowance") or [{}]
    price = table.get("price", {})
    return {
        "method": _METHODS[meter.get("count", "user")],
        "tiers": tiers,
        "ratios": in_order(table.get("ratios", one_for_one)),
        "free_minutes": allowance.get("amount", 0),
        "free_ratios": in_order(allowance.get("ratios") or table.get("ratios", one_for_one)),
        "prices": {currency: _item_prices(prices, items) for currency, prices in price.items()},
        "base_item": base_item,
        "free_when": tuple(meter.get("free_when", ())),
        "quantity": Quantity(**quantity),
        "free_scope": allowance.get("scope", "account"),
        "free_order": allowance.get("order", "time"),
        "slabs": {
            currency: tuple(map(_slab_from_table, prices[_LADDER]))
            for currency, prices in price.items()
            if _LADDER in prices
        },
        "fees": {
            currency: Fee(**{name: Decimal(amount) for name, amount in fee.items()})
            for currency, fee in table.get("fee", {}).items()
        },
        "rounding": table.get("money", {}).get("round", "half_up"),
    }


_METHODS: Mapping[str, Method] = {"user": "aggregate", "stream": "per_stream", "stay": "stay"}
_COUNTS = {method: count for count, method in _METHODS.items()}


def _meter_items(entries: Sequence[Mapping[str, Any]]) -> tuple[str, tuple[Tier, ...]]:
    """The item of seconds without video, and the tiers; a meter of one item bills every second as that."""
    base, *video = entries
    tiers = tuple(Tier(item=each["name"], top_area=_top_area(each)) for each in video)
    return base["name"], tiers or (Tier(item=base["name"]),)


def _top_area(entry: Mapping[str, Any]) -> int | None:
    below: int | None = entry.get("below")
    top: int | None = entry.get("top")
    return top if below is None else below - 1


def _item_prices(table: Mapping[str, Any], items: Iterable[str]) -> dict[str, Decimal]:
    """The price of each item; where slabs have prices of their own, that of the first of them."""
    first = (table.get(_LADDER) or [{}])[0].get("price")
    of_slab = {} if first is None else dict.fromkeys(items, first)
    return prices_from_table({**of_slab, **{item: price for item, price in table.items() if item != _LADDER}})


def _slab_from_table(table: Mapping[str, Any]) -> Slab:
    return Slab(
        upto=table.get("upto"), **{name: Decimal(table[name]) for name in ("discount", "price") if name in table}
    )


def prices_from_table(table: Mapping[str, Any]) -> dict[str, Decimal]:
    """Prices by item, in the order of the items."""
    return {item: Decimal(price) for item, price in in_order(table).items()}


def _version_table(version: PolicyVersion) -> dict[str, object]:
    """In the first shape if it can be said in it, without what is younger than that: so a hash never changes."""
    table = _tiered_table(version) if _is_tiered(version) else _metered_table(version)
    if version.rounding != "half_up":
        table["money"] = {"round": version.rounding}
    if version.services:
        table["service"] = [service_table(service) for service in version.services]
    return table


def _is_tiered(version: PolicyVersion) -> bool:
    said = version.free_when, version.quantity, version.free_scope, version.free_order, version.slabs, version.fees
    has_tiers = version.method != "stay" and version.base_item not in [tier.item for tier in version.tiers]
    return has_tiers and version.base_item == AUDIO and said == ((), DAILY, "account", "time", {}, {})


def _tiered_table(version: PolicyVersion) -> dict[str, object]:
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
        "package_prices": _package_prices_table(version),
    }


def _metered_table(version: PolicyVersion) -> dict[str, object]:
    tiers = [] if version.items == (version.base_item,) else version.tiers
    items: list[dict[str, object]] = [{"name": version.base_item}]
    items += [
        {"name": tier.item} if tier.top_area is None else {"name": tier.item, "top": tier.top_area} for tier in tiers
    ]
    meter = {
        "count": _COUNTS[version.method],
        "area": "each" if version.method == "per_stream" else "sum",
        "items": items,
        "free_when": list(version.free_when),
    }
    quantity = {**asdict(version.quantity), "per": list(version.quantity.per)}
    return {
        "valid_from": version.valid_from.isoformat(),
        "meter": [meter],
        "quantity": quantity,
        "ratios": dict(version.ratios),
        "allowance": [
            {
                "amount": version.free_minutes,
                "scope": version.free_scope,
                "ratios": dict(version.free_ratios),
                "order": version.free_order,
            }
        ],
        "price": {currency: _price_table(version, currency) for currency in version.prices},
        "package_prices": _package_prices_table(version),
        "fee": {
            currency: {"base": plain(fee.base), "minimum": plain(fee.minimum)} for currency, fee in version.fees.items()
        },
    }


def _price_table(version: PolicyVersion, currency: str) -> dict[str, object]:
    prices: dict[str, object] = {item: plain(price) for item, price in version.prices[currency].items()}
    if currency in version.slabs:
        prices[_LADDER] = [
            {name: plain(each) if isinstance(each, Decimal) else each for name, each in asdict(slab).items() if each}
            for slab in version.slabs[currency]
        ]
    return prices


def _package_prices_table(version: PolicyVersion) -> dict[str, object]:
    return {
        currency: {str(minutes): plain(price) for minutes, price in prices}
        for currency, prices in version.package_prices.items()
    }
