"""Callbacks of media servers, which are signed and have no token.

    POST /callbacks/livekit/1400000001     200 {"code": 0}, once the frame is on the disk

A wrong signature, or an app without a secret, is 401. What is sent again is stored again, and known by the ingest.
"""

from typing import Any
from urllib.parse import parse_qsl

from litestar import Request, Response, post
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException, NotAuthorizedException, NotFoundException
from litestar.params import FromPath

from billing.events.rows import LINE_LIMIT_BYTES
from billing.web.access import IS_OPEN
from billing.web.access_log import IS_INTAKE
from billing.web.callbacks import SENDERS, Callback, feed_of, frame, is_signed
from billing.web.installation import Installation
from billing.web.intake import Intake

_ANSWER = b'{"code":0}'


@post("/callbacks/{sender:str}/{app_id:int}", opt={**IS_OPEN, IS_INTAKE: True}, status_code=200)
async def take_callback(
    request: Request[Any, Any, Any],
    installation: NamedDependency[Installation],
    sender: FromPath[str],
    app_id: FromPath[int],
) -> Response[bytes]:
    """Takes what a media server says of an app's rooms. The answer comes when it is on the disk."""
    if sender not in SENDERS:
        raise NotFoundException(f"there is no callback {sender!r}; there is {', '.join(SENDERS)}")
    intake: Intake = request.app.state.intake
    callback = await _callback(request)
    if not is_signed(sender, callback, installation.secrets.of_callback(sender, app_id)):
        raise NotAuthorizedException(f"the signature is not that of {sender} for app {app_id}: see secrets.toml")
    line = frame(sender, callback)
    if len(line) > LINE_LIMIT_BYTES:
        raise HTTPException(f"a callback has at most {LINE_LIMIT_BYTES:,} bytes with its headers", status_code=413)
    await intake.store(feed_of(sender, app_id), line, 1)
    return Response(_ANSWER, media_type="application/json")


async def _callback(request: Request[Any, Any, Any]) -> Callback:
    """The request, with the URLs that a sender before or behind a proxy may have called."""
    query = request.scope["query_string"].decode("latin-1")
    others = "&".join(part for part in query.split("&") if part and not part.startswith("checksum="))
    path = request.scope["raw_path"].decode("latin-1").partition("?")[0]
    place = f"{request.headers.get('host', '')}{path}{f'?{others}' if others else ''}"
    return Callback(
        body=await request.body(),
        headers=request.headers,
        checksum=dict(parse_qsl(query)).get("checksum", ""),
        urls=(f"https://{place}", f"http://{place}"),
    )
