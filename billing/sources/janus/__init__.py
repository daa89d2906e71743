"""Events of our schema from the event-handler output of the Janus WebRTC server (VideoRoom plugin).

`derive` takes the lines of one trace and returns what happened, in order. Who is in a room, and what reaches whom, is
kept by `rooms`, the order of time by `fold`; the reading of a line is in `trace`. How a stay ends:

| the trace says | event |
|---|---|
| `leaving`, `kicked` or `detached` of the user's last connection; the session `destroyed` | `exit` |
| the transport `disconnected`, just after a hangup with `DTLS alert` (the page was closed) | `exit` |
| the transport `disconnected` without a sign of intent (killed, network lost) | `disconnect` |
| session `timeout`: the server itself has waited | `exit` |
| the room `destroyed` | `dismiss` |
| the server stops; or starts again without having stopped: at its last sign of life | `exit` of everybody |

Janus' time stamps are microseconds: `at` is their millisecond, and `seq` counts what shares one.
"""

from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from billing.catalog.feeds import Size
from billing.events.rows import DerivedEvent, RejectedRow, TraceLine
from billing.sources.janus.fold import Fold
from billing.sources.janus.records import Place, Record, Sign
from billing.sources.janus.trace import UnreadableError, raw_of, read_event, read_events


@dataclass(frozen=True, slots=True, kw_only=True)
class Derived:
    """The events in order, the lines that could not be read or lack what a bill needs, and the number of lines."""

    events: list[DerivedEvent]
    rejected: list[RejectedRow]
    lines: int


def derive(
    lines: Iterable[TraceLine], *, app_id: int, camera_size: Size | None = None, screen_size: Size | None = None
) -> Derived:
    """The events of one trace, whatever the order of its lines and files.

    A stream takes its kind and size from the publisher's description; without a kind it counts as a camera when
    `camera_size` is given, else as a screen when `screen_size` is; without a size it has the one given for its kind.
    A stream of which one of both stays unknown makes no event; the line that lists it is rejected as `missing_field`.
    """
    trace = _Trace(sizes=assumed_sizes(camera_size, screen_size))
    events: list[DerivedEvent] = []

    def write(record: Record, event: dict[str, object]) -> None:
        events.append(DerivedEvent(record.place.file, record.place.line, event))

    said = trace.read(lines)
    for emitter, rooms_in in room_prefixes(said).items():
        fold = Fold(app_id=app_id, write=write, reject=trace.reject_place, rooms_in=rooms_in)
        deque(fold.run(sorted(said[emitter], key=lambda sign: (sign.at, sign.rank))), maxlen=0)
    events.sort(key=lambda event: (event.event["at"], event.event["seq"]))
    rejected = sorted(trace.rejected.values(), key=lambda row: (row.file, row.line))
    return Derived(events=events, rejected=rejected, lines=trace.lines)


def assumed_sizes(camera: Size | None, screen: Size | None) -> tuple[tuple[str, Size], ...]:
    """Sizes by kind of stream, as far as they are given."""
    return tuple((kind, size) for kind, size in (("camera", camera), ("screen", screen)) if size is not None)


def room_prefixes(emitters: Iterable[str], known: Collection[str] = ()) -> dict[str, str]:
    """What the room ids of each new server begin with in events, because ids are unique only per server: nothing for
    the first server of an app, `<server>/` for every other."""
    new = sorted(set(emitters) - set(known))
    first = None if known else next(iter(new), None)
    return {emitter: "" if emitter == first else f"{emitter}/" for emitter in new}


class _Trace:
    """What the lines of one call say; the first reason to reject a line stands, because a quarantined row is identified
    by its file and line."""

    def __init__(self, *, sizes: tuple[tuple[str, Size], ...]) -> None:
        self.sizes = sizes
        self.lines = 0
        self.rejected: dict[tuple[str, int], RejectedRow] = {}

    def read(self, lines: Iterable[TraceLine]) -> dict[str, list[Sign]]:
        """What each server says."""
        said: dict[str, list[Sign]] = defaultdict(list)
        for line, event in read_events(self._counted(lines), self.reject):
            try:
                sign = read_event(event, Place(line.file, line.number, raw=raw_of(line), sizes=self.sizes))
            except UnreadableError as error:
                self.reject(line, error.reason, error.detail)
            else:
                said[sign.emitter].append(sign)
        return said

    def reject(self, line: TraceLine, reason: str, detail: str) -> None:
        row = RejectedRow(line.file, line.number, reason, detail, raw_of(line))
        self.rejected.setdefault((line.file, line.number), row)

    def reject_place(self, place: Place, detail: str) -> None:
        row = RejectedRow(place.file, place.line, "missing_field", detail, place.raw or "")
        self.rejected.setdefault((place.file, place.line), row)

    def _counted(self, lines: Iterable[TraceLine]) -> Iterator[TraceLine]:
        for line in lines:
            self.lines += 1
            yield line
