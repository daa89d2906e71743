"""Names in paths: a slash that is percent-encoded belongs to the name, and does not end it.

    /v1/apps/1400000001/rooms/class%2F7/timeline     the room "class/7"

A server decodes the path before it is divided, and the name would fall apart. So it is divided first; the slash of a
name goes through the router as a lone surrogate, which no text can hold.
"""

from typing import Any
from urllib.parse import unquote

from litestar.types import ASGIApp, Receive, Scope, Send

_SLASH = "\udc2f"


def whole_names(app: ASGIApp) -> ASGIApp:
    """An application that gets paths whose names are whole; `path_name` gives them back."""

    async def divided(scope: Scope, receive: Receive, send: Send) -> None:
        raw: Any = scope.get("raw_path")
        if raw and b"%2f" in raw.lower():
            scope["path"] = "/".join(unquote(part).replace("/", _SLASH) for part in raw.decode("ascii").split("/"))
        await app(scope, receive, send)

    return divided


def path_name(part: str) -> str:
    """A name as it was meant, from the part of the path that the router gives."""
    return part.replace(_SLASH, "/")
