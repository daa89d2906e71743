"""Room seconds: how many seconds each room of an app's day, or of one of its windows, has by item and reason.

They are metered again when they are first asked for, and kept in the home beside the run that they belong to. They sum
to the usage in the ledger; a file that does not, or cannot be read, is made anew. Removing the directory loses nothing.

    room_seconds/1400000001/2026-03-10-run-4-<ingest>.parquet      math   2k   screen_share   740
"""

import os
import secrets
from contextlib import suppress
from pathlib import Path

import polars as pl

from billing.errors import BillingError
from billing.periods import WINDOW_SECONDS
from billing.reports.app_days import AppDay

ROOM_SECONDS_SCHEMA = pl.Schema(
    {"room_id": pl.String(), "item": pl.String(), "reason": pl.String(), "seconds": pl.Int64()}
)
_KEYS = ["item", "reason"]


def room_seconds(directory: Path, app_day: AppDay, window_start: int | None = None) -> pl.DataFrame:
    """The seconds of the rooms of a day, or of its window that starts at an epoch second: `ROOM_SECONDS_SCHEMA`.

    `directory`: where those are kept that were asked for before. A `BillingError` when they do not sum to what was
    billed.
    """
    billed = _sums(_in_window(app_day.usage(), window_start))
    path = directory / str(app_day.app_id) / _file_name(app_day, window_start)
    kept = _kept(path)
    if kept is not None and _sums(kept).equals(billed):
        return kept
    found = _metered(app_day, window_start)
    if not _sums(found).equals(billed):
        raise BillingError(
            f"the seconds of the rooms of app {app_day.app_id} on {app_day.day} are not those that run "
            f"{app_day.run.id} billed: the event log or the database was changed since; restore both from one backup"
        )
    _keep(found, path)
    return found


def _in_window(usage: pl.DataFrame, window_start: int | None) -> pl.DataFrame:
    return usage if window_start is None else usage.filter(pl.col("window_start") == window_start)


def _sums(seconds: pl.DataFrame) -> pl.DataFrame:
    """Seconds by item and reason."""
    return seconds.group_by(_KEYS).agg(pl.col("seconds").sum()).sort(_KEYS)


def _file_name(app_day: AppDay, window_start: int | None) -> str:
    ingest = (app_day.run.ingest_commit or "")[:16] or app_day.run.ingest_id
    window = "" if window_start is None else f"-window-{window_start}"
    return f"{app_day.day}-run-{app_day.run.id}-{ingest}{window}.parquet"


def _metered(app_day: AppDay, window_start: int | None) -> pl.DataFrame:
    # What is compiled is loaded only here.
    from billing.metering.meter import Span, meter, meter_by_room

    start, end, carried = app_day.start, app_day.end, app_day.carried()
    rules = {app_day.app_id: app_day.rule}
    if window_start is not None:
        start, end = max(window_start, start), min(window_start + WINDOW_SECONDS, end)
    events = app_day.events(end)
    with app_day.log.naming_damage():
        if start > app_day.start:
            carried = meter(events, carried, Span(start=app_day.start, end=start, rules=rules)).state
        sums = meter_by_room(events, carried, Span(start=start, end=end, rules=rules))
    return sums.select(*ROOM_SECONDS_SCHEMA).sort("room_id", *_KEYS)


def _kept(path: Path) -> pl.DataFrame | None:
    """What was kept, if it can be read."""
    with suppress(OSError, pl.exceptions.PolarsError):
        kept = pl.read_parquet(path)
        return kept if kept.schema == ROOM_SECONDS_SCHEMA else None
    return None


def _keep(found: pl.DataFrame, path: Path) -> None:
    """Keeps seconds for the next time; a home that cannot be written does without."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        found.write_parquet(part)
        os.replace(part, path)
