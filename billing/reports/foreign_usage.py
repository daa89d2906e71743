"""Foreign usage: what a provider says was used, read from the files it gives out, in one shape.

A cell is one app, time, room (where the file has rooms) and item, with a quantity in seconds or minutes, or an amount
of money. The formats:

- `trtc-usage`: the answer of Tencent's `DescribeTrtcUsage`, as JSON, or its rows as CSV (`TimeKey,Audio,SD,HD,…`).
  Minutes, by 5-minute window or by day.
- `trtc-room`: the answer of `DescribeTrtcRoomUsage`, as JSON, or its CSV (`RoomId,Audio,SD,hd,…`). Seconds of one day.
- `tencent-bill`: the CSV of Tencent Cloud's bill details. Minutes and pre-tax amounts, by component.
- `agora-usage`: the answer of Agora's usage API, as JSON. Seconds by UTC day.
- `columns`: a CSV with the columns `app_id, start, grain, item, quantity, unit, amount, currency`; `grain` is `window`,
  `day` or `month`, `unit` is `second` or `minute`. `amount` and `currency`, or `quantity` and `unit`, may be empty.

Numbers are read as text, and become exact decimals.
"""

import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from billing.catalog.items import ITEMS
from billing.errors import BillingError, UsageError, unknown
from billing.periods import WINDOW_SECONDS, day_bounds, day_start, local_day, next_month, parse_day, time_zone

if TYPE_CHECKING:
    import pandas as pd

SECOND, MINUTE = "second", "minute"
WINDOW, DAY, MONTH = "window", "day", "month"
GRAINS = (WINDOW, DAY, MONTH)

