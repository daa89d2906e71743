"""Anomalies that the events show: stays in several rooms at once, events that came again under new ids.

Somebody may well be in two rooms at once. But who comes to both, leaves both and gets video of the same size in both,
each within the same second, is most likely one person whose events came twice.

The events of a month are read once for all accounts whose months have the same bounds.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from functools import cached_property

import polars as pl

from billing.events.data_files import day_of, span_of
from billing.events.keys import CODE_BITS, ENTER, EXIT, PUBLISH, VIDEO_ON
from billing.events.log import EventLog
from billing.events.schema import SIZE_AND_TYPE
from billing.periods import local_day
from billing.reports.anomalies.month_books import HOLD, WARN, Anomaly, MonthBooks, ratio

REPEATED = Decimal("0.01")
_MIRRORED = Decimal("0.01")
_SHORTEST_STAY = 10  # seconds; shorter ones begin and end together by chance
# What an event says, without its id.
_CONTENT = ("room_key", "user_key", "stream_key", "connection_key", SIZE_AND_TYPE, "at")

_COUNTS = pl.Schema({"app_id": pl.Int64, "day": pl.Date, "events": pl.UInt32, "repeated": pl.UInt32})
_MOMENTS = pl.Schema(
    {**dict.fromkeys(("app_id", "person", "second", SIZE_AND_TYPE), pl.Int64()), "rooms": pl.List(pl.Int64())}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MirroredStay:
    """One stay of a user that several rooms report: `[start, end)` in epoch seconds. `has_video`: the same video
    began in all of them within the same second."""

    start: int
    end: int
    rooms: int
    has_video: bool

    @property
    def extra_seconds(self) -> int:
        """The seconds that are there more than once."""
        return (self.rooms - 1) * (self.end - self.start)


@dataclass(frozen=True, kw_only=True)
class MonthEvents:
    """The events in `[start, end)` (epoch seconds), counted by app; those that are archived are not counted."""

    log: EventLog
    start: int
    end: int

    @cached_property
    def archived_before(self) -> date | None:
        """The day (UTC) before which events of the month are archived."""
        archive = self.log.archive()
        return archive.before if archive and self.start < span_of(archive.before)[0] else None

    @cached_property
    def _days(self) -> list[tuple[pl.DataFrame, pl.DataFrame]]:
        first = self.archived_before or day_of(self.start * 1000)
        last = day_of(self.end * 1000 - 1)
        return [self._day(first + timedelta(days=number)) for number in range((last - first).days + 1)]

    def _day(self, day: date) -> tuple[pl.DataFrame, pl.DataFrame]:
        start, end = span_of(day)
        events = self.log.scan(max(start, self.start), min(end, self.end))
        content = pl.struct(_CONTENT)
        counts = events.group_by("app_id").agg(events=pl.len(), repeated=pl.len() - content.hash().n_unique())
        rooms = pl.col("room_key").unique()
        moments = (
            events.filter(pl.col("task_id").is_null())
            .select(
                "app_id",
                "room_key",
                SIZE_AND_TYPE,
                person=pl.col("user_key").xor(pl.col("room_key")),
                second=pl.col("at") // 1000,
            )
            .filter((pl.col(SIZE_AND_TYPE) % 2**CODE_BITS).is_in([ENTER, EXIT, VIDEO_ON, PUBLISH]))
            .group_by("app_id", "person", "second", SIZE_AND_TYPE)
            .agg(rooms=rooms)
            .filter(pl.col("rooms").list.len() > 1)
        )
        with self.log.naming_damage():
            counted, found = pl.collect_all([counts, moments], engine="streaming")
        return counted.with_columns(day=pl.lit(day)).select(*_COUNTS), found.select(*_MOMENTS)

    @cached_property
    def counts(self) -> pl.DataFrame:
        """Events and repeated ones by app and UTC day."""
        return pl.concat([pl.DataFrame(schema=_COUNTS), *(counts for counts, _ in self._days)]).sort("app_id", "day")

    @cached_property
    def _moments(self) -> pl.DataFrame:
        moments = pl.concat([pl.DataFrame(schema=_MOMENTS), *(moments for _, moments in self._days)])
        return moments.sort("app_id", "person", "second", pl.col(SIZE_AND_TYPE) % 2**CODE_BITS != ENTER)

    def mirrored(self, app_id: int) -> Iterator[MirroredStay]:
        """The stays of an app's users that begin in several rooms in one second, and end there in one second."""
        who, start, inside, has_video = None, 0, set[int](), False
        for person, second, size_and_type, found in self._moments.filter(app_id=app_id).drop("app_id").iter_rows():
            code, rooms = size_and_type % 2**CODE_BITS, set(found)
            if person != who or code == ENTER:
                who, start, inside, has_video = person, second, rooms if code == ENTER else set(), False
            elif code != EXIT:
                has_video = has_video or len(inside & rooms) > 1
            elif len(both := inside & rooms) > 1 and second - start >= _SHORTEST_STAY:
                yield MirroredStay(start=start, end=second, rooms=len(both), has_video=has_video)
                inside = set()


def event_anomalies(books: MonthBooks, events: MonthEvents, apps: list[int]) -> Iterator[Anomaly]:
    """All that the events of a month show of the account's apps."""
    if events.archived_before:
        detail = "events before this day (UTC) are archived: mirrored stays and repeated events are not looked for"
        yield books.found("unread", WARN, f"events before {events.archived_before}", 0, 0, detail)
    for app_id in apps:
        yield from _mirrored(books, events, app_id)
        yield from _repeated(books, events, app_id)


def _mirrored(books: MonthBooks, events: MonthEvents, app_id: int) -> Iterator[Anomaly]:
    by_day: dict[date, list[MirroredStay]] = {}
    for stay in events.mirrored(app_id):
        by_day.setdefault(local_day(stay.start, books.ledger.zone), []).append(stay)
    for day, stays in sorted(by_day.items()):
        seconds = sum(stay.extra_seconds for stay in stays)
        used = books.seconds.get((app_id, day), 0)
        bound = int(used * _MIRRORED)
        if seconds and day in books.bounds:
            detail = f"seconds of {len(stays)} stays that one user had in several rooms at once; the day has {used}"
            amount = books.share(app_id, day, min(seconds, used))
            severity = HOLD if seconds > bound and any(stay.has_video for stay in stays) else WARN
            yield books.found("mirrored", severity, f"app {app_id}, {day}", seconds, bound, detail, amount)


def _repeated(books: MonthBooks, events: MonthEvents, app_id: int) -> Iterator[Anomaly]:
    for day, total, again in events.counts.filter(app_id=app_id).drop("app_id").iter_rows():
        if (share := ratio(again, total)) > REPEATED:
            detail = f"{again} of {total} events of the day (UTC) equal another one in all but their id"
            yield books.found("repeated", WARN, f"app {app_id}, {day} UTC", share, REPEATED, detail)
