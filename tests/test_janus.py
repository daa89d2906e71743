"""What the Janus source derives, against what the clients of recorded rooms really received."""

import copy
import csv
import gzip
import json
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.events.rows import TraceLine
from billing.sources.janus import Derived, derive

TRACES = Path(__file__).parent / "janus"
Event = dict[str, object]
JsonEvent = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """t0: ms of second 0. any_video: user-seconds for which no reading of the events can tell whether video arrives."""

    t0: float
    any_video: int
    other_streams: int  # the same about the exact set of streams
    ghosts: int = 0  # user-seconds of users whose silent loss the server notices only later


RECORDINGS = {
    "S1": Recording(t0=1791767306536.3, any_video=2, other_streams=2),
    "S2": Recording(t0=1791768438565.0, any_video=8, other_streams=23),
    "S3": Recording(t0=1791768214324.7, any_video=0, other_streams=0),
    "S3b": Recording(t0=1791768883991.9, any_video=2, other_streams=19, ghosts=62),
    "S5": Recording(t0=1791768800028.4, any_video=0, other_streams=12),
}


@cache
def recorded(trace: str) -> tuple[bytes, ...]:
    return tuple(gzip.decompress((TRACES / trace / "events.jsonl.gz").read_bytes()).splitlines())


def events_of(trace: str) -> list[JsonEvent]:
    return [json.loads(line)["e"] for line in recorded(trace)]


def lines(texts: Iterable[bytes | JsonEvent | list[JsonEvent]], file: str = "trace") -> Iterator[TraceLine]:
    for number, text in enumerate(texts, 1):
        yield TraceLine(file, number, text if isinstance(text, bytes) else json.dumps(text).encode())


def derived(texts: Iterable[bytes | JsonEvent | list[JsonEvent]], **sizes: tuple[int, int]) -> list[Event]:
    result = derive(lines(texts), app_id=7, **sizes)
    assert result.rejected == []
    return [event.event for event in result.events]


@dataclass(slots=True)
class Users:
    """The state after some events, by (room, user); a user who is waited for is not there."""

    received: dict[tuple[object, object], dict[object, str]] = field(default_factory=dict)

    def apply(self, event: Event) -> None:
        key = event["room_id"], event.get("user_id")
        match event["type"]:
            case "enter" | "reconnect":
                self.received[key] = {}
            case "exit" | "disconnect":
                del self.received[key]
            case "dismiss":
                self.received = {user: streams for user, streams in self.received.items() if user[0] != key[0]}
            case "video_on":
                publisher, kind = str(event["stream"]).partition(":")[0], str(event["stream"]).rpartition("/")[2]
                self.received[key][event["stream"]] = f"{publisher}/{kind}/{event['width']}x{event['height']}"
            case "video_off":
                del self.received[key][event["stream"]]


def at_half_seconds(events: list[Event], t0: float, seconds: int) -> Iterator[Users]:
    """The state at t0 + second + 0.5 s, for each second."""
    users, remaining = Users(), iter(events)
    event = next(remaining, None)
    for second in range(seconds):
        while event is not None and isinstance(event["at"], int) and event["at"] <= t0 + 1000 * second + 500:
            users.apply(event)
            event = next(remaining, None)
        yield users


@dataclass(slots=True)
class Errors:
    absent: int = 0
    ghosts: int = 0
    any_video: int = 0
    other_streams: int = 0


def errors_against_truth(trace: str, events: list[Event]) -> Errors:
    """User-seconds in which the derived state is wrong. The own seconds of a frozen client are nobody's."""
    with (TRACES / trace / "truth_seconds.csv").open() as file:
        truth = {(int(row["sec"]), row["room"], row["user"]): row for row in csv.DictReader(file)}
    errors = Errors()
    seconds = max(second for second, _, _ in truth) + 10
    for second, users in enumerate(at_half_seconds(events, RECORDINGS[trace].t0, seconds)):
        there = {(room, user): row for (at, room, user), row in truth.items() if at == second}
        errors.ghosts += len(users.received.keys() - there.keys())
        for key, row in there.items():
            if row["frozen"] == "0":
                received, really = set(users.received.get(key, {}).values()), set(row["rx"].split())
                errors.absent += key not in users.received
                errors.any_video += bool(received) != bool(really)
                errors.other_streams += received != really
    return errors


