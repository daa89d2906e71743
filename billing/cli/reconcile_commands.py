"""What a provider states, beside what was settled here."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from billing.cli.homes import open_engine, pass_home
from billing.cli.messages import say
from billing.cli.options import APP, FILE
from billing.cli.report_tables import Report, print_report
from billing.errors import UsageError
from billing.periods import iana_time_zone, parse_day

if TYPE_CHECKING:
    from datetime import date

    from billing.home import Home

_FILE_FORMATS = ("trtc-usage", "trtc-room", "tencent-bill", "agora-usage", "columns")
_OUTPUT_FORMATS = ("table", "json", "csv")


@click.command()
@click.argument("file", type=FILE)
@click.option(
    "--format",
    "formats",
    type=click.Choice([*_FILE_FORMATS, *_OUTPUT_FORMATS]),
    metavar="FORMAT",
    multiple=True,
    required=True,
    help=f"What the file is: {', '.join(_FILE_FORMATS)}. Once more, how to print the rows: table, json or csv.",
)
@click.option("--app", "app_id", type=APP, metavar="APP", help="The app, where the file does not name it.")
@click.option("--timezone", metavar="ZONE", help="The time zone of the file; else that of the account.")
@click.option("--day", type=parse_day, metavar="DAY", help="The day of a file by room.")
@click.option("--all", "show_all", is_flag=True, help="In the table also the cells that agree.")
@pass_home
def reconcile(
    home: "Home",
    file: Path,
    formats: tuple[str, ...],
    app_id: int | None,
    timezone: str | None,
    day: "date | None",
    show_all: bool,
) -> None:
    """Compare a provider's statement with what was settled here, cell by cell. Seconds must be equal; minutes may
    differ by one, amounts by one minor unit. Where one cause explains the differences, such as another time zone or
    another rounding, it is named with its evidence.

    \b
    Example:
      billing reconcile usage.json --format trtc-usage --app 1400000001
      billing reconcile bill.csv --format tencent-bill --format json
    """
    from billing.reports.foreign_usage import Reading
    from billing.reports.reconcile import FIELDS, summary, zone_of
    from billing.reports.reconcile import reconcile as reconciled

    file_format, output_format = _told_apart(formats)
    engine = open_engine(home)
    asked = Reading(zone=iana_time_zone(timezone or "UTC"), app_id=app_id, day=day)
    if timezone is None:
        asked = replace(asked, zone=zone_of(engine, file, file_format, asked))
    rows = reconciled(home, engine, file, file_format, asked)
    shown = [row for row in rows if row["status"] not in ("equal", "within")]
    is_table = output_format == "table"
    report = Report(
        fields=FIELDS,
        rows=shown if is_table and not show_all else rows,
        empty="everything agrees",
        once=("app_id", "unit", "cause", "explained", "evidence"),
        without=[name for name in FIELDS if all(row[name] is None for row in shown)],
    )
    print_report(report, output_format)
    if is_table and shown:
        say(", ".join(f"{count} {status.replace('_', ' ')}" for status, count in summary(rows).items() if count))


def _told_apart(formats: tuple[str, ...]) -> tuple[str, str]:
    """The format of the file, and that of the output."""
    of_file = [name for name in formats if name in _FILE_FORMATS]
    of_output = [name for name in formats if name in _OUTPUT_FORMATS]
    if len(of_file) != 1 or len(of_output) > 1:
        raise UsageError(f"give one format of the file: {', '.join(_FILE_FORMATS)}")
    return of_file[0], (of_output or ["table"])[0]
