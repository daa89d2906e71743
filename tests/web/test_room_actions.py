"""Rooms, their users and the scale of days, asked with Tencent's own SDK: stays as the event log tells them now."""

import asyncio
import json
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException

from billing.home import Home
from billing.ledger.database import open_database
from billing.web.app import application
from billing.web.installation import Installation
from billing.web.tencent.actions import ACTIONS
from tests.commands import Commands
from tests.depth import SLOW_EXAMPLES
from tests.web.event_loops import outcome
from tests.web.site import Site, serving
from tests.web.tencent_client import BERLIN, NOW, TOKYO, ask, client, give_catalog, ingest, posted, run, signed

LATE = 'late, "night"'


def epoch(local: str) -> int:
    """The epoch second of a time in Tokyo."""
    return int(datetime.fromisoformat(f"{local}+09:00").timestamp())


MIDNIGHT = epoch("2026-10-30T00:00:00")
BEGIN = epoch("2026-10-30T10:00:00")
DAY_SECONDS = 86_400


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An app in Tokyo: two settled days, the first of them corrected, and a day that goes on with ben in a room."""
    commands = Commands(home=tmp_path_factory.mktemp("rooms") / "home", now=NOW)
    run(commands, "init")
    give_catalog(commands)
    ingest(
        commands,
        TOKYO,
        ("2026-10-30T10:00:00+09:00", "math", "anna", "enter"),
        ("2026-10-30T10:01:10+09:00", "math", "ben", "enter"),
        ("2026-10-30T10:16:30+09:00", "math", "anna", "exit"),
        ("2026-10-30T10:20:00+09:00", "math", "ben", "exit"),
        ("2026-10-30T11:00:00+09:00", "math", "anna", "enter"),
        ("2026-10-30T11:00:00+09:00", "math", "ben", "enter"),
        ("2026-10-30T11:10:00+09:00", "math", "anna", "exit"),
        ("2026-10-30T11:10:00+09:00", "math", "ben", "exit"),
        ("2026-10-30T23:50:00+09:00", LATE, "cleo", "enter"),
        ("2026-10-31T00:10:00+09:00", LATE, "cleo", "exit"),
        *((f"2026-10-31T08:{number:02}:00+09:00", f"r{number:02}", "dan", "enter") for number in range(12)),
        *((f"2026-10-31T08:{number:02}:30+09:00", f"r{number:02}", "dan", "exit") for number in range(12)),
    )
    run(commands, "nightly")
    ingest(
        commands,
        TOKYO,
        ("2026-10-30T10:05:00+09:00", "math", "dora", "enter"),
        ("2026-10-30T10:08:10+09:00", "math", "dora", "exit"),
        *((f"2026-10-31T09:{number:02}:00+09:00", "seminar", f"u{number:02}", "enter") for number in range(8)),
        *((f"2026-10-31T09:{number:02}:00+09:00", "seminar", f"u{number - 10:02}", "exit") for number in range(10, 18)),
    )
    run(commands, "nightly")
    ingest(
        commands,
        TOKYO,
        ("2026-11-02T10:00:00+09:00", "open", "ben", "enter"),
        ("2026-11-02T10:00:00+09:00", "open", "anna", "enter"),
        ("2026-11-02T10:30:00+09:00", "open", "anna", "exit"),
    )
    run(commands, "refresh")
    with serving(commands) as running:
        yield running


def rooms(site: Site, day: str, **more: Any) -> list[Any]:
    """The sessions of a local day."""
    start = epoch(f"{day}T00:00:00")
    answer = ask(client(site), "DescribeRoomInfo", SdkAppId=TOKYO, StartTime=start, EndTime=start + DAY_SECONDS, **more)
    assert answer.Total == len(answer.RoomList)
    found: list[Any] = answer.RoomList
    return found


def users(site: Site, room: Any, **more: Any) -> Any:
    """Who was in a session in the hour from its beginning."""
    span = {"StartTime": room.CreateTime, "EndTime": room.CreateTime + 3600}
    return ask(client(site), "DescribeUserInfo", **{"SdkAppId": TOKYO, "CommId": room.CommId, **span, **more})


def test_a_room_that_empties_and_fills_again_has_two_sessions(site: Site) -> None:
    listed = [
        (room.RoomString, room.CreateTime - BEGIN, room.DestroyTime - BEGIN, room.IsFinished, room.UserId)
        for room in rooms(site, "2026-10-30")
    ]
    assert listed == [
        ("math", 0, 1200, True, "anna"),
        ("math", 3600, 4200, True, "anna"),
        (LATE, 49_800, 51_000, True, "cleo"),  # over midnight
    ]
    assert [room.RoomString for room in rooms(site, "2026-10-30", RoomId="math")] == ["math", "math"]
    assert rooms(site, "2026-10-30", RoomId="none") == []


def test_a_stay_over_midnight_is_the_same_on_both_days(site: Site) -> None:
    ((first,), (second,)) = (rooms(site, day, RoomId=LATE) for day in ("2026-10-30", "2026-10-31"))
    assert first.CommId == second.CommId
    assert (second.CreateTime - BEGIN, second.DestroyTime - BEGIN) == (49_800, 51_000)
    (cleo,) = users(site, second, StartTime=second.DestroyTime - 60, EndTime=second.DestroyTime).UserList
    assert (cleo.JoinTs, cleo.LeaveTs) == (second.CreateTime, second.DestroyTime)


def test_users_of_a_session_have_their_stays_and_corrections_are_in_them(site: Site) -> None:
    (first, second, _) = rooms(site, "2026-10-30")
    found = users(site, first)
    stays = [(user.UserId, user.JoinTs - BEGIN, user.LeaveTs - BEGIN, user.Finished) for user in found.UserList]
    assert (found.Total, stays) == (3, [("anna", 0, 990, True), ("ben", 70, 1200, True), ("dora", 300, 490, True)])
    assert {user.RoomStr for user in found.UserList} == {"math"}
    assert [user.UserId for user in users(site, second).UserList] == ["anna", "ben"]
    only = users(site, first, UserIds=["ben", "nobody"])
    assert (only.Total, [user.UserId for user in only.UserList]) == (1, ["ben"])


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_a_list_of_users_comes_in_a_body_and_in_a_query(site: Site, method: str) -> None:
    (first, *_) = rooms(site, "2026-10-30")
    answer = ask(
        client(site, method=method, signMethod="HmacSHA256"),
        "DescribeUserInfo",
        SdkAppId=TOKYO,
        CommId=first.CommId,
        StartTime=BEGIN,
        EndTime=BEGIN + 3600,
        UserIds=["dora", "anna"],
    )
    assert [user.UserId for user in answer.UserList] == ["anna", "dora"]


def test_a_room_that_goes_on_ends_where_the_last_refresh_did(site: Site) -> None:
    (room,) = rooms(site, "2026-11-02")
    assert (room.IsFinished, room.CreateTime, room.UserId) == (False, epoch("2026-11-02T10:00:00"), "anna")
    assert room.DestroyTime == epoch("2026-11-02T18:00:00")
    stays = [(user.UserId, user.Finished, user.LeaveTs) for user in users(site, room).UserList]
    assert stays == [("anna", True, epoch("2026-11-02T10:30:00")), ("ben", False, room.DestroyTime)]


def test_pages_of_rooms_join_to_all(site: Site) -> None:
    pages = [rooms(site, "2026-10-31", PageNumber=number, PageSize=5) for number in range(4)]
    assert [len(page) for page in pages] == [5, 5, 4, 0]
    names = [room.RoomString for page in pages for room in page]
    assert names == [LATE, *(f"r{number:02}" for number in range(12)), "seminar"]
    assert len(rooms(site, "2026-10-31")) == 10  # without a page: the first of the usual size


def test_pages_of_users_join_to_all(site: Site) -> None:
    (seminar,) = rooms(site, "2026-10-31", RoomId="seminar")
    pages = [users(site, seminar, PageNumber=number, PageSize=3) for number in range(4)]
    assert [len(page.UserList) for page in pages] == [3, 3, 2, 0]
    assert {page.Total for page in pages} == {8}
    assert [user.UserId for page in pages for user in page.UserList] == [f"u{number:02}" for number in range(8)]
    assert len(users(site, seminar).UserList) == 6  # without a page: the first of the usual size
    named = [f"u{number:02}" for number in range(8)]
    assert len(users(site, seminar, UserIds=named).UserList) == 8


def test_the_scale_of_days(site: Site) -> None:
    answer = ask(
        client(site), "DescribeScaleInfo", SdkAppId=TOKYO, StartTime=MIDNIGHT, EndTime=MIDNIGHT + 3 * DAY_SECONDS
    )
    days = [(each.Time - MIDNIGHT, each.RoomNumbers, each.UserNumber, each.UserCount) for each in answer.ScaleList]
    assert days == [(0, 2, 4, 6), (DAY_SECONDS, 14, 21, 21), (2 * DAY_SECONDS, 0, 0, 0)]
    assert answer.Total == 3


@pytest.mark.parametrize(
    ("action", "more", "code"),
    [
        ("DescribeRoomInfo", {"EndTime": BEGIN + 86_401}, "InvalidParameter"),
        ("DescribeRoomInfo", {"EndTime": BEGIN}, "InvalidParameter"),
        ("DescribeRoomInfo", {"PageNumber": 0, "PageSize": 101}, "InvalidParameter"),
        ("DescribeRoomInfo", {"PageNumber": -1, "PageSize": 1}, "InvalidParameter"),
        ("DescribeRoomInfo", {"SdkAppId": 7}, "AuthFailure.UnauthorizedOperation"),
        ("DescribeUserInfo", {}, "MissingParameter"),
        ("DescribeUserInfo", {"CommId": f"{BERLIN}_math_1"}, "InvalidParameter"),
        ("DescribeUserInfo", {"CommId": f"{TOKYO}_math_{BEGIN + 1}"}, "ResourceNotFound"),
        ("DescribeUserInfo", {"CommId": f"{TOKYO}_math_{BEGIN}", "UserIds": []}, "InvalidParameter"),
        (
            "DescribeUserInfo",
            {"CommId": f"{TOKYO}_math_{BEGIN}", "EndTime": BEGIN + 4 * 3600 + 1},
            "InvalidParameter",
        ),
        ("DescribeScaleInfo", {"EndTime": BEGIN + 31 * 86_400 + 1}, "InvalidParameter"),
    ],
)
def test_what_cannot_be_meant_is_refused(site: Site, action: str, more: dict[str, Any], code: str) -> None:
    with pytest.raises(TencentCloudSDKException) as refused:
        ask(client(site), action, **{"SdkAppId": TOKYO, "StartTime": BEGIN, "EndTime": BEGIN + 3600, **more})
    assert refused.value.code == code


_VALUES = (
    st.sampled_from(
        [TOKYO, str(TOKYO), BEGIN, BEGIN + 3600, "2026-10-30", "2026-10-31", "2026-10-30 00:00", "0001-01-01"]
    )
    | st.sampled_from(["9999-12-31", "9999-12-31 24:00", f"{TOKYO}_math_{BEGIN}", "2026-02-30", "\ud800", "\x00", ""])
    | st.integers(-1, 200)
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=9),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=5,
    )
)
_NAMES = ("SdkAppId", "SdkAppid", "StartTime", "EndTime", "RoomId", "CommId", "UserIds", "PageNumber", "PageSize")


@settings(max_examples=4 * SLOW_EXAMPLES)
@example(action="DescribeRoomInfo", parameters={"RoomId": "\ud800"}, is_likely=True)
@example(action="DescribeUserInfo", parameters={"CommId": f"{TOKYO}_\ud800_1"}, is_likely=True)
@given(
    action=st.sampled_from(sorted(ACTIONS)),
    parameters=st.fixed_dictionaries({}, optional=dict.fromkeys(_NAMES, _VALUES)),
    is_likely=st.booleans(),
)
def test_no_signed_call_makes_the_service_fail(
    site: Site, action: str, parameters: dict[str, Any], is_likely: bool
) -> None:
    app = {"SdkAppid" if action == "DescribeTrtcRoomUsage" else "SdkAppId": TOKYO}
    given = {**app, "StartTime": BEGIN, "EndTime": BEGIN + 3600, **parameters} if is_likely else parameters
    answer = posted(site, action, json.dumps(given).encode())
    assert answer.get("Error", {}).get("Code") not in ("InternalError", "FailedOperation"), answer


def test_only_what_is_metered_again_takes_a_turn_and_only_for_a_known_key(site: Site) -> None:
    home = Home.at(site.commands.home)
    installation = Installation.of(home, open_database(home.database))
    usage = {"StartTime": "2026-10-30", "EndTime": "2026-10-30", "SdkAppId": TOKYO}
    scale = {"StartTime": MIDNIGHT, "EndTime": MIDNIGHT + DAY_SECONDS, "SdkAppId": TOKYO}

    async def asked() -> tuple[list[str], dict[str, Any]]:
        transport = httpx.ASGITransport(app=application(installation))  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://billing") as sender:

            async def call(action: str, parameters: dict[str, Any], **more: Any) -> dict[str, Any]:
                body = json.dumps(parameters).encode()
                headers = signed("billing", action, body, at=int(time.time()), **more)
                found: dict[str, Any] = (await sender.post("/", content=body, headers=headers)).json()["Response"]
                return found

            await call("DescribeScaleInfo", scale)  # what it loads is loaded
            installation.heavy_work.total_tokens = 1
            async with installation.heavy_work:
                waiting = asyncio.create_task(call("DescribeScaleInfo", scale))
                light = [await call("DescribeTrtcUsage", usage), await call("DescribeScaleInfo", scale, key="wrong")]
                done, _ = await asyncio.wait([waiting], timeout=1)
                assert not done
            return [answer.get("Error", {}).get("Code", "answered") for answer in light], await waiting

    light, heavy = outcome(asked())
    assert light == ["answered", "AuthFailure.SignatureFailure"]
    assert heavy["Total"] == 1