@pytest.mark.parametrize("trace", RECORDINGS)
def test_the_events_give_back_what_clients_received(trace: str) -> None:
    known = RECORDINGS[trace]
    errors = errors_against_truth(trace, derived(recorded(trace)))
    report = f"{trace}: user-seconds wrong: {errors}; the best known reading: {known}"
    assert (errors.absent, errors.ghosts) == (0, known.ghosts), report
    assert errors.any_video <= known.any_video, report
    assert errors.other_streams <= known.other_streams, report


def story(events: list[Event], user: str) -> list[tuple[object, object]]:
    """How a user came and went: type and reason."""
    stays = [e for e in events if e.get("user_id") == user and e["type"] not in ("video_on", "video_off")]
    return [(event["type"], event.get("reason")) for event in stays]


def test_a_killed_connection_is_a_disconnect_and_its_leaving_makes_no_event() -> None:
    events = derived(recorded("S3"))
    assert story(events, "user_b") == [("enter", None), ("disconnect", "connection_lost")]
    back = [("reconnect", None), ("exit", "leave")]
    assert story(events, "user_c") == [("enter", None), ("disconnect", "connection_lost"), *back]


def test_who_comes_back_after_the_wait_enters_anew() -> None:
    """user_c is killed at 60 s and back at 85 s; here everything after 70 s happens ten minutes later."""
    late = RECORDINGS["S3"].t0 * 1000 + 70e6
    events = derived(_restamped(events_of("S3"), lambda _, at: at + 600_000_000 if at > late else at))
    assert [kind for kind, _ in story(events, "user_c")] == ["enter", "disconnect", "enter", "exit"]


def test_a_closed_page_is_an_exit() -> None:
    assert story(derived(recorded("S2")), "student_3") == [("enter", None), ("exit", "page_closed")]
    assert story(derived(recorded("S5")), "user_i") == [("enter", None), ("exit", "page_closed")]


def test_a_closed_page_is_an_exit_even_if_its_hangup_is_stamped_later_than_its_socket() -> None:
    def swap(event: JsonEvent, at: int) -> int:
        return at + 60_000 if "DTLS alert" in json.dumps(event) else at

    assert story(derived(_restamped(events_of("S2"), swap)), "student_3")[-1] == ("exit", "page_closed")


def test_a_publisher_that_was_closed_long_before_does_not_make_a_kill_a_page_close() -> None:
    """user_b of S3 hangs up with `DTLS alert` at 20 s and is killed at 30 s."""
    up = next(e for e in events_of("S3") if e.get("opaque_id") == "user_b/pub/camera/c1" and e["type"] == 16)
    alert = up | {
        "subtype": 6,
        "timestamp": int(RECORDINGS["S3"].t0 * 1000) + 20_000_000,
        "event": {"connection": "hangup", "reason": "DTLS alert"},
    }
    assert story(derived([*events_of("S3"), alert]), "user_b")[-1] == ("disconnect", "connection_lost")


def test_a_kill_stays_a_disconnect_if_the_leaving_is_stamped_just_before_it() -> None:
    events = events_of("S3")
    closed = min(stamp(e) for e in events if '"disconnected"' in json.dumps(e))

    def early(event: JsonEvent, at: int) -> int:
        return closed - 500 if 0 < at - closed < 20_000 and event["type"] in (2, 64) else at

    assert story(derived(_restamped(events, early)), "user_b")[-1] == ("disconnect", "connection_lost")


def test_a_session_timeout_is_an_exit() -> None:
    assert story(derived(recorded("S3b")), "user_e") == [("enter", None), ("exit", "timeout")]


def test_a_user_on_several_connections_is_in_the_room_once() -> None:
    assert story(derived(recorded("S5")), "user_j") == [("enter", None), ("exit", "leave")]
    assert story(derived(recorded("S3b")), "user_f") == [("enter", None), ("exit", "leave")]


def test_a_kick_is_an_exit() -> None:
    kicked = [json.dumps(event).replace('"leaving"', '"kicked"').encode() for event in events_of("S1")]
    assert story(derived(kicked), "user_b") == [("enter", None), ("exit", "kicked")]


def test_one_feed_on_two_connections_counts_once() -> None:
    """user_j has a phone and a laptop in the room, and both receive user_a and user_b from 25 to 30 s."""
    events = derived(recorded("S5"))
    *_, users = at_half_seconds(events, RECORDINGS["S5"].t0, 28)
    assert sorted(users.received["101", "user_j"].values()) == ["user_a/camera/640x360", "user_b/camera/1280x720"]


