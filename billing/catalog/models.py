"""The tables of a catalog file, as pydantic models: which keys each has, and what their values may be.

Types are strict: a price is a decimal in quotes or a whole number, never a floating-point number; `true` is no number;
unknown keys are mistakes. A value that cannot be used is a `ValueError` that says what to write instead.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Annotated, Literal, Protocol, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator, model_validator

from billing.catalog.alerts import EVENTS
from billing.catalog.feeds import check_feed, parse_size
from billing.catalog.items import AUDIO, ITEM_RANK, ITEMS
from billing.catalog.packages import is_free_minutes
from billing.catalog.sellers import DEFAULT_FORMAT, DEFAULT_TERMS_DAYS, NumberSeries, format_problem
from billing.catalog.tax_ids import tax_id_problem
from billing.catalog.taxes import Category, Prices, TaxRounding
from billing.errors import BillingError, unknown
from billing.limits import LARGEST_APP_ID
from billing.money import SCALE_DIGITS, check_currency
from billing.periods import DAY_SECONDS, iana_time_zone, parse_day, parse_duration, parse_month, rfc3339

T = TypeVar("T")


class _Dated(Protocol):
    valid_from: date


Version = TypeVar("Version", bound=_Dated)

# Also what a spreadsheet file cannot hold. Line breaks are control characters too; only an address may have them.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")
_DECIMAL = re.compile(r"[0-9]+(\.[0-9]+)?")
_PACKAGE_SIZE = re.compile(r"[1-9][0-9]{0,12}")
_LONGEST_NAME = 256
LONGEST_ID = 128
_LONGEST_ADDRESS = 1024
_LONGEST_PREFIX = 32
_LONGEST_TAX_ID = 64
_COUNTRY = re.compile(r"[A-Z]{2}")
_THRESHOLD = re.compile(r"[0-9]{1,4}(\.[0-9]{1,4})?%|-?[0-9]{1,15}(\.[0-9]{1,8})?")
# Package minutes and free minutes: far above any real number, and the sum of many still fits 64 bits.
MOST_MINUTES = 10**12
# Per 1,000 minutes. A room of 100,000 users for a whole day at this price still fits 64 bits of 10^-8.
HIGHEST_PRICE = 600_000
# Of a package as a whole.
HIGHEST_PACKAGE_PRICE = 1_000_000_000
LARGEST_AREA = 2**53
HIGHEST_RATIO = 1_000_000
SHORTEST_SILENCE = 60  # seconds
_LONGEST_SHOWN = 60


def not_a(wanted: str, value: object) -> str:
    return f"{_shown(value)} is not {wanted}"


def _shown(value: object) -> str:
    """The value as its author would write it, shortened; a date or a number as plain text."""
    shown = repr(value) if isinstance(value, str) else str(value)
    if isinstance(value, bool):
        shown = shown.lower()
    return shown if len(shown) <= _LONGEST_SHOWN else shown[:_LONGEST_SHOWN] + "…"


def _asking(function: Callable[[str], T], value: str) -> T:
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
    return _asking(iana_time_zone, identifier(value)).key


def currency(value: object) -> str:
    """A currency: three capital letters such as USD."""
    return _asking(check_currency, _text(value, 'a currency code in quotes such as "USD"'))


def item(value: object) -> str:
    """An item, as the key of a table."""
    if value not in ITEMS:
        raise ValueError(unknown("key", str(value), ITEMS))
    return str(value)


def video_item(value: object) -> str:
    """An item that is the name of a tier."""
    if value not in ITEMS[1:]:
        raise ValueError(f"{_shown(value)} is none of {', '.join(ITEMS[1:])}")
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
    return _asking(parse_day, value if isinstance(value, str) else value.isoformat())


def instant(value: object) -> datetime:
    """An instant of the years 2000 to 2999 with its offset: text in RFC 3339, or TOML's own date-time."""
    moment = _asking(rfc3339, value) if isinstance(value, str) else value
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
    if not SHORTEST_SILENCE <= _asking(parse_duration, text) <= DAY_SECONDS:
        raise ValueError(f"{text} is not from PT1M to P1D")
    return text


def feed(value: object) -> list[str]:
    """The feeds of an app: one, or a list of them without repetition."""
    feeds = [identifier(each) for each in (value if isinstance(value, list) else [value])]
    if len(set(feeds)) != len(feeds):
        raise ValueError("names a feed twice")
    return [_asking(check_feed, each) for each in feeds]


