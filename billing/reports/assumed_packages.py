"""Assumed packages: those that a what-if lets pay in place of an account's own, and the cheapest set of them.

They begin full, whatever the account's own of the same name have left. A package without a price has the list price of
its size. The cheapest set is bought at the first instant of the first month and pays in the order of all packages; it
is compared with no package, and with each of the list alone.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal, localcontext
from fractions import Fraction

from billing.catalog.packages import Package, is_free_minutes
from billing.catalog.terms import DayTerms
from billing.errors import BillingError
from billing.money import EXACT
from billing.periods import day_start
from billing.rating.balances import Balances
from billing.rating.day import BilledDay
from billing.rating.deductions import whole_minutes
from billing.rating.span import DayUsage, bill_span
from billing.reports.package_demand import Demand, Payable, demand
from billing.reports.package_sets import Offer, cheapest_set, least_total


@dataclass(frozen=True, slots=True, kw_only=True)
class BoughtPackages:
    """`count` packages of `minutes`, each at `price`."""

    minutes: int
    price: Decimal
    count: int

    @property
    def total(self) -> Decimal:
        """What all of them cost."""
        with localcontext(EXACT):
            return self.price * self.count


@dataclass(frozen=True, slots=True, kw_only=True)
class HistorySpan:
    """Days to bill, and the balances before the first of them."""

    days: Sequence[DayUsage]
    balances: Balances

    def with_packages(self, packages: Sequence[Package]) -> "HistorySpan":
        """The same with these packages in place of all others, and full."""
        free = (self.balances.granted, self.balances.deducted, self.balances.lapsed)
        granted, deducted, lapsed = ({key: n for key, n in of.items() if is_free_minutes(key)} for of in free)
        return HistorySpan(
            days=[replace(day, terms=replace(day.terms, packages=packages)) for day in self.days],
            balances=Balances(granted=granted, deducted=deducted, lapsed=lapsed),
        )

    def bills(self) -> Iterator[BilledDay]:
        """Each day in money."""
        return bill_span(self.days, self.balances)

    def amount(self) -> Decimal:
        """What is to be paid for all days."""
        with localcontext(EXACT):
            return sum((charge.amount for billed in self.bills() for charge in billed.charges), Decimal(0))


def with_prices(packages: Sequence[Package], terms: DayTerms, currency: str) -> list[Package]:
    """The packages with the list price of their size where they have none; a `BillingError` when none is listed."""
    listed = dict(terms.version.package_prices.get(currency, ()))
    for package in packages:
        if package.price is None and package.minutes not in listed:
            raise BillingError(
                f'package "{package.id}" has no price, and {package.minutes:,} minutes are not on the list of '
                f'{terms.policy.id} in {currency}: write its price = "…"'
            )
    return [replace(each, price=listed[each.minutes] if each.price is None else each.price) for each in packages]


def counted(packages: Sequence[Package]) -> tuple[BoughtPackages, ...]:
    """The packages by size and price, the largest first."""
    counts = Counter((package.minutes, package.price or Decimal(0)) for package in packages)
    ordered = sorted(counts.items(), key=lambda entry: (-entry[0][0], entry[0][1]))
    return tuple(BoughtPackages(minutes=minutes, price=price, count=count) for (minutes, price), count in ordered)


def cheapest_packages(span: HistorySpan, currency: str, account_id: str, first: date) -> list[Package]:
    """The packages of the policy's list that make the total lowest, bought when the day `first` begins.

    Of equal totals the first one is taken: none, the smallest alone, a set of several.
    """
    terms = span.days[0].terms
    search = _Search(
        span=of_all_apps(span),
        offers=terms.version.package_prices.get(currency, ()),
        account_id=account_id,
        bought_at=datetime.fromtimestamp(day_start(first, terms.zone), terms.zone),
    )
    return search.buy(search.cheapest())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Search:
    """A span, and the packages that may be bought for it; `sizes` are their minutes, in the order in which they pay."""

    span: HistorySpan
    offers: Sequence[Offer]
    account_id: str
    bought_at: datetime

    def buy(self, sizes: Sequence[int]) -> list[Package]:
        prices = dict(self.offers)
        return [self._package(number, minutes, prices.get(minutes)) for number, minutes in enumerate(sizes)]

    def overage(self, sizes: Sequence[int]) -> Decimal:
        """What they do not pay."""
        return self.span.with_packages(self.buy(sizes)).amount()

    def total(self, sizes: Sequence[int]) -> Decimal:
        """With the price of the packages."""
        prices = dict(self.offers)
        with localcontext(EXACT):
            return sum((prices[size] for size in sizes), self.overage(sizes))

    def cheapest(self) -> Sequence[int]:
        """No package, one of the list or several; of equal totals the first."""
        wanted = demand(self._payable())
        found = cheapest_set(self.offers, wanted, self.overage)
        if not found:
            return ()
        several = [each.minutes for each in found.set for _ in range(each.count)]
        choices: list[tuple[Decimal, Sequence[int]]] = [(found.total, several)]
        # The last one that is not dearer is the first one of the list.
        for sizes in reversed([(), *([minutes] for minutes, _ in self.offers)]):
            if self._least_total(sizes, wanted) <= choices[-1][0] and (total := self.total(sizes)) <= choices[-1][0]:
                choices.append((total, sizes))
        return choices[-1][1]

    def _least_total(self, sizes: Sequence[int], wanted: Demand) -> Decimal:
        """A total that the bill with these packages is not below; the demand does not know slabs of a price."""
        has_slabs = any(day.terms.ladder for day in self.span.days)
        return Decimal(0) if has_slabs else least_total(sizes, self.offers, wanted)

    def _payable(self) -> Iterator[Payable]:
        """What a package for everything would pay: of each day, the package minutes with the highest price first."""
        for day, billed in zip(self.span.days, self._all_paid(), strict=True):
            prices = day.terms.prices
            of_day = [
                Payable(each.minutes, each.package_minutes, prices[each.item])
                for each in billed.deductions
                if not is_free_minutes(each.payer_id)
            ]
            yield from sorted(of_day, key=lambda each: -Fraction(each.price) * each.minutes / each.package_minutes)

    def _all_paid(self) -> Iterator[BilledDay]:
        everything = sum(
            whole_minutes(seconds) * day.terms.version.ratios.get(item, 0)
            for day in self.span.days
            for _, _, item, seconds in day.usage
        )
        return self.span.with_packages([self._package(0, everything, None)]).bills()

    def _package(self, number: int, minutes: int, price: Decimal | None) -> Package:
        return Package(
            id=f"bought-{number:06}",
            account=self.account_id,
            minutes=minutes,
            purchased_at=self.bought_at,
            price=price,
        )


def of_all_apps(span: HistorySpan) -> HistorySpan:
    """The span with the units of all apps together, where whatever pays does so for all of them: the amounts are the
    same."""
    return replace(span, days=[_of_all_apps(day) for day in span.days])


def _of_all_apps(day: DayUsage) -> DayUsage:
    windows = day.windows.of_all_apps if day.windows else None
    return replace(day, usage=windows.whole, windows=windows) if windows else day
