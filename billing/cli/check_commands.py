"""What should be looked at before a month is closed, and the answers to it."""

from typing import TYPE_CHECKING, Any

import click

from billing.cli import known_names
from billing.cli.homes import open_catalog, open_engine, pass_home
from billing.cli.messages import say
from billing.cli.options import Month, format_option, month_options
from billing.cli.report_tables import print_report
from billing.errors import UsageError

if TYPE_CHECKING:
    from billing.home import Home


class _Check(click.Group):
    """`billing check ACCOUNT` checks; `billing check ack` answers. A name that is no command is an account."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.commands:
            args = ["month", *args]
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        # `--month 2026-03 academy`: options before the account are its command's.
        is_of_month = bool(args) and args[0].startswith("--") and args[0] not in ("--help",)
        return super().parse_args(ctx, ["month", *args] if is_of_month else args)

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_usage(ctx.command_path, "ACCOUNT (--month YYYY-MM | --last-month) [OPTIONS]")

    def list_commands(self, ctx: click.Context) -> list[Any]:  # noqa: ARG002 - click's signature
        return ["month", "ack"]


@click.group("check", cls=_Check)
def check() -> None:
    """Find what should be looked at before a month is closed: jumps, stays in several rooms at once, people alone for
    hours, gaps, prices that changed. `billing invoice finalize` waits for the answer to each finding of severity hold.

    \b
    Example:
      billing check academy --month 2026-03
      billing check ack alone-academy-2026-03-5d41402a --by mia --note "a test"
    """


@check.command("month")
@click.argument("account", shell_complete=known_names.accounts)
@month_options
@format_option
@pass_home
def check_month(home: "Home", account: str, month: Month, output_format: str) -> None:
    """Find what should be looked at in a month of an account, those that hold the month first. The word `month` may be
    left out.

    \b
    Example:
      billing check month academy --month 2026-03
      billing check academy --last-month --format json
    """
    from billing.reports.anomalies.month_check import check_month as checked

    chosen = open_catalog(home).account(account)
    report = checked(home, open_engine(home), account, month.first_day_of(chosen))
    print_report(report, output_format)
    if output_format == "table":
        for row in report.rows:
            say(f"{row['subject']}: {row['detail']}")


@check.command("ack")
@click.argument("findings", metavar="ID...", nargs=-1, required=True)
@click.option("--by", required=True, metavar="NAME", help="Who has looked at it.")
@click.option("--note", required=True, metavar="TEXT", help="What it was.")
@format_option
@pass_home
def ack(home: "Home", findings: tuple[str, ...], by: str, note: str, output_format: str) -> None:
    """Answer findings: their month need not wait for them. The answer is for what was seen: when the value of a finding
    changes, it has another id and waits again.

    \b
    Example:
      billing check ack alone-academy-2026-03-5d41402a --by mia --note "a test"
    """
    from billing.jobs.check_answer import answer_findings

    if not by.strip() or not note.strip():
        raise UsageError("give a name and a note that are not empty")
    report = answer_findings(home, open_engine(home), findings, by=by.strip(), note=note.strip())
    print_report(report, output_format)
