"""Tencent's own SDK, unchanged, asks a running service; what it gets is what `billing usage` prints."""

import csv
import hashlib
import hmac
import json
import time
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from io import StringIO
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException
from tencentcloud.trtc.v20190722.trtc_client import TrtcClient

from billing.web.secrets_file import TencentKey
from billing.web.tencent.actions import ACTIONS
from billing.web.tencent.call_errors import CallError
from billing.web.tencent.call_signatures import signer
from billing.web.tencent.calls import Call
from billing.web.tencent.unsupported_actions import UNSUPPORTED_ACTIONS
from tests.commands import Commands
from tests.sample_home import rows
from tests.web.site import Site, serving
from tests.web.tencent_client import (
    BERLIN,
    NOW,
    OLD,
    OPERATOR,
    SANTIAGO,
    TOKYO,
    TOKYO_QUIET,
    ask,
    client,
    give_catalog,
    ingest,
)

ITEMS = {"audio": "Audio", "sd": "SD", "hd": "HD", "fhd": "FullHD", "2k": "2K", "4k": "4K"}
VIDEO = {"stream": "ben/camera", "width": 1280, "height": 720}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Accounts in Tokyo, Berlin (a day of 25 hours) and Santiago (one of 23), settled; one under an older policy."""
    commands = Commands(home=tmp_path_factory.mktemp("tencent") / "home", now=NOW)
    assert commands("init").exit_code == 0
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
            *((f"2026-10-31T08:{number:02}:00+09:00", f"r{number:02}", "dan", "enter") for number in range(12)),
            *((f"2026-10-31T08:{number:02}:30+09:00", f"r{number:02}", "dan", "exit") for number in range(12)),
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
    assert commands("nightly").exit_code == 0
    with serving(commands) as running:
        yield running


def minutes(answer: Any) -> dict[tuple[str, str], int]:
    """The minutes of an answer by local time and item; without zeros."""
    return {
        (row.TimeKey, key): value
        for row in answer.UsageList
        for key, value in zip(answer.UsageKey, row.UsageValue, strict=True)
        if value
    }


def commanded(site: Site, app: int, first: str, last: str, by: str) -> dict[tuple[str, str], int]:
    """The same of `billing usage`."""
    found: dict[tuple[str, str], int] = defaultdict(int)
    for row in rows(site.commands, f"usage {app} --from {first} --to {last} --by {by} --unit minutes"):
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
    ("app", "day", "count"), [(BERLIN, "2026-10-25", 300), (SANTIAGO, "2026-09-06", 276), (BERLIN, "2026-10-26", 288)]
)
def test_a_day_has_the_windows_that_its_clocks_give_it(site: Site, app: int, day: str, count: int) -> None:
    answer = ask(client(site), "DescribeTrtcUsage", StartTime=day, EndTime=day, SdkAppId=app)
    stamps = [row.TimeStampKey for row in answer.UsageList]
    assert len(stamps) == count
    assert stamps == list(range(stamps[0], stamps[0] + count * 300, 300))
    of_windows = sum(minutes(answer).values())
    assert of_windows == sum(commanded(site, app, day, day, "day").values())


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


def test_rooms_and_their_users(site: Site) -> None:
    span = {"StartTime": 1_793_286_000, "EndTime": 1_793_286_000 + 86_400}  # 2026-10-30 in Tokyo
    answer = ask(client(site), "DescribeRoomInfo", SdkAppId=TOKYO, **span)
    listed = {room.RoomString: room for room in answer.RoomList}
    assert set(listed) == {"math", 'late, "night"'}
    math = listed["math"]
    begin, end = 1_793_322_000, 1_793_322_000 + 1200
    assert (math.CreateTime, math.DestroyTime, math.IsFinished, math.UserId) == (begin, end, True, "anna")
    late = listed['late, "night"']
    assert late.DestroyTime - late.CreateTime == 1200  # over midnight
    users = ask(
        client(site), "DescribeUserInfo", SdkAppId=TOKYO, CommId=math.CommId, StartTime=begin, EndTime=begin + 3600
    )
    stays = [(user.UserId, user.JoinTs - begin, user.LeaveTs - begin, user.Finished) for user in users.UserList]
    assert (users.Total, stays) == (2, [("anna", 0, 990, True), ("ben", 70, 1200, True)])
    (ben,) = ask(
        client(site),
        "DescribeUserInfo",
        SdkAppId=TOKYO,
        CommId=math.CommId,
        StartTime=begin,
        EndTime=begin + 3600,
        UserIds=["ben"],
    ).UserList
    assert ben.UserId == "ben"


def test_pages_of_rooms_join_to_all(site: Site) -> None:
    span = {"StartTime": 1_793_286_000 + 86_400, "EndTime": 1_793_286_000 + 2 * 86_400}
    pages = [
        ask(client(site), "DescribeRoomInfo", SdkAppId=TOKYO, **span, PageNumber=number, PageSize=5).RoomList
        for number in range(4)
    ]
    assert [len(page) for page in pages] == [5, 5, 3, 0]
    names = [room.RoomString for page in pages for room in page]
    assert names == ['late, "night"', *(f"r{number:02}" for number in range(12))]


def test_the_scale_of_days(site: Site) -> None:
    span = {"StartTime": 1_793_286_000, "EndTime": 1_793_286_000 + 2 * 86_400}
    answer = ask(client(site), "DescribeScaleInfo", SdkAppId=TOKYO, **span)
    days = [(each.Time, each.RoomNumbers, each.UserNumber, each.UserCount) for each in answer.ScaleList]
    assert days == [(1_793_286_000, 2, 3, 3), (1_793_286_000 + 86_400, 13, 13, 13)]
    assert answer.Total == 2


DAY = {"StartTime": "2026-10-30", "EndTime": "2026-10-30"}


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
        (OPERATOR, "DescribeRecordingUsage", {**DAY, "SdkAppId": TOKYO}, "UnsupportedOperation"),
        (OPERATOR, "DescribeMixTranscodingUsage", {**DAY, "SdkAppId": TOKYO}, "UnsupportedOperation"),
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


def test_a_wrong_key_and_an_unknown_one_are_refused(site: Site) -> None:
    for owner, key, code in (
        (OPERATOR, "another", "AuthFailure.SignatureFailure"),
        ("AKIDnobody", "x", "AuthFailure.SecretIdNotFound"),
    ):
        for options in ({}, {"method": "GET"}, {"signMethod": "HmacSHA1"}):
            with pytest.raises(TencentCloudSDKException) as refused:
                ask(client(site, owner, key=key, **options), "DescribeTrtcUsage", **DAY, SdkAppId=TOKYO)
            assert refused.value.code == code


def signed(host: str, action: str, body: bytes, *, at: int, key: str = f"key of {OPERATOR}") -> dict[str, str]:
    """The headers of a request, signed as the vendor's page on TC3-HMAC-SHA256 describes it."""
    day = f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d}"
    canonical = "\n".join(
        ("POST", "/", "", "content-type:application/json", f"host:{host}", "", "content-type;host",
         hashlib.sha256(body).hexdigest())
    )  # fmt: skip
    text = f"TC3-HMAC-SHA256\n{at}\n{day}/trtc/tc3_request\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    secret = f"TC3{key}".encode()
    for part in (day, "trtc", "tc3_request", text):
        secret = hmac.new(secret, part.encode(), hashlib.sha256).digest()
    return {
        "Host": host,
        "Content-Type": "application/json",
        "X-TC-Action": action,
        "X-TC-Version": "2019-07-22",
        "X-TC-Timestamp": str(at),
        "Authorization": (
            f"TC3-HMAC-SHA256 Credential={OPERATOR}/{day}/trtc/tc3_request, "
            f"SignedHeaders=content-type;host, Signature={secret.hex()}"
        ),
    }


