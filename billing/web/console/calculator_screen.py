"""The calculator: a form about rooms, and what a month of them would cost. The inputs are in the address.

/console/calculator?kind=call&policy=trtc-intl&per_day=20&users=3&minutes=45&cameras=1280x720
"""

import re
from dataclasses import dataclass
from typing import Any

from litestar import Response, get
from litestar.di import NamedDependency

from billing.catalog.feeds import parse_size
from billing.catalog.policies import builtin_policies
from billing.errors import UsageError
from billing.periods import now
from billing.reports.estimate import Estimate, Tariff, estimate, tariff_of_account, tariff_of_policy
from billing.reports.planned_rooms import Room, live_room
from billing.web.console.chosen import visible_accounts
from billing.web.console.forms import asked, choice_of
from billing.web.console.page_frame import Asked, page
from billing.web.installation import Installation

_POLICY, _ACCOUNT = "policy:", "account:"
_MOST_CAMERAS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """The fields of the form, as they were typed."""

    kind: str
    tariff: str
    per_day: str
    users: str
    anchors: str
    audience: str
    minutes: str
    days: str
    cameras: str
    screen: str


@get("/calculator", sync_to_thread=True)
def calculator(request: Asked, installation: NamedDependency[Installation]) -> Response[bytes]:
    """The form with the estimate."""
    inputs = _inputs(request)
    accounts = visible_accounts(request, installation)
    own = next((each for each in accounts if inputs.tariff == f"{_ACCOUNT}{each.id}"), None)
    return page(
        request,
        "calculator",
        account=own,
        inputs=inputs,
        policies=sorted(builtin_policies()),
        accounts=accounts,
        **_estimated(request, installation, inputs),
    )


@get("/calculator/estimate", sync_to_thread=True)
def calculated(request: Asked, installation: NamedDependency[Installation]) -> Response[bytes]:
    """The estimate alone, for the script that asks as one types."""
    return page(request, "estimate", **_estimated(request, installation, _inputs(request)))


def _inputs(request: Asked) -> Inputs:
    account = asked(request, "account") or request.user.account_id
    usual = f"{_ACCOUNT}{account}" if account else f"{_POLICY}trtc-intl"
    return Inputs(
        kind=choice_of(request, "kind", ("call", "live")),
        tariff=asked(request, "tariff") or usual,
        per_day=asked(request, "per_day") or "20",
        users=asked(request, "users") or "3",
        anchors=asked(request, "anchors") or "1",
        audience=asked(request, "audience") or "100",
        minutes=asked(request, "minutes") or "45",
        days=asked(request, "days") or "30",
        cameras=asked(request, "cameras") if "cameras" in request.query_params else "1280x720, 1280x720",
        screen=asked(request, "screen"),
    )


def _estimated(request: Asked, installation: Installation, inputs: Inputs) -> dict[str, Any]:
    """The estimate; or the one line that says which input is wrong."""
    try:
        return {"fault": "", "found": _estimate(_tariff(request, installation, inputs.tariff), inputs)}
    except UsageError as error:
        return {"fault": str(error), "found": None}


def _estimate(tariff: Tariff, inputs: Inputs) -> Estimate:
    cameras = tuple(parse_size(text) for text in re.split(r"[\s,;]+", inputs.cameras) if text)
    if len(cameras) > _MOST_CAMERAS:
        raise UsageError(f"{len(cameras)} cameras are too many here: up to {_MOST_CAMERAS}")
    screen = parse_size(inputs.screen) if inputs.screen else None
    if inputs.kind == "call":
        room = Room(users=_number("users", inputs.users), cameras=cameras, screen=screen)
    else:
        anchors, audience = _number("anchors", inputs.anchors), _number("audience", inputs.audience)
        room = live_room(anchors=anchors, audience=audience, cameras=cameras, screen=screen)
    per_day, minutes, days = (_number(name, getattr(inputs, name)) for name in ("per_day", "minutes", "days"))
    return estimate(room, tariff, rooms_per_day=per_day, minutes=minutes, days=days)


def _tariff(request: Asked, installation: Installation, text: str) -> Tariff:
    if text.startswith(_ACCOUNT):
        account = installation.account(request.user, text.removeprefix(_ACCOUNT))
        return tariff_of_account(installation.catalog(), account.id, now())
    return tariff_of_policy(text.removeprefix(_POLICY), now())


def _number(name: str, text: str) -> int:
    digits = text.replace(",", "")
    if not (digits.isascii() and digits.isdecimal() and len(digits) < 12):
        raise UsageError(f"{name}: {text!r} is not a whole number")
    return int(digits)
