"""A fold over what one server says: `(state, the following records) → (events, state after)`.

Records come in the order of time. What a record means may depend on what is said within the next `AHEAD` (5 s), so it
is applied once the fold has heard of everything up to then, or of everything that there is:

- a transport that closes has lost its users, unless a hangup with `DTLS alert` came in the 5 s before (up to 0.1 s
  after, for stamps may be swapped), or the session is destroyed on request within 4 s;
- a server that starts has ended what ran before, at its stop or, in a crash, when it was heard last;
- whether the server reports the arrival of media at all: it has by then, or will within 4 s.

So what is known at a *cut*, an instant, is the state after every record before it; and the fold may go on from there
with the records from the cut on, as if it had never stopped. Every event has a *position*, its time (ms) and a number
among those of the same millisecond; positions rise.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from billing.sources.janus.people import MS, SECOND, Ending, Loss
from billing.sources.janus.records import HungUp, Record, SessionOver, Sign, Started, TransportClosed, Up
from billing.sources.janus.rooms import Reject, Rooms

AHEAD = 5 * SECOND
# A page that is closed hangs up its PeerConnections before its socket closes, or the stamps are swapped.
ALERT_BEFORE = 5 * SECOND
ALERT_AFTER = 100 * MS
_SOON = 4 * SECOND  # and a millisecond more is less than AHEAD
HOUR = 3600 * SECOND
_MEDIA = 32  # the type of events about media

Position = tuple[int, int]
Write = Callable[[Record, dict[str, object]], None]  # cause, columns of the event


@dataclass(slots=True, kw_only=True)
class Fold:
    """The fold of one server. `rooms_in`: what its room ids begin with in events."""

    app_id: int
    write: Write
    reject: Reject
    rooms_in: str = ""
    rooms: Rooms = field(init=False)
    position: Position = (-1, 0)  # of the last event
    heard: int | None = None  # when the server was heard last (µs)
    media_at: int | None = None  # when it first reported media
    hour: int | None = None  # of the last record
    # What hangups and connections of a session were like: times (µs), handles, whether it was a hangup with an alert.
    alerts: dict[str, list[tuple[int, str | None, bool]]] = field(default_factory=dict)
    destroyed: dict[str, int] = field(default_factory=dict)
    _waiting: deque[Sign] = field(default_factory=deque)
    _closings: deque[Record] = field(default_factory=deque)  # of transports, not decided yet

    def __post_init__(self) -> None:
        self.rooms = Rooms(write=self._write, reject=self.reject)

    def run(self, signs: Iterable[Sign], cuts: Iterable[int] = ()) -> Iterator[int]:
        """Takes all that follows, in the order of time and rank. Stops at each cut (µs, rising), with the state after
        what came before it; the last must be `AHEAD` before the end."""
        remaining = deque(cuts)
        for sign in signs:
            while remaining and sign.at >= remaining[0] + AHEAD:
                self._apply_before(remaining[0])
                yield remaining.popleft()
            self._hear(sign)
            self._waiting.append(sign)
            self._apply_before(sign.at - AHEAD + 1)
        self._apply_before(None)

    def _apply_before(self, end: int | None) -> None:
        while self._waiting and (end is None or self._waiting[0].at < end):
            self._apply(self._waiting.popleft())

    def _hear(self, sign: Sign) -> None:
        if sign.type == _MEDIA and self.media_at is None:
            self.media_at = sign.at
        record = sign.record
        if record is None:
            return
        match record.body:
            case HungUp(alert=True) if record.session is not None:
                self.alerts.setdefault(record.session, []).append((record.at, record.handle, True))
            case Up() if record.session in self.alerts:
                self.alerts[record.session].append((record.at, record.handle, False))
            case SessionOver("destroyed") if record.session is not None:
                self.destroyed[record.session] = record.at
            case TransportClosed():
                self._closings.append(record)
            case _:
                pass

    def _apply(self, sign: Sign) -> None:
        hour = sign.at // HOUR
        if hour != self.hour:
            if self.hour is not None:
                self._forget(hour * HOUR)
            self.hour = hour
        if sign.record is not None:
            while self._closings and self._closings[0].at - MS < sign.at:
                self._decide(self._closings.popleft())
            record = sign.record
            if isinstance(record.body, Started) and self.heard is not None:
                record = record._replace(at=self.heard)
            self.rooms.media = self.media_at is not None and self.media_at <= sign.at + _SOON
            self.rooms.apply(record)
            if isinstance(record.body, TransportClosed):
                losses = self.rooms.losses
                self.rooms.losses = {session: loss for session, loss in losses.items() if loss.at > sign.at}
        self.heard = sign.at

    def _decide(self, closing: Record) -> None:
        """What it means for its sessions that a transport closes."""
        assert isinstance(closing.body, TransportClosed)  # noqa: S101 - only these are kept
        for session in self.rooms.transports.get(closing.body.transport, ()):
            is_over = self.destroyed.get(session, closing.at + AHEAD) <= closing.at + _SOON
            if is_over or self._was_alerted(session, closing.at):
                ending = Ending("exit", "page_closed")
            else:
                ending = Ending("disconnect", "connection_lost")
            self.rooms.losses[session] = Loss(closing.at, ending)

    def _was_alerted(self, session: str, at: int) -> bool:
        said = self.alerts.get(session, [])
        last = {handle: (time, alert) for time, handle, alert in said if time <= at + ALERT_AFTER}
        return any(alert and time >= at - ALERT_BEFORE for time, alert in last.values())

    def _forget(self, at: int) -> None:
        self.rooms.forget(at)
        self.alerts = dict(self.recent_alerts(at - ALERT_BEFORE))
        self.destroyed = {session: when for session, when in self.destroyed.items() if when >= at - AHEAD}

    def recent_alerts(
        self, start: int, end: int | None = None
    ) -> Iterator[tuple[str, list[tuple[int, str | None, bool]]]]:
        """What is known of hangups since `start` (µs), before `end`."""
        for session, said in self.alerts.items():
            first = bisect_right(said, start - 1, key=lambda one: one[0])
            after = len(said) if end is None else bisect_right(said, end - 1, key=lambda one: one[0])
            if first < after:
                yield session, said[first:after]

    def _write(self, record: Record, event: dict[str, object]) -> None:
        at = record.at // MS
        self.position = (at, self.position[1] + 1 if self.position[0] == at else 0)
        room = {"room_id": f"{self.rooms_in}{event['room_id']}"}
        columns = {"app_id": self.app_id, **event, **room, "at": at, "seq": self.position[1], "source": "janus"}
        self.write(record, columns)
