"""Health: whether the process answers at all."""

from litestar import get

from billing.web.access import IS_OPEN


@get("/healthz", opt=IS_OPEN)
async def healthz() -> dict[str, bool]:
    """The process is up; `/readyz` says whether it takes events."""
    return {"alive": True}
