"""Snapshots: the state of a fold at a cut as JSON, from which the fold goes on as if it had never stopped.

Everything is kept in its order, since the order of events of one millisecond follows from it. Two states are the same
if their texts are.
"""

from typing import Any

from billing.catalog.feeds import Size
from billing.sources.janus.fold import ALERT_BEFORE, Fold, Write
from billing.sources.janus.people import Feed, Handle, Person
from billing.sources.janus.records import Picture, Place, Video, Watched
from billing.sources.janus.rooms import Reject, Rooms

VERSION = 1

Json = Any


def snapshot(fold: Fold, cut: int) -> Json:
    """The state after every record before a cut (µs), to which the fold must have come."""
    rooms = fold.rooms
    return {
        "version": VERSION,
        "rooms_in": fold.rooms_in,
        "position": list(fold.position),
        "heard": fold.heard,
        "media_at": fold.media_at if fold.media_at is not None and fold.media_at < cut else None,
        "hour": fold.hour,
        "alerts": [[session, said] for session, said in fold.recent_alerts(cut - ALERT_BEFORE, cut)],
        "transports": list(rooms.transports.items()),
        "sessions": [[session, list(handles)] for session, handles in rooms.sessions.items()],
        "handles": [_of_handle(handle) for handle in rooms.handles.values()],
        "gone_handles": list(rooms.gone_handles.items()),
        "feeds": [_of_feed(feed) for feed in rooms.feeds.values()],
        "gone_feeds": list(rooms.gone_feeds.items()),
        "watchers": [[key, list(handles)] for key, handles in rooms.watchers.items()],
        "subscribers": [[key, list(handles)] for key, handles in rooms.subscribers.items()],
        "owners": list(rooms.owners.items()),
        "gone_owners": list(rooms.gone_owners.items()),
        "people": [_of_person(person) for person in rooms.people.values()],
        "rejections": [[owner, sorted(what)] for owner, what in rooms.rejections.items()],
    }


def restored(state: Json, *, app_id: int, write: Write, reject: Reject) -> Fold:
    """The fold with the state of a snapshot."""
    fold = Fold(app_id=app_id, write=write, reject=reject, rooms_in=state["rooms_in"])
    at, number = state["position"]
    fold.position = (at, number)
    fold.heard, fold.media_at, fold.hour = state["heard"], state["media_at"], state["hour"]
    fold.alerts = {session: [(at, handle, alert) for at, handle, alert in said] for session, said in state["alerts"]}
    rooms = fold.rooms
    rooms.transports = {transport: list(sessions) for transport, sessions in state["transports"]}
    rooms.transport_of = {session: of for of, sessions in rooms.transports.items() for session in sessions}
    rooms.gone_handles = dict(state["gone_handles"])
    for name in ("gone_feeds", "owners", "gone_owners"):
        setattr(rooms, name, {tuple(key): value for key, value in state[name]})
    rooms.rejections = {tuple(owner): set(what) for owner, what in state["rejections"]}
    for row in state["people"]:
        _put_person(rooms, row)
    for row in state["handles"]:
        _put_handle(rooms, row)
    for row in state["feeds"]:
        _put_feed(rooms, row)
    for row in state["people"]:
        _tie_person(rooms, row)
    rooms.sessions = {session: _handles(rooms, handles) for session, handles in state["sessions"]}
    rooms.watchers = {tuple(key): _handles(rooms, handles) for key, handles in state["watchers"]}
    rooms.subscribers = {tuple(key): _handles(rooms, handles) for key, handles in state["subscribers"]}
    return fold


def _handles(rooms: Rooms, identifiers: list[str]) -> dict[str, Handle]:
    return {identifier: rooms.handles[identifier] for identifier in identifiers}


def _of_handle(handle: Handle) -> Json:
    return {
        "id": handle.id,
        "session": handle.session,
        "user": handle.user,
        "whole": handle.whole,
        "up": handle.up,
        "publishes": handle.publishes,
        "receiving": [[mid, substream, there] for (mid, substream), there in handle.receiving.items()],
        "person": [handle.person.room, handle.person.user] if handle.person else None,
        "private_id": handle.private_id,
        "watched": [list(watched) for watched in handle.watched.values()],
        "listed_by": handle.listed_by,
        "offered": list(handle.offered.items()),
        "answered": list(handle.answered.items()),
        "offered_at": handle.offered_at,
    }


def _put_handle(rooms: Rooms, row: Json) -> None:
    rooms.handles[row["id"]] = Handle(
        id=row["id"],
        session=row["session"],
        user=row["user"],
        whole=row["whole"],
        up=row["up"],
        publishes=row["publishes"],
        receiving={(mid, substream): there for mid, substream, there in row["receiving"]},
        person=rooms.people[tuple(row["person"])] if row["person"] else None,
        private_id=row["private_id"],
        watched={watched[0]: _watched(*watched) for watched in row["watched"]},
        listed_by=_place(row["listed_by"]),
        offered=dict(row["offered"]),
        answered=dict(row["answered"]),
        offered_at=row["offered_at"],
    )


def _watched(line_mid: str, feed: str, mid: str, publisher: str | None, picture: Json) -> Watched:
    return Watched(line_mid, feed, mid, publisher, _picture(picture))


def _of_feed(feed: Feed) -> Json:
    return {
        "key": feed.key,
        "user": feed.person.user,
        "handle": feed.handle.id,
        "private_id": feed.private_id,
        "videos": None if feed.videos is None else list(feed.videos.values()),
        "listed_by": feed.listed_by,
    }


def _put_feed(rooms: Rooms, row: Json) -> None:
    room, identifier = row["key"]
    handle, videos = rooms.handles[row["handle"]], row["videos"]
    handle.feed = rooms.feeds[room, identifier] = Feed(
        key=(room, identifier),
        person=rooms.people[room, row["user"]],
        handle=handle,
        private_id=row["private_id"],
        videos=None if videos is None else {mid: Video(mid, sent, _picture(picture)) for mid, sent, picture in videos},
        listed_by=_place(row["listed_by"]),
    )


def _of_person(person: Person) -> Json:
    return {
        "room": person.room,
        "user": person.user,
        "feeds": list(person.feeds),
        "viewers": list(person.viewers),
        "subscribers": list(person.subscribers),
        "present": person.present,
        "lost_second": person.lost_second,
        "received": sorted(person.received.items()),
        "last_second": person.last_second,
    }


def _put_person(rooms: Rooms, row: Json) -> None:
    rooms.people[row["room"], row["user"]] = Person(
        room=row["room"],
        user=row["user"],
        present=row["present"],
        lost_second=row["lost_second"],
        received={stream: (width, height) for stream, (width, height) in row["received"]},
        last_second=row["last_second"],
    )


def _tie_person(rooms: Rooms, row: Json) -> None:
    person = rooms.people[row["room"], row["user"]]
    person.feeds = {(room, feed): rooms.feeds[room, feed] for room, feed in row["feeds"]}
    person.viewers = _handles(rooms, row["viewers"])
    person.subscribers = _handles(rooms, row["subscribers"])


def _picture(row: Json) -> Picture:
    kind, size = row
    return Picture(kind, _size(size) if size else None)


def _place(row: Json) -> Place | None:
    if row is None:
        return None
    file, line, file_hash, raw, sizes = row
    return Place(file, line, file_hash, raw, tuple((kind, _size(size)) for kind, size in sizes))


def _size(row: Json) -> Size:
    width, height = row
    return width, height
