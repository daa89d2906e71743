"""Scenarios: a TOML file of several kinds of rooms, estimated as one month.

    policy = "trtc-intl"          # or account = "acme"
    days = 22                     # of the month; absent: 30
    free_minutes = 10000          # a month; absent: those of the policy or the account

    [[room]]
    kind = "call"
    calls_per_day = 20
    users = 3
    minutes = 45
    camera = ["1280x720", "640x360"]

    [[room]]
    kind = "live"
    rooms_per_day = 1
    anchors = 2
    audience = 500
    minutes = 90
    camera = ["1280x720"]
    screen = "1920x1080"
    days = 4                      # of its own

The keys of a room are the options of `estimate call` and `estimate live`, with `_` for `-`. Reading is strict: the file
is read whole, and each mistake has a line.
"""

import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from billing.catalog import file_values as values
from billing.catalog.feeds import Size, parse_size
from billing.errors import BillingError, UsageError, unknown
from billing.reports.planned_rooms import (
    LONGEST_MINUTES,
    MOST,
    MOST_DAYS,
    USUAL_DAYS,
    PlannedRooms,
    Room,
    live_room,
)

MOST_KINDS = 200

_KEYS = ("policy", "account", "days", "free_minutes", "room")
_ROOM_KEYS = ("kind", "minutes", "days", "camera", "screen")
# What each kind has besides, and the least of it.
_KIND_KEYS = {"call": {"calls_per_day": 1, "users": 1}, "live": {"rooms_per_day": 1, "anchors": 1, "audience": 0}}
# Longer numbers are not shown.
_LONGEST_SHOWN = 10**20

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A month: all its rooms, and whose prices hold, those of a policy or those of an account."""

    rooms: tuple[PlannedRooms, ...]
    policy: str | None = None
    account: str | None = None
    free_minutes: int | None = None


def parse_scenario(text: str, filename: str) -> Scenario:
    """The scenario in a TOML text; one `BillingError` with a line for every mistake."""
    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise BillingError(f"{filename} is not TOML: {error}") from None
    reading = _Reading(table=table)
    scenario = _scenario(reading)
    if mistakes := reading.mistakes:
        count = "a mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
        raise BillingError("\n".join([f"{filename} has {count}:", *mistakes]))
    return scenario


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading:
    """A table of the file, and the mistakes that are found in it."""

    table: Mapping[str, object]
    mistakes: list[str] = field(default_factory=list)

    def take(self, key: str, read: Callable[[Any], T], usual: T) -> T:
        """The value of a key; where it is missing or cannot be used, the usual one."""
        try:
            return read(self.table[key]) if key in self.table else usual
        except ValueError as error:
            self.mistakes.append(f"{key}: {error}")
            return usual

    def need(self, key: str, read: Callable[[Any], T], instead: T) -> T:
        """The value of a key that must be there; `instead` of a mistake, so that reading goes on."""
        if key not in self.table:
            self.mistakes.append(f"{key}: is missing")
        return self.take(key, read, instead)

    def check_keys(self, known: tuple[str, ...]) -> None:
        self.mistakes.extend(unknown("key", key, known) for key in self.table if key not in known)


def _scenario(reading: _Reading) -> Scenario:
    reading.check_keys(_KEYS)
    policy, account = reading.take("policy", _text, None), reading.take("account", _text, None)
    if ("policy" in reading.table) == ("account" in reading.table):
        reading.mistakes.append('policy: write either policy = "trtc-intl", for its list prices, or account = "ID"')
    days = reading.take("days", _whole(1, MOST_DAYS), USUAL_DAYS)
    free_minutes = reading.take("free_minutes", _whole(0, values.MOST_MINUTES), None)
    rooms = tuple(_rooms(reading, days))
    return Scenario(rooms=rooms, policy=policy, account=account, free_minutes=free_minutes)


def _rooms(reading: _Reading, days: int) -> Iterator[PlannedRooms]:
    tables = reading.table.get("room", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        reading.mistakes.append("[room]: write [[room]], with two brackets, once for each kind of rooms")
        return
    if not 1 <= len(tables) <= MOST_KINDS:
        reading.mistakes.append(f"[[room]]: write 1 to {MOST_KINDS} of them; there are {len(tables)}")
        return
    for number, table in enumerate(tables, 1):
        of_room = _Reading(table=table)
        rooms = _kind_of_rooms(of_room, days)
        reading.mistakes.extend(f"[[room]] #{number}: {mistake}" for mistake in of_room.mistakes)
        if rooms:
            yield rooms


def _kind_of_rooms(reading: _Reading, days: int) -> PlannedRooms | None:
    kind = reading.need("kind", _kind, "")
    if not kind:
        return None  # which other keys it may have, nobody knows
    reading.check_keys((*_ROOM_KEYS, *_KIND_KEYS[kind]))
    of_kind = {key: reading.need(key, _whole(least, MOST), least) for key, least in _KIND_KEYS[kind].items()}
    minutes = reading.need("minutes", _whole(1, LONGEST_MINUTES), 1)
    days = reading.take("days", _whole(1, MOST_DAYS), days)
    cameras: tuple[Size, ...] = reading.take("camera", _sizes, ())
    screen = reading.take("screen", _size, None)
    if reading.mistakes:
        return None
    per_day, *people = of_kind.values()
    try:
        room = _PEOPLE[kind](*people, cameras, screen)
    except UsageError as error:
        reading.mistakes.append(str(error))
        return None
    return PlannedRooms(room=room, rooms_per_day=per_day, minutes=minutes, days=days)


def _call(users: int, cameras: tuple[Size, ...], screen: Size | None) -> Room:
    return Room(users=users, cameras=cameras, screen=screen)


def _live(anchors: int, audience: int, cameras: tuple[Size, ...], screen: Size | None) -> Room:
    return live_room(anchors=anchors, audience=audience, cameras=cameras, screen=screen)


_PEOPLE: Mapping[str, Callable[..., Room]] = {"call": _call, "live": _live}


def _kind(value: object) -> str:
    if not isinstance(value, str) or value not in _KIND_KEYS:
        raise ValueError(values.not_a('"call" or "live"', value))
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(values.not_a("text in quotes", value))
    return value


def _whole(least: int, most: int) -> Callable[[object], int]:
    """Whole numbers from `least` to `most`."""

    def read(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValueError(values.not_a("a whole number", value))
        if not least <= value <= most:
            shown = value if abs(value) < _LONGEST_SHOWN else "the number"
            raise ValueError(f"{shown} is not from {least} to {most}")
        return value

    return read


def _size(value: object) -> Size:
    return parse_size(values.size(value))


def _sizes(value: object) -> tuple[Size, ...]:
    if not isinstance(value, list):
        raise ValueError(values.not_a('a list of sizes such as ["1280x720", "640x360"]', value))
    return tuple(_size(each) for each in value)
