"""Documents: issuing them, and what is on record of those that are issued."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click

from billing.cli import known_names
from billing.cli.homes import open_catalog, open_engine, pass_home
from billing.cli.messages import fail, say
from billing.cli.options import AMOUNT, Month, SeveralAccounts, format_option, month_options, several_accounts_options
from billing.cli.report_tables import Report, print_report
from billing.errors import UsageError
from billing.money import plain
from billing.periods import parse_month

if TYPE_CHECKING:
    from billing.home import Home

FINALIZED_FIELDS = (
    *("account", "month", "number", "kind", "net", "tax", "total", "currency", "issued_on", "due_on"),
    *("result", "detail"),
)


@click.command("finalize")
@several_accounts_options
@month_options
@click.option("--dry-run", is_flag=True, help="Only say what would be issued.")
@format_option
@pass_home
def finalize_months(home: "Home", accounts: SeveralAccounts, month: Month, dry_run: bool, output_format: str) -> None:
    """Close a month: issue its invoice, or its credit note where corrections outweigh the usage. It gets a number, its
    tax and a due date, and never changes again. Every day of the month must be billed, and the months before closed.
    A month in which nothing is due is closed without a document. What is closed already is said again.

    \b
    Example:
      billing invoice finalize academy --month 2026-03
      billing invoice finalize --all --last-month --dry-run
    """
    from billing.jobs.finalize import finalize

    catalog = open_catalog(home)
    chosen = [catalog.account(each) for each in dict.fromkeys(accounts.named)] or [
        catalog.accounts[each] for each in sorted(catalog.accounts)
    ]
    months = [month.first_day_of(account) for account in chosen]
    outcomes = list(finalize(home, open_engine(home), chosen, months, dry_run=dry_run))
    rows = [{**asdict(each), "month": f"{each.month:%Y-%m}"} for each in outcomes]
    report = Report(
        fields=FINALIZED_FIELDS,
        rows=rows,
        empty="there are no accounts",
        once=("month", "currency"),
        without=("kind", "net", "tax", "issued_on", *(["detail"] if not any(row["detail"] for row in rows) else [])),
    )
    print_report(report, output_format)
    fail([f"account {each.account}: {each.month:%Y-%m}: {each.detail}" for each in outcomes if each.is_failure])


@click.command("list")
@click.argument("accounts", metavar="[ACCOUNT]...", nargs=-1, shell_complete=known_names.accounts)
@click.option("--month", type=parse_month, metavar="YYYY-MM", help="The documents of this month alone.")
@format_option
@pass_home
def list_invoices(home: "Home", accounts: tuple[str, ...], month: date | None, output_format: str) -> None:
    """List issued documents and their states. The state is issued, part_paid, paid, overdue, credited or written_off,
    as of now.

    \b
    Example:
      billing invoice list
      billing invoice list academy --month 2026-03 --format json
    """
    from billing.reports.documents import documents_report, list_documents

    rows = list_documents(open_engine(home), accounts, month)
    print_report(documents_report(rows, empty="no documents"), output_format)


@click.command("show")
@click.argument("numbers", metavar="NUMBER...", nargs=-1, required=True)
@format_option
@pass_home
def show_invoices(home: "Home", numbers: tuple[str, ...], output_format: str) -> None:
    """Show a document with its lines and its tax. In CSV a row is a line, with the number of its document.

    \b
    Example:
      billing invoice show INV-2026-000001
    """
    from billing.reports.documents import contents_report, show_documents

    rows = show_documents(open_engine(home), numbers)
    if output_format != "table":
        print_report(contents_report(rows, is_nested=output_format == "json"), output_format)
        return
    for row in rows:
        _print_document(row)


@click.command("credit")
@click.argument("number")
@click.option("--lines", metavar="N,N", help="Only what is left of these lines.")
@click.option("--amount", type=AMOUNT, help="Only so much: net, or gross where prices include tax.")
@click.option("--reason", required=True, help="Why; it stands on the credit note.")
@format_option
@pass_home
def credit_invoice(
    home: "Home", number: str, lines: str | None, amount: Decimal | None, reason: str, output_format: str
) -> None:
    """Write a credit note for an invoice. Without --lines and --amount it is for all that is left of it. Never more is
    credited than the invoice has; what is paid already becomes the customer's credit, and pays its next invoice.

    \b
    Example:
      billing invoice credit INV-2026-000001 --lines 2,3 --reason "wrong room"
      billing invoice credit INV-2026-000001 --amount 10.00 --reason goodwill
    """
    from billing.jobs.credit import Wanted, credit

    wanted = Wanted(lines=None if lines is None else _line_numbers(lines), amount=amount, reason=_reason(reason))
    note = credit(home, open_engine(home), number, wanted)
    _print_written(home, [note.number], output_format)


@click.command("reissue")
@click.argument("number")
@format_option
@pass_home
def reissue_invoice(home: "Home", number: str, output_format: str) -> None:
    """Take an invoice back and issue its lines again. The new invoice has the account's present name, address, terms
    and tax. It is refused where a part of the invoice was credited before.

    \b
    Example:
      billing invoice reissue INV-2026-000001
    """
    from billing.jobs.credit import reissue

    written = reissue(home, open_engine(home), number)
    _print_written(home, [each.number for each in written], output_format)


@click.command("write-off")
@click.argument("number")
@click.option("--reason", required=True, help="Why; it is kept with the invoice.")
@format_option
@pass_home
def write_off_invoice(home: "Home", number: str, reason: str, output_format: str) -> None:
    """Give up what is open of an invoice. The customer owes it no longer, and the loss stands in the books.

    \b
    Example:
      billing invoice write-off INV-2026-000001 --reason "insolvent"
    """
    from billing.jobs.credit import write_off

    written = write_off(home, open_engine(home), number, reason=_reason(reason))
    _print_written(home, [written.number], output_format)


def _print_written(home: "Home", numbers: Sequence[str], output_format: str) -> None:
    from billing.reports.documents import documents_report, rows_of

    print_report(documents_report(rows_of(open_engine(home), numbers)), output_format)


def _print_document(row: dict[str, Any]) -> None:
    """A document as a table: what it is, its lines, and what they come to."""
    say("")
    about = [row["number"], row["kind"].replace("_", " "), row["account"], row["month"], row["state"]]
    print(" · ".join(str(each) for each in about if each))
    lines = Report(
        fields=(
            "line",
            "kind",
            "app_id",
            "item",
            "package",
            "minutes",
            "deducted_minutes",
            "payable_minutes",
            "amount",
        ),
        rows=row["lines"],
        sums=("amount",),
        without=[name for name in ("package", "app_id", "item") if not any(line[name] for line in row["lines"])],
    )
    print_report(lines, "table")
    for tax in row["taxes"]:
        print(f"{tax['tax']}: {plain(tax['rate'])} % of {plain(tax['base'])} is {plain(tax['amount'])}")
    amounts = ", ".join(f"{name} {plain(row[name])}" for name in ("net", "tax", "total", "open"))
    print(f"{amounts} {row['currency']}")


def _line_numbers(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if not all(part.strip().isascii() and part.strip().isdecimal() and len(part) < 10 for part in parts):
        raise UsageError(f"--lines: {text!r} is not a list of line numbers such as 2,3")
    return tuple(int(part) for part in parts)


def _reason(text: str) -> str:
    reason = " ".join(text.split())
    if not reason:
        raise UsageError("--reason: say why, in a few words")
    return reason
