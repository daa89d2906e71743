"""Runs: what was done to the books, when, with what result."""

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.exceptions import NotFoundException

from billing.errors import UsageError
from billing.reports.run_list import runs
from billing.web.console.forms import number_of
from billing.web.console.page_frame import Asked, page
from billing.web.installation import Installation

_ON_A_PAGE = 50
_MOST = 5_000


@get("/runs", sync_to_thread=True)
def run_list(request: Asked, installation: NamedDependency[Installation]) -> Response[bytes]:
    """The last runs."""
    limit = min(number_of(request, "limit") or _ON_A_PAGE, _MOST)
    found = runs(installation.engine, limit=limit)
    more = min(limit * 4, _MOST) if len(found) == limit < _MOST else None
    return page(request, "runs", runs=found, more=more)


@get("/run", sync_to_thread=True)
def one_run(request: Asked, installation: NamedDependency[Installation]) -> Response[bytes]:
    """Everything about a run."""
    number = number_of(request, "id") or 0
    try:
        (found,) = runs(installation.engine, run_id=number)
    except UsageError:
        raise NotFoundException(f"there is no run {number}") from None
    return page(request, "run", run=found)