def size(value: object) -> str:
    """A picture size in quotes: width and height in pixels."""
    width, height = _asking(parse_size, _text(value, 'a size in quotes such as "1280x720"'))
    return f"{width}x{height}"


def prefix(value: object) -> str:
    """The prefix of a series of numbers."""
    return _line(value, _LONGEST_PREFIX)


def country(value: object) -> str:
    """A country: two capital letters of ISO 3166 such as DE."""
    if not isinstance(value, str) or not _COUNTRY.fullmatch(value):
        raise ValueError(not_a("a country such as DE (two letters of ISO 3166)", value))
    return value


def tax_id(value: object) -> str:
    """A tax id: one line of up to 64 characters."""
    return _line(value, _LONGEST_TAX_ID)


def logo(value: object) -> str:
    """The name of a picture."""
    file = _line(value, _LONGEST_NAME)
    if not file.lower().endswith((".png", ".jpg", ".jpeg")):
        raise ValueError(not_a("the name of a .png or .jpg file", value))
    return file


def rate(value: object) -> Decimal:
    """The rate of a tax in percent, with at most 4 decimals."""
    number = money(value, 100)
    if number != round(number, 4):
        raise ValueError(f"{value} has more than 4 decimals")
    return number


def duration(value: object) -> str:
    """An ISO 8601 duration in quotes such as "PT24H"."""
    text = _text(value, 'a duration in quotes such as "PT24H"')
    _asking(parse_duration, text)
    return text


def month(value: object) -> date:
    """A month in quotes such as "2026-03", as its first day."""
    return _asking(parse_month, _text(value, 'a month in quotes such as "2026-03"'))


def amount(value: object) -> Decimal:
    """An amount or a number of minutes."""
    return money(value, HIGHEST_PACKAGE_PRICE * 1000)


def threshold(value: object) -> str:
    """A share such as "80%", or a number such as "400" or "-10.00"."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not _THRESHOLD.fullmatch(text):
        raise ValueError(not_a('a threshold such as "80%" or "400"', value))
    return text


def url(value: object) -> str:
    """The address of a webhook, without a user and a fragment."""
    address = _line(value, _LONGEST_ADDRESS)
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(not_a("an address such as https://example.com/billing", value))
    if "@" in parts.netloc or parts.fragment:
        raise ValueError("must have neither a user nor a fragment")
    return address


def event(value: object) -> str:
    """The name of a kind of message."""
    if value not in EVENTS:
        raise ValueError(unknown("event", str(value), EVENTS))
    return str(value)


def _check_tax_id(party: T) -> T:
    """The tax id of a seller or account is one of its country."""
    known, where = getattr(party, "tax_id"), getattr(party, "country")  # noqa: B009 - of both models
    if known is not None and where is not None and (problem := tax_id_problem(known, where)):
        raise ValueError(f".tax_id: {problem}")
    return party


_Id = Annotated[str, PlainValidator(identifier)]
_Name = Annotated[str, PlainValidator(name)]
_Address = Annotated[str, PlainValidator(address)]
_AppId = Annotated[int, Field(ge=1, le=LARGEST_APP_ID)]
_FreeMinutes = Annotated[int, Field(ge=0, le=MOST_MINUTES)]
_Day = Annotated[date, PlainValidator(day)]
_Item = Annotated[str, PlainValidator(item)]
_Currency = Annotated[str, PlainValidator(currency)]
_Prices = dict[_Item, Annotated[Decimal, PlainValidator(price)]]
_Ratios = dict[_Item, Annotated[int, Field(ge=1, le=HIGHEST_RATIO)]]
_PackageSize = Annotated[str, PlainValidator(package_size)]
_PackagePrice = Annotated[Decimal, PlainValidator(package_price)]
_VideoItem = Annotated[str, PlainValidator(video_item)]
_PackageId = Annotated[str, PlainValidator(package_id)]
_TimeZone = Annotated[str, PlainValidator(timezone)]
_Instant = Annotated[datetime, PlainValidator(instant)]
_Discount = Annotated[Decimal, PlainValidator(discount)]
_Area = Annotated[int, Field(ge=1, le=LARGEST_AREA)]
_Minutes = Annotated[int, Field(ge=1, le=MOST_MINUTES)]
_Silence = Annotated[str, PlainValidator(silence)]
_Feed = Annotated[list[str], PlainValidator(feed)]
_Size = Annotated[str, PlainValidator(size)]
_Subscribe = Literal["all", "none"]
_Prefix = Annotated[str, PlainValidator(prefix)]
_Country = Annotated[str, PlainValidator(country)]
_TaxId = Annotated[str, PlainValidator(tax_id)]
_TermsDays = Annotated[int, Field(ge=0, le=3650)]
_Logo = Annotated[str, PlainValidator(logo)]
_Rate = Annotated[Decimal, PlainValidator(rate)]
_Duration = Annotated[str, PlainValidator(duration)]
_Month = Annotated[date, PlainValidator(month)]
_Amount = Annotated[Decimal, PlainValidator(amount)]
_Threshold = Annotated[str, PlainValidator(threshold)]
_Url = Annotated[str, PlainValidator(url)]
_Event = Annotated[str, PlainValidator(event)]


class Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class TierTable(Table):
    item: _VideoItem
    top_area: _Area | None = None


def _ascending(tiers: list[TierTable]) -> list[TierTable]:
    if not tiers or tiers[-1].top_area is not None or any(tier.top_area is None for tier in tiers[:-1]):
        raise ValueError("every tier needs its top_area but the last, which has none: it takes every larger area")
    if any(lower >= upper for lower, upper in pairwise(tier.top_area for tier in tiers if tier.top_area is not None)):
        raise ValueError("each top_area must be larger than the one before")
    if any(lower >= upper for lower, upper in pairwise(ITEM_RANK[tier.item] for tier in tiers)):
        raise ValueError(f"the tiers must come in the order {', '.join(ITEMS[1:])}, each at most once")
    return tiers


class VersionTable(Table):
    valid_from: _Day
    method: Literal["aggregate", "per_stream"]
    tiers: Annotated[list[TierTable], AfterValidator(_ascending)]
    ratios: _Ratios
    free_minutes: _FreeMinutes
    free_ratios: _Ratios | None = None
    prices: dict[_Currency, _Prices] = {}
    package_prices: dict[_Currency, dict[_PackageSize, _PackagePrice]] = {}

    @model_validator(mode="after")
    def _prices_and_ratios_fit_the_tiers(self) -> Self:
        """There is a value for each of the version's items, and for no other."""
        items = (AUDIO, *(tier.item for tier in self.tiers))
        tables: dict[str, Mapping[str, object]] = {"ratios": self.ratios}
        if self.free_ratios is not None:
            tables["free_ratios"] = self.free_ratios
        tables |= {f"prices.{currency}": prices for currency, prices in self.prices.items()}
        problems = [problem for path, values in tables.items() for problem in _unfit(path, values, items)]
        if problems:
            raise ValueError("\n".join(problems))
        return self


