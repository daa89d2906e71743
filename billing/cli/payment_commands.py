"""Payments: money received, and lines of a bank's file that match nobody."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from billing.cli import known_names
from billing.cli.homes import open_engine, pass_home
from billing.cli.messages import say
from billing.cli.options import AMOUNT, FILE, format_option
from billing.cli.report_tables import Report, print_report
from billing.cli.text_files import read_text
from billing.errors import UsageError
from billing.money import plain
from billing.periods import parse_day

if TYPE_CHECKING:
    from billing.home import Home
    from billing.jobs.payment import Received

_LONGEST = 256
_RECEIVED = ("id", "account", "amount", "currency", "received_on", "reference", "result", "allocated", "credit")
_PAYMENTS = ("id", "account", "amount", "currency", "received_on", "reference", "recorded_at")
_UNMATCHED = ("id", "file", "line", "amount", "currency", "received_on", "reference", "detail", "raw")


@click.group()
def payment() -> None:
    """Record what customers pay. A payment pays the open invoices of its account, what is left the next one.

    \b
    Example:
      billing payment add academy 26.64 --id BANK-4711 --reference INV-2026-000001
    """


@payment.command("add")
@click.argument("account", shell_complete=known_names.accounts)
@click.argument("amount", type=AMOUNT)
@click.option("--id", "key", required=True, metavar="BANK-ID", help="The bank's id of it: it is recorded once.")
@click.option("--reference", default="", metavar="TEXT", help="What the customer wrote, such as a number.")
@click.option("--on", "day", type=parse_day, metavar="DAY", help="When it was received; today if not given.")
@format_option
@pass_home
def payment_add(
    home: "Home", account: str, amount: Decimal, key: str, reference: str, day: date | None, output_format: str
) -> None:
    """Record a payment. It pays the one open invoice that its reference names, then the one that is due first. The same
    payment again is not recorded twice; another one with its id is refused.

    \b
    Example:
      billing payment add academy 26.64 --id BANK-4711 --reference INV-2026-000001
      billing payment add academy 100 --id BANK-4712 --on 2026-04-30
    """
    from billing.jobs.payment import add_payment
    from billing.ledger.payments import Payment

    received = Payment(
        key=_line("--id", key, needed=True),
        account_id=account,
        amount=amount,
        currency="",
        received_on=day,
        reference=_line("--reference", reference),
    )
    _print_received([add_payment(home, open_engine(home), received)], output_format)


@payment.command("import")
@click.argument("file", type=FILE)
@click.option("--profile", type=FILE, required=True, metavar="FILE.toml", help="How the bank's file is to be read.")
@format_option
@pass_home
def payment_import(home: "Home", file: Path, profile: Path, output_format: str) -> None:
    """Record the payments in a bank's CSV file. A line whose reference names neither an account nor an invoice, or that
    cannot be read, is kept for `billing payment unmatched`. Importing a file again records nothing twice.

    \b
    Example:
      billing payment import statement.csv --profile bank.toml
    """
    from billing.jobs.payment_import import import_payments, parse_profile

    found = import_payments(
        home, open_engine(home), parse_profile(read_text(profile), str(profile)), read_text(file), str(file)
    )
    _print_received(found.received, output_format, empty=f"no payments in {file}")
    if found.unmatched:
        say(f"lines that match nobody: {found.unmatched}: see `billing payment unmatched`")


@payment.command("list")
@click.argument("account", required=False, shell_complete=known_names.accounts)
@format_option
@pass_home
def payment_list(home: "Home", account: str | None, output_format: str) -> None:
    """List the payments of an account, or of all, in the order in which they were recorded.

    \b
    Example:
      billing payment list academy
    """
    from billing.reports.payments import payment_rows

    rows = payment_rows(open_engine(home), account)
    print_report(Report(fields=_PAYMENTS, rows=rows, empty="no payments", once=("currency",)), output_format)


@payment.command("unmatched")
@format_option
@pass_home
def payment_unmatched(home: "Home", output_format: str) -> None:
    """List the lines of imported files that match nobody. Record one with `billing payment add` and its id, and it is
    gone from here.

    \b
    Example:
      billing payment unmatched
    """
    from billing.reports.payments import unmatched_rows

    report = Report(
        fields=_UNMATCHED, rows=unmatched_rows(open_engine(home)), empty="every line is matched", without=("raw",)
    )
    print_report(report, output_format)


def _print_received(found: Sequence["Received"], output_format: str, empty: str = "") -> None:
    rows = [_received_row(each, is_table=output_format == "table") for each in found]
    fields = _RECEIVED if output_format == "json" else tuple(name for name in _RECEIVED if name != "reference")
    print_report(Report(fields=fields, rows=rows, empty=empty, once=("currency",)), output_format)


def _received_row(received: "Received", *, is_table: bool) -> dict[str, Any]:
    allocated = [{"number": each.invoice.number, "amount": each.amount} for each in received.allocated]
    in_words = ", ".join(f"{each.invoice.number} {plain(each.amount)}" for each in received.allocated)
    row = asdict(received.payment)
    return {
        **{name: row[name] for name in ("amount", "currency", "received_on", "reference")},
        "id": received.payment.key,
        "account": received.payment.account_id,
        "result": received.result,
        "allocated": in_words if is_table else allocated,
        "credit": received.credit,
    }


def _line(option: str, text: str, *, needed: bool = False) -> str:
    line = " ".join(text.split())
    if (needed and not line) or len(line) > _LONGEST:
        raise UsageError(f"{option}: give one line of {'1 to ' if needed else 'up to '}{_LONGEST} characters")
    return line
