"""Terms: what holds for one account on one day: rule version, prices, free minutes, packages.

The policy version, the contract and the prices are those of the day of usage.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from zoneinfo import ZoneInfo

from billing.catalog.catalog import Account, Catalog
from billing.catalog.contracts import contract_on, slab_prices, unit_prices
from billing.catalog.packages import Package
from billing.catalog.policies import Policy, PolicyVersion
from billing.catalog.quantities import Fee
from billing.money import plain


@dataclass(frozen=True, slots=True, kw_only=True)
class DayTerms:
    """What holds for one account on one day. Prices are per minute; `list_prices` are those before the contract.

    `ladder`: the slabs of a graduated price, (last minute, price by item); `prices` are those of the first.
    """

    day: date
    zone: ZoneInfo
    policy: Policy
    version: PolicyVersion
    prices: Mapping[str, Decimal]
    list_prices: Mapping[str, Decimal]
    free_minutes: int
    packages: Sequence[Package]
    ladder: tuple[tuple[int | None, Mapping[str, Decimal]], ...] = ()
    fee: Fee | None = None

    def price_of(self, item: str, slab: int) -> Decimal:
        """The price of a minute in a slab of the price."""
        return self.ladder[slab][1][item] if self.ladder else self.prices[item]

    @property
    def price_hash(self) -> str:
        """SHA-256 (hex) of the prices per minute."""
        prices: dict[str, object] = {item: plain(price) for item, price in self.prices.items()}
        if self.ladder:
            prices["ladder"] = [
                [top, {item: plain(price) for item, price in of_slab.items()}] for top, of_slab in self.ladder
            ]
        text = json.dumps(prices, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def day_terms(
    catalog: Catalog, account: Account, zone: ZoneInfo, day: date, *, policy: Policy, free_minutes: int | None
) -> DayTerms:
    """The terms of a day; `policy` and `free_minutes` (a month; None: the policy's own) are the account's on it."""
    version = policy.version_on(day)
    contract = contract_on(day, [each for each in catalog.contracts.values() if each.account == account.id])
    ladder = slab_prices(version, account.currency, contract)
    return DayTerms(
        day=day,
        zone=zone,
        policy=policy,
        version=version,
        prices=ladder[0][1] if ladder else unit_prices(version, account.currency, contract),
        list_prices=unit_prices(version, account.currency, None),
        free_minutes=version.free_minutes if free_minutes is None else free_minutes,
        packages=[package for package in catalog.packages.values() if package.account == account.id],
        ladder=ladder,
        fee=version.fees.get(account.currency),
    )
