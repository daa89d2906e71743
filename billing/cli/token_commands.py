"""Tokens for the HTTP service: make, list and revoke them."""

from typing import TYPE_CHECKING

import click

from billing.cli import known_names
from billing.cli.homes import open_engine, pass_home
from billing.cli.options import format_option
from billing.cli.report_tables import Report, print_report

if TYPE_CHECKING:
    from billing.home import Home

_SCOPES = click.Choice(["ingest", "read", "admin"])


@click.group()
def token() -> None:
    """Tokens: who may ask what of `billing serve`.

    \b
    Example:
      billing token create --scope read --account acme --name "console of ACME"
    """


@token.command("create")
@click.option("--scope", type=_SCOPES, required=True, help="Add events, read, or both and change things.")
@click.option("--account", shell_complete=known_names.accounts, help="Bound to one account; else the operator's.")
@click.option("--name", default="", metavar="TEXT", help="What it is for.")
@format_option
@pass_home
def token_create(home: "Home", scope: str, account: str | None, name: str, output_format: str) -> None:
    """Make a token for the HTTP service. It is shown this one time; the database keeps only its hash. Bound to an
    account it sees nothing of any other.

    \b
    Example:
      billing token create --scope ingest --account acme
      billing token create --scope admin --name operator --format json
    """
    from billing.jobs.token_change import make_token

    row = make_token(home, open_engine(home), scope=scope, account_id=account, name=name)
    report = Report(fields=("id", "token", "scope", "account"), rows=[row])
    if output_format == "table":  # a column each would not have room for the token
        report = Report(fields=("field", "value"), rows=[{"field": name, "value": row[name]} for name in report.fields])
    print_report(report, output_format)


@token.command("list")
@format_option
@pass_home
def token_list(home: "Home", output_format: str) -> None:
    """List the tokens of the HTTP service, the oldest first and also those that are revoked, without their secrets.

    \b
    Example:
      billing token list
    """
    from billing.reports.token_list import tokens_report

    print_report(tokens_report(open_engine(home)), output_format)


@token.command("revoke")
@click.argument("token_id", metavar="ID")
@format_option
@pass_home
def token_revoke(home: "Home", token_id: str, output_format: str) -> None:
    """Revoke a token: from now on it is refused, and the sessions that it opened are over.

    \b
    Example:
      billing token revoke 3f9c0a1b2c4d
    """
    from billing.jobs.token_change import end_token
    from billing.reports.token_list import FIELDS, token_rows

    engine = open_engine(home)
    end_token(home, engine, token_id)
    rows = [row for row in token_rows(engine) if row["id"] == token_id]
    print_report(Report(fields=FIELDS, rows=rows), output_format)
