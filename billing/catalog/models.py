"""The tables of a catalog file, as pydantic models: which keys each has; what a value may be is in `file_values`.

Types are strict, and unknown keys are mistakes. What does not fit together within a table is a `ValueError` that says
what to write instead.
"""

from collections.abc import Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Annotated, Literal, Self, TypeVar

from pydantic import AfterValidator, Discriminator, Field, PlainValidator, Tag, model_validator

from billing.catalog import file_values as values
from billing.catalog.file_values import MOST_MINUTES, asking
from billing.catalog.items import AUDIO, ITEM_RANK, VIDEO_ITEMS
from billing.catalog.overdue import step_from_table, step_problems
from billing.catalog.rule_tables import (
    HIGHEST_RATIO,
    LARGEST_AREA,
    AllowanceTable,
    CheckedTable,
    FeeTable,
    MeterItemTable,
    MeterTable,
    MoneyTable,
    PriceTable,
    QuantityTable,
    Services,
    SlabTable,
    Table,
    unfit,
)
from billing.catalog.sellers import DEFAULT_FORMAT, check_format
from billing.catalog.tax_ids import check_tax_id
from billing.limits import LARGEST_APP_ID

_LONGEST_TERMS_DAYS = 3650
_LONGEST_GRACE_DAYS = 365

_Id = Annotated[str, PlainValidator(values.identifier)]
_Name = Annotated[str, PlainValidator(values.name)]
_Address = Annotated[str, PlainValidator(values.address)]
_AppId = Annotated[int, Field(ge=1, le=LARGEST_APP_ID)]
_FreeMinutes = Annotated[int, Field(ge=0, le=MOST_MINUTES)]
_Day = Annotated[date, PlainValidator(values.day)]
_Item = Annotated[str, PlainValidator(values.item)]
_Currency = Annotated[str, PlainValidator(values.currency)]
_Prices = dict[_Item, Annotated[Decimal, PlainValidator(values.price)]]
_Ratios = dict[_Item, Annotated[int, Field(ge=1, le=HIGHEST_RATIO)]]
_PackageSize = Annotated[str, PlainValidator(values.package_size)]
_PackagePrice = Annotated[Decimal, PlainValidator(values.package_price)]
_VideoItem = Annotated[str, PlainValidator(values.video_item)]
_PackageId = Annotated[str, PlainValidator(values.package_id)]
_TimeZone = Annotated[str, PlainValidator(values.timezone)]
_Instant = Annotated[datetime, PlainValidator(values.instant)]
_Discount = Annotated[Decimal, PlainValidator(values.discount)]
_Area = Annotated[int, Field(ge=1, le=LARGEST_AREA)]
_Minutes = Annotated[int, Field(ge=1, le=MOST_MINUTES)]
_Silence = Annotated[str, PlainValidator(values.silence)]
_Feed = Annotated[list[str], PlainValidator(values.feed)]
_Size = Annotated[str, PlainValidator(values.size)]
_Subscribe = Literal["all", "none"]
_Country = Annotated[str, PlainValidator(values.country)]
_TaxId = Annotated[str, PlainValidator(values.tax_id)]
_TermsDays = Annotated[int, Field(ge=0, le=_LONGEST_TERMS_DAYS)]
_GraceDays = Annotated[int, Field(ge=0, le=_LONGEST_GRACE_DAYS)]
_Picture = Annotated[str, PlainValidator(values.picture)]
_Prefix = Annotated[str, PlainValidator(values.prefix)]
_NumberFormat = Annotated[str, PlainValidator(values.number_format)]
_Month = Annotated[date, PlainValidator(values.month)]
_Rate = Annotated[Decimal, PlainValidator(values.rate)]
_Wait = Annotated[str, PlainValidator(values.waiting_time)]
_Limit = Annotated[Decimal, PlainValidator(values.alert_limit)]
_Threshold = Annotated[str, PlainValidator(values.threshold)]
_Url = Annotated[str, PlainValidator(values.web_address)]
_SecretFile = Annotated[str, PlainValidator(values.secret_file)]
_SecretVariable = Annotated[str, PlainValidator(values.secret_variable)]
_Event = Annotated[str, PlainValidator(values.event)]
_State = Literal["reminded", "suspended", "reclaimable"]


