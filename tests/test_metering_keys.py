"""Keys: users, rooms and streams go by hashes, and two of one hash are noticed, whatever they are.

In the first attempt the hashes are so short that there are fewer of them than users or streams; in the next they are
whole.
"""

from itertools import count
from unittest.mock import patch

import polars as pl
import pytest

from billing.events.keys import event_keys
from billing.metering.engine.keyed_rows import Hashing
from billing.metering.meter import meter
from tests.metering_facts import START, Row, frame, metered, nobody, seen, span

END = START + 300


def noticed(rows: list[Row], first: Hashing) -> bool:
    """Was the first hashing refused? The result is that of whole hashes in any case."""
    tried = []

    def attempt(seed: int) -> Hashing:
        tried.append(seed)
        return first if len(tried) == 1 else Hashing(seed=seed)

    with patch("billing.metering.meter.Hashing", attempt):
        result = meter(frame(rows), nobody(), span(end=END))
    expected = metered(rows, 300)
    assert result.usage.equals(expected.usage)
    assert result.state.equals(expected.state)
    assert result.findings.equals(expected.findings)
    return len(tried) > 1


def keys(events: pl.LazyFrame, hashing: Hashing) -> pl.DataFrame:
    """The keys and checks of these events."""
    return event_keys(events.collect(), seed=hashing.seed, mask=hashing.mask)


def colliding(rows: list[Row], rooms: int, users: int) -> Hashing:
    """A hashing of one bit under which these rows have so many keys of rooms and of users."""
    for seed in count():
        hashing = Hashing(seed=seed, mask=1)
        keyed = keys(frame(rows), hashing)
        if (keyed["room_key"].n_unique(), keyed["user_key"].n_unique()) == (rooms, users):
            return hashing
    raise AssertionError


# Numbers of names (`7/camera`) whose checks, of 32 bits, differ in the lowest bit alone, and in the highest alone: as
# users and as rooms of app 1, and as streams. They were found among a quarter of a million.
NEARLY_ALIKE = {
    0: {"user": (103_169, 111_232), "stream": (161_610, 140_147), "room": (107_800, 163_922)},
    31: {"user": (50_347, 65_380), "stream": (126_027, 162_542), "room": (167_554, 175_978)},
}


@pytest.mark.parametrize("bit", NEARLY_ALIKE)
def test_two_of_one_hash_are_noticed_by_every_bit_of_their_checks(bit: int) -> None:
    """Two users, two streams of one user, and the dismissal of another room, where all have one hash."""
    names = {what: [f"{number}/camera" for number in pair] for what, pair in NEARLY_ALIKE[bit].items()}
    one, other = names["user"]
    rows = seen(f"0 r {one} enter", f"1 r {other} enter")
    assert differing(rows, "checks", [0, 1]) == 1 << 32 + bit
    assert noticed(rows, Hashing(mask=0))
    one, other = names["stream"]
    rows = seen("0 r ann enter", f"1 r ann video_on {one} 64x48", f"2 r ann video_on {other} 64x48")
    assert differing(rows, "checks", [1, 2]) == 1 << bit
    assert noticed(rows, Hashing(mask=0))
    one, other = names["room"]
    rows = seen(f"0 {one} ann enter", f"1 {other} - dismiss")
    assert differing(rows, "room_check", [0, 1]) == 1 << bit
    assert noticed(rows, Hashing(mask=0))


def differing(rows: list[Row], column: str, pair: list[int]) -> int:
    """The bits in which two rows differ in a column of keys."""
    one, other = keys(frame(rows), Hashing())[column][pair]
    bits: int = (one ^ other) % 2 ** (32 if column == "room_check" else 64)
    return bits


@pytest.mark.parametrize("app", [1, 2])
def test_two_users_of_one_room_with_one_hash_are_noticed(app: int) -> None:
    """Seventeen users, sixteen hashes."""
    rows = seen(*(f"{second} r user-{second} enter" for second in range(17)), app=app)
    assert noticed(rows, Hashing(mask=15))


@pytest.mark.parametrize("app", [1, 2])
def test_two_streams_of_one_user_with_one_hash_are_noticed(app: int) -> None:
    rows = seen(
        "0 r ann enter", *(f"{second} r ann video_on {second}/camera 64x48" for second in range(1, 18)), app=app
    )
    assert noticed(rows, Hashing(mask=15))


def test_two_rooms_with_one_hash_are_noticed_though_their_users_have_two() -> None:
    rows = seen("0 r ann enter", "1 s bob enter")
    assert noticed(rows, colliding(rows, rooms=1, users=2))


def test_the_dismissal_of_a_room_that_has_the_hash_of_another_is_noticed() -> None:
    """A dismissal has no user, and its row another key or the same."""
    rows = seen("0 r ann enter", "1 s - dismiss")
    assert all(noticed(rows, colliding(rows, rooms=1, users=users)) for users in (1, 2))


def test_keys_of_the_log_that_collide_are_worked_out_anew() -> None:
    """As if all users had one hash: their checks tell them apart."""
    rows = seen("0 r ann enter", "1 r bob enter", "100 r ann exit", "200 r bob exit")
    events = frame(rows).collect()
    log = events.hstack(event_keys(events)).with_columns(user_key=pl.lit(7, pl.Int64))
    result, expected = meter(log.lazy(), nobody(), span(end=END)), metered(rows, 300)
    assert result.usage.equals(expected.usage)
    assert result.findings.is_empty()


def test_hashes_that_do_not_collide_are_not_computed_again() -> None:
    rows = seen("0 r ann enter", "1 s bob enter", "2 s bob video_on x/camera 64x48", "3 r - dismiss")
    assert not noticed(rows, Hashing())


def test_a_thousand_streams_are_told_apart_at_once() -> None:
    """Twenty users, fifty streams each, which come and go: whatever place they have in a table, no two are confused."""
    entered = [f"{number / 100} r user-{number} enter" for number in range(20)]
    streams = [(number, f"{user}-{number}/camera", f"user-{user}") for number in range(50) for user in range(20)]
    on = [f"{1 + number} r {user} video_on {stream} 64x48" for number, stream, user in streams]
    off = [f"{100 + number} r {user} video_off {stream}" for number, stream, user in streams]
    assert not noticed(seen(*entered, *on, *off), Hashing())


def test_hundreds_of_rooms_are_told_apart_at_once() -> None:
    """Half the places of a table are taken; then every other room is dismissed."""
    entered = [f"{number / 100} r-{number} ann enter" for number in range(255)]
    dismissed = [f"{10 + number / 100} r-{number} - dismiss" for number in range(0, 255, 2)]
    assert not noticed(seen(*entered, *dismissed), Hashing())
