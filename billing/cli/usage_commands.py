"""What apps used, and what the metering noticed."""

from dataclasses import asdict, dataclass
from datetime import date
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from billing.cli import known_names
from billing.cli.homes import open_engine, pass_home, zone_of
from billing.cli.options import APP, COUNT, Period, collected, format_option, period_options, provisional_option
from billing.cli.report_tables import print_report

if TYPE_CHECKING:
    from billing.home import Home

_ALWAYS = (date(1970, 1, 1), date(2999, 12, 31))


@click.command()
@click.argument("account", required=False, shell_complete=known_names.accounts)
@click.option("--app", "app_id", type=APP, metavar="APP", help="Only this app.")
@period_options
@format_option
@pass_home
def findings(home: "Home", account: str | None, app_id: int | None, period: Period, output_format: str) -> None:
    """List what was ignored or interpreted. Findings are facts about accepted events that a billed day met with, such
    as a user who left without having entered.

    \b
    Example:
      billing findings acme --from 2026-03-01 --to 2026-03-31
      billing findings acme --month 2026-03
    """
    from billing.reports.account import findings as stored_findings
    from billing.reports.account_reports import findings_report

    first, last = period.days(partial(zone_of, home, account=account, app_id=app_id), default=_ALWAYS)
    found = stored_findings(open_engine(home), account_id=account, app_id=app_id, first=first, last=last)
    print_report(findings_report(found), output_format)


@dataclass(frozen=True, slots=True, kw_only=True)
class _View:
    """How usage is shown."""

    by: Any
    unit: Any
    provisional: bool
    run: int | None


_view_options = collected(
    "view",
    _View,
    click.option(
        "--by",
        type=click.Choice(["window", "day", "room", "user"]),
        default="window",
        show_default=True,
        help="One row for each.",
    ),
    click.option(
        "--unit",
        type=click.Choice(["seconds", "minutes"]),
        default="seconds",
        show_default=True,
        help="What is counted.",
    ),
    provisional_option,
    click.option("--run", type=COUNT, metavar="N", help="As it was known when run N had ended."),
)


@click.command()
@click.argument("app_id", type=APP, metavar="APP")
@period_options
@_view_options
@format_option
@pass_home
def usage(home: "Home", app_id: int, period: Period, view: _View, output_format: str) -> None:
    """Show what an app used on billed days. Seconds come with their reason; minutes, by window and by day, are those
    that are billed. Corrections stand in signed rows of their own. Times are in the time zone of the account.

    \b
    Example:
      billing usage 1400000001 --from 2026-03-01 --to 2026-03-07 --by user
      billing usage 1400000001 --last-month --by day --unit minutes
    """
    from billing.reports.account_reports import usage_report
    from billing.reports.usage import app_usage

    first, last = period.days(partial(zone_of, home, app_id=app_id))
    rows = app_usage(home, open_engine(home), app_id, first, last, **asdict(view))
    print_report(usage_report(rows), output_format)