def posted(site: Site, action: str, body: bytes, *, late: int = 0, version: str = "2019-07-22") -> dict[str, Any]:
    headers = signed(site.address.removeprefix("http://"), action, body, at=int(time.time()) - late)
    answer = httpx.post(site.address, content=body, headers=headers | {"X-TC-Version": version})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    found: dict[str, Any] = answer.json()["Response"]
    return found


BODY = json.dumps({**DAY, "SdkAppId": TOKYO}).encode()


@pytest.mark.parametrize(
    ("action", "body", "more", "code"),
    [
        ("DescribeTrtcUsage", BODY, {"late": 301}, "AuthFailure.SignatureExpire"),
        ("DescribeTrtcUsage", BODY, {"late": -310}, "AuthFailure.SignatureExpire"),
        ("DescribeNothing", BODY, {}, "InvalidAction"),
        ("DescribeTrtcUsage", BODY, {"version": "2017-01-01"}, "NoSuchVersion"),
        ("DescribeTrtcUsage", b"[", {}, "InvalidParameter"),
        ("DescribeTrtcUsage", b"[" * 100_000, {}, "InvalidParameter"),
        ("DescribeTrtcUsage", b'{"SdkAppID": 1}', {}, "UnknownParameter"),
        ("DescribeTrtcUsage", b'{"StartTime": 5, "EndTime": [], "SdkAppId": {}}', {}, "InvalidParameter"),
    ],
)
def test_what_no_client_would_send_is_an_error_in_its_shape(
    site: Site, action: str, body: bytes, more: dict[str, Any], code: str
) -> None:
    assert posted(site, action, body, **more)["Error"]["Code"] == code


