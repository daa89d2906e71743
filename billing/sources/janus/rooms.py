"""What a server has said so far: its sessions, handles, feeds and the users of its rooms.

Each record changes this state; the users whom it touches are then compared with what was last written of them, and
only the difference becomes events. So everything may be said twice.

A user is in a room while any of the user's *feeds* (participants that joined as publisher, also silent ones) is there,
or a *viewer*: a subscriber handle that belongs to no participant of that user, from its first stream list (as a
participant counts from `joined`, before any media flows) to its `detached`.

A user receives a video stream while, on one of the user's subscriber handles, all of this holds:

- the PeerConnection is up;
- the stream is on an m-line of the last stream list, and that m-line flows in the last offer and its answer;
- its feed is published, the stream is not disabled, and media arrives from the publisher (`receiving`);
- its publisher is somebody else.

Where a feed begins in the middle, what was said before is taken as the usual: up, flowing, published, arriving.

Nothing is kept for ever. What has gone is remembered for an hour, for what may still be said of it. A user of whom
nothing was written for 24 hours has left by the rule of metering, and is forgotten with all handles: an end that was
lost must not hide that the user comes again.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from billing.catalog.feeds import Size
from billing.sources.janus.people import LEFT, MS, SECOND, Ending, Feed, FeedKey, Handle, Loss, Person, picture_of
from billing.sources.janus.records import (
    OF_A_HANDLE,
    Attached,
    Created,
    Described,
    Detached,
    HungUp,
    Joined,
    Left,
    Place,
    Published,
    Receiving,
    Record,
    RoomDestroyed,
    SessionOver,
    Started,
    Stopped,
    Subscription,
    TransportClosed,
    Unpublished,
    Unsubscribed,
    Up,
    Watched,
)

Write = Callable[[Record, dict[str, object]], None]  # cause, event
Reject = Callable[[Place, str], None]  # as missing_field, with a detail

Key = TypeVar("Key")

REMEMBERED = 3600 * SECOND


@dataclass(slots=True, kw_only=True)
class Rooms:
    write: Write
    reject: Reject
    media: bool = False  # does the server tell whether media arrives?
    losses: dict[str, Loss] = field(default_factory=dict)
    transports: dict[str, list[str]] = field(default_factory=dict)
    transport_of: dict[str, str] = field(default_factory=dict)  # by session
    sessions: dict[str, dict[str, Handle]] = field(default_factory=dict)
    handles: dict[str, Handle] = field(default_factory=dict)
    gone_handles: dict[str, int] = field(default_factory=dict)  # when (µs)
    feeds: dict[FeedKey, Feed] = field(default_factory=dict)
    gone_feeds: dict[FeedKey, int] = field(default_factory=dict)
    watchers: dict[FeedKey, dict[str, Handle]] = field(default_factory=dict)
    owners: dict[tuple[str, str], str] = field(default_factory=dict)  # user by room and private id
    gone_owners: dict[tuple[str, str], int] = field(default_factory=dict)
    people: dict[tuple[str, str], Person] = field(default_factory=dict)
    rejections: dict[tuple[str, ...], set[str]] = field(default_factory=dict)  # by feed or handle
    subscribers: dict[tuple[str, str], dict[str, Handle]] = field(default_factory=dict)  # by room and private id
    touched: dict[tuple[str, str], Person] = field(default_factory=dict)
    ending: Ending = LEFT
    at: int = 0  # of the record that is being applied

    def apply(self, record: Record) -> None:
        self.ending, self.at = LEFT, record.at
        if record.handle is None or not isinstance(record.body, OF_A_HANDLE):
            self._apply_to_server(record)
        elif record.handle not in self.gone_handles:
            self._apply_to_handle(self._handle(record.handle, record), record)
        for person in self.touched.values():
            self._settle(person, record)
        self.touched.clear()

    def _apply_to_server(self, record: Record) -> None:
        match record.body:
            case Created(transport) if record.session is not None:
                self._forget_session(record.session)
                self.transports.setdefault(transport, []).append(record.session)
                self.transport_of[record.session] = transport
            case SessionOver(reason) if record.session is not None:
                self._end_session(record.session, Ending("exit", "leave" if reason == "destroyed" else reason))
                self._forget_session(record.session)
            case TransportClosed(transport):
                for session in self.transports.pop(transport, []):
                    del self.transport_of[session]
                    if session in self.losses:
                        self._end_session(session, self.losses.pop(session).ending)
            case Unpublished(room, feed):
                self._unpublish((room, feed))
            case Left() as left:
                self._apply_left(left, record)
            case RoomDestroyed(room):
                self._destroy_room(room, record)
            case Started() | Stopped() as body:
                self.ending = Ending("exit", "server_stopped" if isinstance(body, Stopped) else "server_restarted")
                for handle in list(self.handles.values()):
                    self._detach(handle)
                if isinstance(body, Started):  # its ids begin anew
                    self._forget_ids()
            case _:
                pass

    def _forget_ids(self) -> None:
        for known in (
            *(self.transports, self.transport_of, self.sessions, self.gone_handles, self.gone_feeds),
            *(self.owners, self.gone_owners, self.rejections),
        ):
            known.clear()

    def _apply_left(self, left: Left, record: Record) -> None:
        key = left.room, left.feed
        gone = self.feeds.get(key)
        ending = Ending("exit", "leave" if left.reason == "leaving" else left.reason)
        self.ending = ending if gone is None else self._ending(gone.handle, record, ending)
        is_unknown = gone is None and key not in self.gone_feeds
        self._leave(key)
        handle = self.handles.get(record.handle or "")
        user = record.user or (handle.user if handle else None) or left.display
        if is_unknown and user is not None:  # joined before the feed began
            person = self._person(left.room, user)
            if not (person.present or person.feeds or person.viewers):
                person.lost_second = None
                self._write(record, person, ending.type, reason=ending.reason)
            self._touch(person)

    def _apply_to_handle(self, handle: Handle, record: Record) -> None:
        match record.body:
            case Attached():
                handle.whole, handle.up = True, False
            case Detached():
                self.ending = self._ending(handle, record, LEFT)
                self._detach(handle)
            case Described(offer, flows):
                self._describe(handle, record.at, offer, flows)
            case Up():
                handle.up = True
                if handle.person is not None:
                    self._touch(handle.person)
            case HungUp():
                self._hang_up(handle)
            case Receiving(mid, substream, receiving):
                handle.publishes = True
                handle.receiving[mid, substream] = receiving
                self._touch_watchers(handle.feed)
            case Joined(room, feed, display, private_id, first):
                self._join(handle, record, (room, feed), display, first)
                if private_id is not None and handle.feed is not None:
                    self.owners[room, private_id] = handle.feed.person.user
                    self.gone_owners.pop((room, private_id), None)
                    handle.feed.private_id = private_id
            case Published(room, key, display, videos):
                self._join(handle, record, (room, key), display, first=False)
                if handle.feed is not None:
                    handle.feed.videos = {video.mid: video for video in videos}
                    handle.feed.listed_by = record.place
                    self._touch_watchers(handle.feed)
            case Subscription() as subscription:
                self._subscribe(handle, record, subscription)
            case Unsubscribed(feed, mid):
                gone = [m for m, w in handle.watched.items() if (w.feed, w.mid) == (feed, mid)]
                self._set_watched(handle, {m: w for m, w in handle.watched.items() if m not in gone})
            case _:
                pass

    def _handle(self, identifier: str, record: Record) -> Handle:
        handle = self.handles.get(identifier)
        if handle is None:
            handle = Handle(id=identifier, session=record.session, user=record.user)
            self.handles[identifier] = handle
            if record.session is not None:
                self.sessions.setdefault(record.session, {})[identifier] = handle
        handle.user = handle.user or record.user
        return handle

    def _person(self, room: str, user: str) -> Person:
        person = self.people.get((room, user))
        if person is None:
            person = self.people[room, user] = Person(room=room, user=user)
        return person

    # Publishers

    def _join(self, handle: Handle, record: Record, key: FeedKey, display: str | None, first: bool) -> None:
        """Tie a handle to its feed; `first`: at its `joined`, else at whatever shows that it is there."""
        known = handle.feed is not None and handle.feed.key == key
        if known or (key in self.gone_feeds and not first):
            return
        user = handle.user or display
        if user is None:
            self._reject_once(key, "", record.place, "neither an opaque_id nor a display names the user")
            return
        for feed in (handle.feed, self.feeds.get(key)):
            if feed is not None:
                self._leave(feed.key)
        self.gone_feeds.pop(key, None)
        person = self._person(key[0], user)
        feed = Feed(key=key, person=person, handle=handle)
        self.feeds[key] = handle.feed = person.feeds[key] = feed
        handle.publishes = True
        self._touch(person)

    def _unpublish(self, key: FeedKey) -> None:
        """Janus takes the feed off every subscriber, and says so to some of them only: so we do it."""
        for handle in list(self.watchers.get(key, {}).values()):
            self._set_watched(handle, {m: w for m, w in handle.watched.items() if w.feed != key[1]})
        feed = self.feeds.get(key)
        if feed is not None:
            feed.videos = {}
            feed.handle.whole = True
            feed.handle.receiving.clear()

    def _leave(self, key: FeedKey) -> None:
        self._unpublish(key)
        self.gone_feeds.setdefault(key, self.at)
        self.rejections.pop(key, None)
        feed = self.feeds.pop(key, None)
        if feed is not None:
            if feed.private_id is not None:
                self.gone_owners[key[0], feed.private_id] = self.at
            feed.handle.feed = None
            del feed.person.feeds[key]
            self._touch(feed.person)

    # Subscribers

    def _subscribe(self, carrier: Handle, record: Record, subscription: Subscription) -> None:
        room, private_id, watched, first = subscription
        handle = carrier if first or not carrier.publishes else self._routed(carrier, room, private_id)
        if handle is None:
            return
        if handle.person is None:
            handle.user = handle.user or self.owners.get((room, private_id))
            if handle.user is None:
                detail = "neither an opaque_id nor a known private_id names the user"
                self._reject_once((handle.id,), "", record.place, detail)
                return
            handle.person = self._person(room, handle.user)
            handle.person.subscribers[handle.id] = handle
            handle.private_id = private_id
            self.subscribers.setdefault((room, private_id), {})[handle.id] = handle
            handle.up = False if first and handle.up is None else handle.up
            if self.owners.get((room, private_id)) != handle.user:
                handle.person.viewers[handle.id] = handle
        handle.listed_by = record.place
        self._set_watched(handle, {stream.line_mid: stream for stream in watched})

    def _routed(self, carrier: Handle, room: str, private_id: str) -> Handle | None:
        """The subscriber that is meant by an `updated` on a publisher's handle.

        Janus sends one to each subscriber of a publisher who stops, with the publisher's handle in place of the
        subscriber's. The offer to the right handle comes just before it.
        """
        meant = self.subscribers.get((room, private_id), {}).values()
        watchers = self.watchers.get(carrier.feed.key, {}) if carrier.feed is not None else {}
        return max(meant, key=lambda handle: (handle.offered_at, handle.id in watchers), default=None)

    def _set_watched(self, handle: Handle, watched: dict[str, Watched]) -> None:
        if handle.person is None:
            return
        for stream in handle.watched.values():
            _remove(self.watchers, (handle.person.room, stream.feed), handle.id)
        for stream in watched.values():
            self.watchers.setdefault((handle.person.room, stream.feed), {})[handle.id] = handle
        handle.watched = watched
        self._touch(handle.person)

    def _describe(self, handle: Handle, at: int, offer: bool, flows: dict[str, bool]) -> None:
        if offer:
            handle.offered, handle.answered, handle.offered_at = flows, {}, at
        else:
            handle.answered = flows
        if handle.person is not None:
            self._touch(handle.person)

    # Ends

    def _hang_up(self, handle: Handle) -> None:
        handle.up = False
        if handle.feed is not None:
            self._unpublish(handle.feed.key)
        self._set_watched(handle, {})

    def _detach(self, handle: Handle) -> None:
        self.gone_handles[handle.id] = self.at
        del self.handles[handle.id]
        self.rejections.pop((handle.id,), None)
        if handle.session is not None:
            _remove(self.sessions, handle.session, handle.id)
        self._set_watched(handle, {})
        if handle.feed is not None:
            self._leave(handle.feed.key)
        if handle.person is not None:
            _remove(self.subscribers, (handle.person.room, handle.private_id), handle.id)
            handle.person.subscribers.pop(handle.id)
            handle.person.viewers.pop(handle.id, None)
            self._touch(handle.person)

    def _end_session(self, session: str, ending: Ending) -> None:
        self.ending = ending
        for handle in list(self.sessions.get(session, {}).values()):
            self._detach(handle)
        self.sessions.pop(session, None)

    def _forget_session(self, session: str) -> None:
        """Takes a session that is over off its transport."""
        transport = self.transport_of.pop(session, "")
        if transport in self.transports:
            self.transports[transport].remove(session)
            if not self.transports[transport]:
                del self.transports[transport]

    def _ending(self, handle: Handle, record: Record, ending: Ending) -> Ending:
        """Threads of Janus may swap two stamps by up to a millisecond: a loss that follows that closely came first."""
        loss = self.losses.get(handle.session or "")
        return loss.ending if loss is not None and record.at > loss.at - MS else ending

    def _destroy_room(self, room: str, record: Record) -> None:
        people = [person for person in self.people.values() if person.room == room]
        if any(person.present or person.is_waited_for(record.at) for person in people):
            self.write(record, {"room_id": room, "type": "dismiss", "reason": "room_destroyed"})
        for person in people:
            person.present, person.lost_second, person.received = False, None, {}
            for feed in list(person.feeds.values()):
                self._leave(feed.key)
            for handle in list(person.subscribers.values()):
                self._detach(handle)

    # Time

    def forget(self, at: int) -> None:
        """Forgets, at some time (µs), what has gone an hour before, and who has left by the rule of 24 hours."""
        self.at, before = at, at - REMEMBERED
        for gone in (self.gone_handles, self.gone_feeds, self.gone_owners):
            for key in [key for key, gone_at in gone.items() if gone_at < before]:
                del gone[key]  # type: ignore[arg-type]
                if gone is self.gone_owners:
                    self.owners.pop(key, None)  # type: ignore[arg-type]
        for person in list(self.people.values()):
            if person.is_stale(at):
                self._forget_stay(person)
            elif person.lost_second is not None and not (person.present or person.is_waited_for(at)):
                person.lost_second = None
                if not person.subscribers:
                    del self.people[person.room, person.user]

    def _forget_stay(self, person: Person) -> None:
        """Forgets a user whose stay has ended by itself, with all handles, as if nothing had been said of them."""
        person.present, person.received = False, {}
        feeds = list(person.feeds)
        for handle in [*person.subscribers.values(), *(feed.handle for feed in person.feeds.values())]:
            if handle.id in self.handles:
                self._detach(handle)
                del self.gone_handles[handle.id]
        for key in feeds:
            del self.gone_feeds[key]
        self.people.pop((person.room, person.user), None)
        self.touched.clear()

    # Writing

    def _touch(self, person: Person) -> None:
        self.touched[person.room, person.user] = person

    def _touch_watchers(self, feed: Feed | None) -> None:
        for handle in self.watchers.get(feed.key, {}).values() if feed is not None else ():
            if handle.person is not None:
                self._touch(handle.person)

    def _settle(self, person: Person, record: Record) -> None:
        if person.is_stale(record.at):
            person.present, person.received = False, {}
        present = bool(person.feeds or person.viewers)
        if present and not person.present:
            back = person.is_waited_for(record.at)
            self._write(record, person, "reconnect" if back else "enter")
            person.lost_second = None
        elif person.present and not present:
            self._write(record, person, self.ending.type, reason=self.ending.reason)
            person.lost_second = record.at // SECOND if self.ending.type == "disconnect" else None
        person.present = present
        received = dict(self._received(person)) if present else {}
        if present:
            for stream in sorted(person.received.keys() - received.keys()):
                self._write(record, person, "video_off", stream=stream)
            for stream, (width, height) in sorted(received.items() - person.received.items()):
                self._write(record, person, "video_on", stream=stream, width=width, height=height)
        person.received = received
        if not present and person.lost_second is None and not person.subscribers:
            self.people.pop((person.room, person.user), None)

    def _received(self, person: Person) -> Iterator[tuple[str, Size]]:
        for handle in person.subscribers.values():
            for line_mid, stream in handle.watched.items():
                key = (person.room, stream.feed)
                feed = self.feeds.get(key)
                publisher = feed.person.user if feed is not None else stream.publisher
                if key in self.gone_feeds or publisher == person.user or not handle.flows(line_mid):
                    continue
                if feed is not None and not feed.sends(stream.mid, self.media):
                    continue
                picture = picture_of(feed, handle, stream)
                if picture is not None:
                    kind, size = picture
                    yield f"{publisher or ''}:{stream.feed}:{stream.mid}/{kind}", size
                else:
                    listed_by = feed.listed_by if feed is not None and feed.listed_by else handle.listed_by
                    detail = f"no kind and size of video {stream.mid} of feed {stream.feed} are known"
                    if listed_by is not None:
                        self._reject_once(key, stream.mid, listed_by, detail)

    def _reject_once(self, owner: tuple[str, ...], what: str, place: Place, detail: str) -> None:
        rejected = self.rejections.setdefault(owner, set())
        if what not in rejected:
            rejected.add(what)
            self.reject(place, detail)

    def _write(self, record: Record, person: Person, kind: str, **columns: object) -> None:
        self.write(record, {"room_id": person.room, "user_id": person.user, "type": kind, **columns})
        person.last_second = record.at // SECOND


def _remove(sets: dict[Key, dict[str, Handle]], key: Key, handle: str) -> None:
    """Takes a handle out of one of some sets, and the set away if it is empty then."""
    if key in sets:
        sets[key].pop(handle, None)
        if not sets[key]:
            del sets[key]
