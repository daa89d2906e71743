"""Invoices as files."""

from collections.abc import Sequence
from datetime import date, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from billing.cli.homes import open_engine, pass_home, zone_of
from billing.cli.messages import fail, say
from billing.cli.options import Accounts, DocumentOutput, Month, accounts_options
from billing.cli.progress import counting
from billing.errors import UsageError
from billing.periods import parse_instant, parse_month

if TYPE_CHECKING:
    from billing.home import Home
    from billing.output_files import Output
    from billing.reports.invoice_files import Exported

Detail = Literal["none", "daily", "full"]


@click.group()
def invoice() -> None:
    """Close months, issue invoices and credit notes, and write them as workbook, PDF or XML.

    \b
    Example:
      billing invoice finalize academy --last-month
      billing invoice export INV-2026-000001 -o invoice.xlsx
    """


@invoice.command("export")
@accounts_options
@click.option("--month", type=parse_month, metavar="YYYY-MM", help="The month, of an account's draft.")
@click.option("--last-month", is_flag=True, help="The month before this one, where the account is.")
@click.option(
    "-o",
    "--output",
    type=DocumentOutput(),
    required=True,
    metavar="FILE",
    help="The .xlsx to write, .pdf or .xml of a document; with --all the directory for one of each account.",
)
@click.option(
    "--detail",
    type=click.Choice(["none", "daily", "full"]),
    default="full",
    show_default=True,
    help="How much of a document's annex: none, without windows, all.",
)
@click.option("--as-of", type=parse_instant, metavar="INSTANT", help="As it was known then, in RFC 3339.")
@pass_home
def invoice_export(
    home: "Home",
    accounts: Accounts,
    month: date | None,
    last_month: bool,
    output: Path,
    detail: Detail,
    as_of: datetime | None,
) -> None:
    """Write an issued document by its number, as it was issued: the first page, and every line, day and window behind
    it. As .pdf it is the first page, with the XML of EN 16931 attached where the document can have one; .xml is that
    XML alone.

    With an account and a month: the document that closed the month, or else the draft of its invoice, as far as it is
    billed. A draft has no number, and nothing is stored. With --all, a workbook ACCOUNT-YYYY-MM.xlsx of every account
    that has a billed day in the month.

    \b
    Example:
      billing invoice export INV-2026-000001 -o INV-2026-000001.xlsx
      billing invoice export academy --month 2026-03 -o acme-2026-03.xlsx
      billing invoice export --all --last-month -o invoices/
    """
    from billing.output_files import Output

    to = Output(path=output, home=home.directory)
    if accounts.account is not None and month is None and not last_month:
        _export_document(home, accounts.account, to, detail)
        return
    _export_drafts(home, accounts, Month(month=month, last_month=last_month), to, as_of)


def _export_document(home: "Home", number: str, to: "Output", detail: Detail) -> None:
    from billing.jobs.document_files import write_file
    from billing.reports.invoice_files import export_document

    suffix = Path(to.path).suffix.lower()
    if suffix in (".pdf", ".xml"):
        write_file(open_engine(home), number, "pdf" if suffix == ".pdf" else "xml", to)
        say(f"written: {to.path}")
        return
    with counting("rows") as progress:
        export_document(open_engine(home), number, to, detail=detail, progress=progress)
    say(f"written: {to.path}")


def _export_drafts(home: "Home", accounts: Accounts, month: Month, to: "Output", as_of: datetime | None) -> None:
    from billing.reports.invoice_files import export_invoice, export_invoices

    if Path(to.path).suffix in (".pdf", ".xml"):
        raise UsageError("a draft is a workbook: give a name ending in .xlsx, or the number of an issued document")
    if accounts.account is None:
        if not Path(to.path).is_dir():
            raise UsageError(f"{str(to.path)!r} is not a directory: with --all, name one that exists")
        with counting("accounts") as progress:
            exported = []
            for each in export_invoices(open_engine(home), month.first_day_of, to, as_of=as_of):
                exported.append(each)
                progress(1)
        _say_exported(exported)
        return
    first = month.first_day(partial(zone_of, home, account=accounts.account))
    with counting("rows") as progress:
        export_invoice(open_engine(home), accounts.account, first, to, as_of=as_of, progress=progress)
    say(f"written: {to.path}")


def _say_exported(exported: Sequence["Exported"]) -> None:
    for each in exported:
        if each.workbook:
            say(f"written: {each.workbook}")
        elif each.error is None:
            say(f"skipped: {each.account}, no day of {each.month:%Y-%m} is billed")
    fail([f"account {each.account}: {each.error}" for each in exported if each.error is not None])
