"""Estimates: what a month would cost, asked with the names of the command's options."""

from typing import Annotated, Any

from litestar import Request, Response, Router, post
from litestar.exceptions import ClientException
from msgspec import Meta, Struct

from billing.catalog.feeds import Size, parse_size
from billing.catalog.file_values import MOST_MINUTES
from billing.errors import UsageError
from billing.periods import now
from billing.reports.estimate_report import estimate_report, scenario_tariff
from billing.reports.estimate_scenario import MOST_KINDS, Scenario
from billing.reports.planned_rooms import (
    LONGEST_MINUTES,
    MOST,
    MOST_DAYS,
    USUAL_DAYS,
    PlannedRooms,
    Room,
    check_number,
    live_room,
)
from billing.reports.row_formats import Report
from billing.web import row_schemas
from billing.web.access import needs
from billing.web.access_log import ONLY_READS
from billing.web.bodies import read_body
from billing.web.inquiries import Asked, Inquiry, offers

_PictureSize = Annotated[
    str, Meta(extra_json_schema={"pattern": "^[1-9][0-9]{0,3}x[1-9][0-9]{0,3}$", "examples": ["1280x720"]})
]


def _between(least: int, most: int) -> Any:
    """Bounds that the schema shows; the check is that of the command."""
    return Meta(extra_json_schema={"minimum": least, "maximum": most})


_Days = Annotated[int, _between(1, MOST_DAYS)]


class _Rooms(Struct, kw_only=True, forbid_unknown_fields=True):
    """What calls and live rooms have in common."""

    minutes: Annotated[int, _between(1, LONGEST_MINUTES)]
    camera: list[_PictureSize] = []
    screen: _PictureSize | None = None

    @property
    def cameras(self) -> tuple[Size, ...]:
        """The picture sizes of the cameras."""
        return tuple(_size("camera", text) for text in self.camera)

    @property
    def screens(self) -> Size | None:
        """The picture size of the screen share."""
        return None if self.screen is None else _size("screen", self.screen)


class _Calls(_Rooms, kw_only=True, forbid_unknown_fields=True):
    calls_per_day: Annotated[int, _between(1, MOST)]
    users: Annotated[int, _between(1, MOST)]

    def planned(self, days: int) -> PlannedRooms:
        """The calls of so many days."""
        check_number("calls_per_day", self.calls_per_day, 1)
        room = Room(users=self.users, cameras=self.cameras, screen=self.screens)
        return PlannedRooms(room=room, rooms_per_day=self.calls_per_day, minutes=self.minutes, days=days)


class _LiveRooms(_Rooms, kw_only=True, forbid_unknown_fields=True):
    rooms_per_day: Annotated[int, _between(1, MOST)]
    anchors: Annotated[int, _between(1, MOST)]
    audience: Annotated[int, _between(0, MOST)]

    def planned(self, days: int) -> PlannedRooms:
        """The live rooms of so many days."""
        check_number("rooms_per_day", self.rooms_per_day, 1)
        room = live_room(anchors=self.anchors, audience=self.audience, cameras=self.cameras, screen=self.screens)
        return PlannedRooms(room=room, rooms_per_day=self.rooms_per_day, minutes=self.minutes, days=days)


class Calls(_Calls, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="call"):
    """A month of calls: everybody receives the cameras and the screen of all the others. Give either
    `policy` or `account`."""

    policy: str | None = None
    account: str | None = None
    days: _Days = USUAL_DAYS

    def scenario(self) -> Scenario:
        """The month."""
        return Scenario(rooms=(self.planned(self.days),), policy=self.policy, account=self.account)


class LiveRooms(_LiveRooms, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="live"):
    """A month of live rooms: anchors publish, the audience watches. Give either `policy` or `account`."""

    policy: str | None = None
    account: str | None = None
    days: _Days = USUAL_DAYS

    def scenario(self) -> Scenario:
        """The month."""
        return Scenario(rooms=(self.planned(self.days),), policy=self.policy, account=self.account)


class SomeCalls(_Calls, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="call"):
    """Calls of a scenario, on days of their own if they say so."""

    days: _Days | None = None


class SomeLiveRooms(_LiveRooms, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="live"):
    """Live rooms of a scenario, on days of their own if they say so."""

    days: _Days | None = None


class SeveralKinds(Struct, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="scenario"):
    """A month of calls and live rooms of several kinds, as one bill. Give either `policy` or `account`."""

    room: Annotated[list[SomeCalls | SomeLiveRooms], Meta(extra_json_schema={"minItems": 1, "maxItems": MOST_KINDS})]
    policy: str | None = None
    account: str | None = None
    days: _Days = USUAL_DAYS
    free_minutes: Annotated[int, _between(0, MOST_MINUTES)] | None = None

    def scenario(self) -> Scenario:
        """The month."""
        check_number("room", len(self.room), 1, MOST_KINDS)
        if self.free_minutes is not None:
            check_number("free_minutes", self.free_minutes, 0, MOST_MINUTES)
        rooms = tuple(each.planned(self.days if each.days is None else each.days) for each in self.room)
        return Scenario(rooms=rooms, policy=self.policy, account=self.account, free_minutes=self.free_minutes)


Month = Calls | LiveRooms | SeveralKinds


def _size(name: str, text: str) -> Size:
    try:
        return parse_size(text)
    except UsageError as error:
        raise ClientException(f"{name}: {error}") from None


@post(
    "/",
    status_code=200,
    opt={**offers(rows=row_schemas.ESTIMATE, is_paged=False, body=Month), **ONLY_READS},
)
async def make_estimate(request: Request[Any, Any, Any], inquiry: Asked) -> Response[bytes]:
    """What a month of calls, live rooms, or several kinds will cost, as it would be billed: minutes and list amounts
    by item, what is to be paid without a package, with each package, and with the cheapest set of several."""
    asked = read_body(await request.body(), Month)
    return await inquiry.at_once(lambda: inquiry.result(_estimate(inquiry, asked)))


def _estimate(inquiry: Inquiry, asked: Month) -> Report:
    if asked.account is not None:
        inquiry.account(asked.account)
    scenario = asked.scenario()
    return estimate_report(scenario.rooms, scenario_tariff(inquiry.installation.catalog, scenario, now()))


estimate_router = Router("/v1/estimate", route_handlers=[make_estimate], guards=[needs("read")], tags=["estimates"])