class _DatedTable(Table):
    valid_from: _Day


_Version = TypeVar("_Version", bound=_DatedTable)


class TierTable(Table):
    item: _VideoItem
    top_area: _Area | None = None


def _ascending(tiers: list[TierTable]) -> list[TierTable]:
    if not tiers or tiers[-1].top_area is not None or any(tier.top_area is None for tier in tiers[:-1]):
        raise ValueError("every tier needs its top_area but the last, which has none: it takes every larger area")
    if any(lower >= upper for lower, upper in pairwise(tier.top_area for tier in tiers if tier.top_area is not None)):
        raise ValueError("each top_area must be larger than the one before")
    if any(lower >= upper for lower, upper in pairwise(ITEM_RANK[tier.item] for tier in tiers)):
        raise ValueError(f"the tiers must come in the order {', '.join(VIDEO_ITEMS)}, each at most once")
    return tiers


_NO_TIER = "has no tier in this version"


class VersionTable(_DatedTable):
    """A version with `method` and `tiers`."""

    method: Literal["aggregate", "per_stream"]
    tiers: Annotated[list[TierTable], AfterValidator(_ascending)]
    ratios: _Ratios
    free_minutes: _FreeMinutes
    free_ratios: _Ratios | None = None
    prices: dict[_Currency, _Prices] = Field(default_factory=dict)
    package_prices: dict[_Currency, dict[_PackageSize, _PackagePrice]] = Field(default_factory=dict)
    money: MoneyTable | None = None
    service: Services = Field(default_factory=list)

    @model_validator(mode="after")
    def _prices_and_ratios_fit_the_tiers(self) -> Self:
        """There is a value for each of the version's items, and for no other."""
        items = (AUDIO, *(tier.item for tier in self.tiers))
        tables: dict[str, Mapping[str, object]] = {"ratios": self.ratios}
        if self.free_ratios is not None:
            tables["free_ratios"] = self.free_ratios
        tables |= {f"prices.{currency}": prices for currency, prices in self.prices.items()}
        problems = [
            problem for path, values in tables.items() for problem in unfit(path, values, items, otherwise=_NO_TIER)
        ]
        if problems:
            raise ValueError("\n".join(problems))
        return self


class MeteredVersionTable(CheckedTable, _DatedTable):
    """A version with a `meter`."""

    meter: list[MeterTable]
    quantity: QuantityTable = Field(default_factory=QuantityTable)
    ratios: _Ratios | None = None
    allowance: list[AllowanceTable] = Field(default_factory=list)
    price: dict[_Currency, PriceTable] = Field(default_factory=dict)
    package_prices: dict[_Currency, dict[_PackageSize, _PackagePrice]] = Field(default_factory=dict)
    fee: dict[_Currency, FeeTable] = Field(default_factory=dict)
    money: MoneyTable | None = None
    service: Services = Field(default_factory=list)

    def _problems(self) -> Iterator[str]:
        if len(self.meter) != 1:
            yield ".meter: write one [[version.meter]]"
            return
        if len(self.allowance) > 1:
            yield ".allowance: write at most one [[version.allowance]]"
        (meter,) = self.meter
        items = tuple(each.name for each in meter.items)
        yield from self._quantity_problems(meter, items)
        yield from self._service_problems()
        tables: dict[str, Mapping[str, object]] = {} if self.ratios is None else {"ratios": self.ratios}
        for path, of_items in tables.items():
            yield from unfit(path, of_items, items, otherwise=_NO_TIER)
        for allowance in self.allowance:
            if allowance.ratios:
                yield from unfit("allowance.ratios", allowance.ratios, items, otherwise=_NO_TIER)
            if allowance.scope == "app" and not {"app", "stay"} & set(self.quantity.per):
                yield '.allowance.scope: apps are counted together; write scope = "account"'
        for currency, prices in self.price.items():
            yield from prices.problems(f"price.{currency}", items)

    def _service_problems(self) -> Iterator[str]:
        """Services are counted as TRTC counts them."""
        quantity = self.quantity
        counts_otherwise = (sorted(quantity.per), quantity.step, quantity.mode) != (["app", "item"], 60, "up")
        is_graduated = any(prices.ladder for prices in self.price.values())
        if self.service and (counts_otherwise or is_graduated or any(each.order == "items" for each in self.allowance)):
            yield (
                ".service: a service goes with minutes rounded up per app and item, flat prices and free minutes in "
                "order of time; leave out the service, or what counts otherwise"
            )

    def _quantity_problems(self, meter: MeterTable, items: tuple[str, ...]) -> Iterator[str]:
        quantity = self.quantity
        if (meter.count == "stay") != (quantity.per == ["stay"]):
            yield '.quantity: count = "stay" goes with per = ["stay"]'
        if meter.count == "stay" and (quantity.step, quantity.mode) != (60, "up"):
            yield ".quantity: a stay is counted in started minutes; leave out step and mode"
        yield from (
            f".quantity.weights: {each} is no item of the meter" for each in quantity.weights if each not in items
        )


