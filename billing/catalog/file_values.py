"""The values of a catalog file: what each may be, and what is said when it is something else.

A price is a decimal in quotes or a whole number, never a floating-point number; `true` is no number. A value that
cannot be used is a `ValueError` that says what to write instead.
"""

import re
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import TypeVar
from urllib.parse import urlsplit

from billing.catalog.alerts import EVENTS
from billing.catalog.feeds import check_feed, parse_size
from billing.catalog.items import FEES, ITEMS, SERVICES, VIDEO_ITEMS
from billing.catalog.packages import is_free_minutes
from billing.catalog.tax_ids import countries
from billing.errors import BillingError, unknown
from billing.money import SCALE_DIGITS, check_currency, plain
from billing.periods import DAY_SECONDS, iana_time_zone, parse_day, parse_duration, parse_month, rfc3339

T = TypeVar("T")

# Also what a spreadsheet file cannot hold. Line breaks are control characters too; only an address may have them.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")
_DECIMAL = re.compile(r"[0-9]+(\.[0-9]+)?")
_PACKAGE_SIZE = re.compile(r"[1-9][0-9]{0,12}")
_LONGEST_NAME = 256
LONGEST_ID = 128
_LONGEST_ADDRESS = 1024
# Package minutes and free minutes: far above any real number, and the sum of many still fits 64 bits.
MOST_MINUTES = 10**12
# Per 1,000 minutes. A room of 100,000 users for a whole day at this price still fits 64 bits of 10^-8.
HIGHEST_PRICE = 600_000
# Of a package as a whole.
HIGHEST_PACKAGE_PRICE = 1_000_000_000
SHORTEST_SILENCE = 60  # seconds
_LONGEST_SHOWN = 60
_LONGEST_TAX_ID = 64
_LONGEST_PREFIX = 32
_LONGEST_FORMAT = 64
_LONGEST_URL = 2048
_LONGEST_WAIT_DAYS = 3650
_HIGHEST_RATE = 100
_RATE_DIGITS = 4
_HIGHEST_PERCENTAGE = 1000
_THRESHOLD = re.compile(r"(-?)([0-9]+(?:\.[0-9]+)?)(%?)")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")


def not_a(wanted: str, value: object) -> str:
    return f"{_shown(value)} is not {wanted}"


def _shown(value: object) -> str:
    """The value as its author would write it, shortened; a date or a number as plain text."""
    shown = repr(value) if isinstance(value, str) else str(value)
    if isinstance(value, bool):
        shown = shown.lower()
    return shown if len(shown) <= _LONGEST_SHOWN else shown[:_LONGEST_SHOWN] + "…"


def asking(function: Callable[[str], T], value: str) -> T:
    """What a function of another room makes of a text; its refusal is a mistake in the file."""
    try:
        return function(value)
    except BillingError as error:
        raise ValueError(str(error)) from None


def _text(value: object, wanted: str = "text in quotes") -> str:
    if not isinstance(value, str):
        raise ValueError(not_a(wanted, value))
    return value


def _line(value: object, longest: int) -> str:
    line = _text(value)
    if line != line.strip() or not 1 <= len(line) <= longest:
        raise ValueError(f"must have 1 to {longest} characters, without spaces at its ends")
    if _CONTROL.search(line):
        raise ValueError("must not have control characters or line breaks")
    return line


def name(value: object) -> str:
    """A name: one line of 1 to 256 characters."""
    return _line(value, _LONGEST_NAME)


def identifier(value: object) -> str:
    """An id: one line of 1 to 128 characters, without spaces at its ends."""
    return _line(value, LONGEST_ID)


def package_id(value: object) -> str:
    """The id of a package, which is none of a month's free minutes."""
    package = identifier(value)
    if is_free_minutes(package):
        raise ValueError(f"{package!r} is the name of a month's free minutes; choose another id")
    return package


def address(value: object) -> str:
    """A postal address: up to 1024 characters on any number of lines."""
    text = _text(value)
    lines = text.strip().splitlines()
    if not lines or len(text) > _LONGEST_ADDRESS or any(_CONTROL.search(line) for line in lines):
        raise ValueError(f"must have 1 to {_LONGEST_ADDRESS} characters and none but line breaks for control")
    return "\n".join(line.strip() for line in lines)


def timezone(value: object) -> str:
    """The name of an IANA time zone."""
    return asking(iana_time_zone, identifier(value)).key


def currency(value: object) -> str:
    """A currency: three capital letters such as USD."""
    return asking(check_currency, _text(value, 'a currency code in quotes such as "USD"'))


