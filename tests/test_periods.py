"""Days and windows in the zones of the world, including those where clocks change at midnight."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.errors import BillingError, UsageError
from billing.periods import (
    WINDOW_SECONDS,
    day_bounds,
    day_start,
    days_between,
    last_finished_day,
    local_day,
    local_iso,
    local_iso_ms,
    month_days,
    next_month,
    now,
    parse_day,
    parse_instant,
    parse_month,
    time_zone,
    window_start,
)

DAYS_SINCE_2015 = st.dates(date(2015, 1, 1), date(2035, 12, 31))
# Zones whose days are far from 24 hours or have no 00:00, often enough to be met, among all others.
ODD_ZONES = [
    "America/Asuncion",
    "America/Havana",
    "America/Santiago",
    "America/Sao_Paulo",
    "Antarctica/Casey",
    "Antarctica/Troll",
    "Asia/Amman",
    "Asia/Beirut",
    "Asia/Gaza",
    "Asia/Pyongyang",
    "Asia/Tehran",
    "Australia/Lord_Howe",
    "Pacific/Apia",
]
ZONES = (st.sampled_from(ODD_ZONES) | st.sampled_from(sorted(available_timezones()))).map(time_zone)


def hours(day: str, zone: str) -> float:
    start, end = day_bounds(date.fromisoformat(day), time_zone(zone))
    return (end - start) / 3600


@given(DAYS_SINCE_2015, ZONES)
def test_days_partition_time(day: date, zone: ZoneInfo) -> None:
    """A day ends where the next begins; its first and last second belong to it, the ones around it do not."""
    start, end = day_bounds(day, zone)
    assert end == day_start(day + timedelta(days=1), zone)
    assert 20 * 3600 <= end - start <= 28 * 3600
    assert [local_day(second, zone) - day for second in (start - 1, start, end - 1, end)] == [
        timedelta(days=-1),
        timedelta(0),
        timedelta(0),
        timedelta(days=1),
    ]


@given(DAYS_SINCE_2015, ZONES)
def test_a_day_begins_with_the_first_instant_of_its_local_date(day: date, zone: ZoneInfo) -> None:
    start = day_start(day, zone)
    assert datetime.fromtimestamp(start, zone).date() == day
    assert datetime.fromtimestamp(start - 1, zone).date() == day - timedelta(days=1)


@given(DAYS_SINCE_2015, ZONES)
def test_every_day_begins_on_a_window(day: date, zone: ZoneInfo) -> None:
    """No window belongs to two days."""
    start = day_start(day, zone)
    assert window_start(start) == start


@given(st.integers(1_420_070_400, 2_082_758_399), ZONES)
def test_an_instant_lies_inside_its_day(second: int, zone: ZoneInfo) -> None:
    start, end = day_bounds(local_day(second, zone), zone)
    assert start <= second < end


@pytest.mark.parametrize(
    ("day", "zone", "length"),
    [
        ("2026-03-01", "Asia/Tokyo", 24),
        ("2026-03-08", "America/New_York", 23),
        ("2026-11-01", "America/New_York", 25),
        ("2019-10-06", "Australia/Lord_Howe", 23.5),
        ("2019-04-07", "Australia/Lord_Howe", 24.5),
        ("2026-03-29", "Antarctica/Troll", 22),
        ("2026-10-25", "Antarctica/Troll", 26),
        ("2020-10-04", "Antarctica/Casey", 21),
        ("2021-03-13", "Antarctica/Casey", 27),
        ("2018-11-04", "America/Sao_Paulo", 23),
        ("2011-12-30", "Pacific/Apia", 0),
    ],
)
def test_a_day_is_as_long_as_the_clocks_make_it(day: str, zone: str, length: float) -> None:
    """The last one never was: Samoa skipped it to change sides of the date line."""
    assert hours(day, zone) == length


@pytest.mark.parametrize(
    ("day", "zone", "begins"),
    [
        ("2018-11-04", "America/Sao_Paulo", "2018-11-04T01:00:00-02:00"),
        ("2026-03-08", "America/Havana", "2026-03-08T01:00:00-04:00"),
        ("2026-03-29", "Asia/Beirut", "2026-03-29T01:00:00+03:00"),
        ("2026-03-01", "Asia/Tokyo", "2026-03-01T00:00:00+09:00"),
        ("2011-12-31", "Pacific/Apia", "2011-12-31T00:00:00+14:00"),
    ],
)
def test_a_day_without_midnight_begins_when_the_clock_starts_again(day: str, zone: str, begins: str) -> None:
    assert local_iso(day_start(date.fromisoformat(day), time_zone(zone)), time_zone(zone)) == begins


def test_a_repeated_midnight_begins_the_day_once() -> None:
    """Havana, 2026-11-01: clocks go from 01:00 back to 00:00; both hours are of that day."""
    assert local_iso(day_start(date(2026, 11, 1), time_zone("America/Havana")), time_zone("America/Havana")) == (
        "2026-11-01T00:00:00-04:00"
    )
    assert hours("2026-11-01", "America/Havana") == 25


def test_clocks_that_go_back_over_midnight_leave_the_interrupted_hour_with_the_new_day() -> None:
    """St. John's, 2010-11-07: at 00:01 clocks went back to 23:01, but the new day had begun."""
    zone = time_zone("America/St_Johns")
    start = day_start(date(2010, 11, 7), zone)
    assert local_iso(start + 60, zone) == "2010-11-06T23:01:00-03:30"
    assert local_day(start + 60, zone) == date(2010, 11, 7)
    assert hours("2010-11-07", "America/St_Johns") == 25


