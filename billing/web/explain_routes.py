"""Explanations: where an amount comes from, down to the events."""

from typing import Any

from litestar import Response, Router, get

from billing.catalog.catalog import Account, App
from billing.catalog.items import ITEMS
from billing.reports.explain import explain
from billing.reports.explanation_rows import printed_report
from billing.reports.question import Question
from billing.reports.row_formats import Report
from billing.web import parameters, row_schemas
from billing.web.access import needs
from billing.web.inquiries import Asked, Inquiry, offers
from billing.web.parameters import APP, RUN

_ACCOUNT = parameters.text("account", "The account.", "academy", is_required=True)
_MONTH = parameters.month("The month; without it, that of the day.")
_ITEM = parameters.choice("item", ITEMS, "Only this item.")
_DAY = parameters.day("day", "Only the usage of this day.")
_WINDOW = parameters.text(
    "window", "Only the 5 minutes that hold this instant: 10:05 of the day, or RFC 3339.", "10:05"
)
_ROOM = parameters.text("room", "The stretches of this room.", "math")
_USER = parameters.text("user", "Only the stretches of this user.", "anna")
_AT = parameters.text("at", "Only what holds at this instant: 10:07:30 of the day, or RFC 3339.", "10:07:30")
_OF_ROOM = (_ITEM, _WINDOW, _USER, _AT, RUN)


@get(
    "/",
    opt=offers(_ACCOUNT, _MONTH, APP, _DAY, _ROOM, *_OF_ROOM, rows=row_schemas.EXPLANATION, is_paged=False),
)
async def explained(inquiry: Asked) -> Response[bytes]:
    """Where an amount comes from: its lines, charges, windows with who paid, rooms with their shares, and stretches of
    users with what was received and the events that begin and end them. What the question is too wide for is null. In
    CSV a row is one of the narrowest of these."""
    return await inquiry.in_turn(lambda: inquiry.rows(lambda account: _of_account(inquiry, account), follows="log"))


def _of_account(inquiry: Inquiry, account: Account) -> Report:
    app_id = inquiry["app"]
    if app_id is not None:
        inquiry.own_app(app_id, account)
    return _answer(
        inquiry,
        account_id=account.id,
        month=inquiry["month"],
        app_id=app_id,
        day=inquiry["day"],
        room_id=inquiry["room"],
    )


@get(
    "/{app_id:str}/rooms/{room_id:str}/timeline",
    opt=offers(
        parameters.day("day", "The day, where the account is.", is_required=True),
        *_OF_ROOM,
        rows=row_schemas.EXPLANATION,
        is_paged=False,
    ),
)
async def timeline(inquiry: Asked) -> Response[bytes]:
    """The stretches of everybody in a room on a billed day: what each received, its seconds, and the events that begin
    and end it. It is the explanation of that room and day."""
    return await inquiry.in_turn(lambda: inquiry.rows(lambda app: _of_room(inquiry, app), follows="log"))


def _of_room(inquiry: Inquiry, app: App) -> Report:
    return _answer(inquiry, account_id=app.account, app_id=app.id, day=inquiry["day"], room_id=inquiry.names["room_id"])


def _answer(inquiry: Inquiry, **asked: Any) -> Report:
    narrowed = {"item": "item", "window": "window", "user_id": "user", "at": "at", "run": "run"}
    question = Question(**asked, **{field: inquiry[name] for field, name in narrowed.items()})
    explanation = explain(inquiry.installation.home, inquiry.engine, question)
    return printed_report(explanation, inquiry.form)


explain_router = Router("/v1/explain", route_handlers=[explained], guards=[needs("read")], tags=["accounts"])
timeline_router = Router("/v1/apps", route_handlers=[timeline], guards=[needs("read")], tags=["apps"])