def test_events_have_the_columns_of_the_schema() -> None:
    first, *_ = derived(recorded("S1"))
    enter = {"app_id": 7, "room_id": "101", "user_id": "user_a", "type": "enter", "source": "janus"}
    assert first == enter | {"at": 1791767306574, "seq": 0}
    on = next(event for event in derived(recorded("S1")) if event["type"] == "video_on")
    assert (on["stream"], on["width"], on["height"]) == ("user_a:5173127149648295:1/camera", 640, 360)


@pytest.mark.parametrize("trace", RECORDINGS)
def test_no_two_events_share_time_and_seq_and_they_come_in_that_order(trace: str) -> None:
    places = [(event["at"], event["seq"]) for event in derived(recorded(trace))]
    assert places == sorted(set(places))


# Forms of a trace


def _posts(trace: str) -> list[list[JsonEvent]]:
    posts: dict[int, list[JsonEvent]] = {}
    for text in recorded(trace):
        line = json.loads(text)
        posts.setdefault(line["post"], []).append(line["e"])
    return list(posts.values())


def test_wrapped_bare_and_posted_events_are_the_same_trace() -> None:
    wrapped = derived(recorded("S2"))
    assert derived(events_of("S2")) == wrapped
    assert derived(_posts("S2")) == wrapped
    assert derived([{"at": 1, "e": post} for post in _posts("S2")]) == wrapped


def test_bodies_as_janus_indents_them_are_read() -> None:
    texts = "\n\n".join(json.dumps(post, indent=3) for post in _posts("S2")).encode().splitlines()
    assert derived(texts) == derived(recorded("S2"))


def test_the_order_of_files_and_lines_does_not_matter() -> None:
    texts = list(recorded("S5"))
    random.Random(5).shuffle(texts)
    halves = [*lines(texts[:1000], "b"), *lines(texts[1000:], "a")]
    assert [event.event for event in derive(halves, app_id=7).events] == derived(recorded("S5"))


def test_a_session_description_may_be_text() -> None:
    events = events_of("S5")
    for event in events:
        jsep = event["event"].get("jsep") if event["type"] == 8 else None
        if jsep:
            rows = [f"m={kind} 9 X 0\r\na=mid:{mid}\r\na={way}\r\n" for kind, mid, way, _ in jsep.pop("sdp_mlines")]
            jsep["sdp"] = "v=0\r\n" + "".join(rows)
    assert derived(events) == derived(recorded("S5"))


def test_without_opaque_ids_the_display_names_the_user_and_a_nameless_viewer_is_set_aside() -> None:
    events = events_of("S5")
    for event in events:
        event.pop("opaque_id", None)
    result = derive(lines(events), app_id=7)
    named = [event.event for event in result.events]
    assert story(named, "user_j") == [("enter", None), ("exit", "leave")]
    assert errors_against_truth("S5", [e for e in named if e.get("user_id") != "user_i"]).other_streams == 12 + 63
    assert [row.reason for row in result.rejected] == ["missing_field"]
    assert "subscribing" in result.rejected[0].raw


def test_without_descriptions_the_line_that_lists_a_stream_is_set_aside_once() -> None:
    bare = [line.replace(b'\\"kind\\"', b'\\"what\\"') for line in recorded("S3")]
    result = derive(lines(bare), app_id=7)
    assert {event.event["type"] for event in result.events} == {"enter", "exit", "disconnect", "reconnect"}
    assert [row.reason for row in result.rejected] == ["missing_field"] * 4  # four feeds
    assert all("published" in row.raw and "no kind and size" in row.detail for row in result.rejected)


def test_sizes_given_for_the_run_stand_in_for_descriptions() -> None:
    bare = [line.replace(b"feed_description", b"x").replace(b"description", b"y") for line in recorded("S3")]
    events = derived(bare, camera_size=(320, 180))
    assert {(e["width"], e["height"]) for e in events if e["type"] == "video_on"} == {(320, 180)}
    assert len(events) == len(derived(recorded("S3")))
    screens = derived(bare, screen_size=(800, 600))
    assert all(str(e["stream"]).endswith("/screen") for e in screens if e["type"] == "video_on")


