"""Retract: takes accepted events of an app back, or gives them back.

It writes one commit to the event log, under the lock of ingest: a row for each event (`billing.events.retractions`).
The next nightly corrects what was billed, as it does for late events. A command that was killed is run again; if its
commit was made, it finds nothing left to do.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import count, pairwise

import polars as pl

from billing.errors import BillingError, UsageError
from billing.events.data_files import DAY_MS, DataFile, day_of, span_of
from billing.events.log import EventLog
from billing.events.retractions import IS_RETRACTED, LAST_RETRACTION, RETRACTS, retractions
from billing.events.schema import EVENT_SCHEMA
from billing.jobs.ingest import DISK_ERRORS, IngestContext, cause, ingest_workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Accepted events of an app: with these ids, or all of one ingest; of one UTC day, if that is given."""

    app_id: int
    event_ids: tuple[str, ...] = ()
    ingest_id: int | None = None
    day: date | None = None

    def __post_init__(self) -> None:
        if bool(self.event_ids) == (self.ingest_id is not None):
            raise UsageError("give either --event-id or --ingest")

    @property
    def condition(self) -> pl.Expr:
        """Whether a row of the log is an event of the selection, of any day."""
        of_app = (pl.col("app_id") == self.app_id) & pl.col(RETRACTS).is_null()
        if self.ingest_id is None:
            return of_app & pl.col("event_id").is_in(self.event_ids)
        return of_app & (pl.col("ingest_id") == self.ingest_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retraction:
    """What is retracted and why; `undo`: what was retracted is given back."""

    selection: Selection
    reason: str | None
    undo: bool = False

    def __post_init__(self) -> None:
        if not (self.undo if self.reason is None else self.reason.strip()):
            raise UsageError("give a --reason: why the events are retracted")


@dataclass(frozen=True, slots=True, kw_only=True)
class Retracted:
    """How many events were retracted, or given back, now and `before`."""

    events: int
    before: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Piece:
    """The events of a selection on one day in one range of room keys: as many as fit in memory."""

    log: EventLog
    selection: Selection
    day: date
    rooms: tuple[int, int]

    @property
    def condition(self) -> pl.Expr:
        """Whether a row of the day belongs to it. (Rows of an older version have no keys.)"""
        first, after = self.rooms
        return self.selection.condition & pl.col("room_key").fill_null(0).is_between(first, after - 1)

    def standing(self) -> pl.DataFrame:
        """The events that can be retracted."""
        return self.log.scan_day(self.day).filter(self.condition).collect()

    def given_back(self) -> pl.DataFrame:
        """The events that were retracted once, and stand again."""
        return self._ever_retracted().filter(~pl.col(IS_RETRACTED)).collect()

    def retracted(self) -> pl.DataFrame:
        """The events that can be given back: of those that had one key, the last that was retracted."""
        retracted = self._ever_retracted().filter(IS_RETRACTED).collect()
        last = retracted.sort(LAST_RETRACTION).unique("event_id", keep="last", maintain_order=True)
        return last.join(self.given_back(), on="event_id", how="anti")

    def taken(self) -> pl.Series:
        """The ids of events to give back whose key another event holds."""
        ids = self.retracted().select("event_id").lazy()
        holders = self.log.scan_day(self.day).filter(pl.col("app_id") == self.selection.app_id)
        return holders.join(ids, on="event_id", how="semi").select("event_id").collect()["event_id"].sort()

    def _ever_retracted(self) -> pl.LazyFrame:
        return self.log.ever_retracted(self.day, self.selection.app_id).filter(self.condition)


def retract(context: IngestContext, retraction: Retraction) -> Retracted:
    """Retracts events, or gives them back. A `BillingError`, and nothing is changed, where there are no such events or,
    to give them back, where they were not retracted or the key of one is taken."""
    try:
        return _retract(context, retraction)
    except DISK_ERRORS as error:
        raise BillingError(f"not finished ({cause(error)}): put that right and run the command again") from error


def _retract(context: IngestContext, retraction: Retraction) -> Retracted:
    log, selection = context.log, retraction.selection
    with ingest_workspace(context), log.naming_damage():
        days = _days(log, selection)
        pieces = [piece for day in sorted(days) for piece in _pieces(log, selection, day)]
        given_back = _check_undo(pieces) if retraction.undo else 0
        files = list(_written(log, pieces, undo=retraction.undo))
        if files:
            _commit(context, files, retraction)
    events = sum(file.rows for file in files)
    return Retracted(events=events, before=given_back if retraction.undo else days.total() - events)


def _days(log: EventLog, selection: Selection) -> Counter[date]:
    """How many keys of the selection each UTC day has. A `UsageError` where an event is not found, or is on several."""
    accepted = log.accepted(selection.app_id, ingest_id=selection.ingest_id, day=selection.day)
    day = (pl.col("at") // DAY_MS).alias("day")
    where = f" on {selection.day}" if selection.day else ""
    if selection.ingest_id is not None:
        sums = accepted.group_by(day).len().collect(engine="streaming")
        if sums.is_empty():
            raise UsageError(f"ingest {selection.ingest_id} has no events of app {selection.app_id}{where}")
        return Counter({day_of(number * DAY_MS): keys for number, keys in sums.iter_rows()})
    keys = accepted.filter(selection.condition).select("event_id", day).unique().collect(engine="streaming")
    for event_id in selection.event_ids:
        days = [day_of(number * DAY_MS) for number in keys.filter(pl.col("event_id") == event_id)["day"].sort()]
        if not days:
            raise UsageError(f"app {selection.app_id} has no accepted event {event_id!r}{where}")
        if len(days) > 1:
            raise UsageError(f"event {event_id!r} is on {', '.join(map(str, days))} (UTC): give --day")
    return Counter(day_of(number * DAY_MS) for number in keys["day"])


def _pieces(log: EventLog, selection: Selection, day: date) -> Iterator[_Piece]:
    # Events that had one id may be of different rooms.
    ranges = 1 if selection.event_ids else log.room_ranges(*span_of(day))
    limits = [-(2**63) + part * (2**64 // ranges) for part in range(ranges)] + [2**63]
    for rooms in pairwise(limits):
        yield _Piece(log=log, selection=selection, day=day, rooms=rooms)


def _check_undo(pieces: Sequence[_Piece]) -> int:
    """The number of events that were given back before. A `BillingError` where a key is taken, or nothing was ever
    retracted."""
    before = sum(piece.given_back().height for piece in pieces)
    if not before and all(piece.retracted().is_empty() for piece in pieces):
        raise BillingError("nothing to undo: these events were never retracted")
    for piece in pieces:
        taken = piece.taken()
        if len(taken):
            raise BillingError(
                f"{len(taken):,} of these ids were used again on {piece.day} (UTC), such as {taken[0]!r}: "
                "to give the old events back, retract the new ones first"
            )
    return before


def _written(log: EventLog, pieces: Sequence[_Piece], *, undo: bool) -> Iterator[DataFile]:
    """The files of the commit."""
    ingest_id, numbers = log.last_ingest_id() + 1, count()
    for piece in pieces:
        events = piece.retracted() if undo else piece.standing()
        if events.height:
            rows = retractions(events, undo=undo).select(*EVENT_SCHEMA, "line", RETRACTS)
            yield log.write(rows, piece.day, ingest_id=ingest_id, number=next(numbers))


def _commit(context: IngestContext, files: Sequence[DataFile], retraction: Retraction) -> None:
    log, command = context.log, "retract --undo" if retraction.undo else "retract"
    metadata = {
        "file": f"{command}: {retraction.reason}" if retraction.reason else command,
        "app_id": retraction.selection.app_id,
        "reason": retraction.reason,
        "events": sum(file.rows for file in files),
        "ingested_at": context.now_ms,
    }
    log.commit(files, ingest_id=log.last_ingest_id() + 1, metadata=metadata)
