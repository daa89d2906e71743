"""Explained rooms: the share of each room in what its app costs, and a room's seconds as stretches with their causes.

Rooms have no amounts, because minutes are rounded by app, item and day. A room's share is its part of the amount by
seconds, down to 10^-8 of the currency unit; what is left goes to those with the largest remainders. Example: 1 over
three rooms with a second each is 0.33333334, 0.33333333 and 0.33333333.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache, lru_cache
from itertools import chain

import polars as pl

from billing.catalog.items import ITEM_RANK
from billing.errors import BillingError, UnknownNameError, unknown
from billing.events.data_files import span_of
from billing.events.log import EventLog
from billing.events.schema import TASK_COLUMNS
from billing.metering.intervals import Interval, Stream, room_intervals
from billing.metering.room_model import EVENT, Cause, Event
from billing.metering.task_intervals import task_intervals
from billing.money import from_scaled, to_scaled
from billing.reports.app_days import AppDay

# A room of more events is metered for the users that are asked for only, and checked by the compiled meter.
MANY_EVENTS = 30_000
MOST_INTERVALS, MOST_METERED = 200_000, 2_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomShare:
    """The seconds of one room, item and reason, and their share of the item's amount."""

    room_id: str
    item: str
    reason: str
    seconds: int
    share: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Boundary:
    """Why a stretch begins or ends: an event (`at` in epoch ms) and the file and line that brought it first. None: not
    known, or there is no event."""

    cause: str
    event_id: str | None = None
    type: str | None = None
    user_id: str | None = None
    at: int | None = None
    file: str | None = None
    line: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedInterval:
    """A stretch of one user in a room, in epoch seconds; `seconds` are those in the span that is asked about."""

    room_id: str
    user_id: str
    start: int
    end: int
    seconds: int
    item: str
    reason: str
    area: int
    streams: tuple[Stream, ...]
    begins: Boundary
    ends: Boundary

    def seconds_in(self, start: int, end: int) -> int:
        """How many of its seconds lie in a span."""
        return max(0, min(self.end, end) - max(self.start, start))


def room_shares(
    seconds: pl.DataFrame, amounts: Mapping[str, Decimal], *, rooms: Collection[str] | None = None
) -> list[RoomShare]:
    """The rooms (`ROOM_SECONDS_SCHEMA`) with their shares of the amounts by item: they sum to them exactly. Only some
    of the `rooms`, if these are given."""
    rank = pl.col("item").replace_strict(ITEM_RANK, return_dtype=pl.Int64)
    ordered = seconds.sort("room_id", rank, "reason").with_row_index("place")
    shares: dict[int, int] = {}
    for (item,), of_item in ordered.group_by("item"):
        parts = _parted(to_scaled(amounts.get(str(item), Decimal(0))), of_item["seconds"].to_list())
        shares.update(zip(of_item["place"].to_list(), parts, strict=True))
    shown = ordered if rooms is None else ordered.filter(pl.col("room_id").is_in(list(rooms)))
    return [
        RoomShare(room_id=room, item=item, reason=reason, seconds=count, share=from_scaled(shares[place]))
        for place, room, item, reason, count in shown.iter_rows()
    ]


