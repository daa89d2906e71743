"""Invoices."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from billing.cli.homes import open_engine, pass_home, zone_of
from billing.cli.messages import fail, say
from billing.cli.options import Accounts, Month, WorkbookOutput, accounts_options, month_options
from billing.cli.progress import counting
from billing.errors import UsageError
from billing.periods import parse_instant

if TYPE_CHECKING:
    from billing.home import Home
    from billing.reports.invoice_facts import Exported


@click.group()
def invoice() -> None:
    """Write an invoice as an Excel workbook.

    \b
    Example:
      billing invoice export acme --last-month -o acme.xlsx
    """


@invoice.command("export")
@accounts_options
@month_options
@click.option(
    "-o",
    "--output",
    type=WorkbookOutput(),
    required=True,
    metavar="FILE.xlsx",
    help="The workbook to write; with --all the directory for one of each account.",
)
@click.option("--as-of", type=parse_instant, metavar="INSTANT", help="As it was known then, in RFC 3339.")
@pass_home
def invoice_export(home: "Home", accounts: Accounts, month: Month, output: Path, as_of: datetime | None) -> None:
    """Write the workbook of a month's invoice. It shows what is to be paid and, down to 5 minutes, what for. It is a
    draft: it has no number, and nothing is stored. A month that is not over is shown as far as it is billed. With
    --all, a workbook ACCOUNT-YYYY-MM.xlsx of every account that has a billed day in the month.

    \b
    Example:
      billing invoice export acme --month 2026-03 -o acme-2026-03.xlsx
      billing invoice export --all --last-month -o invoices/
    """
    from billing.output_files import Output
    from billing.reports.invoice_facts import export_invoice, export_invoices

    to = Output(path=output, home=home.directory)
    if accounts.account is None:
        if not output.is_dir():
            raise UsageError(f"{str(output)!r} is not a directory: with --all, name one that exists")
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
    say(f"written: {output}")


def _say_exported(exported: Sequence["Exported"]) -> None:
    for each in exported:
        if each.workbook:
            say(f"written: {each.workbook}")
        elif each.error is None:
            say(f"skipped: {each.account}, no day of {each.month:%Y-%m} is billed")
    fail([f"account {each.account}: {each.error}" for each in exported if each.error is not None])
