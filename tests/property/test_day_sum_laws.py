"""The law of day sums: a day billed by its sums, with windows read only where a payer runs out, has the bill of all its
windows."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from billing.catalog.items import WindowUsage
from billing.catalog.packages import Package
from billing.catalog.quantities import DAILY
from billing.rating.balances import Balances
from billing.rating.charges import RatedDay, rate_day
from billing.rating.day_sums import in_stretches
from billing.rating.payers import Payer
from billing.rating.span import DayUsage
from billing.reports.assumed_packages import HistorySpan, of_all_apps
from billing.reports.day_seconds import DaySeconds
from billing.reports.estimate import tariff_of_policy
from tests.property.test_rating_laws import PRICES, days, payer_lists

END = 6 * 300


def seconds_of(usage: Sequence[WindowUsage], sample: Mapping[int, int]) -> DaySeconds:
    """A day of half an hour, of which the parts are summed when they are asked for."""

    def read(start: int, end: int) -> Counter[tuple[int, str]]:
        seconds: Counter[tuple[int, str]] = Counter()
        for row in usage:
            if start <= row.window_start < end:
                seconds[row.app_id, row.item] += row.seconds
        return seconds

    return DaySeconds(start=0, end=END, whole=read(0, END), quantity=DAILY, read=read, sample=lambda: sample)


# What a sample says need not be true.
SAMPLES = st.dictionaries(st.integers(0, END // 300 - 1).map(lambda number: 300 * number), st.integers(1, 1000))


@given(days(), payer_lists(), SAMPLES, st.booleans())
def test_a_day_by_its_sums_costs_what_its_windows_cost(
    usage: list[WindowUsage], payers: list[Payer], sample: Mapping[int, int], over_all_apps: bool
) -> None:
    """The same charges, and of each payer the same minutes of each app and item; wherever the day is cut first."""
    windows = seconds_of(usage, sample).windows(over_all_apps=over_all_apps)
    by_sums = rate_day(in_stretches(windows.whole, windows, payers), payers, PRICES)
    by_windows = rate_day(usage, payers, PRICES)
    assert by_sums.charges == by_windows.charges
    assert paid(by_sums) == paid(by_windows)


@given(days(), payer_lists(), SAMPLES)
def test_a_day_over_all_apps_costs_what_its_windows_cost(
    usage: list[WindowUsage], payers: list[Payer], sample: Mapping[int, int]
) -> None:
    """Every payer pays for all apps. Asked for twice, the second time from what is kept."""
    payers = [replace(payer, app=None) for payer in payers]
    windows = seconds_of(usage, sample).windows(over_all_apps=True)
    stretches = in_stretches(windows.whole, windows, payers)
    assert in_stretches(windows.whole, windows, payers) == stretches
    by_sums, by_windows = rate_day(stretches, payers, PRICES), rate_day(usage, payers, PRICES)
    assert by_sums.charges == by_windows.charges
    assert paid(by_sums) == paid(by_windows)


def paid(day: RatedDay) -> Counter[tuple[int, str, str]]:
    """The minutes of each app, item and payer."""
    minutes: Counter[tuple[int, str, str]] = Counter()
    for each in day.deductions:
        minutes[each.app_id, each.item, each.payer_id] += each.minutes
    return minutes


def test_few_parts_of_a_day_are_read() -> None:
    """A thousand windows of one app, and a package that runs out in one of them: the first guess finds it, and what is
    left is asked again from what is kept."""
    read: list[tuple[int, int]] = []

    def sums(start: int, end: int) -> dict[tuple[int, str], int]:
        read.append((start, end))
        return {(1, "audio"): (end - start) // 5}

    day = DaySeconds(
        start=0,
        end=300_000,
        whole={(1, "audio"): 60_000},
        quantity=DAILY,
        read=sums,
        sample=lambda: {300 * number: 60 for number in range(1_000)},
    )
    payers = [Payer(id="package", remaining=777, ratios={"audio": 1})]
    windows = day.windows(over_all_apps=True)
    for _ in range(3):
        stretches = in_stretches(windows.whole, windows, payers)
        assert [(row.window_start, row.seconds) for row in stretches] == [(0, 777 * 60), (777 * 300, 223 * 60)]
    assert len(read) <= 2


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
    windows = seconds_of(usage, {}).windows(over_all_apps=True)
    by_sums = HistorySpan(
        days=[DayUsage(terms=terms, usage=windows.whole, windows=windows)], balances=Balances()
    ).with_packages(packages)
    assert of_all_apps(by_sums).amount() == by_sums.amount() == plain.amount()


def _sums(usage: Sequence[WindowUsage]) -> Counter[tuple[int, int, str]]:
    seconds: Counter[tuple[int, int, str]] = Counter()
    for start, app_id, item, used in usage:
        seconds[start, app_id, item] += used
    return seconds
