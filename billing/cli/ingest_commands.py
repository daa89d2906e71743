"""Events: reading files into the event log, and turning foreign traces into events."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from billing.catalog.feeds import RECORD_SOURCES, Size, parse_size
from billing.cli.homes import open_catalog, open_engine, pass_home
from billing.cli.messages import fail, say
from billing.cli.options import APP, OutputFile, collected, format_option
from billing.cli.progress import counting
from billing.cli.report_tables import Report, print_report
from billing.errors import UsageError
from billing.periods import local_iso_ms, now, time_zone
from billing.reports.quarantine_list import COUNTS

if TYPE_CHECKING:
    from billing.home import Home
    from billing.jobs.ingest import FileReport
    from billing.output_files import Output
    from billing.sources.traces import Conversion

TRACES = ("janus",)
SOURCES = (*TRACES, *RECORD_SOURCES)

_LINES_SHOWN = 10
_KINDS_SHOWN = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """Which server wrote the files, the app of the events, and what the files do not say."""

    source: str | None
    app_id: int | None
    camera_size: Size | None
    screen_size: Size | None


def trace_options(*, required: bool) -> Callable[[Any], Any]:
    where = "" if required else "With --source: "
    server = f"The server that wrote the files{'' if required else ', if not events of our own'}: {', '.join(SOURCES)}."
    return collected(
        "trace",
        Trace,
        click.option("--source", required=required, metavar="NAME", help=server),
        click.option(
            "--app",
            "app_id",
            type=APP,
            metavar="APP",
            help=f"{where}The app of the events; else the catalog says it (not for janus).",
        ),
        click.option("--camera-size", type=parse_size, metavar="WxH", help=f"{where}For cameras of unknown size."),
        click.option("--screen-size", type=parse_size, metavar="WxH", help=f"{where}For screens of unknown size."),
    )


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@trace_options(required=False)
@click.option(
    "--stdin-format",
    default="ndjson",
    show_default=True,
    metavar="ENDING",
    help="What - (standard input) is, as a file name would end: csv, ndjson.gz, parquet, …",
)
@format_option
@pass_home
def ingest(home: "Home", files: Sequence[str], trace: Trace, stdin_format: str, output_format: str) -> None:
    """Read event files into the event log. FILE is NDJSON or CSV (.gz and .zst too) or Parquet, a pattern, or - for
    standard input. Rows that cannot be accepted go to quarantine, and rows that are known are counted as duplicates.
    With --source they are records of a foreign server. Those of janus are kept, and events are derived from all of
    them; each record of the others says by itself what happened. So a feed may be cut into files and calls anywhere.

    \b
    Example:
      billing ingest 'events/*.ndjson.gz' more.parquet
      billing ingest --source livekit webhooks.jsonl
      billing ingest --source janus --app 1400000001 'closed/janus-*.jsonl'
    """
    from billing.cli.batches import prepare_for_batches

    prepare_for_batches()
    reports = list(ingested(home, files, trace, stdin_format))
    fields = [*COUNTS, *(["lines", "ignored"] if trace.source else [])]
    rows = [asdict(report) | {"ignored": sum(report.ignored.values())} for report in reports if not report.error]
    print_report(Report(fields=fields, rows=rows, empty="", sums=fields[1:]), output_format)
    say_quarantined(reports)
    _say_ignored(reports)
    fail([report.error for report in reports if report.error])


def ingested(home: "Home", files: Sequence[str], trace: Trace, stdin_format: str) -> Iterator["FileReport"]:
    """The reports of files that are ingested as the options say, also of none."""
    if trace.source is None and trace != Trace(source=None, app_id=None, camera_size=None, screen_size=None):
        raise UsageError("--app, --camera-size and --screen-size are for foreign traces: give --source too")
    from billing.jobs.ingest import ingest_files, ingest_records, open_context
    from billing.jobs.trace_ingest import ingest_trace
    from billing.sources.record_apps import RecordOptions
    from billing.sources.traces import TraceOptions

    with counting("rows") as progress:
        context = open_context(home, open_engine(home), now(), progress)
        if trace.source is None:
            yield from ingest_files(context, files, standard_input=f".{stdin_format.lstrip('.')}")
            return
        catalog = open_catalog(home)
        if trace.app_id is not None:
            catalog.app(trace.app_id)
        if trace.source in RECORD_SOURCES:
            yield from ingest_records(context, files, RecordOptions(**asdict(trace), apps=catalog.apps))
            return
        done = ingest_trace(context, files, TraceOptions(**_with_app(trace)))
    yield from done.reports
    if done.reports:
        say(f"{done.derived:,} events were derived" + (f", {done.retracted:,} taken back" if done.retracted else ""))


def _with_app(trace: Trace) -> dict[str, Any]:
    """The options of a trace, whose records never name an app."""
    if trace.app_id is None and trace.source in TRACES:
        raise UsageError("--source needs --app: the app that the events belong to")
    return asdict(trace)


def say_quarantined(reports: Iterable["FileReport"]) -> None:
    """Names the reasons for which rows are quarantined, the most frequent first."""
    reasons: Counter[str] = Counter()
    for report in reports:
        reasons.update(report.reasons)
    if reasons:
        counts = ", ".join(f"{count:,} {reason}" for reason, count in reasons.most_common())
        say(f"rows were quarantined: {counts}: see `billing quarantine list`")


def _say_ignored(reports: Iterable["FileReport"]) -> None:
    """Names the kinds of records that were ignored, the most frequent first, and what the server has lost."""
    kinds: Counter[str] = Counter()
    for report in reports:
        kinds.update(report.ignored)
    if kinds:
        counts = ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common(_KINDS_SHOWN))
        more = f" and {len(kinds) - _KINDS_SHOWN} kinds more" if len(kinds) > _KINDS_SHOWN else ""
        say(f"records were ignored, because they say nothing billable: {counts}{more}")
    if dropped := sum(report.dropped for report in reports):
        say(f"finding feed_dropped: the server has lost {dropped:,} records before it could send them")


@click.command()
@format_option
@pass_home
def ingests(home: "Home", output_format: str) -> None:
    """List the ingests that brought events, the oldest first. Of each the file, the time in UTC, and the counts of its
    rows. An ingest of which every row was known or quarantined brought nothing, and is not listed; a retraction is,
    without counts. If a server said that it lost records, feed_dropped is how many.

    \b
    Example:
      billing ingests
      billing ingests --format csv
    """
    from billing.events.log import EventLog

    open_engine(home)
    rows = [_ingest_row(asdict(each)) for each in EventLog(directory=home.events).ingests()]
    lost = ("feed_dropped",) if any(row["feed_dropped"] for row in rows) else ()
    fields = ("ingest_id", "file", "at", *COUNTS[1:], *lost)
    print_report(Report(fields=fields, rows=rows, empty="no ingests yet", sums=COUNTS[1:]), output_format)


def _ingest_row(ingest: dict[str, Any]) -> dict[str, object]:
    at_ms = ingest.pop("ingested_at")
    return {**ingest, "at": None if at_ms is None else local_iso_ms(at_ms, time_zone("UTC"))}


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@trace_options(required=True)
@click.option(
    "-o",
    "--output",
    type=OutputFile("-", ".ndjson", ".jsonl"),
    required=True,
    metavar="OUT.ndjson",
    help="The file to write; - for standard output.",
)
@pass_home
def convert(home: "Home", files: Sequence[str], trace: Trace, output: Path) -> None:
    """Turn records of a foreign server into events. They are written as NDJSON and not stored.

    \b
    Example:
      billing convert --source livekit --app 1400000001 hooks.jsonl -o out.ndjson
      billing convert --source janus --app 1400000001 janus.jsonl.gz -o out.ndjson
    """
    from billing.output_files import Output

    done = _converted(home, files, trace, Output(path=output, home=home.directory, inputs=tuple(files)))
    say(f"{done.events:,} events from {done.lines:,} lines, {done.unreadable:,} of which could not be read")
    for row in done.rejected[:_LINES_SHOWN]:
        say(f"{row.file}:{row.line}: {row.reason}: {row.detail}")
    if done.unreadable > _LINES_SHOWN:
        say(f"… and {done.unreadable - _LINES_SHOWN:,} more")


def _converted(home: "Home", files: Sequence[str], trace: Trace, to: "Output") -> "Conversion":
    from billing.sources.record_apps import RecordOptions
    from billing.sources.record_files import convert_records
    from billing.sources.traces import TraceOptions
    from billing.sources.traces import convert as convert_trace

    if trace.source not in RECORD_SOURCES:
        return convert_trace(files, to, TraceOptions(**_with_app(trace)))
    # A conversion needs no home: then nothing is assumed, and --app must be given.
    apps = {} if trace.app_id is not None and not home.directory.exists() else open_catalog(home).apps
    return convert_records(files, to, RecordOptions(**asdict(trace), apps=apps))
