"""Problems in the console: one clear line on a page, and the way to the login for those who are not logged in."""

import logging
from http import HTTPStatus
from typing import Any

from litestar import Request, Response
from litestar.exceptions import HTTPException, NotAuthorizedException

from billing.errors import BillingError, DatabaseError, UnknownNameError, UsageError
from billing.web.console.page_frame import page, see, words_of

_log = logging.getLogger(__name__)


def problem_page(request: Request[Any, Any, Any], status: int, detail: str) -> Response[bytes]:
    """A problem as a page."""
    heading = words_of(request).named("problem", status)
    return page(request, "problem", status=status, heading=heading, code=status, detail=detail)


def _to_login(request: Request[Any, Any, Any], _error: NotAuthorizedException) -> Response[Any]:
    query = request.url.query
    back = f"{request.url.path}{'?' + query if query else ''}" if request.method == "GET" else None
    return see("/login", next=back if back != "/console" else None)


def _of_http(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    return problem_page(request, error.status_code, error.detail)


def _of_name(request: Request[Any, Any, Any], error: UnknownNameError) -> Response[bytes]:
    return problem_page(request, HTTPStatus.NOT_FOUND, str(error))


def _of_usage(request: Request[Any, Any, Any], error: UsageError) -> Response[bytes]:
    return problem_page(request, HTTPStatus.BAD_REQUEST, str(error))


def _of_refusal(request: Request[Any, Any, Any], error: BillingError) -> Response[bytes]:
    return problem_page(request, HTTPStatus.CONFLICT, str(error))


def _of_database(request: Request[Any, Any, Any], error: DatabaseError) -> Response[bytes]:
    _log.error("%s", error)
    return problem_page(request, HTTPStatus.SERVICE_UNAVAILABLE, str(error))


def _of_bug(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    _log.error("%s %s failed: %s", request.method, request.url.path, error, exc_info=error)
    return problem_page(request, HTTPStatus.INTERNAL_SERVER_ERROR, words_of(request)("problem.bug"))


PROBLEM_PAGES: dict[int | type[Exception], Any] = {
    NotAuthorizedException: _to_login,
    HTTPException: _of_http,
    UnknownNameError: _of_name,
    UsageError: _of_usage,
    DatabaseError: _of_database,
    BillingError: _of_refusal,
    Exception: _of_bug,
}
