"""Janus event-handler output, read line by line into records.

A line holds one event, an array of events as the sample event handler posts them, or an object that wraps either in
`e`. A body that was written indented is read too: it opens with a line `[` or `{`, its inner lines are indented, and
it ends with a line `]` or `}`.

Only what tells who is in which room and what reaches them becomes a record; most of a trace is statistics, of which
only the time stays (a sign that the server was alive).
"""

import json
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from typing import TypeGuard

from billing.events.rows import TraceLine
from billing.limits import LONGEST_SIDE
from billing.sources.janus.records import (
    OF_A_HANDLE,
    Attached,
    Body,
    Created,
    Described,
    Detached,
    HungUp,
    Joined,
    Left,
    Picture,
    Place,
    Published,
    Receiving,
    Record,
    RoomDestroyed,
    SessionOver,
    Sign,
    Started,
    Stopped,
    Subscription,
    TransportClosed,
    Unpublished,
    Unsubscribed,
    Up,
    Video,
    Watched,
)

VIDEO_ROOM = "janus.plugin.videoroom"
KINDS = ("camera", "screen")
WITH_SUBTYPE = (16, 32, 256)  # the types of events that mean nothing without one
# Microseconds; outside of these no event can have happened.
EARLIEST = int(datetime(2015, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
LATEST = int(datetime(9999, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000


Reject = Callable[[TraceLine, str, str], None]  # line, reason code, detail


class UnreadableError(Exception):
    """An event that cannot be read: reason code and detail."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def read_events(lines: Iterable[TraceLine], reject: Reject) -> Iterator[tuple[TraceLine, object]]:
    """Each event with the line that its body began on; a line that is not JSON is rejected."""
    for line in _bodies(lines):
        for event in _events(line, reject):
            yield line, event


def user_of(name: str | None) -> str | None:
    """The user in an opaque id or a display: what stands before the first `/`."""
    return (name or "").partition("/")[0] or None


def _bodies(lines: Iterable[TraceLine]) -> Iterator[TraceLine]:
    """One line for each body: an indented one is put together under the number of its first line."""
    block: list[TraceLine] = []
    for line in lines:
        text = line.text.rstrip()
        if not text:
            continue
        if block and (line.file != block[0].file or not text.startswith((b" ", b"\t"))):
            closes = line.file == block[0].file and text in (b"]", b"}")
            whole = b"\n".join([*(part.text for part in block), *([text] if closes else [])])
            yield block[0]._replace(text=whole)
            block = []
            if closes:
                continue
        if block or text in (b"[", b"{"):
            block.append(line)
        else:
            yield line
    if block:
        yield block[0]._replace(text=b"\n".join(part.text for part in block))


def _events(line: TraceLine, reject: Reject) -> Iterator[object]:
    try:
        body = DECODER.decode(line.text.decode())
    except (ValueError, RecursionError) as error:
        reject(line, "bad_json", f"not JSON: {error}")
        return
    for item in body if isinstance(body, list) else [body]:
        wrapped = item.get("e") if isinstance(item, dict) else None
        if isinstance(wrapped, list):
            yield from wrapped
        else:
            yield item if wrapped is None else wrapped


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def raw_of(line: TraceLine) -> str:
    """The text of a line; bytes that are not UTF-8 become `\\xff`."""
    return line.text.decode("utf-8", errors="backslashreplace")


def read_event(event: object, place: Place) -> Sign:
    """What an event says; an `UnreadableError` if it cannot be read."""
    if not isinstance(event, dict):
        raise UnreadableError("bad_type", "an event must be a JSON object")
    kind, at = _integer(event, "type"), _integer(event, "timestamp")
    if not EARLIEST <= at < LATEST:
        raise UnreadableError("bad_value", f"timestamp {at} is not a time in microseconds")
    if kind in WITH_SUBTYPE:
        _integer(event, "subtype")
    body = _body(kind, event)
    record = None if body is None else _record(event, place, at, body)
    return Sign(at, kind, _optional_text(event, "emitter") or "", record)


def _record(event: dict[str, object], place: Place, at: int, body: Body) -> Record:
    session = _optional_identifier(event, "session_id")
    handle = _optional_identifier(event, "handle_id")
    if session is None and isinstance(body, Created | SessionOver):
        raise UnreadableError("missing_field", "session_id is missing")
    if handle is None and isinstance(body, OF_A_HANDLE):
        raise UnreadableError("missing_field", "handle_id is missing")
    user = user_of(_optional_text(event, "opaque_id"))
    if not _may_be_set_aside(body, user):
        place = place._replace(raw=None, sizes=())
    return Record(at, place, session, handle, user, body)


def _may_be_set_aside(body: Body, user: str | None) -> bool:
    if isinstance(body, Published | Subscription):
        streams = body.videos if isinstance(body, Published) else body.watched
        return user is None or any(None in stream.picture for stream in streams)
    return user is None and isinstance(body, Joined)


def _body(kind: int, event: dict[str, object]) -> Body | None:
    """What an event means to us; None: nothing."""
    if kind == 32:  # first, since most events are of this type
        return _media(event) if event.get("subtype") == 1 else None
    if kind == 64:
        return _plugin(_object(event, "event"))
    if kind == 16:
        return _peer_connection(_object(event, "event")) if event.get("subtype") == 6 else None
    if kind == 8:
        return _description(_object(event, "event"))
    if kind == 2:
        name = _text(_object(event, "event"), "name")
        return Attached() if name == "attached" else Detached() if name == "detached" else None
    if kind == 1:
        return _session(_object(event, "event"))
    if kind == 128:
        transport = _object(event, "event")
        closed = _text(_object(transport, "data"), "event") == "disconnected"
        return TransportClosed(_identifier(transport, "id")) if closed else None
    if kind == 256:
        subtype = event.get("subtype")
        return Started() if subtype == 1 else Stopped() if subtype == 2 else None
    return None


def _session(body: dict[str, object]) -> Body | None:
    name = _text(body, "name")
    if name == "created" and "transport" in body:
        return Created(_identifier(_object(body, "transport"), "id"))
    return SessionOver(name) if name in ("destroyed", "timeout") else None


def _peer_connection(body: dict[str, object]) -> Body | None:
    state = _text(body, "connection")
    if state == "hangup":
        return HungUp(_optional_text(body, "reason") == "DTLS alert")
    return Up() if state == "webrtcup" else None


def _media(event: dict[str, object]) -> Body | None:
    body = _object(event, "event")
    if body.get("media") != "video":
        return None
    substream = _optional_identifier(body, "substream") or ""
    return Receiving(_identifier(body, "mid"), substream, _flag(body, "receiving"))


def _description(body: dict[str, object]) -> Body | None:
    jsep = _object(body, "jsep")
    side = (body.get("owner"), jsep.get("type"))
    if side not in (("local", "offer"), ("remote", "answer")):
        return None
    offer = side[0] == "local"
    if "sdp" not in jsep and "sdp_mlines" not in jsep:
        raise UnreadableError("missing_field", "sdp is missing")
    directions = _sdp_directions(_text(jsep, "sdp")) if "sdp" in jsep else _mline_directions(jsep["sdp_mlines"])
    flowing = ("sendonly", "sendrecv") if offer else ("recvonly", "sendrecv")
    return Described(offer, {mid: direction in flowing for mid, direction in directions.items()})


def _mline_directions(mlines: object) -> dict[str, str]:
    """Rows of [kind, mid, direction, port]."""
    if not isinstance(mlines, list) or not all(isinstance(row, list) and len(row) > 2 for row in mlines):
        raise UnreadableError("bad_type", "sdp_mlines must be rows of kind, mid, direction, port")
    return {str(row[1]): str(row[2]) for row in mlines}


def _sdp_directions(sdp: str) -> dict[str, str]:
    """The direction of each m-line by its mid; without an attribute of its own that of the session, else sendrecv."""
    directions: dict[str, str] = {}
    for section in ("\n" + sdp).split("\nm="):
        attributes = [line.strip()[2:] for line in section.split("\n") if line.startswith("a=")]
        found = [a for a in attributes if a in ("sendonly", "recvonly", "sendrecv", "inactive")]
        direction = found[0] if found else directions.get("", "sendrecv")
        mid = next((a[4:] for a in attributes if a.startswith("mid:")), "")
        directions[mid] = direction
    directions.pop("", None)
    return directions


def _plugin(body: dict[str, object]) -> Body | None:
    if body.get("plugin") != VIDEO_ROOM:
        return None
    data = _object(body, "data")
    name = _text(data, "event")
    if name in ("subscribed", "unsubscribed"):  # the room of `subscribed` is wrong where rooms have text ids
        return Up() if name == "subscribed" else Unsubscribed(_identifier(data, "feed"), _identifier(data, "mid"))
    if name in ("subscribing", "updated") and "id" not in data:
        private_id = _optional_identifier(data, "private_id") or "0"
        return Subscription(_identifier(data, "room"), private_id, _watched(data), name == "subscribing")
    if name == "destroyed":
        return RoomDestroyed(_identifier(data, "room"))
    return _participant(name, data)


def _participant(name: str, data: dict[str, object]) -> Body | None:
    if name not in ("joined", "configured", "published", "updated", "unpublished", "leaving", "kicked"):
        return None
    room, feed, display = _identifier(data, "room"), _identifier(data, "id"), user_of(_optional_text(data, "display"))
    if name in ("joined", "configured"):
        return Joined(room, feed, display, _optional_identifier(data, "private_id"), name == "joined")
    if name == "unpublished":
        return Unpublished(room, feed)
    if name in ("leaving", "kicked"):
        return Left(room, feed, name, display)
    videos = (
        Video(_identifier(s, "mid"), s.get("disabled") is not True, _picture(s.get("description")))
        for s in _video_streams(data)
    )
    return Published(room, feed, display, tuple(videos))


def _watched(data: dict[str, object]) -> tuple[Watched, ...]:
    """The m-lines which may carry video; one without a feed is out of use."""
    return tuple(
        Watched(
            _identifier(s, "mid"),
            _identifier(s, "feed_id"),
            _identifier(s, "feed_mid"),
            user_of(_optional_text(s, "feed_display")),
            _picture(s.get("feed_description")),
        )
        for s in _video_streams(data)
        if "feed_id" in s and s.get("active") is not False and s.get("send") is not False
    )


def _video_streams(data: dict[str, object]) -> list[dict[str, object]]:
    streams = data.get("streams")
    if streams is None:
        raise UnreadableError("missing_field", "streams is missing")
    if not isinstance(streams, list) or not all(isinstance(stream, dict) for stream in streams):
        raise UnreadableError("bad_type", "streams must be an array of objects")
    return [stream for stream in streams if stream.get("type") == "video"]


def _picture(description: object) -> Picture:
    return _described(description) if isinstance(description, str) else Picture(None, None)


@lru_cache(maxsize=4096)
def _described(description: str) -> Picture:
    """The description is free text of the publisher; we read {"kind": "camera", "w": 640, "h": 360}."""
    try:
        claim = json.loads(description)
    except (ValueError, RecursionError):
        return Picture(None, None)
    if not isinstance(claim, dict):
        return Picture(None, None)
    kind, width, height = claim.get("kind"), claim.get("w"), claim.get("h")
    size = (width, height) if _is_side(width) and _is_side(height) else None
    return Picture(kind if kind in KINDS else None, size)


def _is_side(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= LONGEST_SIDE


def _required(event: dict[str, object], key: str) -> object:
    value = event.get(key)
    if value is None:
        raise UnreadableError("missing_field", f"{key} is missing")
    return value


def _integer(event: dict[str, object], key: str) -> int:
    value = _required(event, key)
    if isinstance(value, bool) or not isinstance(value, int):
        raise UnreadableError("bad_type", f"{key} must be an integer")
    return value


def _flag(event: dict[str, object], key: str) -> bool:
    value = _required(event, key)
    if not isinstance(value, bool):
        raise UnreadableError("bad_type", f"{key} must be true or false")
    return value


def _object(event: dict[str, object], key: str) -> dict[str, object]:
    value = _required(event, key)
    if not isinstance(value, dict):
        raise UnreadableError("bad_type", f"{key} must be an object")
    return value


def _text(event: dict[str, object], key: str) -> str:
    value = _required(event, key)
    if not isinstance(value, str):
        raise UnreadableError("bad_type", f"{key} must be text")
    if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
        raise UnreadableError("bad_value", f"{key} is not valid Unicode")
    return value


def _identifier(event: dict[str, object], key: str) -> str:
    """Ids are integers or text, as the server is set up; an integer becomes its decimal text."""
    value = _required(event, key)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise UnreadableError("bad_type", f"{key} must be an integer or text")
    return _text(event, key)


def _optional_text(event: dict[str, object], key: str) -> str | None:
    return None if event.get(key) is None else _text(event, key)


def _optional_identifier(event: dict[str, object], key: str) -> str | None:
    return None if event.get(key) is None else _identifier(event, key)
