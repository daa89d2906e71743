"""Usage in the shapes of the Tencent Cloud API.

`DescribeTrtcUsage`: minutes as they are billed, corrections included: of one day by window of 5 minutes, of several by
day; what was not used is 0. Days that are not settled show what the last refresh knew. A window has the minutes that it
adds to those of its day, so that the rows of a day sum to its bill: 30 s and 20 s of audio are 1 and 0 minutes.

`DescribeRecordingUsage` and `DescribeMixTranscodingUsage` are the same of the tasks of value-added services. A task is
recorded or mixed as a whole, so recordings are those of `MixType` `multi`, and of `single` there are none.

`DescribeTrtcRoomUsage`: the seconds of one local day by room, as CSV.
"""

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime, timedelta
from io import StringIO
from typing import Any, Literal
from zoneinfo import ZoneInfo

import polars as pl

from billing.catalog.catalog import App
from billing.catalog.items import service_item
from billing.periods import WINDOW_SECONDS, day_bounds, day_start, days_between
from billing.reports.usage import app_usage
from billing.web.tencent.arguments import Arguments
from billing.web.tencent.call_errors import CallError, invalid
from billing.web.tencent.readers import Reader

MOST_DAYS = 31
# What the API has a name for, in our order of items.
USAGE_KEYS = {"audio": "Audio", "sd": "SD", "hd": "HD", "fhd": "FullHD", "2k": "2K", "4k": "4K"}
RECORDING_KEYS = {service_item("recording", item): key for item, key in USAGE_KEYS.items()}
MIXING_KEYS = {
    service_item(service, item): f"{codec}{key}"
    for service, codec in (("mix-h264", ""), ("mix-h265", "H265"))
    for item, key in USAGE_KEYS.items()
}
ROOM_HEADER = ("RoomId", "Audio", "SD", "hd", "FullHD", "2K", "4K")

_MINUTE = re.compile(r"(\d{4}-\d{2}-\d{2}) (\d{2}:\d{2})", re.ASCII)
_MIX_TYPES = ("single", "multi")
_DAY_ENDS = ("23:59", "24:00")

# Minutes by epoch second and item.
Minutes = Counter[tuple[int, str]]
# The names of the API by item.
Keys = Mapping[str, str]


def describe_usage(reader: Reader, given: Arguments) -> dict[str, Any]:
    """`DescribeTrtcUsage`."""
    given.allow("StartTime", "EndTime", "SdkAppId")
    return _usage(reader, given, USAGE_KEYS)


def describe_recording(reader: Reader, given: Arguments) -> dict[str, Any]:
    """`DescribeRecordingUsage`."""
    given.allow("StartTime", "EndTime", "MixType", "SdkAppId")
    kind = given.text("MixType")
    if kind not in _MIX_TYPES:
        raise invalid(f"MixType is none of {', '.join(_MIX_TYPES)}")
    return _usage(reader, given, RECORDING_KEYS, is_empty=kind == "single")


def describe_mixing(reader: Reader, given: Arguments) -> dict[str, Any]:
    """`DescribeMixTranscodingUsage`."""
    given.allow("StartTime", "EndTime", "SdkAppId")
    return _usage(reader, given, MIXING_KEYS)


def _usage(reader: Reader, given: Arguments, keys: Keys, *, is_empty: bool = False) -> dict[str, Any]:
    first, last = _period(given)
    apps = [reader.app(given.app())] if given.has("SdkAppId") else reader.apps()
    zone = _common_zone(reader, apps)
    minutes: Minutes = Counter()
    for app in () if is_empty else apps:
        minutes.update(_minutes(reader, app, first, last, zone))
    minutes = Counter({cell: count for cell, count in minutes.items() if cell[1] in keys})
    rows = _window_rows(minutes, first, zone, keys) if first == last else _day_rows(minutes, first, last, zone, keys)
    return {"UsageKey": list(keys.values()), "UsageList": list(rows)}


def _period(given: Arguments) -> tuple[date, date]:
    first, last = given.day("StartTime"), given.day("EndTime")
    if last < first:
        raise invalid("EndTime is before StartTime")
    if len(days_between(first, last)) > MOST_DAYS:
        raise invalid(f"StartTime to EndTime are more than {MOST_DAYS} days: ask for less at a time")
    return first, last


