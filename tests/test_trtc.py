"""TRTC's callbacks, record by record."""

import json
from typing import Any

import pytest

from billing.catalog.feeds import Assumptions
from tests.record_facts import app, become, ids, sample, told

AT = 1772442171000


def callback(kind: int, **fields: Any) -> dict[str, Any]:
    happened = {"RoomId": 42, "EventTs": AT // 1000, "EventMsTs": AT, "UserId": "ann", **fields}
    return {"EventGroupId": 1, "EventType": kind, "CallbackTs": AT + 7, "EventInfo": happened}


def test_a_user_enters_and_by_assumption_receives_everything() -> None:
    (event,) = told(become("trtc", callback(103, Role=20)))
    assert event == {
        "type": "enter",
        "room_id": "42",
        "user_id": "ann",
        "at": AT,
        "role": "20",
        "receives": "all",
        "assumed": "receives",
    }
    nothing = app(assume=Assumptions(subscribe="none"))
    (event,) = told(become("trtc", callback(103, Role=20), apps=(nothing,)))
    assert (event.get("receives"), event["assumed"]) == (None, "receives")


def test_a_timeout_began_ninety_seconds_before() -> None:
    """The server reports it at the end of the wait."""
    found = become("trtc", callback(104, Reason=2))
    assert [(event["type"], event["at"]) for event in told(found)] == [("disconnect", AT - 90_000), ("exit", AT)]
    assert len(set(ids(found))) == 2


@pytest.mark.parametrize("reason", [1, 3, 4, 5, None])
def test_any_other_end_is_an_exit(reason: int | None) -> None:
    (event,) = told(become("trtc", callback(104, Reason=reason)))
    assert (event["type"], event["at"]) == ("exit", AT)


@pytest.mark.parametrize(
    ("kind", "type_", "stream", "size"),
    [
        (201, "publish", "ann/camera", (1280, 720)),
        (202, "unpublish", "ann/camera", None),
        (205, "publish", "ann/screen", (1920, 1080)),
        (206, "unpublish", "ann/screen", None),
    ],
)
def test_video_has_the_size_that_is_assumed(kind: int, type_: str, stream: str, size: tuple[int, int] | None) -> None:
    (event,) = told(become("trtc", callback(kind)))
    assert (event["type"], event["stream"]) == (type_, stream)
    if size:
        assert (event["width"], event["height"], event["assumed"]) == (*size, "size")


def test_without_an_assumed_size_a_publication_is_not_billed_but_kept() -> None:
    found = become("trtc", callback(205), apps=(app(assume=Assumptions(camera="1280x720")),))
    assert found.problem is not None
    assert found.problem[0] == "missing_field"
    assert "set screen =" in found.problem[1]


def test_who_becomes_audience_sends_nothing_more() -> None:
    events = told(become("trtc", callback(105, Role=21)))
    assert [(event["type"], event["stream"]) for event in events] == [
        ("unpublish", "ann/camera"),
        ("unpublish", "ann/screen"),
    ]
    assert become("trtc", callback(105, Role=20)).ignored == "105 to role 20"


def test_a_room_is_dismissed() -> None:
    record = callback(102, RoomId="42")
    del record["EventInfo"]["UserId"]
    (event,) = told(become("trtc", record))
    assert event == {"type": "dismiss", "room_id": "42", "at": AT}


@pytest.mark.parametrize("kind", [101, 203, 204, 301, 302, 401, 999])
def test_other_callbacks_are_ignored_by_their_number(kind: int) -> None:
    assert become("trtc", callback(kind)).ignored == str(kind)


@pytest.mark.parametrize("kind", [103, 201, 205])
def test_without_milliseconds_a_beginning_stands_at_the_beginning_of_its_second(kind: int) -> None:
    record = callback(kind)
    del record["EventInfo"]["EventMsTs"]
    assert [event["at"] for event in become("trtc", record).events] == [AT]


@pytest.mark.parametrize("kind", [102, 104, 202, 206])
def test_without_milliseconds_an_end_stands_at_the_end_of_its_second(kind: int) -> None:
    """Else a join and leave of one second could come in the wrong order, and bill a day."""
    record = callback(kind)
    del record["EventInfo"]["EventMsTs"]
    assert [event["at"] for event in become("trtc", record).events] == [AT + 999]


def test_a_retry_is_the_same_event() -> None:
    """It has another time of sending; a room is 42 or "42"."""
    first = become("trtc", callback(103))
    assert ids(become("trtc", callback(103, RoomId="42") | {"CallbackTs": AT + 10_000})) == ids(first)
    different = [callback(104), callback(103, UserId="ben"), callback(103, RoomId=43), callback(103, EventMsTs=AT + 1)]
    names = {name for record in different for name in ids(become("trtc", record))}
    assert len(names - set(ids(first))) == 4


def test_the_app_stands_only_in_the_header() -> None:
    (captured,) = (line for line in sample("trtc-captured.jsonl")[1:2])
    body = json.loads(captured)["body"].encode()
    apps = (app(7, "trtc:1400000042"),)
    (event,) = become("trtc", captured, app_id=None, apps=apps).events
    assert event["app_id"] == 7
    found = become("trtc", body, app_id=None, apps=apps)
    assert found.problem == ("unknown_app", "the record does not name its app: give --app")
    assert become("trtc", body, app_id=7, apps=apps).events == [event]


def test_a_callback_of_another_app_is_refused() -> None:
    captured = sample("trtc-captured.jsonl")[1]
    found = become("trtc", captured, app_id=7, apps=(app(7),))
    assert found.problem is not None
    assert found.problem[0] == "bad_value"
    assert become("trtc", captured, app_id=1400000042, apps=(app(),)).events
