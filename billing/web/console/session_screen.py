"""Logging in with a token, logging out, and the choice of a language.

The token is sent once; the browser keeps the secret of a session (`billing.ledger.tokens`) in a cookie that scripts and
other sites cannot use. A token of scope `ingest` reads nothing, so it opens no session.
"""

import secrets
from http import HTTPStatus
from typing import Any

from litestar import Request, Response, get, post
from litestar.datastructures import Cookie
from litestar.di import NamedDependency
from litestar.exceptions import NotFoundException
from litestar.params import FromPath
from litestar.response import Redirect

from billing.invoicing.words import LANGUAGES
from billing.ledger.database import writing
from billing.ledger.tokens import SESSION_SECONDS, close_session, open_session
from billing.web.access import CONSOLE, IS_OPEN, SESSION_COOKIE
from billing.web.console.forms import LOGIN_COOKIE, asked, read_form
from billing.web.console.page_frame import SAFE_HEADERS, Asked, page, see, words_of
from billing.web.console.wording import LANGUAGE_COOKIE
from billing.web.installation import Installation

_YEAR_SECONDS = 365 * 86_400

Visitor = Request[Any, Any, Any]


@get("/login", opt=IS_OPEN)
async def login_form(request: Visitor) -> Response[bytes]:
    """The form for the token."""
    return _login_page(request, back=asked(request, "next"))


@post("/login", opt=IS_OPEN)
async def log_in(request: Visitor, installation: NamedDependency[Installation]) -> Response[Any]:
    """Opens a session, and goes on to the page that was asked for."""
    form = await read_form(request)
    caller = installation.caller(form.get("token", "").strip())
    if caller is None or not caller.may("read"):
        fault = words_of(request)("login.unknown" if caller is None else "login.no_scope")
        return _login_page(request, back=form.get("next", ""), fault=fault)
    request.scope["user"] = caller  # for the record of access
    with writing(installation.engine) as conn:
        secret = open_session(conn, caller)
    answer = Redirect(_own_page(form.get("next", "")), status_code=303, headers=SAFE_HEADERS)
    answer.set_cookie(_cookie(request, SESSION_COOKIE, secret, SESSION_SECONDS))
    answer.set_cookie(_cookie(request, LOGIN_COOKIE, "", 0))
    return answer


@post("/logout", sync_to_thread=True)
def log_out(request: Asked, installation: NamedDependency[Installation]) -> Response[Any]:
    """Ends the session."""
    with writing(installation.engine) as conn:
        close_session(conn, request.cookies[SESSION_COOKIE])
    answer = see("/login")
    answer.set_cookie(_cookie(request, SESSION_COOKIE, "", 0))
    return answer


@get("/language/{language:str}", opt=IS_OPEN)
async def choose_language(request: Visitor, language: FromPath[str]) -> Response[Any]:
    """Keeps the language in a cookie, and goes back."""
    if language not in LANGUAGES:
        raise NotFoundException(f"there is no language {language!r}: {', '.join(LANGUAGES)} are possible")
    back = _own_page(asked(request, "back"))
    answer = Redirect(back, status_code=303, headers=SAFE_HEADERS)
    answer.set_cookie(_cookie(request, LANGUAGE_COOKIE, language, _YEAR_SECONDS))
    return answer


def _login_page(request: Visitor, *, back: str, fault: str = "") -> Response[bytes]:
    csrf = request.cookies.get(LOGIN_COOKIE) or secrets.token_hex(32)
    status = HTTPStatus.UNAUTHORIZED if fault else HTTPStatus.OK
    answer = page(request, "login", csrf=csrf, status=status, back=_own_page(back), fault=fault)
    answer.set_cookie(_cookie(request, LOGIN_COOKIE, csrf, SESSION_SECONDS))
    return answer


def _own_page(path: str) -> str:
    """A page of the console; the first one in place of anything else."""
    is_own = path == CONSOLE or path.startswith((f"{CONSOLE}/", f"{CONSOLE}?"))
    return path if is_own and path.isprintable() and path.isascii() and "\\" not in path else CONSOLE


def _cookie(request: Visitor, name: str, value: str, seconds: int) -> Cookie:
    return Cookie(
        key=name,
        value=value,
        max_age=seconds,
        path=CONSOLE,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