def _common_zone(reader: Reader, apps: Iterable[App]) -> ZoneInfo:
    zones = {reader.zone(app) for app in apps}
    if len(zones) > 1:
        raise CallError("MissingParameter", "give SdkAppId: the days of these apps begin at different times")
    return zones.pop() if zones else ZoneInfo("UTC")


def _minutes(reader: Reader, app: App, first: date, last: date, zone: ZoneInfo) -> Minutes:
    by: Literal["window", "day"] = "window" if first == last else "day"
    usage = app_usage(reader.home, reader.engine, app.id, first, last, by=by, unit="minutes", provisional=True)
    found: Minutes = Counter()
    for row in usage.iter_rows(named=True):
        second = _second_of(row["start"]) if by == "window" else day_start(row["day"], zone)
        found[second, row["item"]] += row["minutes"]
    return found


def _second_of(start: str) -> int:
    return int(datetime.fromisoformat(start).timestamp())


def _window_rows(minutes: Minutes, day: date, zone: ZoneInfo, keys: Keys) -> Iterator[dict[str, Any]]:
    """Every window of the day, and those in which there is usage: a settled day keeps its bounds if the zone moves."""
    for second in sorted({*range(*day_bounds(day, zone), WINDOW_SECONDS), *(second for second, _ in minutes)}):
        yield _row(f"{datetime.fromtimestamp(second, zone):%Y-%m-%d %H:%M:%S}", second, minutes, keys)


def _day_rows(minutes: Minutes, first: date, last: date, zone: ZoneInfo, keys: Keys) -> Iterator[dict[str, Any]]:
    for day in days_between(first, last):
        yield _row(f"{day} 00:00:00", day_start(day, zone), minutes, keys)


def _row(time_key: str, second: int, minutes: Minutes, keys: Keys) -> dict[str, Any]:
    values = [minutes[second, item] for item in keys]
    return {"TimeKey": time_key, "TimeStampKey": second, "UsageValue": values}


def describe_room_usage(reader: Reader, given: Arguments) -> dict[str, Any]:
    """`DescribeTrtcRoomUsage`."""
    given.allow("SdkAppid", "StartTime", "EndTime")
    app, day = reader.app(given.app("SdkAppid")), _whole_day(given)
    usage = app_usage(reader.home, reader.engine, app.id, day, day, by="room", provisional=True)
    return {"Data": _room_csv(usage)}


def _whole_day(given: Arguments) -> date:
    """The local day from its 00:00 to 23:59, 24:00 or the next 00:00."""
    (first, begins), (last, ends) = _minute(given, "StartTime"), _minute(given, "EndTime")
    if (last, ends) <= (first, begins):
        raise invalid("EndTime must be later than StartTime")
    is_day = last == first and ends in _DAY_ENDS
    if begins != "00:00" or not (is_day or (last == first + timedelta(days=1) and ends == "00:00")):
        raise invalid(
            "rooms are counted by whole local days: ask from 00:00 of a day to 00:00 of the next, one day at a time"
        )
    return first


def _minute(given: Arguments, name: str) -> tuple[date, str]:
    found = _MINUTE.fullmatch(given.text(name))
    hour, _, minute = (found[2] if found else "").partition(":")
    if found is None or hour > "24" or minute > "59" or (hour == "24" and minute != "00"):
        raise invalid(f"{name} is not a minute such as 2026-03-10 00:00")
    return Arguments({name: found[1]}).day(name), found[2]


def _room_csv(usage: pl.DataFrame) -> str:
    """The seconds of each room by item; rooms without any are left out, and services."""
    sums = (
        usage.filter(pl.col("item").is_in(list(USAGE_KEYS)))
        .group_by("room_id", "item")
        .agg(pl.col("seconds").sum())
        .filter(pl.col("seconds") != 0)
    )
    seconds = {(room, item): of_item for room, item, of_item in sums.iter_rows()}
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(ROOM_HEADER)
    for room in sorted({room for room, _ in seconds}):
        writer.writerow([room, *(seconds.get((room, item), 0) for item in USAGE_KEYS)])
    return text.getvalue()
