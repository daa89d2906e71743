"""Invoices and credit notes: what was issued, as rows and as files, and the drafts of open months."""

from litestar import Response, Router, get
from litestar.exceptions import ClientException, NotFoundException

from billing.catalog.catalog import Account
from billing.jobs.document_files import document_file
from billing.ledger.catalog_store import load_catalog
from billing.ledger.database import reading
from billing.ledger.documents import documents
from billing.output_files import MemoryOutput
from billing.reports.documents import contents_report, documents_report, list_documents, show_documents
from billing.reports.invoice_files import export_document, export_invoice, file_names
from billing.reports.row_formats import Report
from billing.web import parameters, row_schemas
from billing.web.access import needs
from billing.web.inquiries import Asked, Inquiry, offers
from billing.web.parameters import choice

_FORMS = ("json", "csv", "xlsx", "pdf", "xml")
_MONTH = parameters.month("Only the documents of this month; of a workbook, the month that it is of.")
_AS_OF = parameters.instant("as_of", "Of a workbook: as it was known then.")
_DETAIL = choice(
    "detail",
    ("full", "daily", "none"),
    "How much of the annex a workbook has: all, all but the windows, or none.",
    default="full",
)


@get("/", opt=offers(_MONTH, _AS_OF, rows=row_schemas.DOCUMENT, forms=("json", "csv", "xlsx")))
async def account_invoices(inquiry: Asked) -> Response[bytes]:
    """The issued documents of an account, and how they stand now. As a workbook: the document that closed the month, or
    else the draft of its invoice, as far as it is billed. A draft has no number, and nothing is stored."""
    if inquiry.form == "xlsx":
        return await inquiry.in_turn(lambda: inquiry.file(lambda account: _draft(inquiry, account)))
    return await inquiry.at_once(lambda: inquiry.rows(lambda account: _listed(inquiry, account), follows="clock"))


def _listed(inquiry: Inquiry, account: Account) -> Report:
    return documents_report(list_documents(inquiry.engine, [account.id], inquiry["month"]))


def _draft(inquiry: Inquiry, account: Account) -> tuple[str, bytes]:
    month = inquiry["month"]
    if month is None:
        raise ClientException("month: is missing: a workbook is of one month, such as month=2026-03")
    _check_was_there(inquiry, account)
    output = MemoryOutput()
    export_invoice(inquiry.engine, account.id, month, output, as_of=inquiry["as_of"])
    name = file_names([account.id])[account.id]
    return f"{name}-{month:%Y-%m}.xlsx", output.content.getvalue()


def _check_was_there(inquiry: Inquiry, account: Account) -> None:
    """An account that was not there yet is not found; else the catalog of that time would name others."""
    as_of = inquiry["as_of"]
    if as_of is not None:
        with reading(inquiry.engine) as conn:
            known = load_catalog(conn, as_of_ms=int(as_of.timestamp() * 1000)).accounts
        if account.id not in known:
            raise NotFoundException(f"there was no account {account.id!r} at {as_of.isoformat()}")


@get(
    "/{number:str}",
    opt=offers(_DETAIL, rows=row_schemas.DOCUMENT_CONTENTS, forms=_FORMS, is_paged=False),
)
async def one_document(inquiry: Asked) -> Response[bytes]:
    """A document with its lines and its tax; in CSV a row is a line. As .xlsx it is the first page and every line, day
    and window behind it; as .pdf the first page; as .xml the invoice of EN 16931, where the document can have one."""
    if inquiry.form in ("json", "csv"):
        return await inquiry.at_once(lambda: inquiry.rows(lambda account: _shown(inquiry, account), follows="clock"))
    return await inquiry.in_turn(lambda: inquiry.file(lambda account: _file(inquiry, account)))


def _shown(inquiry: Inquiry, account: Account) -> Report:
    rows = show_documents(inquiry.engine, [_number(inquiry, account)])
    return contents_report(rows, is_nested=inquiry.form == "json")


def _file(inquiry: Inquiry, account: Account) -> tuple[str, bytes]:
    number = _number(inquiry, account)
    name = f"{file_names([number])[number]}.{inquiry.form}"
    if inquiry.form == "xlsx":
        output = MemoryOutput()
        export_document(inquiry.engine, number, output, detail=inquiry["detail"])
        return name, output.content.getvalue()
    return name, document_file(inquiry.engine, number, "pdf" if inquiry.form == "pdf" else "xml")


def _number(inquiry: Inquiry, account: Account) -> str:
    """The number in the path, if it is one of this account's documents."""
    number = inquiry.names["number"]
    with reading(inquiry.engine) as conn:
        known = {each.number for each in documents(conn, accounts=[account.id])}
    if number not in known:
        raise NotFoundException(f"account {account.id!r} has no document {number!r}")
    return number


document_router = Router(
    "/v1/accounts/{account_id:str}/invoices",
    route_handlers=[account_invoices, one_document],
    guards=[needs("read")],
    tags=["invoices"],
)
