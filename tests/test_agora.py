"""Agora's notifications, record by record."""

from typing import Any

import pytest

from billing.catalog.feeds import Assumptions
from tests.record_facts import app, become, ids, told

TS = 1772442040


def notice(kind: int, **payload: Any) -> dict[str, Any]:
    happened = {
        "channelName": "class-42",
        "ts": TS,
        "clientSeq": 1772442040100,
        "uid": 2002,
        "account": "ann",
        **payload,
    }
    return {"noticeId": "2000001428:4330:5", "productId": 1, "eventType": kind, "notifyMs": 1, "payload": happened}


NO_CAMERA = (app(assume=Assumptions()),)


@pytest.mark.parametrize("kind", [103, 105, 107])
def test_a_user_enters_and_by_assumption_receives_everything(kind: int) -> None:
    found = become("agora", notice(kind), apps=NO_CAMERA)
    assert ids(found) == ["agora:2000001428:4330:5"]
    assert told(found) == [
        {
            "type": "enter",
            "room_id": "class-42",
            "user_id": "ann",
            "at": TS * 1000,
            "seq": 1772442040100,
            "receives": "all",
            "assumed": "receives",
        }
    ]


@pytest.mark.parametrize("kind", [104, 106, 108])
@pytest.mark.parametrize(
    ("reason", "type_"),
    [(1, "exit"), (2, "exit"), (4, "disconnect"), (9, "disconnect"), (10, "disconnect"), (999, "exit")],
)
def test_the_reason_says_whether_a_wait_begins_or_ends(kind: int, reason: int, type_: str) -> None:
    (event,) = told(become("agora", notice(kind, reason=reason)))
    assert (event["type"], event["reason"]) == (type_, str(reason))


@pytest.mark.parametrize(
    ("kind", "types"),
    [
        (103, ["enter", "publish"]),
        (105, ["enter"]),
        (107, ["enter", "publish"]),
        (111, ["publish"]),
        (112, ["unpublish"]),
    ],
)
def test_a_broadcaster_publishes_the_camera_that_is_assumed(kind: int, types: list[str]) -> None:
    found = become("agora", notice(kind))
    assert [event["type"] for event in told(found)] == types
    video = [event for event in told(found) if "stream" in event]
    assert all(event["stream"] == "ann/camera" for event in video)
    assert [(event["width"], event["assumed"]) for event in video if "width" in event] == [
        (1280, "size")
    ] * types.count("publish")
    assert len(set(ids(found))) == len(types)


@pytest.mark.parametrize("kind", [111, 112])
def test_without_a_camera_roles_change_nothing(kind: int) -> None:
    assert become("agora", notice(kind), apps=NO_CAMERA).ignored == f"{kind} without an assumed camera"


def test_a_channel_is_dismissed() -> None:
    record = notice(102)
    record["payload"] = {"channelName": "class-42", "ts": TS, "lastUid": 2002}
    assert told(become("agora", record)) == [{"type": "dismiss", "room_id": "class-42", "at": TS * 1000}]


def test_other_notices_and_products_are_ignored() -> None:
    assert become("agora", notice(101)).ignored == "101"
    assert become("agora", notice(103) | {"productId": 3}).ignored == "product 3"


def test_a_user_without_an_account_is_its_number() -> None:
    (event,) = told(become("agora", notice(106, account="")))
    assert event["user_id"] == "2002"


def test_a_retry_is_the_same_event() -> None:
    assert ids(become("agora", notice(106) | {"notifyMs": 2})) == ids(become("agora", notice(106)))
