"""Recording and mixing as they are shown: to Tencent's SDK what `billing usage` prints of tasks, and in the console."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.commands import Commands
from tests.sample_home import rows
from tests.web.browsing import logged_in, text_of
from tests.web.site import Site, serving
from tests.web.tencent_client import NOW, TOKYO, ask, client, give_catalog, run

DAY = "2026-10-30"
SIZES = {"hd": (1280, 720), "fhd": (1920, 1080)}
KEYS = {
    "recording:audio": "Audio",
    "recording:hd": "HD",
    "mix-h264:fhd": "FullHD",
    "mix-h264:4k": "4K",
    "mix-h265:fhd": "H265FullHD",
}


def task(service: str, start: str, *inputs: tuple[str, str], end: str) -> Iterator[dict[str, Any]]:
    """A task with streams of some sizes from some minutes on."""
    row = {"app_id": TOKYO, "room_id": "math", "task_id": f"{service}-{start}", "service": service}
    yield row | {"type": "task_start", "at": f"{DAY}T{start}:00+09:00"}
    for number, (at, size) in enumerate(inputs):
        width, height = SIZES[size]
        seen = {"type": "video_on", "stream": f"{number}/camera", "width": width, "height": height}
        yield row | seen | {"at": f"{DAY}T{at}:00+09:00"}
    yield row | {"type": "task_stop", "at": f"{DAY}T{end}:00+09:00"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    commands = Commands(home=tmp_path_factory.mktemp("services") / "home", now=NOW)
    run(commands, "init")
    give_catalog(commands)
    events = [
        *task("recording", "10:00", ("10:07", "hd"), end="10:31"),
        *task("mix-h264", "10:00", ("10:01", "hd"), ("10:03", "hd"), ("10:08", "fhd"), end="10:20"),
        *task("mix-h265", "10:00", ("10:01", "hd"), ("10:11", "hd"), end="10:20"),
    ]
    file = commands.home.parent / "tasks.ndjson"
    file.write_text("".join(json.dumps(event) + "\n" for event in events))
    run(commands, f"ingest {file}")
    run(commands, "nightly")
    with serving(commands) as site:
        yield site


def minutes(answer: Any) -> Counter[tuple[str, str]]:
    found: Counter[tuple[str, str]] = Counter()
    for row in answer.UsageList:
        found.update({(row.TimeKey, key): value for key, value in zip(answer.UsageKey, row.UsageValue, strict=True)})
    return +found


def commanded(site: Site, service: str) -> Counter[tuple[str, str]]:
    printed = rows(site.commands, f"usage {TOKYO} --from {DAY} --to {DAY} --by window --unit minutes")
    return +Counter(
        {
            (row["start"][:19].replace("T", " "), KEYS[row["item"]]): row["minutes"]
            for row in printed
            if row["item"].startswith(service)
        }
    )


def test_recordings_are_those_of_rooms_as_a_whole(site: Site) -> None:
    """7 minutes of audio and 24 of HD."""
    asked = {"StartTime": DAY, "EndTime": DAY, "SdkAppId": TOKYO}
    whole = minutes(ask(client(site), "DescribeRecordingUsage", **asked, MixType="multi"))
    assert whole == commanded(site, "recording")
    assert sum(whole.values()) == 31
    single = ask(client(site), "DescribeRecordingUsage", **asked, MixType="single")
    assert len(single.UsageList) == 288
    assert not minutes(single)


def test_mixes_have_keys_by_their_codec(site: Site) -> None:
    """Two HD inputs are FHD, with one in FHD beside them 4K; of the time with one input there is nothing."""
    answer = ask(client(site), "DescribeMixTranscodingUsage", StartTime=DAY, EndTime=DAY, SdkAppId=TOKYO)
    found = minutes(answer)
    assert found == commanded(site, "mix")
    by_key = Counter[str]()
    for (_, key), value in found.items():
        by_key[key] += value
    assert by_key == {"FullHD": 5, "4K": 12, "H265FullHD": 9}


def test_the_usage_of_users_has_no_services(site: Site) -> None:
    answer = ask(client(site), "DescribeTrtcUsage", StartTime=DAY, EndTime=DAY, SdkAppId=TOKYO)
    assert not minutes(answer)
    rooms = ask(client(site), "DescribeTrtcRoomUsage", StartTime=f"{DAY} 00:00", EndTime=f"{DAY} 23:59", SdkAppid=TOKYO)
    assert rooms.Data.splitlines() == ["RoomId,Audio,SD,hd,FullHD,2K,4K"]


def test_a_room_in_the_console_has_lanes_of_its_tasks_and_counts_users_without_them(site: Site) -> None:
    [account] = {row["account"] for row in rows(site.commands, "status") if row["app_id"] == TOKYO}
    page = logged_in(site).get(f"/console/room?account={account}&app={TOKYO}&day={DAY}&room=math")
    text = text_of(page)
    assert "Users 0 " in text
    for item in ("Recording, Audio", "Recording, HD video", "Mixing H.264, 4K video", "Mixing H.265, Full HD video"):
        assert item in text
