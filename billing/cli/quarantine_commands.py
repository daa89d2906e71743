"""Rows that could not be accepted: what there is, and judging it again."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from billing.cli.homes import open_engine, pass_home
from billing.cli.messages import fail
from billing.cli.options import COUNT, FILE, collected, format_option
from billing.cli.report_tables import frame_report, print_report
from billing.cli.text_files import read_text
from billing.errors import BillingError, UsageError
from billing.periods import now

if TYPE_CHECKING:
    from billing.home import Home


@click.group()
def quarantine() -> None:
    """List and retry rows that were quarantined.

    \b
    Example:
      billing quarantine list
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class _Filter:
    """Which quarantined rows, and how many of them."""

    reasons: tuple[str, ...]
    files: tuple[str, ...]
    limit: int | None


_filter_options = collected(
    "wanted",
    _Filter,
    click.option("--reason", "reasons", multiple=True, metavar="CODE", help="Only rows with this reason; repeatable."),
    click.option("--file", "files", multiple=True, metavar="FILE", help="Only rows of this file; repeatable."),
    click.option("--limit", type=COUNT, metavar="N", help="Only the first N rows; with --rows in a table."),
)


@quarantine.command("list")
@_filter_options
@click.option("--rows", is_flag=True, help="As a table too: every row, not a summary.")
@format_option
@pass_home
def quarantine_list(home: "Home", wanted: _Filter, rows: bool, output_format: str) -> None:
    """List the rows that could not be accepted. A table counts them by file and reason, with the first and the last
    time that such a row was read, in UTC. With --rows, and always in JSON and CSV, there is each row with its line, why
    it was quarantined, and its text, which is whole in JSON and CSV.

    \b
    Example:
      billing quarantine list
      billing quarantine list --rows --limit 20
      billing quarantine list --reason no_offset --format json
    """
    from billing.reports.quarantine_list import NO_ROWS, quarantine_report, quarantine_sums, quarantined_rows

    open_engine(home)
    found = quarantined_rows(home, reasons=wanted.reasons, files=wanted.files)
    if rows or output_format != "table":
        shown = found.head(found.height if wanted.limit is None else wanted.limit)
        print_report(quarantine_report(shown), output_format)
    elif wanted.limit is not None:
        raise UsageError("--limit counts rows: give --rows too")
    else:
        print_report(frame_report(quarantine_sums(found), empty=NO_ROWS, sums=("rows",)), output_format)


@quarantine.command("retry")
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option(
    "--fixed", type=FILE, metavar="FILE", help="Rows of `quarantine list --format json` with their raw text corrected."
)
@format_option
@pass_home
def quarantine_retry(home: "Home", ids: Sequence[str], fixed: Path | None, output_format: str) -> None:
    """Judge quarantined rows again. Those with the IDs given, those in --fixed, or all. Rows that are accepted now, or
    known already, leave the quarantine; the others stay, with the reason that holds now.

    \b
    Example:
      billing quarantine list --format json > rows.json
      billing quarantine retry --fixed rows.json
    """
    from billing.jobs.ingest import open_context
    from billing.jobs.quarantine_retry import retry_quarantine
    from billing.reports.quarantine_list import retried_report

    corrected = _read_corrections(fixed) if fixed else {}
    wanted = {*ids, *corrected} if ids or fixed else None
    reports = retry_quarantine(open_context(home, open_engine(home), now()), ids=wanted, corrected=corrected)
    print_report(retried_report([asdict(each) for each in reports if not each.error]), output_format)
    fail([report.error for report in reports if report.error])


def _read_corrections(file: Path) -> dict[str, str]:
    """The text of rows by id, from what `quarantine list --format json` prints."""
    try:
        return {str(row["id"]): str(row["raw"]) for row in json.loads(read_text(file))}
    except (ValueError, TypeError, KeyError):
        raise BillingError(
            f"{file}: is not what `billing quarantine list --format json` prints: an array of objects with id and raw"
        ) from None