_TENCENT_ITEMS = {"audio": "audio", "sd": "sd", "hd": "hd", "fullhd": "fhd", "2k": "2k", "4k": "4k"}
_AGORA_ITEMS = {
    "durationAudioAll": "audio",
    "durationVideoHd": "hd",
    "durationVideoHdp": "fhd",
    "durationVideo2k": "2k",
    "durationVideo4k": "4k",
}
# What the names of components contain, the longest first: "Full HD" is no "HD".
_COMPONENT_ITEMS = (
    *(("full hd", "fhd"), ("fullhd", "fhd"), ("ultra hd", "4k"), ("audio", "audio")),
    *(("2k", "2k"), ("4k", "4k"), ("sd", "sd"), ("hd", "hd")),
)
_COLUMNS = ("app_id", "start", "grain", "item", "quantity", "unit", "amount", "currency")
_LARGEST_FILE = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Place:
    """What a figure is about; `[start, end)` in epoch seconds."""

    app_id: int
    start: int
    end: int
    room_id: str | None = None
    item: str
    grain: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignFigure:
    """A quantity (`unit` is `second` or `minute`) or an amount (`unit` is a currency) that somebody else states."""

    place: Place
    unit: str
    value: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a file does not say itself: the app, the day, and the zone of times without offset."""

    zone: ZoneInfo
    app_id: int | None = None
    day: date | None = None

    def app(self, named: str | None = None) -> int:
        """The app of a row."""
        if named and named.strip():
            return _whole(named, "app")
        if self.app_id is None:
            raise UsageError("the file does not name its app: give --app")
        return self.app_id


def read_figures(path: Path, file_format: str, reading: Reading) -> list[ForeignFigure]:
    """The figures of a file; those of one place and unit are summed. A `BillingError` says where it cannot be read."""
    if file_format not in _READERS:
        raise UsageError(unknown("format", file_format, _READERS))
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise BillingError(f"{path} is larger than 256 MiB: split it by day")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise BillingError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BillingError(f"{path} is not UTF-8: save it as UTF-8") from None
    try:
        figures = list(_READERS[file_format](text, reading))
    except (_FaultError, KeyError, TypeError, ValueError) as fault:
        reason = fault if isinstance(fault, _FaultError) else f"a row is not complete ({fault})"
        raise BillingError(f"{path} is not of the format {file_format}: {reason}") from None
    if not figures:
        raise BillingError(f"{path} has no figures of the format {file_format}")
    sums: dict[tuple[Place, str], Decimal] = {}
    for figure in figures:
        key = figure.place, figure.unit
        sums[key] = sums.get(key, Decimal()) + figure.value
    return [ForeignFigure(place=place, unit=unit, value=value) for (place, unit), value in sorted(sums.items())]


class _FaultError(Exception):
    """Where a file is not what its format says."""


def _trtc_usage(text: str, reading: Reading) -> Iterator[ForeignFigure]:
    answer = _json_object(text)
    if answer is None:
        frame = _csv(text, ("TimeKey",))
        keys = [str(name) for name in frame.columns if str(name) != "TimeKey"]
        rows: Iterable[tuple[str, list[str]]] = ((row["TimeKey"], [row[key] for key in keys]) for row in _rows(frame))
    else:
        keys = [str(key) for key in _list(answer, "UsageKey")]
        rows = ((str(row["TimeKey"]), row["UsageValue"]) for row in _list(answer, "UsageList"))
    items = [_item(key, _TENCENT_ITEMS) for key in keys]
    for time, values in rows:
        start, end, grain = _time(time, reading.zone)
        for item, value in zip(items, values, strict=True):
            place = Place(app_id=reading.app(), start=start, end=end, item=item, grain=grain)
            yield ForeignFigure(place=place, unit=MINUTE, value=_number(value, time))


def _trtc_room(text: str, reading: Reading) -> Iterator[ForeignFigure]:
    if reading.day is None:
        raise UsageError("the file does not name its day: give --day")
    answer = _json_object(text)
    frame = _csv(text if answer is None else str(answer.get("Data", "")), ("RoomId",))
    start, end = day_bounds(reading.day, reading.zone)
    for row in _rows(frame):
        room = row.pop("RoomId")
        for key, value in row.items():
            place = Place(
                app_id=reading.app(), start=start, end=end, room_id=room, item=_item(key, _TENCENT_ITEMS), grain=DAY
            )
            yield ForeignFigure(place=place, unit=SECOND, value=_number(value, room))


def _tencent_bill(text: str, reading: Reading) -> Iterator[ForeignFigure]:
    frame = _csv(text, ("Usage Start Time", "Component Name", "Component Usage"))
    amounts = [name for name in ("Amount Before Tax", "Total Cost", "OriginalCost") if name in frame.columns]
    for row in _rows(frame):
        name = row["Component Name"].lower()
        item = next((item for part, item in _COMPONENT_ITEMS if part in name), None)
        if item is None:
            continue  # another product, or a service that is not metered here
        start, end, _ = _time(row["Usage Start Time"][:10], reading.zone)
        place = Place(app_id=reading.app(row.get("Instance ID")), start=start, end=end, item=item, grain=DAY)
        factor = 1000 if "thousand" in row.get("Component Usage Unit", "").lower() else 1
        yield ForeignFigure(place=place, unit=MINUTE, value=_number(row["Component Usage"], name) * factor)
        if amounts and row.get("Currency"):
            yield ForeignFigure(place=place, unit=row["Currency"], value=_number(row[amounts[0]], name))


def _agora_usage(text: str, reading: Reading) -> Iterator[ForeignFigure]:
    answer = _json_object(text)
    if answer is None:
        raise _FaultError("it is no JSON object")
    for usage in _list(answer, "usages"):
        day = str(usage["date"])[:10]
        start, end, grain = _time(day, time_zone("UTC"))
        for key, value in dict(usage["usage"]).items():
            if key in _AGORA_ITEMS:
                place = Place(app_id=reading.app(), start=start, end=end, item=_AGORA_ITEMS[key], grain=grain)
                yield ForeignFigure(place=place, unit=SECOND, value=_number(value, day))


def _columns(text: str, reading: Reading) -> Iterator[ForeignFigure]:
    frame = _csv(text, ("start", "item"))
    if foreign := sorted(set(frame.columns) - set(_COLUMNS)):
        raise _FaultError(f"unknown column {foreign[0]!r}; known are {', '.join(_COLUMNS)}")
    for number, row in enumerate(_rows(frame), 2):
        where = f"line {number}"
        start, end, grain = _time(row["start"], reading.zone, row.get("grain") or None)
        app_id = reading.app(row.get("app_id"))
        place = Place(app_id=app_id, start=start, end=end, item=_item(row["item"], _OWN_ITEMS), grain=grain)
        if row.get("quantity"):
            unit = row.get("unit", "").rstrip("s")
            if unit not in (SECOND, MINUTE):
                raise _FaultError(f"{where}: the unit of a quantity is second or minute, not {row.get('unit')!r}")
            yield ForeignFigure(place=place, unit=unit, value=_number(row["quantity"], where))
        if row.get("amount"):
            if not row.get("currency"):
                raise _FaultError(f"{where}: an amount needs a currency")
            yield ForeignFigure(place=place, unit=row["currency"], value=_number(row["amount"], where))


_OWN_ITEMS = {item: item for item in ITEMS}
_READERS: Mapping[str, Callable[[str, Reading], Iterator[ForeignFigure]]] = {
    "trtc-usage": _trtc_usage,
    "trtc-room": _trtc_room,
    "tencent-bill": _tencent_bill,
    "agora-usage": _agora_usage,
    "columns": _columns,
}
FORMATS = tuple(_READERS)


def _time(text: str, zone: ZoneInfo, grain: str | None = None) -> tuple[int, int, str]:
    """The bounds of a cell and its grain, which without further word follows from the text: a time is a window."""
    try:
        if len(text) == 7:
            return _span(date.fromisoformat(f"{text}-01"), MONTH, zone)
        if len(text) == 10:
            return _span(parse_day(text), grain or DAY, zone)
        at = datetime.fromisoformat(text)
    except (ValueError, BillingError):
        raise _FaultError(f"{text!r} is no time") from None
    second = int((at if at.tzinfo else at.replace(tzinfo=zone)).timestamp())
    if grain in (DAY, MONTH):
        return _span(local_day(second, zone), grain, zone)
    if grain not in (None, WINDOW):
        raise _FaultError(f"the grain is one of {', '.join(GRAINS)}, not {grain!r}")
    if second % WINDOW_SECONDS:
        raise _FaultError(f"{text!r} is not the start of a 5-minute window")
    return second, second + WINDOW_SECONDS, WINDOW


def _span(day: date, grain: str, zone: ZoneInfo) -> tuple[int, int, str]:
    match grain:
        case "day":
            return *day_bounds(day, zone), DAY
        case "month":
            first = day.replace(day=1)
            return day_start(first, zone), day_start(next_month(first), zone), MONTH
        case "window":
            start = day_start(day, zone)
            return start, start + WINDOW_SECONDS, WINDOW
    raise _FaultError(f"the grain is one of {', '.join(GRAINS)}, not {grain!r}")


def _json_object(text: str) -> dict[str, Any] | None:
    """The object of a JSON text, out of its `Response`; None for what is no JSON."""
    if not text.lstrip().startswith("{"):
        return None
    try:
        found = json.loads(text, parse_float=str, parse_int=str)
    except ValueError as error:
        raise _FaultError(f"it is no JSON ({error})") from None
    inner = found.get("Response", found)
    if not isinstance(inner, dict):
        raise _FaultError("Response is no object")
    return inner


def _list(answer: Mapping[str, Any], name: str) -> list[Any]:
    found = answer.get(name)
    if not isinstance(found, list):
        raise _FaultError(f"{name} is missing")
    return found


def _csv(text: str, required: Iterable[str]) -> "pd.DataFrame":
    import pandas as pd

    try:
        frame = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False, skipinitialspace=True)
    except (ValueError, pd.errors.ParserError) as error:
        raise _FaultError(f"it is no CSV ({str(error).splitlines()[0]})") from None
    frame.columns = [str(name).strip() for name in frame.columns]
    if missing := [name for name in required if name not in frame.columns]:
        raise _FaultError(f"the column {missing[0]} is missing")
    return frame


def _rows(frame: "pd.DataFrame") -> list[dict[str, str]]:
    return [{str(name): str(value) for name, value in row.items()} for row in frame.to_dict("records")]


def _item(name: str, items: Mapping[str, str]) -> str:
    found = items.get(name.strip().lower().replace(" ", ""))
    if found is None:
        raise _FaultError(unknown("item", name, items))
    return found


def _number(value: object, where: str) -> Decimal:
    try:
        number = Decimal(str(value).replace(",", "").strip() or "0")
    except InvalidOperation:
        raise _FaultError(f"{where}: {value!r} is no number") from None
    if not number.is_finite():
        raise _FaultError(f"{where}: {value!r} is no number")
    return number


def _whole(text: str, noun: str) -> int:
    if not text.strip().isdecimal():
        raise _FaultError(f"{text!r} is no {noun}")
    return int(text)


def days_of(figures: Iterable[ForeignFigure], zone: ZoneInfo) -> tuple[date, date]:
    """The first and last local day that the figures touch."""
    places = [figure.place for figure in figures]
    first, last = min(place.start for place in places), max(place.end for place in places)
    return local_day(first, zone), local_day(last - 1, zone)


def with_neighbours(first: date, last: date) -> tuple[date, date]:
    """The days, and one more on each side: those of another time zone reach into them."""
    return first - timedelta(days=1), last + timedelta(days=1)