def _following(versions: list[_Version]) -> list[_Version]:
    if not versions:
        raise ValueError("at least one version is needed")
    if any(earlier.valid_from >= later.valid_from for earlier, later in pairwise(versions)):
        raise ValueError("the versions must follow each other by valid_from, the oldest first")
    return versions


def _shape(table: object) -> str:
    has_meter = "meter" in table if isinstance(table, Mapping) else hasattr(table, "meter")
    return METERED if has_meter else TIERED


# The two shapes of a version, as they stand in the places of mistakes.
TIERED, METERED = "(tiered)", "(metered)"
_PolicyVersion = Annotated[
    Annotated[VersionTable, Tag(TIERED)] | Annotated[MeteredVersionTable, Tag(METERED)], Discriminator(_shape)
]


class PolicyTable(Table):
    id: _Id
    name: _Name
    version: Annotated[list[_PolicyVersion], AfterValidator(_following)]


class SeriesTable(Table):
    prefix: _Prefix
    format: _NumberFormat = DEFAULT_FORMAT
    reset: Literal["year", "never"] = "year"

    @model_validator(mode="after")
    def _numbers_differ(self) -> Self:
        asking(lambda text: check_format(text, self.reset), self.format)
        return self


class PartyTable(Table):
    """The keys of a seller and of an account that name a party to taxes."""

    @model_validator(mode="after")
    def _tax_id_is_of_the_country(self) -> Self:
        country, tax_id = getattr(self, "country", None), getattr(self, "tax_id", None)
        if country and tax_id:
            check_tax_id(country, tax_id)
        return self


class SellerTable(PartyTable):
    id: _Id
    name: _Name
    address: _Address | None = None
    country: _Country | None = None
    tax_id: _TaxId | None = None
    timezone: _TimeZone = "UTC"
    terms_days: _TermsDays = 30
    logo: _Picture | None = None
    bank: _Address | None = None
    grace_days: _GraceDays = 0
    issue_zero: bool = False
    invoice: SeriesTable | None = None
    credit_note: SeriesTable | None = None


class TaxVersionTable(_DatedTable):
    category: Literal["S", "AE", "O", "E", "Z", "G"]
    rate: _Rate
    prices: Literal["exclusive", "inclusive"] = "exclusive"
    rounding: Literal["half_up", "up", "down"] = "half_up"
    text: _Name

    @model_validator(mode="after")
    def _rate_is_of_the_category(self) -> Self:
        if self.category == "S" and not self.rate:
            raise ValueError('the rate of category S is above 0; for a rate of 0 write category "Z", "E" or "O"')
        if self.category != "S" and self.rate:
            raise ValueError(f'the rate of category {self.category} is 0; write rate = "0", or category = "S"')
        return self


class TaxTable(Table):
    id: _Id
    version: Annotated[list[TaxVersionTable], AfterValidator(_following)]


