"""Months with something in them that should be looked at: it is found, and the closing of the month waits for it."""

import json
import shutil
import sqlite3
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.commands import Commands
from tests.sample_home import APP, contents, rows

pytestmark = pytest.mark.thorough

MONTH = date(2026, 3, 1)
CHECK = "check academy --month 2026-03"
FINALIZE = "invoice finalize academy --month 2026-03"


@pytest.fixture
def month(homes: Path, tmp_path: Path) -> "Month":
    return Month(
        Commands(home=Path(shutil.copytree(homes / "new", tmp_path / "home")), now="2026-04-20T12:00:00+09:00")
    )


class Month:
    """A home in April, into which stays are put."""

    def __init__(self, commands: Commands) -> None:
        self.commands = commands
        self.files = 0

    def ingest(self, events: Iterable[dict[str, Any]], *more: str) -> None:
        self.files += 1
        file = self.commands.home.parent / f"{self.files}.ndjson"
        file.write_text("".join(json.dumps({"app_id": APP, **event}) + "\n" for event in events) + "".join(more))
        assert self.commands(f"ingest {file}").exit_code == 0 or more

    def settle(self) -> None:
        done = self.commands("nightly")
        assert done.exit_code == 0, done.output

    def found(self, check: str) -> list[dict[str, Any]]:
        return [row for row in rows(self.commands, CHECK) if row["id"].startswith(f"{check}-academy-2026-03-")]


def stay(day: date, begin: str, seconds: int, *, user: str = "u", room: str = "r") -> list[dict[str, Any]]:
    """Somebody enters and leaves; the clock is that of the account, in Japan."""
    entered = datetime.fromisoformat(f"{day}T{begin}+09:00")
    base = {"room_id": room, "user_id": user}
    times = (entered, entered + timedelta(seconds=seconds))
    return [{**base, "type": kind, "at": at.isoformat()} for kind, at in zip(("enter", "exit"), times, strict=True)]


def lesson(day: date, begin: str = "10:00:00", seconds: int = 3600, *, room: str = "r") -> list[dict[str, Any]]:
    """Two people in a room, who come and go a minute apart."""
    return [
        *stay(day, begin, seconds, user="anna", room=room),
        *stay(day, f"{begin[:3]}01:00", seconds, user="ben", room=room),
    ]


def watched(room: str, *, width: int = 1280) -> list[dict[str, Any]]:
    """An hour of anna in a room, in which she gets a camera."""
    begins = {"room_id": room, "user_id": "anna", "type": "video_on", "stream": "b/camera", "width": width}
    return [
        *stay(date(2026, 3, 5), "10:00:00", 3600, user="anna", room=room),
        begins | {"height": 720, "at": "2026-03-05T10:00:30+09:00"},
    ]


def days(first: int, last: int) -> list[date]:
    return [date(2026, 3, day) for day in range(first, last + 1)]


def test_a_quiet_month_has_no_findings_and_is_closed(month: Month) -> None:
    month.ingest(event for day in days(1, 31) for event in lesson(day))
    month.settle()
    assert rows(month.commands, CHECK) == []
    assert "nothing stands out" in month.commands(CHECK).output
    assert month.commands(FINALIZE).exit_code == 0


def test_stays_that_several_rooms_report_hold_the_month_until_somebody_answers(month: Month) -> None:
    copies = [event for room in ("original", "copy1", "copy2") for event in watched(room)]
    month.ingest([event for day in days(1, 31) if day.day != 5 for event in lesson(day)] + copies)
    month.settle()
    (found,) = month.found("mirrored")
    assert (found["severity"], found["value"], found["subject"]) == ("hold", 7200, f"app {APP}, 2026-03-05")
    assert found["acked_by"] is found["note"] is None
    before = contents(month.commands.home)
    waits = month.commands(FINALIZE)
    assert waits.exit_code == 1
    assert "1 finding waits for an answer: `billing check academy --month 2026-03`" in waits.output
    assert month.commands(f"{FINALIZE} --dry-run").exit_code == 1
    assert contents(month.commands.home) == before
    (answered,) = rows(month.commands, f"check ack {found['id']} --by mia --note 'a recorder in three rooms'")
    assert answered == {**found, "acked_by": "mia", "note": "a recorder in three rooms"}
    assert month.found("mirrored") == [answered]
    assert month.commands(FINALIZE).exit_code == 0


@pytest.mark.parametrize("width", [0, 640])
def test_two_rooms_at_once_with_different_content_hold_nothing(month: Month, width: int) -> None:
    two = [watched("r"), watched("other", width=width)] if width else [lesson(date(2026, 3, 5), room=r) for r in "ab"]
    month.ingest(event for events in two for event in events)
    month.settle()
    assert {found["severity"] for found in month.found("mirrored")} == {"warn"}
    assert month.commands(FINALIZE).exit_code == 0


