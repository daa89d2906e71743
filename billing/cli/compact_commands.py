"""The files of the event log: merged, archived and put back."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from billing.cli.homes import open_engine, pass_home
from billing.cli.messages import say
from billing.cli.options import FILE, format_option
from billing.cli.report_tables import Report, print_report
from billing.errors import UsageError
from billing.periods import now, parse_day

if TYPE_CHECKING:
    from datetime import date

    from billing.home import Home

_FIELDS = ("day", "files_before", "files", "rows")


@click.command()
@click.option("--archive-before", type=parse_day, metavar="DAY", help="Move the UTC days before DAY to an archive.")
@click.option("-o", "--output", "directory", type=FILE, metavar="DIR", help="With --archive-before: the archive.")
@click.option("--restore", type=FILE, metavar="DIR", help="Put the days of this archive back.")
@format_option
@pass_home
def compact(
    home: "Home", archive_before: "date | None", directory: Path | None, restore: Path | None, output_format: str
) -> None:
    """Merge the small event files of each day. Days are quicker to read then; no event, bill or report changes. The
    nightly does it for settled days.

    With --archive-before the event files of old settled days move to a directory. Charges, invoices and usage by window
    stay; usage by room or user, explanations and late events of those days need the files back.

    \b
    Example:
      billing compact
      billing compact --archive-before 2026-01-01 -o /mnt/archive/events
      billing compact --restore /mnt/archive/events
    """
    from billing.jobs import compact as job
    from billing.jobs.ingest import open_context

    if (archive_before is None) != (directory is None) or (restore and archive_before):
        raise UsageError("give --archive-before together with -o, or --restore")
    engine = open_engine(home)
    context = open_context(home, engine, now())
    if archive_before and directory:
        days = job.archive(context, engine, archive_before, directory)
        say(f"archived: {len(days):,} days, in {directory}")
    elif restore:
        days = job.restore(context, restore)
        say(f"put back: {len(days):,} days, from {restore}")
    else:
        rows = [asdict(each) for each in job.compact(context)]
        report = Report(fields=_FIELDS, rows=rows, empty="nothing to merge", sums=_FIELDS[1:])
        print_report(report, output_format)
