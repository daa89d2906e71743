"""The picture of a room: each stretch in its place, told by colour, height and hatch, without anything to load."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree
from zoneinfo import ZoneInfo

import pytest

from billing.home import Home
from billing.ledger.database import open_database
from billing.metering.intervals import Stream
from billing.periods import parse_day
from billing.reports.explain import Explanation, explain
from billing.reports.explained_rooms import Boundary, ExplainedInterval
from billing.reports.question import Question
from billing.reports.room_lanes import LANES_STYLE, lane_legend, room_lanes, stretch_title
from tests.commands import Commands
from tests.sample_home import APP

SVG = "{http://www.w3.org/2000/svg}"
ZONE = ZoneInfo("Asia/Tokyo")
TEN = 1773104400  # 2026-03-10T10:00:00+09:00


def stretch(start: int, end: int, **changes: object) -> ExplainedInterval:
    """A stretch of anna's, in seconds after ten."""
    fields: dict[str, object] = {
        "room_id": "math",
        "user_id": "anna",
        "seconds": end - start,
        "item": "hd",
        "reason": "camera",
        "area": 230_400,
        "streams": (Stream("t/camera", 640, 360),),
        "begins": Boundary(cause="event", type="video_on", user_id="anna", event_id="e-1", file="e.ndjson", line=3),
        "ends": Boundary(cause="day_end"),
    }
    return ExplainedInterval(start=TEN + start, end=TEN + end, **{**fields, **changes})  # type: ignore[arg-type]


def drawn(*stretches: ExplainedInterval, **options: object) -> ElementTree.Element:
    return ElementTree.fromstring(room_lanes(stretches, ZONE, label="Room", **options))  # type: ignore[arg-type]  # noqa: S314 - ours


def bars(picture: ElementTree.Element) -> list[dict[str, str]]:
    """The bars themselves, without their hatches."""
    return [each.attrib for each in picture.iter(f"{SVG}rect") if each.get("class", "").startswith("fill-")]


def texts(picture: ElementTree.Element, kind: str) -> list[str]:
    return [each.text or "" for each in picture.iter(f"{SVG}text") if each.get("class") == kind]


@pytest.fixture
def math(billed: Commands) -> Explanation:
    """The class of the sample."""
    question = Question(account_id="academy", app_id=APP, day=parse_day("2026-03-10"), room_id="math")
    home = Home.at(billed.home)
    return explain(home, open_database(home.database), question)


def test_a_stretch_stands_where_its_time_is() -> None:
    found = bars(drawn(stretch(0, 300), stretch(300, 400, item="2k", reason="screen_share"), stretch(600, 800)))
    assert [(each["x"], each["width"]) for each in found] == [("0%", "37.5%"), ("37.5%", "12.5%"), ("75%", "25%")]
    assert len({each["y"] for each in found if each["class"] == "fill-hd"}) == 1
    cut = bars(drawn(stretch(0, 300), stretch(900, 950), span=(TEN + 150, TEN + 450)))
    assert [(each["x"], each["width"]) for each in cut] == [("0%", "50%")]
    assert room_lanes([stretch(0, 300)], ZONE, label="Room", span=(TEN + 300, TEN + 600)) == ""


def test_every_item_and_reason_differs_without_its_colour() -> None:
    items = ("audio", "sd", "hd", "fhd", "2k", "4k")
    heights = [bars(drawn(stretch(0, 9, item=item)))[0]["height"] for item in items]
    assert [int(height) for height in heights] == sorted({int(height) for height in heights})
    hatches = []
    for reason in ("camera", "screen_share", "no_video_received", "disconnect_grace", "alone_in_room"):
        picture = drawn(stretch(0, 9, reason=reason))
        fills = [each.get("fill", "") for each in picture.iter(f"{SVG}rect") if "fill" in each.attrib]
        hatches.append(fills[0] if fills else "")
        defined = {f"url(#{each.get('id')})" for each in picture.iter(f"{SVG}pattern")}
        assert set(fills) <= defined
    assert len(set(hatches)) == 5
    for item in items:
        assert f".fill-{item} " in LANES_STYLE


def test_each_user_has_a_lane_and_streams_side_by_side_have_tracks() -> None:
    camera, screen = (stretch(0, 90, streams=(Stream(name, 640, 360),)) for name in ("t/camera", "t/screen"))
    found = drawn(camera, screen, stretch(90, 120), stretch(0, 120, user_id="ben"))
    assert texts(found, "lane-name") == ["anna", "ben"]
    rows = [int(each["y"]) for each in bars(found)]
    assert rows[0] == rows[1] < rows[2] < rows[3]
    assert len(texts(drawn(*(stretch(0, 9, user_id=f"u{number}") for number in range(40))), "lane-name")) == 40
    assert int(found.attrib["height"]) > rows[3]


