"""mediasoup: the lines of a recorder in the server, each of which stands alone (`docs/mediasoup.md` has it).

| line | event |
|---|---|
| `transport.new`, `transport.close` | `enter`, `exit` of the connection with the transport's id |
| `consumer.*` of video that flows | `video_on` of `<producer>/camera` or `/screen` in the size of the received layer |
| `consumer.*` of video that does not flow, or is closed | `video_off` |
| `router.close` with a room | `dismiss` |
| all else, and consumers of audio | ignored |

Example: a `consumer.layers` of user ann with producer p1, source camera, 640 by 360, neither paused nor
`producerPaused`: ann receives `p1/camera` in 640 by 360. With one of both, nothing flows and she does not receive it.

These are facts about what each user receives, so nothing is assumed but a size that is missing. `seq` is the recorder's
own counter, for lines of one millisecond.
"""

from billing.sources.files.ndjson import UnreadableError
from billing.sources.record_apps import Terms
from billing.sources.record_fields import (
    Event,
    Fields,
    NothingBillable,
    flag,
    hashed,
    instant,
    optional_integer,
    optional_text,
    text,
)
from billing.sources.record_maps import RecordSource

_CONSUMERS = tuple(f"consumer.{what}" for what in ("new", "pause", "resume", "layers", "close"))
_CONNECTIONS = {"transport.new": "enter", "transport.close": "exit"}


def _events(line: Fields, terms: Terms) -> list[Event]:
    kind = text(line.get("type"), "type")
    if kind in _CONNECTIONS:
        transport = text(line.get("transport"), "transport")
        return [
            _common(line, transport) | {"type": _CONNECTIONS[kind], "user_id": _user(line), "connection": transport}
        ]
    if kind == "router.close" and "room" in line:
        return [_common(line, line.get("router")) | {"type": "dismiss"}]
    if kind not in _CONSUMERS:
        raise NothingBillable(kind)
    media = text(line.get("kind"), "kind")
    if media != "video":
        raise NothingBillable(f"{kind} {media}")
    if line.get("publisher") is not None and line["publisher"] == line.get("user"):
        raise NothingBillable(f"{kind} of the user's own stream")
    return [_video(kind, line, terms)]


def _video(kind: str, line: Fields, terms: Terms) -> Event:
    """What the user of a consumer receives of its producer from now on."""
    picture = text(line.get("source"), "source")
    if picture not in ("camera", "screen"):
        raise UnreadableError("bad_value", "source must be camera or screen")
    event = _common(line, line.get("consumer")) | {
        "user_id": _user(line),
        "connection": optional_text(line.get("transport"), "transport"),
        "stream": f"{text(line.get('producer'), 'producer')}/{picture}",
    }
    flows = kind != "consumer.close" and not any(flag(line.get(name), name) for name in ("paused", "producerPaused"))
    return event | ({"type": "video_on", **terms.size(picture, line)} if flows else {"type": "video_off"})


def _common(line: Fields, subject: object) -> Event:
    """The columns that every line gives; `subject` is the id of what it is about."""
    at, seq = instant(line.get("at"), "at"), optional_integer(line.get("seq"), "seq")
    sides = (optional_integer(line.get(side), side) for side in ("width", "height"))
    return {
        "event_id": f"mediasoup:{hashed(line['type'], optional_text(subject, 'id'), at, seq, *sides)}",
        "room_id": text(line.get("room"), "room"),
        "at": at,
        "seq": seq,
    }


def _user(line: Fields) -> str:
    return text(line.get("user"), "user")


MEDIASOUP = RecordSource(
    name="mediasoup", events=_events, app_name=lambda record: optional_text(record.body.get("feed"), "feed")
)
