"""Value-added services: what their minutes cost, and who pays them."""

from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.catalog.catalog import Account, Catalog
from billing.catalog.items import SERVICE_ITEMS, SERVICES, WindowUsage
from billing.catalog.packages import Package
from billing.catalog.policies import (
    Policy,
    builtin_policies,
    policies_with_services,
    policy_from_source,
    policy_source,
    policy_table,
)
from billing.catalog.reading import read_catalog
from billing.catalog.terms import DayTerms, day_terms
from billing.errors import BillingError
from billing.rating.balances import Balances
from billing.rating.day import BilledDay, bill_day
from tests.service_facts import HOUSE

APP = 1400000001
UTC = ZoneInfo("UTC")
DAY = date(2026, 3, 10)
MIDNIGHT = 1773100800
PUBLISHED = {"recording:audio": 15_000, "recording:hd": 3_500, "recording:fhd": 1_800, "recording:4k": 540}


def terms(
    *, policy: Policy | None = None, free_minutes: int = 0, packages: list[Package] | None = None, day: date = DAY
) -> DayTerms:
    account = Account(id="acme", name="Acme", currency="USD", timezone="UTC", policy="trtc-intl")
    catalog = Catalog(packages={package.id: package for package in packages or ()})
    rules = policy or policies_with_services()["trtc-intl"]
    return day_terms(catalog, account, UTC, day, policy=rules, free_minutes=free_minutes)


def usage(seconds: dict[str, int], window: int = 0) -> list[WindowUsage]:
    return [WindowUsage(MIDNIGHT + 300 * window, APP, item, used) for item, used in seconds.items()]


def amount(billed: BilledDay) -> Decimal:
    return sum((charge.amount for charge in billed.charges), Decimal(0))


def test_the_published_recording_costs_1_62() -> None:
    """15,000 s audio, 3,500 s HD, 1,800 s FHD and 540 s above 2K: 250, 59, 30 and 9 minutes."""
    billed = bill_day(terms(), usage(PUBLISHED), Balances())
    assert [(charge.item, charge.minutes, charge.amount) for charge in billed.charges] == [
        ("recording:audio", 250, Decimal("0.37250000")),
        ("recording:hd", 59, Decimal("0.35341000")),
        ("recording:fhd", 30, Decimal("0.40470000")),
        ("recording:4k", 9, Decimal("0.48591000")),
    ]
    assert amount(billed) == Decimal("1.61652")


def test_two_mixes_of_ten_minutes_in_2k_cost_twenty_minutes() -> None:
    assert amount(bill_day(terms(), usage({"mix-h264:2k": 1_200}), Balances())) == Decimal("0.5198")


def test_free_minutes_pay_recording_at_ratios_and_packages_do_not() -> None:
    """59 minutes of HD take 236 free minutes; mixing is paid by neither."""
    package = Package(id="pkg", account="acme", minutes=25_000, purchased_at=datetime(2026, 3, 1, tzinfo=UTC))
    seconds = {"audio": 60, "recording:hd": 3_500, "mix-h264:hd": 60}
    billed = bill_day(terms(free_minutes=200, packages=[package]), usage(seconds), Balances())
    paid = {(each.item, each.payer_id): (each.minutes, each.package_minutes) for each in billed.deductions}
    assert paid == {("audio", "free-2026-03"): (1, 1), ("recording:hd", "free-2026-03"): (49, 196)}
    assert {charge.item: charge.payable_minutes for charge in billed.charges} == {
        "audio": 0,
        "recording:hd": 10,
        "mix-h264:hd": 1,
    }


def test_the_base_minutes_of_a_day_cost_what_they_cost_without_services() -> None:
    package = Package(id="pkg", account="acme", minutes=300, purchased_at=datetime(2026, 3, 1, tzinfo=UTC))
    base = usage({"audio": 5_000, "hd": 9_000})
    alone = bill_day(terms(packages=[package]), base, Balances())
    beside = bill_day(terms(packages=[package]), [*base, *usage(PUBLISHED)], Balances())
    assert [each for each in beside.charges if each.item not in SERVICE_ITEMS] == list(alone.charges)
    assert beside.deductions == alone.deductions


def house() -> Policy:
    import tomllib

    return read_catalog(tomllib.loads(HOUSE), "house.toml").policies["house"]


@given(seconds=st.lists(st.integers(0, 5_000), min_size=1, max_size=20))
def test_a_service_that_is_rounded_once_a_month_is_charged_what_its_month_makes(seconds: list[int]) -> None:
    """The minutes of users beside it are those of each day."""
    balances, minutes = Balances(), {"recording:hd": 0, "hd": 0}
    for number, used in enumerate(seconds):
        day = terms(policy=house(), day=date(2026, 3, 1 + number))
        billed = bill_day(day, usage({"recording:hd": used, "hd": used} if used else {}), balances)
        balances = billed.balances
        for charge in billed.charges:
            minutes[charge.item] += charge.minutes
    assert minutes == {"recording:hd": -(-sum(seconds) // 60), "hd": sum(-(-used // 60) for used in seconds)}


def test_a_policy_with_services_is_read_back_as_it_is() -> None:
    for policy in (house(), policies_with_services()["trtc-intl"]):
        assert policy_from_source(policy_source(policy)) == policy


def test_services_come_beside_a_policy_whose_own_hash_stays() -> None:
    alone, beside = builtin_policies()["trtc-intl"], policies_with_services()["trtc-intl"]
    assert replace(beside, versions=tuple(replace(version, services=()) for version in beside.versions)) == alone
    assert [service.name for service in beside.version_on(DAY).services] == list(SERVICES)
    assert policies_with_services()["trtc-cn"] == builtin_policies()["trtc-cn"]


def test_the_services_beside_would_pass_in_a_policy_of_ones_own() -> None:
    """They are not checked when they are loaded."""
    for policy in policies_with_services().values():
        table = {**policy_table(policy), "id": "own"}
        assert read_catalog({"policy": [table]}, "own.toml").policies["own"] == replace(policy, id="own")


def test_a_service_without_a_price_in_the_currency_is_named() -> None:
    rules = terms()
    priceless = replace(rules, prices={item: price for item, price in rules.prices.items() if item != "recording:hd"})
    with pytest.raises(BillingError, match="used 1 minutes of recording:hd, which has no price"):
        bill_day(priceless, usage({"recording:hd": 60}), Balances())


@pytest.mark.parametrize(
    ("said", "instead", "problem"),
    [
        ('name = "recording"', 'name = "recordin"', "unknown service 'recordin'; did you mean 'recording'?"),
        ('hd = "5.99"', '"2k" = "5.99"', "price.USD: hd is missing"),
        ('{ name = "audio" }, { name = "hd" }]\nperiod', '{ name = "audio" }]\nperiod', "at least one item of video"),
        ('period = "month"', 'period = "year"', "period"),
        (
            "[[policy.version.service]]",
            '[policy.version.quantity]\nper = ["item"]\n[[policy.version.service]]',
            "per app",
        ),
    ],
)
def test_what_does_not_fit_in_a_service_is_said(said: str, instead: str, problem: str) -> None:
    import tomllib

    with pytest.raises(BillingError) as raised:
        read_catalog(tomllib.loads(HOUSE.replace(said, instead)), "house.toml")
    assert problem in str(raised.value)
