"""When a package is valid."""

from datetime import date, datetime
from typing import Literal

import pytest

from billing.catalog.packages import Package, free_minutes_id, is_free_minutes, valid_days
from billing.periods import time_zone
from tests.package_facts import package

UTC, TOKYO, NEW_YORK = time_zone("UTC"), time_zone("Asia/Tokyo"), time_zone("America/New_York")


@pytest.mark.parametrize(
    ("bought", "term", "last"),
    [
        ("2020-05-01", "year", "2021-05-31"),
        ("2020-05-31", "year", "2021-05-31"),
        ("2024-02-29", "year", "2025-02-28"),
        ("2023-02-10", "year", "2024-02-29"),
        ("2026-12-31", "year", "2027-12-31"),
        ("2026-03-01", "month", "2026-03-31"),
        ("2026-03-15", "month", "2026-04-14"),
        ("2026-01-31", "month", "2026-02-27"),
        ("2024-01-31", "month", "2024-02-28"),
        ("2026-01-29", "month", "2026-02-27"),
        ("2024-01-29", "month", "2024-02-28"),
        ("2026-01-28", "month", "2026-02-27"),
        ("2024-02-29", "month", "2024-03-28"),
        ("2026-03-31", "month", "2026-04-29"),
        ("2026-12-31", "month", "2027-01-30"),
        ("2026-12-01", "month", "2026-12-31"),
    ],
)
def test_the_last_day_follows_from_the_day_of_purchase(bought: str, term: Literal["year", "month"], last: str) -> None:
    first_day, last_day = valid_days(package(bought=f"{bought}T18:00:00+00:00", term=term), UTC)
    assert (str(first_day), str(last_day)) == (bought, last)


def test_the_day_of_purchase_is_the_one_in_the_accounts_time_zone() -> None:
    """Bought on 2026-04-01 at 08:00 in Tokyo: still March in New York, and valid a month less there."""
    bought = package(bought="2026-04-01T08:00:00+09:00")
    assert valid_days(bought, TOKYO) == (date(2026, 4, 1), date(2027, 4, 30))
    assert valid_days(bought, NEW_YORK) == (date(2026, 3, 31), date(2027, 3, 31))


def test_free_minutes_are_named_by_their_month() -> None:
    assert free_minutes_id(date(2026, 3, 31)) == "free-2026-03"
    assert free_minutes_id(date(2026, 4, 1)) == "free-2026-04"


def test_a_package_without_a_time_zone_of_purchase_cannot_be() -> None:
    """A local time would date it by the machine it is billed on."""
    with pytest.raises(ValueError, match="offset"):
        Package(id="pkg", account="acme", minutes=1, purchased_at=datetime(2026, 3, 1))  # noqa: DTZ001


def test_free_minutes_are_told_from_a_package_by_the_month_in_their_id() -> None:
    assert is_free_minutes(free_minutes_id(date(2026, 3, 1)))
    for package_id in ("free-trial", "free-2026", "free-2026-03-b", "free-2026-0\uff13", "Free-2026-03", "free"):
        assert not is_free_minutes(package_id)
