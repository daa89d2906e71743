"""All routes of the console: those before the login, the screens of everybody, and those of the operator."""

from litestar import Router, get
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

from billing.web.access import CONSOLE, needs, operator_only
from billing.web.console import catalog_screen, invoices_screen, quarantine_screen, session_screen, tokens_screen
from billing.web.console.audit_screen import audit
from billing.web.console.calculator_screen import calculated, calculator
from billing.web.console.explain_screen import explained
from billing.web.console.forms import own_forms
from billing.web.console.overview_screen import month_of_account, overview
from billing.web.console.packages_screen import packages_of_account
from billing.web.console.problem_page import PROBLEM_PAGES
from billing.web.console.rooms_screen import one_room, rooms_of_day
from billing.web.console.runs_screen import one_run, run_list
from billing.web.console.static_files import static_file
from billing.web.console.usage_screen import usage_of_app


@get("/{rest:path}")
async def no_page(rest: FromPath[str]) -> None:
    """What is none of the pages."""
    raise NotFoundException(f"there is no page {rest!r} in the console")


_before_login = Router(
    "/", route_handlers=[session_screen.login_form, session_screen.log_in, session_screen.choose_language, static_file]
)
_for_readers = Router(
    "/",
    route_handlers=[
        *(overview, month_of_account, usage_of_app, rooms_of_day, one_room, explained),
        *(packages_of_account, calculator, calculated),
        *(invoices_screen.invoices_of_account, invoices_screen.one_document, invoices_screen.file_of_document),
        *(invoices_screen.draft_of_month, invoices_screen.finalize_form, invoices_screen.finalize_month),
        *(session_screen.log_out, no_page),
    ],
    guards=[needs("read")],
)
_for_the_operator = Router(
    "/",
    route_handlers=[
        *(quarantine_screen.quarantine, quarantine_screen.one_row),
        *(quarantine_screen.edited_row, quarantine_screen.retry_rows),
        *(run_list, one_run, audit),
        *(catalog_screen.catalog, catalog_screen.change_catalog),
        *(tokens_screen.tokens, tokens_screen.create, tokens_screen.revoke),
    ],
    guards=[needs("read"), operator_only],
)

console_router = Router(
    CONSOLE,
    route_handlers=[_before_login, _for_readers, _for_the_operator],
    guards=[own_forms],
    exception_handlers=PROBLEM_PAGES,
    include_in_schema=False,
)
