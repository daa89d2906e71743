"""Package sets: which packages to buy together for one month, found exactly.

The total of a set is its price plus what the month's bill still charges. Only the bill knows that: packages pay whole
minutes in the order of usage, the largest of the set first. Billing every set would take hours, so the search bills
only the sets that can still be the cheapest.

**Candidates.** Sets of at least two packages. Some number of packages of one size is never bought if no more packages
of another size have at least as many minutes and cost less, or cost the same and are fewer: ten packages of 25,000
(240 USD) give way to one of 250,000 (227 USD). So the published lists allow at most 9 of 25,000, 3 of 250,000 and 2 of
1,000,000. (The packages that give way could save more by what whole minutes leave over, W below.) The size with the
lowest price a minute is bought as often as the usage needs, but at most 400 times.

**Bounds.** The *capacity* of a package is the most that whole minutes can take from it: 8 of 10 package minutes at the
ratio 4. F and K are those of the demand (`package_demand`).

Let a set have capacity S. A package turns a minute away only when it has less left than the minute's ratio, so at most
r - g, where r is the largest ratio in use and g the greatest common divisor of all, as every payment is a multiple of
g. Let W be the sum of the smaller of r - g and the capacity over the packages. Then the usage before the first minute
that no package pays takes at least S - W package minutes, all of them paid. What the set pays after the first S - W
takes at most W, which save K(W) at most. So the set saves from F(S - W) to F(S - W) + K(W).

Let a part of a set have price P and capacity S, and let the sizes that may still be added cost at least e a package
minute. With y package minutes more the total is at least P + e y + K(everything) - K(S + y). That is lowest where K
stops rising by more than e: at the package minutes that cost more than e as you go.

Lower bounds are whole numbers of 10^-8, rounded down. The search lists the sets with a bound up to a ceiling and bills
them from the lowest bound up, until a bound is above the lowest bill. While the lowest bill is above the ceiling, the
ceiling is raised: so no set that was not billed can be cheaper. A list of many sizes with nearly one price a minute has
millions of sets that near: where more than 20,000 parts are below a ceiling, only the 300 with the lowest bounds are
followed. The set that is found is then above the cheapest by no more than its total is above the lowest bound of all,
which is what the first ceiling was made from. Of equal totals the set with fewer packages wins, then
the one with fewer of the largest size, then of the next.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from math import gcd
from typing import NamedTuple

from billing.money import from_scaled
from billing.reports.package_demand import Demand, scaled

# Minutes and price of a package on the list.
Offer = tuple[int, Decimal]

MOST_OF_ONE_SIZE = 400
MOST_PARTS = 20_000  # are looked at together
KEPT_PARTS = 300  # of more, those with the lowest bounds

# Package minutes from which on every multiple of the divisor is a sum of ratios, unless they are above 300.
_LARGE = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageCount:
    """`count` packages of `minutes` each."""

    minutes: int
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageSet:
    """Packages bought together, the largest first. `overage` is charged for what they do not pay.

    `cheapest`: the total is below that of each single package and of paying as you go.
    """

    set: tuple[PackageCount, ...]
    price: Decimal
    overage: Decimal
    total: Decimal
    cheapest: bool = False

    @property
    def minutes(self) -> int:
        """Minutes of all packages together."""
        return sum(each.minutes * each.count for each in self.set)


def largest_counts(offers: Sequence[Offer]) -> list[int]:
    """How often each offer may be in a set: more of it would give way to packages of another size."""
    return [_largest_count(offer, offers) for offer in offers]


def _largest_count(offer: Offer, offers: Sequence[Offer]) -> int:
    minutes, price = offer
    for count in range(MOST_OF_ONE_SIZE):
        needed = (count + 1) * minutes
        others = ((-(-needed // other), other_price) for other, other_price in offers)
        if any(n <= count + 1 and (n * other_price, n) < ((count + 1) * price, count + 1) for n, other_price in others):
            return count
    return MOST_OF_ONE_SIZE


class _Size(NamedTuple):
    """An offer as the search sees it, with `most` of it in a set. `may_remain`: minutes left when it first pays none of
    a minute; money is in 10^-8."""

    minutes: int
    price: int
    capacity: int
    may_remain: int
    most: int


class _Part(NamedTuple):
    """A set of which some sizes are chosen: sums over its packages, and the count of each size so far."""

    counts: tuple[int, ...] = ()
    price: int = 0
    capacity: int = 0
    may_remain: int = 0

    def with_more(self, size: _Size, count: int) -> "_Part":
        """The part with `count` packages of the next size."""
        return _Part(
            (*self.counts, count),
            self.price + count * size.price,
            self.capacity + count * size.capacity,
            self.may_remain + count * size.may_remain,
        )


class _Rest(NamedTuple):
    """The sizes that may still be added to a part: the lowest price of a package minute, and the package minutes that
    are dearer as you go."""

    price: Fraction
    wanted: int


class _Candidate(NamedTuple):
    """A set with its total in 10^-8: at least so much, or billed.

    In the order of the fields: the one that is billed first, and of equal totals the one that wins. `counts` are by
    size, the largest first.
    """

    total: int
    packages: int
    counts: tuple[int, ...]
    price: int


def cheapest_set(
    offers: Sequence[Offer], demand: Demand, overage: Callable[[Sequence[int]], Decimal]
) -> PackageSet | None:
    """The cheapest set of several packages; None when there are no offers.

    `overage` bills the month with packages of the given minutes, bought on its first day, in the order in which they
    pay.
    """
    if not offers:
        return None
    sizes = _sizes(offers, demand)
    largest_first = sorted((size.minutes for size in sizes), reverse=True)
    best: _Candidate | None = None
    tried = set()
    for ceiling in _ceilings(_least_total(_Part(), _rest(sizes, demand), demand)):
        for candidate in sorted(_candidates(ceiling, sizes, demand)):
            if best and candidate > best:
                break
            if candidate in tried:
                continue
            tried.add(candidate)
            billed = _billed(candidate, largest_first, overage)
            best = min(best or billed, billed)
        if best and best.total <= ceiling:
            return _package_set(best, largest_first)
    raise AssertionError("no ceiling is the last one")


def least_total(packages: Sequence[int], offers: Sequence[Offer], demand: Demand) -> Decimal:
    """A total that no bill with these packages is below: with one of 25,000 for 24, the price of everything, and 24,
    without what the dearest 25,000 package minutes cost."""
    size_of = {size.minutes: size for size in _sizes(offers, demand)}
    part = _Part()
    for minutes in packages:
        part = part.with_more(size_of[minutes], 1)
    return from_scaled(_least_total_of_set(part, demand))


def _ceilings(least: int) -> Iterator[int]:
    """Totals up to which sets are looked at: a little above the least one, then twice as far, and so on. The nearer a
    ceiling is to the cheapest total, the fewer sets are below it."""
    step = 1 + (least >> 20)
    while True:
        yield least + step
        step *= 2


def _billed(
    candidate: _Candidate, largest_first: Sequence[int], overage: Callable[[Sequence[int]], Decimal]
) -> _Candidate:
    counts = zip(largest_first, candidate.counts, strict=True)
    charged = overage([minutes for minutes, count in counts for _ in range(count)])
    return candidate._replace(total=candidate.price + scaled(charged))


def _package_set(billed: _Candidate, largest_first: Sequence[int]) -> PackageSet:
    counts = zip(largest_first, billed.counts, strict=True)
    return PackageSet(
        set=tuple(PackageCount(minutes=minutes, count=count) for minutes, count in counts if count),
        price=from_scaled(billed.price),
        overage=from_scaled(billed.total - billed.price),
        total=from_scaled(billed.total),
    )


def _sizes(offers: Sequence[Offer], demand: Demand) -> list[_Size]:
    """The offers, the one with the lowest price of a package minute last."""
    most_left = max(demand.ratios) - gcd(*demand.ratios)
    sizes = []
    for (minutes, price), most in zip(offers, largest_counts(offers), strict=True):
        capacity = _capacity(minutes, demand)
        sizes.append(_Size(minutes, scaled(price), capacity, min(capacity, most_left), most))
    return sorted(sizes, key=lambda size: (Fraction(size.price, max(size.capacity, 1)), -size.minutes), reverse=True)


def _capacity(minutes: int, demand: Demand) -> int:
    """The most of a package that whole minutes can take; for a large one a little more may be said."""
    if minutes > _LARGE:
        return minutes - minutes % gcd(*demand.ratios)
    sums = 1  # bit n: some minutes take n package minutes in all
    for ratio in demand.ratios:
        while ratio <= minutes:
            sums |= sums << ratio
            ratio *= 2
    return (sums & ((2 << minutes) - 1)).bit_length() - 1


def _candidates(ceiling: int, sizes: Sequence[_Size], demand: Demand) -> Iterator[_Candidate]:
    """The sets of several packages that can have a total up to `ceiling`."""
    order = sorted(range(len(sizes)), key=lambda number: -sizes[number].minutes)
    for part in _parts_below(ceiling, sizes, demand):
        least, packages = _least_total_of_set(part, demand), sum(part.counts)
        if packages > 1 and least <= ceiling:
            yield _Candidate(least, packages, tuple(part.counts[number] for number in order), part.price)


def _parts_below(ceiling: int, sizes: Sequence[_Size], demand: Demand) -> Iterator[_Part]:
    """All sets with a total up to `ceiling`, and some others."""
    *others, last = sizes
    parts = [_Part()]
    for number, size in enumerate(others):
        rest = _rest(sizes[number + 1 :], demand)
        parts = [longer for part in parts for longer in _longer(part, size, rest, ceiling, demand)]
        if len(parts) > MOST_PARTS:
            parts.sort(key=lambda part: (_least_total(part, rest, demand), sum(part.counts), part.counts))
            del parts[KEPT_PARTS:]
    for part in parts:
        yield from (part.with_more(last, count) for count in _last_counts(part, last, ceiling, demand))


def _longer(part: _Part, size: _Size, rest: _Rest, ceiling: int, demand: Demand) -> Iterator[_Part]:
    """The part with 0, 1, 2, … packages of a size; the bound never falls, because the sizes after it are no dearer."""
    for count in range(size.most + 1):
        longer = part.with_more(size, count)
        if _least_total(longer, rest, demand) > ceiling:
            return
        yield longer


def _last_counts(part: _Part, size: _Size, ceiling: int, demand: Demand) -> range:
    """With how many packages of the last size a total up to `ceiling` is possible: neither too much is left to pay nor
    the price too high."""
    above = _least_total(part, _rest([], demand), demand) - ceiling
    gain = demand.most_saved(size.capacity) - size.price
    if above > 0 and gain <= 0:
        return range(0)
    first = -(-above // gain) if above > 0 else 0
    most = min(size.most, (ceiling - part.price) // size.price) if size.price else size.most
    return range(first, most + 1)


def _rest(sizes: Sequence[_Size], demand: Demand) -> _Rest:
    price = min((Fraction(size.price, size.capacity) for size in sizes if size.capacity), default=None)
    return _Rest(Fraction(0), 0) if price is None else _Rest(price, demand.dearer_than(price))


def _least_total(part: _Part, rest: _Rest, demand: Demand) -> int:
    """A total that no completion of the part is below."""
    more = max(0, rest.wanted - part.capacity)
    price = part.price + more * rest.price.numerator // rest.price.denominator
    return price + demand.pay_as_you_go - demand.most_saved(part.capacity + more)


def _least_total_of_set(part: _Part, demand: Demand) -> int:
    """A total that the bill of the set is not below."""
    paid, worth = demand.paid_by(part.capacity - part.may_remain)
    saved = min(demand.most_saved(part.capacity), worth + demand.most_saved(part.capacity - paid))
    return part.price + demand.pay_as_you_go - saved
