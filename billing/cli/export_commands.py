"""The books for other programs."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from io import TextIOWrapper
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from billing.cli import known_names
from billing.cli.homes import open_engine, pass_home
from billing.cli.messages import say
from billing.cli.options import FILE, collected
from billing.periods import parse_day
from billing.reports.row_formats import write_csv_rows

if TYPE_CHECKING:
    from billing.home import Home
    from billing.receivables.journal import PostedTransfer


@click.group()
def export() -> None:
    """Write the books for other programs.

    \b
    Example:
      billing export journal --format beancount -o books.beancount
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class _Extract:
    """Which transfers a journal has; None: all."""

    account_id: str | None
    first: date | None
    last: date | None


_extract_options = collected(
    "extract",
    _Extract,
    click.option(
        "--account", "account_id", metavar="ACCOUNT", help="Only this one.", shell_complete=known_names.accounts
    ),
    click.option("--from", "first", type=parse_day, metavar="DAY", help="The first day."),
    click.option("--to", "last", type=parse_day, metavar="DAY", help="The last day, included."),
)


@export.command("journal")
@click.option(
    "--format",
    "output_format",
    type=click.Choice(["beancount", "hledger", "csv"]),
    required=True,
    help="Which program is to read it.",
)
@_extract_options
@click.option(
    "-o", "--output", type=FILE, required=True, metavar="FILE", help="The file to write; - for standard output."
)
@pass_home
def export_journal(home: "Home", output_format: str, extract: _Extract, output: Path) -> None:
    """Write invoices, credit notes, payments and what they pay, packages and write-offs as a double-entry journal that
    `bean-check` and `hledger check --strict` accept. In CSV a row is a transfer from one account to another. With
    --from the journal has the movements from that day on, and no opening balance.

    \b
    Example:
      billing export journal --format beancount -o books.beancount
      billing export journal --format hledger --account acme -o -
      billing export journal --format csv --from 2026-03-01 --to 2026-03-31 \\
        -o march.csv
    """
    from billing.output_files import STANDARD_OUTPUT, Output
    from billing.reports.journal import journal

    to = Output(path=output, home=home.directory)
    engine = open_engine(home)
    with (
        journal(engine, account_id=extract.account_id, first=extract.first, last=extract.last) as transfers,
        to.open() as file,
    ):
        stream = TextIOWrapper(file, encoding="utf-8", newline="")
        try:
            _write(transfers, output_format, stream)
        finally:
            stream.detach()  # else it would close standard output
    if str(output) != STANDARD_OUTPUT:
        say(f"written: {output}")


def _write(transfers: "Iterator[PostedTransfer]", output_format: str, stream: IO[str]) -> None:
    from billing.receivables.journal import ROW_FIELDS, journal_rows
    from billing.receivables.journal_formats import beancount_lines, hledger_lines

    if output_format == "csv":
        write_csv_rows(ROW_FIELDS, journal_rows(transfers), stream)
    else:
        stream.writelines(beancount_lines(transfers) if output_format == "beancount" else hledger_lines(transfers))
    stream.flush()
