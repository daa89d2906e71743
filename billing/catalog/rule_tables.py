"""The tables of a policy's version that begins with a meter, as pydantic models (docs/policies.md).

What does not fit together within a table is a `ValueError` that says what to write instead.
"""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator, model_validator

from billing.catalog import file_values as values
from billing.catalog.file_values import MOST_MINUTES
from billing.catalog.items import AUDIO, ITEM_RANK, ITEMS, VIDEO_ITEMS

LARGEST_AREA = 2**53
HIGHEST_RATIO = 1_000_000
DAY_SECONDS = 86_400

_Item = Annotated[str, PlainValidator(values.item)]
_Area = Annotated[int, Field(ge=1, le=LARGEST_AREA)]
_Whole = Annotated[int, Field(ge=1, le=HIGHEST_RATIO)]
_Price = Annotated[Decimal, PlainValidator(values.price)]
_Discount = Annotated[Decimal, PlainValidator(values.discount)]
_Amount = Annotated[Decimal, PlainValidator(values.package_price)]
_Reason = Literal["disconnect_grace", "alone_in_room", "no_video_received", "camera", "screen_share"]
_Per = Literal["app", "item", "stay"]
_PERS: tuple[list[str], ...] = (["app", "item"], ["app"], ["item"], [], ["stay"])


class Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class CheckedTable(Table):
    """A table of which the parts must fit together: `_problems` says where they do not."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if problems := list(self._problems()):
            raise ValueError("\n".join(problems))
        return self

    def _problems(self) -> Iterator[str]:
        raise NotImplementedError


class MeterItemTable(Table):
    name: _Item
    top: _Area | None = None
    below: Annotated[int, Field(ge=2, le=LARGEST_AREA)] | None = None

    @property
    def top_area(self) -> int | None:
        """The largest area of the item."""
        return self.top if self.below is None else self.below - 1


def _from_small_to_large(items: list[MeterItemTable]) -> list[MeterItemTable]:
    if problems := list(_item_problems(items)):
        raise ValueError("\n".join(problems))
    return items


def _item_problems(items: list[MeterItemTable]) -> Iterator[str]:
    if not items:
        yield 'at least one item is needed, such as { name = "audio" }'
        return
    first, video = items[0], items[1:]
    if any(each.top is not None and each.below is not None for each in items):
        yield "an item has both top and below; keep one"
    if first.top_area is not None:
        yield f"{first.name}: the first item is that of seconds without video; leave out its top"
    if not video:
        return
    if any(each.name not in VIDEO_ITEMS for each in video) or first.name in VIDEO_ITEMS:
        yield f"an item without video comes first, then items of {', '.join(VIDEO_ITEMS)}"
    if any(lower >= upper for lower, upper in pairwise(ITEM_RANK[each.name] for each in video)):
        yield f"the items must come in the order {', '.join(ITEMS)}, each at most once"
    tops = [each.top_area for each in video]
    bounds = [top for top in tops if top is not None]
    if tops[-1] is not None or len(bounds) != len(tops) - 1:
        yield "every item of video needs its top (or below) but the last, which takes every larger area"
    elif any(lower >= upper for lower, upper in pairwise(bounds)):
        yield "each top must be larger than the one before"


class MeterTable(CheckedTable):
    count: Literal["user", "stream", "stay"] = "user"
    area: Literal["sum", "each"] | None = None
    items: Annotated[list[MeterItemTable], AfterValidator(_from_small_to_large)]
    free_when: list[_Reason] = []

    def _problems(self) -> Iterator[str]:
        area = "each" if self.count == "stream" else "sum"
        if self.area not in (None, area):
            yield f'area: count = "{self.count}" goes with area = "{area}"'
        if self.count == "stay" and len(self.items) > 1:
            yield 'items: a stay has one item; keep one, such as { name = "connection" }'
        if self.count == "stay" and self.free_when:
            yield "free_when: a stay is billed as a whole; leave it out"


_NO_ITEM = "is no item of the service"


class ServiceItemTable(Table):
    name: Literal["audio", "sd", "hd", "fhd", "2k", "4k"]
    top: _Area | None = None


class ServiceTable(CheckedTable):
    """A value-added service; its items have short names here."""

    name: Annotated[str, PlainValidator(values.service)]
    items: list[ServiceItemTable]
    least_inputs: Annotated[int, Field(ge=0, le=1_000)] = 0
    period: Literal["day", "month"] = "day"
    free_ratios: dict[str, _Whole] = {}
    price: dict[str, dict[str, _Price]]

    def _problems(self) -> Iterator[str]:
        names = [each.name for each in self.items]
        if not set(names) & set(VIDEO_ITEMS):
            yield '.items: at least one item of video is needed, such as { name = "hd" }'
            return
        audio = [] if names[0] == AUDIO else [MeterItemTable(name=AUDIO)]
        found = [MeterItemTable(name=each.name, top=each.top) for each in self.items]
        yield from (f".items: {problem}" for problem in _item_problems(audio + found))
        if self.free_ratios:
            yield from unfit("free_ratios", self.free_ratios, names, otherwise=_NO_ITEM)
        for currency, prices in self.price.items():
            yield from unfit(f"price.{currency}", prices, names, otherwise=_NO_ITEM)


def unfit(path: str, values: Mapping[str, object], items: Sequence[str], *, otherwise: str) -> Iterator[str]:
    """What is said where there is no value for an item, or one for something else."""
    yield from (f".{path}: {item} is missing" for item in items if item not in values)
    yield from (f".{path}: {item} {otherwise}" for item in values if item not in items)


def one_of_each(services: list[ServiceTable]) -> list[ServiceTable]:
    """The services, or a `ValueError` where one is there twice."""
    names = [service.name for service in services]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"{twice} is there twice; keep one [[version.service]] of each name")
    return services


Services = Annotated[list[ServiceTable], AfterValidator(one_of_each)]


class QuantityTable(Table):
    period: Literal["day", "month"] = "day"
    step: Annotated[int, Field(ge=1, le=DAY_SECONDS)] = 60
    mode: Literal["up", "down", "exact"] = "up"
    per: list[_Per] = ["app", "item"]
    weights: dict[_Item, _Whole] = {}

    @model_validator(mode="after")
    def _is_a_cell(self) -> Self:
        if sorted(self.per) not in _PERS:
            raise ValueError('.per: write ["app", "item"], ["app"], ["item"], [] or ["stay"]')
        if self.weights and "item" in self.per:
            raise ValueError('.weights: items are weighed where they are counted together; write per = [] or ["app"]')
        return self


class AllowanceTable(Table):
    amount: Annotated[int, Field(ge=0, le=MOST_MINUTES)]
    scope: Literal["account", "app"] = "account"
    ratios: dict[_Item, _Whole] = {}
    order: Literal["time", "items"] = "time"

    @model_validator(mode="after")
    def _is_shared_in_one_way(self) -> Self:
        if self.scope == "app" and self.order == "items":
            raise ValueError('.order: minutes of each app are taken as they are used; leave it out, or write "time"')
        return self


class SlabTable(Table):
    upto: Annotated[int, Field(ge=1, le=MOST_MINUTES)] | None = None
    discount: _Discount | None = None
    price: _Price | None = None


class FeeTable(Table):
    base: _Amount = Decimal(0)
    minimum: _Amount = Decimal(0)


class MoneyTable(Table):
    round: Literal["half_up", "down"] = "half_up"


class PriceTable(Table):
    """Prices by item, and the slabs."""

    model_config = ConfigDict(extra="allow", strict=True)
    __pydantic_extra__: dict[_Item, _Price]
    ladder: list[SlabTable] | None = None

    @model_validator(mode="after")
    def _ladder_ascends(self) -> Self:
        if self.ladder is not None and (problems := list(_ladder_problems(self.ladder))):
            raise ValueError("\n".join(problems))
        return self

    def problems(self, path: str, items: tuple[str, ...]) -> Iterator[str]:
        """What is said about prices that are not those of the items."""
        prices: Mapping[str, Any] = self.__pydantic_extra__ or {}
        needs_prices = not self.ladder or any(slab.price is None for slab in self.ladder)
        if needs_prices:
            yield from (f".{path}: {item} is missing" for item in items if item not in prices)
        yield from (f".{path}: {item} is no item of the meter" for item in prices if item not in items)


def _ladder_problems(slabs: list[SlabTable]) -> Iterator[str]:
    if not slabs or slabs[-1].upto is not None or any(slab.upto is None for slab in slabs[:-1]):
        yield ".ladder: every slab needs its upto but the last, which has none"
    if any(lower >= upper for lower, upper in pairwise(slab.upto for slab in slabs if slab.upto is not None)):
        yield ".ladder: each upto must be larger than the one before"
    if any((slab.discount is None) == (slab.price is None) for slab in slabs):
        yield '.ladder: each slab needs a discount such as "0.95", or a price'
