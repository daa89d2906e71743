"""Compact: merges the small files of days, and moves old days to an archive or back.

Nothing that is known changes. Each step is one commit to the event log, under the lock of ingest, which is free between
two days; a command that was killed is run again.
"""

import logging
from collections import defaultdict
from collections.abc import Iterator
from datetime import date
from pathlib import Path

from billing.errors import BillingError, UsageError
from billing.events.archive import archive_days, put_back
from billing.events.compaction import Compacted, compact_day, days_to_compact, remove_replaced
from billing.events.data_files import day_of, span_of
from billing.events.log import EventLog
from billing.home import Home
from billing.jobs.ingest import DISK_ERRORS, IngestContext, cause, ingest_workspace, open_context
from billing.ledger.catalog_store import load_catalog
from billing.ledger.database import Engine, reading
from billing.ledger.runs import last_settled_days, read_through
from billing.periods import day_bounds, now, time_zone

_log = logging.getLogger(__name__)


def compact(context: IngestContext, *, before: date | None = None) -> Iterator[Compacted]:
    """Merges the files of each UTC day (before one, if it is given) that has too many; one day at a time. Then removes
    files that were replaced a day ago."""
    try:
        for day in days_to_compact(context.log, before=before):
            with ingest_workspace(context):
                compacted = compact_day(context.log, day)
            yield compacted
        with ingest_workspace(context):
            remove_replaced(context.log)
    except DISK_ERRORS as error:
        raise BillingError(f"not finished ({cause(error)}): put that right and run the command again") from error


def archive(context: IngestContext, engine: Engine, before: date, directory: Path) -> list[date]:
    """Moves the UTC days before `before`, which must be settled, to an archive directory; the days that had events."""
    settled = settled_before(engine)
    if settled is None or before > settled:
        until = f"days before {settled} are" if settled else "no day is"
        raise UsageError(f"only settled days can be archived, and {until} settled for every account")
    try:
        with ingest_workspace(context):
            _check_billed(context.log, engine, before)
            return archive_days(context.log, before, directory)
    except DISK_ERRORS as error:
        raise BillingError(f"not finished ({cause(error)}): put that right and run the command again") from error


def restore(context: IngestContext, directory: Path) -> list[date]:
    """Puts an archive back into the event log; the days that it holds."""
    try:
        with ingest_workspace(context):
            return put_back(context.log, directory)
    except DISK_ERRORS as error:
        raise BillingError(f"not finished ({cause(error)}): put that right and run the command again") from error


def settled_before(engine: Engine) -> date | None:
    """The UTC day before which every account that was ever billed is settled; None: none was."""
    with reading(engine) as conn:
        accounts, settled = load_catalog(conn).accounts, last_settled_days(conn)
    ends = [day_bounds(day, time_zone(accounts[name].timezone))[1] for name, day in settled.items() if name in accounts]
    return day_of(min(ends) * 1000) if ends else None


def _check_billed(log: EventLog, engine: Engine, before: date) -> None:
    """A `BillingError` where an account has events before a UTC day that no bill takes in yet: late ones that the
    nightly has not read, or any of an account that was never billed."""
    with reading(engine) as conn:
        apps, read = load_catalog(conn).apps, read_through(conn)
    unread: dict[int, set[int]] = defaultdict(set)
    for app in apps.values():
        unread[read.get(app.account, 0)].add(app.id)
    last, start = log.last_ingest_id(), span_of(before)[0]
    for after, app_ids in unread.items():
        if late := log.late_events(after=after, upto=last, before=start).keys() & app_ids:
            raise BillingError(
                f"app {min(late)} has events before {before} that are not billed yet: run `billing nightly` first"
            )


def compact_settled_days(home: Home, engine: Engine) -> None:
    """What the nightly does at its end; a failure is a warning, because everything is billed."""
    try:
        before = settled_before(engine)
        if before:
            for _ in compact(open_context(home, engine, now()), before=before):
                pass
    except BillingError as error:
        _log.warning("event files were not compacted: %s", error)
