"""Rooms and explanations in the console, against what the commands print."""

import csv
import html
import json
import re
from decimal import Decimal
from io import BytesIO, StringIO
from typing import Any

import openpyxl
import pytest

from billing.home import Home
from billing.ledger.database import open_database
from billing.reports.day_rooms import day_rooms
from tests.commands import Commands
from tests.web.browsing import logged_in, text_of
from tests.web.console_home import CLASSROOM, CORRECTED_DAY, ROOM, ROOM_DAY
from tests.web.site import Site

ACADEMY = f"account=academy&app={CLASSROOM}&day={ROOM_DAY}"
OF_ROOM = f"{ACADEMY}&room={ROOM}"


def explained(run: Commands, *words: str) -> dict[str, Any]:
    """What the command prints."""
    done = run(f"explain academy --format json {' '.join(words)}")
    assert done.exit_code == 0, done.output
    (row,) = json.loads(done.stdout)
    return dict(row)


def test_the_rooms_of_a_day_have_the_shares_that_explain_gives_them(console_home: Commands) -> None:
    home, engine = Home.at(console_home.home), open_database(console_home.home / "billing.db")
    every = explained(console_home, f"--app {CLASSROOM} --day {CORRECTED_DAY}")
    sums: dict[str, list[Any]] = {}
    for row in every["rooms"]:
        known = sums.setdefault(row["room_id"], [0, Decimal(0)])
        known[0] += row["seconds"]
        known[1] += Decimal(str(row["share"]))
    found = day_rooms(home, engine, CLASSROOM, CORRECTED_DAY)
    assert {each.room_id: [each.total, each.share] for each in found.rooms} == sums
    assert [each.total for each in found.rooms] == sorted((each.total for each in found.rooms), reverse=True)
    assert (found.found, found.seconds) == (len(sums), sum(seconds for seconds, _ in sums.values()))
    assert found.amount == Decimal(str(every["amount"])) == sum(share for _, share in sums.values())
    second = day_rooms(home, engine, CLASSROOM, CORRECTED_DAY, skip=1, limit=1)
    assert (second.rooms, second.found) == ([found.rooms[1]], found.found)
    assert [each.room_id for each in day_rooms(home, engine, CLASSROOM, CORRECTED_DAY, wanted="MATH").rooms] == [ROOM]


def test_a_day_is_shown_as_an_earlier_run_knew_it(console_home: Commands) -> None:
    home, engine = Home.at(console_home.home), open_database(console_home.home / "billing.db")
    every = explained(console_home, f"--app {CLASSROOM} --day {CORRECTED_DAY}")
    before = min(row["run"] for row in every["charges"])
    names = [
        {each.room_id for each in day_rooms(home, engine, CLASSROOM, CORRECTED_DAY, run=run).rooms}
        for run in (before, None)
    ]
    assert names[1] - names[0] == {"late-room"}


def test_a_room_shows_every_stretch_with_its_streams_and_the_event_that_began_it(console: Site) -> None:
    page = logged_in(console).get(f"/console/room?{OF_ROOM}")
    found = explained(console.commands, f"--app {CLASSROOM} --day {ROOM_DAY} --room {ROOM}")
    rows = re.findall(r"<tr>(.*?)</tr>", page.text.partition('id="stretches"')[2], flags=re.DOTALL)[1:]
    assert len(rows) == len(found["intervals"]) > 10
    for row, stretch in zip(rows, found["intervals"], strict=True):
        text = html.unescape(re.sub(r"<[^>]+>", " ", row))
        streams = [
            f"{each['stream']} {each['width']}\N{MULTIPLICATION SIGN}{each['height']}" for each in stretch["streams"]
        ]
        begins = stretch["begins"]
        name = str(begins["file"]).rpartition("/")[2]
        for part in (
            *(stretch["user_id"], stretch["start"][11:19], stretch["end"][11:19], f"{stretch['seconds']:,}"),
            *(*streams, begins["type"], begins["user_id"], f"{name}, line {begins['line']}"),
        ):
            assert part in text, (part, text)
    titles = re.findall(r"<title>(.*?)</title>", page.text.partition('class="chart lanes"')[2].partition("</svg>")[0])
    assert len(titles) == len(found["intervals"])


def test_a_room_shows_its_findings_as_marks_and_in_a_table(console: Site) -> None:
    page = logged_in(console).get(f"/console/room?{OF_ROOM}")
    chart = re.findall(r'<svg class="chart marks".*?</svg></svg>', page.text, flags=re.DOTALL)[0]
    assert len(re.findall('class="mark"', chart)) == 1
    assert "10:34:00 chie outside_stay" in html.unescape(chart)
    assert "10:34:00 chie outside_stay" in text_of(page)


