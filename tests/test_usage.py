"""Views of one app's usage, on events that are ingested and billed on the command line."""

import json
import sqlite3
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from billing.home import Home
from billing.ledger.database import open_database
from billing.periods import day_start, time_zone
from billing.reports.usage import app_usage
from tests.commands import Commands

APP = 1
CATALOG = """
[[account]]
id = "acme"
name = "Acme"
currency = "USD"
timezone = "{zone}"
policy = "{policy}"

[[app]]
id = 1
account = "acme"
name = "One"

[[app]]
id = 2
account = "acme"
name = "Two"
"""


class Acme:
    """An account with two apps."""

    def __init__(self, directory: Path, zone: str = "Asia/Tokyo") -> None:
        self.directory = directory
        self.zone = time_zone(zone)
        self.home = Home.at(directory / "home")
        self.run("init")
        self.give("trtc-intl")

    def run(self, line: str, now: str = "2027-01-01T00:00:00Z") -> str:
        done = Commands(home=self.home.directory, now=now)(line)
        assert done.exit_code == 0, done.output
        return done.stdout

    def give(self, policy: str) -> None:
        """Applies the catalog with that policy."""
        catalog = self.directory / "catalog.toml"
        catalog.write_text(CATALOG.format(zone=self.zone.key, policy=policy))
        self.run(f"catalog apply {catalog}")

    def ingest(self, *events: tuple[int, str, str, str, dict[str, Any]], day: date, app: int = APP) -> None:
        """Events as (second of the day, room, user, type, more)."""
        start = day_start(day, self.zone)
        lines = [
            {"app_id": app, "at": (start + second) * 1000, "room_id": room, "user_id": user, "type": kind, **more}
            for second, room, user, kind, more in events
        ]
        file = self.directory / "events.ndjson"
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))
        self.run(f"ingest {file}")

    def bill(self, day: date) -> None:
        self.run(f"nightly --date {day}")

    def usage(self, first: date, last: date | None = None, app: int = APP, **options: Any) -> list[tuple[Any, ...]]:
        """Rows of usage, all of them settled and original."""
        found = self.books(first, last, app, **options)
        assert set(found.select("kind", "settled").rows()) <= {("usage", True)}
        return found.drop("kind", "run", "settled").rows()

    def books(self, first: date, last: date | None = None, app: int = APP, **options: Any) -> pl.DataFrame:
        """Every column of usage."""
        engine = open_database(self.home.database)
        return app_usage(self.home, engine, app, first, last or first, **options)


VIDEO = {"stream": "a/camera", "width": 640, "height": 360}
DAY = date(2026, 3, 10)
NEXT = DAY + timedelta(days=1)


@pytest.fixture
def acme(tmp_path: Path) -> Acme:
    return Acme(tmp_path)


def test_a_stay_over_midnight_is_on_both_days_of_every_view(acme: Acme) -> None:
    acme.ingest(
        (86_300, "r", "a", "enter", {}),
        (86_300, "r", "b", "enter", {}),
        (86_300, "r", "b", "video_on", VIDEO),
        (86_420, "r", "b", "exit", {}),
        (86_500, "r", "a", "exit", {}),
        day=DAY,
    )
    acme.bill(NEXT)
    assert acme.usage(DAY, NEXT, by="user") == [
        (APP, DAY, "r", "a", "audio", "no_video_received", 100),
        (APP, DAY, "r", "b", "hd", "camera", 100),
        (APP, NEXT, "r", "a", "audio", "alone_in_room", 80),
        (APP, NEXT, "r", "a", "audio", "no_video_received", 20),
        (APP, NEXT, "r", "b", "hd", "camera", 20),
    ]
    assert acme.usage(DAY, NEXT, by="window") == [
        (APP, "2026-03-10T23:55:00+09:00", "audio", "no_video_received", 100),
        (APP, "2026-03-10T23:55:00+09:00", "hd", "camera", 100),
        (APP, "2026-03-11T00:00:00+09:00", "audio", "alone_in_room", 80),
        (APP, "2026-03-11T00:00:00+09:00", "audio", "no_video_received", 20),
        (APP, "2026-03-11T00:00:00+09:00", "hd", "camera", 20),
    ]
    assert acme.usage(NEXT, by="day", unit="minutes") == [(APP, NEXT, "audio", 2), (APP, NEXT, "hd", 1)]


