"""LiveKit: webhooks, and answers of `ListParticipants` that were polled.

| record | event |
|---|---|
| `participant_joined` | `enter` of the connection `participant.sid`; receives everything if it may subscribe |
| `participant_left` | `exit` of that connection: the server has waited already |
| `track_published`, `track_unpublished`, video | `publish`, `unpublish` of `<track sid>/camera` or `/screen` |
| `room_finished` | `dismiss` |
| an answer of `ListParticipants` | `unpublish` for each muted video track, `publish` for each other one |
| all else | ignored |

Example: `{"event": "participant_left", "id": "EV_1", "createdAt": "1772442070", "room": {"name": "class-42"},
"participant": {"sid": "PA_1", "identity": "ann"}}` is the `exit` of ann's connection PA_1 from class-42 at
1772442070000, with the id `livekit:EV_1`.

Webhooks are protobuf's JSON: defaults are left out, enums are names or numbers, names `createdAt` or `created_at`.
`createdAt` is in whole seconds and is used for everything. Who subscribes to what is not told: `receives` is assumed.
"""

from collections.abc import Iterator
from functools import lru_cache

from billing.catalog.feeds import KINDS
from billing.sources.record_apps import Terms
from billing.sources.record_fields import (
    Event,
    Fields,
    NothingBillable,
    array,
    hashed,
    instant,
    integer,
    optional_integer,
    optional_text,
    table,
    text,
)
from billing.sources.record_maps import Record, RecordSource
from billing.sources.signatures import livekit_issuer

_KINDS = {0: "STANDARD", 1: "INGRESS", 2: "EGRESS", 3: "SIP", 4: "AGENT", 7: "CONNECTOR", 8: "BRIDGE"}
_TRACK_TYPES = {0: "AUDIO", 1: "VIDEO", 2: "DATA"}
_TRACK_SOURCES = {0: "UNKNOWN", 1: "CAMERA", 2: "MICROPHONE", 3: "SCREEN_SHARE", 4: "SCREEN_SHARE_AUDIO"}
_TRACK = "track"


def _app_name(record: Record) -> str | None:
    """The API key that signed the webhook."""
    return livekit_issuer(record.headers.get("authorization", "")) or optional_text(record.body.get("key"), "key")


def _items(record: Record) -> Iterator[Fields]:
    """A webhook as it is; of a polled answer each track."""
    if "participants" not in record.body:
        yield record.body
        return
    for participant in array(record.body["participants"], "participants"):
        one = table(participant, "participants")
        for track in array(one.get("tracks"), "tracks"):
            yield {**record.body, "event": "listParticipants", "participant": one, _TRACK: track}


def _events(body: Fields, terms: Terms) -> list[Event]:
    match text(body.get("event"), "event"):
        case "participant_joined":
            return [_participant_event(body, "enter") | _receives(body, terms)]
        case "participant_left":
            return [_participant_event(body, "exit") | _reason(body)]
        case "track_published" as kind:
            return [_webhook(body, "publish") | _video(body, kind) | _size(body, terms)]
        case "track_unpublished" as kind:
            return [_webhook(body, "unpublish") | _video(body, kind)]
        case "room_finished":
            return [_webhook(body, "dismiss")]
        case "listParticipants" as kind:
            return [_polled(body, terms, kind)]
        case kind:
            raise NothingBillable(kind)


def _webhook(body: Fields, kind: str) -> Event:
    """The columns that every webhook gives."""
    room = table(body.get("room"), "room")
    created_at = integer(_get(body, "createdAt"), "createdAt")
    name = optional_text(body.get("id"), "id")
    if name is None:
        sids = (
            optional_text(table(body.get(key, {}), key).get("sid"), "sid") for key in ("room", "participant", _TRACK)
        )
        name = hashed(body["event"], optional_text(room.get("name"), "room.name"), created_at, *sids)
    return {
        "event_id": f"livekit:{name}",
        "room_id": text(room.get("name"), "room.name"),
        "at": created_at * 1000,
        "type": kind,
    }


def _participant_event(body: Fields, kind: str) -> Event:
    participant = table(body.get("participant"), "participant")
    return _webhook(body, kind) | _connection(participant) | {"role": _kind(participant)}


def _connection(participant: Fields) -> Event:
    return {
        "user_id": text(participant.get("identity"), "participant.identity"),
        "connection": text(participant.get("sid"), "participant.sid"),
    }


def _kind(participant: Fields) -> str:
    return _enum(participant.get("kind"), _KINDS, "participant.kind")


def _reason(body: Fields) -> Event:
    reason = _get(table(body.get("participant"), "participant"), "disconnectReason")
    return {"reason": optional_text(reason, "disconnectReason")}


def _receives(body: Fields, terms: Terms) -> Event:
    """A participant that may not subscribe receives nothing; of one that may, it is assumed."""
    participant = table(body.get("participant"), "participant")
    permission = participant.get("permission")
    if permission is not None and not _get(table(permission, "permission"), "canSubscribe"):
        return {}
    return terms.receives(_kind(participant), defaults=KINDS["livekit"])


def _video(body: Fields, kind: str) -> Event:
    """User, connection and stream of a video track; other tracks are not billed."""
    track = table(body.get(_TRACK), _TRACK)
    media = _enum(track.get("type"), _TRACK_TYPES, "track.type")
    if media != "VIDEO":
        raise NothingBillable(f"{kind} {media}")
    sid = text(track.get("sid"), "track.sid")
    return _connection(table(body.get("participant"), "participant")) | {"stream": f"{sid}/{_picture(track)}"}


def _picture(track: Fields) -> str:
    is_screen = _enum(track.get("source"), _TRACK_SOURCES, "track.source") == "SCREEN_SHARE"
    return "screen" if is_screen else "camera"


def _size(body: Fields, terms: Terms) -> Event:
    track = table(body.get(_TRACK), _TRACK)
    return terms.size(_picture(track), track)


def _polled(body: Fields, terms: Terms, kind: str) -> Event:
    """What a poll at `at` saw of one track."""
    video, track, at = _video(body, kind), table(body.get(_TRACK), _TRACK), instant(body.get("at"), "at")
    common = {
        "event_id": f"livekit:poll:{at}:{track['sid']}",
        "room_id": text(body.get("room"), "room"),
        "at": at,
    }
    if track.get("muted"):
        return {**common, **video, "type": "unpublish"}
    return {**common, **video, "type": "publish", **_size(body, terms)}


def _dropped(record: Record) -> int:
    return max(0, optional_integer(_get(record.body, "numDropped"), "numDropped") or 0)


def _get(fields: Fields, name: str) -> object:
    """A field by its name in either style."""
    value = fields.get(name)
    return fields.get(_snake_case(name)) if value is None else value


@lru_cache(maxsize=64)
def _snake_case(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def _enum(value: object, names: dict[int, str], field: str) -> str:
    """A value of an enum by its name; what is left out is the first."""
    found = optional_text(value, field) or "0"
    return names.get(int(found), found) if found.isdecimal() and len(found) < 5 else found


LIVEKIT = RecordSource(name="livekit", events=_events, app_name=_app_name, items=_items, dropped=_dropped)
