"""The money of an account: its charges and its packages."""

from functools import partial
from typing import TYPE_CHECKING

import click

from billing.cli import known_names
from billing.cli.homes import open_engine, pass_home, zone_of
from billing.cli.messages import fail
from billing.cli.options import Accounts, Month, accounts_options, format_option, month_options, provisional_option
from billing.cli.report_tables import print_report

if TYPE_CHECKING:
    from billing.home import Home


@click.command()
@accounts_options
@month_options
@provisional_option
@format_option
@pass_home
def charges(home: "Home", accounts: Accounts, month: Month, provisional: bool, output_format: str) -> None:
    """Show the daily charges of an account. The minutes used, those that free minutes and packages paid, and what the
    rest costs. Corrections are in the month in which they were posted, with the day they are about. With --all, those
    of every account, with its id in a column of its own.

    \b
    Example:
      billing charges acme --month 2026-03
      billing charges --all --last-month --format csv
    """
    from billing.reports.account import charges as daily_charges
    from billing.reports.account import charges_of_all
    from billing.reports.account_reports import charges_report

    if accounts.account is None:
        rows, errors = charges_of_all(open_engine(home), month.first_day_of, provisional=provisional)
        print_report(charges_report(rows), output_format)
        fail(errors)
        return
    first = month.first_day(partial(zone_of, home, account=accounts.account))
    rows = daily_charges(open_engine(home), accounts.account, first, provisional=provisional)
    print_report(charges_report(rows, empty=f"no charges in {first:%Y-%m}"), output_format)


@click.command()
@click.argument("account", shell_complete=known_names.accounts)
@provisional_option
@format_option
@pass_home
def packages(home: "Home", account: str, provisional: bool, output_format: str) -> None:
    """Show what is left of packages and free minutes. All figures are package minutes, as of the last billed day.

    \b
    Example:
      billing packages acme
    """
    from billing.reports.account import packages as balances
    from billing.reports.account_reports import packages_report

    rows = balances(open_engine(home), account, provisional=provisional)
    print_report(packages_report(rows, account), output_format)
