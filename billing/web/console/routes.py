"""All routes of the console."""

from litestar import Router, get
from litestar.exceptions import NotFoundException

from billing.web.access import CONSOLE, needs
from billing.web.console.forms import own_forms
from billing.web.console.overview_screen import month_of_account, overview
from billing.web.console.problem_page import PROBLEM_PAGES
from billing.web.console.session_screen import choose_language, log_in, log_out, login_form
from billing.web.console.static_files import static_file
from billing.web.console.usage_screen import usage_of_app


@get("/{rest:path}")
async def no_page(rest: str) -> None:
    """What is none of the pages."""
    raise NotFoundException(f"there is no page {rest!r} in the console")


_open = Router("/", route_handlers=[login_form, log_in, choose_language, static_file])
_readers = Router(
    "/", route_handlers=[overview, month_of_account, usage_of_app, log_out, no_page], guards=[needs("read")]
)

console_router = Router(
    CONSOLE,
    route_handlers=[_open, _readers],
    guards=[own_forms],
    exception_handlers=PROBLEM_PAGES,
    include_in_schema=False,
)
