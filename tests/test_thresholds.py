"""Thresholds: what they amount to, which periods are watched, and when they fire."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from billing.catalog.alerts import Alert
from billing.receivables.thresholds import (
    Crossing,
    amount_of,
    crossings,
    present_period,
    subject_of,
    watched_periods,
)


def alert(**changes: Any) -> Alert:
    given: dict[str, Any] = {"id": "budget", "account": "acme", "metric": "spend", "thresholds": ("80%",)}
    return Alert(**{**given, "limit": Decimal(500), **changes})


def fired(watched: Alert, *values: str) -> list[str]:
    """The events that one value after the other causes, with their thresholds."""
    last: dict[Decimal, str] = {}
    found = []
    for value in values:
        for crossing in crossings(watched, Decimal(value), last):
            last[crossing.amount] = crossing.event
            found.append(f"{value}: {crossing.threshold} {crossing.event}")
    return found


def test_a_percentage_is_one_of_the_limit() -> None:
    assert amount_of(alert(), "80%") == 400
    assert amount_of(alert(limit=Decimal("0.3")), "33.33%") == Decimal("0.09999")
    assert amount_of(alert(limit=None), "-12.50") == Decimal("-12.5")


def test_spend_fires_when_it_reaches_a_threshold_and_once() -> None:
    assert fired(alert(thresholds=("80%", "100%")), "390", "400", "380", "410", "499.99", "500", "1") == [
        "400: 80% fired",
        "500: 100% fired",
    ]


def test_a_jump_over_two_thresholds_fires_both() -> None:
    assert fired(alert(thresholds=("80%", "100%")), "900") == ["900: 80% fired", "900: 100% fired"]


@pytest.mark.parametrize("metric", ["balance", "package_remaining"])
def test_what_falls_fires_at_the_threshold_or_below_and_is_armed_above(metric: str) -> None:
    watched = alert(metric=metric, thresholds=("10",))
    assert fired(watched, "12", "10", "8", "10", "11", "9") == ["10: 10 fired", "11: 10 armed", "9: 10 fired"]


def test_another_amount_is_another_threshold_and_two_of_one_amount_are_one() -> None:
    before = {Decimal(400): "fired"}
    assert list(crossings(alert(limit=Decimal(510)), Decimal(450), before)) == [
        Crossing(threshold="80%", amount=Decimal(408), event="fired")
    ]
    assert list(crossings(alert(thresholds=("400",)), Decimal(450), before)) == []
    assert fired(alert(thresholds=("80%", "400", "400.0")), "400") == ["400: 80% fired"]


def test_an_alert_is_about_its_account_its_metric_its_app_and_its_package() -> None:
    assert subject_of(alert()) == "acme spend"
    assert subject_of(alert(app=7)) == "acme spend app 7"
    assert subject_of(alert(metric="package_remaining", package="p")) == "acme package_remaining package p"


def test_periods_are_local_days_and_months_and_balances_have_none() -> None:
    today = date(2026, 3, 1)
    month, day = present_period(alert(), today), present_period(alert(period="day"), today)
    assert (month.key, month.first, month.last) == ("2026-03", date(2026, 3, 1), date(2026, 3, 31))
    assert (day.key, day.first, day.last) == ("2026-03-01", today, today)
    assert present_period(alert(metric="balance"), today).key == ""


def test_a_period_is_watched_until_three_days_after_its_end() -> None:
    def keys(today: date, **changes: Any) -> list[str]:
        return [period.key for period in watched_periods(alert(**changes), today)]

    assert keys(date(2026, 4, 3)) == ["2026-03", "2026-04"]
    assert keys(date(2026, 4, 4)) == ["2026-04"]
    assert keys(date(2026, 3, 1), period="day") == ["2026-02-26", "2026-02-27", "2026-02-28", "2026-03-01"]
    assert keys(date(2026, 3, 1), metric="balance") == [""]
