"""Quarantine: rows that could not be accepted, by reason and file. A row can be edited, tried, and retried."""

from dataclasses import asdict
from typing import Any

import polars as pl
from anyio import to_thread
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.exceptions import NotFoundException

from billing.errors import BillingError, UsageError
from billing.jobs.ingest import FileReport, IngestContext, open_context
from billing.jobs.quarantine_retry import retry_quarantine
from billing.jobs.quarantine_trial import try_row
from billing.periods import now
from billing.reports.quarantine_list import quarantine_report, quarantine_sums, quarantined_row, quarantined_rows
from billing.web.access import needs
from billing.web.console.forms import asked, number_of, read_form
from billing.web.console.page_frame import Asked, page, see
from billing.web.installation import Installation

_ON_A_PAGE = 50


@get("/quarantine", sync_to_thread=True)
def quarantine(request: Asked, installation: NamedDependency[Installation]) -> Response[bytes]:
    """The rows of a reason and a file, or all."""
    reason, file, skip = (
        asked(request, "reason") or None,
        asked(request, "file") or None,
        number_of(request, "from") or 0,
    )
    found = _wanted(installation, reason, file)
    done = {name: number_of(request, name) or 0 for name in ("accepted", "duplicates", "quarantined")}
    return page(
        request,
        "quarantine",
        sums=quarantine_sums(quarantined_rows(installation.home)).to_dicts(),
        rows=quarantine_report(found.slice(skip, _ON_A_PAGE)).rows,
        found=found.height,
        reason=reason,
        file=file,
        start=skip,
        step=_ON_A_PAGE,
        done=done if "accepted" in request.query_params else None,
    )


@get("/quarantine/row", sync_to_thread=True)
def one_row(request: Asked, installation: NamedDependency[Installation]) -> Response[bytes]:
    """A row and its text, to be edited."""
    return _row_page(request, installation, asked(request, "id"))


@post("/quarantine/row", guards=[needs("admin")])
async def edited_row(request: Asked, installation: NamedDependency[Installation]) -> Response[Any]:
    """Tries the text of a row, or retries the row with it."""
    form = await read_form(request)
    return await to_thread.run_sync(_edited, request, installation, form)


@post("/quarantine", guards=[needs("admin")])
async def retry_rows(request: Asked, installation: NamedDependency[Installation]) -> Response[Any]:
    """Retries the rows of a reason and a file, or all, as they are."""
    form = await read_form(request)
    return await to_thread.run_sync(_retried, installation, form.get("reason") or None, form.get("file") or None)


def _wanted(installation: Installation, reason: str | None, file: str | None) -> pl.DataFrame:
    return quarantined_rows(installation.home, reasons=[reason] if reason else [], files=[file] if file else [])


def _row_page(request: Asked, installation: Installation, row_id: str, **more: Any) -> Response[bytes]:
    try:
        row = quarantined_row(installation.home, row_id)
    except UsageError as error:
        raise NotFoundException(str(error)) from None
    return page(request, "quarantine_row", row=row, row_id=row_id, **{"verdict": None, "text": None, **more})


def _edited(request: Asked, installation: Installation, form: dict[str, str]) -> Response[Any]:
    row_id, text = form.get("id", ""), form.get("raw", "")
    context = _context(installation)
    if form.get("action") == "try":
        verdict = try_row(context, row_id, text)
        return _row_page(request, installation, row_id, verdict=verdict, text=text)
    row = quarantined_row(installation.home, row_id)
    corrected = {row_id: text} if row and text != row["raw"] else {}
    return _counted(retry_quarantine(context, ids=[row_id], corrected=corrected))


def _retried(installation: Installation, reason: str | None, file: str | None) -> Response[Any]:
    ids = _wanted(installation, reason, file)["id"].to_list()
    return _counted(retry_quarantine(_context(installation), ids=ids) if ids else [])


def _counted(reports: list[FileReport]) -> Response[Any]:
    for report in reports:
        if report.error:
            raise BillingError(report.error)
    names = ("accepted", "duplicates", "quarantined")
    return see("/quarantine", **{name: sum(asdict(report)[name] for report in reports) for name in names})


def _context(installation: Installation) -> IngestContext:
    return open_context(installation.home, installation.engine, now())
