"""Agora: the notifications of channels (NCS).

| eventType | event |
|---|---|
| 103, 105, 107 | `enter` as broadcaster, as audience, in a call |
| 104, 106, 108 | `exit`; with reason 4, 9 or 10 the connection is lost only now: `disconnect` |
| 111, 112 | a broadcaster from now on, and no longer |
| 102 | `dismiss` |
| all else | ignored |

Nothing is told about media. If a camera is assumed for the app, a broadcaster and a user in a call publish one of that
size as long as they are it; else nobody publishes. `noticeId` is the id, as `notifyMs` changes with a retry. `ts` is in
whole seconds; `clientSeq` orders the events of a user.

Example: eventType 103 of account ann in channel class-42 at 1772442000 is an `enter` and, with
`camera = "1280x720"`, a `publish` of `ann/camera` at 1772442000000.
"""

from billing.sources.record_apps import Terms
from billing.sources.record_fields import (
    Event,
    Fields,
    NothingBillable,
    integer,
    optional_integer,
    optional_text,
    table,
    text,
)
from billing.sources.record_maps import RecordSource

_CHANNELS = 1  # the product: others are recordings and the like
_DISMISSED, _BROADCASTS, _WATCHES = 102, 111, 112
_ENTERED, _LEFT = (103, 105, 107), (104, 106, 108)
_PUBLISHING = (103, 107, _BROADCASTS)
_CONNECTION_LOST = (4, 9, 10)


def _events(body: Fields, terms: Terms) -> list[Event]:
    kind = integer(body.get("eventType"), "eventType")
    product = optional_integer(body.get("productId"), "productId")
    if product not in (None, _CHANNELS):
        raise NothingBillable(f"product {product}")
    if kind not in (_DISMISSED, _BROADCASTS, _WATCHES, *_ENTERED, *_LEFT):
        raise NothingBillable(str(kind))
    payload = table(body.get("payload"), "payload")
    event: Event = {
        "event_id": f"agora:{text(body.get('noticeId'), 'noticeId')}",
        "room_id": text(payload.get("channelName"), "channelName"),
        "at": integer(payload.get("ts"), "ts") * 1000,
        "seq": optional_integer(payload.get("clientSeq"), "clientSeq"),
    }
    if kind == _DISMISSED:
        return [event | {"type": "dismiss"}]
    event["user_id"] = optional_text(payload.get("account"), "account") or text(payload.get("uid"), "uid")
    events = []
    if kind in _ENTERED:
        events.append(event | {"type": "enter", **terms.receives()})
    if kind in _LEFT:
        events.append(event | _left(optional_integer(payload.get("reason"), "reason")))
    events += _camera(event, kind, terms)
    if not events:
        raise NothingBillable(f"{kind} without an assumed camera")
    return events


def _left(reason: int | None) -> Event:
    kind = "disconnect" if reason in _CONNECTION_LOST else "exit"
    return {"type": kind, "reason": None if reason is None else str(reason)}


def _camera(event: Event, kind: int, terms: Terms) -> list[Event]:
    """What is assumed of the camera of a user who begins or ends to be a broadcaster."""
    if terms.assume.camera is None or kind not in (*_PUBLISHING, _WATCHES):
        return []
    named = event | {"event_id": f"{event['event_id']}:camera", "stream": f"{event['user_id']}/camera"}
    if kind == _WATCHES:
        return [named | {"type": "unpublish"}]
    return [named | {"type": "publish", **terms.size("camera", {})}]


AGORA = RecordSource(name="agora", events=_events)
