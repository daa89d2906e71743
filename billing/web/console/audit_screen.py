"""Audit: every write and every download over HTTP."""

from litestar import Response, get
from litestar.di import NamedDependency

from billing.reports.access_list import access_report
from billing.reports.token_list import token_rows
from billing.web.console.forms import number_of
from billing.web.console.page_frame import Asked, page
from billing.web.installation import Installation

_ON_A_PAGE = 100


@get("/audit", sync_to_thread=True)
def audit(request: Asked, installation: NamedDependency[Installation]) -> Response[bytes]:
    """The last records, or those before one."""
    before = number_of(request, "before")
    rows = access_report(installation.engine, limit=_ON_A_PAGE, before=before).rows
    names = {each["id"]: each["name"] for each in token_rows(installation.engine)}
    return page(request, "audit", rows=rows, names=names, before=before, has_more=len(rows) == _ON_A_PAGE)
