"""Billing: the nightly run, today's provisional figures, and going through billed days again."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date
from typing import TYPE_CHECKING

import click

from billing.cli import known_names
from billing.cli.homes import open_catalog, open_engine, pass_home
from billing.cli.messages import fail, record, say, say_error
from billing.cli.options import collected, format_option
from billing.cli.progress import counting
from billing.cli.report_tables import Report, print_report
from billing.errors import BillingError, UsageError
from billing.periods import WINDOW_SECONDS, parse_day

if TYPE_CHECKING:
    from billing.home import Home
    from billing.jobs.nightly import Outcome
    from billing.metering.spans import Metering


_HELD_UNTIL = "the day is held until events arrive, or `billing nightly --despite-silence`"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scope:
    """What a night is to bill, as `billing.jobs.nightly.Scope`."""

    day: date | None
    accounts: tuple[str, ...]
    despite_silence: bool


@click.command()
@collected(
    "scope",
    _Scope,
    click.option(
        "--date", "day", type=parse_day, metavar="DAY", help="Bill up to this day, not up to the last finished one."
    ),
    click.option(
        "--account",
        "accounts",
        multiple=True,
        metavar="ACCOUNT",
        shell_complete=known_names.accounts,
        help="Only this account; repeatable.",
    ),
    click.option("--despite-silence", is_flag=True, help="Bill also days that are held because a feed is silent."),
)
@click.option(
    "--engine",
    type=click.Choice(["local", "spark"]),
    default="local",
    show_default=True,
    help="What counts the seconds: this process, or Spark.",
)
@click.option(
    "--master", metavar="URL", help="With --engine spark: its master, if not that of spark-submit or this machine."
)
@format_option
@pass_home
def nightly(home: "Home", scope: _Scope, engine: str, master: str | None, output_format: str) -> None:
    """Bill every account up to its last finished day. Days are local to the account; earlier unbilled days come first,
    and days that are billed stay as they are: what late events change of them is posted as corrections. If one account
    fails, the others are billed all the same. An app that fell silent with users inside is named; if its account has
    hold_if_silent, the day is held until events arrive.

    \b
    Example:
      billing nightly
      billing nightly --date 2026-03-31
      billing nightly --account acme --despite-silence
      billing nightly --engine spark --master spark://spark.example.com:7077
    """
    from billing.jobs.nightly import HELD, Scope, run_nightly
    from billing.ledger.runs import FAILED

    outcomes: list[Outcome] = []
    try:
        with counting("days") as progress, _metering(engine, master) as metering:
            for outcome in run_nightly(home, open_engine(home), Scope(**asdict(scope)), metering=metering):
                outcomes.append(outcome)
                progress(1)
    except BillingError:
        # What is billed is billed, and said.
        if outcomes:
            _print_outcomes(outcomes, output_format)
        raise
    _print_outcomes(outcomes, output_format)
    for outcome in outcomes:
        record("nightly", asdict(outcome))
        if outcome.silence:
            until = f"; {_HELD_UNTIL}" if outcome.result == HELD else ""
            say(f"{outcome.account}, {outcome.day}: {outcome.silence}{until}")
    wanted = set(scope.accounts or open_catalog(home).accounts)
    if idle := sorted(wanted - {outcome.account for outcome in outcomes}):
        say(f"no events yet: {', '.join(idle)}")
    fail([f"{each.account}, {each.day}: {each.detail}" for each in outcomes if each.result == FAILED])


def _print_outcomes(outcomes: Sequence["Outcome"], output_format: str) -> None:
    fields = ("account", "day", "result", "run", "detail")
    rows = [asdict(outcome) for outcome in outcomes]
    print_report(Report(fields=fields, rows=rows, empty="nothing to bill"), output_format)


@contextmanager
def _metering(engine: str, master: str | None) -> Iterator["Metering"]:
    from billing.metering.spans import meter_with_leaves

    if engine == "local":
        if master is not None:
            raise UsageError("--master is for --engine spark")
        yield meter_with_leaves
        return
    try:
        from billing.metering.spark import spark_metering
    except ModuleNotFoundError as error:
        raise BillingError(f"--engine spark needs {error.name}: pip install 'billing[spark]'") from None
    with spark_metering(master) as metering:
        yield metering


@click.command()
@click.option("--watch", is_flag=True, help="Go on, every five minutes, until stopped.")
@format_option
@pass_home
def refresh(home: "Home", watch: bool, output_format: str) -> None:
    """Bring today up to date, up to the last whole five minutes. What it finds is provisional: usage, charges and
    packages show it with --provisional, and the nightly bill is what counts.

    \b
    Example:
      billing refresh
      billing refresh --watch
    """
    if watch:
        _watch(lambda: _refresh(home, output_format))
    else:
        _refresh(home, output_format)


def _refresh(home: "Home", output_format: str) -> None:
    from billing.jobs.refresh import run_refresh
    from billing.ledger.runs import FAILED

    days = run_refresh(home, open_engine(home))
    fields = ("account", "day", "through", "result", "detail")
    print_report(Report(fields=fields, rows=[asdict(day) for day in days], empty="nothing to refresh"), output_format)
    for day in days:
        record("refresh", asdict(day))
    fail([f"{each.account}, {each.day}: {each.detail}" for each in days if each.result == FAILED])


def _watch(action: Callable[[], None]) -> None:
    """Repeats an action after each window; what fails once may work the next time."""
    while True:
        try:
            action()
        except BillingError as error:
            say_error(str(error))
        time.sleep(WINDOW_SECONDS - time.time() % WINDOW_SECONDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cause:
    """Which billed days to go through again, and why."""

    first: date
    reason: str
    dry_run: bool


@click.command()
@click.argument("account", shell_complete=known_names.accounts)
@collected(
    "cause",
    _Cause,
    click.option(
        "--from", "first", type=parse_day, required=True, metavar="DAY", help="The first day to go through again."
    ),
    click.option("--reason", required=True, metavar="TEXT", help="Why; it stands on every correction."),
    click.option("--dry-run", is_flag=True, help="Only say what would be posted."),
)
@format_option
@pass_home
def rebill(home: "Home", account: str, cause: _Cause, output_format: str) -> None:
    """Bill billed days again, and post the difference. Nothing that is billed changes: each difference is a signed
    correction, in the month of the last billed day. Late events need no rebill, for the nightly sees to them.

    \b
    Example:
      billing rebill acme --from 2026-03-05 --reason "events restored" --dry-run
    """
    from billing.jobs.rebill import run_rebill
    from billing.reports.account import correction_lines
    from billing.reports.account_reports import charges_report

    done = run_rebill(home, open_engine(home), account, cause.first, reason=cause.reason, dry_run=cause.dry_run)
    lines = correction_lines(done.lines, done.deducted_by, run=done.run)
    print_report(charges_report(lines, empty=""), output_format)
    say(f"nothing was posted (--dry-run): {done.summary}" if cause.dry_run else f"run {done.run}: {done.summary}")