@pytest.mark.parametrize(
    ("start", "seconds", "times"),
    [
        (0, 990, ["10:00", "10:05", "10:10", "10:15"]),
        (30, 20, ["10:00:30", "10:00:35", "10:00:40", "10:00:45"]),
        (600, 20_000, ["11:00", "12:00", "13:00", "14:00", "15:00"]),
        (-36_000, 86_400, ["00:00", "03:00", "06:00", "09:00", "12:00", "15:00", "18:00", "21:00"]),
    ],
)
def test_the_axis_has_whole_times_of_the_day(start: int, seconds: int, times: list[str]) -> None:
    assert texts(drawn(stretch(start, start + seconds)), "tick") == times


def test_a_title_says_what_was_received_and_why_it_begins_and_ends() -> None:
    grace = Boundary(cause="grace_over", type="disconnect", user_id="anna", event_id="e-2")
    screen = Stream("t/screen", 1920, 1080)
    found = stretch(0, 300, streams=(Stream("t/camera", 640, 360), screen), area=2_304_000, item="2k", ends=grace)
    assert stretch_title(found, ZONE) == (
        "10:00:00 to 10:05:00, 300 s, 2k camera: t/camera 640x360 + t/screen 1920x1080 = 2,304,000; "
        "begins with video_on of anna (e-1, e.ndjson line 3), ends with grace_over after disconnect of anna (e-2)"
    )
    titles = [each.text for each in drawn(found).iter(f"{SVG}title")]
    assert titles == [stretch_title(found, ZONE)]


def test_names_cannot_break_out_of_the_picture() -> None:
    name = "</text><script>alert(1)</script>\"'&"
    found = drawn(stretch(0, 9, user_id=name, streams=(Stream(name, 1, 1),)), link=lambda _: f"/x?user={name}")
    assert texts(found, "lane-name") == [name]
    assert [each.get("href") for each in found.iter(f"{SVG}a")] == [f"/x?user={name}"]
    assert found.get("role") == "group"
    assert not list(found.iter(f"{SVG}script"))


def test_the_picture_has_nothing_that_a_strict_policy_refuses(math: Explanation) -> None:
    picture = room_lanes(math.intervals or [], math.zone, label="Room math")
    assert not re.search(r"\bstyle=|<style|<script|\bon\w+=|href=|https?://(?!www\.w3\.org/2000/svg)", picture)
    assert "<defs>" not in room_lanes(math.intervals or [], math.zone, label="Room math", defines=False)
    names = [name for name, _, _ in lane_legend(math.intervals or [])]
    assert names == [
        *("audio", "hd", "fhd", "2k"),
        *("alone_in_room", "disconnect_grace", "no_video_received", "screen_share"),
    ]


class _Page(HTMLParser):
    """Tags, and the text of cells by table."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, _attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in ("meta",):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data.strip())


def test_the_page_is_one_file_with_the_lanes_and_every_table(billed: Commands, tmp_path: Path) -> None:
    file = tmp_path / "math.html"
    line = f"explain academy --app {APP} --day 2026-03-10 --room math --format html"
    assert billed(f"{line} -o {file}").stderr == f"written: {file}\n"
    text = file.read_text(encoding="utf-8")
    assert billed(line).stdout == text
    page = _Page(text)
    assert page.open == []
    assert "script" not in page.tags
    assert not re.search(r"src=|href=|url\((?!#)|@import|https?://(?!www\.w3\.org/2000/svg)", text)
    assert page.tags.count("table") == 8
    assert {"4,030 seconds; the share of these rooms is 0.22088514 USD", "anna", "10:07:00", "2,304,000"} <= set(
        page.words
    )
    assert [word for word in page.words if word == "0.22173"] == ["0.22173"] * 3


def test_a_page_of_several_rooms_defines_its_hatches_once(billed: Commands) -> None:
    for name in ("a", "b"):
        (billed.home.parent / f"{name}.ndjson").write_text(
            "".join(
                f'{{"app_id": {APP}, "at": "2026-03-11T10:00:{second:02}+09:00", "room_id": "{name}", "user_id": "u", '
                f'"type": "{kind}"}}\n'
                for second, kind in ((0, "enter"), (30, "exit"))
            )
        )
    later = Commands(home=billed.home, now="2026-03-12T09:00:00+09:00")
    files = " ".join(str(billed.home.parent / f"{name}.ndjson") for name in ("a", "b"))
    for line in (f"ingest {files}", "nightly"):
        assert later(line).exit_code == 0
    text = later("explain academy --day 2026-03-11 --user u --format html").stdout
    assert text.count("<svg xmlns") == 2
    assert text.count('id="lane-alone_in_room"') == 1


def test_a_file_goes_only_where_it_may(billed: Commands, tmp_path: Path) -> None:
    def refused(options: str) -> Iterator[str]:
        done = billed(f"explain academy --month 2026-03 {options}")
        yield f"{done.exit_code} {done.stderr}"

    (inside,) = refused(f"--format html -o {billed.home}/x.html")
    assert inside.startswith("1 ")
    (other,) = refused(f"--format csv -o {tmp_path}/x.csv")
    assert other.startswith("2 ")
    assert "> FILE" in other
    (missing,) = refused(f"--format xlsx -o {tmp_path}/none/x.xlsx")
    assert missing.startswith("1 ")
