"""Where an amount comes from."""

import shutil
import sys
import textwrap
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import click

from billing.catalog.items import ITEMS
from billing.cli import known_names
from billing.cli.homes import open_engine, pass_home
from billing.cli.messages import printable, say
from billing.cli.options import APP, COUNT, FILE, collected
from billing.cli.report_tables import print_report, write_table
from billing.errors import UsageError
from billing.output_files import STANDARD_OUTPUT, Output
from billing.periods import parse_day, parse_month

if TYPE_CHECKING:
    from billing.home import Home
    from billing.reports.explain import Explanation


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What the options ask: the fields of a `Question`."""

    account_id: str
    month: date | None
    app_id: int | None
    item: str | None
    day: date | None
    window: str | None
    room_id: str | None
    user_id: str | None
    at: str | None
    run: int | None


_question_options = collected(
    "asked",
    _Asked,
    click.argument("account_id", metavar="ACCOUNT", shell_complete=known_names.accounts),
    click.option("--month", type=parse_month, metavar="YYYY-MM", help="The month; without it, that of the day."),
    click.option("--app", "app_id", type=APP, metavar="APP", help="Only this app."),
    click.option(
        "--item", type=click.Choice(ITEMS), metavar="ITEM", help="Only this item: audio, hd, recording:hd, …."
    ),
    click.option("--day", type=parse_day, metavar="DAY", help="Only the usage of this day."),
    click.option("--window", metavar="TIME", help="Only the 5 minutes that hold this instant: 10:05 of the day."),
    click.option("--room", "room_id", metavar="ROOM", help="The stretches of this room."),
    click.option("--user", "user_id", metavar="USER", help="Only those of this user."),
    click.option("--at", metavar="TIME", help="Only what holds at this instant: 10:07:30 of the day."),
    click.option("--run", type=COUNT, metavar="N", help="As it was known when run N had ended."),
)


@click.command()
@_question_options
@click.option(
    "--format",
    "output_format",
    type=click.Choice(["table", "json", "csv", "html", "xlsx"]),
    default="table",
    show_default=True,
    help="How to write it. CSV has the rows of the narrowest link, HTML a picture of the rooms, XLSX live formulas.",
)
@click.option("-o", "--output", type=FILE, default="-", metavar="FILE", help="Where HTML or XLSX goes; else to stdout.")
@pass_home
def explain(home: "Home", asked: _Asked, output_format: str, output: Path) -> None:
    """Explain where an amount comes from. A month has its lines and charges, with what their prices rest on. An app and
    a day have the windows, with who paid, and the rooms, with their shares by seconds. A room or a user besides has
    the stretches of users: what was received, and the events that begin and end them, each with the file and the line
    that brought it. Every step is checked against the one before it.

    A time is HH:MM, HH:MM:SS of the day where the account is, or an instant such as 2026-03-10T10:05:00+09:00.

    \b
    Example:
      billing explain academy --month 2026-03
      billing explain academy --app 1400000001 --day 2026-03-10 --item 2k
      billing explain academy --day 2026-03-10 --room math --user anna \\
        --at 10:07:30
      billing explain academy --day 2026-03-10 --room math --format html \\
        -o math.html
    """
    from billing.reports.explain import explain as explained
    from billing.reports.explanation_rows import printed_report
    from billing.reports.question import Question

    is_file = output_format in ("html", "xlsx")
    if not is_file and str(output) != STANDARD_OUTPUT:
        raise UsageError("-o is for --format html or xlsx: write the others with > FILE")
    if output_format == "xlsx" and str(output) == STANDARD_OUTPUT and sys.stdout.isatty():
        raise UsageError("a workbook is not for a screen: give -o FILE.xlsx")
    explanation = explained(home, open_engine(home), Question(**asdict(asked)))
    if is_file:
        _write(explanation, output_format, Output(path=output, home=home.directory))
    elif output_format == "table":
        _print_tables(explanation)
    else:
        print_report(printed_report(explanation, output_format), output_format)


def _write(explanation: "Explanation", output_format: str, to: Output) -> None:
    if output_format == "html":
        from billing.reports.explanation_page import explanation_page

        with to.open() as file:
            file.writelines(part.encode() for part in explanation_page(explanation))
    else:
        from billing.reports.explanation_workbook import write_explanation

        write_explanation(explanation, to)
    if str(to.path) != STANDARD_OUTPUT:
        say(f"written: {to.path}")


def _print_tables(explanation: "Explanation") -> None:
    from billing.reports.explanation_rows import explanation_links
    from billing.reports.explanation_tables import answer, asked, explanation_tables

    links, width = explanation_links(explanation), shutil.get_terminal_size().columns
    sys.stdout.write(f"{textwrap.fill(printable(asked(explanation)), width)}\n{answer(explanation)}\n")
    for title, report in explanation_tables(links):
        if report.rows:
            sys.stdout.write(f"\n{title}\n\n")
            write_table(report, sys.stdout, width)
    if not links.charges.rows:
        say("nothing is charged for this")
    sys.stdout.flush()
