"""When a package is valid, and in which order packages pay."""

from datetime import date, datetime
from decimal import Decimal
from itertools import permutations
from typing import Literal

import pytest

from billing.catalog.packages import Package, Payer, free_minutes_id, payers_on, valid_days
from billing.periods import parse_instant, time_zone

UTC, TOKYO, NEW_YORK = time_zone("UTC"), time_zone("Asia/Tokyo"), time_zone("America/New_York")
RATIOS = {"audio": 1, "hd": 4}


def package(
    name: str = "pkg",
    bought: str = "2026-03-01T12:00:00+00:00",
    term: Literal["year", "month"] = "year",
    app: int | None = None,
    minutes: int = 100,
) -> Package:
    purchased_at = parse_instant(bought)
    return Package(
        id=name, account="acme", app=app, minutes=minutes, purchased_at=purchased_at, price=Decimal(1), term=term
    )


def order(*packages: Package, day: date = date(2026, 3, 1), free: Payer | None = None) -> list[str]:
    payers = payers_on(day, UTC, free=free, packages=packages, used={}, ratios=RATIOS)
    return [payer.id for payer in payers]


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


def test_a_package_pays_for_the_whole_day_of_its_purchase_and_never_for_the_day_before() -> None:
    """Bought at 18:00."""
    bought = package(bought="2026-03-10T18:00:00+00:00")
    assert order(bought, day=date(2026, 3, 9)) == []
    assert order(bought, day=date(2026, 3, 10)) == ["pkg"]


def test_a_package_pays_on_its_last_day_and_not_after_it() -> None:
    bought = package(bought="2025-03-10T18:00:00+00:00")
    assert order(bought, day=date(2026, 3, 31)) == ["pkg"]
    assert order(bought, day=date(2026, 4, 1)) == []


def test_payers_stand_in_a_total_order_whatever_the_order_of_the_catalog() -> None:
    """Free minutes; one app before the account; earliest expiry; earliest purchase; id."""
    free = Payer(id="free-2026-03", remaining=10, ratios=RATIOS)
    packages = [
        package("z-app-late", bought="2026-03-01T12:00:00+00:00", app=7),
        package("z-app-early", bought="2025-06-01T12:00:00+00:00", app=7),
        package("month", bought="2026-03-01T12:00:00+00:00", term="month"),
        package("b", bought="2026-03-01T09:00:00+00:00"),
        package("a", bought="2026-03-01T10:00:00+00:00"),
        package("c", bought="2026-03-01T19:00:00+09:00"),
    ]
    expected = ["free-2026-03", "z-app-early", "z-app-late", "month", "b", "a", "c"]
    assert all(order(*shuffled, free=free) == expected for shuffled in permutations(packages))


def test_the_earlier_purchase_pays_first_among_packages_of_one_expiry() -> None:
    """Both end with 2027-03-31; the second was bought on another day of the same month."""
    assert order(package("a", bought="2026-03-20T00:00:00+00:00"), package("b"), day=date(2026, 3, 21)) == ["b", "a"]


def test_what_earlier_days_took_is_no_longer_there() -> None:
    """100 bought, 60 used: 40 remain; a package used up does not appear."""
    packages = [package("half"), package("empty")]
    payers = payers_on(
        date(2026, 3, 2), UTC, free=None, packages=packages, used={"half": 60, "empty": 100}, ratios=RATIOS
    )
    assert payers == [Payer(id="half", app=None, remaining=40, ratios=RATIOS)]


def test_a_package_pays_to_its_last_unit() -> None:
    """100 bought: nobody has used any, 99 are used, all are used."""
    of = {
        used: payers_on(date(2026, 3, 2), UTC, free=None, packages=[package()], used=used_by, ratios=RATIOS)
        for used, used_by in ((0, {}), (99, {"pkg": 99}), (100, {"pkg": 100}))
    }
    assert {used: [payer.remaining for payer in payers] for used, payers in of.items()} == {0: [100], 99: [1], 100: []}


def test_used_up_free_minutes_do_not_appear() -> None:
    assert order(free=Payer(id="free-2026-03", remaining=0, ratios=RATIOS)) == []


def test_free_minutes_are_named_by_their_month() -> None:
    assert free_minutes_id(date(2026, 3, 31)) == "free-2026-03"
    assert free_minutes_id(date(2026, 4, 1)) == "free-2026-04"


def test_a_package_without_a_time_zone_of_purchase_cannot_be() -> None:
    """A local time would date it by the machine it is billed on."""
    with pytest.raises(ValueError, match="offset"):
        Package(id="pkg", account="acme", minutes=1, purchased_at=datetime(2026, 3, 1))  # noqa: DTZ001
