"""A home that has something on every screen of the console: two accounts, two months, corrections, packages, documents,
payments, open findings and rows in quarantine. The events are drawn with a fixed seed."""

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from tests.commands import Commands
from tests.documents_home import ok, rows

TOKYO = ZoneInfo("Asia/Tokyo")
CLASSROOM, LECTURES, CLINIC = 1400000001, 1400000002, 1400000003
NOW = "2026-03-22T15:40:00+09:00"
PARTIAL_DAY = date(2026, 3, 22)
CORRECTED_DAY = date(2026, 3, 12)
ROOM, ROOM_DAY = "math", date(2026, 3, 12)

CATALOG = """
[[seller]]
id = "rooms"
name = "Example Rooms Ltd."
address = "1 Signal Street, Singapore"
timezone = "Asia/Tokyo"
terms_days = 30
bank = "Example Bank, account 12345678"
invoice = { prefix = "R" }
credit_note = { prefix = "RC" }

[[tax]]
id = "jp-10"
[[tax.version]]
valid_from = 2019-10-01
category = "S"
rate = "10"
rounding = "down"
text = "10 %"

[[account]]
id = "academy"
name = "Academy K.K."
address = "2-3-4 Kanda, Tokyo"
currency = "USD"
timezone = "Asia/Tokyo"
policy = "trtc-intl"
free_minutes = 2000
tax = "jp-10"

[[app]]
id = 1400000001
account = "academy"
name = "Classroom"

[[app]]
id = 1400000002
account = "academy"
name = "Lectures"

[[package]]
id = "lectures-year"
account = "academy"
app = 1400000002
minutes = 250000
purchased_at = "2026-02-16T10:00:00+09:00"
price = "227.00"
charge = "invoice"

[[package]]
id = "classroom-month"
account = "academy"
app = 1400000001
minutes = 100000
purchased_at = "2026-03-03T10:00:00+09:00"
price = "94.00"
term = "month"
charge = "invoice"

[[account]]
id = "clinic"
name = "Clinic Ltd."
currency = "USD"
timezone = "Asia/Tokyo"
policy = "trtc-intl-2021"

[[app]]
id = 1400000003
account = "clinic"
name = "Consultations"

[[contract]]
account = "clinic"
valid_from = 2026-01-01
discount = "0.9"
"""

_SIZES = ((320, 180), (640, 360), (1280, 720), (1920, 1080))
_NAMES = ("anna", "ben", "chie", "dai", "emi", "fumio", "goro", "hana")


def build(folder: Path, first: date = date(2026, 2, 24)) -> Commands:
    """The home at `NOW`: events since `first`, billed through the day before, the present day refreshed."""
    run = Commands(home=folder / "home", now="2026-03-01T09:00:00+09:00")
    catalog = folder / "catalog.toml"
    catalog.write_text(CATALOG, encoding="utf-8")
    ok(run, "init")
    ok(run, f"catalog apply {catalog}")
    _ingest(run, folder, [row for day in _days(first, date(2026, 2, 28)) for row in _day(day)])
    ok(run, "nightly")
    for account in ("academy", "clinic"):
        ok(run, f"invoice finalize {account} --month 2026-02")
    for number, document in enumerate(rows(run, "invoice list clinic")):
        ok(run, f"payment add clinic {document['total']} --id BANK-{number} --reference {document['number']}")
    ok(run, "payment add academy 20.00 --id BANK-7")

    run = replace(run, now="2026-03-21T09:00:00+09:00")
    _ingest(run, folder, [row for day in _days(date(2026, 3, 1), date(2026, 3, 20)) for row in _day(day)])
    ok(run, "nightly")
    run = replace(run, now="2026-03-22T03:00:00+09:00")
    _ingest(run, folder, [*_late(), *_day(date(2026, 3, 21))])
    ok(run, "nightly")
    run = replace(run, now=NOW)
    until = datetime(2026, 3, 22, 15, 30, tzinfo=TOKYO).isoformat()
    _ingest(run, folder, [row for row in _day(PARTIAL_DAY) if str(row["at"]) <= until])
    ok(run, "refresh")
    (folder / "broken.ndjson").write_text("".join(_broken()), encoding="utf-8")
    ok(run, f"ingest {folder / 'broken.ndjson'}")
    return run


def _days(first: date, last: date) -> Iterator[date]:
    day = first
    while day <= last:
        yield day
        day += timedelta(days=1)


