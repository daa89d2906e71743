"""Estimates: what a month would cost, asked with the names of the command's options."""

from typing import Annotated, Any

from litestar import Request, Response, Router, post
from litestar.exceptions import ClientException
from msgspec import Meta, Struct

from billing.catalog.feeds import Size, parse_size
from billing.errors import UsageError
from billing.periods import now
from billing.reports.estimate import LONGEST_MINUTES, MOST, MOST_DAYS, Room, check_number, live_room
from billing.reports.estimate_report import asked_tariff, estimate_report
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


class _Month(Struct, kw_only=True, forbid_unknown_fields=True):
    """What calls and live rooms have in common. Give either `policy` or `account`."""

    minutes: Annotated[int, _between(1, LONGEST_MINUTES)]
    policy: str | None = None
    account: str | None = None
    days: Annotated[int, _between(1, MOST_DAYS)] = 30
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


class Calls(_Month, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="call"):
    """A month of calls: everybody receives the cameras and the screen of all the others."""

    calls_per_day: Annotated[int, _between(1, MOST)]
    users: Annotated[int, _between(1, MOST)]

    def room(self) -> tuple[Room, int]:
        """One call, and how many there are on a day."""
        check_number("calls_per_day", self.calls_per_day, 1)
        return Room(users=self.users, cameras=self.cameras, screen=self.screens), self.calls_per_day


class LiveRooms(_Month, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="live"):
    """A month of live rooms: anchors publish, the audience watches."""

    rooms_per_day: Annotated[int, _between(1, MOST)]
    anchors: Annotated[int, _between(1, MOST)]
    audience: Annotated[int, _between(0, MOST)]

    def room(self) -> tuple[Room, int]:
        """One room, and how many there are on a day."""
        check_number("rooms_per_day", self.rooms_per_day, 1)
        room = live_room(anchors=self.anchors, audience=self.audience, cameras=self.cameras, screen=self.screens)
        return room, self.rooms_per_day


def _size(name: str, text: str) -> Size:
    try:
        return parse_size(text)
    except UsageError as error:
        raise ClientException(f"{name}: {error}") from None


@post(
    "/",
    status_code=200,
    opt={**offers(rows=row_schemas.ESTIMATE, is_paged=False, body=Calls | LiveRooms), **ONLY_READS},
)
async def make_estimate(request: Request[Any, Any, Any], inquiry: Asked) -> Response[bytes]:
    """What a month of calls or live rooms will cost, as it would be billed: minutes and list amounts by item, what is
    to be paid without a package, with each package, and with the cheapest set of several."""
    asked = read_body(await request.body(), Calls | LiveRooms)
    return await inquiry.at_once(lambda: inquiry.result(_estimate(inquiry, asked)))


def _estimate(inquiry: Inquiry, asked: Calls | LiveRooms) -> Report:
    if asked.account is not None:
        inquiry.account(asked.account)
    tariff = asked_tariff(inquiry.installation.catalog, policy=asked.policy, account=asked.account, at=now())
    room, rooms_per_day = asked.room()
    return estimate_report(room, tariff, rooms_per_day=rooms_per_day, minutes=asked.minutes, days=asked.days)


estimate_router = Router("/v1/estimate", route_handlers=[make_estimate], guards=[needs("read")], tags=["estimates"])