def item(value: object) -> str:
    """An item, as the key of a table."""
    used = [each for each in ITEMS if each not in FEES]
    if value not in used:
        raise ValueError(unknown("key", str(value), used))
    return str(value)


def service(value: object) -> str:
    """The name of a value-added service."""
    if value not in SERVICES:
        raise ValueError(unknown("service", str(value), SERVICES))
    return str(value)


def video_item(value: object) -> str:
    """An item that is the name of a tier."""
    if value not in VIDEO_ITEMS:
        raise ValueError(f"{_shown(value)} is none of {', '.join(VIDEO_ITEMS)}")
    return str(value)


def package_size(value: str) -> str:
    """A number of minutes, as the key of a table."""
    if not _PACKAGE_SIZE.fullmatch(value) or int(value) > MOST_MINUTES:
        raise ValueError(f"{value!r} is not a number of minutes from 1 to {MOST_MINUTES}")
    return value


def money(value: object, highest: int) -> Decimal:
    """A price: a decimal in quotes or a whole number, from 0 to `highest`, with at most 8 decimals."""
    number = Decimal(value) if isinstance(value, int) and not isinstance(value, bool) else _decimal(value)
    if not 0 <= number <= highest:
        raise ValueError(f"{value} is not from 0 to {highest}")
    return number


def price(value: object) -> Decimal:
    """A price per 1,000 minutes."""
    return money(value, HIGHEST_PRICE)


def package_price(value: object) -> Decimal:
    """The price of a package."""
    return money(value, HIGHEST_PACKAGE_PRICE)


def discount(value: object) -> Decimal:
    """A multiplier: a decimal in quotes above 0 and not above 1, with at most 8 decimals."""
    number = _decimal(value)
    if not 0 < number <= 1:
        raise ValueError(f'{value} is not above 0 and at most 1; 15 % off is written as "0.85"')
    return number


def _decimal(value: object) -> Decimal:
    if isinstance(value, float):
        raise ValueError(f'{value} is a floating-point number, which is not exact; write it in quotes: "{value}"')
    if not isinstance(value, str) or not _DECIMAL.fullmatch(value):
        raise ValueError(not_a('a decimal number in quotes such as "24.00"', value))
    if len(value.partition(".")[2]) > SCALE_DIGITS:
        raise ValueError(f"{value} has more than {SCALE_DIGITS} decimals")
    return Decimal(value)


def day(value: object) -> date:
    """A day: a TOML date or text such as "2026-03-01"."""
    if isinstance(value, datetime) or not isinstance(value, (date, str)):
        raise ValueError(not_a("a day such as 2026-03-01", value))
    return asking(parse_day, value if isinstance(value, str) else value.isoformat())


def instant(value: object) -> datetime:
    """An instant of the years 2000 to 2999 with its offset: text in RFC 3339, or TOML's own date-time."""
    moment = asking(rfc3339, value) if isinstance(value, str) else value
    if not isinstance(moment, datetime):
        raise ValueError(not_a("a time with offset such as 2026-03-01T18:00:00+09:00", value))
    if moment.tzinfo is None:
        raise ValueError(f"{moment.isoformat()} has no offset; write a time such as 2026-03-01T18:00:00+09:00")
    if moment.year not in range(2000, 3000):
        raise ValueError(f"the year {moment.year} is not from 2000 to 2999")
    return moment


def silence(value: object) -> str:
    """How long a feed may be silent: an ISO 8601 duration from a minute to a day, in quotes."""
    text = _text(value, 'a duration in quotes such as "PT2H"')
    if not SHORTEST_SILENCE <= asking(parse_duration, text) <= DAY_SECONDS:
        raise ValueError(f"{text} is not from PT1M to P1D")
    return text


def feed(value: object) -> list[str]:
    """The feeds of an app: one, or a list of them without repetition."""
    feeds = [identifier(each) for each in (value if isinstance(value, list) else [value])]
    if len(set(feeds)) != len(feeds):
        raise ValueError("names a feed twice")
    return [asking(check_feed, each) for each in feeds]


def size(value: object) -> str:
    """A picture size in quotes: width and height in pixels."""
    width, height = asking(parse_size, _text(value, 'a size in quotes such as "1280x720"'))
    return f"{width}x{height}"


def country(value: object) -> str:
    """A country of ISO 3166: two capital letters."""
    code = _text(value, 'a country code in quotes such as "DE"')
    if code not in countries():
        hint = {"UK": 'the United Kingdom is "GB"', "EL": 'Greece is "GR"'}.get(code)
        raise ValueError(f"{_shown(code)} is no ISO 3166 country; {hint or 'write two capital letters such as DE'}")
    return code


def tax_id(value: object) -> str:
    """The tax id of a party: one line of 1 to 64 characters."""
    return _line(value, _LONGEST_TAX_ID)


