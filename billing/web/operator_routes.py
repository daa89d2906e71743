"""What is for the operator alone: runs, the quarantine, tokens, and the record of access."""

from dataclasses import asdict
from typing import Any

from litestar import Request, Response, Router, get, post
from msgspec import Struct

from billing.errors import BillingError, UnknownNameError, UsageError
from billing.jobs.ingest import open_context
from billing.jobs.quarantine_retry import retry_quarantine
from billing.periods import now
from billing.reports.access_list import access_report
from billing.reports.quarantine_list import quarantine_report, quarantined_rows, retried_report
from billing.reports.row_formats import Report
from billing.reports.run_list import runs, runs_report
from billing.reports.token_list import tokens_report
from billing.web import parameters, row_schemas
from billing.web.access import needs, operator_only
from billing.web.bodies import read_body
from billing.web.inquiries import Asked, Inquiry, offers
from billing.web.pages_of_rows import rows_up_to
from billing.web.parameters import LIMIT, REASON

_FILE = parameters.text("file", "Only rows of this file; repeat it for several.", "events.ndjson", is_many=True)
_BEFORE = parameters.number("before", "Only records with a smaller id.")
_RUN = parameters.RUN
_RUNS = 20
_RECORDS = 100


@get("/runs", sync_to_thread=True, opt=offers(rows=row_schemas.RUN))
def list_runs(inquiry: Asked) -> Response[bytes]:
    """What was run, when, with what result, the newest first; without a limit the last 20."""
    return inquiry.rows(lambda _: _runs(inquiry))


def _runs(inquiry: Inquiry) -> Report:
    wanted = rows_up_to(inquiry["limit"], inquiry["cursor"])
    return runs_report(runs(inquiry.engine, limit=_RUNS if wanted is None else wanted))


@get("/runs/{run_id:str}", sync_to_thread=True, opt=offers(rows=row_schemas.RUN, is_paged=False))
def one_run(inquiry: Asked) -> Response[bytes]:
    """Everything about one run."""
    return inquiry.rows(lambda _: runs_report(runs(inquiry.engine, run_id=_run_number(inquiry.names["run_id"]))))


def _run_number(text: str) -> int:
    try:
        return int(_RUN.parse(text))
    except UsageError:
        raise UnknownNameError(f"there is no run {text!r}") from None


@get("/quarantine", sync_to_thread=True, opt=offers(REASON, _FILE, rows=row_schemas.QUARANTINED))
def list_quarantine(inquiry: Asked) -> Response[bytes]:
    """The rows that could not be accepted: each with its line, why it was quarantined, and its text."""
    return inquiry.rows(lambda _: _quarantined(inquiry), follows="clock")


def _quarantined(inquiry: Inquiry) -> Report:
    home = inquiry.installation.home
    return quarantine_report(quarantined_rows(home, reasons=inquiry["reason"], files=inquiry["file"]))


class Correction(Struct, kw_only=True, forbid_unknown_fields=True):
    """The corrected text of a quarantined row; without it the row is judged as it is."""

    raw: str | None = None


@post(
    "/quarantine/{row_id:str}/retry",
    status_code=200,
    guards=[needs("admin")],
    opt=offers(rows=row_schemas.RETRIED, is_paged=False, body=Correction),
)
async def retry_row(request: Request[Any, Any, Any], inquiry: Asked) -> Response[bytes]:
    """Judge a quarantined row again, as it is or with corrected text. It leaves the quarantine when it is accepted now
    or known already; else it stays, with the reason that holds now."""
    correction = read_body(await request.body(), Correction)
    return await inquiry.at_once(lambda: inquiry.result(_retried(inquiry, correction)))


def _retried(inquiry: Inquiry, correction: Correction) -> Report:
    row_id = inquiry.names["row_id"]
    corrected = {} if correction.raw is None else {row_id: correction.raw}
    context = open_context(inquiry.installation.home, inquiry.engine, now())
    reports = retry_quarantine(context, ids={row_id}, corrected=corrected)
    for report in reports:
        if report.error:
            raise BillingError(report.error)
    return retried_report([asdict(report) for report in reports])


@get("/tokens", sync_to_thread=True, guards=[needs("admin")], opt=offers(rows=row_schemas.TOKEN))
def list_tokens(inquiry: Asked) -> Response[bytes]:
    """The tokens of the service, the oldest first and also those that are revoked, without their secrets."""
    return inquiry.rows(lambda _: tokens_report(inquiry.engine), follows="clock")


@get(
    "/audit",
    sync_to_thread=True,
    guards=[needs("admin")],
    opt=offers(LIMIT, _BEFORE, rows=row_schemas.ACCESS, is_paged=False),
)
def list_access(inquiry: Asked) -> Response[bytes]:
    """Every write and every download over HTTP, the newest first; without a limit the last 100."""
    limit = inquiry["limit"] or _RECORDS
    return inquiry.rows(lambda _: access_report(inquiry.engine, limit=limit, before=inquiry["before"]), follows="clock")


operator_router = Router(
    "/v1",
    route_handlers=[list_runs, one_run, list_quarantine, retry_row, list_tokens, list_access],
    guards=[needs("read"), operator_only],
    tags=["operator"],
)
