"""The second engine bills what the first one does: every policy, with packages and a contract, day after day."""

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.catalog.catalog import Account, Catalog
from billing.catalog.contracts import Contract
from billing.catalog.items import FEES, WindowUsage
from billing.catalog.packages import Package
from billing.catalog.policies import policy_from_table, policy_source
from billing.catalog.terms import DayTerms, day_terms
from billing.money import to_scaled
from billing.rating.balances import Balances
from billing.rating.day import BilledDay
from billing.rating.span import DayUsage, bill_span
from billing.verify import day_bill
from billing.verify.day_bill import DayBill, MonthSoFar, bill_of, counted
from billing.verify.money import fees_on, free_payer, granted_to, slabs_on, sources_on
from billing.verify.policy_rules import rules_on

pytestmark = pytest.mark.thorough

FIRST = date(2026, 2, 26)
DAYS = 8
ITEMS = ("audio", "hd", "4k")
APPS = (1, 2)
ACCOUNT = Account(id="a", name="A", currency="USD", timezone="UTC", policy="p")
PRICES = ("0.99", "3.99", "7.12345", "0.00001", "30")

Usage = dict[int, dict[tuple[int, int, str], int]]


@st.composite
def services(draw: st.DrawFn) -> dict[str, Any]:
    """A value-added service, perhaps counted over a month and paid by free minutes."""
    return {
        "name": "recording",
        "items": [{"name": "audio"}, {"name": "hd"}],
        "period": draw(st.sampled_from(["day", "month"])),
        "free_ratios": draw(st.sampled_from([{}, {"audio": 1, "hd": 2}])),
        "price": {"USD": {"audio": "1.49", "hd": "5.99"}},
    }


@st.composite
def versions(draw: st.DrawFn) -> dict[str, Any]:
    """A version with a meter, as a file has it."""
    per = draw(st.sampled_from([["app", "item"], ["item"], ["app"], []]))
    weighed = {} if "item" in per else draw(st.dictionaries(st.sampled_from(ITEMS), st.integers(1, 4)))
    scopes = ["account", "app"] if "app" in per else ["account"]
    scope = draw(st.sampled_from(scopes))
    ratios = st.fixed_dictionaries({item: st.integers(1, 4) for item in ITEMS})
    price: dict[str, Any] = {item: draw(st.sampled_from(PRICES)) for item in ITEMS}
    if tops := sorted(draw(st.sets(st.integers(1, 40), max_size=3))):
        discounts = [draw(st.sampled_from(["1", "0.95", "0.333"])) for _ in (*tops, None)]
        price["ladder"] = [{"discount": each, "upto": top} for each, top in zip(discounts, tops, strict=False)]
        price["ladder"].append(draw(st.sampled_from([{"discount": "0.9"}, {"price": "2.5"}])))
    order = "time" if scope == "app" else draw(st.sampled_from(["time", "items"]))
    is_plain = order == "time" and "item" in per and all("price" not in slab for slab in price.get("ladder", ()))
    return {
        "valid_from": "2026-01-01",
        "service": [draw(services())] if is_plain else [],
        "meter": [{"items": [{"name": "audio"}, {"name": "hd", "top": 921_600}, {"name": "4k"}]}],
        "quantity": {
            "period": draw(st.sampled_from(["day", "month", "month"])),
            "step": draw(st.sampled_from([1, 6, 60])),
            "mode": draw(st.sampled_from(["up", "down", "exact"])),
            "per": per,
            "weights": weighed,
        },
        "ratios": draw(ratios),
        "allowance": [
            {
                "amount": draw(st.integers(0, 60)),
                "scope": scope,
                "ratios": draw(st.just({}) | ratios),
                "order": order,
            }
        ],
        "price": {"USD": price},
        "fee": draw(st.sampled_from([{}, {"USD": {"base": "0.5"}}, {"USD": {"base": "0.01", "minimum": "0.2"}}])),
    }


@st.composite
def usages(draw: st.DrawFn, items: Sequence[str]) -> Usage:
    """Seconds of some windows of some days, by day."""
    places = st.tuples(st.integers(0, 2), st.sampled_from(APPS), st.sampled_from(items))
    found: Usage = {}
    for day in draw(st.lists(st.integers(0, DAYS - 1), unique=True, max_size=5)):
        drawn = draw(st.dictionaries(places, st.integers(1, 900), min_size=1, max_size=5))
        start = int(datetime.combine(FIRST + timedelta(days=day), datetime.min.time(), UTC).timestamp())
        found[day] = {(start + window * 300, app, item): count for (window, app, item), count in drawn.items()}
    return found