def _parted(whole: int, weights: list[int]) -> list[int]:
    """A whole number in parts by weight: each rounded down, and one more for the largest remainders, the first of equal
    ones."""
    total = sum(weights)
    parts = [whole * weight // total for weight in weights]
    remainders = [whole * weight % total for weight in weights]
    for place in sorted(range(len(weights)), key=remainders.__getitem__, reverse=True)[: whole - sum(parts)]:
        parts[place] += 1
    return parts


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomDay:
    """A room on a day, its events and the stays carried into it."""

    app_day: AppDay
    room_id: str
    events: pl.DataFrame
    carried: pl.DataFrame

    @property
    def users(self) -> list[str]:
        """Everybody of whom anything is known, and the ids of all tasks, which are asked for in the same way."""
        names = [frame[name] for frame in (self.events, self.carried) for name in ("user_id", "task_id")]
        return sorted(pl.concat(names).drop_nulls().unique())

    def intervals(self, user_id: str | None, span: tuple[int, int]) -> list[Interval]:
        """The stretches of a user, or of all, that have seconds in a span (epoch seconds)."""
        day = self.app_day
        found: list[Interval] = []
        users = [user_id] if user_id is not None else None
        bounds = day.start, day.end
        every = room_intervals(self.events, self.carried, bounds, day.rule, users=users)
        of_tasks = task_intervals(self.events, self.carried, bounds, day.rule, tasks=users)
        for number, each in enumerate(chain(every, of_tasks)):
            if each.seconds_in(*span):
                found.append(each)
            if len(found) > MOST_INTERVALS or number > MOST_METERED:
                raise BillingError(
                    f"room {self.room_id!r} has {len(self.users):,} users, and more stretches on {day.day} than can be "
                    "shown: ask about one of them with --user"
                )
        return found

    def check(self, intervals: Iterable[Interval], span: tuple[int, int], seconds: pl.DataFrame) -> None:
        """A `BillingError` where the seconds of all stretches are not those of the room (`item, reason, seconds`)."""
        found: dict[tuple[str, str], int] = {}
        for each in intervals:
            key = (each.second_class.item, each.second_class.reason)
            found[key] = found.get(key, 0) + each.seconds_in(*span)
        billed = {(item, reason): count for item, reason, count in seconds.iter_rows()}
        if found != billed:
            raise BillingError(
                f"the stretches of room {self.room_id!r} on {self.app_day.day} have {_listed(found)}, but what run "
                f"{self.app_day.run.id} billed has {_listed(billed)}: this is a fault of the program; report it"
            )


def _listed(seconds: Mapping[tuple[str, str], int]) -> str:
    return ", ".join(f"{count} s {item} {reason}" for (item, reason), count in sorted(seconds.items())) or "no seconds"


def room_day(app_day: AppDay, room_id: str, known_rooms: Collection[str]) -> RoomDay:
    """A room on a day; an `UnknownNameError` when there was none. `known_rooms`: those that had seconds."""
    with app_day.log.naming_damage():
        events = app_day.events_of_room(room_id).select(_columns()).collect()
    carried = app_day.carried().filter(pl.col("room_id") == room_id)
    if events.is_empty() and carried.is_empty():
        raise UnknownNameError(f"{unknown('room', room_id, known_rooms)} (app {app_day.app_id} on {app_day.day})")
    return RoomDay(app_day=app_day, room_id=room_id, events=events, carried=carried)


def rooms_of_user(app_day: AppDay, user_id: str) -> list[str]:
    """The rooms in which a user, or a task of that id, was on a day; an `UnknownNameError` when there are none."""
    events, carried = app_day.events(app_day.end), app_day.carried()
    is_meant = (pl.col("user_id") == user_id) | (pl.col("task_id") == user_id)
    with app_day.log.naming_damage():
        rooms = set(events.filter(is_meant).select("room_id").unique().collect()["room_id"])
        rooms |= set(carried.filter(is_meant)["room_id"])
        if not rooms:
            users = set(events.select("user_id").drop_nulls().unique().collect()["user_id"])
            users |= set(carried["user_id"].drop_nulls())
            raise UnknownNameError(f"{unknown('user', user_id, sorted(users))} (app {app_day.app_id} on {app_day.day})")
    return sorted(rooms)


def _columns() -> list[str]:
    return ["app_id", "room_id", *Event._fields, *TASK_COLUMNS]


@dataclass(frozen=True, slots=True, kw_only=True)
class Boundaries:
    """Names causes of a room: with the events of earlier days, and files and lines."""

    room: RoomDay

    def named(self, intervals: Iterable[Interval], span: tuple[int, int]) -> Iterator[ExplainedInterval]:
        """The stretches with the seconds that they have in a span, and with named causes."""
        name = cache(self.boundary)
        for each in intervals:
            kind = each.second_class
            yield ExplainedInterval(
                room_id=self.room.room_id,
                user_id=each.user_id,
                start=each.start,
                end=each.end,
                seconds=each.seconds_in(*span),
                item=kind.item,
                reason=kind.reason,
                area=kind.area,
                streams=kind.streams,
                begins=name(each.begins),
                ends=name(each.ends),
            )

    def boundary(self, cause: Cause) -> Boundary:
        """A cause with the event that it names."""
        event = cause.event or self._earlier(cause)
        if event is None:
            return Boundary(cause=cause.cause, user_id=cause.user_id, at=cause.at_ms)
        return Boundary(
            cause=cause.cause,
            event_id=event.event_id,
            type=event.type,
            user_id=event.user_id,
            at=event.at,
            file=_file_of(self.room.app_day.log, event.ingest_id),
            line=event.line,
        )

    def _earlier(self, cause: Cause) -> Event | None:
        """The event of an earlier day from which a wait or a silence was carried over: the last of that second, if the
        log still has it."""
        if cause.user_id is None or cause.cause == EVENT:
            return None
        day, second = self.room.app_day, cause.at_ms // 1000
        archive = day.log.archive()
        if archive and second < span_of(archive.before)[0]:
            return None
        events = day.log.scan_room(second, second + 1, day.app_id, self.room.room_id, ingest_id=day.run.ingest_id)
        with day.log.naming_damage():
            found = events.filter(pl.col("user_id") == cause.user_id).select(Event._fields).sort("at", "seq").collect()
        return Event._make(found.row(-1)) if found.height else None


@lru_cache(maxsize=1024)
def _file_of(log: EventLog, ingest_id: int | None) -> str | None:
    """The file of an ingest, if its commit still says so."""
    ingest = None if ingest_id is None else log.ingest(ingest_id)
    return ingest.file if ingest else None
