"""Telling others: the alerts of accounts, and the delivery of messages to webhooks."""

from typing import TYPE_CHECKING, Any

import click

from billing.cli import known_names
from billing.cli.homes import open_engine, pass_home
from billing.cli.messages import fail, say
from billing.cli.options import format_option
from billing.cli.report_tables import Report, print_report

if TYPE_CHECKING:
    from billing.home import Home
    from billing.jobs.notify import Notified

_ALERT_FIELDS = ("id", "account", "metric", "period", "threshold", "limit", "value", "fired_at", "state")
_MINUTE = len("2026-03-10T10:18")
_NOTIFIED_FIELDS = ("id", "event", "account", "webhook", "attempt", "result", "status", "detail", "next_at")


@click.command()
@click.argument("accounts", metavar="[ACCOUNT]...", nargs=-1, shell_complete=known_names.accounts)
@format_option
@pass_home
def alerts(home: "Home", accounts: tuple[str, ...], output_format: str) -> None:
    """List alerts with their values and thresholds. The value is that of the present day or month, billed and
    provisional, as of the last refresh. A threshold is armed, or fired at a time; nightly and refresh look for
    thresholds that are crossed.

    \b
    Example:
      billing alerts
      billing alerts academy --format json
    """
    from billing.reports.alert_list import alert_rows

    rows = alert_rows(open_engine(home), accounts)
    if output_format == "table":
        rows = [{**row, "fired_at": str(row["fired_at"] or "")[:_MINUTE] or None} for row in rows]
    report = Report(
        fields=_ALERT_FIELDS,
        rows=rows,
        empty="no alerts: add an [[alert]] to the catalog",
        once=("account",),
        without=("limit", *(name for name in ("fired_at", "period") if not any(row[name] for row in rows))),
    )
    print_report(report, output_format)


@click.command()
@click.option("--replay", metavar="ID", help="Send this message again, and no other.")
@format_option
@pass_home
def notify(home: "Home", replay: str | None, output_format: str) -> None:
    """Deliver messages to the webhooks of the catalog. Each is sent until it is accepted, for at most three days and
    always with the same id; run this every minute. With --replay a message is sent again to every webhook that is told
    of such messages, also if it was delivered. Authorities in the file BILLING_CA_FILE are trusted, too.

    \b
    Example:
      billing notify
      billing notify --replay msg_9f86d081884c7d659a2feaa0c55ad015
    """
    from billing.jobs.notify import run_notify

    found = run_notify(home, open_engine(home), replay)
    report = Report(
        fields=_NOTIFIED_FIELDS,
        rows=[_row(each) for each in found.notified],
        empty="" if found.errors or found.gone else "nothing to deliver",
        without=("account", "attempt"),
    )
    print_report(report, output_format)
    for webhook in found.gone:
        say(f'webhook "{webhook}" has answered 410 Gone: nothing is sent to it until the catalog changes it')
    fail(found.errors)


def _row(notified: "Notified") -> dict[str, Any]:
    from billing.periods import local_iso_ms, time_zone

    message, next_ms = notified.message, notified.next_ms
    return {
        "id": message.message_id,
        "event": message.event,
        "account": message.account_id,
        "webhook": notified.webhook,
        "attempt": notified.attempt,
        "result": notified.result,
        "status": notified.status,
        "detail": notified.detail,
        "next_at": None if next_ms is None else local_iso_ms(next_ms, time_zone("UTC")),
    }
