"""Sampled rooms: a few rooms of an account, which both engines meter and whose seconds are compared.

A third of them are the dearest, a third have findings, and the rest is drawn by the root of the day's seal, so that
nobody knows beforehand which rooms are looked at, and everybody can draw the same again. All of a day's rooms, as the
meter has them, must sum to what was billed.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from billing.errors import BillingError
from billing.home import Home
from billing.ledger.account_ledger import AccountLedger
from billing.ledger.database import Engine
from billing.reports.usage import app_usage
from billing.verify.log_check import archived_before, starts_in_archive
from billing.verify.mismatches import Days, Mismatch
from billing.verify.policy_rules import rules_on
from billing.verify.room_check import Room, RoomCheck
from billing.verify.seal_check import Seal
from billing.verify.settled_facts import DayFacts

MOST_DAYS = 5
Seconds = Mapping[tuple[str, str], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomSample:
    """Some rooms of an account: about `rooms` of them, on its dearest days and on some that are drawn."""

    home: Home
    engine: Engine
    check: RoomCheck
    ledger: AccountLedger
    seals: Sequence[Seal]
    rooms: int

    def mismatches(self, days: Days) -> Iterator[Mismatch]:
        """Rooms in which the engines do not agree."""
        chosen = self._days(days)
        for place, day in enumerate(chosen):
            share = self.rooms // len(chosen) + (place < self.rooms % len(chosen))
            if share:
                yield from self._day(day, share)

    def _days(self, days: Days) -> list[DayFacts]:
        """The dearest days, and some that are drawn."""
        amounts: Counter[date] = Counter()
        for posted in self.ledger.charges(days.first, days.last):
            amounts[posted.day] += int(posted.charge.amount * 10**8) + 1
        before, facts = archived_before(self.check.log), self.check.facts
        of_days = [day for day in facts.days if day.day in days and day.day in amounts]
        left = [day for day in of_days if not starts_in_archive(day, before)]
        dearest = sorted(left, key=lambda day: (-amounts[day.day], day.day))[: (MOST_DAYS + 1) // 2]
        rest = sorted((day for day in left if day not in dearest), key=lambda day: self._drawn(day.day, ""))
        return [*dearest, *rest][:MOST_DAYS]

    def _day(self, day: DayFacts, share: int) -> Iterator[Mismatch]:
        rules = rules_on(self.check.policies.get(day.policy_hash), day.day)
        if rules is None:
            return
        try:
            metered = self._metered(day.day)
            rooms = self._chosen(day.day, metered, share)
            for room, windows, _ in self.check.rooms(day, rules.meter, rooms):
                again: Counter[tuple[str, str]] = Counter()
                for (_, item, reason), seconds in windows.items():
                    again[item, reason] += seconds
                yield from self._apart(day.day, room, again, metered.get(room, {}))
        except (BillingError, OSError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            yield self._of(day.day, None, "rooms that sum to the day", "others", reason)

    def _metered(self, day: date) -> dict[Room, dict[tuple[str, str], int]]:
        """The seconds of every room of a day, as the meter has them now."""
        found: dict[Room, dict[tuple[str, str], int]] = defaultdict(lambda: defaultdict(int))
        apps = [app.id for app in self.ledger.catalog.apps.values() if app.account == self.ledger.account_id]
        for app_id in apps:
            usage = app_usage(self.home, self.engine, app_id, day, day, by="room")
            for room_id, item, reason, seconds in usage.select("room_id", "item", "reason", "seconds").iter_rows():
                found[app_id, room_id][item, reason] += seconds
        return found

    def _chosen(self, day: date, metered: Mapping[Room, Seconds], share: int) -> set[Room]:
        prices = {each.charge.item: each.charge.unit_price for each in self.ledger.charges_of_day(day)}
        costs = {
            room: sum(prices.get(item, 0) * seconds for (item, _), seconds in of.items())
            for room, of in metered.items()
        }
        dearest = sorted(metered, key=lambda room: (-costs[room], room))
        findings = self.ledger.findings(day, day).select("app_id", "room_id").unique().sort("app_id", "room_id")
        drawn = sorted(metered, key=lambda room: self._drawn(day, f"{room[0]} {room[1]}"))
        third = -(-share // 3)
        chosen = [*dearest[:third], *[room for room in findings.iter_rows() if room in metered][:third]]
        chosen = list(dict.fromkeys([*chosen, *drawn, *dearest]))
        return set(chosen[:share])

    def _drawn(self, day: date, name: str) -> bytes:
        """A place that the root of the day's seal gives to a name."""
        root = next((seal.root for seal in reversed(self.seals) if seal.day == day), day.isoformat())
        return hashlib.sha256(f"{root} {name}".encode()).digest()

    def _apart(self, day: date, room: Room, again: Seconds, metered: Seconds) -> Iterator[Mismatch]:
        for key in sorted(again.keys() | metered.keys()):
            if again.get(key, 0) != metered.get(key, 0):
                detail = f"seconds of {key[0]}, {key[1]}, of both engines"
                yield self._of(day, room, str(again.get(key, 0)), str(metered.get(key, 0)), detail)

    def _of(self, day: date, room: Room | None, expected: str, found: str, detail: str) -> Mismatch:
        return Mismatch(
            check="room",
            account=self.ledger.account_id,
            day=day,
            app_id=room[0] if room else None,
            room_id=room[1] if room else None,
            expected=expected,
            found=found,
            detail=detail,
        )
