"""The law of the estimate: a bill over the estimated usage gives the estimated money.

The month is really written: each room of each day with each of its users, metered and rated day by day as the nightly
does it, with the stays, the free minutes and the packages that each day leaves to the next.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from random import Random
from typing import Any

import polars as pl
from hypothesis import example, given, settings
from hypothesis import strategies as st

from billing.catalog.catalog import Account, Catalog, known_policies
from billing.catalog.contracts import Contract
from billing.catalog.items import WindowUsage
from billing.catalog.packages import Package, is_free_minutes
from billing.catalog.policies import builtin_policies
from billing.catalog.terms import day_terms
from billing.events.schema import EVENT_SCHEMA
from billing.metering.meter import Span, meter
from billing.metering.schemas import STATE_SCHEMA
from billing.metering.tiers import tier_rule
from billing.periods import day_bounds, month_days, time_zone
from billing.rating.balances import Balances
from billing.rating.span import DayUsage, bill_span
from billing.reports.estimate import Estimate, PackageChoice, estimate_of, tariff_of_account
from billing.reports.package_sets import PackageCount, PackageSet
from billing.reports.planned_rooms import PlannedRooms, Room, live_room, usage_by_day
from tests.depth import SLOW_EXAMPLES
from tests.estimate_facts import Size, rooms_of_a_day

APP = 7
MONTH = date(2026, 3, 1)
# None of them changes its clocks in that month.
ZONES = ["UTC", "Asia/Tokyo", "Asia/Kathmandu", "America/Phoenix", "Pacific/Kiritimati"]
SIZES = [(320, 180), (640, 480), (960, 720), (1280, 720), (1920, 1080), (2560, 1440), (16384, 16384)]
AMOUNTS = st.integers(0, 5).flatmap(lambda digits: st.integers(0, 10**digits))


@dataclass(frozen=True, kw_only=True)
class Kind:
    """Generated rooms that are alike: who is in each, and how often."""

    users: int
    anchors: int | None
    cameras: tuple[Size, ...]
    screen: Size | None
    rooms: int
    minutes: int
    days: int

    @property
    def planned(self) -> PlannedRooms:
        picture: dict[str, Any] = {"cameras": self.cameras, "screen": self.screen}
        room = (
            Room(users=self.users, **picture)
            if self.anchors is None
            else live_room(anchors=self.anchors, audience=self.users - self.anchors, **picture)
        )
        return PlannedRooms(room=room, rooms_per_day=self.rooms, minutes=self.minutes, days=self.days)

    def events(self, name: str, starts: Sequence[int]) -> Iterator[dict[str, Any]]:
        for start in starts[: self.days]:
            yield from rooms_of_a_day(
                start,
                app_id=APP,
                rooms=self.rooms,
                users=self.users,
                minutes=self.minutes,
                cameras=self.cameras,
                screen=self.screen,
                kind=name,
            )


@dataclass(frozen=True, kw_only=True)
class Month:
    """A generated month of several kinds of rooms."""

    kinds: tuple[Kind, ...]

    def estimated(self, catalog: Catalog) -> Estimate:
        tariff = tariff_of_account(catalog, "acme", datetime.fromisoformat("2026-03-15T12:00:00+00:00"))
        return estimate_of([kind.planned for kind in self.kinds], tariff)

    def usage(self, catalog: Catalog) -> Iterator[tuple[date, list[WindowUsage]]]:
        """The seconds of each day, metered from the events of all days."""
        account = catalog.accounts["acme"]
        zone = time_zone(account.timezone)
        bounds = {day: day_bounds(day, zone) for day in month_days(MONTH)[: max(kind.days for kind in self.kinds)]}
        starts = [start for start, _ in bounds.values()]
        rows = [row for number, kind in enumerate(self.kinds) for row in kind.events(f"kind-{number}", starts)]
        events = pl.LazyFrame(rows, schema=EVENT_SCHEMA)
        state = pl.DataFrame(schema=STATE_SCHEMA)
        for day, (start, end) in bounds.items():
            rule = tier_rule(known_policies(catalog)[account.policy].version_on(day))
            metered = meter(events, state, Span(start=start, end=end, rules={APP: rule}))
            state = metered.state
            seconds = metered.usage.group_by("window_start", "app_id", "item").agg(pl.col("seconds").sum())
            yield day, [WindowUsage(*row) for row in seconds.iter_rows()]


@dataclass(frozen=True, kw_only=True)
class Bill:
    """A month's bill."""

    minutes: Counter[str]
    amount: Decimal
    deducted: Mapping[str, int]


def billed(days: Sequence[tuple[date, list[WindowUsage]]], catalog: Catalog) -> Bill:
    """The month as the nightly bills it."""
    account = catalog.accounts["acme"]
    usage = [
        DayUsage(
            terms=day_terms(
                catalog,
                account,
                time_zone(account.timezone),
                day,
                policy=known_policies(catalog)[account.policy],
                free_minutes=account.free_minutes,
            ),
            usage=windows,
        )
        for day, windows in days
    ]
    bills = list(bill_span(usage, Balances()))
    minutes: Counter[str] = Counter()
    for charge in (charge for bill in bills for charge in bill.charges):
        minutes[charge.item] += charge.minutes
    amount = sum((charge.amount for bill in bills for charge in bill.charges), Decimal(0))
    return Bill(minutes=minutes, amount=amount, deducted=bills[-1].balances.deducted)


