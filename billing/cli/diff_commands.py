"""Why one month costs more than another."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import TYPE_CHECKING, Any

import click

from billing.cli import known_names
from billing.cli.homes import open_engine, pass_home
from billing.cli.messages import say
from billing.cli.options import collected, format_option
from billing.cli.report_tables import Report, print_report
from billing.money import EXACT, plain

if TYPE_CHECKING:
    from billing.home import Home

# What a table says of each cause.
_MEANINGS = {
    "correction": "corrections, where they are posted",
    "app_new": "apps that only the second has",
    "app_gone": "apps that only the first has",
    "package": "packages bought in the month",
    "fee": "fees",
    "volume": "more or fewer seconds in all",
    "mix": "other shares of audio and picture sizes",
    "minute_rounding": "seconds rounded up to minutes",
    "coverage": "minutes that free minutes and packages pay",
    "price": "the price of a minute",
}
_MOST_ROWS = 40
_OF_ALL = ("account", "a", "b", "currency", "amount_a", "amount_b", "difference")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sides:
    """Two months as they are written."""

    a: str
    b: str


@click.command()
@click.argument("account", shell_complete=known_names.accounts)
@collected("sides", _Sides, click.argument("a"), click.argument("b"))
@format_option
@pass_home
def diff(home: "Home", account: str, sides: _Sides, output_format: str) -> None:
    """Explain why B costs more or less than A. Each is a month, or a month as it was known: 2026-03@run:2,
    2026-03@as-of:2026-04-02T00:00:00Z; or as it would cost under another policy: 2026-03@policy:trtc-intl-2021.
    Corrections, new and gone apps and packages are set apart; the rest is split by app and item into volume, mix,
    rounding, coverage and price. All causes sum to the difference.

    \b
    Example:
      billing diff acme 2026-02 2026-03
      billing diff acme 2026-03@run:40 2026-03 --format json
    """
    from billing.reports.diff import diff as difference
    from billing.reports.diff import parse_side

    found = difference(home, open_engine(home), account, parse_side(sides.a), parse_side(sides.b)).row()
    if output_format == "json":
        print_report(Report(fields=tuple(found), rows=[found]), output_format)
    elif output_format == "csv":
        _print_causes(found)
    else:
        _print_table(found)


def _print_causes(found: dict[str, Any]) -> None:
    """A row for each cause, with what holds for all of them."""
    of_all = {name: found[name] for name in _OF_ALL}
    fields = (*_OF_ALL, "cause", "app_id", "item", "run", "amount", "exact")
    print_report(Report(fields=fields, rows=[{**of_all, **cause} for cause in found["causes"]]), "csv")


def _print_table(found: dict[str, Any]) -> None:
    """Both amounts, the causes over all apps, then each app, the largest amounts if there are many."""
    currency = found["currency"]
    for side in ("a", "b"):
        click.echo(f"{found[side]}: {plain(found[f'amount_{side}'])} {currency}")
    click.echo(f"difference: {_signed(found['difference'])} {currency}")
    if not found["causes"]:
        return
    click.echo()
    causes = found["causes"]
    rows = [
        {"cause": cause, "amount": _sum_of(causes, cause), "because_of": meaning}
        for cause, meaning in _MEANINGS.items()
        if any(each["cause"] == cause for each in causes)
    ]
    print_report(Report(fields=("cause", "amount", "because_of"), rows=rows, sums=("amount",)), "table")
    click.echo()
    largest = sorted(causes, key=lambda each: -abs(each["amount"]))[:_MOST_ROWS]
    shown = [each for each in causes if each in largest][:_MOST_ROWS]
    unused = [name for name in ("app_id", "item", "run") if all(each[name] is None for each in shown)]
    print_report(Report(fields=("cause", "app_id", "item", "run", "amount"), rows=shown, without=unused), "table")
    if len(shown) < len(causes):
        say(f"and {len(causes) - len(shown)} smaller ones: see --format csv")


def _sum_of(causes: Sequence[dict[str, Any]], cause: str) -> Decimal:
    with localcontext(EXACT):
        return sum((each["amount"] for each in causes if each["cause"] == cause), Decimal(0))


def _signed(amount: Decimal) -> str:
    return f"{'+' if amount > 0 else ''}{plain(amount)}"
