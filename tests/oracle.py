"""The slow obvious meter: one room at a time, one second after the other, written from the rules and from nothing else.

`meter` takes plain rows (dicts in the event schema), the state carried into the span, the span `[start, end)` in
epoch seconds and the policy of each app, and gives what the columnar meter must give: seconds by app, room, user,
window, item and reason, the state carried out, and the findings. Seconds in which nothing changes are counted
together; nothing else is clever.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

WAIT = 90
STALE = 86_400
WINDOW = 300
ORDER = ["exit", "disconnect", "dismiss", "enter", "reconnect", "video_off", "video_on"]


@dataclass
class Policy:
    """How video becomes an item: `tiers` are (item, top area or None), ascending."""

    per_stream: bool
    tiers: list[tuple[str, int | None]]

    def item(self, area: int) -> str:
        return next(item for item, top in self.tiers if top is None or area <= top)


@dataclass
class Stay:
    """One user in one room, now."""

    last_event: int
    wait_ends: int | None = None
    streams: dict[str, tuple[int, int]] = field(default_factory=dict)
    begun: int | None = None  # None: carried in

    def ends(self) -> int:
        return self.wait_ends if self.wait_ends is not None else self.last_event + STALE


@dataclass
class Metered:
    seconds: Counter[tuple[int, str, str, int, str, str]]  # app, room, user, window start, item, reason
    state: dict[tuple[int, str, str], Stay]
    findings: Counter[tuple[int, str, str, int, str]]  # app, room, user, at ms, finding
    stay_seconds: int
    stays: list[tuple[int, str, str, int, int, bool]]  # app, room, user, start, end, carried in


def meter(
    events: Iterable[Mapping[str, Any]],
    carried: Mapping[tuple[int, str, str], Stay],
    start: int,
    end: int,
    policies: Mapping[int, Policy],
) -> Metered:
    rooms: dict[tuple[int, str], list[Mapping[str, Any]]] = {}
    for event in events:
        if start <= event["at"] // 1000 < end:
            rooms.setdefault((event["app_id"], event["room_id"]), []).append(event)
    for app, room, _ in carried:
        rooms.setdefault((app, room), [])
    result = Metered(Counter(), {}, Counter(), 0, [])
    for (app, room), in_room in rooms.items():
        stays = {
            user: Stay(stay.last_event, stay.wait_ends, dict(stay.streams))
            for (a, r, user), stay in carried.items()
            if (a, r) == (app, room)
        }
        Room(app, room, stays, policies[app], start, end, result).run(in_room)
    _find_concurrent_rooms(result)
    return result


@dataclass
class Room:
    app: int
    room: str
    stays: dict[str, Stay]
    policy: Policy
    start: int
    end: int
    result: Metered

    def run(self, events: list[Mapping[str, Any]]) -> None:
        events = sorted(events, key=lambda e: (e["at"], e["seq"], ORDER.index(e["type"]), e["event_id"]))
        clock = self.start
        for event in events:
            clock = self.pass_time(clock, event["at"] // 1000)
            self.apply(event)
        self.pass_time(clock, self.end)
        for user, stay in self.stays.items():
            self.result.state[self.app, self.room, user] = stay
            self.keep_stay(user, stay, self.end)

    def pass_time(self, clock: int, until: int) -> int:
        """Counts the seconds from `clock` to `until`, ending stays whose time comes."""
        while True:
            self.end_stays(clock)
            if clock == until:
                return clock
            steps = [until, clock - clock % WINDOW + WINDOW, *(stay.ends() for stay in self.stays.values())]
            step = min(moment for moment in steps if moment > clock)
            for user, stay in self.stays.items():
                self.count(user, stay, clock, step - clock)
            clock = step

    def end_stays(self, clock: int) -> None:
        for user, stay in list(self.stays.items()):
            if stay.ends() <= clock:
                if stay.wait_ends is None:
                    self.find(user, stay.ends() * 1000, "stale_stay")
                self.keep_stay(user, stay, stay.ends())
                del self.stays[user]

    def count(self, user: str, stay: Stay, clock: int, seconds: int) -> None:
        self.result.stay_seconds += seconds
        for item, reason in self.classes(stay):
            self.result.seconds[self.app, self.room, user, clock - clock % WINDOW, item, reason] += seconds

    def classes(self, stay: Stay) -> list[tuple[str, str]]:
        if stay.wait_ends is not None:
            return [("audio", "disconnect_grace")]
        if len(self.stays) == 1:
            return [("audio", "alone_in_room")]
        if not stay.streams:
            return [("audio", "no_video_received")]
        areas = {stream: width * height for stream, (width, height) in stay.streams.items()}
        if self.policy.per_stream:
            return [(self.policy.item(area), _reason([stream])) for stream, area in areas.items()]
        return [(self.policy.item(sum(areas.values())), _reason(areas))]

    def apply(self, event: Mapping[str, Any]) -> None:
        second, user, kind = event["at"] // 1000, event["user_id"], event["type"]
        if kind == "dismiss":
            for each, stay in self.stays.items():
                self.keep_stay(each, stay, second)
            self.stays.clear()
            return
        stay = self.stays.get(user)
        if stay is not None:
            stay.last_event = second
        if kind in ("enter", "reconnect"):
            if stay is None:
                self.stays[user] = Stay(second, begun=second)
                return
            if stay.wait_ends is None:
                self.find(user, event["at"], "reentered")
            stay.wait_ends = None
            stay.streams.clear()
        elif kind == "exit":
            if stay is None:
                self.find(user, event["at"], "outside_stay")
                return
            self.keep_stay(user, stay, second)
            del self.stays[user]
        elif stay is None or stay.wait_ends is not None:
            self.find(user, event["at"], "outside_stay")
        elif kind == "disconnect":
            stay.wait_ends = second + WAIT
            stay.streams.clear()
        elif kind == "video_on":
            stay.streams[event["stream"]] = (event["width"], event["height"])
        else:
            stay.streams.pop(event["stream"], None)

    def find(self, user: str, at: int, finding: str) -> None:
        self.result.findings[self.app, self.room, user, at, finding] += 1

    def keep_stay(self, user: str, stay: Stay, end: int) -> None:
        carried = stay.begun is None
        begun = self.start if stay.begun is None else stay.begun
        self.result.stays.append((self.app, self.room, user, begun, end, carried))


def _reason(streams: Iterable[str]) -> str:
    return "screen_share" if any(stream.endswith("/screen") for stream in streams) else "camera"


def _find_concurrent_rooms(result: Metered) -> None:
    """A stay that begins while its user is in another room of the app (of two that begin together: the later room
    id)."""
    for app, room, user, begun, end, carried in result.stays:
        if carried or end <= begun:
            continue
        for a, r, u, b, e, c in result.stays:
            earlier = (b, not c, r) < (begun, True, room)
            if (a, u) == (app, user) and r != room and e > b and b <= begun < e and earlier:
                result.findings[app, room, user, begun * 1000, "concurrent_rooms"] += 1
                break
