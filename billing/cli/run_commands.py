"""Runs: what was done, when, with what."""

import textwrap
from typing import TYPE_CHECKING

import click

from billing.cli.homes import open_engine, pass_home
from billing.cli.options import COUNT, format_option
from billing.cli.report_tables import Report, print_report

if TYPE_CHECKING:
    from billing.home import Home

_VALUE_WIDTH = 64  # the length of a hash


@click.command()
@click.argument("run_id", type=COUNT, required=False, metavar="[N]")
@click.option("--limit", type=COUNT, default=20, show_default=True, help="How many, the newest first.")
@format_option
@pass_home
def runs(home: "Home", run_id: int | None, limit: int, output_format: str) -> None:
    """Show what was run, when, with what result. With a number, everything about that run: the version of the program,
    the policy and the prices by their hashes, how far into the event log it read, and what it counted.

    \b
    Example:
      billing runs
      billing runs 17
    """
    from billing.reports.run_list import runs as stored_runs
    from billing.reports.run_list import runs_report

    found = stored_runs(open_engine(home), run_id=run_id, limit=limit)
    is_shown_whole = run_id is not None and output_format == "table"
    print_report(_one_run(found[0]) if is_shown_whole else runs_report(found), output_format)


def _one_run(run: dict[str, object]) -> Report:
    """A field a row; counts and long values go on in the next rows."""
    lines = {name: _lines(value) for name, value in run.items() if value is not None}
    rows = [{"field": "" if at else name, "value": line} for name in lines for at, line in enumerate(lines[name])]
    return Report(fields=("field", "value"), rows=rows)


def _lines(value: object) -> list[str]:
    if isinstance(value, dict):
        return [f"{name}: {count}" for name, count in value.items()]
    return textwrap.wrap(str(value), _VALUE_WIDTH)
