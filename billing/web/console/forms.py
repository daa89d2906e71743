"""Forms: whether one that a browser sends was on a page of ours, and what it holds.

Every form has the session's token in the field `csrf`; a browser says where a request comes from (`Sec-Fetch-Site`).
The form of the login stands on a page without session: its token is in a cookie of its own.
"""

import hmac
from datetime import date
from typing import Any
from urllib.parse import parse_qs

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.exceptions import PermissionDeniedException
from litestar.handlers.base import BaseRouteHandler

from billing.errors import UsageError
from billing.ledger.tokens import Session
from billing.periods import parse_day, parse_month

LOGIN_COOKIE = "billing_login"
_READS = ("GET", "HEAD", "OPTIONS")
_FOREIGN = "this form was not sent by a page of this console: open the page again and send it from there"


async def own_forms(connection: ASGIConnection[Any, Any, Any, Any], _handler: BaseRouteHandler) -> None:
    """A guard: what writes must come from a form of ours."""
    if connection.scope.get("method") in _READS:
        return
    if connection.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        raise PermissionDeniedException(_FOREIGN)
    session: Session | None = connection.scope.get("auth")
    expected = session.csrf if session else connection.cookies.get(LOGIN_COOKIE, "")
    sent = (await read_form(Request(connection.scope, connection.receive))).get("csrf", "")
    if not expected or not hmac.compare_digest(expected.encode(), sent.encode()):
        raise PermissionDeniedException(_FOREIGN)


async def read_form(request: Request[Any, Any, Any]) -> dict[str, str]:
    """The fields of a form, each once; line ends as LF."""
    content_type = request.headers.get("content-type", "")
    if not content_type.startswith("application/x-www-form-urlencoded"):
        return {}
    fields = parse_qs((await request.body()).decode(errors="replace"), keep_blank_values=True)
    return {name: values[-1].replace("\r\n", "\n") for name, values in fields.items()}


def day_of(request: Request[Any, Any, Any], name: str) -> date | None:
    """A day in the address; None if it is not there."""
    text = asked(request, name)
    return parse_day(text) if text else None


def month_of(request: Request[Any, Any, Any], name: str = "month") -> date | None:
    """A month in the address; None if it is not there."""
    text = asked(request, name)
    return parse_month(text) if text else None


def number_of(request: Request[Any, Any, Any], name: str) -> int | None:
    """A whole number in the address; None if it is not there."""
    text = asked(request, name)
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= 15):
        raise UsageError(f"{name}: {text!r} is not a whole number")
    return int(text)


def choice_of(request: Request[Any, Any, Any], name: str, choices: tuple[str, ...]) -> str:
    """One of some words in the address; the first if it is not there."""
    text = asked(request, name) or choices[0]
    if text not in choices:
        raise UsageError(f"{name}: {text!r} is not one of {', '.join(choices)}")
    return text


def name_of(request: Request[Any, Any, Any], name: str) -> str | None:
    """A name that others gave, exactly as it is in the address; None if it is not there."""
    return request.query_params.get(name) or None


def asked(request: Request[Any, Any, Any], name: str) -> str:
    """A text in the address, empty if it is not there."""
    return str(request.query_params.get(name) or "").strip()
