"""The address `/`: the Tencent Cloud API, and for browsers the way to the console.

    {"Response": {"UsageKey": […], "UsageList": […], "RequestId": "…"}}
    {"Response": {"Error": {"Code": "InvalidAction", "Message": "…"}, "RequestId": "…"}}

Every answer is HTTP 200 with the content type `application/json` and nothing behind it: the SDK looks for errors only
in such answers.
"""

import json
import logging
import time
import uuid
from typing import Any

from anyio import to_thread
from litestar import Request, Response, Router, route
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException
from litestar.response import Redirect

from billing.errors import BillingError, DatabaseError, UsageError
from billing.web.access import CONSOLE, IS_OPEN
from billing.web.access_log import ONLY_READS
from billing.web.installation import Installation
from billing.web.tencent.actions import HEAVY_ACTIONS, answered
from billing.web.tencent.call_errors import CallError
from billing.web.tencent.call_signatures import signer
from billing.web.tencent.calls import Call
from billing.web.tencent.readers import Reader

_log = logging.getLogger(__name__)


@route("/", http_method=["GET", "POST"], status_code=200, opt=IS_OPEN | ONLY_READS)
async def tencent_call(
    request: Request[Any, Any, Any], installation: NamedDependency[Installation]
) -> Response[bytes] | Redirect:
    """Answers a call; a GET that asks for nothing is sent to the console."""
    call = Call(
        method=request.method,
        headers=dict(request.headers.items()),
        query=request.scope["query_string"].decode("latin-1"),
        body=await request.body(),
    )
    if call.is_empty:
        return Redirect(CONSOLE, status_code=302)
    # Only a caller who is known takes a turn.
    reader = await to_thread.run_sync(_reader, installation, call)
    turns = installation.heavy_work if call.common("Action") in HEAVY_ACTIONS else None
    return _response(await to_thread.run_sync(answered, reader, call, limiter=turns))


def _reader(installation: Installation, call: Call) -> Reader:
    key = signer(call, installation.secrets.tencent_key, time.time())
    return Reader(key=key, home=installation.home, engine=installation.engine, catalog=installation.catalog())


def _response(members: dict[str, Any]) -> Response[bytes]:
    body = {"Response": members | {"RequestId": str(uuid.uuid4())}}
    return Response(json.dumps(body).encode(), status_code=200, headers={"Content-Type": "application/json"})


def _error(code: str, message: str) -> Response[bytes]:
    return _response({"Error": {"Code": code, "Message": message}})


def _of_refusal(_request: Request[Any, Any, Any], refusal: CallError) -> Response[bytes]:
    return _error(refusal.code, refusal.message)


def _of_usage(_request: Request[Any, Any, Any], error: UsageError) -> Response[bytes]:
    return _error("InvalidParameter", str(error))


def _of_billing(_request: Request[Any, Any, Any], error: BillingError) -> Response[bytes]:
    return _error("FailedOperation", str(error))


def _of_database(_request: Request[Any, Any, Any], error: DatabaseError) -> Response[bytes]:
    _log.error("%s", error)
    return _error("InternalError", "the database cannot be reached: try again later")


def _of_http(_request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    return _error("InvalidRequest", error.detail)


def _of_bug(_request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    _log.error("a call of the Tencent Cloud API failed: %s", error, exc_info=error)
    return _error("InternalError", "the service failed on this request; its log says why")


tencent_router = Router(
    "/",
    route_handlers=[tencent_call],
    include_in_schema=False,
    exception_handlers={
        CallError: _of_refusal,
        UsageError: _of_usage,
        DatabaseError: _of_database,
        BillingError: _of_billing,
        HTTPException: _of_http,
        Exception: _of_bug,
    },
)