class StepTable(Table):
    state: _State
    after: _Wait
    from_state: Annotated[_State | None, Field(alias="from")] = None
    notice: bool = False
    admit: bool = True


def _in_order(steps: list[StepTable]) -> list[StepTable]:
    if not steps:
        raise ValueError("at least one step is needed")
    read = tuple(step_from_table(step.model_dump(by_alias=True)) for step in steps)
    if problems := list(step_problems(read)):
        raise ValueError("\n".join(problems))
    return steps


class OverduePolicyTable(Table):
    id: _Id
    basis: Literal["balance", "due_on"] = "balance"
    steps: Annotated[list[StepTable], AfterValidator(_in_order)]


class AccountTable(PartyTable):
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


class AssumeTable(Table):
    camera: _Size | None = None
    screen: _Size | None = None
    subscribe: _Subscribe | None = None
    kinds: dict[_Id, _Subscribe] = Field(default_factory=dict)


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
    prices: _Prices = Field(default_factory=dict)

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.discount is None and not self.prices:
            raise ValueError(
                'gives neither a discount nor prices; write discount = "0.85" or a [contract.prices] table'
            )
        return self


class AlertTable(CheckedTable):
    id: _Id
    account: _Id
    app: _AppId | None = None
    package: _PackageId | None = None
    metric: Literal["minutes", "spend", "package_remaining", "balance"]
    period: Literal["day", "month"] = "month"
    limit: _Limit | None = None
    thresholds: list[_Threshold]

    def _problems(self) -> Iterator[str]:
        if not self.thresholds or len(set(self.thresholds)) != len(self.thresholds):
            yield 'thresholds: give one or more, each once, such as ["80%", "100%"]'
        if self.limit is None and any(each.endswith("%") for each in self.thresholds):
            yield 'limit: is missing; a threshold in percent is one of the limit: write limit = "500", or an amount'
        if self.metric != "balance" and any(each.startswith("-") for each in self.thresholds):
            yield f"thresholds: {self.metric} is never below 0; leave out the minus sign"
        if self.package is not None and self.metric != "package_remaining":
            yield f"package: {self.metric} is not a metric of a package; leave it out"
        if self.app is not None and self.metric == "balance":
            yield "app: a balance is that of an account; leave it out"


class WebhookTable(CheckedTable):
    id: _Id
    url: _Url
    secret_file: _SecretFile | None = None
    secret_env: _SecretVariable | None = None
    events: list[_Event] = Field(default_factory=list)
    account: _Id | None = None
    allow_private: bool = False

    def _problems(self) -> Iterator[str]:
        if self.secret_file is None and self.secret_env is None:
            yield 'has no secret; write secret_file = "hook.secret" or secret_env = "HOOK_SECRET"'
        if self.secret_file is not None and self.secret_env is not None:
            yield "has two secrets; keep secret_file or secret_env"
        if self.url.startswith("http://") and not self.allow_private:
            yield "url: must begin with https://; http:// needs allow_private = true"
        if len(set(self.events)) != len(self.events):
            yield "events: names an event twice"


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
# The tables within a table, by their key.
TABLES_IN_TABLES: Mapping[type[Table], Mapping[str, type[Table]]] = {
    SellerTable: {"invoice": SeriesTable, "credit_note": SeriesTable},
    TaxTable: {"version": TaxVersionTable},
    OverduePolicyTable: {"steps": StepTable},
    PolicyTable: {"version": VersionTable},
    VersionTable: {
        TIERED: VersionTable,
        METERED: MeteredVersionTable,
        "tiers": TierTable,
        "money": MoneyTable,
    },
    MeteredVersionTable: {
        "meter": MeterTable,
        "quantity": QuantityTable,
        "allowance": AllowanceTable,
        "price": PriceTable,
        "fee": FeeTable,
        "money": MoneyTable,
    },
    MeterTable: {"items": MeterItemTable},
    PriceTable: {"ladder": SlabTable},
    AppTable: {"assume": AssumeTable},
}


def keys(model: type[Table]) -> list[str]:
    """The keys that a table may have, as a file writes them."""
    return [field.alias or name for name, field in model.model_fields.items()]
