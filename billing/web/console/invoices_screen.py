"""Invoices: what is issued, paid and open; the page of each document and of the draft; closing a month.

A month is finalized in two steps: the first page says what would be issued, its form does it.
"""

from collections.abc import Callable
from datetime import date
from typing import Any

from anyio import to_thread
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.exceptions import NotFoundException

from billing.catalog.catalog import Account
from billing.errors import UsageError
from billing.jobs.document_files import document_file
from billing.jobs.finalize import Finalized, finalize
from billing.output_files import MemoryOutput, Output
from billing.periods import parse_month
from billing.reports.balances import balance_rows
from billing.reports.document_page import DocumentPage, document_page, draft_page
from billing.reports.documents import list_documents, show_documents
from billing.reports.invoice_files import export_document, export_invoice, file_names
from billing.reports.month_closing import month_closing
from billing.reports.payments import payment_rows
from billing.web.access import needs, operator_only
from billing.web.console.chosen import apps_of, chosen_account, chosen_month
from billing.web.console.forms import asked, choice_of, read_form
from billing.web.console.number_formats import month as month_text
from billing.web.console.page_frame import Asked, download, page, see
from billing.web.console.problem_page import problem_page
from billing.web.installation import Installation

_FORMS = ("xlsx", "pdf", "xml")


@get("/invoices", sync_to_thread=True)
def invoices_of_account(request: Asked, installation: NamedDependency[Installation]) -> Response[bytes]:
    """The documents, balance and payments of an account."""
    account, engine = chosen_account(request, installation), installation.engine
    (balance,) = balance_rows(engine, [account.id])
    return page(
        request,
        "invoices",
        account=account,
        documents=list_documents(engine, [account.id])[::-1],
        balance=balance,
        payments=payment_rows(engine, account.id)[::-1],
        closing=month_closing(engine, account.id),
    )


@get("/invoice", sync_to_thread=True)
def one_document(request: Asked, installation: NamedDependency[Installation]) -> Response[bytes]:
    """An issued document: its page, its lines, its files."""
    found = _document(request, installation)
    account = installation.account(request.user, found.account_id)
    (row,) = show_documents(installation.engine, [asked(request, "number")])
    names = {app.id: app.name for app in apps_of(installation, account)}
    return page(request, "invoice", account=account, sheet=found.page, row=row, names=names)


@get("/invoice/file", sync_to_thread=True)
def file_of_document(request: Asked, installation: NamedDependency[Installation]) -> Response[bytes]:
    """A document as a workbook, PDF or XML."""
    _document(request, installation)
    number, file_format = asked(request, "number"), choice_of(request, "format", _FORMS)
    if file_format == "xlsx":
        content = _workbook(lambda output: export_document(installation.engine, number, output))
    else:
        content = document_file(installation.engine, number, "pdf" if file_format == "pdf" else "xml")
    return download(content, name=f"{number}.{file_format}", form=file_format)


@get("/draft", sync_to_thread=True)
def draft_of_month(request: Asked, installation: NamedDependency[Installation]) -> Response[bytes]:
    """What the document of a month would be now; as a workbook too."""
    account = chosen_account(request, installation)
    month = chosen_month(request, account)
    if asked(request, "format") == "xlsx":
        content = _workbook(lambda output: export_invoice(installation.engine, account.id, month, output))
        name = f"{file_names([account.id])[account.id]}-{month_text(month)}.xlsx"
        return download(content, name=name, form="xlsx")
    found = draft_page(installation.engine, account.id, month)
    return page(request, "draft", account=account, sheet=found.page, month=month)


@get("/finalize", sync_to_thread=True, guards=[operator_only])
def finalize_form(request: Asked, installation: NamedDependency[Installation]) -> Response[bytes]:
    """What would be issued for a month, and the form that issues it."""
    account = chosen_account(request, installation)
    month = chosen_month(request, account)
    return _finalize_page(request, installation, account, month, dry_run=True)


@post("/finalize", guards=[operator_only, needs("admin")])
async def finalize_month(request: Asked, installation: NamedDependency[Installation]) -> Response[Any]:
    """Closes a month."""
    form = await read_form(request)
    account = installation.account(request.user, form.get("account", ""))
    month = parse_month(form.get("month", ""))
    return await to_thread.run_sync(_finalize_page, request, installation, account, month)


def _finalize_page(
    request: Asked, installation: Installation, account: Account, month: date, dry_run: bool = False
) -> Response[Any]:
    (found,) = finalize(installation.home, installation.engine, [account], [month], dry_run=dry_run)
    if found.number and not dry_run and not found.is_failure:
        return see("/invoice", number=found.number)
    if found.is_failure and not dry_run:
        return problem_page(request, 409, found.detail)
    sheet = draft_page(installation.engine, account.id, month).page if found.result == "would_issue" else None
    return page(
        request, "finalize", account=account, month=month, found=found, sheet=sheet, can_confirm=_is_open(found)
    )


def _is_open(found: Finalized) -> bool:
    return found.result == "would_issue" or (found.result == "nothing_due" and not found.detail)


def _document(request: Asked, installation: Installation) -> DocumentPage:
    number = asked(request, "number")
    try:
        found = document_page(installation.engine, number)
    except UsageError:
        raise NotFoundException(f"there is no document {number!r}") from None
    if not request.user.sees(found.account_id):
        raise NotFoundException(f"there is no document {number!r}")
    return found


def _workbook(write: Callable[[Output], object]) -> bytes:
    output = MemoryOutput()
    write(output)
    return output.content.getvalue()
