"""Status: what there is, how far it is billed, and what needs doing."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from billing.cli.homes import open_engine, pass_home
from billing.cli.messages import fail, say
from billing.cli.options import APP, format_option
from billing.cli.report_tables import Report, print_report

if TYPE_CHECKING:
    from billing.home import Home
    from billing.reports.status import AccountStatus, Status

_FIELDS = (
    *("account", "app_id", "state", "billed_through", "last_event_at"),
    *("quarantined", "provisional_amount", "currency"),
)
_MINUTE = len("2026-03-10T10:18")


@click.command()
@click.argument("app_id", metavar="[APP]", type=APP, required=False)
@format_option
@pass_home
def status(home: "Home", app_id: int | None, output_format: str) -> None:
    """Show accounts and apps, and what needs doing. Of each app its state, the last billed day, the last event, how
    many of its rows are quarantined, and what the days that are refreshed but not billed cost so far. The states are
    ok, due, held, failed, silent and no_events. What needs doing is said below.

    With an APP: whether its users may enter a room now, and if not, why: it is disabled, its account is in arrears, or
    no minutes are left and it pays for nothing else.

    \b
    Example:
      billing status
      billing status --format json
      billing status 1400000001 --format json
    """
    if app_id is not None:
        print_admissions(home, [app_id], output_format)
        return
    from billing.reports.status import status as current_status

    found = current_status(home, open_engine(home))
    rows = [asdict(app) for account in found.accounts for app in account.apps]
    print_report(_report(rows, is_table=output_format == "table"), output_format)
    needs = list(_needs(found))
    for need in needs or ([] if found.errors else ["nothing needs doing"]):
        say(need)
    fail(found.errors)


def print_admissions(home: "Home", apps: Sequence[int], output_format: str) -> None:
    """Prints whether the users of apps may enter now."""
    from billing.jobs.standing import app_status
    from billing.ledger.admissions import ADMISSION_FIELDS

    engine = open_engine(home)
    rows = [app_status(engine, app_id) for app_id in apps]
    without = ("code_native", "code_web", "as_of", "valid_until")
    report = Report(fields=ADMISSION_FIELDS, rows=rows, empty="it has no apps", once=("currency",), without=without)
    print_report(report, output_format)


def _report(rows: list[dict[str, object]], *, is_table: bool) -> Report:
    """A table has the minute of the last event, in the account's time, and no column that says nothing."""
    if is_table:
        rows = [{**row, "last_event_at": str(row["last_event_at"] or "")[:_MINUTE] or None} for row in rows]
    usual = {"billed_through": None, "last_event_at": None, "quarantined": 0, "provisional_amount": None}
    return Report(
        fields=_FIELDS,
        rows=rows,
        empty="no accounts yet",
        once=("currency",),
        without=[name for name, value in usual.items() if all(row[name] == value for row in rows)],
    )


def _needs(found: "Status") -> Iterator[str]:
    for account in found.accounts:
        yield from _needs_of(account)
    if found.quarantined:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(found.quarantined.items()))
        yield f"quarantined rows: {reasons}: see `billing quarantine list`"
    if findings := sum(account.findings for account in found.accounts):
        yield f"findings of the last billed days: {findings:,}: see `billing findings`"


def _needs_of(account: "AccountStatus") -> Iterator[str]:
    from billing.periods import local_iso, time_zone

    name, run, due = account.account.id, account.failed, account.due
    if run:
        yield f"{name}: failed on {run.day}: {run.detail}: see `billing runs {run.id}`"
    if due:
        days = f"{due.first}" if due.first == due.last else f"{due.first} to {due.last}"
        if account.is_held:
            yield f"{name}: held: {days}: ingest what is missing, or run `billing nightly --despite-silence`"
        else:
            yield f"{name}: due: {days}: run `billing nightly`"
    for app in account.silent:
        since = local_iso(app.last_at // 1000, time_zone(account.account.timezone))
        yield f"{name}: app {app.app_id} silent since {since} with open stays ({app.stays:,}): see to its feed"