def test_a_trace_that_begins_in_the_middle_tells_what_it_can() -> None:
    """S2 without its first 12 s: nobody is seen to join, but the stream lists of 15.4 s name who is there."""
    start = RECORDINGS["S2"].t0 * 1000 + 12e6
    events = derived(event for event in events_of("S2") if stamp(event) > start)
    *_, users = at_half_seconds(events, RECORDINGS["S2"].t0, 18)
    both = ["teacher/camera/640x360", "teacher/screen/1280x720"]
    assert sorted(users.received["101", "student_1"].values()) == both
    assert sorted(users.received["101", "student_3"].values()) == both
    assert story(events, "student_1")[-1] == ("exit", "leave")


# Servers that stop


def test_a_server_that_stops_ends_every_stay() -> None:
    start = RECORDINGS["S1"].t0 * 1000 + 60e6
    running = [event for event in events_of("S1") if stamp(event) < start]
    stop = {"emitter": "sfu-1", "type": 256, "subtype": 2, "timestamp": int(start), "event": {"status": "shutdown"}}
    events = derived([*running, stop])
    assert story(events, "user_a")[-1] == story(events, "user_b")[-1] == ("exit", "server_stopped")


def test_a_server_that_starts_again_had_ended_every_stay_when_it_was_heard_last() -> None:
    start = RECORDINGS["S1"].t0 * 1000 + 60e6
    running = [event for event in events_of("S1") if stamp(event) < start]
    up = {"emitter": "sfu-1", "type": 256, "subtype": 1, "timestamp": int(start) + 3_600_000_000, "event": {}}
    events = derived([*running, up])
    assert story(events, "user_a")[-1] == story(events, "user_b")[-1] == ("exit", "server_restarted")
    assert events[-1]["at"] == max(stamp(event) for event in running) // 1000
    elsewhere = derived([*running, up | {"emitter": "sfu-2"}])
    assert story(elsewhere, "user_a") == [("enter", None)]


# Hand-made rooms


@dataclass(slots=True)
class Janus:
    """Says what a server would, one millisecond after the other."""

    said: list[JsonEvent] = field(default_factory=list)

    def say(self, kind: int, body: JsonEvent, handle: str | None = None, subtype: int | None = None) -> None:
        of_handle = {"session_id": handle.partition("/")[0], "handle_id": handle, "opaque_id": handle} if handle else {}
        self.said.append(
            {"type": kind, "subtype": subtype, "timestamp": 1791768000000000 + 1000 * len(self.said)}
            | of_handle
            | {"event": body}
        )

    def plugin(self, handle: str | None, event: str, room: int | str = 1, **data: object) -> None:
        body = {"plugin": "janus.plugin.videoroom", "data": {"event": event, "room": room, **data}}
        self.say(64, body, handle)

    def join(self, user: str, private_id: int, room: int | str = 1, feed: int | str | None = None) -> None:
        handle = f"{user}/pub/{room}"
        self.say(2, {"name": "attached"}, handle)
        self.plugin(handle, "joined", room, id=feed or user, private_id=private_id, display=user)

    def publish(self, user: str, room: int | str = 1, feed: int | str | None = None) -> None:
        handle = f"{user}/pub/{room}"
        self.plugin(handle, "published", room, id=feed or user, streams=[video()])
        self.say(32, {"media": "video", "mid": "v", "receiving": True}, handle, 1)

    def subscribe(self, handle: str, *feeds: str, private_id: int = 0, room: int | str = 1) -> None:
        self.say(2, {"name": "attached"}, handle)
        self.offer(handle, *["sendonly"] * len(feeds))
        self.plugin(handle, "subscribing", room, private_id=private_id, streams=m_lines(*feeds))
        self.say(16, {"connection": "webrtcup"}, handle, 6)

    def offer(self, handle: str, *directions: str) -> None:
        rows = [["video", str(number), direction, 9] for number, direction in enumerate(directions)]
        self.say(8, {"owner": "local", "jsep": {"type": "offer", "sdp_mlines": rows}}, handle)

    def received(self, user: str, room: str = "1") -> list[object]:
        users = Users()
        for event in derived(self.said):
            users.apply(event)
        return sorted(str(stream) for stream in users.received[room, user])


def video(**more: object) -> JsonEvent:
    return {"type": "video", "mid": "v", "description": '{"kind": "camera", "w": 640, "h": 360}', **more}


