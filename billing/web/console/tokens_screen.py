"""Tokens: who may ask what over HTTP. A new one is shown once, on the page that answers the form."""

from typing import Any

from anyio import to_thread
from litestar import Response, get, post
from litestar.di import NamedDependency

from billing.errors import UsageError
from billing.jobs.token_change import end_token, make_token
from billing.ledger.tokens import SCOPES
from billing.reports.token_list import token_rows
from billing.web.access import needs
from billing.web.console.chosen import visible_accounts
from billing.web.console.forms import read_form
from billing.web.console.page_frame import Asked, page, see
from billing.web.installation import Installation

_LONGEST_NAME = 100


@get("/tokens", sync_to_thread=True)
def tokens(request: Asked, installation: NamedDependency[Installation]) -> Response[bytes]:
    """All tokens."""
    return _tokens_page(request, installation)


@post("/tokens", guards=[needs("admin")])
async def create(request: Asked, installation: NamedDependency[Installation]) -> Response[bytes]:
    """Makes a token, and shows it this one time."""
    form = await read_form(request)
    return await to_thread.run_sync(_create, request, installation, form)


@post("/tokens/revoke", guards=[needs("admin")])
async def revoke(request: Asked, installation: NamedDependency[Installation]) -> Response[Any]:
    """Revokes a token."""
    form = await read_form(request)
    await to_thread.run_sync(end_token, installation.home, installation.engine, form.get("id", ""))
    return see("/tokens")


def _create(request: Asked, installation: Installation, form: dict[str, str]) -> Response[bytes]:
    scope, name = form.get("scope", ""), " ".join(form.get("name", "").split())
    if scope not in SCOPES:
        raise UsageError(f"scope: {scope!r} is not one of {', '.join(SCOPES)}")
    if len(name) > _LONGEST_NAME or not name.isprintable():
        raise UsageError(f"name: up to {_LONGEST_NAME} characters on one line")
    account_id = form.get("account") or None
    made = make_token(installation.home, installation.engine, scope=scope, account_id=account_id, name=name)
    return _tokens_page(request, installation, made=made)


def _tokens_page(request: Asked, installation: Installation, made: dict[str, object] | None = None) -> Response[bytes]:
    return page(
        request,
        "tokens",
        rows=token_rows(installation.engine)[::-1],
        accounts=visible_accounts(request, installation),
        scopes=SCOPES,
        made=made,
    )
