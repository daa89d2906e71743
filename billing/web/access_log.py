"""The record of every write and every download, in the database.

Events that come in are not in it: their batch is their record. A download is an answer that names a file.
"""

from typing import Any

from anyio import to_thread
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from billing.ledger.database import writing
from billing.ledger.tokens import record_access
from billing.web.installation import Installation

_READS = ("GET", "HEAD", "OPTIONS")
IS_INTAKE = "is_intake"
_ONLY_READS = "only_reads"
ONLY_READS = {_ONLY_READS: True}  # for the `opt` of a POST that changes nothing


def recorded(app: ASGIApp) -> ASGIApp:
    """A middleware: what was written or downloaded is recorded before the answer begins."""

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start" and _is_recorded(scope, message):
                await to_thread.run_sync(_record, scope, message["status"])
            await send(message)

        await app(scope, receive, sending)

    return middleware


def _is_recorded(scope: Any, message: Any) -> bool:
    if scope["method"] not in _READS:
        handler = scope.get("route_handler")
        return not (handler and (handler.opt.get(IS_INTAKE) or handler.opt.get(_ONLY_READS)))
    return message["status"] == 200 and any(name.lower() == b"content-disposition" for name, _ in message["headers"])


def _record(scope: Any, status: int) -> None:
    installation: Installation = scope["litestar_app"].state.installation
    path = scope["raw_path"].decode("ascii")
    with writing(installation.engine) as conn:
        record_access(conn, scope.get("user"), method=scope["method"], path=path, status=status)
