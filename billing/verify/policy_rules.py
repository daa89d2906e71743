"""Policy rules: what a version of a policy says, of either shape, as plain values.

The shape with `method` and `tiers` rounds seconds up to minutes by app, item and day. The one with a `meter` says the
rest, too: what is counted and what is free, over which time and how seconds become units, free minutes, slabs and fees.
Worked: with `items = [audio, hd (top 921,600), 4k]`, an area of 921,600 is `hd`, and one more pixel is `4k`.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from fractions import Fraction
from types import MappingProxyType
from typing import Any, NamedTuple

from billing.verify.room_tasks import ServiceRule

# In the order in which they pay and fill slabs.
VIDEO = ("sd", "hd", "fhd", "2k", "4k")
SERVICES = ("recording", "mix-h264", "mix-h265")
ITEMS = (
    "audio",
    *VIDEO,
    "participant",
    "connection",
    *(f"{of}:{item}" for of in SERVICES for item in ("audio", *VIDEO)),
)
ITEM_PLACE = {item: place for place, item in enumerate(ITEMS)}
NO_WEIGHTS: Mapping[str, int] = MappingProxyType({})
NO_SERVICES: Mapping[str, ServiceRule] = MappingProxyType({})
_COUNTS = ("user", "stream", "stay")


class MeterRule(NamedTuple):
    """How a second becomes an item. `tiers` are (item, largest area), ascending; the last has no largest area. Seconds
    without video are of the item `base`; those with a reason in `free_when` are not counted.

    `per_stay`: nothing of this counts, but the started minutes of each stay, as `base`. `services`: those whose tasks
    are counted.
    """

    per_stream: bool
    tiers: tuple[tuple[str, int | None], ...]
    base: str = "audio"
    free_when: frozenset[str] = frozenset()
    per_stay: bool = False
    services: Mapping[str, ServiceRule] = NO_SERVICES

    def item(self, area: int) -> str:
        """The tier of an area."""
        return next(item for item, top in self.tiers if top is None or area <= top)

    @property
    def items(self) -> tuple[str, ...]:
        """Everything that is counted."""
        return tuple(dict.fromkeys((self.base, *(item for item, _ in self.tiers))))


class UnitRule(NamedTuple):
    """How seconds become units of `seconds` each: summed over a day or a month, over all apps or not, over all items or
    not, each second as often as the weight of its item says."""

    seconds: int = 60
    rounds_up: bool = True
    is_monthly: bool = False
    over_apps: bool = False
    over_items: bool = False
    weights: Mapping[str, int] = NO_WEIGHTS

    def units(self, seconds: int) -> int:
        """Started units, or whole ones."""
        return -(-seconds // self.seconds) if self.rounds_up else seconds // self.seconds


class PolicyRules(NamedTuple):
    """A version of a policy. Prices are those of 1,000 minutes, by currency and item; `ladders` and `fees` are tables
    as the policy has them, by currency. `monthly_items` are counted over a month. Who pays does not pay items without a
    ratio."""

    meter: MeterRule
    unit: UnitRule
    ratios: Mapping[str, int]
    free_minutes: int
    free_ratios: Mapping[str, int]
    free_by_app: bool
    free_by_item: bool
    prices: Mapping[str, Mapping[str, Fraction]]
    ladders: Mapping[str, Sequence[Mapping[str, Any]]]
    fees: Mapping[str, Mapping[str, Any]]
    rounding: str
    monthly_items: frozenset[str]

    @property
    def is_cumulative(self) -> bool:
        """Whether the days of a month depend on those before."""
        return bool(self.monthly_items or self.fees)


def version_on(policy: Mapping[str, Any], day: date) -> Mapping[str, Any]:
    """The version of a policy on a day: the last that began; the first for the days before it."""
    versions: list[Mapping[str, Any]] = sorted(policy["version"], key=lambda each: str(each["valid_from"]))
    begun = [each for each in versions if str(each["valid_from"]) <= day.isoformat()]
    return begun[-1] if begun else versions[0]


def rules_on(policy: Mapping[str, Any] | None, day: date) -> PolicyRules | None:
    """What a policy says on a day; None where it is not known, or counts something that is not known here."""
    version = version_on(policy, day) if policy else {}
    if all(name in version for name in ("method", "tiers", "ratios")):
        return _with_services(_tiered(version), version.get("service", ()))
    meters = version.get("meter", ())
    if len(meters) != 1 or meters[0].get("count", "user") not in _COUNTS:
        return None
    return _with_services(_metered(version, meters[0]), version.get("service", ()))


def _tiered(version: Mapping[str, Any]) -> PolicyRules:
    tiers = tuple((str(tier["item"]), tier.get("top_area")) for tier in version["tiers"])
    return PolicyRules(
        meter=MeterRule(version["method"] == "per_stream", tiers),
        unit=UnitRule(),
        ratios=version["ratios"],
        free_minutes=version["free_minutes"],
        free_ratios=version.get("free_ratios") or version["ratios"],
        free_by_app=False,
        free_by_item=False,
        prices=_fractions(version.get("prices", {})),
        ladders={},
        fees={},
        rounding=version.get("money", {}).get("round", "half_up"),
        monthly_items=frozenset(),
    )


def _metered(version: Mapping[str, Any], meter: Mapping[str, Any]) -> PolicyRules:
    rule, unit = _meter_rule(meter), _unit_rule(version.get("quantity", {}))
    allowance = (version.get("allowance") or [{}])[0]
    one_for_one = dict.fromkeys(rule.items, 1)
    ratios = version.get("ratios", one_for_one)
    tables = version.get("price", {})
    return PolicyRules(
        meter=rule,
        unit=unit,
        ratios=ratios,
        free_minutes=allowance.get("amount", 0),
        free_ratios=allowance.get("ratios") or ratios,
        free_by_app=allowance.get("scope") == "app",
        free_by_item=allowance.get("order") == "items",
        prices=_fractions({name: _without_ladder(table) for name, table in tables.items()}),
        ladders={name: table["ladder"] for name, table in tables.items() if "ladder" in table},
        fees=version.get("fee", {}),
        rounding=version.get("money", {}).get("round", "half_up"),
        monthly_items=frozenset(rule.items if unit.is_monthly else ()),
    )


def _with_services(rules: PolicyRules, services: Sequence[Mapping[str, Any]]) -> PolicyRules:
    """The same with the items of services, which have the service before their name."""
    prices, ratios, monthly = {name: dict(of) for name, of in rules.prices.items()}, dict(rules.free_ratios), set[str]()
    for service in services:
        of = service["name"]
        ratios |= {f"{of}:{item}": ratio for item, ratio in service.get("free_ratios", {}).items()}
        for currency, listed in service.get("price", {}).items():
            named = {f"{of}:{item}": Fraction(price) for item, price in listed.items()}
            prices.setdefault(currency, {}).update(named)
        if service.get("period") == "month":
            monthly |= {f"{of}:{entry['name']}" for entry in service["items"]}
    meter = rules.meter._replace(services={str(service["name"]): _service_rule(service) for service in services})
    return rules._replace(meter=meter, prices=prices, free_ratios=ratios, monthly_items=rules.monthly_items | monthly)


def _service_rule(service: Mapping[str, Any]) -> ServiceRule:
    entries = [(entry["name"], f"{service['name']}:{entry['name']}", entry.get("top")) for entry in service["items"]]
    base = next((item for name, item, _ in entries if name == "audio"), None)
    tiers = tuple((item, top) for name, item, top in entries if name != "audio")
    return ServiceRule(base, tiers, service.get("least_inputs", 0))


def _meter_rule(meter: Mapping[str, Any]) -> MeterRule:
    first, *video = meter["items"]
    base, count = str(first["name"]), meter.get("count", "user")
    tiers = tuple((str(each["name"]), _top(each)) for each in video) or ((base, None),)
    return MeterRule(count == "stream", tiers, base, frozenset(meter.get("free_when", ())), count == "stay")


def _top(entry: Mapping[str, Any]) -> int | None:
    below: int | None = entry.get("below")
    top: int | None = entry.get("top")
    return top if below is None else below - 1


def _unit_rule(quantity: Mapping[str, Any]) -> UnitRule:
    per, mode = quantity.get("per", ["app", "item"]), quantity.get("mode", "up")
    return UnitRule(
        seconds=1 if mode == "exact" else quantity.get("step", 60),
        rounds_up=mode != "down",
        is_monthly=quantity.get("period") == "month",
        over_apps=not {"app", "stay"} & set(per),
        over_items=not {"item", "stay"} & set(per),
        weights=quantity.get("weights", {}),
    )


def _without_ladder(table: Mapping[str, Any]) -> dict[str, Any]:
    return {name: price for name, price in table.items() if name != "ladder"}


def _fractions(prices: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Fraction]]:
    return {
        currency: {item: Fraction(price) for item, price in of_items.items()} for currency, of_items in prices.items()
    }
