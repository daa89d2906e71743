"""Rooms and their users in the shapes of the Tencent Cloud API.

`DescribeRoomInfo`: the sessions of the rooms of an app in at most 24 hours; `CommId` names a session:
`1400000001_math_1773104400`. `DescribeUserInfo`: who was in it, one row a stay. `DescribeScaleInfo`: rooms, users and
stays of each settled day.

What media servers do not report (device, SDK, address) is empty. Who has not left, and a room that still goes on, have
as their end the instant up to which they are known.
"""

import re
from typing import Any

import polars as pl

from billing.periods import DAY_SECONDS
from billing.reports.room_list import daily_scale, room_sessions, session_stays
from billing.web.tencent.arguments import Arguments
from billing.web.tencent.call_errors import CallError, invalid
from billing.web.tencent.readers import Reader
from billing.web.tencent.usage_actions import MOST_DAYS

ROOMS_A_PAGE = 10
USERS_A_PAGE = 6
_USERS_SECONDS = 4 * 3600
_SESSION = re.compile(r"(?P<app>[0-9]{1,16})_(?P<room>.+)_(?P<created>[0-9]{1,11})", re.DOTALL)


def describe_rooms(reader: Reader, given: Arguments) -> dict[str, Any]:
    """`DescribeRoomInfo`."""
    given.allow("SdkAppId", "StartTime", "EndTime", "RoomId", "PageNumber", "PageSize")
    app, span, page = reader.app(given.app()), given.span(most_seconds=DAY_SECONDS), given.page(ROOMS_A_PAGE)
    room_id = given.text("RoomId") if given.has("RoomId") else None
    sessions = room_sessions(reader.home, reader.engine, app.id, *span, room_id=room_id)
    rooms = [_room(app.id, row) for row in sessions.slice(page.first, page.size).iter_rows(named=True)]
    return {"Total": len(rooms), "RoomList": rooms}


def _room(app_id: int, session: dict[str, Any]) -> dict[str, Any]:
    return {
        "CommId": f"{app_id}_{session['room_id']}_{session['created_at']}",
        "RoomString": session["room_id"],
        "CreateTime": session["created_at"],
        "DestroyTime": session["ended_at"],
        "IsFinished": not session["is_open"],
        "UserId": session["user_id"],
    }


def describe_users(reader: Reader, given: Arguments) -> dict[str, Any]:
    """`DescribeUserInfo`."""
    given.allow("SdkAppId", "CommId", "StartTime", "EndTime", "UserIds", "PageNumber", "PageSize")
    app, span, page = reader.app(given.app()), given.span(most_seconds=_USERS_SECONDS), given.page(USERS_A_PAGE)
    session = _session(given, app.id)
    users = given.names("UserIds") if given.has("UserIds") else None
    stays = session_stays(reader.home, reader.engine, app.id, *span, session=session, users=users)
    if stays is None:
        raise CallError("ResourceNotFound", "there is no such CommId in this time: DescribeRoomInfo lists them")
    shown = stays if users is not None and not given.has("PageSize") else stays.slice(page.first, page.size)
    return {"Total": stays.height, "UserList": [_user(row) for row in shown.iter_rows(named=True)]}


def _session(given: Arguments, app_id: int) -> tuple[str, int]:
    found = _SESSION.fullmatch(given.text("CommId"))
    if not found or int(found["app"]) != app_id:
        raise invalid("CommId is not one of this app: DescribeRoomInfo lists them")
    return found["room"], int(found["created"])


def _user(stay: dict[str, Any]) -> dict[str, Any]:
    return {
        "RoomStr": stay["room_id"],
        "UserId": stay["user_id"],
        "JoinTs": stay["start"],
        "LeaveTs": stay["end"],
        "DeviceType": "",
        "SdkVersion": "",
        "ClientIp": "",
        "Finished": not stay["is_open"],
    }


def describe_scale(reader: Reader, given: Arguments) -> dict[str, Any]:
    """`DescribeScaleInfo`."""
    given.allow("SdkAppId", "StartTime", "EndTime")
    app, span = reader.app(given.app()), given.span(most_seconds=MOST_DAYS * DAY_SECONDS)
    days = daily_scale(reader.home, reader.engine, app.id, *span)
    return {"Total": days.height, "ScaleList": list(_scale(days))}


def _scale(days: pl.DataFrame) -> list[dict[str, Any]]:
    return [
        {"Time": row["start"], "RoomNumbers": row["rooms"], "UserNumber": row["users"], "UserCount": row["stays"]}
        for row in days.iter_rows(named=True)
    ]
