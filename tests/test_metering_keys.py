"""Keys: users, rooms and streams go by hashes, and two of one hash are noticed, whatever they are.

In the first attempt the hashes are so short that there are fewer of them than users or streams; in the next they are
whole.
"""

from functools import cache
from itertools import count
from unittest.mock import patch

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from billing.event_keys import event_keys
from billing.metering.meter import meter
from billing.metering.rows import Hashing
from tests.metering_facts import EVENT_TYPES, RULES, START, Row, frame, metered, nobody, seen

END = START + 300


def noticed(rows: list[Row], first: Hashing) -> bool:
    """Was the first hashing refused? The result is that of whole hashes in any case."""
    tried = []

    def attempt(seed: int) -> Hashing:
        tried.append(seed)
        return first if len(tried) == 1 else Hashing(seed=seed)

    with patch("billing.metering.meter.Hashing", attempt):
        result = meter(frame(rows), nobody(), START, END, RULES)
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


@cache
def nearly_alike() -> dict[str, list[tuple[str, str]]]:
    """Of a quarter of a million names as users, as streams and as rooms: pairs whose checks, of 32 bits, differ in the
    lowest bit alone, and in the highest alone."""
    names = [f"{number}/camera" for number in range(2**18)]
    enter = {"event_id": "0", "app_id": 1, "at": START * 1000, "seq": 0, "type": "enter", "width": None, "height": None}
    rows = pl.LazyFrame({"name": names}).select(
        **{name: pl.lit(value, EVENT_TYPES[name]) for name, value in enter.items()}, user_id="name", stream="name"
    )
    by_user = keys(rows.with_columns(room_id=pl.lit("r")), Hashing())["checks"].to_numpy().view(np.uint64)
    by_room = keys(rows.with_columns(room_id=pl.col("stream")), Hashing())["room_check"].to_numpy().view(np.uint32)
    checks = {
        "user": by_user >> np.uint64(32),
        "stream": by_user & np.uint64(2**32 - 1),
        "room": by_room.astype(np.uint64),
    }
    return {what: [_differing(names, check, bit) for bit in (0, 31)] for what, check in checks.items()}


def _differing(names: list[str], checks: NDArray[np.uint64], bit: int) -> tuple[str, str]:
    with_bit = np.flatnonzero(checks >> np.uint64(bit) & np.uint64(1))
    _, one, other = np.intersect1d(checks[with_bit] ^ np.uint64(1 << bit), checks, return_indices=True)
    return names[with_bit[one[0]]], names[other[0]]


@pytest.mark.parametrize("pair", [0, 1], ids=["lowest bit", "highest bit"])
def test_two_of_one_hash_are_noticed_by_every_bit_of_their_checks(pair: int) -> None:
    """Two users, two streams of one user, and the dismissal of another room, where all have one hash."""
    one, other = nearly_alike()["user"][pair]
    assert noticed(seen(f"0 r {one} enter", f"1 r {other} enter"), Hashing(mask=0))
    one, other = nearly_alike()["stream"][pair]
    video = "ann video_on"
    rows = seen("0 r ann enter", f"1 r {video} {one} 64x48", f"2 r {video} {other} 64x48")
    assert noticed(rows, Hashing(mask=0))
    one, other = nearly_alike()["room"][pair]
    assert noticed(seen(f"0 {one} ann enter", f"1 {other} - dismiss"), Hashing(mask=0))


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


def test_hashes_that_do_not_collide_are_not_computed_again() -> None:
    rows = seen("0 r ann enter", "1 s bob enter", "2 s bob video_on x/camera 64x48", "3 r - dismiss")
    assert not noticed(rows, Hashing())
