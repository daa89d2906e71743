"""Apps: what they used, and whether their users may enter."""

from litestar import Response, Router, get

from billing.catalog.catalog import App
from billing.jobs.standing import app_status
from billing.ledger.admissions import ADMISSION_FIELDS
from billing.reports.account_reports import usage_report
from billing.reports.row_formats import Report
from billing.reports.usage import app_usage
from billing.web import row_schemas
from billing.web.access import needs
from billing.web.inquiries import Asked, Inquiry, offers
from billing.web.parameters import BY, FROM, MONTH, PROVISIONAL, RUN, TO, UNIT, days_of


@get("/{app_id:str}/usage", opt=offers(FROM, TO, MONTH, BY, UNIT, PROVISIONAL, RUN, rows=row_schemas.USAGE))
async def usage_of_app(inquiry: Asked) -> Response[bytes]:
    """What an app used on billed days. Seconds come with their reason; minutes, by window and by day, are those that
    are billed. Corrections stand in signed rows of their own. Times are in the time zone of the account."""
    is_metered_again = inquiry["by"] in ("room", "user")
    if is_metered_again:
        return await inquiry.in_turn(lambda: _usage_answer(inquiry), follows="log")
    return await inquiry.at_once(lambda: _usage_answer(inquiry))


def _usage_answer(inquiry: Inquiry) -> Response[bytes]:
    return inquiry.rows(lambda app: _usage(inquiry, app), follows="log")


def _usage(inquiry: Inquiry, app: App) -> Report:
    first, last = days_of(inquiry.values)
    view = {name: inquiry[name] for name in ("by", "unit", "provisional", "run")}
    return usage_report(app_usage(inquiry.installation.home, inquiry.engine, app.id, first, last, **view))


@get("/{app_id:str}/admission", sync_to_thread=True, opt=offers(rows=row_schemas.ADMISSION))
def admission_of_app(inquiry: Asked) -> Response[bytes]:
    """Whether the users of an app may enter a room now, and if not, why: it is disabled, its account is in arrears, or
    no minutes are left and it pays for nothing else."""
    return inquiry.rows(lambda app: _admission(inquiry, app), follows="clock")


def _admission(inquiry: Inquiry, app: App) -> Report:
    return Report(fields=ADMISSION_FIELDS, rows=[app_status(inquiry.engine, app.id)])


app_router = Router(
    "/v1/apps",
    route_handlers=[usage_of_app, admission_of_app],
    guards=[needs("read")],
    tags=["apps"],
)
