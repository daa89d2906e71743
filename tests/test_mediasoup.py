"""The lines of mediasoup's recorder, one by one."""

from typing import Any

import pytest

from billing.catalog.feeds import Assumptions
from tests.record_facts import app, become, ids, sample, told

AT = 1772442010400
LINE = {"at": AT, "seq": 9, "room": "class-42", "user": "ann", "transport": "t-2"}
CONSUMER = LINE | {
    "consumer": "co-1",
    "producer": "pr-1",
    "publisher": "teacher",
    "kind": "video",
    "source": "camera",
    "width": 640,
    "height": 360,
    "paused": False,
    "producerPaused": False,
}


def line(kind: str, /, **fields: Any) -> dict[str, Any]:
    return {"type": kind, **(CONSUMER if kind.startswith("consumer") else LINE), **fields}


def test_a_transport_is_a_connection() -> None:
    found = [become("mediasoup", line(kind)) for kind in ("transport.new", "transport.close")]
    for each, kind in zip(found, ("enter", "exit"), strict=True):
        assert told(each) == [
            {"type": kind, "room_id": "class-42", "user_id": "ann", "connection": "t-2", "at": AT, "seq": 9}
        ]


@pytest.mark.parametrize("kind", ["new", "resume", "pause", "layers"])
def test_what_flows_is_received_in_the_size_of_its_layer(kind: str) -> None:
    (event,) = told(become("mediasoup", line(f"consumer.{kind}")))
    assert event == {
        "type": "video_on",
        "room_id": "class-42",
        "user_id": "ann",
        "connection": "t-2",
        "at": AT,
        "seq": 9,
        "stream": "pr-1/camera",
        "width": 640,
        "height": 360,
    }


@pytest.mark.parametrize("flags", [{"paused": True}, {"producerPaused": True}])
@pytest.mark.parametrize("kind", ["new", "resume", "pause", "layers"])
def test_what_is_paused_on_either_side_is_not_received(kind: str, flags: dict[str, bool]) -> None:
    (event,) = told(become("mediasoup", line(f"consumer.{kind}", **flags)))
    assert (event["type"], event["stream"], event.get("width")) == ("video_off", "pr-1/camera", None)


def test_what_is_closed_is_not_received_whatever_its_flags_say() -> None:
    (event,) = told(become("mediasoup", line("consumer.close")))
    assert event["type"] == "video_off"


def test_a_size_that_is_missing_is_assumed_or_the_line_is_unreadable() -> None:
    unknown = line("consumer.new", width=0, height=0, source="screen")
    (event,) = told(become("mediasoup", unknown))
    assert (event["width"], event["height"], event["assumed"]) == (1920, 1080, "size")
    found = become("mediasoup", unknown, apps=(app(assume=Assumptions()),))
    assert found.problem is not None
    assert found.problem[0] == "missing_field"


@pytest.mark.parametrize("field", ["room", "user", "producer", "source", "paused", "producerPaused", "at", "kind"])
def test_a_line_that_does_not_stand_alone_is_unreadable(field: str) -> None:
    record = line("consumer.resume")
    del record[field]
    assert become("mediasoup", record).problem == ("missing_field", f"{field} is missing")


@pytest.mark.parametrize(
    ("record", "kind"),
    [
        (line("producer.pause"), "producer.pause"),
        (line("worker.new"), "worker.new"),
        (line("consumer.score"), "consumer.score"),
        (line("consumer.new", kind="audio"), "consumer.new audio"),
        (line("consumer.new", publisher="ann"), "consumer.new of the user's own stream"),
    ],
)
def test_what_is_not_billable_is_ignored_by_its_kind(record: dict[str, Any], kind: str) -> None:
    assert become("mediasoup", record).ignored == kind


def test_a_router_that_closes_ends_its_room() -> None:
    (event,) = told(become("mediasoup", line("router.close", router="r-1")))
    assert (event["type"], event["room_id"]) == ("dismiss", "class-42")
    assert become("mediasoup", {"at": AT, "type": "router.close", "router": "r-1"}).ignored == "router.close"


def test_lines_of_one_millisecond_are_told_apart_by_their_number() -> None:
    one, two = (become("mediasoup", line("consumer.pause", seq=seq)) for seq in (1, 2))
    assert ids(one) != ids(two)
    assert ids(one) == ids(become("mediasoup", line("consumer.pause", seq=1)))


def test_the_feed_of_a_line_says_the_app() -> None:
    (event,) = become(
        "mediasoup", line("transport.new", feed="classes"), app_id=None, apps=(app(7, "mediasoup:classes"),)
    ).events
    assert event["app_id"] == 7


def test_lines_of_a_recorder_that_leaves_out_the_room_are_kept_as_unreadable() -> None:
    """Recorded with mediasoup 3.8.4 by a plain observer: each line refers to those before it."""
    found = [become("mediasoup", each) for each in sample("mediasoup-real-3.8.4.jsonl")]
    assert {each.problem for each in found if each.problem} == {("missing_field", "room is missing")}
    assert not any(each.events for each in found)
