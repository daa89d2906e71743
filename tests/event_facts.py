"""Events as they arrive in tests: a valid one, files of them, and what becomes of their rows."""

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from billing.events.coded_texts import CodedRows
from billing.events.log import EventLog
from billing.events.validation import validate
from billing.home import Home
from billing.jobs.ingest import FileReport, IngestContext, ingest_files
from billing.sources.files.event_files import EventFile
from billing.sources.files.hashed_reads import HashedReads

APPS = (1400000001, 1400000002)
NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)
AT = 1_773_100_800_000  # 2026-03-10T00:00:00Z

EVENT: dict[str, object] = {
    "event_id": "e-1",
    "app_id": APPS[0],
    "room_id": "room",
    "user_id": "alice",
    "at": AT,
    "type": "video_on",
    "stream": "bob/camera",
    "width": 640,
    "height": 360,
}

ABSENT = object()


def event(**changes: object) -> dict[str, object]:
    """A valid event, but for these columns."""
    return {name: value for name, value in {**EVENT, **changes}.items() if value is not ABSENT}


def ndjson(events: Iterable[object]) -> bytes:
    """One line for each."""
    return "".join(json.dumps(value) + "\n" for value in events).encode()


def csv(events: Sequence[Mapping[str, object]], columns: Sequence[str] = tuple(EVENT)) -> bytes:
    """A header, and one line for each."""
    lines = [",".join("" if row.get(name) is None else str(row[name]) for name in columns) for row in events]
    return "\n".join([",".join(columns), *lines, ""]).encode()


def parquet(events: Sequence[Mapping[str, object]], **dtypes: pl.DataType) -> bytes:
    """A file with the columns that any of them has."""
    buffer = io.BytesIO()
    pl.DataFrame(events, infer_schema_length=None).cast(dict(dtypes)).write_parquet(buffer)  # type: ignore[arg-type]
    return buffer.getvalue()


def event_file(content: bytes, ending: str = ".ndjson") -> EventFile:
    """An open file with this content."""
    file = io.BytesIO(content)
    return EventFile(name=f"events{ending}", ending=ending, content=file, reads=HashedReads(file), stamp=(0, 0))


def judged(content: bytes, ending: str = ".ndjson") -> tuple[list[dict[str, object]], list[tuple[int, str, str]]]:
    """Accepted events, and line, reason and detail of the others."""
    accepted: list[dict[str, object]] = []
    rejected: list[tuple[int, str, str]] = []
    for batch in event_file(content, ending).batches():
        good, bad = validate(batch.frame, batch.values, apps=APPS, now_ms=NOW_MS, may_hold_nul=batch.may_hold_nul)
        accepted += CodedRows(frame=good.drop("row", "line"), values=batch.values).decoded().rows(named=True)
        lines = batch.frame["line"].gather(bad["position"])
        rejected += zip(lines, bad["reason"], bad["detail"], strict=True)
    return accepted, rejected


def reasons(content: bytes, ending: str = ".ndjson") -> list[str]:
    """The reasons of the rows that are not accepted."""
    return [reason for _, reason, _ in judged(content, ending)[1]]


def new_home(directory: Path) -> Home:
    """An empty home (without a database, which ingest does not read)."""
    directory.mkdir()
    return Home.at(directory)


def ingest(home: Home, *files: Path | str, apps: Sequence[int] = APPS, now: datetime = NOW) -> list[FileReport]:
    """The reports of an ingest of these files."""
    context = IngestContext(home=home, apps=apps, now=now)
    return list(ingest_files(context, [str(file) for file in files]))


def written(path: Path, content: bytes) -> Path:
    """A file with this content."""
    path.write_bytes(content)
    return path


def logged(home: Home) -> pl.DataFrame:
    """All events of the log, in a fixed order, without the ingest and the line that brought them."""
    events = EventLog(directory=home.events).scan(0, 4_102_444_800).drop("ingest_id", "line").collect()
    return events.sort("app_id", "at", "event_id")


def counted(report: FileReport) -> tuple[int, int, int, int]:
    """Read, accepted, duplicates, quarantined."""
    return report.read, report.accepted, report.duplicates, report.quarantined
