"""BigBlueButton's webhooks, record by record."""

import json
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.record_facts import app, become, ids, sample, told

MEETING = {"internal-meeting-id": "8f3c-1", "external-meeting-id": "class-42"}
ANN = {"internal-user-id": "w_1", "external-user-id": "ann", "role": "VIEWER"}
TS = 1772442010000


def webhook(name: str, **attributes: Any) -> dict[str, Any]:
    happened = {"type": "event", "id": name, "attributes": {"meeting": MEETING, **attributes}, "event": {"ts": TS}}
    return {"data": happened}


def form(*webhooks: dict[str, Any], **fields: Any) -> bytes:
    return urlencode(
        {"domain": "bbb.example.com", "event": json.dumps(webhooks), "timestamp": TS + 40, **fields}
    ).encode()


def test_a_user_enters_with_its_connection_and_by_assumption_receives_everything() -> None:
    assert told(become("bigbluebutton", form(webhook("user-joined", user=ANN)))) == [
        {
            "type": "enter",
            "room_id": "class-42",
            "user_id": "ann",
            "connection": "w_1",
            "at": TS,
            "role": "VIEWER",
            "receives": "all",
            "assumed": "receives",
        }
    ]


@pytest.mark.parametrize(
    ("name", "stream", "expected"),
    [
        ("user-cam-broadcast-start", "w_1_0a1b", ("publish", "w_1_0a1b/camera", 1280)),
        ("user-cam-broadcast-end", "w_1_0a1b", ("unpublish", "w_1_0a1b/camera", None)),
        ("meeting-screenshare-started", None, ("publish", "w_1/screen", 1920)),
        ("meeting-screenshare-stopped", None, ("unpublish", "w_1/screen", None)),
    ],
)
def test_video_has_the_size_that_is_assumed(name: str, stream: str | None, expected: tuple[Any, ...]) -> None:
    user = ANN | ({"stream": stream} if stream else {})
    (event,) = told(become("bigbluebutton", form(webhook(name, user=user))))
    assert (event["type"], event["stream"], event.get("width")) == expected
    assert event["connection"] == "w_1"


def test_users_leave_and_meetings_end() -> None:
    (left,) = told(become("bigbluebutton", form(webhook("user-left", user=ANN))))
    assert (left["type"], left["connection"]) == ("exit", "w_1")
    assert told(become("bigbluebutton", form(webhook("meeting-ended")))) == [
        {"type": "dismiss", "room_id": "class-42", "at": TS}
    ]
    assert become("bigbluebutton", form(webhook("meeting-created"))).ignored == "meeting-created"


def test_one_form_may_hold_several_webhooks() -> None:
    found = become("bigbluebutton", form(webhook("user-joined", user=ANN), webhook("chat"), webhook("meeting-ended")))
    assert [event["type"] for event in found.events] == ["enter", "dismiss"]
    assert become("bigbluebutton", form()).ignored == "nothing"


def test_one_that_cannot_be_read_does_not_hide_the_others() -> None:
    found = become("bigbluebutton", form(webhook("user-joined"), webhook("user-left", user=ANN)))
    assert found.problem == ("missing_field", "internal-user-id is missing")
    assert [event["type"] for event in found.events] == ["exit"]


def test_a_retry_is_the_same_event() -> None:
    record = webhook("user-left", user=ANN)
    first, again = form(record), form(record, timestamp=TS + 10_000)
    assert ids(become("bigbluebutton", first)) == ids(become("bigbluebutton", again))


def test_a_captured_form_and_its_domain_say_the_app() -> None:
    (captured,) = (form(webhook("user-left", user=ANN)).decode(),)
    line = json.dumps({"received_at": "2026-03-02T09:00:00Z", "headers": {}, "body": captured}).encode()
    apps = (app(7, "bigbluebutton:bbb.example.com"),)
    (event,) = become("bigbluebutton", line, app_id=None, apps=apps).events
    assert event["app_id"] == 7
    assert become("bigbluebutton", captured.encode(), app_id=None, apps=apps).events == [event]


@pytest.mark.parametrize("line", [b"hello", b"event=%FF", b"event=%5B%5D&event=%5B%5D", b"event=nonsense", b"&&&"])
def test_what_is_no_form_is_unreadable(line: bytes) -> None:
    found = become("bigbluebutton", line)
    assert found.problem is not None
    assert found.problem[0] == "bad_json"


def test_the_sample_is_a_class_of_two() -> None:
    found = [become("bigbluebutton", line) for line in sample("bbb-bodies.formlines")]
    kinds = [event["type"] for each in found for event in each.events]
    assert kinds == ["enter", "publish", "enter", "publish", "unpublish", "exit", "unpublish", "exit", "dismiss"]