def m_lines(*feeds: str) -> list[JsonEvent]:
    """The stream list of a subscriber; a feed without a name: an m-line out of use."""
    on = {"type": "video", "active": True, "send": True, "feed_mid": "v"}
    off = {"type": "video", "active": False, "send": True}
    return [(on | {"feed_id": f} if f else off) | {"mid": str(number)} for number, f in enumerate(feeds)]


@pytest.fixture
def room() -> Janus:
    """Alice (private id 11), Bob (12) and Carol (13) are in room 1 and publish."""
    janus = Janus()
    for private_id, user in enumerate(("alice", "bob", "carol"), 11):
        janus.join(user, private_id)
        janus.publish(user)
    return janus


def test_an_update_on_the_publishers_handle_is_meant_for_the_handle_that_was_just_offered(room: Janus) -> None:
    """Alice has one handle for Bob and one for Carol, in this order, and Bob stops."""
    room.subscribe("alice/sub/b", "bob", private_id=11)
    room.subscribe("alice/sub/c", "carol", private_id=11)
    room.offer("alice/sub/b", "inactive")
    room.plugin("bob/pub/1", "updated", private_id=11, streams=m_lines(""))
    assert room.received("alice") == ["carol:carol:v/camera"]


def test_viewers_without_a_private_id_are_told_apart(room: Janus) -> None:
    room.subscribe("vera/sub", "bob", "carol")
    room.subscribe("will/sub", "carol", "bob")
    for handle, directions, feeds in (
        ("will/sub", ("sendonly", "inactive"), ("carol", "")),
        ("vera/sub", ("inactive", "sendonly"), ("", "carol")),
    ):
        room.offer(handle, *directions)
        room.plugin("bob/pub/1", "updated", private_id=0, streams=m_lines(*feeds))
    assert room.received("vera") == room.received("will") == ["carol:carol:v/camera"]


def test_a_feed_that_leaves_is_gone_for_subscribers_who_are_not_told(room: Janus) -> None:
    room.subscribe("alice/sub", "bob", "carol", private_id=11)
    room.plugin(None, "leaving", id="bob")
    assert room.received("alice") == ["carol:carol:v/camera"]


def test_a_feed_that_publishes_again_is_not_received_until_it_is_subscribed_again(room: Janus) -> None:
    room.subscribe("alice/sub", "bob", private_id=11)
    room.plugin(None, "unpublished", id="bob")
    room.publish("bob")
    assert room.received("alice") == []
    room.plugin("alice/sub", "updated", private_id=11, streams=m_lines("bob"))
    assert room.received("alice") == ["bob:bob:v/camera"]


def test_an_active_stream_on_an_inactive_m_line_is_not_received(room: Janus) -> None:
    """Bob's camera goes off and on by renegotiation; in between, Alice got an offer for another reason."""
    room.subscribe("alice/sub", "bob", private_id=11)
    room.plugin("bob/pub/1", "updated", id="bob", streams=[video(disabled=True)])
    assert room.received("alice") == []
    room.offer("alice/sub", "inactive")
    room.plugin("alice/sub", "updated", private_id=11, streams=m_lines("bob"))
    room.plugin("bob/pub/1", "updated", id="bob", streams=[video()])
    assert room.received("alice") == []
    room.offer("alice/sub", "sendonly")
    assert room.received("alice") == ["bob:bob:v/camera"]


def test_nobody_receives_an_own_stream(room: Janus) -> None:
    room.subscribe("alice/sub", "alice", "bob", private_id=11)
    assert room.received("alice") == ["bob:bob:v/camera"]


def test_a_subscribers_closed_connection_receives_nothing(room: Janus) -> None:
    room.subscribe("alice/sub", "bob", private_id=11)
    room.say(16, {"connection": "hangup", "reason": "DTLS alert"}, "alice/sub", 6)
    assert room.received("alice") == []


def test_a_change_of_size_switches_the_stream_on_again(room: Janus) -> None:
    room.subscribe("alice/sub", "bob", private_id=11)
    room.plugin(
        "bob/pub/1", "updated", id="bob", streams=[video(description='{"kind": "camera", "w": 1280, "h": 720}')]
    )
    on = [(e["stream"], e["width"]) for e in derived(room.said) if e["type"] == "video_on"]
    assert on == [("bob:bob:v/camera", 640), ("bob:bob:v/camera", 1280)]