def _day(day: date) -> list[dict[str, object]]:
    """The rooms of a day: more on weekdays, most in the late morning and the early evening."""
    draw = random.Random(day.toordinal())
    weekend = day.weekday() >= 5
    found: list[dict[str, object]] = []
    if day == ROOM_DAY:
        found += _class(day)
    for app, rooms, hours in ((CLASSROOM, 9, (9, 20)), (LECTURES, 3, (10, 19)), (CLINIC, 4, (8, 17))):
        for room in range(rooms // (3 if weekend else 1)):
            begins = datetime(
                day.year, day.month, day.day, draw.randint(*hours), draw.choice((0, 15, 30)), tzinfo=TOKYO
            )
            users = draw.sample(_NAMES, draw.randint(2, 6 if app != CLINIC else 2))
            found += _room(draw, app, f"room-{room + 1}", begins, users, minutes=draw.randint(25, 80))
    return sorted(found, key=lambda row: str(row["at"]))


def _room(
    draw: random.Random, app: int, room: str, begins: datetime, users: list[str], minutes: int
) -> Iterator[dict[str, object]]:
    host = users[0]
    for user in users:
        enter = begins + timedelta(seconds=draw.randint(0, 240))
        leave = begins + timedelta(minutes=minutes, seconds=draw.randint(0, 120))
        who = {"app_id": app, "room_id": room, "user_id": user}
        yield {**who, "at": enter.isoformat(), "type": "enter"}
        if user != host or draw.random() < 0.5:
            width, height = draw.choice(_SIZES)
            video = {"stream": f"{host if user != host else users[-1]}/camera", "width": width, "height": height}
            yield {**who, "at": (enter + timedelta(seconds=20)).isoformat(), "type": "video_on", **video}
            if draw.random() < 0.4:
                screen = {"stream": f"{host}/screen", "width": 1920, "height": 1080}
                yield {**who, "at": (enter + timedelta(minutes=8)).isoformat(), "type": "video_on", **screen}
        yield {**who, "at": leave.isoformat(), "type": "exit"}


def _class(day: date) -> list[dict[str, object]]:
    """A class in which everything happens once."""
    steps = (
        ("10:00:00", "teacher", "enter", None),
        ("10:01:00", "anna", "enter", None),
        ("10:01:05", "anna", "video_on", ("teacher/camera", 640, 360)),
        ("10:02:00", "ben", "enter", None),
        ("10:02:10", "teacher", "video_on", ("anna/camera", 1280, 720)),
        ("10:02:20", "ben", "video_on", ("teacher/camera", 640, 360)),
        ("10:12:00", "anna", "video_on", ("teacher/screen", 1920, 1080)),
        ("10:12:00", "ben", "video_on", ("teacher/screen", 1920, 1080)),
        ("10:20:00", "ben", "disconnect", None),
        ("10:20:50", "ben", "reconnect", None),
        ("10:31:00", "anna", "video_off", ("teacher/screen", None, None)),
        ("10:34:00", "chie", "exit", None),
        ("10:40:00", "ben", "exit", None),
        ("10:41:00", "anna", "exit", None),
        ("10:46:00", "teacher", "exit", None),
    )
    return [_event(day, *step) for step in steps]


def _event(
    day: date, clock: str, user: str, kind: str, video: tuple[str, int | None, int | None] | None
) -> dict[str, object]:
    row: dict[str, object] = {
        "app_id": CLASSROOM,
        "room_id": ROOM,
        "user_id": user,
        "at": f"{day}T{clock}+09:00",
        "type": kind,
    }
    if video:
        row["stream"] = video[0]
        if video[1]:
            row |= {"width": video[1], "height": video[2]}
    return row


def _late() -> Iterator[dict[str, object]]:
    """A room of a settled day whose events came late: it is corrected."""
    draw = random.Random(1)
    begins = datetime(2026, 3, 12, 18, 0, tzinfo=TOKYO)
    yield from _room(draw, CLASSROOM, "late-room", begins, ["anna", "ben", "chie"], minutes=50)
    for clock, kind in (("10:43:00", "enter"), ("10:44:30", "exit")):
        yield _event(CORRECTED_DAY, clock, "dai", kind, None)


def _broken() -> Iterator[str]:
    """Rows that cannot be accepted, each for a reason of its own."""
    good = {
        "app_id": CLASSROOM,
        "room_id": "room-1",
        "user_id": "hana",
        "at": "2026-03-20T10:00:00+09:00",
        "type": "enter",
    }
    yield json.dumps({**good, "at": "2026-03-20T10:00:00"}) + "\n"
    yield json.dumps({**good, "app_id": 1400000009}) + "\n"
    yield json.dumps({**good, "type": "entre"}) + "\n"
    yield json.dumps(good)[:-12] + "\n"


def _ingest(run: Commands, folder: Path, events: list[dict[str, object]]) -> None:
    file = folder / "events.ndjson"
    file.write_text("".join(json.dumps(row) + "\n" for row in events), encoding="utf-8")
    ok(run, f"ingest {file}")
