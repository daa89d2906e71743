"""Estimate: what a month of rooms will cost, before anybody has entered one.

It is the bill of a month that is made up: the seconds of its rooms (`planned_rooms`) are rated day by day as a bill
rates them, and the free minutes that one day leaves are there on the next. So a bill over the same usage gives the same
money. Rooms of several kinds have one bill: minutes are rounded over all of them together, and free minutes and
packages pay for all of them. The terms are those of the day on which the estimate is made. What an account has left of
bought packages is not looked at.

One call a day under `trtc-cn`, 3 users, 30 minutes, no video: 90 minutes of audio a day, 90 x 0.007 = 0.63 CNY.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal, localcontext
from zoneinfo import ZoneInfo

from billing.catalog.catalog import Account, Catalog, known_policies
from billing.catalog.items import FEES, WindowUsage, in_order
from billing.catalog.packages import Package, is_free_minutes
from billing.catalog.policies import builtin_policies
from billing.catalog.terms import DayTerms, day_terms
from billing.errors import UsageError, unknown
from billing.money import EXACT
from billing.periods import day_start, local_day, time_zone
from billing.rating.balances import Balances
from billing.rating.charges import Charge
from billing.rating.deductions import Deduction
from billing.rating.span import DayUsage, bill_span
from billing.reports.package_demand import Payable, demand
from billing.reports.package_sets import Offer, PackageSet, cheapest_set
from billing.reports.planned_rooms import MOST_DAYS, USUAL_DAYS, PlannedRooms, Room, usage_by_day

# The estimated days are the first ones of a month of 31.
_FIRST_DAY = date(2026, 1, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tariff:
    """What a month is priced with: the terms of one day, in one currency."""

    terms: DayTerms
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemEstimate:
    """A month of one item. `package_minutes` are the units that a package would give for all of its minutes; `amount`
    is minutes x unit price, before free minutes. A fee is one minute, which no package pays."""

    item: str
    minutes: int
    package_minutes: int
    unit_price: Decimal
    amount: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageChoice:
    """A month with one package of `minutes` bought at `price`: `overage` is charged for what it does not pay.

    `cheapest`: its total is the lowest of all packages and sets, and lower than paying as you go.
    """

    minutes: int
    price: Decimal
    overage: Decimal
    total: Decimal
    cheapest: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A month. `free_minutes_used` are package minutes; `pay_as_you_go` is what is left to pay without any package,
    exact. `packages`: each of the list alone, the smallest first, then the cheapest set of several."""

    items: tuple[ItemEstimate, ...]
    free_minutes_used: int
    pay_as_you_go: Decimal
    currency: str
    packages: tuple[PackageChoice | PackageSet, ...]


def tariff_of_policy(policy_id: str, at: datetime) -> Tariff:
    """The list prices and free minutes of a built-in policy, in its first currency."""
    policies = builtin_policies()
    if policy_id not in policies:
        raise UsageError(f"{unknown('policy', policy_id, policies)} (for an account's own policy, give --account)")
    policy = policies[policy_id]
    currency = next(iter(policy.version_on(at.date()).prices))
    anybody = Account(id=policy_id, name=policy.name, currency=currency, timezone="UTC", policy=policy_id)
    return tariff_of_account(Catalog(accounts={anybody.id: anybody}), anybody.id, at)


def tariff_of_account(catalog: Catalog, account_id: str, at: datetime) -> Tariff:
    """What an account pays on its local day: policy, contract, free minutes and currency, but not its packages."""
    account = catalog.account(account_id)
    zone = time_zone(account.timezone)
    day = local_day(int(at.timestamp()), zone)
    policy = known_policies(catalog)[account.policy]
    terms = day_terms(catalog, account, zone, day, policy=policy, free_minutes=account.free_minutes)
    return Tariff(terms=replace(terms, packages=[]), currency=account.currency)


def estimate(room: Room, tariff: Tariff, *, rooms_per_day: int, minutes: int, days: int = USUAL_DAYS) -> Estimate:
    """A month of `days` days with `rooms_per_day` such rooms of `minutes` minutes each."""
    return estimate_of([PlannedRooms(room=room, rooms_per_day=rooms_per_day, minutes=minutes, days=days)], tariff)


