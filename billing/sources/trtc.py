"""TRTC: the callbacks of rooms and media of Tencent RTC.

| EventType | event |
|---|---|
| 103 | `enter`; whether the user receives everything is assumed |
| 104, reason 2 (timeout) | `disconnect` 90 seconds before, when the wait began, and `exit` |
| 104, other reasons | `exit` |
| 102 | `dismiss` |
| 201, 202 | `publish`, `unpublish` of `<user>/camera` |
| 205, 206 | the same of `<user>/screen` |
| 105 to role 21 (audience) | `unpublish` of both |
| all else | ignored |

Example: type 104 of user ann in room 42 with reason 2 at 1772442171000 is a `disconnect` at 1772442081000 and an `exit`
at 1772442171000.

`EventMsTs` may be missing. Then the second of `EventTs` counts, and an end (102, 104, 202, 206) stands at its last
millisecond, so that a join and leave of one second do not bill a day. A callback has no id: its own is made of type,
room, user and `EventMsTs`, not of `CallbackTs`, which a retry changes. Sizes are never told.
"""

from billing.sources.record_apps import Terms
from billing.sources.record_fields import (
    Event,
    Fields,
    NothingBillable,
    hashed,
    integer,
    optional_integer,
    optional_text,
    table,
    text,
)
from billing.sources.record_maps import RecordSource

_WAIT_MS = 90_000
_DISMISSED, _ENTERED, _LEFT, _ROLE_CHANGED = 102, 103, 104, 105
_PUBLISHED, _UNPUBLISHED = {201: "camera", 205: "screen"}, {202: "camera", 206: "screen"}
_ENDS = (_DISMISSED, _LEFT, *_UNPUBLISHED)
_TIMEOUT = 2
_AUDIENCE = 21


def _events(body: Fields, terms: Terms) -> list[Event]:
    kind = integer(body.get("EventType"), "EventType")
    if kind not in (*_ENDS, *_PUBLISHED, _ENTERED, _ROLE_CHANGED):
        raise NothingBillable(str(kind))
    happened = table(body.get("EventInfo"), "EventInfo")
    role = optional_integer(happened.get("Role"), "Role")
    if kind == _ROLE_CHANGED and role != _AUDIENCE:
        raise NothingBillable(f"{kind} to role {role}")
    event = _common(kind, happened)
    if kind == _DISMISSED:
        return [event | {"type": "dismiss"}]
    user = text(happened.get("UserId"), "UserId")
    event |= {"user_id": user, "role": None if role is None else str(role)}
    if kind == _ENTERED:
        return [event | {"type": "enter", **terms.receives()}]
    if kind == _LEFT:
        return _left(event, optional_integer(happened.get("Reason"), "Reason"))
    if kind == _ROLE_CHANGED:
        return [
            _unpublish(event, picture) | {"event_id": f"{event['event_id']}:{picture}"}
            for picture in ("camera", "screen")
        ]
    if kind in _PUBLISHED:
        picture = _PUBLISHED[kind]
        return [event | {"type": "publish", "stream": f"{user}/{picture}", **terms.size(picture, {})}]
    return [_unpublish(event, _UNPUBLISHED[kind])]


def _common(kind: int, happened: Fields) -> Event:
    room = text(happened.get("RoomId"), "RoomId")
    at = optional_integer(happened.get("EventMsTs"), "EventMsTs")
    if at is None:
        at = integer(happened.get("EventTs"), "EventTs") * 1000 + (999 if kind in _ENDS else 0)
    name = hashed(kind, room, optional_text(happened.get("UserId"), "UserId"), at)
    return {"event_id": f"trtc:{name}", "room_id": room, "at": at}


def _left(event: Event, reason: int | None) -> list[Event]:
    """The end of a stay. After a timeout it marks the end of the wait, whose beginning no callback marked."""
    left = event | {"type": "exit", "reason": None if reason is None else str(reason)}
    if reason != _TIMEOUT:
        return [left]
    lost_at = int(str(event["at"])) - _WAIT_MS
    lost = event | {"type": "disconnect", "at": lost_at, "event_id": f"{event['event_id']}:disconnect"}
    return [lost, left]


def _unpublish(event: Event, picture: str) -> Event:
    return event | {"type": "unpublish", "stream": f"{event['user_id']}/{picture}"}


TRTC = RecordSource(name="trtc", events=_events, app_name=lambda record: record.headers.get("sdkappid"))
