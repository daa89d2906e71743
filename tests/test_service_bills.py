"""Value-added services from events to documents: recordings and mixes beside the users of a room."""

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from tests.commands import Commands
from tests.documents_home import ok
from tests.sample_home import rows
from tests.service_facts import HOUSE

APP = 1400000001
CATALOG = """
[[seller]]
id = "rooms"
name = "Rooms Ltd."
timezone = "Asia/Tokyo"

[[account]]
id = "acme"
name = "Acme K.K."
currency = "USD"
timezone = "Asia/Tokyo"
policy = "trtc-intl"
free_minutes = 0
seller = "rooms"

[[app]]
id = 1400000001
account = "acme"
name = "Classroom"

[[package]]
id = "pkg"
account = "acme"
minutes = 25000
purchased_at = "2026-03-01T00:00:00+09:00"
price = "24.00"
"""
START = datetime.fromisoformat("2026-03-10T08:00:00+09:00")
HD, FHD, BEYOND = (1280, 720), (1920, 1080), (3840, 2160)


def event(second: int, kind: str, **more: Any) -> dict[str, Any]:
    at = (START + timedelta(seconds=second)).isoformat()
    return {"app_id": APP, "room_id": "math", "at": at, "type": kind, **more}


def seen(second: int, size: tuple[int, int], **more: Any) -> dict[str, Any]:
    return event(second, "video_on", stream="anna/camera", width=size[0], height=size[1], **more)


RECORDING = {"task_id": "rec-1", "service": "recording"}
# 15,000 s audio, 3,500 s HD, 1,800 s FHD, 540 s above 2K.
PUBLISHED = [
    event(0, "task_start", **RECORDING),
    seen(15_000, HD, **RECORDING),
    seen(18_500, FHD, **RECORDING),
    seen(20_300, BEYOND, **RECORDING),
    event(20_840, "task_stop", **RECORDING),
]
# A lesson of ten minutes, in which ben sees anna.
LESSON = [
    event(0, "enter", user_id="anna"),
    event(0, "enter", user_id="ben"),
    seen(0, HD, user_id="ben"),
    event(600, "exit", user_id="anna"),
    event(600, "exit", user_id="ben"),
]


@pytest.fixture
def billing(tmp_path: Path) -> Commands:
    commands = Commands(home=tmp_path / "home", now="2026-03-11T09:00:00+09:00")
    ok(commands, "init")
    (tmp_path / "catalog.toml").write_text(CATALOG)
    ok(commands, f"catalog apply {tmp_path / 'catalog.toml'}")
    return commands


def ingest(commands: Commands, events: list[dict[str, Any]], name: str = "events") -> None:
    file = commands.home.parent / f"{name}.ndjson"
    file.write_text("".join(json.dumps(each) + "\n" for each in events))
    ok(commands, f"ingest {file}")


def charged(commands: Commands) -> dict[str, tuple[int, int, str]]:
    found = rows(commands, "charges acme --month 2026-03")
    return {row["item"]: (row["minutes"], row["payable_minutes"], row["amount"]) for row in found}


def test_the_published_recording_is_billed_beside_the_lesson_that_it_records(billing: Commands) -> None:
    """1.61652, so 1.62 USD; the package pays for the lesson and for nothing of the recording."""
    ingest(billing, PUBLISHED + LESSON)
    ok(billing, "nightly")
    assert charged(billing) == {
        "audio": (10, 0, "0"),
        "hd": (10, 0, "0"),
        "recording:audio": (250, 250, "0.3725"),
        "recording:hd": (59, 59, "0.35341"),
        "recording:fhd": (30, 30, "0.4047"),
        "recording:4k": (9, 9, "0.48591"),
    }
    usage = rows(billing, f"usage {APP} --from 2026-03-10 --to 2026-03-10 --by day")
    seconds = {row["item"]: row["seconds"] for row in usage if row["item"].startswith("recording")}
    assert seconds == {
        "recording:audio": 15_000,
        "recording:hd": 3_500,
        "recording:fhd": 1_800,
        "recording:4k": 540,
    }