def test_the_last_finished_day_is_yesterday_where_the_account_is() -> None:
    """15:30 UTC is past midnight in Tokyo; at midnight itself the day before is over."""
    tokyo = time_zone("Asia/Tokyo")
    assert last_finished_day(parse_instant("2026-03-01T15:30:00Z"), tokyo) == date(2026, 3, 1)
    assert last_finished_day(parse_instant("2026-03-01T15:00:00Z"), tokyo) == date(2026, 3, 1)
    assert last_finished_day(parse_instant("2026-03-01T14:59:59.999Z"), tokyo) == date(2026, 2, 28)


def test_months_have_their_days() -> None:
    assert [len(month_days(date(2024, month, 1))) for month in (1, 2, 12)] == [31, 29, 31]
    assert month_days(date(2026, 12, 1))[-1] == date(2026, 12, 31)
    assert next_month(date(2026, 12, 31)) == date(2027, 1, 1)


def test_days_between_includes_both_ends() -> None:
    assert days_between(date(2026, 2, 28), date(2026, 3, 1)) == [date(2026, 2, 28), date(2026, 3, 1)]
    assert days_between(date(2026, 3, 1), date(2026, 2, 28)) == []


def test_windows_are_aligned_to_the_epoch() -> None:
    assert [window_start(second) for second in (0, 299, 300, 1_772_300_399)] == [0, 0, 300, 1_772_300_100]
    assert WINDOW_SECONDS == 300


def test_instants_are_written_with_the_offset_of_the_zone() -> None:
    tokyo = time_zone("Asia/Tokyo")
    assert local_iso(0, tokyo) == "1970-01-01T09:00:00+09:00"
    assert local_iso_ms(1_005, tokyo) == "1970-01-01T09:00:01.005+09:00"


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-03-01T18:00:00+09:00", "2026-03-01T09:00:00+00:00"),
        ("2026-03-01t09:00:00z", "2026-03-01T09:00:00+00:00"),
        ("2026-03-01 09:00:00.5Z", "2026-03-01T09:00:00.500000+00:00"),
        ("2026-03-01T18:00:00.1234567+09:00", "2026-03-01T09:00:00.123456+00:00"),
    ],
)
def test_an_instant_is_read_with_its_offset(text: str, utc: str) -> None:
    assert parse_instant(text).astimezone(UTC).isoformat() == utc


@pytest.mark.parametrize(
    "text",
    [
        "2026-03-01T18:00:00",
        "2026-03-01",
        "2026-02-29T18:00:00Z",
        "2026-03-01T24:00:00Z",
        "2026-03-01T18:00:00+09:99",
        "2026-03-01T18:00:00+24:00",
        "2026-03-01T18:00:00+0900",
        "202\uff16-03-01T18:00:00Z",
        "now",
        "",
    ],
)
def test_a_text_that_is_no_instant_with_offset_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not a"):
        parse_instant(text)


@pytest.mark.parametrize(
    "text", ["2026-3-1", "20260301", "2026-02-30", "202\uff16-03-01", "1969-12-31", "9999-12-31", ""]
)
def test_a_text_that_is_no_day_is_refused(text: str) -> None:
    assert parse_day("2026-03-01") == date(2026, 3, 1)
    with pytest.raises(UsageError, match="is not a day"):
        parse_day(text)


@pytest.mark.parametrize(
    "text", ["2026-13", "2026-3", "2026-00", "202\uff16-03", "0000-01", "9999-12", "2026-03-01", ""]
)
def test_a_text_that_is_no_month_is_refused(text: str) -> None:
    assert parse_month("2026-03") == date(2026, 3, 1)
    with pytest.raises(UsageError, match="is not a month"):
        parse_month(text)


@pytest.mark.parametrize("name", ["Asia/Tokio", "", "..", "/etc/passwd", "Asia", "JST-9", "a\0b", "東京", "x" * 5000])
def test_an_unknown_time_zone_is_refused(name: str) -> None:
    with pytest.raises(BillingError, match="give an IANA name such as Asia/Tokyo"):
        time_zone(name)


def test_the_clock_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BILLING_NOW", "2026-03-02T08:00:00+09:00")
    assert now().isoformat() == "2026-03-01T23:00:00+00:00"
    monkeypatch.setenv("BILLING_NOW", "tomorrow")
    with pytest.raises(UsageError, match="BILLING_NOW: 'tomorrow' is not an RFC 3339 time"):
        now()
    monkeypatch.delenv("BILLING_NOW")
    assert now().tzinfo is UTC
