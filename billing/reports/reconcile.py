"""Reconciliation: what a provider states beside what was settled here, cell by cell, and the cause of a difference.

Seconds must be equal; minutes may differ by one where they are rounded, amounts by one minor unit a line. A difference
has a cause when one prediction (`predictions`) meets at least 98 % of the cells that differ, and leaves the others in
agreement. Its `evidence` says in words what was assumed, and how many cells it meets.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl

from billing import periods
from billing.catalog.items import ITEM_RANK, ITEMS
from billing.errors import UsageError
from billing.home import Home
from billing.ledger.catalog_store import load_catalog
from billing.ledger.database import Engine, reading
from billing.money import minor_digits
from billing.reports.foreign_usage import (
    MINUTE,
    SECOND,
    Place,
    Reading,
    days_of,
    read_figures,
    with_neighbours,
)
from billing.reports.own_usage import OwnUsage
from billing.reports.predictions import Predict, Prediction, ours, predictions

FIELDS = (
    *("app_id", "start", "room_id", "item", "unit", "ours", "theirs", "difference"),
    *("status", "cause", "explained", "evidence"),
)
EQUAL, WITHIN, DIFFERS, ONLY_OURS, ONLY_THEIRS = "equal", "within", "differs", "only_ours", "only_theirs"
ACCEPTED = Decimal("0.98")
# A cause is tried on so many cells first; where it misses many of them, it is none.
_SAMPLE, _SAMPLE_SHARE = 200, Decimal("0.9")

_Key = tuple[Place, str]
_Figures = Mapping[_Key, Decimal]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cause:
    """An accepted prediction, the share of the different cells that it meets, and which."""

    prediction: Prediction
    explained: Decimal
    cells: frozenset[_Key]
    of: int

    @property
    def evidence(self) -> str:
        return f"{len(self.cells)} of {self.of} cells agree {self.prediction.evidence}"


def reconcile(home: Home, engine: Engine, file: Path, file_format: str, asked: Reading) -> list[dict[str, object]]:
    """One row (`FIELDS`) for each cell that either side has; `difference` is ours less theirs."""
    zone = asked.zone
    figures = read_figures(file, file_format, asked)
    first, last = days_of(figures, zone)
    apps = tuple(sorted({figure.place.app_id for figure in figures}))
    own = OwnUsage(home=home, engine=engine, apps=apps, first=first, last=last)
    with reading(engine) as conn:
        catalog = load_catalog(conn)
    for app_id in apps:
        catalog.app(app_id)
    theirs = {(figure.place, figure.unit): figure.value for figure in figures}
    used = {key: value for key, value in theirs.items() if key[1] in (SECOND, MINUTE)}
    stated = {**_own_figures(own, zone, used), **_own_amounts(own, zone, theirs)}
    wide_first, wide_last = with_neighbours(first, last)
    wide = OwnUsage(home=home, engine=engine, apps=apps, first=wide_first, last=wide_last)
    cause = _cause(wide, zone, used, {key: value for key, value in stated.items() if key[1] in (SECOND, MINUTE)})
    keys = sorted({*theirs, *stated}, key=_order)
    return [_row(key, stated.get(key), theirs.get(key), cause, zone) for key in keys]


def zone_of(engine: Engine, file: Path, file_format: str, asked: Reading) -> ZoneInfo:
    """The time zone of the accounts whose apps a file names; a `UsageError` if they have several."""
    apps = {figure.place.app_id for figure in read_figures(file, file_format, asked)}
    with reading(engine) as conn:
        catalog = load_catalog(conn)
    zones = {catalog.account(catalog.app(app_id).account).timezone for app_id in apps}
    if len(zones) > 1:
        raise UsageError(f"the apps of {file} are in several time zones ({', '.join(sorted(zones))}): give --timezone")
    return periods.time_zone(zones.pop())


def _own_figures(own: OwnUsage, zone: ZoneInfo, theirs: _Figures) -> dict[_Key, Decimal]:
    """What we state for their cells, and for cells beside them: the other items of the same times and rooms."""
    predict = ours(own, zone)
    shapes = {(place.app_id, place.start, place.end, place.room_id, place.grain, unit) for place, unit in theirs}
    found: dict[_Key, Decimal] = {}
    for app_id, start, end, room_id, grain, unit in shapes:
        for item in ITEMS:
            place = Place(app_id=app_id, start=start, end=end, room_id=room_id, item=item, grain=grain)
            value = predict(place, unit)
            if value or (place, unit) in theirs:
                found[place, unit] = value
    return found | _own_rooms(own, theirs)


def _own_rooms(own: OwnUsage, theirs: _Figures) -> dict[_Key, Decimal]:
    """Rooms of their days that they do not name."""
    days = {(place.app_id, place.start, place.end) for place, _ in theirs if place.room_id is not None}
    if not days:
        return {}
    named = {(place.app_id, place.start, place.room_id) for place, _ in theirs}
    found: dict[_Key, Decimal] = {}
    sums = own.users.group_by("app_id", "day_start", "room_id", "item").agg(pl.col("seconds").sum())
    ends = {(app_id, start): end for app_id, start, end in days}
    for app_id, start, room_id, item, seconds in sums.iter_rows():
        if (app_id, start) in ends and (app_id, start, room_id) not in named and seconds:
            end = ends[app_id, start]
            place = Place(app_id=app_id, start=start, end=end, room_id=room_id, item=item, grain="day")
            found[place, SECOND] = Decimal(seconds)
    return found


def _own_amounts(own: OwnUsage, zone: ZoneInfo, theirs: _Figures) -> dict[_Key, Decimal]:
    money = {(place, unit) for place, unit in theirs if unit not in (SECOND, MINUTE)}
    if not money:
        return {}
    charged = own.charged()
    return {(place, unit): _charged(charged, place, unit, zone) for place, unit in money}


def _charged(
    charged: Mapping[tuple[int, date, str, str], Decimal], place: Place, currency: str, zone: ZoneInfo
) -> Decimal:
    days = periods.days_between(periods.local_day(place.start, zone), periods.local_day(place.end - 1, zone))
    return sum((charged.get((place.app_id, day, place.item, currency), Decimal()) for day in days), Decimal())


def _cause(own: OwnUsage, zone: ZoneInfo, theirs: _Figures, stated: _Figures) -> _Cause | None:
    """The first prediction that explains enough; None: none does, or nothing differs."""
    cells = {key: theirs.get(key, Decimal()) for key in {*theirs, *stated}}
    wrong = {key for key, value in cells.items() if not _agrees(stated.get(key, Decimal()), value, key[1])}
    if not wrong:
        return None
    sample = sorted(wrong)[:: max(1, len(wrong) // _SAMPLE)]
    for prediction in predictions(own, zone, cells):
        if sum(_meets(prediction.predict, key, cells[key]) for key in sample) < _SAMPLE_SHARE * len(sample):
            continue
        met = frozenset(key for key in wrong if _meets(prediction.predict, key, cells[key]))
        if len(met) < ACCEPTED * len(wrong):
            continue
        broken = sum(
            1 for key, value in cells.items() if key not in wrong and not _meets(prediction.predict, key, value)
        )
        explained = Decimal(len(met)) / (len(wrong) + broken)
        if explained >= ACCEPTED:
            share = explained.quantize(Decimal("0.0001"))
            return _Cause(prediction=prediction, explained=share, cells=met, of=len(wrong))
    return None


def _meets(predict: Predict, key: _Key, value: Decimal) -> bool:
    return _agrees(predict(*key), value, key[1])


def _agrees(one: Decimal, other: Decimal, unit: str) -> bool:
    return abs(one - other) <= _tolerance(unit)


def _tolerance(unit: str) -> Decimal:
    if unit == SECOND:
        return Decimal()
    return Decimal(1) if unit == MINUTE else Decimal(1).scaleb(-minor_digits(unit))


def _row(
    key: _Key, stated: Decimal | None, theirs: Decimal | None, cause: _Cause | None, zone: ZoneInfo
) -> dict[str, object]:
    place, unit = key
    is_explained = cause is not None and key in cause.cells
    return {
        "app_id": place.app_id,
        "start": periods.local_iso(place.start, zone),
        "room_id": place.room_id,
        "item": place.item,
        "unit": unit,
        "ours": stated,
        "theirs": theirs,
        "difference": (stated or Decimal()) - (theirs or Decimal()),
        "status": _status(stated, theirs, unit),
        "cause": cause.prediction.cause if cause and is_explained else None,
        "explained": cause.explained if cause and is_explained else None,
        "evidence": cause.evidence if cause and is_explained else None,
    }


def _status(stated: Decimal | None, theirs: Decimal | None, unit: str) -> str:
    if theirs is None:
        return ONLY_OURS
    if not stated and theirs:
        return ONLY_THEIRS
    if stated == theirs:
        return EQUAL
    return WITHIN if _agrees(stated or Decimal(), theirs, unit) else DIFFERS


def _order(key: _Key) -> tuple[object, ...]:
    place, unit = key
    return place.app_id, place.start, place.room_id or "", ITEM_RANK[place.item], unit


def summary(rows: Iterable[Mapping[str, object]]) -> dict[str, int]:
    """How many cells have which status."""
    counts = dict.fromkeys((EQUAL, WITHIN, DIFFERS, ONLY_OURS, ONLY_THEIRS), 0)
    for row in rows:
        counts[str(row["status"])] += 1
    return counts
