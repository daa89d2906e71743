"""Estimate: what a month of rooms will cost, before anybody has entered one.

It is the bill of a month that is made up: one representative room becomes events, the meter meters them, every day is
rated as a bill rates it, and the free minutes that one day leaves are there on the next. So a bill over the same usage
gives the same money.

- Every room of a day begins at 00:00 and lasts 1 to 1,440 minutes; a month has 1 to 31 such days of 24 hours.
- Everybody is there from beginning to end and receives every stream but his own. The first users publish one camera
  each, the first of all also the screen share; a screen share is received by all others and costs its sender nothing.
- Users who publish nothing are alike, and each adds the same seconds (one who is alone in the room receives nothing,
  and that is audio either way). So the room is metered without them and with one, whether they are two or 100,000.
- The terms are those of the day on which the estimate is made. What an account has left of bought packages is not
  looked at.

One call a day under `trtc-cn`, 3 users, 30 minutes, no video: 90 minutes of audio a day, 90 x 0.007 = 0.63 CNY.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal, localcontext
from zoneinfo import ZoneInfo

import polars as pl

from billing.catalog.catalog import Account, Catalog, known_policies
from billing.catalog.feeds import Size
from billing.catalog.items import WindowUsage, in_order
from billing.catalog.packages import Package, is_free_minutes
from billing.catalog.policies import builtin_policies
from billing.catalog.terms import DayTerms, day_terms
from billing.errors import UsageError, unknown
from billing.events.schema import EVENT_SCHEMA
from billing.limits import LONGEST_SIDE
from billing.metering.meter import Span, meter
from billing.metering.schemas import STATE_SCHEMA
from billing.metering.tiers import tier_rule
from billing.money import EXACT
from billing.periods import DAY_SECONDS, day_start, local_day, time_zone
from billing.rating.balances import Balances
from billing.rating.deductions import Deduction
from billing.rating.span import DayUsage, bill_span
from billing.reports.package_sets import Offer, PackageSet, Payable, cheapest_set, demand

LONGEST_MINUTES = DAY_SECONDS // 60
MOST_DAYS = 31
MOST = 10**9  # users, or rooms a day: far above any real number

# The estimated days are the first ones of a month of 31.
_FIRST_DAY = date(2026, 1, 1)

# The representative room stands in one app with its publishers only, in the other with one viewer more.
_PUBLISHERS_ONLY, _WITH_A_VIEWER = 1, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """Who is in a room: each of `cameras` belongs to one of the `users`, the `screen` to the first of them."""

    users: int
    cameras: tuple[Size, ...] = ()
    screen: Size | None = None

    def __post_init__(self) -> None:
        check_number("users", self.users, 1)
        for width, height in (*self.cameras, *([self.screen] if self.screen else [])):
            if not (1 <= width <= LONGEST_SIDE and 1 <= height <= LONGEST_SIDE):
                raise UsageError(f"{width}x{height} is not a picture size: each side has 1 to {LONGEST_SIDE} pixels")
        _check_cameras(len(self.cameras), self.users, "users")

    @property
    def publishers(self) -> int:
        """How many of the users send a picture."""
        return max(len(self.cameras), 1 if self.screen else 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tariff:
    """What a month is priced with: the terms of one day, in one currency."""

    terms: DayTerms
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemEstimate:
    """A month of one item. `package_minutes` are the units that a package would give for all of its minutes; `amount`
    is minutes x unit price, before free minutes."""

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


def live_room(*, anchors: int, audience: int, cameras: tuple[Size, ...] = (), screen: Size | None = None) -> Room:
    """A live room: only anchors publish, and each receives all the others. (A call is a plain `Room`.)"""
    check_number("anchors", anchors, 1)
    check_number("audience", audience, 0)
    _check_cameras(len(cameras), anchors, "anchors")
    return Room(users=anchors + audience, cameras=cameras, screen=screen)


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


def estimate(room: Room, tariff: Tariff, *, rooms_per_day: int, minutes: int, days: int = 30) -> Estimate:
    """A month of `days` days with `rooms_per_day` such rooms of `minutes` minutes each."""
    check_number("rooms a day", rooms_per_day, 1)
    check_number("minutes", minutes, 1, LONGEST_MINUTES)
    check_number("days", days, 1, MOST_DAYS)
    usage = list(_day_usage(room, rooms_per_day, minutes, tariff.terms))
    month = _Month(usage=usage, terms=tariff.terms, days=days)
    bill = month.billed()
    offers = tariff.terms.version.package_prices.get(tariff.currency, ())
    return Estimate(
        items=tuple(_items(month, bill)),
        free_minutes_used=sum(units for payer, units in bill.deducted.items() if is_free_minutes(payer)),
        pay_as_you_go=bill.amount,
        currency=tariff.currency,
        packages=_package_choices(month, offers, bill),
    )


def _day_usage(room: Room, rooms: int, minutes: int, terms: DayTerms) -> Iterator[WindowUsage]:
    """The seconds of a day with so many such rooms, by window and item."""
    events = [*_events(room, 0, minutes, _PUBLISHERS_ONLY), *_events(room, 1, minutes, _WITH_A_VIEWER)]
    rule = tier_rule(terms.version)
    metered = meter(
        pl.LazyFrame(events, schema=EVENT_SCHEMA),
        pl.DataFrame(schema=STATE_SCHEMA),
        Span(start=0, end=DAY_SECONDS, rules={_PUBLISHERS_ONLY: rule, _WITH_A_VIEWER: rule}),
    )
    # publishers only + viewers x (with a viewer - publishers only)
    viewers = room.users - room.publishers
    weights = {_PUBLISHERS_ONLY: 1 - viewers, _WITH_A_VIEWER: viewers}
    seconds: Counter[tuple[int, str]] = Counter()
    for app_id, window_start, item, _, of_one_room in metered.usage.iter_rows():
        seconds[window_start, item] += weights[app_id] * of_one_room
    for (window_start, item), total in seconds.items():
        if total:
            yield WindowUsage(window_start, _PUBLISHERS_ONLY, item, rooms * total)


def _events(room: Room, viewers: int, minutes: int, app_id: int) -> Iterator[dict[str, object]]:
    """A room with everybody who publishes and so many viewers, from second 0 on."""
    streams = [(user, "camera", size) for user, size in enumerate(room.cameras)]
    if room.screen:
        streams.append((0, "screen", room.screen))
    for user in range(room.publishers + viewers):
        who = {"app_id": app_id, "room_id": "room", "user_id": str(user), "seq": 0}
        yield {**who, "at": 0, "type": "enter"}
        for publisher, kind, (width, height) in streams:
            if publisher != user:
                stream = f"{publisher}/{kind}"
                yield {**who, "at": 0, "type": "video_on", "stream": stream, "width": width, "height": height}
        yield {**who, "at": minutes * 60_000, "type": "exit"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bill:
    """`amount` that nothing has paid, the package minutes `deducted` by payer id, and what `packages` have paid."""

    amount: Decimal
    deducted: Mapping[str, int]
    by_packages: Sequence[Deduction]
    minutes: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Month:
    """The same use on every day of a month, under the same terms."""

    usage: Sequence[WindowUsage]
    terms: DayTerms
    days: int

    def billed(self, packages: Sequence[int] = ()) -> _Bill:
        """The bill with packages of so many minutes bought on the first day, in the order in which they pay."""
        terms = replace(self.terms, packages=list(_bought(packages, self.terms.zone)))
        days = (
            DayUsage(terms=replace(terms, day=_FIRST_DAY + timedelta(days=n)), usage=self.usage)
            for n in range(self.days)
        )
        bills = list(bill_span(days, Balances()))
        with localcontext(EXACT):
            amount = sum((charge.amount for billed in bills for charge in billed.charges), Decimal(0))
        deductions = [each for billed in bills for each in billed.deductions if not is_free_minutes(each.payer_id)]
        minutes: Counter[str] = Counter()
        for billed in bills:
            for charge in billed.charges:
                minutes[charge.item] += charge.minutes
        return _Bill(
            amount=amount, deducted=bills[-1].balances.deducted, by_packages=deductions, minutes=in_order(minutes)
        )


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


def check_number(name: str, number: int, least: int, most: int = MOST) -> None:
    """A `UsageError` when a number is out of its bounds, both included."""
    if not least <= number <= most:
        raise UsageError(f"{name}: {number} is not from {least} to {most}")


def _check_cameras(cameras: int, people: int, noun: str) -> None:
    if cameras > people:
        raise UsageError(f"{cameras} cameras, but {noun}: {people}; each camera belongs to one of them")
