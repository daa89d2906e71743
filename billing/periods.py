"""Instants, windows, billing days and months.

- An event at `at` milliseconds takes effect at second `at // 1000`; everything behind the event log counts in whole
  epoch seconds (UTC).
- Every period is half-open: `[start, end)`.
- A window is 300 s, aligned to the epoch.
- A billing day is the set of instants with one local date in the account's time zone, beginning with the first of them:
  the day of a change to summer time has 23 hours and 276 windows; where clocks change at midnight the day has no 00:00.
  Since 2015 days have had from 21 to 27 hours (Antarctica/Casey), and all have begun on a window.
"""

import os
import re
from datetime import UTC, date, datetime, timedelta
from functools import cache, lru_cache
from importlib import resources
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from billing.errors import BillingError, UsageError

WINDOW_SECONDS = 300
DAY_SECONDS = 86_400
WAIT_SECONDS = 90  # a stay ends so long after a disconnect, unless its user returns
STALE_SECONDS = DAY_SECONDS  # a stay ends so long after the last event of its user

# Years in which every day has its bounds in every zone; outside them a date is a slip of the pen.
_YEARS = range(1970, 3000)
_MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])", re.ASCII)
# Hours and minutes are bounded here because Python reads an offset of +09:99 as +10:39.
_CLOCK = "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
# RFC 3339 without its offset: `2026-03-01T18:00:00.5`. There is no second 60.
LOCAL_TIME = rf"[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}[Tt ]{_CLOCK}:[0-5][0-9](?:\.[0-9]+)?"
_INSTANT = re.compile(rf"{LOCAL_TIME}(?:[Zz]|[+-]{_CLOCK})")

_COUNT = "([0-9]{1,6})"
_DURATION = re.compile(rf"P(?:{_COUNT}D)?(?:T(?:{_COUNT}H)?(?:{_COUNT}M)?(?:{_COUNT}S)?)?")


def time_zone(name: str) -> ZoneInfo:
    """The IANA time zone of that name, or a `BillingError` that says what a name looks like."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise _unknown_zone(name) from None


def iana_time_zone(name: str) -> ZoneInfo:
    """The same for names of the IANA database only: not this machine's `localtime`, nor `Factory`, which is unset."""
    if name not in _iana_names():
        raise _unknown_zone(name)
    return time_zone(name)


@cache
def _iana_names() -> frozenset[str]:
    names = resources.files("tzdata").joinpath("zones").read_text(encoding="ascii").split()
    return frozenset(names) - {"Factory"}


def _unknown_zone(name: str) -> BillingError:
    return BillingError(f"unknown time zone {name!r}: give an IANA name such as Asia/Tokyo or UTC")


def parse_instant(text: str) -> datetime:
    """An RFC 3339 time with offset, of the years 1970 to 2999, as an aware datetime in that offset."""
    instant = rfc3339(text)
    if instant.year not in _YEARS:
        raise UsageError(f"{text!r} is not a time of the years 1970 to 2999")
    return instant


def rfc3339(text: str) -> datetime:
    """The same of any year. In another offset the first and the last day of the calendar may not exist."""
    if not _INSTANT.fullmatch(text):
        raise UsageError(f"{text!r} is not an RFC 3339 time with offset such as 2026-03-01T18:00:00+09:00")
    try:
        return datetime.fromisoformat(text.upper())
    except ValueError as error:
        raise UsageError(f"{text!r} is not a time: {error}") from None


def parse_duration(text: str) -> int:
    """Seconds of an ISO 8601 duration in days and smaller units: `PT2H` is 7,200."""
    found = _DURATION.fullmatch(text)
    if not found or text[-1] in "PT":
        raise UsageError(f"{text!r} is not an ISO 8601 duration such as PT2H or PT90M")
    return sum(
        int(count) * seconds for count, seconds in zip(found.groups("0"), (DAY_SECONDS, 3600, 60, 1), strict=True)
    )


