"""Rooms once more: a day's rooms from their events and the stays carried in, by the second engine.

All rooms of a day together must have the seconds on record, by app, window, item and reason, and leave the stays that
are carried on. Some rooms alone are compared with what the meter gives for them.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from io import BytesIO
from typing import Any

import polars as pl
from sqlalchemy import select

from billing.errors import BillingError
from billing.events.log import EventLog
from billing.events.schema import EVENT_SCHEMA
from billing.ledger import tables
from billing.verify.carried_stays import comparable_stays, whole_stay
from billing.verify.log_check import archived_before, starts_in_archive
from billing.verify.metered_rooms import RoomSeconds, metered_room
from billing.verify.mismatches import Days, Mismatch
from billing.verify.policy_rules import MeterRule, rules_on
from billing.verify.settled_facts import AccountFacts, DayFacts

Room = tuple[int, str]
_READ = [*EVENT_SCHEMA]
# A row of Python takes ten times the memory of one of the log: so many parts of what metering reads at once.
_PARTS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomCheck:
    """The rooms of one account, from its log."""

    facts: AccountFacts
    log: EventLog
    policies: Mapping[str, Mapping[str, Any]]

    def mismatches(self, days: Days) -> Iterator[Mismatch]:
        """The days on which all rooms together do not have the seconds on record."""
        before = archived_before(self.log)
        for day in self.facts.days:
            if day.day in days and not starts_in_archive(day, before):
                yield from self._day(day)

    def _day(self, day: DayFacts) -> Iterator[Mismatch]:
        rules = rules_on(self.policies.get(day.policy_hash), day.day)
        if rules is None:
            return
        try:
            seconds, state = self.metered(day, rules.meter)
        except (BillingError, OSError) as error:
            yield self._of(day, "events", "none that can be read", str(error).splitlines()[0])
            return
        keys = ("app_id", "window_start", "item", "reason")
        recorded = self.facts.together((tables.usage, tables.usage_correction), keys, ("seconds",), day.day)
        for key in sorted(seconds.keys() | recorded.keys(), key=str):
            expected, found = seconds.get(key, 0), recorded.get(key, (0,))[0]
            if expected != found:
                detail = f"seconds of {key[2]}, {key[3]}, in the window that begins at {key[1]}"
                yield self._of(day, str(expected), str(found), detail, key[0])
        carried = self.carried(day.day)
        for room in sorted(carried.keys() | state.keys()):
            if comparable_stays(carried.get(room, ())) != comparable_stays(state.get(room, ())):
                detail = "the stays that are carried into the next day"
                yield self._of(
                    day, f"{len(state.get(room, ()))} stays", f"{len(carried.get(room, ()))} stays", detail, *room
                )

    def metered(
        self, day: DayFacts, rule: MeterRule, only: Collection[Room] | None = None
    ) -> tuple[dict[tuple[int, int, str, str], int], dict[Room, list[dict[str, Any]]]]:
        """The seconds of a day's rooms by app, window, item and reason, and the state that they leave."""
        seconds: dict[tuple[int, int, str, str], int] = defaultdict(int)
        left: dict[Room, list[dict[str, Any]]] = {}
        for room, of_room, state in self.rooms(day, rule, only):
            for (window, item, reason), count in of_room.items():
                seconds[room[0], window, item, reason] += count
            if state:
                left[room] = state
        return seconds, left

    def rooms(
        self, day: DayFacts, rule: MeterRule, only: Collection[Room] | None = None
    ) -> Iterator[tuple[Room, RoomSeconds, list[dict[str, Any]]]]:
        """Each room with its seconds by window, item and reason, and the state that it leaves."""
        carried = self.carried(day.day - timedelta(days=1))
        for events in self._events(day, only):
            for room in sorted(events):
                yield self._room(day, rule, room, events[room], carried.pop(room, []))
        for room in sorted(carried):
            if only is None or room in only:
                yield self._room(day, rule, room, [], carried[room])

    def _room(
        self, day: DayFacts, rule: MeterRule, room: Room, events: list[dict[str, Any]], before: list[dict[str, Any]]
    ) -> tuple[Room, RoomSeconds, list[dict[str, Any]]]:
        return room, *metered_room(events, before, day.start, day.end, rule)

    def carried(self, day: date) -> dict[Room, list[dict[str, Any]]]:
        """The state after a day, by room, as the last run knew it."""
        state = tables.carried_state.c
        query = select(state.frame).where(state.account_id == self.facts.account_id, state.day == day)
        frame = self.facts.conn.execute(query.order_by(state.run_id.desc()).limit(1)).scalar()
        found: dict[Room, list[dict[str, Any]]] = defaultdict(list)
        for row in pl.read_ipc(BytesIO(frame)).iter_rows(named=True) if frame else ():
            found[row["app_id"], row["room_id"]].append(whole_stay(row))
        return found

    def _events(self, day: DayFacts, only: Collection[Room] | None) -> Iterator[dict[Room, list[dict[str, Any]]]]:
        """The events of a day by room, some rooms at a time."""
        app = tables.app.c
        apps = self.facts.conn.execute(select(app.id).where(app.account_id == self.facts.account_id)).scalars().all()
        ingest_id = self.facts.last_ingest(day.computed_by)
        rows = self.log.scan(day.start, day.end, ingest_id=ingest_id, apps=apps)
        if only is not None:
            rows = rows.filter(pl.col("room_id").is_in(sorted({room for _, room in only})))
        ranges = self.log.room_ranges(day.start, day.end, ingest_id=ingest_id)
        parts = ranges * _PARTS if ranges > 1 and only is None else 1
        for part in range(parts):
            first = -(2**63) + part * (2**64 // parts)
            in_part = (
                pl.col("room_key").is_between(first, first + 2**64 // parts - 1) if parts > 1 else pl.lit(value=True)
            )
            found: dict[Room, list[dict[str, Any]]] = defaultdict(list)
            with self.log.naming_damage():
                for row in rows.filter(in_part).select(_READ).collect().iter_rows(named=True):
                    found[row["app_id"], row["room_id"]].append(row)
            yield found

    def _of(
        self, day: DayFacts, expected: str, found: str, detail: str, app_id: int | None = None, room: str | None = None
    ) -> Mismatch:
        return Mismatch(
            check="usage",
            account=self.facts.account_id,
            day=day.day,
            app_id=app_id,
            room_id=room,
            expected=expected,
            found=found,
            detail=detail,
        )