@st.composite
def kinds(draw: st.DrawFn) -> Kind:
    """Calls or live rooms of up to five users."""
    users = draw(st.integers(1, 5))
    anchors = draw(st.none() | st.integers(1, users))
    return Kind(
        users=users,
        anchors=anchors,
        cameras=tuple(draw(st.lists(st.sampled_from(SIZES), max_size=anchors or users))),
        screen=draw(st.none() | st.sampled_from(SIZES)),
        rooms=draw(st.integers(1, 3)),
        minutes=draw(st.sampled_from([1, 4, 5, 6, 1439, 1440]) | st.integers(1, 1440)),
        days=draw(st.integers(1, 3)),
    )


def months() -> st.SearchStrategy[Month]:
    """One to three kinds of rooms."""
    return st.lists(kinds(), min_size=1, max_size=3).map(lambda found: Month(kinds=tuple(found)))


@st.composite
def catalogs(draw: st.DrawFn) -> Catalog:
    """An account with a policy like a built-in one, but with packages and free minutes that soon run out."""
    like = builtin_policies()[draw(st.sampled_from(sorted(builtin_policies())))]
    (currency,) = like.versions[-1].prices
    sizes = sorted(draw(st.sets(AMOUNTS.map(lambda size: size + 1), max_size=3)))
    offers = tuple((size, Decimal(draw(AMOUNTS)) / 100) for size in sizes)
    policy = replace(
        like, id="own", versions=tuple(replace(v, package_prices={currency: offers}) for v in like.versions)
    )
    account = Account(
        id="acme",
        name="Acme",
        currency=currency,
        timezone=draw(st.sampled_from(ZONES)),
        policy="own",
        free_minutes=draw(st.none() | AMOUNTS),
    )
    contracts: Mapping[tuple[str, date], Contract] = {}
    if draw(st.booleans()):
        prices = {item: Decimal(draw(AMOUNTS)) / 1000 for item in draw(st.sets(st.sampled_from(["audio", "hd"])))}
        contract = Contract(account="acme", valid_from=MONTH, discount=Decimal("0.85"), prices=prices)
        contracts = {("acme", MONTH): contract}
    return Catalog(accounts={"acme": account}, policies={"own": policy}, contracts=contracts)


@given(months(), catalogs())
@example(
    Month(kinds=(Kind(users=3, anchors=None, cameras=(), screen=(320, 180), rooms=3, minutes=1, days=1),)),
    Catalog(accounts={"acme": Account(id="acme", name="Acme", currency="CNY", timezone="UTC", policy="trtc-cn")}),
)  # more enters and exits than rows of video: a meter once took a stream for that of another user
def test_a_bill_over_the_estimated_usage_gives_the_estimated_money(month: Month, catalog: Catalog) -> None:
    """Minutes by item, free minutes, what is left to pay without a package, with each, and with the set: all equal, to
    the last decimal."""
    estimated = month.estimated(catalog)
    usage = list(month.usage(catalog))
    bill = billed(usage, catalog)
    assert {each.item: each.minutes for each in estimated.items} == bill.minutes
    assert all(each.amount == each.minutes * each.unit_price for each in estimated.items)
    assert estimated.free_minutes_used == sum(units for payer, units in bill.deducted.items() if is_free_minutes(payer))
    assert estimated.pay_as_you_go == bill.amount
    for choice in estimated.packages:
        assert choice.overage == billed(usage, replace(catalog, packages=bought(choice, catalog))).amount
        assert choice.total == choice.price + choice.overage


def bought(choice: PackageChoice | PackageSet, catalog: Catalog) -> dict[str, Package]:
    """The packages of a choice, bought on the evening of the first day; they pay in the order of the set."""
    at = datetime(2026, 3, 1, 18, tzinfo=time_zone(catalog.accounts["acme"].timezone))
    several = choice.set if isinstance(choice, PackageSet) else (PackageCount(minutes=choice.minutes, count=1),)
    sizes = [each.minutes for each in several for _ in range(each.count)]
    return {
        f"{number:06}": Package(id=f"{number:06}", account="acme", minutes=minutes, purchased_at=at)
        for number, minutes in enumerate(sizes)
    }


@given(months(), catalogs())
def test_the_cheapest_choice_is_cheaper_than_all_before_it_and_as_cheap_as_all_after_it(
    month: Month, catalog: Catalog
) -> None:
    """Nothing bought stands before the packages, the set of several after them; nothing is the choice when none is
    marked."""
    estimated = month.estimated(catalog)
    totals = [estimated.pay_as_you_go, *(choice.total for choice in estimated.packages)]
    marked = [number for number, choice in enumerate(estimated.packages, start=1) if choice.cheapest]
    chosen = marked[0] if marked else 0
    assert len(marked) <= 1
    assert all(totals[chosen] < total for total in totals[:chosen])
    assert all(totals[chosen] <= total for total in totals[chosen:])


@settings(max_examples=SLOW_EXAMPLES)
@given(months(), st.sampled_from(sorted(builtin_policies())), st.randoms(use_true_random=False))
def test_the_order_of_the_kinds_changes_nothing(month: Month, policy: str, random: Random) -> None:
    """And two kinds that are alike are one with twice as many rooms."""
    version = builtin_policies()[policy].version_on(MONTH)
    planned = [kind.planned for kind in month.kinds]
    usage = usage_by_day(planned, version)
    assert usage_by_day(random.sample(planned, len(planned)), version) == usage
    twice = [replace(each, rooms_per_day=2 * each.rooms_per_day) for each in planned]
    assert usage_by_day(planned * 2, version) == usage_by_day(twice, version)
