"""Laws of policies that count over a month: whatever the days are, and in whatever order events come, they charge what
the whole month costs."""

from collections import Counter
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal, localcontext
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from billing.catalog.items import WindowUsage
from billing.catalog.policies import Policy, builtin_policies
from billing.catalog.quantities import Quantity, Slab
from billing.catalog.terms import DayTerms
from billing.money import EXACT
from billing.rating.balances import Balances
from billing.rating.day import BilledDay
from billing.rating.day_sums import DayWindows
from billing.rating.span import DayUsage, bill_span
from tests.oracle_policies import month_charge

MONTH = date(2026, 3, 1)
ITEMS = ("audio", "hd", "fhd", "2k", "4k")
AGORA = builtin_policies()["agora-2025"]
PRICES = {item: Decimal(number).scaleb(-5) for item, number in zip(ITEMS, (99, 399, 899, 1599, 3599), strict=True)}
ONE_PRICE = dict.fromkeys(ITEMS, Decimal("0.00099"))

Used = dict[int, list[WindowUsage]]


@st.composite
def months(draw: st.DrawFn) -> Used:
    """Seconds of some windows of the days of a month, by day."""
    days = draw(st.lists(st.integers(0, 30), unique=True, max_size=5))
    found: Used = {}
    for day in days:
        places = draw(
            st.lists(
                st.tuples(st.integers(0, 3), st.integers(1, 2), st.sampled_from(ITEMS)),
                unique=True,
                min_size=1,
                max_size=5,
            )
        )
        found[day] = [
            WindowUsage((day * 288 + window) * 300, app, item, draw(st.integers(1, 900)))
            for window, app, item in places
        ]
    return found


@st.composite
def rules(draw: st.DrawFn) -> tuple[Quantity, int, list[int]]:
    """How seconds are counted, the free minutes of the month, and the tops of the slabs."""
    per = draw(st.sampled_from([("app", "item"), ("item",), ("app",), ()]))
    weights = {} if "item" in per else draw(st.dictionaries(st.sampled_from(ITEMS), st.integers(1, 4)))
    mode = draw(st.sampled_from(["up", "down", "exact"]))
    quantity = Quantity(period="month", step=draw(st.sampled_from([1, 6, 60])), mode=mode, per=per, weights=weights)
    return quantity, draw(st.integers(0, 40)), sorted(draw(st.sets(st.integers(1, 60), max_size=3)))


def policy_of(quantity: Quantity, tops: list[int]) -> Policy:
    """Agora with other numbers; each slab costs 10 % less than the one before."""
    (version,) = AGORA.versions
    slabs = [Slab(upto=top, discount=Decimal(10 - n) / 10) for n, top in enumerate([*tops, None])]
    return replace(AGORA, versions=(replace(version, quantity=quantity, slabs={"USD": tuple(slabs)}),))


def terms_of(day: int, quantity: Quantity, free: int, tops: list[int]) -> DayTerms:
    policy = policy_of(quantity, tops)
    prices = PRICES if "item" in quantity.per else ONE_PRICE
    ladder = tuple(
        (top, {item: price * (10 - n) / 10 for item, price in prices.items()}) for n, top in enumerate([*tops, None])
    )
    return DayTerms(
        day=MONTH + timedelta(days=day),
        zone=ZoneInfo("UTC"),
        policy=policy,
        version=policy.versions[0],
        prices=ladder[0][1],
        list_prices=ladder[0][1],
        free_minutes=free,
        packages=[],
        ladder=ladder,
    )


def billed(used: Used, rule: tuple[Quantity, int, list[int]]) -> list[BilledDay]:
    days = [DayUsage(terms=terms_of(day, *rule), usage=used.get(day, ())) for day in range(31)]
    return list(bill_span(days, Balances()))


def _no_part(start: int, end: int) -> list[WindowUsage]:
    raise AssertionError(f"nobody asked for a part from {start} to {end}")


def total(bills: list[BilledDay]) -> Decimal:
    with localcontext(EXACT):
        return sum((charge.amount for bill in bills for charge in bill.charges), Decimal(0))


@given(months(), rules())
def test_the_days_of_a_month_charge_what_the_month_costs(used: Used, rule: tuple[Quantity, int, list[int]]) -> None:
    """C(after) - C(before), summed over the days, is C of the month."""
    quantity, free, tops = rule
    seconds: Counter[tuple[int, str]] = Counter()
    for of_day in used.values():
        for _, app, item, taken in of_day:
            seconds[app, item] += taken
    prices = PRICES if "item" in quantity.per else ONE_PRICE
    units, amount = month_charge(
        seconds,
        step=quantity.step,
        mode=quantity.mode,
        per=quantity.per,
        weights=quantity.weights,
        free=free,
        ladder=[
            (top, {item: price * (10 - n) / 10 for item, price in prices.items()})
            for n, top in enumerate([*tops, None])
        ],
    )
    bills = billed(used, rule)
    assert sum(charge.minutes for bill in bills for charge in bill.charges) == units
    assert total(bills) == amount
    paid_free = sum(each.minutes for bill in bills for each in bill.deductions)
    assert paid_free == min(free, units)


@given(months(), rules())
def test_it_does_not_matter_on_which_days_a_month_is_used(used: Used, rule: tuple[Quantity, int, list[int]]) -> None:
    """All on the first day, or all on the last, costs the same."""
    everything = [row for of_day in used.values() for row in of_day]
    assert total(billed({0: everything}, rule)) == total(billed(used, rule)) == total(billed({30: everything}, rule))


@given(months(), rules())
def test_what_a_day_charges_does_not_depend_on_its_windows(used: Used, rule: tuple[Quantity, int, list[int]]) -> None:
    """Where no package pays, a day billed by its sums has the same charges as by its windows."""
    by_windows = billed(used, rule)
    days = []
    for day in range(31):
        sums: Counter[tuple[int, str]] = Counter()
        for _, app, item, taken in used.get(day, ()):
            sums[app, item] += taken
        start = day * 288 * 300
        whole = [WindowUsage(start, app, item, taken) for (app, item), taken in sums.items()]
        windows = DayWindows(start=start, end=start + 86_400, whole=whole, sums=_no_part)
        days.append(DayUsage(terms=terms_of(day, *rule), usage=whole, windows=windows))
    for one, other in zip(by_windows, bill_span(days, Balances()), strict=True):
        assert list(one.charges) == list(other.charges)
