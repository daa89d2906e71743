"""BigBlueButton: the webhooks of a meeting, one form a line (`event=…&timestamp=…&domain=…`).

| webhook | event |
|---|---|
| `user-joined`, `user-left` | `enter`, `exit` of the connection with the internal user id |
| `user-cam-broadcast-start`, `-end` | `publish`, `unpublish` of `<stream>/camera` |
| `meeting-screenshare-started`, `-stopped` | the same of `<internal user id>/screen` |
| `meeting-ended` | `dismiss` |
| all else | ignored |

`event` is a JSON array of one or more webhooks. Example: `user-joined` of external user ann (internal w_1) in external
meeting class-42 with `ts` 1772442000500 is the `enter` of ann's connection w_1. A webhook has no id: its own is made of
what happened, not of `timestamp`, which a retry changes. Sizes and subscriptions are not told: they are assumed.
"""

from collections.abc import Iterator
from urllib.parse import parse_qs

from billing.sources.files.ndjson import UnreadableError, parse_value
from billing.sources.record_apps import Terms
from billing.sources.record_fields import (
    Event,
    Fields,
    NothingBillable,
    array,
    hashed,
    integer,
    optional_text,
    table,
    text,
)
from billing.sources.record_maps import Record, RecordSource

_MOST_FIELDS = 100
_TYPES = {
    "user-joined": "enter",
    "user-left": "exit",
    "user-cam-broadcast-start": "publish",
    "user-cam-broadcast-end": "unpublish",
    "meeting-screenshare-started": "publish",
    "meeting-screenshare-stopped": "unpublish",
    "meeting-ended": "dismiss",
}


def _read_form(body: bytes) -> Fields:
    """A form as its fields, `event` as the list of webhooks that it holds."""
    try:
        form = parse_qs(body.decode(), strict_parsing=True, errors="strict", max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise UnreadableError("bad_json", "not a form such as event=%5B…%5D&timestamp=…") from None
    if any(len(values) > 1 for values in form.values()):
        raise UnreadableError("bad_json", "a field is repeated in the form")
    fields: dict[str, object] = {name: values[0] for name, values in form.items()}
    if "event" in form:
        fields["event"] = parse_value(form["event"][0].encode())
    return fields


def _items(record: Record) -> Iterator[Fields]:
    for webhook in array(record.body.get("event"), "event"):
        yield table(webhook, "event")


def _events(webhook: Fields, terms: Terms) -> list[Event]:
    happened = table(webhook.get("data"), "data")
    name = text(happened.get("id"), "id")
    kind = _TYPES.get(name)
    if kind is None:
        raise NothingBillable(name)
    attributes = table(happened.get("attributes"), "attributes")
    meeting, user = table(attributes.get("meeting"), "meeting"), table(attributes.get("user", {}), "user")
    at = integer(table(happened.get("event"), "data.event").get("ts"), "ts")
    named = ((meeting, "internal-meeting-id"), (user, "internal-user-id"), (user, "stream"))
    ids = [optional_text(fields.get(field), field) for fields, field in named]
    event: Event = {
        "event_id": f"bigbluebutton:{hashed(name, *ids, at)}",
        "room_id": text(meeting.get("external-meeting-id"), "external-meeting-id"),
        "at": at,
        "type": kind,
    }
    if kind == "dismiss":
        return [event]
    event["connection"] = text(user.get("internal-user-id"), "internal-user-id")
    event["user_id"] = optional_text(user.get("external-user-id"), "external-user-id") or event["connection"]
    event["role"] = optional_text(user.get("role"), "role")
    if kind in ("publish", "unpublish"):
        picture = "camera" if "stream" in user else "screen"
        event["stream"] = f"{optional_text(user.get('stream'), 'stream') or event['connection']}/{picture}"
        return [event | (terms.size(picture, {}) if kind == "publish" else {})]
    return [event | (terms.receives() if kind == "enter" else {})]


BIGBLUEBUTTON = RecordSource(
    name="bigbluebutton",
    events=_events,
    app_name=lambda record: optional_text(record.body.get("domain"), "domain"),
    read_body=_read_form,
    items=_items,
)