def test_the_table_shows_ids_whole_and_says_what_was_found(month: Month) -> None:
    month.ingest(event for room in ("r", "copy") for event in watched(room))
    month.settle()
    (found,) = month.found("mirrored")
    shown = month.commands(CHECK)
    assert max(map(len, shown.stdout.splitlines())) <= 80
    assert found["id"] in shown.stdout
    assert f"{found['subject']}: {found['detail']}" in shown.stderr


def test_an_answer_is_for_what_was_seen(month: Month) -> None:
    month.ingest(event for room in ("r", "copy") for event in watched(room))
    month.settle()
    (found,) = month.found("mirrored")
    assert month.commands(f"check ack {found['id']} --by mia --note seen").exit_code == 0
    month.ingest(watched("third"))
    month.settle()
    (changed,) = month.found("mirrored")
    assert (changed["value"], changed["acked_by"]) == (7200, None)
    assert changed["id"] != found["id"]
    assert month.commands(FINALIZE).exit_code == 1
    gone = month.commands(f"check ack {found['id']} --by mia --note again")
    assert gone.exit_code == 1
    assert "is not found (any more)" in gone.output


def test_the_first_answer_stands(month: Month) -> None:
    month.ingest(event for room in ("r", "copy") for event in watched(room))
    month.settle()
    (found,) = month.found("mirrored")
    same = f"check ack {found['id']} --by mia --note seen"
    assert month.commands(same).exit_code == month.commands(same).exit_code == 0
    other = month.commands(f"check ack {found['id']} --by ben --note other")
    assert other.exit_code == 1
    assert "is answered by mia" in other.output
    assert month.found("mirrored")[0]["acked_by"] == "mia"


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("check ack nonsense --by mia --note x", 2, "is not the id of a finding"),
        ("check ack alone-academy-2026-03-00000000 --by mia --note x", 1, "is not found (any more)"),
        ("check ack alone-nobody-2026-03-00000000 --by mia --note x", 2, "nobody"),
        ("check ack alone-academy-2026-03-00000000 --by mia --note ' '", 2, "not empty"),
        ("check ack alone-academy-2026-03-00000000 --by mia", 2, "--note"),
        ("check nobody --month 2026-03", 2, "nobody"),
        ("check academy --month 2026-13", 2, "2026-13"),
        ("check academy", 2, "month"),
    ],
)
def test_what_is_asked_wrongly_is_said_in_a_line(month: Month, line: str, code: int, said: str) -> None:
    before = contents(month.commands.home)
    done = month.commands(line)
    assert (done.exit_code, said in done.stderr) == (code, True), done.output
    assert "Traceback" not in done.output
    assert contents(month.commands.home) == before


def test_options_may_stand_before_the_account(month: Month) -> None:
    assert month.commands("check --month 2026-03 academy").exit_code == 0
    assert month.commands("check --help").exit_code == 0


def test_somebody_alone_for_hours(month: Month) -> None:
    month.ingest(stay(date(2026, 3, 5), "08:00:00", 8 * 3600 - 1, room="short"))
    month.ingest(stay(date(2026, 3, 6), "08:00:00", 8 * 3600, room="long"))
    forgotten = stay(date(2026, 3, 9), "00:00:00", 24 * 3600, room="forgotten")
    sign = {"room_id": "forgotten", "user_id": "u", "type": "video_on", "stream": "x", "width": 64, "height": 64}
    month.ingest([*forgotten, sign | {"at": "2026-03-09T12:00:00+09:00"}])
    month.settle()
    found = month.found("alone")
    assert [(each["severity"], each["subject"].split()[-1], each["value"], each["bound"]) for each in found] == [
        ("hold", "forgotten", 86_400, 28_800),
        ("warn", "long", 28_800, 28_800),
    ]
    assert month.commands(FINALIZE).exit_code == 1


def test_a_room_that_was_used_a_thousand_hours_on_a_day(month: Month) -> None:
    people = [stay(date(2026, 3, 5), "02:00:00", 60_000, user=f"u{number}") for number in range(60)]
    month.ingest(event for events in people for event in events)
    month.settle()
    (found,) = month.found("long_room")
    assert (found["severity"], found["value"], found["bound"]) == ("warn", 3_600_000, 3_600_000)


@pytest.mark.parametrize(("people", "severity"), [(10, None), (11, "warn"), (20, "hold")])
def test_a_day_that_is_longer_than_its_weekday_was(month: Month, people: int, severity: str | None) -> None:
    weeks = [date(2026, 3, 26) - timedelta(weeks=week) for week in range(1, 6)]
    crowd = [(date(2026, 3, 26), people), *((day, 5) for day in weeks)]
    month.ingest(
        event
        for day, count in crowd
        for number in range(count)
        for event in stay(day, f"10:00:{number:02}", 2 * 3600, user=f"u{number}")
    )
    month.settle()
    found = month.found("jump")
    assert [each["severity"] for each in found] == ([severity] if severity else [])
    if found:
        assert (found[0]["value"], found[0]["bound"]) == (people * 7200, 2 * 5 * 7200)


