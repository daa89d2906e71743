"""Predictions: what somebody else would state for a cell if one named thing were the cause of a difference.

    unit            their minutes are our seconds, or the other way round
    time_zone       their days and windows are those of another zone
    rounding        they round seconds up by window, by room or by stay, where we do it by day
    method          they count each stream where we sum areas, or the other way round
    grace, alone    they do not bill the wait after a disconnect, or who is alone in a room
    recorders       they leave out users that a server runs
    doubled         they count everything several times
    late_events     they do not know what came after their snapshot
    gap             they know nothing of some windows

Each predicts from our own seconds; none is fitted to a single cell. One cause at a time, alone or together with `unit`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from zoneinfo import ZoneInfo

from billing.periods import WINDOW_SECONDS, day_bounds, day_start, days_between, local_day, local_iso
from billing.rating.deductions import whole_minutes
from billing.reports.foreign_usage import DAY, MINUTE, MONTH, SECOND, WINDOW, Place
from billing.reports.own_usage import OwnUsage, View

_QUARTER = 900
_FARTHEST_SHIFTS = 14 * 4
_MOST_COPIES = 4

Predict = Callable[[Place, str], Decimal]
States = Mapping[tuple[Place, str], Decimal]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """A cause, in words (`evidence`), and what it predicts for a place in a unit."""

    cause: str
    evidence: str
    predict: Predict


def ours(own: OwnUsage, zone: ZoneInfo) -> Predict:
    """What we state: seconds as they are, minutes rounded up by app, item and day."""
    return _by_day(own.view(), zone)


def predictions(own: OwnUsage, zone: ZoneInfo, theirs: States) -> Iterator[Prediction]:
    """All causes, cheap ones first; each alone, and then together with the other unit."""
    for flipped in (False, True):
        if flipped:
            yield _in_other_unit(Prediction(cause="unit", evidence="", predict=ours(own, zone)))
            yield _times_sixty(own, zone)
        for prediction in _causes(own, zone, theirs):
            yield _in_other_unit(prediction) if flipped else prediction


def _causes(own: OwnUsage, zone: ZoneInfo, theirs: States) -> Iterator[Prediction]:
    has_rooms = any(place.room_id is not None for place, _ in theirs)
    yield from _copies(own, zone)
    yield from _reasons(own, zone)
    yield from _earlier_knowledge(own, zone)
    if not has_rooms:
        yield from _roundings(own, zone)
        yield from _shifts(own, zone)
        yield from _gaps(own, zone, theirs)
        yield Prediction(
            cause="method",
            evidence="with each stream counted, or areas summed",
            predict=_by_day(own.other_method(), zone),
        )
    yield Prediction(
        cause="recorders",
        evidence="without users whose role is a recorder",
        predict=_of_users(own.view(recorders=False)),
    )


def _by_day(view: View, zone: ZoneInfo) -> Predict:
    def predict(place: Place, unit: str) -> Decimal:
        if place.room_id is not None:
            return _rounded([view.in_room(place)], unit)
        seconds = view.between(place.app_id, place.item, place.start, place.end)
        if unit == SECOND or place.grain == DAY:
            return _rounded([seconds], unit)
        if place.grain == MONTH:
            return _rounded([view.between(place.app_id, place.item, *bounds) for bounds in _days(place, zone)], unit)
        start = day_start(local_day(place.start, zone), zone)
        before = view.between(place.app_id, place.item, start, place.start)
        return Decimal(whole_minutes(before + seconds) - whole_minutes(before))

    return predict


def _of_users(view: View) -> Predict:
    def predict(place: Place, unit: str) -> Decimal:
        return _rounded([view.in_room(place)], unit)

    return predict


def _copies(own: OwnUsage, zone: ZoneInfo) -> Iterator[Prediction]:
    once = ours(own, zone)
    for count in range(2, _MOST_COPIES + 1):
        yield Prediction(
            cause="doubled",
            evidence=f"with everything counted {count} times",
            predict=lambda place, unit, count=count: once(place, unit) * count,  # type: ignore[misc]
        )


def _reasons(own: OwnUsage, zone: ZoneInfo) -> Iterator[Prediction]:
    for cause, reason, words in (
        ("grace", "disconnect_grace", "without the wait of 90 s after a disconnect"),
        ("alone", "alone_in_room", "without users who are alone in a room"),
    ):
        yield Prediction(cause=cause, evidence=words, predict=_by_day(own.view(without=[reason]), zone))


def _earlier_knowledge(own: OwnUsage, zone: ZoneInfo) -> Iterator[Prediction]:
    runs = own.correcting_runs
    for run, known in zip(runs, [own.settling_run, *runs], strict=False):
        yield Prediction(
            cause="late_events",
            evidence=f"as known before run {run} corrected it",
            predict=_by_day(own.view(runs=min(known, run - 1)), zone),
        )


def _roundings(own: OwnUsage, zone: ZoneInfo) -> Iterator[Prediction]:
    view, by_day = own.view(), ours(own, zone)

    def windows(place: Place, unit: str) -> Decimal:
        return _rounded(view.by_window(place), unit)

    yield Prediction(cause="rounding_window", evidence="rounded up in each 5-minute window", predict=windows)
    yield Prediction(
        cause="rounding_month",
        evidence="rounded up once in the month",
        predict=lambda place, unit: (
            _rounded([view.between(place.app_id, place.item, place.start, place.end)], unit)
            if place.grain == MONTH
            else by_day(place, unit)
        ),
    )
    for cause, words, keys in (
        ("rounding_room", "rounded up in each room and day", ("room_id",)),
        ("rounding_stay", "rounded up for each user of a room and day", ("room_id", "user_id")),
    ):
        yield Prediction(
            cause=cause,
            evidence=words,
            predict=lambda place, unit, keys=keys: (  # type: ignore[misc]
                by_day(place, unit) if place.grain == WINDOW else _rounded(view.parts(place, keys), unit)
            ),
        )


def _shifts(own: OwnUsage, zone: ZoneInfo) -> Iterator[Prediction]:
    for quarters in sorted(range(-_FARTHEST_SHIFTS, _FARTHEST_SHIFTS + 1), key=abs):
        if quarters:
            hours = Decimal(quarters) / 4
            yield Prediction(
                cause="time_zone",
                evidence=f"with their clock {abs(hours)} h {'behind' if quarters > 0 else 'ahead of'} ours",
                predict=_by_day(own.view(shift=quarters * _QUARTER), zone),
            )


def _gaps(own: OwnUsage, zone: ZoneInfo, theirs: States) -> Iterator[Prediction]:
    """The windows of which they know nothing, where one gap in a day explains every item of it at once."""
    view, gaps = own.view(), []
    for app_id, day in sorted({(place.app_id, local_day(place.start, zone)) for place, _ in theirs}):
        cells = {key: value for key, value in theirs.items() if _is_of(key[0], app_id, day, zone)}
        if gap := _gap(view, _by_day(view, zone), cells, day_bounds(day, zone)):
            gaps.append(gap)
    if gaps:
        start, end = gaps[0]
        more = f", and on {len(gaps) - 1} more days" if len(gaps) > 1 else ""
        words = f"without {(end - start) // 60} minutes from {local_iso(start, zone)[:16].replace('T', ' ')}{more}"
        known = _by_day(replace(view, gaps=tuple(gaps)), zone)
        yield Prediction(cause="gap", evidence=words, predict=known)


def _gap(view: View, by_day: Predict, cells: States, bounds: tuple[int, int]) -> tuple[int, int] | None:
    """The gap of a day: the windows from the first that they lack to the last; or, where they state the day as a whole,
    the shortest that makes its cells agree, if they are two or more. (One alone fits too many.)"""
    wrong = [place for (place, unit), value in cells.items() if abs(by_day(place, unit) - value) > _slack(unit)]
    if not wrong:
        return None
    if all(place.grain == WINDOW for place in wrong):
        return min(place.start for place in wrong), max(place.end for place in wrong)
    by_item = {key: value for key, value in cells.items() if key[0].grain == DAY}
    return _shortest_gap(view, by_item, bounds) if len(by_item) > 1 else None


def _shortest_gap(view: View, cells: States, bounds: tuple[int, int]) -> tuple[int, int] | None:
    for length in range(WINDOW_SECONDS, bounds[1] - bounds[0], WINDOW_SECONDS):
        for start in range(bounds[0], bounds[1] - length + 1, WINDOW_SECONDS):
            known = replace(view, gaps=((start, start + length),))
            if all(
                abs(_rounded([known.between(place.app_id, place.item, *bounds)], unit) - value) <= _slack(unit)
                for (place, unit), value in cells.items()
            ):
                return start, start + length
    return None


def _times_sixty(own: OwnUsage, zone: ZoneInfo) -> Prediction:
    by_day = ours(own, zone)
    return Prediction(
        cause="unit",
        evidence="with their minutes multiplied by 60",
        predict=lambda place, _unit: by_day(place, MINUTE) * 60,
    )


def _in_other_unit(prediction: Prediction) -> Prediction:
    def predict(place: Place, unit: str) -> Decimal:
        return prediction.predict(place, SECOND if unit == MINUTE else MINUTE)

    words = "with their minutes taken as seconds, or the other way round"
    evidence = f"{prediction.evidence}, and {words}" if prediction.evidence else words
    cause = "unit" if prediction.cause == "unit" else f"{prediction.cause} and unit"
    return replace(prediction, cause=cause, evidence=evidence, predict=predict)


def _rounded(parts: Iterable[int], unit: str) -> Decimal:
    return Decimal(sum(parts) if unit == SECOND else sum(whole_minutes(part) for part in parts))


def _slack(unit: str) -> int:
    """Seconds are exact; a minute more or less in a cell is rounding."""
    return 0 if unit == SECOND else 1


def _days(place: Place, zone: ZoneInfo) -> Sequence[tuple[int, int]]:
    days = days_between(local_day(place.start, zone), local_day(place.end - 1, zone))
    return [day_bounds(day, zone) for day in days]


def _is_of(place: Place, app_id: int, day: object, zone: ZoneInfo) -> bool:
    return place.app_id == app_id and place.grain != MONTH and local_day(place.start, zone) == day