def parse_day(text: str) -> date:
    """A day of the years 1970 to 2999, written YYYY-MM-DD."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is not a day such as 2026-03-01") from None
    if day.isoformat() != text:
        raise UsageError(f"{text!r} is not a day such as 2026-03-01")
    if day.year not in _YEARS:
        raise UsageError(f"{text!r} is not a day of the years 1970 to 2999")
    return day


def parse_month(text: str) -> date:
    """A month of the years 1970 to 2999, written YYYY-MM, as its first day."""
    if not _MONTH.fullmatch(text):
        raise UsageError(f"{text!r} is not a month such as 2026-03")
    if int(text[:4]) not in _YEARS:
        raise UsageError(f"{text!r} is not a month of the years 1970 to 2999")
    return date.fromisoformat(f"{text}-01")


def now() -> datetime:
    """The present instant in UTC: the only place where the clock is read, unless it is stopped."""
    return (stopped_clock() or datetime.now(UTC)).astimezone(UTC)


def stopped_clock() -> datetime | None:
    """The instant at which `BILLING_NOW` (RFC 3339) stops the clock, if it is set."""
    fixed = os.environ.get("BILLING_NOW")
    if not fixed:
        return None
    try:
        return parse_instant(fixed)
    except UsageError as error:
        raise UsageError(f"BILLING_NOW: {error}") from None


@lru_cache(maxsize=4096)
def day_start(day: date, zone: ZoneInfo) -> int:
    """Epoch second of the first instant whose local date is `day` (of the next later date, if a zone skipped `day`)."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=zone)
    start = int(midnight.timestamp())
    if datetime.fromtimestamp(start, zone).replace(tzinfo=None) == midnight.replace(tzinfo=None):
        return start
    # Midnight fell into a gap of the clock: the day begins where the gap ends, at most a day before this reading of it.
    before = start - DAY_SECONDS
    while start - before > 1:
        middle = (before + start) // 2
        if datetime.fromtimestamp(middle, zone).date() >= day:
            start = middle
        else:
            before = middle
    return start


def day_bounds(day: date, zone: ZoneInfo) -> tuple[int, int]:
    """The billing day as epoch seconds `[start, end)`."""
    return day_start(day, zone), day_start(day + timedelta(days=1), zone)


def local_day(second: int, zone: ZoneInfo) -> date:
    """The billing day that holds an epoch second."""
    day = datetime.fromtimestamp(second, zone).date()
    # Where clocks went back over midnight the first hour of the new date is interrupted; it stays with the new date.
    return day + timedelta(days=1) if second >= day_start(day + timedelta(days=1), zone) else day


def last_finished_day(at: datetime, zone: ZoneInfo) -> date:
    """The last billing day that is over at instant `at`."""
    return local_day(int(at.timestamp()), zone) - timedelta(days=1)


def month_days(month: date) -> list[date]:
    """Every day of the month whose first day is `month`."""
    return days_between(month, next_month(month) - timedelta(days=1))


def next_month(month: date) -> date:
    """The first day of the month after the one that holds `month`."""
    return (month.replace(day=1) + timedelta(days=32)).replace(day=1)


def days_between(first: date, last: date) -> list[date]:
    """Every day from `first` to `last`, both included; empty when `last` is before `first`."""
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def window_start(second: int) -> int:
    """Start of the window that holds an epoch second."""
    return second - second % WINDOW_SECONDS


def local_iso(second: int, zone: ZoneInfo) -> str:
    """An epoch second as RFC 3339 with the zone's offset: `2026-03-01T00:05:00+09:00`."""
    return datetime.fromtimestamp(second, zone).isoformat()


def local_iso_ms(at_ms: int, zone: ZoneInfo) -> str:
    """Epoch milliseconds as RFC 3339 with the zone's offset and three decimals."""
    moment = datetime.fromtimestamp(at_ms // 1000, zone) + timedelta(milliseconds=at_ms % 1000)
    return moment.isoformat(timespec="milliseconds")