def test_events_that_came_again_under_new_ids(month: Month) -> None:
    class_ = [event | {"event_id": f"a{number}"} for number, event in enumerate(lesson(date(2026, 3, 5)))]
    month.ingest(class_)
    month.ingest([event | {"event_id": f"b{number}"} for number, event in enumerate(class_)])
    month.settle()
    (found,) = month.found("repeated")
    assert (found["severity"], found["value"], found["bound"]) == ("warn", "0.5", "0.01")
    assert "4 of 8 events" in found["detail"]


def test_windows_that_are_missing(month: Month) -> None:
    for day in days(1, 31):
        if day.day == 17:
            month.ingest([*lesson(day, "10:00:00", 1740), *lesson(day, "11:00:00", 3480)])
        else:
            month.ingest(lesson(day, "10:00:00", 7080))
    month.settle()
    (found,) = month.found("gap")
    assert (found["subject"], found["value"]) == (f"app {APP}, 2026-03-17 10:30", 6)


def test_rows_in_quarantine(month: Month) -> None:
    month.ingest([event for day in days(1, 31) for event in lesson(day)], *(f'{{"app_id": {APP}}}\n' for _ in range(2)))
    month.settle()
    (found,) = month.found("quarantine")
    assert (found["value"], "2 rows wait" in found["detail"]) == ("0.0159", True)  # 2 of 126


def test_connections_that_are_lost_again_and_again(month: Month) -> None:
    lost = [
        {"room_id": "r", "user_id": "anna", "type": kind, "at": f"2026-03-05T10:{minute:02}:{second:02}+09:00"}
        for minute in range(10, 50, 2)
        for kind, second in (("disconnect", 0), ("reconnect", 50))
    ]
    month.ingest([*lesson(date(2026, 3, 5)), *lost])
    month.settle()
    (found,) = month.found("grace")
    assert found["value"] == "0.1389"  # 20 x 50 of 7,200 seconds


def test_much_that_was_corrected(month: Month) -> None:
    month.ingest(event for day in days(1, 15) for event in lesson(day))
    month.commands = Commands(home=month.commands.home, now="2026-03-16T12:00:00+09:00")
    month.settle()
    month.ingest(event for day in days(1, 3) for event in lesson(day, room="late"))
    for now in ("2026-03-17T12:00:00+09:00", "2026-04-20T12:00:00+09:00"):
        month.commands = Commands(home=month.commands.home, now=now)
        month.settle()
    (found,) = month.found("corrections")
    charged = rows(month.commands, "charges academy --month 2026-03")
    amounts = {
        kind: sum(abs(Decimal(row["amount"])) for row in charged if row["kind"] == kind)
        for kind in ("usage", "correction")
    }
    assert Decimal(found["amount"]) == amounts["correction"]
    assert Decimal(found["value"]) == (amounts["correction"] / amounts["usage"]).quantize(Decimal("0.0001"))


@pytest.mark.parametrize(("percent", "is_found"), [(119, False), (121, True)])
def test_a_price_that_changed_without_new_terms(month: Month, percent: int, *, is_found: bool) -> None:
    month.ingest(event for day in days(1, 31) for event in lesson(day))
    month.settle()
    books = sqlite3.connect(month.commands.home / "billing.db")
    for (trigger,) in books.execute("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'charge'"):
        books.execute(f"DROP TRIGGER {trigger}")
    books.execute(
        "UPDATE charge SET unit_price_scaled = unit_price_scaled * :percent / 100,"
        " amount_scaled = amount_scaled * :percent / 100 WHERE day >= '2026-03-16'",
        {"percent": percent},
    )
    books.commit()
    books.close()
    found = month.found("price")
    assert [each["subject"] for each in found] == ([f"app {APP}, audio, 2026-03-16"] if is_found else [])
    assert {each["severity"] for each in found} <= {"hold"}


def test_a_price_of_new_terms_is_none_to_look_at(month: Month, tmp_path: Path) -> None:
    contract = '[[contract]]\naccount = "academy"\nvalid_from = 2026-03-16\ndiscount = "0.5"\n'
    (tmp_path / "contract.toml").write_text(contract)
    assert month.commands(f"catalog apply {tmp_path}/contract.toml").exit_code == 0
    month.ingest(event for day in days(1, 31) for event in lesson(day))
    month.settle()
    assert month.found("price") == []


def test_stays_that_nobody_ended(month: Month) -> None:
    month.ingest([*lesson(date(2026, 3, 5)), *stay(date(2026, 3, 6), "10:00:00", 1, room="forgotten")[:1]])
    month.settle()
    (found,) = month.found("stale")
    assert "86400 seconds of 1 stays" in found["detail"]


def test_stays_that_nobody_ended_on_the_same_days_are_counted_each(month: Month) -> None:
    forgotten = [stay(date(2026, 3, 6), "10:00:00", 1, room=room)[0] for room in ("one", "two")]
    month.ingest([*lesson(date(2026, 3, 5)), *forgotten])
    month.settle()
    (found,) = month.found("stale")
    assert "172800 seconds of 2 stays" in found["detail"]


def test_an_app_without_use_has_nothing_to_look_at(month: Month) -> None:
    assert rows(month.commands, CHECK) == []
