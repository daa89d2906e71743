"""A class of records, billed: the samples end to end, against seconds that were worked out by hand.

All begin at 2026-03-02T09:00:00Z, second 0 below. A camera has 1280 by 720 pixels (HD), a screen 1920 by 1080; together
they are 2K, with another camera 4K; two cameras are FHD.
"""

import json
import random
from collections import Counter
from pathlib import Path

import pytest
from openpyxl import load_workbook

from tests.commands import Commands
from tests.record_facts import SAMPLES, sample

pytestmark = pytest.mark.thorough

CATALOG = """
[[account]]
id = "acme"
name = "Acme"
currency = "USD"
timezone = "UTC"
policy = "trtc-intl"

[[app]]
id = 1400000042
account = "acme"
name = "Classroom"
feed = "livekit:APIexample1"

[app.assume]
camera = "1280x720"
screen = "1920x1080"
"""
APP = 1400000042

# LiveKit: the teacher is in from 1 to 80, alone until 10, and receives nothing. student-a 10 to 70: HD, with the screen
# from 30 to 60 2K. student-b 20 to 110, on two connections from 40 to 42: HD to 80, 2K from 30 to 60. A telephone 46 to
# 110 receives nothing; an agent from 47 and a recorder from 48 receive everything to 110, when the room is finished.
LIVEKIT = {
    ("audio", "alone_in_room"): 9,
    ("audio", "no_video_received"): 70 + 30 + 64 + 30 + 30,
    ("hd", "camera"): 30 + 30 + 20 + 20,
    ("2k", "screen_share"): 30 + 30 + 13 + 12,
}
# TRTC: teacher 0 to 80, alone until 10; student_a 10 to 70 sends a camera from 45 to 55; student_b from 20 loses the
# connection at 81 (told at 171), when the teacher has left. The screen is on from 30 to 60.
TRTC = {
    ("audio", "alone_in_room"): 10 + 1,
    ("audio", "no_video_received"): 35 + 25,
    ("audio", "disconnect_grace"): 90,
    ("hd", "camera"): 10 + 30 + 30,
    ("2k", "screen_share"): 30 + 20,
    ("4k", "screen_share"): 10,
}
# Agora: teacher 0 to 80, alone until 10; student_a 10 to 70, a broadcaster from 45 to 55; student_b 20 to 91, lost from
# 40 to 41, alone from 80.
AGORA = {
    ("audio", "alone_in_room"): 10 + 11,
    ("audio", "no_video_received"): 35 + 25,
    ("audio", "disconnect_grace"): 1,
    ("hd", "camera"): 10 + 60 + 20 + 4 + 25,
    ("fhd", "camera"): 10,
}
# BigBlueButton: teacher 0 to 80, student_a 10 to 70, the screen from 30 to 60.
BIGBLUEBUTTON = {
    ("audio", "alone_in_room"): 10 + 10,
    ("audio", "no_video_received"): 60,
    ("hd", "camera"): 30,
    ("2k", "screen_share"): 30,
}
# mediasoup: teacher 0 to 80, student_a 10 to 70, who receives a camera from 10, paused by its producer from 30 to 40.
MEDIASOUP = {
    ("audio", "alone_in_room"): 10 + 10,
    ("audio", "no_video_received"): 60 + 10,
    ("hd", "camera"): 50,
}
EXPECTED = {
    "livekit": LIVEKIT,
    "trtc": TRTC,
    "agora": AGORA,
    "bigbluebutton": BIGBLUEBUTTON,
    "mediasoup": MEDIASOUP,
}


def used(directory: Path, source: str, *parts: list[bytes]) -> Counter[tuple[str, str]]:
    """Seconds by item and reason, after the nightly, of records that came in some files."""
    directory.mkdir()
    commands = Commands(home=directory / "home", now="2026-03-04T00:00:00Z")
    (directory / "catalog.toml").write_text(CATALOG)
    assert commands("init").exit_code == 0
    assert commands(f"catalog apply {directory / 'catalog.toml'}").exit_code == 0
    for number, part in enumerate(parts):
        file = directory / f"{number}.jsonl"
        file.write_bytes(b"\n".join(part))
        done = commands(f"ingest --source {source} --app {APP} {file} --format json")
        assert done.exit_code == 0, done.output
        (report,) = json.loads(done.stdout)
        assert report["quarantined"] == 0
    done = commands("nightly")
    assert done.exit_code == 0, done.output
    rows = json.loads(commands(f"usage {APP} --from 2026-03-02 --to 2026-03-02 --by day --format json").stdout)
    seconds: Counter[tuple[str, str]] = Counter()
    for row in rows:
        seconds[row["item"], row["reason"]] += row["seconds"]
    return seconds


@pytest.mark.parametrize("source", SAMPLES)
def test_a_sample_is_billed_as_worked_out_by_hand(source: str, tmp_path: Path) -> None:
    assert used(tmp_path / "whole", source, sample(SAMPLES[source])) == EXPECTED[source]


@pytest.mark.parametrize("source", SAMPLES)
def test_shuffled_repeated_and_cut_records_are_billed_the_same(source: str, tmp_path: Path) -> None:
    chance = random.Random(source)
    lines = sample(SAMPLES[source])
    shuffled = [*lines, *chance.sample(lines, 5)]
    chance.shuffle(shuffled)
    cuts = sorted(chance.sample(range(len(shuffled)), 3))
    parts = [shuffled[start:stop] for start, stop in zip([0, *cuts], [*cuts, None], strict=True)]
    assert used(tmp_path / "cut", source, *parts) == EXPECTED[source]


@pytest.mark.parametrize("source", SAMPLES)
@pytest.mark.parametrize("missing", [0.2, 0.5])
def test_with_records_missing_nobody_is_billed_more_than_a_day(source: str, missing: float, tmp_path: Path) -> None:
    """A lost end lasts until the room ends, else until 24 hours after the user's last event."""
    chance = random.Random(f"{source} {missing}")
    lines = [line for line in sample(SAMPLES[source]) if chance.random() > missing]
    seconds = used(tmp_path / "lossy", source, lines)
    assert 0 <= seconds.total() <= 6 * 15 * 3600


def test_the_invoice_says_what_is_assumed(tmp_path: Path) -> None:
    used(tmp_path / "class", "livekit", sample(SAMPLES["livekit"]))
    commands = Commands(home=tmp_path / "class" / "home")
    assert commands(f"invoice export acme --month 2026-03 -o {tmp_path / 'acme.xlsx'}").exit_code == 0
    cells = {cell.value for row in load_workbook(tmp_path / "acme.xlsx")["Reasons"].rows for cell in row}
    assert (
        "App Classroom (1400000042): users are billed as subscribed to everything published, but for SIP; "
        "cameras of unknown size are billed as 1280x720; screens of unknown size are billed as 1920x1080." in cells
    )
