"""What settled months would have cost under other terms."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from billing.cli import known_names
from billing.cli.homes import open_engine, pass_home, zone_of
from billing.cli.options import FILE, Month, collected, format_option
from billing.cli.report_tables import Report, print_report
from billing.cli.text_files import read_text
from billing.errors import UsageError
from billing.money import plain
from billing.periods import parse_month

if TYPE_CHECKING:
    from billing.home import Home
    from billing.reports.what_if import Question, WhatIf


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """Months and what is assumed, as the line has them."""

    months: tuple[date, ...]
    last_month: bool
    policy: str | None
    contract: Path | None
    packages: str | None

    def __post_init__(self) -> None:
        if bool(self.months) == self.last_month:
            raise UsageError("give either --month, once for each month, or --last-month")

    def question(self, home: "Home", account: str) -> "Question":
        """The same with the files read."""
        from billing.reports.assumed_terms import read_contracts, read_packages
        from billing.reports.what_if import Question

        zone = zone_of(home, account=account)
        months = self.months or (Month(month=None, last_month=True).first_day(lambda: zone),)
        contracts = None
        if self.contract is not None:
            contracts = read_contracts(read_text(self.contract), str(self.contract), account)
        packages: Any = self.packages or "own"
        if packages not in ("own", "none", "best"):
            packages = read_packages(read_text(Path(packages)), packages, account, min(months), zone)
        return Question(account=account, months=months, policy=self.policy, contracts=contracts, packages=packages)


@click.command("what-if")
@click.argument("account", shell_complete=known_names.accounts)
@collected(
    "asked",
    _Asked,
    click.option(
        "--month",
        "months",
        type=parse_month,
        multiple=True,
        metavar="YYYY-MM",
        help="A month; several follow each other.",
    ),
    click.option("--last-month", is_flag=True, help="The month before this one, where the account is."),
    click.option("--policy", metavar="POLICY", help="The policy that would hold, such as trtc-intl-2021."),
    click.option("--contract", type=FILE, metavar="FILE", help="A TOML file with the [[contract]] that would hold."),
    click.option(
        "--packages",
        metavar="none|best|FILE",
        help="No packages, the cheapest set of the price list, or the [[package]] tables of a TOML file.",
    ),
)
@format_option
@pass_home
def what_if(home: "Home", account: str, asked: _Asked, output_format: str) -> None:
    """Bill settled months anew under another policy, another contract or other packages. The usage is what it was, with
    all corrections; what is not named stays the account's, its free minutes in any case. Nothing is written. With the
    account's own terms the answer is its bill.

    \b
    Example:
      billing what-if acme --month 2026-03 --packages best
      billing what-if acme --month 2026-02 --month 2026-03 \\
        --policy trtc-intl-2021 --contract contract.toml
    """
    from billing.reports.what_if import what_if as answered

    found = answered(home, open_engine(home), asked.question(home, account))
    match output_format:
        case "json":
            row = found.row()
            print_report(Report(fields=tuple(row), rows=[row]), output_format)
        case "csv":
            print_report(Report(fields=found.charges.columns, rows=found.row()["charges"]), output_format)
        case _:
            _print_table(found)


def _print_table(found: "WhatIf") -> None:
    """The charges by item, and what the whole comes to beside the bill."""
    click.echo(f"{', '.join(found.months)} of {found.account} under {found.policy}\n")
    sums = ("minutes", "deducted_minutes", "payable_minutes", "amount")
    fields = ("item", *sums)
    print_report(Report(fields=fields, rows=found.by_item(), sums=sums, empty="no usage"), "table")
    lines: dict[str, Decimal | None] = {"amount": found.amount}
    for each in found.packages:
        lines[f"{each.count:,} x {each.minutes:,} package minutes at {plain(each.price)}"] = each.total
    lines |= {"total": found.total, "billed": found.billed, "difference": found.difference}
    click.echo()
    print_report(Report(fields=("figure", found.currency), rows=_rows(lines, found.currency)), "table")
    if found.metered_again:
        click.echo("\nmetered again from the event log: the stored seconds do not tell these tiers")


def _rows(lines: Mapping[str, Decimal | None], currency: str) -> list[dict[str, object]]:
    return [{"figure": name, currency: amount} for name, amount in lines.items()]
