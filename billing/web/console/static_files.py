"""The console's own style sheet, script and mark, for everybody: they tell nothing."""

from pathlib import Path

from litestar import Response, get
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

from billing.web.access import IS_OPEN
from billing.web.console.page_frame import SAFE_HEADERS
from billing.web.console.static_contents import MEDIA_TYPES, stamp_of, static_contents


@get("/static/{stamp:str}/{name:str}", opt=IS_OPEN)
async def static_file(stamp: FromPath[str], name: FromPath[str]) -> Response[bytes]:
    """A file; its address has the stamp of its content, so a browser may keep it."""
    content = static_contents().get(name)
    if content is None:
        raise NotFoundException(f"there is no file {name!r}")
    lasting = "public, max-age=31536000, immutable" if stamp == stamp_of(name) else "no-cache"
    headers = {**SAFE_HEADERS, "Cache-Control": lasting}
    return Response(content, media_type=MEDIA_TYPES[Path(name).suffix], headers=headers)
