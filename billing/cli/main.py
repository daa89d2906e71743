"""The command line: parse, call one function, print.

Exit codes: 0 done, 1 an account or a file failed, 2 wrong usage. Reports go to stdout, everything else to stderr. What
is slow to import is imported by the command that needs it.
"""

import io
import json
import logging
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from billing import __version__
from billing.cli.tables import Report, write_csv, write_json, write_table
from billing.errors import BillingError, UsageError
from billing.money import plain
from billing.periods import WINDOW_SECONDS, now, parse_day, parse_instant, parse_month

if TYPE_CHECKING:
    import polars as pl

    from billing.catalog.catalog import Catalog
    from billing.home import Home
    from billing.jobs.nightly import Outcome
    from billing.ledger.database import Engine
    from billing.metering.spans import Metering
    from billing.reports.estimate import Room

_Command = TypeVar("_Command", bound=Callable[..., Any])
Size = tuple[int, int]

_log = logging.getLogger("billing.cli")

_HIGHEST_APP = 2**53
_HIGHEST_SIDE = 16_384
_LINES_SHOWN = 10
_RUN_COLUMNS = ("id", "command", "account", "day", "result", "detail")
_CAMERAS = "The picture size of a camera; once for each publisher."
_SCREEN = "The picture size of the room's screen share, which the first user sends."


class _Failure(click.ClickException):
    """The command could not do what it should."""

    def show(self, file: Any = None) -> None:
        if _log_is_json():
            _log.error(self.message)
        else:
            super().show(file)


class _WrongUsage(_Failure):
    """The command cannot be meant as it was given."""

    exit_code = 2


