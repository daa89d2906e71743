"""The program: its own options, and the commands in the order in which they are used.

Exit codes: 0 done, 1 an account or a file failed, 2 invalid usage. Reports go to stdout, everything else to stderr.
Slow imports are made by the command that needs them.
"""

import atexit
import gc
import io
import sys
from pathlib import Path
from typing import Any

import click

from billing import __version__
from billing.cli.account_commands import charges, packages
from billing.cli.audit_commands import audit
from billing.cli.billing_commands import nightly, rebill, refresh
from billing.cli.catalog_commands import catalog, init
from billing.cli.check_commands import check
from billing.cli.compact_commands import compact
from billing.cli.diff_commands import diff
from billing.cli.document_commands import (
    credit_invoice,
    finalize_months,
    list_invoices,
    reissue_invoice,
    show_invoices,
    write_off_invoice,
)
from billing.cli.estimate_commands import estimate
from billing.cli.explain_commands import explain
from billing.cli.export_commands import export
from billing.cli.ingest_commands import convert, ingest, ingests
from billing.cli.invoice_commands import invoice
from billing.cli.messages import failures, set_up_log
from billing.cli.notify_commands import alerts, notify
from billing.cli.options import FILE
from billing.cli.payment_commands import payment
from billing.cli.quarantine_commands import quarantine
from billing.cli.reconcile_commands import reconcile
from billing.cli.retract_commands import retract
from billing.cli.run_commands import runs
from billing.cli.serve_commands import serve
from billing.cli.standing_commands import account, app, package
from billing.cli.status_commands import status
from billing.cli.token_commands import token
from billing.cli.usage_commands import findings, usage
from billing.cli.verify_commands import bundle, verify
from billing.cli.watch_commands import watch
from billing.cli.what_if_commands import what_if

_COMMANDS = (
    *(init, catalog, ingest, watch, convert, ingests, quarantine, retract, findings, nightly, refresh, rebill),
    *(compact, status, runs, usage, charges, packages, explain, diff, what_if, invoice, payment, account, package),
    *(app, audit, verify, bundle, export, alerts, notify, estimate, reconcile, check, serve, token),
)

for _command in (
    *(finalize_months, list_invoices, show_invoices),
    *(credit_invoice, reissue_invoice, write_off_invoice),
):
    invoice.add_command(_command)


class _Program(click.Group):
    """The group of all commands, with one clear message for everything that is not a bug."""

    def make_context(self, *arguments: Any, **options: Any) -> click.Context:
        set_up_log("text")
        with failures():
            return super().make_context(*arguments, **options)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with failures():
                return super().invoke(ctx)
        except KeyboardInterrupt:
            ctx.exit(130)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """In the order in which they are used."""
        return list(self.commands)


def _collect_seldom() -> None:
    """A short command is mostly imports, and the collector would look through all of them again and again, at the end
    for the last time (measured: a quarter of the time of `billing charges`)."""
    gc.set_threshold(50_000)
    atexit.unregister(gc.freeze)
    atexit.register(gc.freeze)


def _log_format(ctx: click.Context, option: click.Parameter, log_format: str) -> None:  # noqa: ARG001 - click's signature
    set_up_log(log_format)


@click.group(
    cls=_Program,
    commands={str(command.name): command for command in _COMMANDS},
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
)
@click.option(
    "--home",
    "directory",
    type=FILE,
    envvar="BILLING_HOME",
    default=Path("./billing-data"),
    show_default=True,
    show_envvar=True,
    help="Where events, quarantine and the database are kept.",
)
@click.option(
    "--database-url",
    envvar="BILLING_DATABASE_URL",
    show_envvar=True,
    metavar="URL",
    help="Another database than billing.db in the home, such as postgresql://USER@HOST/NAME.",
)
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    envvar="BILLING_LOG_FORMAT",
    show_envvar=True,
    is_eager=True,
    expose_value=False,
    callback=_log_format,
    help="How messages on stderr are written: as text, or as one JSON object a line.",
)
@click.version_option(__version__, prog_name="billing")
@click.pass_context
def main(ctx: click.Context, directory: Path, database_url: str | None) -> None:
    """Usage metering and billing for real-time audio and video: from a media server's events to an Excel invoice.

    \b
    Example:
      billing init
      billing catalog apply catalog.toml
      billing ingest events.ndjson
      billing nightly
      billing invoice export acme --month 2026-03 -o invoice.xlsx
    """
    from billing.home import Home

    _collect_seldom()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    ctx.obj = Home.at(directory, database_url)
