"""Rooms with automatic subscription: who receives what follows from who publishes, second by second."""

import random

import pytest

from billing.metering.meter import meter, meter_by_user
from tests.metering_facts import CN, DAY, START, frame, metered, nobody, said, seen, span, usage_of
from tests.test_metering_stays import as_obvious

HD, SMALL, FHD = "1280x720", "640x360", "1920x1080"


def seconds_of(*lines: str, seconds: int = 1000) -> dict[tuple[str, str, str], int]:
    """The seconds of the first 1,000 s by user, item and reason; the same in any order, in cuts, and with the obvious
    meter."""
    rows = seen(*lines)
    shuffled = random.Random(1).sample(rows, len(rows))
    as_obvious(shuffled, seconds)
    as_obvious(shuffled, seconds, cuts=(95, 350, 600))
    by_user = meter_by_user(frame(rows), nobody(), span(end=START + seconds))
    return {row[2:5]: row[5] for row in by_user.iter_rows()}


def test_what_others_publish_is_received_by_whoever_is_subscribed_to_everything() -> None:
    assert seconds_of(
        "0 r ann enter all",
        "100 r bob enter all",
        f"200 r ann publish ann/camera {HD}",
        "500 r ann unpublish ann/camera",
        "600 r bob exit",
        "700 r ann exit",
    ) == {
        ("ann", "audio", "alone_in_room"): 200,
        ("ann", "audio", "no_video_received"): 500,
        ("bob", "audio", "no_video_received"): 200,
        ("bob", "hd", "camera"): 300,
    }


def test_whoever_is_not_subscribed_receives_only_by_video_on() -> None:
    found = seconds_of(
        "0 r ann enter all",
        "0 r bob enter",
        f"100 r ann publish ann/camera {FHD}",
        f"200 r bob video_on ann/camera {SMALL}",
        "300 r ann unpublish ann/camera",
        "400 r bob exit",
    )
    assert found["bob", "hd", "camera"] == 200
    assert found["bob", "audio", "no_video_received"] == 200


def test_a_name_is_received_once_in_the_size_last_published() -> None:
    """A video_on of a subscribed user adds nothing to what is published, and ends with it."""
    found = seconds_of(
        "0 r ann enter",
        "0 r bob enter all",
        f"100 r bob video_on ann/camera {SMALL}",
        f"200 r ann publish ann/camera {FHD}",
        f"300 r ann publish ann/camera {SMALL}",
        "400 r ann unpublish ann/camera",
        "500 r bob exit",
    )
    assert found["bob", "hd", "camera"] == 100 + 100
    assert found["bob", "fhd", "camera"] == 100
    assert found["bob", "audio", "no_video_received"] == 200


def test_a_new_connection_that_comes_before_the_old_one_ends_goes_on_with_the_stay() -> None:
    """A reconnect of LiveKit: the new connection joins two seconds before the old one is reported as gone."""
    found = seconds_of(
        "0 r ann enter c0 all",
        f"0 r ann publish c0 ann/camera {HD}",
        "0 r bob enter c1 all",
        "100 r bob enter c2 all",
        "102 r bob exit c1",
        "200 r bob exit c2",
    )
    assert found["bob", "hd", "camera"] == 200
    assert ("bob", "audio", "no_video_received") not in found


def test_an_exit_that_comes_before_its_enter_closes_the_connection_for_a_day() -> None:
    lines = (
        "5 r ann exit c1",
        "6 r ann enter c1 all",
        "7 r bob enter",
        f"{5 + DAY} r ann enter c1",
        f"{9 + DAY} r ann exit",
    )
    rows = seen(*lines)
    as_obvious(rows, 2 * DAY)
    as_obvious(rows, 2 * DAY, cuts=(5, 6, DAY, DAY + 4, DAY + 5, DAY + 6))
    result = metered(rows, 2 * DAY)
    assert said(result)[:2] == [
        (5, "r", "ann", "outside_stay", "ignored: the user was not in the room, or in the wait after a disconnect"),
        (6, "r", "ann", "closed_connection", "ignored: this connection was closed by an exit"),
    ]
    # Both are there from then on, until bob's stay becomes stale.
    assert usage_of(result)[1, START + DAY, "audio", "no_video_received"] == 2 + 2


def test_a_join_and_leave_of_one_second_is_a_stay_of_no_second_in_any_order() -> None:
    assert seconds_of("5 r ann enter c1 all", "5 r ann exit c1") == {}


def test_a_connection_that_waits_beside_a_connected_one_counts_when_that_one_leaves() -> None:
    found = seconds_of(
        "0 r ann enter",
        "0 r bob enter c1",
        "0 r bob enter c2",
        "100 r bob disconnect c1",
        "150 r bob exit c2",
        "500 r ann exit",
    )
    assert found["bob", "audio", "disconnect_grace"] == 40
    assert found["bob", "audio", "no_video_received"] == 150


def test_waits_may_end_in_another_order_than_they_began_in() -> None:
    found = seconds_of(
        "0 r ann enter",
        "0 r bob enter c1",
        "0 r bob enter c2",
        "0 r cid enter c1",
        "100 r bob disconnect c1",
        "120 r cid disconnect c1",
        "150 r bob exit c2",
    )
    assert found["bob", "audio", "disconnect_grace"] == 40
    assert found["cid", "audio", "disconnect_grace"] == 90