def test_a_viewer_who_never_joins_is_there_from_the_first_stream_list_until_the_handle_goes(room: Janus) -> None:
    room.subscribe("vera/sub", "bob")
    room.subscribe("walt/sub", "bob", private_id=11)  # with the private id of somebody else
    assert room.received("vera") == room.received("walt") == ["bob:bob:v/camera"]
    room.say(2, {"name": "detached"}, "vera/sub")
    assert story(derived(room.said), "vera") == [("enter", None), ("exit", "leave")]


def test_one_user_in_two_rooms_has_two_stays_and_equal_feed_ids_do_not_mix() -> None:
    janus = Janus()
    for name in ("lecture", "seminar"):
        janus.join("dora", 21, name, feed=5)
        janus.join(f"host-of-{name}", 22, name, feed=6)
        janus.publish(f"host-of-{name}", name, feed=6)
    janus.subscribe("dora/sub", "6", private_id=21, room="seminar")
    assert janus.received("dora", "lecture") == []
    assert janus.received("dora", "seminar") == ["host-of-seminar:6:v/camera"]
    janus.plugin(None, "leaving", "lecture", id=5)
    janus.plugin(None, "destroyed", "seminar")
    dora = [e for e in derived(janus.said) if e["type"] in ("exit", "dismiss")]
    assert [(e["type"], e["room_id"]) for e in dora] == [("exit", "lecture"), ("dismiss", "seminar")]


def test_a_silent_user_who_leaves_by_detaching_has_left(room: Janus) -> None:
    room.join("eve", 14)
    room.say(2, {"name": "detached"}, "eve/pub/1")
    assert story(derived(room.said), "eve") == [("enter", None), ("exit", "leave")]


def test_who_leaves_by_name_has_left_even_if_nobody_saw_the_user_join(room: Janus) -> None:
    room.plugin(None, "leaving", id="frank-feed", display="frank/laptop")
    room.plugin(None, "leaving", id="frank-feed", display="frank/laptop")
    room.plugin(None, "leaving", id="nameless")
    assert story(derived(room.said), "frank") == [("exit", "leave")]


def test_a_second_connection_that_leaves_by_name_does_not_end_the_stay(room: Janus) -> None:
    room.plugin(None, "leaving", id="old-feed", display="alice")
    assert story(derived(room.said), "alice") == [("enter", None)]


def test_whose_end_was_lost_enters_anew_after_a_day(room: Janus) -> None:
    """Metering has ended the stay 24 hours after its last event: without a new `enter` nothing would be billed."""
    later = Janus()
    later.join("alice", 99, feed="new-feed")
    later.plugin(None, "leaving", id="new-feed")
    tomorrow = [event | {"timestamp": stamp(event) + 25 * 3_600_000_000} for event in later.said]
    new = [event | {"handle_id": "new"} if "handle_id" in event else event for event in tomorrow]
    assert story(derived([*room.said, *new]), "alice") == [("enter", None), ("enter", None), ("exit", "leave")]


def test_the_ids_of_a_server_that_started_again_are_new_ones() -> None:
    events = events_of("S1")
    again = [event | {"timestamp": stamp(event) + 600_000_000} for event in events]
    assert len(derived([*events, *again])) == 2 * len(derived(events))


def test_rooms_of_a_second_server_have_its_name(room: Janus) -> None:
    other = [event | {"emitter": "sfu-2"} for event in room.said]
    rooms = [event["room_id"] for event in derived([*room.said, *other])]
    assert sorted(set(map(str, rooms))) == ["1", "sfu-2/1"]
    assert rooms.count("1") == rooms.count("sfu-2/1")


# Bad input

