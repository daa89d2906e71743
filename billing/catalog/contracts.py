"""Contracts: prices agreed with one account, from a day on.

The latest contract whose `valid_from` is not after the day of usage applies. A price in it (per 1,000 minutes) replaces
the list price as it stands; its discount multiplies the list price of every other item. A price per minute is rounded
half up to 8 decimals, once, here: 3.99 per 1,000 minutes at a discount of 0.85 is 0.00339150 a minute.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from billing.catalog.policies import PolicyVersion
from billing.catalog.quantities import Slab
from billing.money import SCALE_DIGITS, round_by

_ONE = Decimal(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """What an account pays from `valid_from` on: a multiplier of the list price, prices per 1,000 minutes, or both."""

    account: str
    valid_from: date
    discount: Decimal | None = None
    prices: Mapping[str, Decimal] = field(default_factory=dict)


def contract_on(day: date, contracts: Iterable[Contract]) -> Contract | None:
    """The contract, of those of one account, that applies to usage of `day`."""
    started = [contract for contract in contracts if contract.valid_from <= day]
    return max(started, key=lambda contract: contract.valid_from, default=None)


def unit_prices(
    version: PolicyVersion, currency: str, contract: Contract | None, slab: Slab | None = None
) -> dict[str, Decimal]:
    """The price of one minute (one unit that the version counts) by item, 8 decimals; an item that has no price in
    `currency` is absent. `slab`: in that part of a graduated price, which a contract's own prices do not have."""
    discount = (contract.discount if contract else None) or _ONE
    listed = version.list_prices(currency)
    if slab is not None and slab.price is not None:
        listed = dict.fromkeys(version.items, slab.price)
    elif slab is not None and slab.discount is not None:
        discount *= slab.discount
    per_thousand = {item: price * discount for item, price in listed.items()}
    per_thousand |= contract.prices if contract else {}
    seconds = version.quantity.unit_seconds
    return {
        item: round_by("half_up", price * seconds, Decimal(60_000), SCALE_DIGITS)
        for item, price in per_thousand.items()
    }


def slab_prices(
    version: PolicyVersion, currency: str, contract: Contract | None
) -> tuple[tuple[int | None, Mapping[str, Decimal]], ...]:
    """The slabs of a graduated price, (last minute, price by item); none where the price is flat."""
    slabs = version.slabs.get(currency, ())
    return tuple((slab.upto, unit_prices(version, currency, contract, slab)) for slab in slabs)