def test_a_request_of_a_minute_ago_is_answered(site: Site) -> None:
    assert len(posted(site, "DescribeTrtcUsage", BODY, late=60)["UsageList"]) == 288


def test_a_body_that_was_changed_on_the_way_is_refused(site: Site) -> None:
    host = site.address.removeprefix("http://")
    headers = signed(host, "DescribeTrtcUsage", BODY, at=int(time.time()))
    changed = httpx.post(site.address, content=BODY.replace(b"-30", b"-29"), headers=headers).json()
    assert changed["Response"]["Error"]["Code"] == "AuthFailure.SignatureFailure"


def test_a_browser_is_sent_to_the_console(site: Site) -> None:
    answer = httpx.get(site.address)
    assert (answer.status_code, answer.headers["location"]) == (302, "/console")


def test_every_action_of_the_sdk_is_answered_or_refused_by_name() -> None:
    known = {name for name in vars(TrtcClient) if name[0].isupper()}
    assert known <= ACTIONS.keys() | UNSUPPORTED_ACTIONS
    assert not ACTIONS.keys() & UNSUPPORTED_ACTIONS


_TEXT = st.text(max_size=30)


@given(
    method=st.sampled_from(["GET", "POST"]),
    headers=st.dictionaries(
        st.sampled_from(
            [
                "authorization",
                "x-tc-action",
                "x-tc-timestamp",
                "content-type",
                "host",
                "x-tc-content-sha256",
                "x-tc-token",
            ]
        ),
        _TEXT
        | st.just(
            "TC3-HMAC-SHA256 Credential=a/2026-01-01/trtc/tc3_request, SignedHeaders=host;x, Signature=" + 64 * "0"
        ),
    ),
    query=_TEXT | st.just("Action=A&Timestamp=1&SecretId=a&Signature=é"),
    body=st.binary(max_size=60),
    now=st.sampled_from([0.0, 1.0, 1e9]),
)
def test_whatever_is_sent_is_refused_in_a_line(
    method: str, headers: dict[str, str], query: str, body: bytes, now: float
) -> None:
    call = Call(method=method, headers=headers, query=query, body=body)
    key = TencentKey(secret_id="a", secret_key="b")  # noqa: S106 - made up
    with pytest.raises(CallError) as refused:
        signer(call, lambda _: key, now)
    assert "\n" not in refused.value.message


def test_the_quiet_app_has_zeros(site: Site) -> None:
    answer = ask(client(site), "DescribeTrtcUsage", **DAY, SdkAppId=TOKYO_QUIET)
    assert (len(answer.UsageList), minutes(answer)) == (288, {})
    old = ask(client(site), "DescribeTrtcUsage", **DAY, SdkAppId=OLD)
    assert minutes(old) == commanded(site, OLD, "2026-10-30", "2026-10-30", "window")