GOOD = b'{"type":2,"timestamp":1791768000000000,"session_id":1,"handle_id":2,"event":{"name":"attached"}}'


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"{", "bad_json"),
        (b"\xff\xfe", "bad_json"),
        (b'{"type":NaN}', "bad_json"),
        (b'{"type":' + b"9" * 5000 + b"}", "bad_json"),
        (b"[" * 100_000, "bad_json"),
        (b"7", "bad_type"),
        (b"[[]]", "bad_type"),
        (b"{}", "missing_field"),
        (GOOD.replace(b"1791768000000000", b"null"), "missing_field"),
        (GOOD.replace(b"1791768000000000", b'"noon"'), "bad_type"),
        (GOOD.replace(b"1791768000000000", b"1791768000.5"), "bad_type"),
        (GOOD.replace(b"1791768000000000", b"9" * 400), "bad_value"),
        (GOOD.replace(b"1791768000000000", b"1791768000"), "bad_value"),
        (GOOD.replace(b'"handle_id":2,', b""), "missing_field"),
        (GOOD.replace(b'"type":2', b'"type":16'), "missing_field"),
        (GOOD.replace(b'"type":2', b'"type":32'), "missing_field"),
        (GOOD.replace(b'"type":2', b'"type":256,"subtype":"1"'), "bad_type"),
        (GOOD.replace(b'"type":2', b'"type":8'), "missing_field"),
        (GOOD.replace(b'"handle_id":2', b'"handle_id":[]'), "bad_type"),
        (GOOD.replace(b'{"name":"attached"}', b'"attached"'), "bad_type"),
        (GOOD.replace(b'"handle_id":2', b'"handle_id":"\\ud800"'), "bad_value"),
    ],
)
def test_a_line_that_cannot_be_read_is_set_aside_with_its_reason(text: bytes, reason: str) -> None:
    result = derive(lines([text, GOOD]), app_id=7)
    assert [(row.file, row.line, row.reason) for row in result.rejected] == [("trace", 1, reason)]
    assert (result.events, result.lines) == ([], 2)


def test_an_indented_body_that_breaks_off_is_one_bad_line_and_the_next_is_read() -> None:
    result = derive(lines([b"[", b'   {"type": 2,', b"", *recorded("S1")]), app_id=7)
    assert [(row.line, row.reason) for row in result.rejected] == [(1, "bad_json")]
    assert [event.event for event in result.events] == derived(recorded("S1"))


def test_a_line_is_set_aside_once_however_many_of_its_events_are_bad() -> None:
    result = derive(lines([[{}, {"type": "x"}, *events_of("S1")]]), app_id=7)
    assert [(row.line, row.reason) for row in result.rejected] == [(1, "missing_field")]
    assert [event.event for event in result.events] == derived(recorded("S1"))


@cache
def telling_events() -> list[JsonEvent]:
    """The events of S5 that are not statistics."""
    return [event for event in events_of("S5") if (event["type"], event.get("subtype")) != (32, 3)]


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)


def places(value: object, path: tuple[object, ...] = ()) -> Iterator[tuple[object, ...]]:
    """The path to every value inside."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield (*path, key)
        yield from places(item, (*path, key))


def changed(event: JsonEvent, change: Callable[[list[object]], object], new: object) -> JsonEvent:
    event = copy.deepcopy(event)
    *parents, last = change(list(places(event)))
    inside: object = event
    for key in parents:
        inside = inside[key]
    if new is ...:
        del inside[last]
    else:
        inside[last] = new
    return event


@given(st.data())
def test_whatever_a_field_holds_every_event_is_derived_from_or_set_aside(data: st.DataObject) -> None:
    events = list(telling_events())
    for index in data.draw(st.lists(st.integers(0, len(events) - 1), min_size=1, max_size=8, unique=True)):
        new = data.draw(st.just(...) | ANYTHING)
        events[index] = changed(events[index], lambda paths: data.draw(st.sampled_from(paths)), new)
    result: Derived = derive(lines(events), app_id=7)
    json.dumps([event.event for event in result.events], ensure_ascii=False).encode()
    rejected = [(row.file, row.line) for row in result.rejected]
    assert rejected == sorted(set(rejected))
    assert {row.reason for row in result.rejected} <= {"missing_field", "bad_type", "bad_value"}
    assert result.lines == len(events)
    for event in result.events:  # nobody leaves who is not there, nothing goes off that is not on
        assert event.event["type"] in ("enter", "exit", "disconnect", "reconnect", "video_on", "video_off", "dismiss")
    users = Users()
    for event in result.events:
        users.apply(event.event)


def stamp(event: JsonEvent) -> int:
    at = event["timestamp"]
    assert isinstance(at, int)
    return at


def _restamped(events: list[JsonEvent], new: Callable[[JsonEvent, int], int]) -> list[JsonEvent]:
    return [event | {"timestamp": new(event, stamp(event))} for event in events]
