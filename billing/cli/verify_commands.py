"""Proofs: verifying what was billed, and handing it to a customer who verifies it alone."""

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import click

from billing.cli import known_names
from billing.cli.homes import open_engine, pass_home
from billing.cli.messages import fail, say
from billing.cli.options import COUNT, FILE, format_option
from billing.cli.progress import counting
from billing.cli.report_tables import Report, print_report
from billing.errors import UsageError
from billing.money import plain
from billing.periods import parse_month

if TYPE_CHECKING:
    from billing.home import Home

FIELDS = ("check", "account", "day", "app_id", "room_id", "document", "file", "expected", "found", "detail")


@click.command()
@click.argument("account", required=False, shell_complete=known_names.accounts)
@click.option("--month", type=parse_month, metavar="YYYY-MM", help="The days of this month alone.")
@click.option(
    "--ledger", is_flag=True, help="Only the database: every sum and product, and the sizes of the log's files."
)
@click.option("--sample", type=COUNT, metavar="N", help="Meter about N rooms of each account again. [default: 10]")
@click.option("--full", is_flag=True, help="Meter every room again, which takes long.")
@format_option
@pass_home
def verify(
    home: "Home",
    account: str | None,
    month: date | None,
    ledger: bool,
    sample: int | None,
    full: bool,
    output_format: str,
) -> None:
    """Verify what was billed: the catalog against what was applied, every day of the ledger against its windows, the
    log's files and the events of every day against their seals, rooms against a second engine, and documents against
    charges and transfers. What does not agree is listed, with exit code 1.

    \b
    Example:
      billing verify
      billing verify academy --month 2026-03 --full
    """
    from billing.reports.verification import SAMPLED_ROOMS, Depth
    from billing.reports.verification import verify as verified

    if ledger + full + (sample is not None) > 1:
        raise UsageError("give one of --ledger, --sample and --full")
    depth = Depth(ledger=ledger, rooms=sample or SAMPLED_ROOMS, full=full)
    with counting("accounts") as progress:
        rows = verified(home, open_engine(home), account_id=account, month=month, depth=depth, progress=progress)
    without = [name for name in FIELDS if not any(row[name] is not None for row in rows)]
    print_report(Report(fields=FIELDS, rows=rows, empty="", without=without), output_format)
    if rows:
        count = "one thing does" if len(rows) == 1 else f"{len(rows)} things do"
        fail([f"{count} not agree: keep the home and the database as they are, and compare them with a backup"])
    say("everything agrees")


@click.command()
@click.argument("account", shell_complete=known_names.accounts)
@click.option("--month", type=parse_month, metavar="YYYY-MM", required=True, help="The month.")
@click.option("-o", "--output", type=FILE, required=True, help="The zip to write.")
@pass_home
def bundle(home: "Home", account: str, month: date, output: Path) -> None:
    """Write a month with all that its total follows from: events, stays carried over, terms, bill, seals, and a program
    verify.py that needs nothing but Python. `python3 -I verify.py`, in the folder of the unpacked zip, computes the
    month again; its last line is the total. For a closed month it is the invoice as it was issued, else the draft.

    \b
    Example:
      billing bundle academy --month 2026-03 -o academy-2026-03.zip
    """
    from billing.output_files import Output
    from billing.reports.bundle import write_bundle

    document = write_bundle(home, open_engine(home), account, month, Output(path=output, home=home.directory))
    say(f"written: {output}, {document.number or 'a draft'}, total {plain(document.total)} {document.terms.currency}")
