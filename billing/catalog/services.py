"""Value-added services: what a server does for a room as a *task*, such as recording it or mixing its streams.

A task is metered by itself, from its start to its stop, besides the stay of the robot that may do the work. A second of
it counts once, in the tier of the summed area of the task's inputs; without video, as audio. So a recording of two
streams of 640x360 is one second of `recording:hd`. Tasks add up: two of them are two seconds. Mixing counts only while
the task has two inputs or more.

The minutes of a service are those of an app, a service's item, and a day or a month (`period`). Packages do not pay
them; the month's free minutes may (`free_ratios`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from billing.catalog.items import AUDIO, Tier, in_order, service_item, short_name
from billing.catalog.quantities import Period
from billing.money import plain


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """How the tasks of one service are metered and what a thousand minutes cost, by currency and item.

    `base_item`: the item of seconds without video; None: they are not billed. `least_inputs`: seconds with fewer
    streams are not billed. `free_ratios`: free minutes that a minute of an item takes; empty: they do not pay.
    """

    name: str
    base_item: str | None
    tiers: tuple[Tier, ...]
    least_inputs: int = 0
    period: Period = "day"
    free_ratios: Mapping[str, int] = field(default_factory=dict)
    prices: Mapping[str, Mapping[str, Decimal]] = field(default_factory=dict)

    @property
    def meter(self) -> tuple[object, ...]:
        """What decides which seconds it has."""
        return self.name, self.base_item, self.tiers, self.least_inputs

    @property
    def items(self) -> tuple[str, ...]:
        """Everything the service bills, in the order of items."""
        base = () if self.base_item is None else (self.base_item,)
        return base + tuple(tier.item for tier in self.tiers)


def service_from_table(table: Mapping[str, Any]) -> Service:
    """The service in a table that is known to be good (`[[version.service]]`, docs/policies.md); items have short names
    in it: `hd` for `recording:hd`."""
    name: str = table["name"]
    video = [entry for entry in table["items"] if entry["name"] != AUDIO]
    return Service(
        name=name,
        base_item=service_item(name, AUDIO) if len(video) < len(table["items"]) else None,
        tiers=tuple(Tier(item=service_item(name, entry["name"]), top_area=entry.get("top")) for entry in video),
        least_inputs=table.get("least_inputs", 0),
        period=table.get("period", "day"),
        free_ratios=_whole_names(name, table.get("free_ratios", {})),
        prices={
            currency: {item: Decimal(price) for item, price in _whole_names(name, prices).items()}
            for currency, prices in table.get("price", {}).items()
        },
    )


def service_table(service: Service) -> dict[str, object]:
    """The same, with every default written out."""
    base = [] if service.base_item is None else [{"name": AUDIO}]
    tiers = [
        {"name": short_name(tier.item)}
        if tier.top_area is None
        else {"name": short_name(tier.item), "top": tier.top_area}
        for tier in service.tiers
    ]
    return {
        "name": service.name,
        "items": [*base, *tiers],
        "least_inputs": service.least_inputs,
        "period": service.period,
        "free_ratios": {short_name(item): ratio for item, ratio in service.free_ratios.items()},
        "price": {
            currency: {short_name(item): plain(price) for item, price in prices.items()}
            for currency, prices in service.prices.items()
        },
    }


def _whole_names(service: str, table: Mapping[str, Any]) -> dict[str, Any]:
    return in_order({service_item(service, name): value for name, value in table.items()})
