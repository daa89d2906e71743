"""The frame of every page: template, words, language, navigation and the headers that keep it safe.

Nothing on a page comes from elsewhere, and no text of a page is ever run: `Content-Security-Policy` allows own files
only, templates escape all that they fill in.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from litestar import Request, Response
from litestar.response import Redirect

from billing import __version__
from billing.catalog.catalog import Account
from billing.catalog.items import short_name
from billing.catalog.packages import is_free_minutes
from billing.ledger.tokens import Caller, Session
from billing.web.console import number_formats
from billing.web.console.static_contents import stamp_of
from billing.web.console.wording import LANGUAGE_COOKIE, Wording, chosen_language, wording
from billing.web.media_types import MEDIA_TYPES

HTML = "text/html"
_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
SAFE_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}

Asked = Request[Caller, Session, Any]

_FORMATS = ("count", "signed", "money", "exact", "percent", "clock", "instant", "day", "month", "decimals")


def _environment() -> Environment:
    found = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters.update({name: getattr(number_formats, name) for name in _FORMATS})
    found.filters["short_name"] = short_name
    found.tests["free_minutes"] = is_free_minutes
    found.globals.update(version=__version__, link=link, static=_static)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Who looks at a page, in which language, and at which account."""

    w: Wording
    caller: Caller | None
    csrf: str
    here: str
    account: Account | None = None


def link(path: str, **query: object) -> str:
    """A path of the console with a query; parts that are None are left out."""
    known = {name.rstrip("_"): value for name, value in query.items() if value is not None}
    return f"/console{quote(path)}{'?' + urlencode(known) if known else ''}"


def _static(name: str) -> str:
    return f"/console/static/{stamp_of(name)}/{name}"


def words_of(request: Request[Any, Any, Any]) -> Wording:
    """The words in the language of a browser."""
    cookie = request.cookies.get(LANGUAGE_COOKIE)
    return wording(chosen_language(cookie, request.headers.get("accept-language", "")))


def page(
    request: Request[Any, Any, Any],
    template: str,
    *,
    account: Account | None = None,
    status: int = HTTPStatus.OK,
    csrf: str = "",
    **values: object,
) -> Response[bytes]:
    """A page from its template; `account` is the one that it is about."""
    session: Session | None = request.scope.get("auth")
    frame = Frame(
        w=words_of(request),
        caller=request.scope.get("user"),
        csrf=session.csrf if session else csrf,
        here=_address(request),
        account=account or _own_account(request),
    )
    text = _TEMPLATES.get_template(f"{template}.html").render(frame=frame, w=frame.w, account=frame.account, **values)
    return Response(text.encode(), status_code=status, media_type=HTML, headers=SAFE_HEADERS)


def see(path: str, **query: object) -> Redirect:
    """Sends the browser to another page, as the answer to a form."""
    return Redirect(link(path, **query), status_code=303, headers=SAFE_HEADERS)


def download(content: bytes, *, name: str, form: str) -> Response[bytes]:
    """A file to be saved; its form is one of `MEDIA_TYPES`."""
    charset = "; charset=utf-8" if form == "csv" else ""
    headers: Mapping[str, str] = {
        **SAFE_HEADERS,
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}",
    }
    return Response(content, media_type=f"{MEDIA_TYPES[form]}{charset}", headers=dict(headers))


def _own_account(request: Request[Any, Any, Any]) -> Account | None:
    """The account of a customer, which is in view on every page."""
    caller: Caller | None = request.scope.get("user")
    if caller is None or caller.account_id is None:
        return None
    accounts: Mapping[str, Account] = request.app.state.installation.catalog().accounts
    return accounts.get(caller.account_id)


def _address(request: Request[Any, Any, Any]) -> str:
    query = request.url.query
    return f"{request.url.path}{'?' + query if query else ''}"


_TEMPLATES = _environment()
