"""What the meter promises of its results besides their seconds."""

from collections.abc import Sequence
from unittest.mock import patch

import polars as pl
import pytest

from billing.metering.engine.room_tables import Sums
from billing.metering.meter import meter, meter_by_user
from billing.metering.schemas import USAGE_SCHEMA, USER_USAGE_SCHEMA
from billing.metering.windows import window_seconds
from tests.metering_facts import RULES, START, frame, metered, nobody, seen, span

# Later rooms, users and apps first, and every item before a smaller one.
CLASSES = [
    f"{second} {room} {user} {kind}"
    for room in ("s", "r")
    for user in ("cid", "bob", "ann")
    for second, kind in (
        (0, "enter"),
        (10, "video_on x/screen 3840x2160"),
        (20, "video_on x/screen 640x480"),
        (30, "video_on x/camera 640x480"),
        (40, "video_off x/screen"),
        (50, "video_off x/camera"),
        (650, "disconnect"),
    )
]


def test_results_are_sorted_by_their_columns() -> None:
    """From the left, seconds last."""
    rows = [*seen(*CLASSES, app=2), *seen(*CLASSES, *CLASSES, app=1)]
    result = meter(frame(rows), nobody(), span(end=START + 700))
    assert result.usage.schema == USAGE_SCHEMA
    for table in (result.usage, result.state.drop("streams"), result.findings):
        assert table.rows() == sorted(table.rows())
        assert table.height > 5
    by_user = meter_by_user(frame(rows), nobody(), span(end=START + 700))
    assert by_user.schema == USER_USAGE_SCHEMA
    assert by_user.rows() == sorted(by_user.rows())
    assert by_user.height > 5


def test_the_seconds_of_the_only_user_are_those_of_the_app() -> None:
    by_user = meter_by_user(frame(seen("0 r ann enter")), nobody(), span(end=START + 300))
    assert by_user.rows() == [(1, "r", "ann", "audio", "alone_in_room", 300)]


def test_nothing_is_metered_where_nothing_happened() -> None:
    for rules in (RULES, {}):
        result = meter(frame([]), nobody(), span(end=START + 300, rules=rules))
        assert (result.usage.schema, result.usage.height) == (USAGE_SCHEMA, 0)
        assert result.state.is_empty()
        assert result.findings.is_empty()
        assert meter_by_user(frame([]), nobody(), span(end=START + 300, rules=rules)).is_empty()


@pytest.mark.parametrize("app", [1, 2])
def test_a_second_that_is_lost_stops_the_meter(app: int) -> None:
    """Here the only row of the only app: 300 s alone in a room."""

    def lossy(sums: Sequence[Sums], start: int) -> pl.DataFrame:
        return window_seconds(sums, start)[:0]

    with (
        patch("billing.metering.meter.window_seconds", lossy),
        pytest.raises(AssertionError, match=r"^0 seconds were classified, but the stays have 300$"),
    ):
        metered(seen("0 r ann enter", app=app), 300)


def test_a_second_that_is_made_up_stops_the_meter() -> None:
    def generous(sums: Sequence[Sums], start: int) -> pl.DataFrame:
        return window_seconds(sums, start).with_columns(pl.col("seconds") + 1)

    with (
        patch("billing.metering.meter.window_seconds", generous),
        pytest.raises(AssertionError, match=r"^301 seconds were classified, but the stays have 300$"),
    ):
        metered(seen("0 r ann enter"), 300)