def test_customers_see_names_of_files_and_not_where_they_are_kept(console: Site) -> None:
    client = logged_in(console, "read", "academy")
    for path in (f"/console/room?{OF_ROOM}", f"/console/explain?{OF_ROOM}"):
        page = client.get(path)
        assert "events.ndjson, line " in page.text
        assert "/events.ndjson" not in page.text
    rows = client.get(f"/console/explain?{OF_ROOM}&format=csv").text
    assert "events.ndjson" in rows
    assert "/events.ndjson" not in rows


def test_every_step_of_an_explanation_says_its_sum_and_that_it_agrees(console: Site) -> None:
    page = logged_in(console).get(f"/console/explain?{OF_ROOM}")
    found = explained(console.commands, f"--app {CLASSROOM} --day {ROOM_DAY} --room {ROOM}")
    steps = [
        " ".join(html.unescape(re.sub(r"<[^>]+>", " ", each)).split())
        for each in re.findall(r'<p class="sum">.*?</p>', page.text, flags=re.DOTALL)
    ]
    seconds = f"{sum(row['seconds'] for row in found['charges']):,} s"
    assert [each.rpartition(" agrees")[0] != "" for each in steps] == [True, True, True, False, True]
    assert [each.startswith(seconds) for each in steps[:3]] == [True] * 3
    assert steps[3].startswith(f"{found['seconds']:,} s")
    assert "a part of the step before" in steps[3]
    assert steps[4].startswith(f"{found['seconds']:,} s")


def test_a_link_of_each_step_leads_one_step_on(console: Site) -> None:
    client = logged_in(console)
    page = client.get("/console/explain?account=academy&month=2026-03")
    for mark in ("day=2026-03-12", "window=2026-03-12", "room=math", "user=anna"):
        links = [html.unescape(each) for each in re.findall(r'href="(/console/explain\?[^"]+)"', page.text)]
        wanted = [each for each in links if mark in each and ("day=" in mark or f"app={CLASSROOM}" in each)]
        if mark.startswith("day"):
            wanted = [each for each in wanted if f"app={CLASSROOM}" in each]
        if mark.startswith("room"):
            wanted = [each.replace("window", "w") for each in wanted]
        assert wanted, mark
        page = client.get(wanted[0])
        assert page.status_code == 200, wanted[0]
        if mark.startswith("window"):
            page = client.get(f"/console/explain?{ACADEMY}")
    assert "Events that begin and end them" in text_of(page)


def test_an_explanation_is_downloaded_as_csv_and_as_a_workbook(console: Site) -> None:
    client = logged_in(console)
    found = explained(console.commands, f"--app {CLASSROOM} --day {ROOM_DAY} --room {ROOM}")
    rows = list(csv.DictReader(StringIO(client.get(f"/console/explain?{OF_ROOM}&format=csv").text)))
    assert [int(row["seconds"]) for row in rows] == [row["seconds"] for row in found["intervals"]]
    book = openpyxl.load_workbook(BytesIO(client.get(f"/console/explain?{OF_ROOM}&format=xlsx").content))
    assert len(book.sheetnames) > 4


@pytest.mark.parametrize(
    ("path", "status", "line"),
    [
        (f"/console/room?{ACADEMY}&room=nowhere", 404, "had no stay on 2026-03-12"),
        ("/console/room?account=academy&day=2026-03-30&room=math", 200, "not settled yet"),
        (f"/console/rooms?{ACADEMY}&q=nowhere", 200, "No room has such a name"),
        (f"/console/explain?{ACADEMY}&room=nowhere", 404, "unknown room"),
        (f"/console/explain?{OF_ROOM}&user=nobody", 404, "unknown user"),
        (f"/console/explain?{OF_ROOM}&at=25:00", 400, "25:00"),
        ("/console/explain?account=academy&day=2026-03-30", 200, "Nothing is billed here"),
        (f"/console/explain?{ACADEMY}&item=8k", 400, "unknown item"),
        ("/console/explain?account=academy&month=2026-03&room=math", 404, "choose the day"),
        ("/console/explain?account=academy&app=1400000003&month=2026-03", 404, "there is no app"),
    ],
)
def test_what_is_not_there_is_said_in_one_line(console: Site, path: str, status: int, line: str) -> None:
    answer = logged_in(console).get(path)
    assert (answer.status_code, line in text_of(answer)) == (status, True), text_of(answer)