packages = st.lists(st.tuples(st.sampled_from([None, 1, 2]), st.integers(1, 40), st.integers(0, DAYS)), max_size=2)
contracts = st.none() | st.tuples(
    st.sampled_from([None, "0.85"]), st.dictionaries(st.sampled_from(ITEMS), st.sampled_from(PRICES))
)


def catalog_of(bought: list[tuple[int | None, int, int]], agreed: tuple[str | None, dict[str, str]] | None) -> Catalog:
    """The catalog of the first engine."""
    contract = None
    if agreed:
        prices = {item: Decimal(price) for item, price in agreed[1].items()}
        discount = Decimal(agreed[0]) if agreed[0] else None
        contract = Contract(account="a", valid_from=FIRST + timedelta(days=2), discount=discount, prices=prices)
    return Catalog(
        accounts={"a": ACCOUNT},
        packages={
            f"p{number}": Package(
                id=f"p{number}",
                account="a",
                app=app,
                minutes=minutes,
                purchased_at=datetime.combine(FIRST + timedelta(days=day - 1), datetime.min.time(), UTC),
                term="month",
            )
            for number, (app, minutes, day) in enumerate(bought)
        },
        contracts={("a", contract.valid_from): contract} if contract else {},
    )


def plain(catalog: Catalog) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Its packages and contracts, as the second engine reads them."""
    packages = [
        {
            "id": each.id,
            "app": each.app,
            "minutes": each.minutes,
            "term": each.term,
            "purchased_at": each.purchased_at.isoformat(),
        }
        for each in catalog.packages.values()
    ]
    contracts = [
        {
            "valid_from": each.valid_from.isoformat(),
            "discount": None if each.discount is None else str(each.discount),
            "prices": {item: str(price) for item, price in each.prices.items()},
        }
        for each in catalog.contracts.values()
    ]
    return packages, contracts


def second_bill(
    terms: DayTerms, catalog: Catalog, windows: dict[tuple[int, int, str], int], before: Balances, so_far: MonthSoFar
) -> DayBill:
    """A day, with what the first engine had left of packages and free minutes before it."""
    rules = rules_on(json.loads(policy_source(terms.policy)), terms.day)
    assert rules is not None
    packages, contracts = plain(catalog)
    granted = {each["id"]: each["minutes"] for each in packages} | dict(before.granted)
    if terms.free_minutes:
        granted.setdefault(free_payer(terms.day), terms.free_minutes)
    apps = {app for _, app, _ in counted(windows, rules.unit)}
    payers = {*granted, *(free_payer(terms.day, app) for app in apps)}
    left = {
        each: granted_to(each, granted) - before.deducted.get(each, 0) - before.lapsed.get(each, 0) for each in payers
    }
    sources = sources_on(terms.day, rules, packages, ZoneInfo("UTC"), left, apps)
    slabs = slabs_on(rules, "USD", contracts, terms.day)
    day = day_bill.DayTerms(terms.day, rules, sources, slabs, fees_on(rules, "USD"))
    return bill_of(day, windows, so_far.at(terms.day, terms.policy.id))


def assert_alike(first: BilledDay, second: DayBill) -> None:
    assert {(each.window_start, each.app_id, each.item, each.payer_id): (each.minutes, each.package_minutes)
            for each in first.deductions} == second.paid  # fmt: skip
    charges = {
        (each.app_id, each.item, each.slab): (
            *(each.seconds, each.minutes, each.deducted_minutes, each.payable_minutes),
            to_scaled(each.amount),
        )
        for each in first.charges
        if each.item not in FEES
    }
    assert charges == {key: tuple(each) for key, each in second.charges.items()}
    assert {each.item: to_scaled(each.amount) for each in first.charges if each.item in FEES} == second.fees


@given(st.data(), versions(), packages, contracts)
def test_both_engines_bill_alike_day_after_day(
    data: st.DataObject,
    version: dict[str, Any],
    bought: list[tuple[int | None, int, int]],
    agreed: tuple[str | None, dict[str, str]] | None,
) -> None:
    """Over the end of a month, and with a contract that begins on the third day."""
    used = data.draw(usages((*ITEMS, "recording:audio", "recording:hd") if version["service"] else ITEMS))
    policy = policy_from_table({"id": "p", "name": "P", "version": [version]})
    catalog, balances, so_far = catalog_of(bought, agreed), Balances(), MonthSoFar()
    for number in range(DAYS):
        day, windows = FIRST + timedelta(days=number), used.get(number, {})
        terms = day_terms(catalog, ACCOUNT, ZoneInfo("UTC"), day, policy=policy, free_minutes=None)
        usage = [WindowUsage(*key, count) for key, count in windows.items()]
        (first,) = bill_span([DayUsage(terms=terms, usage=usage)], balances)
        second = second_bill(terms, catalog, windows, balances, so_far)
        assert_alike(first, second)
        balances, so_far = first.balances, second.so_far
