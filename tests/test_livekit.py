"""LiveKit's webhooks and polled participants, record by record."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from livekit.protocol.models import ParticipantInfo, TrackSource, TrackType
from livekit.protocol.webhook import WebhookEvent

from billing.catalog.feeds import Assumptions
from billing.sources.livekit import _KINDS, _TRACK_SOURCES, _TRACK_TYPES
from tests.record_facts import app, become, ids, sample, told

ROOM = {"sid": "RM_1", "name": "class-42"}
ANN = {"sid": "PA_1", "identity": "ann", "permission": {"canSubscribe": True, "canPublish": True}}
CAMERA = {"sid": "TR_1", "type": "VIDEO", "source": "CAMERA", "width": 640, "height": 360}
AT = 1772442001


def webhook(event: str, **fields: Any) -> dict[str, Any]:
    return {"event": event, "room": ROOM, "id": "EV_1", "createdAt": str(AT), **fields}


def test_a_participant_enters_with_its_connection_and_receives_everything() -> None:
    found = become("livekit", webhook("participant_joined", participant=ANN))
    assert ids(found) == ["livekit:EV_1"]
    assert told(found) == [
        {
            "type": "enter",
            "room_id": "class-42",
            "user_id": "ann",
            "connection": "PA_1",
            "at": AT * 1000,
            "role": "STANDARD",
            "receives": "all",
            "assumed": "receives",
        }
    ]


@pytest.mark.parametrize("reason", ["CLIENT_INITIATED", "DUPLICATE_IDENTITY", "CONNECTION_TIMEOUT"])
def test_who_left_has_left_for_any_reason(reason: str) -> None:
    """The server has waited before it says so."""
    (event,) = told(become("livekit", webhook("participant_left", participant=ANN | {"disconnectReason": reason})))
    assert (event["type"], event["connection"], event["reason"]) == ("exit", "PA_1", reason)


@pytest.mark.parametrize(
    ("participant", "assume", "receives"),
    [
        ({}, {}, "all"),
        ({"kind": "SIP"}, {}, None),
        ({"kind": 3}, {}, None),
        ({"kind": "SIP"}, {"kinds": {"SIP": "all"}}, "all"),
        ({"kind": "EGRESS"}, {}, "all"),
        ({"kind": 2}, {"kinds": {"EGRESS": "none"}}, None),
        ({"kind": "AGENT"}, {"subscribe": "none"}, None),
        ({"kind": "AGENT"}, {"subscribe": "none", "kinds": {"AGENT": "all"}}, "all"),
        ({"permission": None}, {}, "all"),
    ],
)
def test_what_a_kind_of_participant_receives_can_be_set(
    participant: dict[str, Any], assume: dict[str, Any], receives: str | None
) -> None:
    record = webhook("participant_joined", participant=ANN | participant)
    (event,) = told(become("livekit", record, apps=(app(assume=Assumptions(**assume)),)))
    assert (event.get("receives"), event["assumed"]) == (receives, "receives")


def test_who_may_not_subscribe_receives_nothing_whatever_is_set() -> None:
    """Protobuf's JSON leaves `canSubscribe` out where it is false."""
    record = webhook("participant_joined", participant=ANN | {"permission": {"canPublish": True}})
    (event,) = told(become("livekit", record, apps=(app(assume=Assumptions(subscribe="all")),)))
    assert "receives" not in event
    assert "assumed" not in event


def test_a_video_track_is_published_and_unpublished() -> None:
    only = {"sid": "PA_1", "identity": "ann"}
    (on,) = told(become("livekit", webhook("track_published", participant=only, track=CAMERA)))
    assert on == {
        "type": "publish",
        "room_id": "class-42",
        "user_id": "ann",
        "connection": "PA_1",
        "at": AT * 1000,
        "stream": "TR_1/camera",
        "width": 640,
        "height": 360,
    }
    screen = CAMERA | {"source": "SCREEN_SHARE"}
    (off,) = told(become("livekit", webhook("track_unpublished", participant=only, track=screen)))
    assert (off["type"], off["stream"], off["connection"]) == ("unpublish", "TR_1/screen", "PA_1")


def test_a_size_that_is_not_told_is_assumed_or_missing() -> None:
    track = {"sid": "TR_1", "type": "VIDEO", "source": "SCREEN_SHARE"}
    record = webhook("track_published", participant=ANN, track=track)
    (event,) = told(become("livekit", record))
    assert (event["width"], event["height"], event["assumed"]) == (1920, 1080, "size")
    found = become("livekit", record, apps=(app(assume=Assumptions()),))
    assert found.problem is not None
    assert found.problem[0] == "missing_field"
    assert 'set screen = "1920x1080" under [app.assume] of app 1400000042' in found.problem[1]


@pytest.mark.parametrize(
    ("record", "kind"),
    [
        (webhook("room_started"), "room_started"),
        (webhook("egress_started", egressInfo={}), "egress_started"),
        (webhook("ingress_ended", ingressInfo={}), "ingress_ended"),
        (webhook("participant_connection_aborted", participant=ANN), "participant_connection_aborted"),
        (webhook("something_new"), "something_new"),
        (webhook("track_published", participant=ANN, track={"sid": "TR_1"}), "track_published AUDIO"),
    ],
)
def test_what_is_not_billable_is_ignored_by_its_kind(record: dict[str, Any], kind: str) -> None:
    found = become("livekit", record)
    assert (found.events, found.problem, found.ignored) == ([], None, kind)


