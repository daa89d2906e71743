"""Events of our schema from the event-handler output of the Janus WebRTC server (VideoRoom plugin).

`derive` takes the lines of one trace and returns what happened, in order. Who is in a room, and what reaches whom, is
kept by `rooms`; the reading of a line is in `reading`. How a stay ends:

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

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from billing.events.rows import DerivedEvent, RejectedRow, TraceLine
from billing.sources.janus.people import MS, Ending, Loss
from billing.sources.janus.records import (
    Created,
    HungUp,
    Record,
    SessionOver,
    Size,
    Started,
    TransportClosed,
    Up,
)
from billing.sources.janus.rooms import Rooms
from billing.sources.janus.trace import Trace, read_trace

# A page that is closed hangs up its PeerConnections before its socket closes, or the stamps are swapped.
ALERT_BEFORE = 5_000 * MS
ALERT_AFTER = 100 * MS


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
    trace = read_trace(lines)
    records = _with_crashes(trace)
    events: list[DerivedEvent] = []

    def write(record: Record, event: dict[str, object]) -> None:
        at = record.at // MS
        last = events[-1].event if events else {}
        seq = last["seq"] + 1 if last.get("at") == at and isinstance(last["seq"], int) else 0
        columns = {"app_id": app_id, **event, "at": at, "seq": seq, "source": "janus"}
        events.append(DerivedEvent(record.file, record.line, columns))

    def reject(record: Record, detail: str) -> None:
        trace.reject(record.file, record.line, "missing_field", detail, record.raw or "")

    rooms = Rooms(
        losses=dict(_losses(records)),
        sizes={kind: size for kind, size in (("camera", camera_size), ("screen", screen_size)) if size is not None},
        media=trace.media,
        write=write,
        reject=reject,
    )
    for record in records:
        rooms.apply(record)
    rejected = sorted(trace.rejected.values(), key=lambda row: (row.file, row.line))
    return Derived(events=events, rejected=rejected, lines=trace.lines)


def _with_crashes(trace: Trace) -> list[Record]:
    """The records, where each start of a server stands at the last time (µs) at which it was heard before.

    What runs when a server starts has ended then: at its stop, if it said so, else in a crash.
    """
    heard: dict[str, int] = {}
    records: list[Record] = []
    for record in trace.records:
        at = record.at
        if isinstance(record.body, Started):
            last_at = heard.get(record.server, at)
            at = max((alive for alive in trace.alive.get(record.server, ()) if last_at < alive < at), default=last_at)
        records.append(record._replace(at=at))
        heard[record.server] = record.at
    records.sort(key=lambda record: record.at)
    return records


def _losses(records: list[Record]) -> Iterator[tuple[str, Loss]]:
    """Each session whose transport closed, and whether its page was closed or its connection was lost.

    A session that is destroyed on request ends by that, even if its socket closes first.
    """
    sessions: dict[str, list[str]] = {}
    alerts: dict[str, dict[str | None, int]] = {}  # time (µs) by session and handle
    for record in records:
        match record.body:
            case Created(transport) if record.session is not None:
                sessions.setdefault(transport, []).append(record.session)
            case HungUp(alert=True) if record.session is not None:
                alerts.setdefault(record.session, {})[record.handle] = record.at
            case Up() if record.session in alerts:
                alerts[record.session].pop(record.handle, None)
    over = [record for record in records if isinstance(record.body, SessionOver)]
    destroyed = {record.session for record in over if record.body == SessionOver("destroyed")}
    for record in records:
        if isinstance(record.body, TransportClosed):
            for session in sessions.pop(record.body.transport, []):
                near = [
                    record.at - ALERT_BEFORE <= at <= record.at + ALERT_AFTER for at in alerts.get(session, {}).values()
                ]
                if session in destroyed or any(near):
                    yield session, Loss(record.at, Ending("exit", "page_closed"))
                else:
                    yield session, Loss(record.at, Ending("disconnect", "connection_lost"))
