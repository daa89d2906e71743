"""Money once more: who can pay on a day, and what a unit costs, in whole numbers and fractions.

Money is a whole number of 10^-8 of the currency unit. Worked: 3.99 USD per 1,000 minutes at a discount of 0.85 are
339,150 x 10^-8 a minute, and 33,915 for a unit of six seconds.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import date, datetime, timedelta, tzinfo
from fractions import Fraction
from typing import Any, NamedTuple

from billing.verify.policy_rules import PolicyRules

SCALE = 10**8


class PaymentSource(NamedTuple):
    """A payer on a day: package minutes that it has left, what a unit of each item takes, and its app (None: all)."""

    payer_id: str
    app_id: int | None
    remaining: int
    ratios: Mapping[str, int]


class Slab(NamedTuple):
    """A part of a price: units up to `top` (None: all above the slab before), at prices by item."""

    top: int | None
    prices: Mapping[str, int]


def prices_on(
    rules: PolicyRules,
    currency: str,
    contracts: Iterable[Mapping[str, Any]],
    day: date,
    slab: Mapping[str, Any] | None = None,
) -> dict[str, int]:
    """The price of one unit by item under the contract that began last, perhaps in a slab."""
    begun = [each for each in contracts if each["valid_from"] <= day.isoformat()]
    contract = max(begun, key=lambda each: str(each["valid_from"]), default={})
    discount = Fraction(contract.get("discount") or 1)
    listed = dict(rules.prices.get(currency, {}))
    if slab and slab.get("price") is not None:
        listed = dict.fromkeys(rules.meter.items, Fraction(slab["price"]))
    elif slab:
        discount *= Fraction(slab["discount"])
    found = {item: price * discount for item, price in listed.items()}
    found |= {item: Fraction(price) for item, price in (contract.get("prices") or {}).items()}
    return {item: rounded(price / 1000 * rules.unit.seconds / 60 * SCALE) for item, price in found.items()}


def list_prices_on(rules: PolicyRules, currency: str) -> dict[str, int]:
    """The price of one unit by item without a contract, and before any slab."""
    return prices_on(rules, currency, (), date.min)


def slabs_on(rules: PolicyRules, currency: str, contracts: Iterable[Mapping[str, Any]], day: date) -> list[Slab]:
    """The slabs of the price; a flat price is one slab."""
    agreed = list(contracts)
    ladder = rules.ladders.get(currency) or [{}]
    return [Slab(slab.get("upto"), prices_on(rules, currency, agreed, day, slab or None)) for slab in ladder]


def fees_on(rules: PolicyRules, currency: str) -> tuple[int, int] | None:
    """What a month costs besides its use: the base, and the minimum of all."""
    fee = rules.fees.get(currency)
    if fee is None:
        return None
    base, minimum = (int(Fraction(fee.get(name, 0)) * SCALE) for name in ("base", "minimum"))
    return base, minimum


def validity(package: Mapping[str, Any], zone: tzinfo | None) -> tuple[date, date]:
    """The first and the last day on which a package pays; `zone` None: it is bought at a time of the account's zone."""
    bought = datetime.fromisoformat(str(package["purchased_at"]))
    first = (bought.astimezone(zone) if zone else bought).date()
    if package.get("term", "year") == "year":
        return first, _month_start(first, 13) - timedelta(days=1)
    last_of_next = _month_start(first, 2) - timedelta(days=1)
    return first, last_of_next.replace(day=min(first.day, last_of_next.day)) - timedelta(days=1)


def _month_start(day: date, months: int) -> date:
    number = day.year * 12 + day.month - 1 + months
    return date(number // 12, number % 12 + 1, 1)


def free_payer(day: date, app_id: int | None = None) -> str:
    """The free minutes of a month, perhaps those of an app."""
    return f"free-{day:%Y-%m}" if app_id is None else f"free-{day:%Y-%m}:{app_id}"


def granted_to(payer_id: str, granted: Mapping[str, int]) -> int:
    """What a payer was granted; free minutes of an app are granted by month."""
    month, _, app = payer_id.partition(":")
    is_of_app = payer_id not in granted and month.startswith("free-") and app.isdecimal()
    return granted.get(month if is_of_app else payer_id, 0)


def sources_on(
    day: date,
    rules: PolicyRules,
    packages: Iterable[Mapping[str, Any]],
    zone: tzinfo | None,
    remaining: Mapping[str, int],
    apps: Collection[int] = (),
) -> list[PaymentSource]:
    """What can pay on a day, in its order: free minutes, packages of an app, packages of the account.

    `apps`: those that have free minutes of their own, if the policy gives these. Free minutes that pay the items in
    their order are here even where nothing is left of them.
    """
    free_apps: list[int | None] = [*sorted(apps)] if rules.free_by_app else [None]
    found = [
        PaymentSource(free_payer(day, app), app, _left(day, app, remaining), rules.free_ratios) for app in free_apps
    ]
    valid = []
    for package in packages:
        first, last = validity(package, zone)
        if first <= day <= last:
            bought = datetime.fromisoformat(str(package["purchased_at"]))
            valid.append(((package.get("app") is None, last, bought, package["id"]), package))
    for _, package in sorted(valid, key=lambda each: each[0]):
        name = package["id"]
        found.append(PaymentSource(name, package.get("app"), remaining.get(name, 0), rules.ratios))
    return [each for each in found if each.remaining > 0 or (rules.free_by_item and each is found[0])]


def _left(day: date, app_id: int | None, remaining: Mapping[str, int]) -> int:
    return remaining.get(free_payer(day, app_id), 0)


def rounded(value: Fraction) -> int:
    """Half up, away from zero."""
    whole = int(abs(value) + Fraction(1, 2))
    return -whole if value < 0 else whole