def test_the_room_ends_for_all() -> None:
    (event,) = told(become("livekit", webhook("room_finished")))
    assert event == {"type": "dismiss", "room_id": "class-42", "at": AT * 1000}


def _as_proto(record: Mapping[str, Any], *, numbers: bool, snake_case: bool) -> dict[str, Any]:
    from google.protobuf.json_format import MessageToDict, ParseDict

    message = ParseDict(record, WebhookEvent())
    return MessageToDict(message, preserving_proto_field_name=snake_case, use_integers_for_enums=numbers)


@pytest.mark.parametrize("numbers", [False, True])
@pytest.mark.parametrize("snake_case", [False, True])
def test_every_form_of_protobufs_json_means_the_same(numbers: bool, snake_case: bool) -> None:
    """Enums as names or numbers, fields in camelCase or snake_case: as the vendor's own library writes them."""
    for line in sample("livekit-bodies.jsonl"):
        record = json.loads(line)
        other = _as_proto(record, numbers=numbers, snake_case=snake_case)
        first, second = become("livekit", record), become("livekit", other)
        assert first.ignored == second.ignored
        if not first.ignored:
            assert [{**event, "reason": None} for event in told(first)] == [
                {**event, "reason": None} for event in told(second)
            ]


def test_the_names_of_enums_are_the_vendors() -> None:
    assert {number: name for name, number in ParticipantInfo.Kind.items()} == _KINDS
    assert {number: name for name, number in TrackType.items()} == _TRACK_TYPES
    assert {number: name for name, number in TrackSource.items()} == _TRACK_SOURCES


def test_a_webhook_without_an_id_is_named_by_what_it_says() -> None:
    record = webhook("participant_joined", participant=ANN)
    del record["id"]
    (name,), (again,) = ids(become("livekit", record)), ids(become("livekit", {**record, "numDropped": 1}))
    assert name == again
    assert [name] != ids(become("livekit", record | {"createdAt": str(AT + 1)}))


def test_lost_webhooks_are_counted() -> None:
    found = become("livekit", webhook("room_started", numDropped=3))
    assert (found.ignored, found.dropped) == ("room_started", 3)


def polled(*tracks: dict[str, Any], **fields: Any) -> dict[str, Any]:
    participant = {"sid": "PA_1", "identity": "ann", "tracks": list(tracks)}
    return {"at": "2026-03-02T09:01:00.000Z", "room": "class-42", "participants": [participant], **fields}


def test_a_poll_says_which_video_flows() -> None:
    """A muted track does not; of what is not listed nothing is said."""
    screen = CAMERA | {"sid": "TR_2", "source": 3, "muted": True}
    found = become("livekit", polled(CAMERA, screen, {"sid": "TR_3", "source": "MICROPHONE"}))
    assert ids(found) == [f"livekit:poll:2026-03-02T09:01:00.000Z:TR_{number}" for number in (1, 2)]
    on, off = told(found)
    assert (on["type"], on["stream"], on["width"], on["connection"]) == ("publish", "TR_1/camera", 640, "PA_1")
    assert (off["type"], off["stream"], off["at"]) == ("unpublish", "TR_2/screen", "2026-03-02T09:01:00.000Z")


def test_a_poll_without_video_is_ignored() -> None:
    assert become("livekit", polled()).ignored == "nothing"
    assert become("livekit", polled({"sid": "TR_3"})).ignored == "listParticipants AUDIO"


def test_one_track_that_cannot_be_read_does_not_hide_the_others() -> None:
    found = become("livekit", polled({"type": "VIDEO"}, CAMERA))
    assert found.problem == ("missing_field", "track.sid is missing")
    assert [event["stream"] for event in found.events] == ["TR_1/camera"]


def test_the_api_key_of_a_captured_webhook_says_the_app() -> None:
    line = sample("livekit-captured.jsonl")[1]
    apps = (app(7, "livekit:APIexample1"), app(8, "livekit:other"))
    (event,) = become("livekit", line, app_id=None, apps=apps).events
    assert (event["app_id"], event["event_id"]) == (7, "livekit:EV_pj1")
    assert become("livekit", line, app_id=7, apps=apps).events == [event]


@pytest.mark.parametrize(
    ("app_id", "feeds", "problem"),
    [
        (None, (), ("unknown_app", 'no app has feed = "livekit:APIexample1" in the catalog')),
        (
            8,
            ((7, "livekit:APIexample1"), (8,)),
            ("bad_value", "the record names livekit:APIexample1, which is not app 8"),
        ),
        (8, ((8, "livekit:other"),), ("bad_value", "the record names livekit:APIexample1, which is not app 8")),
    ],
)
def test_a_record_of_another_app_is_refused(
    app_id: int | None, feeds: tuple[tuple[Any, ...], ...], problem: tuple[str, str]
) -> None:
    found = become(
        "livekit", sample("livekit-captured.jsonl")[1], app_id=app_id, apps=tuple(app(*feed) for feed in feeds)
    )
    assert found.problem is not None
    assert found.problem[0] == problem[0]
    assert problem[1] in found.problem[1]


def test_an_app_without_feeds_takes_what_it_is_given() -> None:
    assert become("livekit", sample("livekit-captured.jsonl")[1], app_id=8, apps=(app(8),)).events


def test_a_body_that_names_no_app_needs_one() -> None:
    found = become("livekit", webhook("room_finished"), app_id=None)
    assert found.problem == ("unknown_app", "the record does not name its app: give --app")