def _unfit(path: str, values: Mapping[str, object], items: tuple[str, ...]) -> Iterator[str]:
    yield from (f".{path}: {item} is missing" for item in items if item not in values)
    yield from (f".{path}: {item} has no tier in this version" for item in values if item not in items)


def _following(versions: list[Version]) -> list[Version]:
    if not versions:
        raise ValueError("needs at least one version")
    if any(earlier.valid_from >= later.valid_from for earlier, later in pairwise(versions)):
        raise ValueError("the versions must follow each other by valid_from, the oldest first")
    return versions


class PolicyTable(Table):
    id: _Id
    name: _Name
    version: Annotated[list[VersionTable], AfterValidator(_following)]


class SeriesTable(Table):
    prefix: _Prefix
    format: _Name = DEFAULT_FORMAT
    reset: Literal["year", "never"] = "year"

    @model_validator(mode="after")
    def _numbers_documents(self) -> Self:
        if problem := format_problem(NumberSeries(prefix=self.prefix, format=self.format, reset=self.reset)):
            raise ValueError(f".format: {problem}")
        return self


class SellerTable(Table):
    id: _Id
    name: _Name
    address: _Address | None = None
    country: _Country | None = None
    tax_id: _TaxId | None = None
    timezone: _TimeZone = "UTC"
    terms_days: _TermsDays = DEFAULT_TERMS_DAYS
    logo: _Logo | None = None
    bank: _Address | None = None
    grace_days: Annotated[int, Field(ge=0, le=365)] = 0
    issue_zero: bool = False
    invoice: SeriesTable = SeriesTable(prefix="INV")
    credit_note: SeriesTable = SeriesTable(prefix="CN")

    _tax_id_fits = model_validator(mode="after")(_check_tax_id)


class TaxVersionTable(Table):
    valid_from: _Day
    category: Category
    rate: _Rate
    prices: Prices = "exclusive"
    rounding: TaxRounding = "half_up"
    text: _Name

    @model_validator(mode="after")
    def _rate_fits_category(self) -> Self:
        if (self.category == "S") != (self.rate > 0):
            raise ValueError(f".rate: {self.rate} does not fit category {self.category}: only S has a rate above 0")
        return self


