"""An account's day: the terms that hold on it, who can pay, and what is lost at its end. Pure.

The policy version, the contract and the prices are those of the day of usage. Free minutes come first among the payers;
a calendar month's are given with its first billed day.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from billing.catalog import Account, Catalog, known_policies
from billing.metering.tiers import TierRule
from billing.money import plain
from billing.rating.contracts import contract_on, unit_prices
from billing.rating.deductions import Deduction
from billing.rating.packages import Package, Payer, free_minutes_id, payers_on, valid_days
from billing.rating.policies import Policy, PolicyVersion


@dataclass(frozen=True, slots=True, kw_only=True)
class DayTerms:
    """What holds for one account on one day. Prices are per minute; `list_prices` are those before the contract."""

    day: date
    zone: ZoneInfo
    policy: Policy
    version: PolicyVersion
    prices: Mapping[str, Decimal]
    list_prices: Mapping[str, Decimal]
    free_minutes: int
    packages: Sequence[Package]

    @property
    def price_hash(self) -> str:
        """SHA-256 (hex) of the prices per minute."""
        text = json.dumps({item: plain(price) for item, price in self.prices.items()}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def day_terms(
    catalog: Catalog, account: Account, zone: ZoneInfo, day: date, *, policy_id: str, free_minutes: int | None
) -> DayTerms:
    """The terms of a day; `policy_id` and `free_minutes` (a month; None: the policy's own) are the account's on it."""
    policy = known_policies(catalog)[policy_id]
    version = policy.version_on(day)
    contract = contract_on(day, [each for each in catalog.contracts.values() if each.account == account.id])
    return DayTerms(
        day=day,
        zone=zone,
        policy=policy,
        version=version,
        prices=unit_prices(version, account.currency, contract),
        list_prices=unit_prices(version, account.currency, None),
        free_minutes=version.free_minutes if free_minutes is None else free_minutes,
        packages=[package for package in catalog.packages.values() if package.account == account.id],
    )


def tier_rule(version: PolicyVersion) -> TierRule:
    """How the meter is to class video under a policy version."""
    return TierRule(
        per_stream=version.method == "per_stream",
        tiers=tuple((tier.item, tier.top_area) for tier in version.tiers),
    )


def payers(terms: DayTerms, granted: int, used: Mapping[str, int]) -> list[Payer]:
    """Everything that can pay on the day, in order. `granted`: the month's free minutes; `used`: units taken before."""
    free_id = free_minutes_id(terms.day)
    free = Payer(id=free_id, remaining=granted - used.get(free_id, 0), ratios=terms.version.free_ratios)
    return payers_on(terms.day, terms.zone, free=free, packages=terms.packages, used=used, ratios=terms.version.ratios)


def lapses(terms: DayTerms, granted: int, used: Mapping[str, int], deductions: Sequence[Deduction]) -> dict[str, int]:
    """What is left, by payer id, of the packages and free minutes whose last valid day this is."""
    ending = {p.id: p.minutes for p in terms.packages if valid_days(p, terms.zone)[1] == terms.day}
    if (terms.day + timedelta(days=1)).day == 1:
        ending[free_minutes_id(terms.day)] = granted
    left = {payer_id: units - used.get(payer_id, 0) for payer_id, units in ending.items()}
    for deduction in deductions:
        if deduction.payer_id in left:
            left[deduction.payer_id] -= deduction.package_units
    return {payer_id: units for payer_id, units in left.items() if units > 0}
