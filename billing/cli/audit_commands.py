"""The audit of what was issued."""

from typing import TYPE_CHECKING

import click

from billing.cli.homes import open_engine, pass_home
from billing.cli.messages import fail, say
from billing.cli.options import format_option
from billing.cli.progress import counting
from billing.cli.report_tables import Report, print_report

if TYPE_CHECKING:
    from billing.home import Home


@click.command()
@click.option("--without-annexes", is_flag=True, help="Do not make every annex again, which can take long.")
@format_option
@pass_home
def audit(home: "Home", without_annexes: bool, output_format: str) -> None:
    """Check everything that was issued: numbers without a gap, the chain of documents, sums and tax, the charges of
    closed months, the ledger of money, and every cell of the annexes. What does not agree is listed, with exit code 1.

    \b
    Example:
      billing audit
    """
    from billing.reports.audit import audit as audited

    with counting("annexes") as progress:
        rows = audited(open_engine(home), with_annexes=not without_annexes, progress=progress)
    fields = ("check", "document", "account", "expected", "found", "detail")
    print_report(Report(fields=fields, rows=rows, empty=""), output_format)
    if rows:
        count = "one thing does" if len(rows) == 1 else f"{len(rows)} things do"
        fail([f"{count} not agree: keep this database as it is, and compare it with a backup"])
    say("everything agrees")