class TaxTable(Table):
    id: _Id
    version: Annotated[list[TaxVersionTable], AfterValidator(_following)]


class OverdueStepTable(Table):
    state: Literal["reminded", "suspended", "reclaimable"]
    after: _Duration
    from_state: Annotated[_Id | None, Field(alias="from")] = None
    notice: bool = False
    admit: bool = True


class OverduePolicyTable(Table):
    id: _Id
    basis: Literal["balance", "due_on"] = "balance"
    steps: Annotated[list[OverdueStepTable], Field(min_length=1)]


class AccountTable(Table):
    id: _Id
    name: _Name
    currency: _Currency
    timezone: _TimeZone
    policy: _Id
    free_minutes: _FreeMinutes | None = None
    address: _Address | None = None
    hold_if_silent: _Silence | None = None
    seller: _Id | None = None
    tax: _Id | None = None
    overdue_policy: _Id | None = None
    pay_as_you_go: bool = True
    language: Literal["en", "ja", "zh"] = "en"
    mode: Literal["invoice", "prepaid"] = "invoice"
    invoices_from: _Month | None = None
    country: _Country | None = None
    tax_id: _TaxId | None = None
    terms_days: _TermsDays | None = None

    _tax_id_fits = model_validator(mode="after")(_check_tax_id)


class AssumeTable(Table):
    camera: _Size | None = None
    screen: _Size | None = None
    subscribe: _Subscribe | None = None
    kinds: dict[_Id, _Subscribe] = {}


class AppTable(Table):
    id: _AppId
    account: _Id
    name: _Name
    feed: _Feed | None = None
    assume: AssumeTable | None = None


class PackageTable(Table):
    id: _PackageId
    account: _Id
    app: _AppId | None = None
    minutes: _Minutes
    purchased_at: _Instant
    price: _PackagePrice | None = None
    term: Literal["year", "month"] = "year"
    charge: Literal["invoice", "prepaid", "external"] | None = None


class ContractTable(Table):
    account: _Id
    valid_from: _Day
    discount: _Discount | None = None
    prices: _Prices = {}

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.discount is None and not self.prices:
            raise ValueError(
                'gives neither a discount nor prices; write discount = "0.85" or a [contract.prices] table'
            )
        return self


class AlertTable(Table):
    id: _Id
    account: _Id
    app: _AppId | None = None
    package: _Id | None = None
    metric: Literal["minutes", "spend", "package_remaining", "balance"]
    period: Literal["day", "month"] = "month"
    limit: _Amount | None = None
    thresholds: Annotated[list[_Threshold], Field(min_length=1, max_length=20)]

    @model_validator(mode="after")
    def _shares_have_a_limit(self) -> Self:
        if self.limit is None and any(each.endswith("%") for each in self.thresholds):
            raise ValueError("thresholds in percent need a limit")
        if len(set(self.thresholds)) != len(self.thresholds):
            raise ValueError("has a threshold twice")
        return self


class WebhookTable(Table):
    id: _Id
    url: _Url
    secret_file: _Name | None = None
    secret_env: _Name | None = None
    events: list[_Event] = []
    account: _Id | None = None
    allow_private: bool = False

    @model_validator(mode="after")
    def _is_secure(self) -> Self:
        if (self.secret_file is None) == (self.secret_env is None):
            raise ValueError("needs either secret_file or secret_env, which name where its secret is kept")
        if self.url.startswith("http:") and not self.allow_private:
            raise ValueError(f"{self.url} is not encrypted: give an address that begins with https://")
        return self


MODELS: Mapping[str, type[Table]] = {
    "seller": SellerTable,
    "tax": TaxTable,
    "overdue_policy": OverduePolicyTable,
    "policy": PolicyTable,
    "account": AccountTable,
    "app": AppTable,
    "package": PackageTable,
    "contract": ContractTable,
    "alert": AlertTable,
    "webhook": WebhookTable,
}
TABLES_IN_TABLES: Mapping[str, type[Table]] = {
    "tiers": TierTable,
    "assume": AssumeTable,
    "invoice": SeriesTable,
    "credit_note": SeriesTable,
    "steps": OverdueStepTable,
}
VERSIONS: Mapping[type[Table], type[Table]] = {PolicyTable: VersionTable, TaxTable: TaxVersionTable}
