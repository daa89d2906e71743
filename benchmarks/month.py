"""A month whose every five minutes have usage and deductions: 8,928 windows an app, for the invoice's workbook."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

from benchmarks.days import Billing, account_with
from benchmarks.timing import Timing

MONTH, DAYS = "2026-03", 31
FIRST_APP = 1_500_000_001
SIZES = ((320, 180), (1280, 720), (1920, 1080), (2560, 1440), (3840, 2160))
SCHEMA = {
    "event_id": pl.String,
    "app_id": pl.Int64,
    "room_id": pl.String,
    "user_id": pl.String,
    "at": pl.Int64,
    "type": pl.String,
    "stream": pl.String,
    "width": pl.Int32,
    "height": pl.Int32,
}


def export_invoice(directory: Path, apps: int) -> tuple[Timing, int]:
    """Bills such a month in a home in `directory`, then exports the invoice. Returns what the export took, and how many
    windows have deductions."""
    month = datetime.fromisoformat(f"{MONTH}-01T00:00:00+00:00")
    billing = Billing(home=directory / "home", now=month + timedelta(days=DAYS, hours=6))
    app_ids = range(FIRST_APP, FIRST_APP + apps)
    events = [event for app in app_ids for event in _events(app, int(month.timestamp()))]
    file = directory / "month.parquet"
    pl.DataFrame(events, orient="row", schema=SCHEMA).write_parquet(file)
    # Nothing is left to pay: there are packages enough for every window.
    billing.start_over(account_with("month", app_ids, packages=4 * apps))
    billing.run("ingest", file)
    billing.run("nightly")
    timing = billing.run("invoice", "export", "month", "--month", MONTH, "-o", directory / "invoice.xlsx")
    with closing(sqlite3.connect(billing.home / "billing.db")) as books:
        sought = "SELECT count(*) FROM (SELECT DISTINCT app_id, window_start FROM deduction)"
        ((windows,),) = books.execute(sought)
    return timing, windows


def _events(app: int, start: int) -> Iterator[tuple[object, ...]]:
    """Three users in one room from the first second of the month to the last; every twenty minutes another size."""
    number = 0
    for user in ("ann", "bob", "cyd"):
        steps = [("enter", start), *(("video_on", at) for at in range(start, start + DAYS * 86_400, 1200))]
        for nth, (kind, at) in enumerate(steps):
            number += 1
            video = ("dan/camera", *SIZES[nth % len(SIZES)]) if kind == "video_on" else (None, None, None)
            yield f"{app}-{number:08d}", app, "hall", user, at * 1000 + nth, kind, *video
