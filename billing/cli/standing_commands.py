"""How accounts stand: their balances, their arrears, the switch of an app, refunds of packages."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from billing.cli import known_names
from billing.cli.homes import open_engine, pass_home
from billing.cli.options import APP, format_option
from billing.cli.report_tables import Report, print_report
from billing.cli.status_commands import print_admissions
from billing.periods import parse_day

if TYPE_CHECKING:
    from datetime import date

    from billing.home import Home


@click.group()
def account() -> None:
    """Look at accounts, their balances and their arrears.

    \b
    Example:
      billing account balance academy
    """


@account.command("list")
@click.argument("accounts", metavar="[ACCOUNT]...", nargs=-1, shell_complete=known_names.accounts)
@format_option
@pass_home
def account_list(home: "Home", accounts: tuple[str, ...], output_format: str) -> None:
    """List accounts and the terms on which they are billed: currency, time zone, policy, seller, tax and apps.

    \b
    Example:
      billing account list
    """
    from billing.reports.balances import accounts_report

    report = accounts_report(open_engine(home), accounts, is_nested=output_format == "json")
    print_report(report, output_format)


@account.command("balance")
@click.argument("accounts", metavar="[ACCOUNT]...", nargs=-1, shell_complete=known_names.accounts)
@format_option
@pass_home
def account_balance(home: "Home", accounts: tuple[str, ...], output_format: str) -> None:
    """Show what accounts have or owe: their credit, less what is open of their invoices, less the drafts of the months
    that are not closed, with tax. Below zero an account owes.

    \b
    Example:
      billing account balance
      billing account balance academy --format json
    """
    from billing.reports.balances import balances_report

    print_report(balances_report(open_engine(home), accounts), output_format)


@account.command("hold")
@click.argument("account", shell_complete=known_names.accounts)
@click.option("--until", type=parse_day, required=True, metavar="DAY", help="The last day, where the seller is.")
@format_option
@pass_home
def account_hold(home: "Home", account: str, until: "date", output_format: str) -> None:
    """Let the arrears of an account have no consequence until the end of a day. What was refused is admitted again.

    \b
    Example:
      billing account hold academy --until 2026-04-15
    """
    from billing.jobs.standing import hold

    print_admissions(home, hold(home, open_engine(home), account, until), output_format)


@click.group()
def app() -> None:
    """Disable an app by hand, and enable it again.

    \b
    Example:
      billing app disable 1400000001
    """


@app.command("disable")
@click.argument("app_id", metavar="APP", type=APP)
@format_option
@pass_home
def app_disable(home: "Home", app_id: int, output_format: str) -> None:
    """Let nobody enter the rooms of an app. Sessions that run go on, and are billed.

    \b
    Example:
      billing app disable 1400000001
    """
    _switch(home, app_id, output_format, is_enabled=False)


@app.command("enable")
@click.argument("app_id", metavar="APP", type=APP)
@format_option
@pass_home
def app_enable(home: "Home", app_id: int, output_format: str) -> None:
    """Let users enter the rooms of an app again that was disabled by hand. Arrears are not touched by it.

    \b
    Example:
      billing app enable 1400000001
    """
    _switch(home, app_id, output_format, is_enabled=True)


def _switch(home: "Home", app_id: int, output_format: str, *, is_enabled: bool) -> None:
    from billing.jobs.standing import switch

    switch(home, open_engine(home), app_id, is_enabled=is_enabled)
    print_admissions(home, [app_id], output_format)


@click.group()
def package() -> None:
    """Refund packages.

    \b
    Example:
      billing package refund pkg-1
    """


@package.command("refund")
@click.argument("package_id", metavar="ID", shell_complete=known_names.packages)
@format_option
@pass_home
def package_refund(home: "Home", package_id: str, output_format: str) -> None:
    """Refund what is left of a package, as of the last billed day. Its used minutes cost the list price of a package of
    their own size. The refund is a credit note of the package's invoice; a package that was billed elsewhere is
    refunded on the next invoice. From then on it pays nothing more.

    \b
    Example:
      billing package refund pkg-1
    """
    from billing.jobs.package_refund import refund_package

    row = asdict(refund_package(home, open_engine(home), package_id))
    fields = ("id", "account", "used", "unit_price", "amount", "tax", "total", "number")
    print_report(Report(fields=fields, rows=[row]), output_format)
