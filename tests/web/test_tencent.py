"""Tencent's own SDK, unchanged, asks a running service; what it gets is what `billing usage` prints."""

import csv
import json
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from io import StringIO
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException
from tencentcloud.trtc.v20190722.trtc_client import TrtcClient

from billing.web.tencent.actions import ACTIONS
from billing.web.tencent.unsupported_actions import UNSUPPORTED_ACTIONS
from tests.commands import ROOT, Commands, blocks
from tests.sample_home import rows
from tests.web.site import Site, serving
from tests.web.tencent_client import (
    BERLIN,
    CASEY,
    NOW,
    OLD,
    OPERATOR,
    SANTIAGO,
    TOKYO,
    TOKYO_QUIET,
    TROLL,
    ask,
    client,
    give_catalog,
    ingest,
    run,
)

ITEMS = {"audio": "Audio", "sd": "SD", "hd": "HD", "fhd": "FullHD", "2k": "2K", "4k": "4K"}
DAY = {"StartTime": "2026-10-30", "EndTime": "2026-10-30"}
VIDEO = {"stream": "ben/camera", "width": 1280, "height": 720}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Settled days of 24 hours in Tokyo (one of them corrected), 25 in Berlin, 23 in Santiago and 26 in Troll; one
    under an older policy; and in Tokyo a day that is not settled."""
    commands = Commands(home=tmp_path_factory.mktemp("tencent") / "home", now=NOW)
    run(commands, "init")
    give_catalog(commands)
    ingest(
        commands,
        TOKYO,
        *(
            ("2026-10-30T10:00:00+09:00", "math", "anna", "enter"),
            ("2026-10-30T10:01:10+09:00", "math", "ben", "enter"),
            ("2026-10-30T10:02:00+09:00", "math", "anna", "video_on"),
            ("2026-10-30T10:16:30+09:00", "math", "anna", "exit"),
            ("2026-10-30T10:20:00+09:00", "math", "ben", "exit"),
            ("2026-10-30T23:50:00+09:00", 'late, "night"', "cleo", "enter"),
            ("2026-10-31T00:10:00+09:00", 'late, "night"', "cleo", "exit"),
        ),
        **VIDEO,
    )
    ingest(
        commands,
        BERLIN,
        ("2026-10-25T02:30:00+02:00", "r", "anna", "enter"),
        ("2026-10-25T02:30:00+01:00", "r", "anna", "exit"),
    )
    ingest(
        commands,
        SANTIAGO,
        ("2026-09-06T04:30:00Z", "r", "anna", "enter"),
        ("2026-09-06T05:00:00Z", "r", "anna", "exit"),
    )
    ingest(
        commands, OLD, ("2026-10-30T10:00:00+09:00", "r", "a", "enter"), ("2026-10-30T10:05:00+09:00", "r", "a", "exit")
    )
    ingest(
        commands,
        TROLL,
        ("2026-10-25T00:30:00+00:00", "r", "anna", "enter"),
        ("2026-10-25T03:10:20+00:00", "r", "anna", "exit"),
    )
    run(commands, "nightly")
    ingest(
        commands,
        TOKYO,
        ("2026-10-30T10:05:00+09:00", "math", "dora", "enter"),
        ("2026-10-30T10:08:10+09:00", "math", "dora", "exit"),
        ("2026-11-02T10:00:00+09:00", "open", "ben", "enter"),
        ("2026-11-02T10:30:10+09:00", "open", "ben", "exit"),
    )
    run(commands, "nightly")
    run(commands, "refresh")
    with serving(commands) as running:
        yield running


def minutes(answer: Any) -> dict[tuple[str, str], int]:
    """The minutes of an answer by local time (some come twice on a long day) and item; without zeros."""
    found: dict[tuple[str, str], int] = defaultdict(int)
    for row in answer.UsageList:
        for key, value in zip(answer.UsageKey, row.UsageValue, strict=True):
            found[row.TimeKey, key] += value
    return {key: value for key, value in found.items() if value}


def commanded(site: Site, app: int, first: str, last: str, by: str) -> dict[tuple[str, str], int]:
    """The same of `billing usage`."""
    found: dict[tuple[str, str], int] = defaultdict(int)
    for row in rows(site.commands, f"usage {app} --from {first} --to {last} --by {by} --unit minutes --provisional"):
        at = row["start"][:19].replace("T", " ") if by == "window" else f"{row['day']} 00:00:00"
        found[at, ITEMS[row["item"]]] += row["minutes"]
    return {key: value for key, value in found.items() if value}


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize(
    "options", [{}, {"is_unsigned": True}, {"signMethod": "HmacSHA1"}, {"signMethod": "HmacSHA256"}]
)
def test_one_day_has_every_window_with_the_minutes_of_the_commands(
    site: Site, method: str, options: dict[str, Any]
) -> None:
    asking = client(site, method=method, **options)
    answer = ask(asking, "DescribeTrtcUsage", StartTime="2026-10-30", EndTime="2026-10-30", SdkAppId=TOKYO)
    assert answer.UsageKey == ["Audio", "SD", "HD", "FullHD", "2K", "4K"]
    assert len(answer.UsageList) == 288
    assert minutes(answer) == commanded(site, TOKYO, "2026-10-30", "2026-10-30", "window") != {}
    zone = ZoneInfo("Asia/Tokyo")
    for row in answer.UsageList:
        assert f"{datetime.fromtimestamp(row.TimeStampKey, zone):%Y-%m-%d %H:%M:%S}" == row.TimeKey
    assert answer.RequestId


def test_several_days_have_a_row_each(site: Site) -> None:
    answer = ask(client(site), "DescribeTrtcUsage", StartTime="2026-10-02", EndTime="2026-11-01", SdkAppId=TOKYO)
    assert len(answer.UsageList) == 31
    assert minutes(answer) == commanded(site, TOKYO, "2026-10-02", "2026-11-01", "day") != {}


@pytest.mark.parametrize(
    ("app", "day", "count"),
    [
        (BERLIN, "2026-10-25", 300),
        (BERLIN, "2026-10-26", 288),
        (SANTIAGO, "2026-09-06", 276),
        (TROLL, "2026-10-25", 312),
        (CASEY, "2022-10-02", 252),
        (CASEY, "2023-03-09", 324),
    ],
)
def test_a_day_has_the_windows_that_its_clocks_give_it(site: Site, app: int, day: str, count: int) -> None:
    answer = ask(client(site), "DescribeTrtcUsage", StartTime=day, EndTime=day, SdkAppId=app)
    stamps = [row.TimeStampKey for row in answer.UsageList]
    assert len(stamps) == count
    assert stamps == list(range(stamps[0], stamps[0] + count * 300, 300))
    found = minutes(answer)
    assert found == commanded(site, app, day, day, "window")
    assert sum(found.values()) == sum(commanded(site, app, day, day, "day").values())


def test_a_correction_is_in_the_minutes_of_its_windows(site: Site) -> None:
    printed = rows(site.commands, f"usage {TOKYO} --from 2026-10-30 --to 2026-10-30 --unit minutes")
    assert sum(row["minutes"] for row in printed if row["kind"] == "correction") > 0
    answer = ask(client(site), "DescribeTrtcUsage", **DAY, SdkAppId=TOKYO)
    assert sum(minutes(answer).values()) == sum(row["minutes"] for row in printed)


def test_a_day_that_is_not_settled_shows_what_the_last_refresh_knew(site: Site) -> None:
    answer = ask(client(site), "DescribeTrtcUsage", StartTime="2026-11-02", EndTime="2026-11-02", SdkAppId=TOKYO)
    assert len(answer.UsageList) == 288
    assert minutes(answer) == commanded(site, TOKYO, "2026-11-02", "2026-11-02", "window")
    assert sum(minutes(answer).values()) == 31
    span = {"StartTime": "2026-11-02 00:00", "EndTime": "2026-11-03 00:00"}
    of_rooms = ask(client(site), "DescribeTrtcRoomUsage", SdkAppid=TOKYO, **span)
    assert of_rooms.Data == "RoomId,Audio,SD,hd,FullHD,2K,4K\nopen,1810,0,0,0,0,0\n"


def test_the_example_of_the_page_prints_a_day(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = blocks((ROOT / "docs/tencent-api.md").read_text(), "python")
    ours = {
        "https": "http",
        "billing.example": site.address.removeprefix("http://"),
        "AKIDacademy": "AKIDtokyo",
        "a long random text": "key of AKIDtokyo",
    }
    for there, here in ours.items():
        assert there in example
        example = example.replace(there, here)
    exec(example, {})  # noqa: S102 - the page is ours
    answer = json.loads(capsys.readouterr().out)
    assert (len(answer["UsageList"]), answer["UsageList"][0]["TimeKey"]) == (288, "2026-03-10 00:00:00")


def test_without_an_app_all_apps_of_the_key_are_summed(site: Site) -> None:
    ours = ask(client(site, "AKIDtokyo"), "DescribeTrtcUsage", StartTime="2026-10-30", EndTime="2026-10-30")
    assert minutes(ours) == commanded(site, TOKYO, "2026-10-30", "2026-10-30", "window")
    with pytest.raises(TencentCloudSDKException) as refused:
        ask(client(site), "DescribeTrtcUsage", StartTime="2026-10-30", EndTime="2026-10-30")
    assert refused.value.code == "MissingParameter"  # the operator's apps have days of their own


@pytest.mark.parametrize("end", ["2026-10-30 23:59", "2026-10-30 24:00", "2026-10-31 00:00"])
def test_rooms_of_a_day_have_the_seconds_of_the_commands(site: Site, end: str) -> None:
    answer = ask(client(site), "DescribeTrtcRoomUsage", SdkAppid=TOKYO, StartTime="2026-10-30 00:00", EndTime=end)
    header, *of_rooms = csv.reader(StringIO(answer.Data))
    assert header == ["RoomId", "Audio", "SD", "hd", "FullHD", "2K", "4K"]
    expected: dict[tuple[str, str], int] = defaultdict(int)
    for row in rows(site.commands, f"usage {TOKYO} --from 2026-10-30 --to 2026-10-30 --by room"):
        expected[row["room_id"], row["item"]] += row["seconds"]
    found = {
        (room, item): int(seconds)
        for room, *of_room in of_rooms
        for item, seconds in zip(ITEMS, of_room, strict=True)
        if seconds != "0"
    }
    assert found == dict(expected) != {}


@pytest.mark.parametrize(
    ("owner", "action", "parameters", "code"),
    [
        ("AKIDtokyo", "DescribeTrtcUsage", {**DAY, "SdkAppId": BERLIN}, "AuthFailure.UnauthorizedOperation"),
        (OPERATOR, "DescribeTrtcUsage", {**DAY, "SdkAppId": 999}, "AuthFailure.UnauthorizedOperation"),
        (
            "AKIDtokyo",
            "DescribeRoomInfo",
            {"SdkAppId": BERLIN, "StartTime": 1, "EndTime": 2},
            "AuthFailure.UnauthorizedOperation",
        ),
        (
            OPERATOR,
            "DescribeTrtcUsage",
            {"StartTime": "2026-10-01", "EndTime": "2026-11-01", "SdkAppId": TOKYO},
            "InvalidParameter",
        ),
        (
            OPERATOR,
            "DescribeTrtcUsage",
            {"StartTime": "2026-10-31", "EndTime": "2026-10-30", "SdkAppId": TOKYO},
            "InvalidParameter",
        ),
        (
            OPERATOR,
            "DescribeTrtcUsage",
            {"StartTime": "yesterday", "EndTime": "2026-10-30", "SdkAppId": TOKYO},
            "InvalidParameter",
        ),
        (OPERATOR, "DescribeTrtcUsage", {"SdkAppId": TOKYO}, "MissingParameter"),
        (
            OPERATOR,
            "DescribeTrtcRoomUsage",
            {"SdkAppid": TOKYO, "StartTime": "2026-10-30 00:00", "EndTime": "2026-11-01 00:00"},
            "InvalidParameter",
        ),
        (
            OPERATOR,
            "DescribeUserInfo",
            {"SdkAppId": TOKYO, "CommId": f"{TOKYO}_x_1", "StartTime": 1, "EndTime": 2},
            "ResourceNotFound",
        ),
        (OPERATOR, "DescribeRelayUsage", {**DAY, "SdkAppId": TOKYO}, "UnsupportedOperation"),
        (OPERATOR, "DescribeRecordingUsage", {**DAY, "SdkAppId": TOKYO, "MixType": "all"}, "InvalidParameter"),
        (OPERATOR, "DescribeRecordingUsage", {**DAY, "SdkAppId": TOKYO}, "MissingParameter"),
    ],
)
def test_what_is_refused_is_the_exception_of_the_sdk(
    site: Site, owner: str, action: str, parameters: dict[str, Any], code: str
) -> None:
    with pytest.raises(TencentCloudSDKException) as refused:
        ask(client(site, owner), action, **parameters)
    assert refused.value.code == code
    assert refused.value.requestId
    assert "Traceback" not in refused.value.message


def test_a_browser_is_sent_to_the_console(site: Site) -> None:
    for address in (site.address, f"{site.address}/?lang=ja"):
        answer = httpx.get(address)
        assert (answer.status_code, answer.headers["location"]) == (302, "/console")


def test_an_action_that_does_not_exist_is_refused_by_that_name(site: Site) -> None:
    for method in ("POST", "GET"):
        with pytest.raises(TencentCloudSDKException) as refused:
            client(site, method=method).call_json("DescribeNothing", {})
        assert refused.value.code == "InvalidAction"
        assert "DescribeTrtcUsage" in refused.value.message


def test_every_action_of_the_sdk_is_answered_or_refused_by_name() -> None:
    known = {name for name in vars(TrtcClient) if name[0].isupper()}
    assert known <= ACTIONS.keys() | UNSUPPORTED_ACTIONS
    assert not ACTIONS.keys() & UNSUPPORTED_ACTIONS


def test_the_quiet_app_has_zeros(site: Site) -> None:
    answer = ask(client(site), "DescribeTrtcUsage", **DAY, SdkAppId=TOKYO_QUIET)
    assert (len(answer.UsageList), minutes(answer)) == (288, {})
    old = ask(client(site), "DescribeTrtcUsage", **DAY, SdkAppId=OLD)
    assert minutes(old) == commanded(site, OLD, "2026-10-30", "2026-10-30", "window")