def prefix(value: object) -> str:
    """The prefix of a series of numbers: one line of 1 to 32 characters."""
    return _line(value, _LONGEST_PREFIX)


def number_format(value: object) -> str:
    """The format of a series, one line; `sellers.check_format` looks into it."""
    return _line(value, _LONGEST_FORMAT)


def picture(value: object) -> str:
    """The name of a picture in the home."""
    file = _file(value)
    if not file.lower().endswith((".png", ".jpg", ".jpeg")):
        raise ValueError(f"{_shown(file)} is not the name of a .png, .jpg or .jpeg file")
    return file


def _file(value: object) -> str:
    file = name(value)
    if file.startswith("/") or "\\" in file or ".." in file.split("/"):
        raise ValueError(f"{_shown(file)} is not a file inside the home; write its name, such as logo.png")
    return file


def month(value: object) -> date:
    """A month, as its first day: text such as "2026-03"; also that day itself."""
    if isinstance(value, str) and len(value) == len("2026-03"):
        return asking(parse_month, value)
    if isinstance(value, datetime) or not isinstance(value, (date, str)):
        raise ValueError(not_a('a month in quotes such as "2026-03"', value))
    first = day(value)
    if first.day != 1:
        raise ValueError(f'{first} is not the first day of a month; write "{first:%Y-%m}"')
    return first


def rate(value: object) -> Decimal:
    """A tax rate in percent: a decimal in quotes or a whole number from 0 to 100, with at most 4 decimals."""
    number = money(value, _HIGHEST_RATE)
    if number != round(number, _RATE_DIGITS):
        raise ValueError(f"{value} has more than {_RATE_DIGITS} decimals")
    return number


def waiting_time(value: object) -> str:
    """How long a step waits: an ISO 8601 duration of at most ten years, in quotes."""
    text = _text(value, 'a duration in quotes such as "PT24H"')
    if asking(parse_duration, text) > _LONGEST_WAIT_DAYS * DAY_SECONDS:
        raise ValueError(f"{text} is longer than P{_LONGEST_WAIT_DAYS}D")
    return text


def alert_limit(value: object) -> Decimal:
    """What percentages are taken of: a decimal in quotes or a whole number above 0."""
    number = money(value, MOST_MINUTES)
    if not number:
        raise ValueError("0 is not above 0: a percentage of it is never crossed")
    return number


def threshold(value: object) -> str:
    """A threshold of an alert: "80%", or an amount, which may be below zero: "400", "-50"."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    found = _THRESHOLD.fullmatch(value) if isinstance(value, str) else None
    if not found:
        raise ValueError(not_a('a threshold in quotes such as "80%" or "400"', value))
    number = money(found[2], _HIGHEST_PERCENTAGE if found[3] else MOST_MINUTES)
    if found[3] and (found[1] or not number):
        raise ValueError(f"{value} is not above 0%")
    return f"{found[1] if number else ''}{plain(number)}{found[3]}"


def web_address(value: object) -> str:
    """The URL of a webhook: https://, or http:// (see `WebhookTable`), without a user, a password or a fragment."""
    url = _text(value, 'a URL in quotes such as "https://example.com/hook"')
    if not url.isascii() or not url.isprintable() or " " in url or len(url) > _LONGEST_URL:
        raise ValueError(f"must have at most {_LONGEST_URL} printable ASCII characters and no spaces")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("is not a URL such as https://example.com/hook") from None
    if "@" in parts.netloc:
        raise ValueError("has a user or a password in it; take it out: requests are signed with the secret")
    if parts.scheme not in ("https", "http") or not host:
        raise ValueError(not_a("a URL such as https://example.com/hook", url))
    if "#" in url:
        raise ValueError("has a fragment (#…), which is never sent; take it out")
    return url


def event(value: object) -> str:
    """One of the events that webhooks may be told."""
    if value not in EVENTS:
        raise ValueError(unknown("event", str(value), EVENTS))
    return str(value)


def secret_file(value: object) -> str:
    """The name of the file that holds a secret."""
    return _no_secret(name(value), "a file")


def secret_variable(value: object) -> str:
    """The name of the environment variable that holds a secret."""
    variable = _no_secret(_text(value), "an environment variable")
    if not _VARIABLE.fullmatch(variable):
        raise ValueError(not_a("the name of an environment variable such as BILLING_HOOK_SECRET", variable))
    return variable


def _no_secret(text: str, place: str) -> str:
    """Refuses a secret itself, without showing it."""
    if text.startswith("whsec_"):
        raise ValueError(f"is a secret itself, which must not stand in a catalog: put it into {place}, and name that")
    return text
