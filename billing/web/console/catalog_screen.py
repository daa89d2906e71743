"""Catalog: who is billed on what terms, as the TOML that is applied; and applying more of it, after a look at what
would change."""

from collections.abc import Sequence
from typing import Any

from anyio import to_thread
from litestar import Response, get, post
from litestar.di import NamedDependency

from billing.catalog.canonical import catalog_toml
from billing.catalog.changes import Change
from billing.catalog.reading import parse_catalog
from billing.errors import BillingError
from billing.jobs.catalog_change import apply_catalog
from billing.ledger import catalog_store
from billing.ledger.database import reading
from billing.web.access import needs
from billing.web.console.forms import read_form
from billing.web.console.page_frame import Asked, page
from billing.web.installation import Installation


@get("/catalog", sync_to_thread=True)
def catalog(request: Asked, installation: NamedDependency[Installation]) -> Response[bytes]:
    """What is set up."""
    return _catalog_page(request, installation)


@post("/catalog", guards=[needs("admin")])
async def change_catalog(request: Asked, installation: NamedDependency[Installation]) -> Response[Any]:
    """Says what a text would change; with `action=apply` changes it."""
    form = await read_form(request)
    return await to_thread.run_sync(_change, request, installation, form.get("text", ""), form.get("action", ""))


def _change(request: Asked, installation: Installation, text: str, action: str) -> Response[bytes]:
    try:
        changes = _changes(installation, text, is_applied=action == "apply")
    except BillingError as error:
        return _catalog_page(request, installation, status=409, text=text, fault=str(error))
    if action == "apply":
        return _catalog_page(request, installation, changes=changes, is_applied=True)
    return _catalog_page(request, installation, changes=changes, text=text)


def _changes(installation: Installation, text: str, *, is_applied: bool) -> Sequence[Change]:
    new = parse_catalog(text, "the text")
    if is_applied:
        return apply_catalog(installation.home, installation.engine, new)
    with reading(installation.engine) as conn:
        return catalog_store.plan(conn, new)


def _catalog_page(request: Asked, installation: Installation, *, status: int = 200, **more: Any) -> Response[bytes]:
    known = installation.catalog()
    values = {"changes": None, "is_applied": False, "text": "", "fault": "", **more}
    return page(request, "catalog", status=status, toml=catalog_toml(known), known=known, **values)