def test_users_are_those_that_the_bill_knew(acme: Acme) -> None:
    """An event that comes after the bill changes no view of the billed day."""
    acme.ingest((0, "r", "a", "enter", {}), (60, "r", "a", "exit", {}), day=DAY)
    acme.bill(DAY)
    acme.ingest((10, "r", "late", "enter", {}), (20, "r", "late", "exit", {}), day=DAY)
    assert acme.usage(DAY, by="user") == [(APP, DAY, "r", "a", "audio", "alone_in_room", 60)]


def test_users_are_metered_by_the_policy_that_billed_the_day(acme: Acme) -> None:
    events = [
        (0, "r", "a", "enter", {}),
        (0, "r", "b", "enter", {}),
        (0, "r", "a", "video_on", VIDEO),
        (30, "r", "a", "exit", {}),
        (30, "r", "b", "exit", {}),
    ]
    acme.ingest(*events, day=DAY)
    acme.bill(DAY)
    acme.give("trtc-intl-2021")
    acme.ingest(*events, day=NEXT)
    acme.bill(NEXT)
    assert [row[1:5:3] for row in acme.usage(DAY, NEXT, by="user") if row[3] == "a"] == [(DAY, "hd"), (NEXT, "sd")]


def test_a_view_has_one_app_and_billed_days_only(acme: Acme) -> None:
    for app in (1, 2):
        acme.ingest((0, "r", f"u{app}", "enter", {}), (60, "r", f"u{app}", "exit", {}), day=DAY, app=app)
        acme.ingest((0, "r", f"u{app}", "enter", {}), (60, "r", f"u{app}", "exit", {}), day=NEXT, app=app)
    acme.bill(DAY)
    assert acme.usage(DAY, NEXT, by="user", app=2) == [(2, DAY, "r", "u2", "audio", "alone_in_room", 60)]
    assert acme.usage(DAY, NEXT, by="day", app=2) == [(2, DAY, "audio", "alone_in_room", 60)]


def test_a_window_that_goes_on_with_a_started_minute_adds_none(acme: Acme) -> None:
    acme.ingest(
        *((second, "r", "a", kind, {}) for second, kind in ((0, "enter"), (30, "exit"), (300, "enter"), (320, "exit"))),
        *((second, "r", "a", kind, {}) for second, kind in ((600, "enter"), (640, "exit"))),
        day=DAY,
    )
    acme.bill(DAY)
    assert [row[3] for row in acme.usage(DAY, by="window", unit="minutes")] == [1, 0, 1]


def test_windows_keep_their_order_where_clocks_go_back(tmp_path: Path) -> None:
    acme, day = Acme(tmp_path, "America/New_York"), date(2026, 11, 1)
    acme.ingest((3_600, "r", "a", "enter", {}), (4 * 3_600, "r", "a", "exit", {}), day=day)
    acme.bill(day)
    starts = [datetime.fromisoformat(row[1]).astimezone(UTC) for row in acme.usage(day)]
    assert starts == [starts[0] + timedelta(minutes=5 * number) for number in range(36)]


def test_seconds_that_do_not_sum_to_the_bill_stop_the_program(acme: Acme) -> None:
    acme.ingest((0, "r", "a", "enter", {}), (60, "r", "a", "exit", {}), day=DAY)
    acme.bill(DAY)
    with sqlite3.connect(acme.home.directory / "billing.db") as books:
        books.execute("DROP TRIGGER usage_refuses_update")
        books.execute("UPDATE usage SET seconds = seconds + 1")
    books.close()
    with pytest.raises(AssertionError, match="billed were"):
        acme.usage(DAY, by="room")
