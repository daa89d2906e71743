"""Tier changes: what metered seconds become under another version of the rules.

Seconds that were classified by finer tiers can be put together into coarser ones: with the tops 307,200 and 921,600 a
second is `sd`, `hd` or `fhd`; where only 921,600 is a top, `sd` and `hd` are `hd`, and `fhd` is what is above. With any
other top, or with another way to take the area, the sizes of the pictures are needed, and they are in the events only.

Services keep their seconds where the other rules have them too. What these have and the old ones do not was not
metered, and is not: a comparison says what the same bill would cost.
"""

from collections.abc import Mapping

from billing.catalog.policies import PolicyVersion


def items_after(old: PolicyVersion, new: PolicyVersion) -> Mapping[str, str] | None:
    """The item under `new` for each item under `old` that it bills; None: the events must be metered again."""
    of_users, of_services = _items_of_users(old, new), _items_of_services(old, new)
    return None if of_users is None or of_services is None else {**of_users, **of_services}


def _items_of_services(old: PolicyVersion, new: PolicyVersion) -> dict[str, str] | None:
    meters = {service.name: service.meter for service in new.services}
    kept = [service for service in old.services if service.name in meters]
    if any(service.meter != meters[service.name] for service in kept):
        return None
    return {item: item for service in kept for item in service.items}


def _items_of_users(old: PolicyVersion, new: PolicyVersion) -> dict[str, str] | None:
    if old.free_when or new.free_when or "stay" in (old.method, new.method):
        return None
    if new.items == (new.base_item,) and old.method == new.method:
        return dict.fromkeys(old.items, new.base_item)
    tops = [tier.top_area for tier in old.tiers]
    if len(old.items) == 1 or old.method != new.method or not {tier.top_area for tier in new.tiers} <= set(tops):
        return None
    holding = iter(new.tiers)
    tier = next(holding)
    items = {old.base_item: new.base_item}
    for known in old.tiers:
        items[known.item] = tier.item
        if known.top_area == tier.top_area and tier.top_area is not None:
            tier = next(holding)
    return items
