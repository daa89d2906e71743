"""Access: who asks, and whether the scope of the token is enough.

    Authorization: Bearer bk_…      for programs
    Cookie: billing_session=…       for the console, and only there

No token or a wrong one is 401, a scope that is missing 403, a foreign account, app or room 404. A route that checks a
signature of its own, or is for everybody, has `is_open` in its `opt`.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from anyio import to_thread
from litestar.connection import ASGIConnection
from litestar.exceptions import NotAuthorizedException, PermissionDeniedException
from litestar.handlers.base import BaseRouteHandler
from litestar.middleware import AbstractAuthenticationMiddleware, AuthenticationResult

from billing.ledger.database import reading
from billing.ledger.tokens import Caller, Session, session_of
from billing.web.installation import Installation

SESSION_COOKIE = "billing_session"
CONSOLE = "/console"
_IS_OPEN = "is_open"
IS_OPEN = {_IS_OPEN: True}

Connection = ASGIConnection[Any, Any, Any, Any]
Guard = Callable[[Connection, BaseRouteHandler], Awaitable[None]]


class Access(AbstractAuthenticationMiddleware):
    """Finds the caller (`request.user`) and, in the console, the session (`request.auth`)."""

    def __init__(self, app: Any) -> None:
        super().__init__(app, exclude_from_auth_key=_IS_OPEN)

    async def authenticate_request(self, connection: Connection) -> AuthenticationResult:
        """The caller of a request; raises `NotAuthorizedException`."""
        installation: Installation = connection.app.state.installation
        if connection.url.path.startswith(CONSOLE):
            session = await to_thread.run_sync(_session, installation, connection.cookies.get(SESSION_COOKIE))
            if session is None:
                raise NotAuthorizedException("log in to the console first")
            return AuthenticationResult(user=session.caller, auth=session)
        scheme, _, token = connection.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise NotAuthorizedException("send a token: `Authorization: Bearer bk_…`; `billing token create` makes one")
        token = token.strip()
        caller = installation.known_caller(token) or await to_thread.run_sync(installation.caller, token)
        if caller is None:
            raise NotAuthorizedException("this token is unknown or revoked: `billing token create` makes one")
        return AuthenticationResult(user=caller, auth=None)


def _session(installation: Installation, secret: str | None) -> Session | None:
    if not secret:
        return None
    with reading(installation.engine) as conn:
        return session_of(conn, secret)


def is_open(handler: BaseRouteHandler) -> bool:
    """Whether a route is for everybody, or checks a signature of its own."""
    return bool(handler.opt.get(_IS_OPEN))


def needs(*scopes: str) -> Guard:
    """A guard: the token must have one of these scopes."""

    async def guard(connection: Connection, _handler: BaseRouteHandler) -> None:
        caller: Caller = connection.user
        if not caller.may(*scopes):
            raise PermissionDeniedException(f"this token has the scope {caller.scope}; {' or '.join(scopes)} is needed")

    return guard


async def operator_only(connection: Connection, _handler: BaseRouteHandler) -> None:
    """A guard: the token must be the operator's."""
    if not connection.user.is_operator:
        raise PermissionDeniedException("this is for the operator; the token belongs to one account")
