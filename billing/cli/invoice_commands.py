"""Invoices."""

from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from billing.cli.homes import open_engine, pass_home, zone_of
from billing.cli.messages import say
from billing.cli.options import Month, OutputFile, month_options
from billing.cli.progress import counting
from billing.periods import parse_instant

if TYPE_CHECKING:
    from billing.home import Home


@click.group()
def invoice() -> None:
    """Write an invoice as an Excel workbook.

    \b
    Example:
      billing invoice export acme --last-month -o acme.xlsx
    """


@invoice.command("export")
@click.argument("account")
@month_options
@click.option(
    "-o",
    "--output",
    type=OutputFile(".xlsx"),
    required=True,
    metavar="FILE.xlsx",
    help="The workbook to write.",
)
@click.option("--as-of", type=parse_instant, metavar="INSTANT", help="As it was known then, in RFC 3339.")
@pass_home
def invoice_export(home: "Home", account: str, month: Month, output: Path, as_of: datetime | None) -> None:
    """Write the workbook of a month's invoice. It shows what is to be paid and, down to 5 minutes, what for. It is a
    draft: it has no number, and nothing is stored. A month that is not over is shown as far as it is billed.

    \b
    Example:
      billing invoice export acme --month 2026-03 -o acme-2026-03.xlsx
    """
    from billing.output_files import Output
    from billing.reports.invoice_facts import export_invoice

    to = Output(path=output, home=home.directory)
    first = month.first_day(partial(zone_of, home, account=account))
    with counting("rows") as progress:
        export_invoice(open_engine(home), account, first, to, as_of=as_of, progress=progress)
    say(f"written: {output}")