def estimate_of(planned: Sequence[PlannedRooms], tariff: Tariff) -> Estimate:
    """A month of all these rooms, as one bill."""
    month = _Month(usage=usage_by_day(planned, tariff.terms.version), terms=tariff.terms)
    bill = month.billed()
    offers = tariff.terms.version.package_prices.get(tariff.currency, ())
    return Estimate(
        items=tuple(_items(month, bill)),
        free_minutes_used=sum(units for payer, units in bill.deducted.items() if is_free_minutes(payer)),
        pay_as_you_go=bill.amount,
        currency=tariff.currency,
        packages=_package_choices(month, offers, bill),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bill:
    """`amount` that nothing has paid, the package minutes `deducted` by payer id, what packages have paid, the minutes
    by item, and the `fees`."""

    amount: Decimal
    deducted: Mapping[str, int]
    by_packages: Sequence[Deduction]
    minutes: Mapping[str, int]
    fees: Sequence[Charge]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Month:
    """The use of each day of a month, under the same terms."""

    usage: Sequence[Sequence[WindowUsage]]
    terms: DayTerms

    def billed(self, packages: Sequence[int] = ()) -> _Bill:
        """The bill with packages of so many minutes bought on the first day, in the order in which they pay."""
        terms = replace(self.terms, packages=list(_bought(packages, self.terms.zone)))
        days = (
            DayUsage(terms=replace(terms, day=_FIRST_DAY + timedelta(days=n)), usage=usage)
            for n, usage in enumerate(self._usage_to_the_last_fee())
        )
        bills = list(bill_span(days, Balances()))
        charges = [charge for billed in bills for charge in billed.charges]
        with localcontext(EXACT):
            amount = sum((charge.amount for charge in charges), Decimal(0))
        minutes: Counter[str] = Counter()
        for charge in charges:
            if charge.item not in FEES:
                minutes[charge.item] += charge.minutes
        return _Bill(
            amount=amount,
            deducted=bills[-1].balances.deducted,
            by_packages=[each for billed in bills for each in billed.deductions if not is_free_minutes(each.payer_id)],
            minutes=in_order(minutes),
            fees=[charge for charge in charges if charge.item in FEES],
        )

    def _usage_to_the_last_fee(self) -> Sequence[Sequence[WindowUsage]]:
        """Fees come with the last day of a month, also if nobody is there then."""
        return [*self.usage, *[()] * (MOST_DAYS - len(self.usage))] if self.terms.fee else self.usage


def _bought(packages: Sequence[int], zone: ZoneInfo) -> Iterator[Package]:
    purchased_at = datetime.fromtimestamp(day_start(_FIRST_DAY, zone), zone)
    for number, minutes in enumerate(packages):
        yield Package(id=f"bought-{number:06}", account="estimate", minutes=minutes, purchased_at=purchased_at)


def _items(month: _Month, bill: _Bill) -> Iterator[ItemEstimate]:
    for item, minutes in bill.minutes.items():
        unit_price = month.terms.prices[item]
        with localcontext(EXACT):
            amount = minutes * unit_price
        yield ItemEstimate(
            item=item,
            minutes=minutes,
            package_minutes=minutes * month.terms.version.ratios[item],
            unit_price=unit_price,
            amount=amount,
        )
    for fee in bill.fees:
        yield ItemEstimate(
            item=fee.item, minutes=fee.minutes, package_minutes=0, unit_price=fee.unit_price, amount=fee.amount
        )


def _package_choices(month: _Month, offers: Sequence[Offer], bill: _Bill) -> tuple[PackageChoice | PackageSet, ...]:
    """Each published package alone and the cheapest set, bought on the day of the estimate."""
    pay_as_you_go = bill.amount
    choices = [_alone(offer, month) for offer in offers] + _cheapest_set(month, offers, bill)
    # Of equal totals the first wins: nothing bought, then the smallest package, then several.
    lowest = min((choice.total for choice in choices), default=pay_as_you_go)
    for number, choice in enumerate(choices):
        if choice.total == lowest < pay_as_you_go:
            choices[number] = replace(choice, cheapest=True)
            break
    return tuple(choices)


def _alone(offer: Offer, month: _Month) -> PackageChoice:
    minutes, price = offer
    overage = month.billed([minutes]).amount
    with localcontext(EXACT):
        return PackageChoice(minutes=minutes, price=price, overage=overage, total=price + overage)


def _cheapest_set(month: _Month, offers: Sequence[Offer], bill: _Bill) -> list[PackageSet]:
    everything = sum(item.package_minutes for item in _items(month, bill))
    prices = month.terms.prices
    wanted = demand(
        Payable(each.minutes, each.package_minutes, prices[each.item])
        for each in month.billed([everything]).by_packages
    )
    found = cheapest_set(offers, wanted, lambda packages: month.billed(packages).amount)
    return [found] if found else []