def test_two_mixes_add_up_and_count_only_while_they_have_two_inputs(billing: Commands) -> None:
    """Twenty minutes of 2K cost 0.5198 USD; a mix of one stream costs nothing."""
    events = []
    for number in (1, 2):
        task = {"task_id": f"mix-{number}", "service": "mix-h264"}
        events += [
            event(0, "task_start", **task),
            seen(60, FHD, **task),
            event(120, "video_on", stream="ben/camera", width=1280, height=720, **task),
            event(720, "video_off", stream="ben/camera", **task),
            event(900, "task_stop", **task),
        ]
    ingest(billing, events)
    ok(billing, "nightly")
    assert charged(billing) == {"mix-h264:2k": (20, 20, "0.5198")}


def test_services_have_lines_and_prices_on_the_invoice(billing: Commands, tmp_path: Path) -> None:
    ingest(billing, PUBLISHED + LESSON)
    april = Commands(home=billing.home, now="2026-04-02T09:00:00+09:00")
    ok(april, "nightly")
    ok(april, f"invoice export acme --month 2026-03 -o {tmp_path / 'draft.xlsx'}")
    draft = openpyxl.load_workbook(tmp_path / "draft.xlsx")
    prices = {row[6].value: row[8].value for row in draft["Prices"].iter_rows(min_row=2) if row[6].value}
    assert float(prices["recording:hd"]) == 5.99
    assert not [item for item in prices if str(item).startswith("mix")]
    [issued] = rows(april, "invoice finalize acme --month 2026-03")
    assert issued["total"] == "1.62"
    ok(april, f"invoice export {issued['number']} -o {tmp_path / 'issued.xlsx'}")
    book = openpyxl.load_workbook(tmp_path / "issued.xlsx")
    texts = {str(cell.value) for row in book.worksheets[0].iter_rows() for cell in row if cell.value is not None}
    kinds = ("Audio", "HD video", "Full HD video", "4K video")
    assert {f"Recording, {kind}, Classroom" for kind in kinds} <= texts


def test_a_late_stop_of_a_task_corrects_its_day(billing: Commands) -> None:
    """Of a recording whose stop comes a day late, what was billed until midnight is taken back."""
    ingest(billing, PUBLISHED[:-1])
    ok(billing, "nightly")
    ingest(billing, PUBLISHED[-1:], "late")
    ok(billing, "nightly")
    found = rows(billing, "charges acme --month 2026-03")
    net: dict[str, int] = {}
    for row in found:
        net[row["item"]] = net.get(row["item"], 0) + row["minutes"]
    assert net == {"recording:audio": 250, "recording:hd": 59, "recording:fhd": 30, "recording:4k": 9}
    assert {row["kind"] for row in found} == {"usage", "correction"}


def test_elsewhere_the_same_month_costs_what_its_users_cost(billing: Commands) -> None:
    """Agora's policy has no recording; without packages the services cost what they cost."""
    ingest(billing, PUBLISHED + LESSON)
    ok(billing, "nightly")
    [without] = rows(billing, "what-if acme --month 2026-03 --packages none")
    assert without["total"] == "1.66632"  # 10 x 0.00099 + 10 x 0.00399 + 1.61652
    [best] = rows(billing, "what-if acme --month 2026-03 --packages best")
    assert best["total"] == "1.66632"
    [agora] = rows(billing, "what-if acme --month 2026-03 --policy agora-2025")
    assert [row["item"] for row in agora["charges"]] == ["audio", "hd"]


def test_a_recording_that_is_rounded_once_a_month(billing: Commands, tmp_path: Path) -> None:
    """30 s on each of two days are one minute, charged on the first; the workbook's own checks agree."""
    (tmp_path / "house.toml").write_text(HOUSE.replace("1.49", "60") + CATALOG.replace("trtc-intl", "house"))
    ok(billing, f"catalog apply {tmp_path / 'house.toml'}")
    day = 86_400
    tasks = [
        event(start + second, kind, task_id=f"rec-{start}", service="recording")
        for start in (0, day)
        for second, kind in ((0, "task_start"), (30, "task_stop"))
    ]
    ingest(billing, tasks)
    commands = Commands(home=billing.home, now="2026-03-12T09:00:00+09:00")
    ok(commands, "nightly")
    found = [(row["day"], row["minutes"], row["amount"]) for row in rows(commands, "charges acme --month 2026-03")]
    assert found == [("2026-03-10", 1, "0.06"), ("2026-03-11", 0, "0")]
    ok(commands, f"invoice export acme --month 2026-03 -o {tmp_path / 'draft.xlsx'}")
    assert ok(commands, "verify --full --format json").strip() == "[]"
