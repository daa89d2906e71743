"""The money of an account: its charges and its packages."""

from functools import partial
from typing import TYPE_CHECKING

import click

from billing.cli import known_names
from billing.cli.homes import open_engine, pass_home, zone_of
from billing.cli.messages import fail
from billing.cli.options import Accounts, Month, accounts_options, format_option, month_options, provisional_option
from billing.cli.report_tables import Report, frame_report, print_report, usual

if TYPE_CHECKING:
    import polars as pl

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

    if accounts.account is None:
        rows, errors = charges_of_all(open_engine(home), month.first_day_of, provisional=provisional)
        print_charges(rows, output_format, empty="no charges")
        fail(errors)
        return
    first = month.first_day(partial(zone_of, home, account=accounts.account))
    rows = daily_charges(open_engine(home), accounts.account, first, provisional=provisional)
    print_charges(rows, output_format, empty=f"no charges in {first:%Y-%m}")


def print_charges(rows: "pl.DataFrame", output_format: str, *, empty: str) -> None:
    """Prints charges; what each payer paid is an object from payer to minutes."""
    named = [
        {**row, "deducted_by": {payer["payer_id"]: payer["minutes"] for payer in row["deducted_by"]}}
        for row in rows.to_dicts()
    ]
    # A screen has no room for prices beside accounts.
    of_all = ["unit_price"] if "account" in rows.columns else []
    one_currency = len({row["currency"] for row in named}) == 1
    report = Report(
        fields=rows.columns,
        rows=named,
        empty=empty,
        sums=("minutes", "deducted_minutes", "payable_minutes", *(["amount"] if one_currency else [])),
        once=("account", "app_id", "currency", "kind", "settled"),
        without=(
            "seconds",
            "run",
            "corrects_run",
            "posted_on",
            "cause",
            "deducted_by",
            *of_all,
            *usual(rows, settled=True, document=None),
        ),
    )
    print_report(report, output_format)


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

    rows = balances(open_engine(home), account, provisional=provisional)
    report = frame_report(
        rows,
        empty=f"{account} has no packages",
        sums=("granted", "deducted", "lapsed", "refunded", "remaining"),
        once=("settled",),
        without=usual(rows, settled=True, refunded=0),
    )
    print_report(report, output_format)