class _Program(click.Group):
    """The group of all commands, with one clear message for everything that is not a bug."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except UsageError as error:
            raise _WrongUsage(str(error)) from error
        except BillingError as error:
            raise _Failure(str(error)) from error
        except BrokenPipeError:
            raise  # whoever read the output has enough; click ends quietly
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            raise _Failure(f"{where}{error.strerror or error}") from error
        except KeyboardInterrupt:
            ctx.exit(130)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """In the order in which they are used."""
        return list(self.commands)


def _parse_size(text: str) -> Size:
    found = re.fullmatch(r"([1-9]\d{0,4})[xX]([1-9]\d{0,4})", text, re.ASCII)
    sides = (int(found[1]), int(found[2])) if found else None
    if sides is None or max(sides) > _HIGHEST_SIDE:
        raise UsageError(f"{text!r} is not a size in pixels such as 1280x720")
    return sides


_APP = click.IntRange(1, _HIGHEST_APP)
_FILE = click.Path(path_type=Path)


def _format_option(command: _Command) -> _Command:
    choice = click.Choice(["table", "json", "csv"])
    return click.option(
        "--format", "output_format", type=choice, default="table", show_default=True, help="How to print the rows."
    )(command)


def _provisional_option(command: _Command) -> _Command:
    return click.option(
        "--provisional", is_flag=True, help="Include the days that are not billed yet, up to the last refresh."
    )(command)


@click.group(cls=_Program, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--home",
    "directory",
    type=_FILE,
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
    help="How messages on stderr are written: as text, or as one JSON object a line.",
)
@click.version_option(__version__, prog_name="billing")
@click.pass_context
def main(ctx: click.Context, directory: Path, database_url: str | None, log_format: str) -> None:
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

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    _set_up_log(log_format)
    ctx.obj = Home.at(directory, database_url)


@main.command()
@click.pass_obj
def init(home: "Home") -> None:
    """Create the home and its database. What is there already is kept, and brought up to this version of the program.

    \b
    Example:
      billing --home /srv/billing init
    """
    from billing.ledger.database import upgrade

    try:
        home.directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BillingError(f"{home.directory} cannot be created ({error.strerror}): choose another --home") from None
    upgrade(home.database_url)
    _say(f"ready: {home.directory}")


@main.group()
def catalog() -> None:
    """Set up accounts, apps, packages, contracts, policies."""


@catalog.command("apply")
@click.argument("file", type=_FILE)
@click.option("--dry-run", is_flag=True, help="Only say what would change.")
@_format_option
@click.pass_obj
def catalog_apply(home: "Home", file: Path, dry_run: bool, output_format: str) -> None:
    """Add and change what a TOML file holds. What it leaves out stays as it is. The file is applied whole or not at
    all, and refused where it would change what is billed.

    \b
    Example:
      billing catalog apply catalog.toml --dry-run
    """
    from billing.catalog.catalog import parse_catalog
    from billing.ledger import catalog_store
    from billing.ledger.database import reading, writing

    source = _read_text(file)
    new = parse_catalog(source, str(file))
    engine = _engine(home)
    if dry_run:
        with reading(engine) as conn:
            changes = catalog_store.plan(conn, new)
    else:
        with home.lock("nightly"), writing(engine) as conn:
            applied_at_ms = int(now().timestamp() * 1000)
            changes = catalog_store.apply(conn, new, source=source, applied_at_ms=applied_at_ms)
    rows = [asdict(change) for change in changes]
    _print(Report(fields=("kind", "id", "action", "detail"), rows=rows, empty=f"{file} is empty"), output_format)
    if dry_run:
        _say("nothing was changed (--dry-run)")


@main.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--source", metavar="NAME", help="The server that wrote the files, if not events of our own: janus.")
@click.option("--app", "app_id", type=_APP, help="With --source: the app that the events belong to.")
@click.option("--camera-size", type=_parse_size, metavar="WxH", help="With --source: for cameras of unknown size.")
@click.option("--screen-size", type=_parse_size, metavar="WxH", help="With --source: for screens of unknown size.")
@click.option(
    "--stdin-format",
    default="ndjson",
    show_default=True,
    metavar="ENDING",
    help="What - (standard input) is, as a file name would end: csv, ndjson.gz, parquet, …",
)
@_format_option
@click.pass_obj
def ingest(
    home: "Home",
    files: Sequence[str],
    source: str | None,
    app_id: int | None,
    camera_size: Size | None,
    screen_size: Size | None,
    stdin_format: str,
    output_format: str,
) -> None:
    """Read event files into the event log. FILE is NDJSON or CSV (.gz and .zst too) or Parquet, a pattern, or - for
    standard input. Rows that cannot be accepted go to quarantine, and rows that are known are counted as duplicates.
    With --source all files are one trace of a foreign server.

    \b
    Example:
      billing ingest 'events/*.ndjson.gz' more.parquet
      billing ingest --source janus --app 1400000001 janus.jsonl.gz
    """
    from billing.jobs.ingest import IngestContext, ingest_files, ingest_trace
    from billing.sources.traces import TraceOptions

    known = _catalog(home)
    with _counting("rows") as progress:
        context = IngestContext(home=home, apps=known.apps, now=now(), progress=progress)
        if source is None:
            _refuse_without_source(app_id, camera_size, screen_size)
            reports = list(ingest_files(context, files, standard_input=f".{stdin_format.lstrip('.')}"))
        else:
            app = _app_of_trace(app_id, known)
            options = TraceOptions(source=source, app_id=app, camera_size=camera_size, screen_size=screen_size)
            reports = list(ingest_trace(context, files, options))
    fields = ["file", "read", "accepted", "duplicates", "quarantined", *(["lines"] if source else [])]
    rows = [asdict(report) for report in reports if not report.error]
    _print(Report(fields=fields, rows=rows, empty="", sums=fields[1:]), output_format)
    if any(report.quarantined for report in reports):
        _say("rows were set aside: see `billing quarantine list`")
    _fail([report.error for report in reports if report.error])


@main.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--source", required=True, metavar="NAME", help="The server that wrote the files: janus.")
@click.option("--app", "app_id", type=_APP, required=True, help="The app that the events belong to.")
@click.option("--camera-size", type=_parse_size, metavar="WxH", help="For cameras of unknown size.")
@click.option("--screen-size", type=_parse_size, metavar="WxH", help="For screens of unknown size.")
@click.option("-o", "--output", required=True, metavar="OUT.ndjson", help="The file to write; - for standard output.")
def convert(
    files: Sequence[str], source: str, app_id: int, camera_size: Size | None, screen_size: Size | None, output: str
) -> None:
    """Turn a foreign trace into events. They are written as NDJSON and not stored; all files are one trace.

    \b
    Example:
      billing convert --source janus --app 1400000001 janus.jsonl.gz -o events.ndjson
    """
    from billing.sources.traces import TraceOptions
    from billing.sources.traces import convert as convert_trace

    options = TraceOptions(source=source, app_id=app_id, camera_size=camera_size, screen_size=screen_size)
    done = convert_trace(files, output, options)
    _say(f"{done.events:,} events from {done.lines:,} lines, {len(done.rejected):,} of which could not be read")
    for row in done.rejected[:_LINES_SHOWN]:
        _say(f"{row.file}:{row.line}: {row.reason}: {row.detail}")
    if len(done.rejected) > _LINES_SHOWN:
        _say(f"… and {len(done.rejected) - _LINES_SHOWN:,} more")


@main.group()
def quarantine() -> None:
    """List and retry rows that were set aside."""


@quarantine.command("list")
@click.option("--reason", "reasons", multiple=True, metavar="CODE", help="Only rows with this reason; repeatable.")
@click.option("--file", "files", multiple=True, metavar="FILE", help="Only rows of this file; repeatable.")
@_format_option
@click.pass_obj
def quarantine_list(home: "Home", reasons: Sequence[str], files: Sequence[str], output_format: str) -> None:
    """List the rows that could not be accepted. Each with its file and line, why it was set aside, and its text, which
    is whole in JSON and CSV.

    \b
    Example:
      billing quarantine list --reason no_offset --format json
    """
    from billing.events.quarantine import Quarantine

    _engine(home)
    rows = Quarantine(directory=home.quarantine).rows(reasons=reasons or None, files=files or None)
    fields = ("id", "file", "line", "reason", "detail", "raw")
    _print_frame(rows.select(fields), output_format, empty="no such rows in quarantine", once=("file",))


@quarantine.command("retry")
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option(
    "--fixed", type=_FILE, metavar="FILE", help="Rows of `quarantine list --format json` with their raw text corrected."
)
@_format_option
@click.pass_obj
def quarantine_retry(home: "Home", ids: Sequence[str], fixed: Path | None, output_format: str) -> None:
    """Judge quarantined rows again. Those with the IDs given, those in --fixed, or all. Rows that are accepted now, or
    known already, leave the quarantine; the others stay, with the reason that holds now.

    \b
    Example:
      billing quarantine list --format json > rows.json
      billing quarantine retry --fixed rows.json
    """
    from billing.jobs.ingest import IngestContext
    from billing.jobs.quarantine_retry import retry_quarantine

    corrected = _read_corrections(fixed) if fixed else {}
    wanted = {*ids, *corrected} if ids or fixed else None
    context = IngestContext(home=home, apps=_catalog(home).apps, now=now())
    reports = retry_quarantine(context, ids=wanted, corrected=corrected)
    fields = ("file", "read", "accepted", "duplicates", "quarantined")
    rows = [asdict(report) for report in reports if not report.error]
    _print(Report(fields=fields, rows=rows, empty="no rows to judge again", sums=fields[1:]), output_format)
    _fail([report.error for report in reports if report.error])


@main.command()
@click.argument("account", required=False)
@click.option("--app", "app_id", type=_APP, help="Only this app.")
@click.option("--from", "first", type=parse_day, default="1970-01-01", metavar="DAY", help="The first day.")
@click.option("--to", "last", type=parse_day, default="2999-12-31", metavar="DAY", help="The last day.")
@_format_option
@click.pass_obj
def findings(
    home: "Home", account: str | None, app_id: int | None, first: date, last: date, output_format: str
) -> None:
    """List what was ignored or interpreted. Findings are facts about accepted events that a billed day met with, such
    as a user who left without having entered.

    \b
    Example:
      billing findings acme --from 2026-03-01 --to 2026-03-31
    """
    from billing.reports import account as books

    found = books.findings(_engine(home), account_id=account, app_id=app_id, first=first, last=last)
    _print_frame(found, output_format, empty="no findings", once=("day", "app_id"))


@main.command()
@click.option(
    "--date", "day", type=parse_day, metavar="DAY", help="Bill up to this day, not up to the last finished one."
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
@_format_option
@click.pass_obj
def nightly(home: "Home", day: date | None, engine: str, master: str | None, output_format: str) -> None:
    """Bill every account up to its last finished day. Days are local to the account; earlier unbilled days come first,
    and days that are billed stay as they are: what late events change of them is posted as corrections. If one account
    fails, the others are billed all the same.

    \b
    Example:
      billing nightly
      billing nightly --date 2026-03-31
      billing nightly --engine spark --master spark://spark.example.com:7077
    """
    from billing.jobs.nightly import run_nightly
    from billing.ledger.runs import FAILED

    outcomes: list[Outcome] = []
    try:
        with _counting("days") as progress, _metering(engine, master) as metering:
            for outcome in run_nightly(home, _engine(home), day=day, metering=metering):
                outcomes.append(outcome)
                progress(1)
    except BillingError:
        # What is billed is billed, and said.
        if outcomes:
            _print_outcomes(outcomes, output_format)
        raise
    _print_outcomes(outcomes, output_format)
    for outcome in outcomes:
        _log.info("nightly", extra={"fields": asdict(outcome)})
    if idle := sorted(_catalog(home).accounts.keys() - {outcome.account for outcome in outcomes}):
        _say(f"no events yet: {', '.join(idle)}")
    _fail([f"{each.account}, {each.day}: {each.detail}" for each in outcomes if each.result == FAILED])


@main.command()
@click.option("--watch", is_flag=True, help="Go on, every five minutes, until stopped.")
@_format_option
@click.pass_obj
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

    days = run_refresh(home, _engine(home))
    fields = ("account", "day", "through", "result", "detail")
    _print(Report(fields=fields, rows=[asdict(day) for day in days], empty="nothing to refresh"), output_format)
    for day in days:
        _log.info("refresh", extra={"fields": asdict(day)})
    _fail([f"{each.account}, {each.day}: {each.detail}" for each in days if each.result == FAILED])


def _watch(action: Callable[[], None]) -> None:
    """Repeats what is to be done after each window; what fails once may work the next time."""
    while True:
        try:
            action()
        except BillingError as error:
            _log.error(str(error))
        time.sleep(WINDOW_SECONDS - time.time() % WINDOW_SECONDS)


@main.command()
@click.argument("account")
@click.option(
    "--from", "first", type=parse_day, required=True, metavar="DAY", help="The first day to go through again."
)
@click.option("--reason", required=True, metavar="TEXT", help="Why; it stands on every correction.")
@click.option("--dry-run", is_flag=True, help="Only say what would be posted.")
@_format_option
@click.pass_obj
def rebill(home: "Home", account: str, first: date, reason: str, dry_run: bool, output_format: str) -> None:
    """Go through billed days of an account again, and post what is different. Nothing that is billed changes: each
    difference is a signed correction, in the month of the last billed day. Late events need no rebill, for the nightly
    sees to them.

    \b
    Example:
      billing rebill acme --from 2026-03-05 --reason "events restored from a backup" --dry-run
    """
    from billing.jobs.rebill import run_rebill
    from billing.reports import account as books

    done = run_rebill(home, _engine(home), account, first, reason=reason, dry_run=dry_run)
    lines = books.correction_lines(done.lines, done.deducted_by, run=done.run)
    _print_charges(lines, output_format, empty="")
    _say(f"nothing was posted (--dry-run): {done.summary}" if dry_run else f"run {done.run}: {done.summary}")


@main.command()
@click.argument("run_id", type=click.IntRange(1), required=False, metavar="[N]")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="How many, the newest first.")
@_format_option
@click.pass_obj
def runs(home: "Home", run_id: int | None, limit: int, output_format: str) -> None:
    """Show what was run, when, with what result. With a number, everything about that run: the version of the program,
    the policy and the prices by their hashes, how far into the event log it read, and what it counted.

    \b
    Example:
      billing runs
      billing runs 17
    """
    from billing.reports import account as books

    found = books.runs(_engine(home), run_id=run_id, limit=limit)
    if run_id is not None and output_format == "table":
        rows = [
            {"field": name, "value": json.dumps(value) if isinstance(value, dict) else str(value)}
            for name, value in found[0].items()
            if value is not None
        ]
        _print(Report(fields=("field", "value"), rows=rows), output_format)
    else:
        without = [name for name in found[0] if name not in _RUN_COLUMNS] if found else []
        _print(
            Report(fields=list(found[0]) if found else [], rows=found, empty="no runs yet", without=without),
            output_format,
        )


@main.command()
@click.argument("app_id", type=_APP, metavar="APP")
@click.option("--from", "first", type=parse_day, required=True, metavar="DAY", help="The first day.")
@click.option("--to", "last", type=parse_day, required=True, metavar="DAY", help="The last day, included.")
@click.option(
    "--by",
    type=click.Choice(["window", "day", "room", "user"]),
    default="window",
    show_default=True,
    help="One row for each.",
)
@click.option(
    "--unit", type=click.Choice(["seconds", "minutes"]), default="seconds", show_default=True, help="What is counted."
)
@_provisional_option
@click.option("--run", type=click.IntRange(1), metavar="N", help="As it was known when run N had ended.")
@_format_option
@click.pass_obj
def usage(
    home: "Home",
    app_id: int,
    first: date,
    last: date,
    by: Any,
    unit: Any,
    provisional: bool,
    run: int | None,
    output_format: str,
) -> None:
    """Show what an app used on billed days. Seconds come with their reason; minutes, by window and by day, are those
    that are billed. Corrections stand in signed rows of their own. Times are in the time zone of the account.

    \b
    Example:
      billing usage 1400000001 --from 2026-03-01 --to 2026-03-31 --by day --unit minutes
    """
    from billing.reports.usage import app_usage

    rows = app_usage(home, _engine(home), app_id, first, last, by=by, unit=unit, provisional=provisional, run=run)
    without = ("run", *_usual(rows, kind="usage", settled=True))
    _print_frame(
        rows, output_format, empty="no billed usage on these days", sums=[unit], once=("app_id",), without=without
    )


@main.command()
@click.argument("account")
@click.option("--month", type=parse_month, required=True, metavar="YYYY-MM", help="The month.")
@_provisional_option
@_format_option
@click.pass_obj
def charges(home: "Home", account: str, month: date, provisional: bool, output_format: str) -> None:
    """Show the daily charges of an account. The minutes used, those that free minutes and packages paid, and what the
    rest costs. Corrections are in the month in which they were posted, with the day they are about.

    \b
    Example:
      billing charges acme --month 2026-03
    """
    from billing.reports import account as books

    rows = books.charges(_engine(home), account, month, provisional=provisional)
    _print_charges(rows, output_format, empty=f"no charges in {month:%Y-%m}")


def _print_charges(rows: "pl.DataFrame", output_format: str, *, empty: str) -> None:
    named = [
        {**row, "deducted_by": {payer["payer_id"]: payer["minutes"] for payer in row["deducted_by"]}}
        for row in rows.to_dicts()
    ]
    report = Report(
        fields=rows.columns,
        rows=named,
        empty=empty,
        sums=("minutes", "deducted_minutes", "payable_minutes", "amount"),
        once=("app_id", "currency", "kind", "settled"),
        without=("seconds", "run", "corrects_run", "posted_on", "cause", "deducted_by", *_usual(rows, settled=True)),
    )
    _print(report, output_format)


@main.command()
@click.argument("account")
@_provisional_option
@_format_option
@click.pass_obj
def packages(home: "Home", account: str, provisional: bool, output_format: str) -> None:
    """Show what is left of packages and free minutes. All figures are package minutes, as of the last billed day.

    \b
    Example:
      billing packages acme
    """
    from billing.reports import account as books

    rows = books.packages(_engine(home), account, provisional=provisional)
    sums = ("granted", "deducted", "lapsed", "remaining")
    _print_frame(rows, output_format, empty=f"{account} has no packages", sums=sums, without=_usual(rows, settled=True))


@main.group()
def invoice() -> None:
    """Write an invoice as an Excel workbook."""


@invoice.command("export")
@click.argument("account")
@click.option("--month", type=parse_month, required=True, metavar="YYYY-MM", help="The month.")
@click.option("-o", "--output", type=_FILE, required=True, metavar="FILE.xlsx", help="The workbook to write.")
@click.option("--as-of", type=parse_instant, metavar="INSTANT", help="As it was known then, in RFC 3339.")
@click.pass_obj
def invoice_export(home: "Home", account: str, month: date, output: Path, as_of: datetime | None) -> None:
    """Write the workbook of a month's invoice. It shows what is to be paid and, down to 5 minutes, what for. It is a
    draft: it has no number, and nothing is stored. A month that is not over is shown as far as it is billed.

    \b
    Example:
      billing invoice export acme --month 2026-03 -o acme-2026-03.xlsx
    """
    from billing.reports.invoice_facts import export_invoice

    with _counting("rows") as progress:
        export_invoice(_engine(home), account, month, output, as_of=as_of, progress=progress)
    _say(f"written: {output}")


@main.group()
def estimate() -> None:
    """Compute what a month will cost, as it would be billed."""


def _only_screen(_ctx: click.Context, _option: click.Parameter, sizes: Sequence[Size]) -> Size | None:
    if len(sizes) > 1:
        raise UsageError("a room has one screen share: give --screen once")
    return sizes[0] if sizes else None


def _tariff_options(command: _Command) -> _Command:
    for option in (
        click.option("--screen", type=_parse_size, multiple=True, callback=_only_screen, metavar="WxH", help=_SCREEN),
        click.option("--camera", "cameras", type=_parse_size, multiple=True, metavar="WxH", help=_CAMERAS),
        click.option("--minutes", type=int, required=True, help="How long each of them lasts."),
        click.option("--days", type=int, default=30, show_default=True, help="Days of the month on which they happen."),
        click.option("--account", metavar="ACCOUNT", help="Whose policy, contract and free minutes hold."),
        click.option("--policy", metavar="POLICY", help="The policy whose list prices hold, such as trtc-intl."),
    ):
        command = option(command)
    return command


@estimate.command("call")
@click.option("--calls-per-day", type=int, required=True, help="How many calls there are on a day.")
@click.option("--users", type=int, required=True, help="How many users are in a call.")
@_tariff_options
@_format_option
@click.pass_obj
def estimate_call(
    home: "Home", /, calls_per_day: int, users: int, cameras: tuple[Size, ...], screen: Size | None, **options: Any
) -> None:
    """Estimate a month of calls. Everybody receives the cameras and the screen of all the others.

    \b
    Example:
      billing estimate call --policy trtc-intl --calls-per-day 20 --users 3 --minutes 45 \\
        --camera 1280x720 --camera 1280x720 --screen 1920x1080
    """
    from billing.reports.estimate import Room

    _estimate(home, Room(users=users, cameras=cameras, screen=screen), calls_per_day, **options)


@estimate.command("live")
@click.option("--rooms-per-day", type=int, required=True, help="How many rooms there are on a day.")
@click.option("--anchors", type=int, required=True, help="How many users of a room may publish.")
@click.option("--audience", type=int, required=True, help="How many users of a room only watch.")
@_tariff_options
@_format_option
@click.pass_obj
def estimate_live(
    home: "Home",
    /,
    rooms_per_day: int,
    anchors: int,
    audience: int,
    cameras: tuple[Size, ...],
    screen: Size | None,
    **options: Any,
) -> None:
    """Estimate a month of live rooms. Anchors publish, the audience watches, and no anchor receives itself.

    \b
    Example:
      billing estimate live --account acme --rooms-per-day 2 --anchors 1 --audience 500 --minutes 90 --camera 1280x720
    """
    from billing.reports.estimate import live_room

    room = live_room(anchors=anchors, audience=audience, cameras=cameras, screen=screen)
    _estimate(home, room, rooms_per_day, **options)


def _estimate(
    home: "Home",
    room: "Room",
    rooms_per_day: int,
    *,
    policy: str | None,
    account: str | None,
    minutes: int,
    days: int,
    output_format: str,
) -> None:
    from billing.reports.estimate import estimate, tariff_of_account, tariff_of_policy

    if (policy is None) == (account is None):
        raise UsageError("give either --policy or --account")
    tariff = (
        tariff_of_account(_catalog(home), str(account), now()) if policy is None else tariff_of_policy(policy, now())
    )
    month = asdict(estimate(room, tariff, rooms_per_day=rooms_per_day, minutes=minutes, days=days))
    if output_format == "table":
        _print_estimate(month)
    else:
        _print(Report(fields=tuple(month), rows=[month]), output_format)


def _print_estimate(month: dict[str, Any]) -> None:
    """Minutes and list amounts by item, what is to be paid without a package, and with each."""
    items = month["items"]
    _print(Report(fields=tuple(items[0]), rows=items, sums=("minutes", "package_minutes", "amount")), "table")
    click.echo(f"\n{month['free_minutes_used']:,} free minutes used")
    cheapest = "" if any(choice["cheapest"] for choice in month["packages"]) else " (the cheapest)"
    click.echo(f"to pay as you go: {plain(month['pay_as_you_go'])} {month['currency']}{cheapest}\n")
    choices = [{**choice, "cheapest": "cheapest" if choice["cheapest"] else ""} for choice in month["packages"]]
    fields = ("minutes", "price", "overage", "total", "cheapest")
    _print(Report(fields=fields, rows=choices, empty="this policy has no packages in this currency"), "table")


def _usual(frame: "pl.DataFrame", **values: object) -> list[str]:
    """The columns that hold nothing but their usual value, and so need no place in a table."""
    return [name for name, usual in values.items() if set(frame[name]) <= {usual}]


def _print_frame(frame: "pl.DataFrame", output_format: str, **layout: Any) -> None:
    _print(Report(fields=frame.columns, rows=frame.to_dicts(), **layout), output_format)


def _print(report: Report, output_format: str) -> None:
    if output_format == "json":
        write_json(report, sys.stdout)
    elif output_format == "csv":
        write_csv(report, sys.stdout)
    elif report.rows:
        write_table(report, sys.stdout, shutil.get_terminal_size().columns)
    elif report.empty:
        _say(report.empty)
    sys.stdout.flush()


def _print_outcomes(outcomes: Sequence["Outcome"], output_format: str) -> None:
    fields = ("account", "day", "result", "run", "detail")
    rows = [asdict(outcome) for outcome in outcomes]
    _print(Report(fields=fields, rows=rows, empty="nothing to bill"), output_format)


class _LogLine(logging.Formatter):
    """A message as one JSON object: time, level, logger, message, and the fields that came with it."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class _Stderr(logging.Handler):
    """Writes to stderr as it is when the message comes; as text, only what a person has to know."""

    def __init__(self, log_format: str) -> None:
        super().__init__(logging.INFO)
        self._is_json = log_format == "json"
        self.setFormatter(_LogLine() if self._is_json else logging.Formatter("%(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        if self._is_json or not hasattr(record, "fields"):
            click.echo(self.format(record), err=True)


def _log_is_json() -> bool:
    return any(isinstance(handler.formatter, _LogLine) for handler in logging.getLogger("billing").handlers)


def _set_up_log(log_format: str) -> None:
    log = logging.getLogger("billing")
    log.handlers[:] = [_Stderr(log_format)]
    log.setLevel(logging.INFO)
    log.propagate = False


def _say(message: str) -> None:
    _log.info(message)


def _fail(errors: Sequence[str]) -> None:
    """Ends the command with exit code 1 if there are errors."""
    if errors:
        raise BillingError("\n".join(errors))


@contextmanager
def _counting(unit: str) -> Iterator[Callable[[int], object]]:
    """A progress bar on stderr, if that is a terminal; gives the function that is told how many more."""
    from tqdm import tqdm

    with tqdm(unit=f" {unit}", unit_scale=True, disable=None, leave=False) as bar:
        yield bar.update


@contextmanager
def _metering(engine: str, master: str | None) -> Iterator["Metering"]:
    from billing.metering.spans import meter_log

    if engine == "local":
        if master is not None:
            raise UsageError("--master is for --engine spark")
        yield meter_log
        return
    try:
        from billing.metering.spark import spark_metering
    except ModuleNotFoundError as error:
        raise BillingError(f"--engine spark needs {error.name}: pip install 'billing[spark]'") from None
    with spark_metering(master) as metering:
        yield metering


def _engine(home: "Home") -> "Engine":
    from billing.ledger.database import open_database

    return open_database(home.database_url)


def _catalog(home: "Home") -> "Catalog":
    from billing.ledger.catalog_store import load_catalog
    from billing.ledger.database import reading

    with reading(_engine(home)) as conn:
        return load_catalog(conn)


def _app_of_trace(app_id: int | None, known: "Catalog") -> int:
    if app_id is None:
        raise UsageError("--source needs --app: the app that the events belong to")
    return known.app(app_id).id


def _refuse_without_source(*options: object) -> None:
    if any(option is not None for option in options):
        raise UsageError("--app, --camera-size and --screen-size are for foreign traces: give --source too")


def _read_text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise BillingError(f"{file}: there is no such file") from None
    except UnicodeDecodeError:
        raise BillingError(f"{file}: is not text in UTF-8") from None


def _read_corrections(file: Path) -> dict[str, str]:
    """The text of rows by id, from what `quarantine list --format json` prints."""
    try:
        return {str(row["id"]): str(row["raw"]) for row in json.loads(_read_text(file))}
    except (ValueError, TypeError, KeyError):
        raise BillingError(
            f"{file}: is not what `billing quarantine list --format json` prints: an array of objects with id and raw"
        ) from None


if __name__ == "__main__":
    main()
