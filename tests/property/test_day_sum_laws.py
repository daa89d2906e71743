"""The law of day sums: a day billed by its sums, with windows read only where a payer runs out, has the bill of all its
windows."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from billing.catalog.items import WindowUsage
from billing.catalog.packages import Package
from billing.rating.balances import Balances
from billing.rating.charges import rate_day
from billing.rating.day_sums import DayWindows, in_stretches
from billing.rating.payers import Payer
from billing.rating.span import DayUsage
from billing.reports.assumed_packages import HistorySpan, of_all_apps
from billing.reports.estimate import tariff_of_policy
from tests.property.test_rating_laws import PRICES, days, payer_lists

END = 6 * 300


def windows_of(usage: Sequence[WindowUsage]) -> DayWindows:
    """The windows of a day of half an hour."""

    def sums(start: int, end: int) -> list[WindowUsage]:
        seconds: Counter[tuple[int, str]] = Counter()
        for row in usage:
            if start <= row.window_start < end:
                seconds[row.app_id, row.item] += row.seconds
        return [WindowUsage(start, app_id, item, total) for (app_id, item), total in seconds.items()]

    return DayWindows(start=0, end=END, whole=sums(0, END), sums=sums)


@given(days(), payer_lists())
def test_a_day_by_its_sums_costs_what_its_windows_cost(usage: list[WindowUsage], payers: list[Payer]) -> None:
    """The same charges, and of each payer the same minutes of each app and item."""
    windows = windows_of(usage)
    by_sums = rate_day(in_stretches(windows.whole, windows, payers), payers, PRICES)
    by_windows = rate_day(usage, payers, PRICES)
    assert by_sums.charges == by_windows.charges
    paid = []
    for rated in (by_sums, by_windows):
        minutes: Counter[tuple[int, str, str]] = Counter()
        for each in rated.deductions:
            minutes[each.app_id, each.item, each.payer_id] += each.minutes
        paid.append(minutes)
    assert paid[0] == paid[1]


@given(days(), st.lists(st.integers(1, 60), max_size=4), st.integers(0, 20))
def test_a_search_over_all_apps_sees_the_amount_of_the_bill_by_app(
    usage: list[WindowUsage], sizes: list[int], free_minutes: int
) -> None:
    """With minutes of all apps together, and apps apart only in the window where a payer runs out."""
    noon = datetime(2026, 3, 10, 12, tzinfo=UTC)
    terms = replace(tariff_of_policy("trtc-cn", noon).terms, free_minutes=free_minutes)
    usage = [row._replace(item="fhd" if row.item in ("2k", "4k") else row.item) for row in usage]
    usage = [WindowUsage(*key, seconds) for key, seconds in _sums(usage).items()]
    packages = [
        Package(id=f"{number}", account="a", minutes=minutes, purchased_at=noon) for number, minutes in enumerate(sizes)
    ]
    plain = HistorySpan(days=[DayUsage(terms=terms, usage=usage)], balances=Balances()).with_packages(packages)
    windows = windows_of(usage)
    by_sums = HistorySpan(
        days=[DayUsage(terms=terms, usage=windows.whole, windows=windows)], balances=Balances()
    ).with_packages(packages)
    assert of_all_apps(by_sums).amount() == by_sums.amount() == plain.amount()


def _sums(usage: Sequence[WindowUsage]) -> Counter[tuple[int, int, str]]:
    seconds: Counter[tuple[int, int, str]] = Counter()
    for start, app_id, item, used in usage:
        seconds[start, app_id, item] += used
    return seconds