def test_a_publication_ends_with_its_connection_and_moves_to_another() -> None:
    found = seconds_of(
        "0 r bob enter all",
        "0 r ann enter c1",
        f"100 r ann publish c1 ann/camera {HD}",
        "200 r ann enter c2",
        f"210 r ann publish c2 ann/camera {HD}",
        "220 r ann unpublish c1 ann/camera",
        "230 r ann exit c1",
        "300 r ann disconnect c2",
        "310 r ann reconnect c2",
    )
    assert found["bob", "hd", "camera"] == 200


def test_a_publish_over_a_connection_that_was_never_seen_opens_it() -> None:
    rows = seen("0 r bob enter all", f"10 r ann publish c1 ann/camera {HD}", "100 r ann exit c1")
    as_obvious(rows, 300)
    assert [finding for *_, finding, _ in said(metered(rows, 300))] == ["implied_enter"]
    found = seconds_of("0 r bob enter all", f"10 r ann publish c1 ann/camera {HD}", "100 r ann exit c1")
    assert found["bob", "hd", "camera"] == 90
    assert found["ann", "audio", "no_video_received"] == 90


def test_an_unpublish_wins_over_a_publish_of_one_instant() -> None:
    """Over its own connection or none; what is said over another connection, or by another user, ends nothing."""
    found = seconds_of(
        "0 r bob enter all",
        "0 r ann enter c1",
        "0 r ann enter c2",
        "0 r cid enter",
        f"100 r ann publish c1 ann/camera {HD}",
        "100 r ann unpublish c1 ann/camera",
        f"200 r ann publish c1 ann/camera {HD}",
        "200 r ann unpublish ann/camera",
        f"300 r ann publish c1 ann/screen {FHD}",
        "300 r ann unpublish c2 ann/screen",
        "300 r cid unpublish ann/screen",
        "400 r ann unpublish c1 ann/screen",
        f"401 r ann publish c1 ann/screen {FHD}",
        "500 r ann unpublish ann/screen",
        "600 r bob exit",
    )
    assert found["bob", "fhd", "screen_share"] == 100 + 99
    assert ("bob", "hd", "camera") not in found


def test_an_exception_ends_with_the_publication_or_the_users_video_on_but_not_with_a_connection() -> None:
    found = seconds_of(
        "0 r ann enter",
        "0 r bob enter c1 all",
        f"0 r ann publish ann/camera {HD}",
        "100 r bob video_off c1 ann/camera",
        "150 r bob disconnect c1",
        "160 r bob reconnect c1",
        "200 r bob enter c2 all",
        f"300 r bob video_on ann/camera {SMALL}",
        "400 r bob video_off ann/camera",
        "500 r ann unpublish ann/camera",
        f"600 r ann publish ann/camera {HD}",
    )
    assert found["bob", "hd", "camera"] == 100 + 100 + 400
    assert found["bob", "audio", "disconnect_grace"] == 10


@pytest.mark.parametrize("app", [1, 2])
def test_a_crowd_is_metered_as_each_of_its_users(app: int) -> None:
    """Forty who are subscribed to everything come and go while three publish, per stream and in all."""
    rng = random.Random(app)
    lines = [f"{rng.randrange(300)} r u{user} enter all" for user in range(40)]
    lines += [f"{rng.randrange(300, 900)} r u{user} {rng.choice(['exit', 'disconnect'])}" for user in range(0, 40, 2)]
    for _ in range(60):
        size = rng.choice([SMALL, HD, FHD])
        stream = rng.choice(["u0/camera", "u1/camera", "u1/screen"])
        kind = rng.choice(["publish", "publish", "unpublish"])
        lines.append(f"{rng.randrange(1000)} r {stream[:2]} {kind} {stream} {size if kind == 'publish' else ''}")
    rows = seen(*lines, app=app)
    as_obvious(rows, 1200)
    as_obvious(rows, 1200, cuts=(250, 450, 800))


def test_rooms_expanded_by_hand_give_the_same_seconds() -> None:
    """What each user receives, said with video_on and video_off, is what follows from the room."""
    rng = random.Random(5)
    users = [f"u{number}" for number in range(6)]
    lines = [f"{number} r {user} enter {{}}" for number, user in enumerate(users)]
    expanded = list(lines)
    sent: set[str] = set()
    for second in range(10, 900, 7):
        stream = f"{rng.choice(users)}/{rng.choice(['camera', 'screen'])}"
        owner, size = stream.split("/")[0], rng.choice([SMALL, HD, FHD])
        off = stream in sent and rng.random() < 0.5
        (sent.discard if off else sent.add)(stream)
        rest = f"{stream} {'' if off else size}"
        lines.append(f"{second} r {owner} {'unpublish' if off else 'publish'} {rest}")
        others = [user for user in users if user != owner]
        expanded += [f"{second} r {user} {'video_off' if off else 'video_on'} {rest}" for user in others]
    for rules in (None, {1: CN}):
        bounds = span(end=START + 1000, **({"rules": rules} if rules else {}))
        by_room, by_hand = (
            meter(frame(seen(*(line.format(how) for line in kind))), nobody(), bounds)
            for kind, how in ((lines, "all"), (expanded, ""))
        )
        assert by_room.usage.equals(by_hand.usage)
