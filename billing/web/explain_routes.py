"""Explanations: where an amount comes from, down to the events."""

from collections.abc import Callable
from typing import Any

from litestar import Response, Router, get

from billing.catalog.catalog import Account, App
from billing.catalog.items import ITEMS
from billing.output_files import MemoryOutput
from billing.reports.explain import Explanation, explain
from billing.reports.explanation_page import explanation_page
from billing.reports.explanation_rows import printed_report
from billing.reports.explanation_workbook import write_explanation
from billing.reports.invoice_files import file_names
from billing.reports.question import Question
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
_FORMS = ("json", "csv", "xlsx", "html")
_OF_ROOM = (_ITEM, _WINDOW, _USER, _AT, RUN)


@get(
    "/",
    opt=offers(
        *(_ACCOUNT, _MONTH, APP, _DAY, _ROOM, *_OF_ROOM),
        rows=row_schemas.EXPLANATION,
        forms=_FORMS,
        is_paged=False,
    ),
)
async def explained(inquiry: Asked) -> Response[bytes]:
    """Where an amount comes from: its lines, charges, windows with who paid, rooms with their shares, and stretches of
    users with what was received and the events that begin and end them. What the question is too wide for is null. In
    CSV a row is one of the narrowest of these; HTML has a picture of the rooms, and a workbook live formulas."""
    return await inquiry.in_turn(lambda: _answer(inquiry, _of_account))


def _of_account(inquiry: Inquiry, account: Account) -> Explanation:
    app_id = inquiry["app"]
    if app_id is not None:
        inquiry.own_app(app_id, account)
    return _explanation(
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
        forms=_FORMS,
        is_paged=False,
    ),
)
async def timeline(inquiry: Asked) -> Response[bytes]:
    """The stretches of everybody in a room on a billed day: what each received, its seconds, and the events that begin
    and end it. It is the explanation of that room and day."""
    return await inquiry.in_turn(lambda: _answer(inquiry, _of_room))


def _of_room(inquiry: Inquiry, app: App) -> Explanation:
    room_id = inquiry.names["room_id"]
    return _explanation(inquiry, account_id=app.account, app_id=app.id, day=inquiry["day"], room_id=room_id)


def _explanation(inquiry: Inquiry, **asked: Any) -> Explanation:
    narrowed = {"item": "item", "window": "window", "user_id": "user", "at": "at", "run": "run"}
    question = Question(**asked, **{field: inquiry[name] for field, name in narrowed.items()})
    return explain(inquiry.installation.home, inquiry.engine, question)


def _answer(inquiry: Inquiry, explained: Callable[[Inquiry, Any], Explanation]) -> Response[bytes]:
    if inquiry.form in ("json", "csv"):
        return inquiry.rows(lambda about: printed_report(explained(inquiry, about), inquiry.form), follows="log")
    return inquiry.file(lambda about: _file(explained(inquiry, about), inquiry.form), follows="log")


def _file(explanation: Explanation, form: str) -> tuple[str, bytes]:
    name = f"{file_names([explanation.scope.question.account_id]).popitem()[1]}-explained.{form}"
    if form == "html":
        return name, "".join(explanation_page(explanation)).encode()
    output = MemoryOutput()
    write_explanation(explanation, output)
    return name, output.content.getvalue()


explain_router = Router("/v1/explain", route_handlers=[explained], guards=[needs("read")], tags=["accounts"])
timeline_router = Router("/v1/apps", route_handlers=[timeline], guards=[needs("read")], tags=["apps"])
