"""In which order packages pay, and with how much."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from itertools import permutations

from billing.catalog.packages import Package
from billing.catalog.policies import builtin_policies
from billing.catalog.terms import DayTerms
from billing.periods import time_zone
from billing.rating.payers import Payer, payers_on
from tests.package_facts import package

RATIOS, FREE_RATIOS = {"audio": 1, "hd": 4}, {"audio": 1, "hd": 1}


def paying(packages: Sequence[Package], day: date, remaining: dict[str, int]) -> list[Payer]:
    policy = builtin_policies()["trtc-intl"]
    version = replace(policy.versions[0], ratios=RATIOS, free_ratios=FREE_RATIOS)
    terms = DayTerms(
        day=day,
        zone=time_zone("UTC"),
        policy=policy,
        version=version,
        prices={},
        list_prices={},
        free_minutes=10_000,
        packages=packages,
    )
    return payers_on(terms, remaining)


def order(*packages: Package, day: date = date(2026, 3, 1), free_minutes: int = 0) -> list[str]:
    remaining = {each.id: each.minutes for each in packages} | {"free-2026-03": free_minutes}
    return [payer.id for payer in paying(packages, day, remaining)]


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
    packages = [
        package("z-app-late", bought="2026-03-01T12:00:00+00:00", app=7),
        package("z-app-early", bought="2025-06-01T12:00:00+00:00", app=7),
        package("month", bought="2026-03-01T12:00:00+00:00", term="month"),
        package("b", bought="2026-03-01T09:00:00+00:00"),
        package("a", bought="2026-03-01T10:00:00+00:00"),
        package("c", bought="2026-03-01T19:00:00+09:00"),
    ]
    expected = ["free-2026-03", "z-app-early", "z-app-late", "month", "b", "a", "c"]
    assert all(order(*shuffled, free_minutes=10) == expected for shuffled in permutations(packages))


def test_the_earlier_purchase_pays_first_among_packages_of_one_expiry() -> None:
    """Both end with 2027-03-31; the second was bought on another day of the same month."""
    assert order(package("a", bought="2026-03-20T00:00:00+00:00"), package("b"), day=date(2026, 3, 21)) == ["b", "a"]


def test_what_earlier_days_took_is_no_longer_there() -> None:
    """100 bought, 60 used: 40 remain; a package used up does not appear."""
    payers = paying([package("half"), package("empty")], date(2026, 3, 2), {"half": 40, "empty": 0})
    assert payers == [Payer(id="half", app=None, remaining=40, ratios=RATIOS)]


def test_a_package_pays_to_its_last_minute() -> None:
    """100 bought: nobody has used any, 99 are used, all are used."""
    left = {remaining: paying([package()], date(2026, 3, 2), {"pkg": remaining}) for remaining in (100, 1, 0)}
    assert {remaining: [payer.remaining for payer in payers] for remaining, payers in left.items()} == {
        100: [100],
        1: [1],
        0: [],
    }


def test_free_minutes_are_taken_at_ratios_of_their_own() -> None:
    """They pay for the whole account."""
    free, bought = paying([package(app=7)], date(2026, 3, 2), {"free-2026-03": 3, "pkg": 100})
    assert free == Payer(id="free-2026-03", app=None, remaining=3, ratios=FREE_RATIOS)
    assert bought == Payer(id="pkg", app=7, remaining=100, ratios=RATIOS)


def test_used_up_free_minutes_do_not_appear() -> None:
    assert order(free_minutes=0) == []
