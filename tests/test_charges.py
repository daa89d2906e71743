"""What a day costs: the published examples, recomputed from seconds to money."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from billing.catalog.contracts import unit_prices
from billing.catalog.items import WindowUsage
from billing.catalog.policies import builtin_policies
from billing.errors import BillingError
from billing.money import round_to_minor_unit
from billing.rating.charges import Charge, rate_day
from billing.rating.payers import Payer

APP = 1400000001


def prices_of(policy: str, currency: str) -> dict[str, Decimal]:
    return unit_prices(builtin_policies()[policy].version_on(date(2026, 3, 1)), currency, None)


def minutes_used(**minutes: int) -> list[WindowUsage]:
    """Minutes of use by item (`k2` is 2k) of all users together, in the day's first window."""
    return [WindowUsage(0, APP, {"k2": "2k"}.get(item, item), amount * 60) for item, amount in minutes.items()]


@pytest.mark.parametrize(
    ("policy", "currency", "usage", "amounts", "total"),
    [
        pytest.param(
            "trtc-intl",
            "USD",
            minutes_used(audio=60, hd=60, k2=240),
            ["0.0594", "0.2394", "3.8376"],
            "4.14",
            id="E01: a class of six users with a screen share, one hour",
        ),
        pytest.param(
            "trtc-cn", "CNY", minutes_used(audio=90), ["0.63"], "0.63", id="E05: three users, 30 min, no video"
        ),
        pytest.param(
            "trtc-intl", "USD", minutes_used(audio=90), ["0.0891"], "0.09", id="E05 under the international prices"
        ),
        pytest.param(
            "trtc-cn",
            "CNY",
            minutes_used(sd=30, fhd=30),
            ["0.42", "3.15"],
            "3.57",
            id="E06: 640x360 and more than 720p, 30 min",
        ),
        pytest.param(
            "trtc-cn",
            "CNY",
            minutes_used(sd=60, fhd=60),
            ["0.84", "6.3"],
            "7.14",
            id="E07: each stream is billed on its own",
        ),
        pytest.param(
            "trtc-cn",
            "CNY",
            minutes_used(sd=30, hd=30, fhd=30),
            ["0.42", "0.84", "3.15"],
            "4.41",
            id="E10: the resolution changes after 30 of 45 min",
        ),
    ],
)
def test_a_published_example_costs_what_was_published(
    policy: str, currency: str, usage: list[WindowUsage], amounts: list[str], total: str
) -> None:
    charges = rate_day(usage, [], prices_of(policy, currency)).charges
    assert [charge.amount for charge in charges] == [Decimal(amount) for amount in amounts]
    assert round_to_minor_unit(sum((charge.amount for charge in charges), Decimal(0)), currency) == Decimal(total)


def test_seconds_become_minutes_once_a_day_for_each_item() -> None:
    """E04: 59 s of audio and 61 s of video in one day, spread over windows, are 1 and 2 minutes."""
    usage = [
        WindowUsage(0, APP, "audio", 30),
        WindowUsage(300, APP, "audio", 29),
        WindowUsage(0, APP, "hd", 1),
        WindowUsage(86_100, APP, "hd", 60),
    ]
    charges = rate_day(usage, [], prices_of("trtc-intl", "USD")).charges
    assert [(charge.item, charge.seconds, charge.minutes) for charge in charges] == [("audio", 59, 1), ("hd", 61, 2)]


def test_minutes_are_never_rounded_over_several_apps() -> None:
    """59 s in each of two apps are one minute in each."""
    usage = [WindowUsage(0, app, "audio", 59) for app in (9, 3)]
    charges = rate_day(usage, [], prices_of("trtc-intl", "USD")).charges
    assert [(charge.app_id, charge.minutes) for charge in charges] == [(3, 1), (9, 1)]


def test_a_charge_shows_what_was_deducted_and_what_is_left_to_pay() -> None:
    """Ten HD minutes; 10 units pay two of them at ratio 4; eight remain at 0.00399."""
    payer = Payer(id="pkg", remaining=10, ratios={"hd": 4})
    rated = rate_day([WindowUsage(0, APP, "hd", 600)], [payer], prices_of("trtc-intl", "USD"))
    assert rated.charges == [
        Charge(
            app_id=APP,
            item="hd",
            seconds=600,
            minutes=10,
            deducted_minutes=2,
            payable_minutes=8,
            unit_price=Decimal("0.00399"),
            amount=Decimal("0.03192"),
        )
    ]
    assert [(row.payer_id, row.minutes, row.package_minutes) for row in rated.deductions] == [("pkg", 2, 8)]


def test_the_invoice_that_is_checked_by_hand_in_the_readme() -> None:
    """One hour of a class in twelve windows, with 130 units of free minutes left (billing/README.md)."""
    seconds = {"audio": 300, "hd": 300, "2k": 1200}
    usage = [WindowUsage(window * 300, APP, item, seconds[item]) for window in range(12) for item in seconds]
    version = builtin_policies()["trtc-intl"].version_on(date(2026, 3, 1))
    free = Payer(id="free-2026-03", remaining=130, ratios=version.free_ratios)
    rated = rate_day(usage, [free], prices_of("trtc-intl", "USD"))
    assert [(charge.minutes, charge.deducted_minutes, charge.payable_minutes) for charge in rated.charges] == [
        (60, 10, 50),
        (60, 6, 54),
        (240, 6, 234),
    ]
    assert [row.package_minutes for row in rated.deductions] == [5, 20, 96, 5, 4]
    assert sum(charge.amount for charge in rated.charges) == Decimal("4.00662")


def test_lines_come_by_app_and_item() -> None:
    usage = [WindowUsage(0, app, item, 60) for app in (2, 1) for item in ("4k", "hd", "2k", "audio", "fhd")]
    charges = rate_day(usage, [], prices_of("trtc-intl", "USD")).charges
    assert [(charge.app_id, charge.item) for charge in charges] == [
        (app, item) for app in (1, 2) for item in ("audio", "hd", "fhd", "2k", "4k")
    ]


def test_an_item_in_use_without_a_price_is_refused_even_when_a_package_would_pay_it() -> None:
    """Nothing is billed at zero by accident, and the message says which price to add where."""
    payer = Payer(id="pkg", remaining=100, ratios={"sd": 2})
    with pytest.raises(BillingError, match=r"app 1400000001 used 1 minutes of sd, which has no price.*contract"):
        rate_day([WindowUsage(0, APP, "sd", 60)], [payer], prices_of("trtc-intl", "USD"))


def test_amounts_stay_exact_when_they_are_huge() -> None:
    """10^12 minutes at the smallest price above zero."""
    usage = [WindowUsage(0, APP, "audio", 60 * 10**12)]
    [charge] = rate_day(usage, [], {"audio": Decimal("0.00000001")}).charges
    assert charge.amount == 10_000


def test_a_day_without_use_costs_nothing() -> None:
    rated = rate_day([], [Payer(id="pkg", remaining=100, ratios={"audio": 1})], {})
    assert (rated.charges, rated.deductions) == ([], [])


def test_a_charge_that_does_not_add_up_is_refused() -> None:
    (charge,) = rate_day([WindowUsage(0, 1, "hd", 120)], [], {"hd": Decimal("0.004")}).charges
    with pytest.raises(ValueError, match="payable minutes x unit price"):
        replace(charge, amount=Decimal("0.009"))
    with pytest.raises(ValueError, match="neither a package nor the customer"):
        replace(charge, deducted_minutes=1)
