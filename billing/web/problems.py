"""Errors as `application/problem+json` (RFC 9457): status, title, and a detail that says what to do next.

What the caller asked wrongly is 400, what the home refuses now (a month that is not settled) is 409, a database that
cannot be reached is 503, a bug is 500 and stands with its traceback in the log.
"""

import json
import logging
from http import HTTPStatus
from typing import Any

from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException

from billing.errors import BillingError, DatabaseError, UnknownNameError, UsageError

PROBLEM_JSON = "application/problem+json"

# Where the router knows nothing to say.
_ADVICE = {
    "Not Found": "there is nothing at this path: /openapi.json lists what there is",
    "Method Not Allowed": "this path has other methods: the header Allow names them",
}

_log = logging.getLogger(__name__)


def problem(status: int, detail: str, *, headers: dict[str, str] | None = None, **more: object) -> Response[bytes]:
    """A problem as a response; `more` are further members of the object."""
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail, **more}
    return Response(json.dumps(body).encode(), status_code=status, media_type=PROBLEM_JSON, headers=headers or {})


def _of_http(_request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.UNAUTHORIZED:
        headers.setdefault("WWW-Authenticate", 'Bearer realm="billing"')
    return problem(error.status_code, _ADVICE.get(error.detail, error.detail), headers=headers)


def _of_validation(_request: Request[Any, Any, Any], error: ValidationException) -> Response[bytes]:
    faults = [fault for fault in error.extra if isinstance(fault, dict)] if isinstance(error.extra, list) else []
    named = "; ".join(f"{fault.get('key', '')}: {fault.get('message', '')}" for fault in faults)
    return problem(error.status_code, named or error.detail)


def _of_name(_request: Request[Any, Any, Any], error: UnknownNameError) -> Response[bytes]:
    return problem(HTTPStatus.NOT_FOUND, str(error))


def _of_usage(_request: Request[Any, Any, Any], error: UsageError) -> Response[bytes]:
    return problem(HTTPStatus.BAD_REQUEST, str(error))


def _of_refusal(_request: Request[Any, Any, Any], error: BillingError) -> Response[bytes]:
    return problem(HTTPStatus.CONFLICT, str(error))


def _of_database(_request: Request[Any, Any, Any], error: DatabaseError) -> Response[bytes]:
    _log.error("%s", error)
    return problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error), headers={"Retry-After": "5"})


def _of_bug(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    _log.error("%s %s failed: %s", request.method, request.url.path, error, exc_info=error)
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "the service failed on this request; its log says why")


PROBLEMS: dict[int | type[Exception], Any] = {
    ValidationException: _of_validation,
    HTTPException: _of_http,
    UnknownNameError: _of_name,
    UsageError: _of_usage,
    DatabaseError: _of_database,
    BillingError: _of_refusal,
    Exception: _of_bug,
}
