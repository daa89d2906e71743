"""Records for tests: the samples in `tests/feeds`, and what lines of a source become."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from billing.catalog.catalog import App
from billing.catalog.feeds import Assumptions
from billing.events.validation import validate
from billing.sources.record_apps import RecordApps, RecordOptions
from billing.sources.record_files import RECORDS, RecordFile, Tally
from billing.sources.record_maps import Outcome, outcome
from tests.commands import ROOT
from tests.event_facts import NOW_MS, event_file

FEEDS = ROOT / "tests" / "feeds"
APP = 1400000042
# A file of each source, made with the vendors' own libraries where they exist.
SAMPLES = {
    "livekit": "livekit-captured.jsonl",
    "trtc": "trtc-captured.jsonl",
    "mediasoup": "mediasoup-recorded.jsonl",
    "agora": "agora-bodies.jsonl",
    "bigbluebutton": "bbb-bodies.formlines",
}
SIZES = Assumptions(camera="1280x720", screen="1920x1080")
# What no event of a source needs to be told apart by.
_COMMON = ("app_id", "source", "event_id")


def sample(name: str) -> list[bytes]:
    """The lines of a file in `tests/feeds`."""
    return (FEEDS / name).read_bytes().splitlines()


def app(app_id: int = APP, *feed: str, assume: Assumptions = SIZES) -> App:
    return App(id=app_id, account="acme", name="Classroom", feed=feed, assume=assume)


def become(
    source: str, record: Mapping[str, Any] | bytes, *, app_id: int | None = APP, apps: tuple[App, ...] = (app(),)
) -> Outcome:
    """What one record becomes, for `--app` (None: the catalog says it) and the apps of the catalog."""
    line = record if isinstance(record, bytes) else json.dumps(record).encode()
    options = RecordOptions(source=source, app_id=app_id, apps={each.id: each for each in apps})
    return outcome(RECORDS[source], RecordApps(options), line)


def told(found: Outcome) -> list[dict[str, object]]:
    """The columns of the events of a record that was mapped, without those that are the same in all, and the absent."""
    assert (found.problem, found.ignored) == (None, None)
    return [
        {name: value for name, value in event.items() if name not in _COMMON and value is not None}
        for event in found.events
    ]


def ids(found: Outcome) -> list[object]:
    return [event["event_id"] for event in found.events]


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """What a file of records became: accepted events, reason and line of the other rows, and the tally of its lines."""

    events: list[dict[str, object]]
    rejected: list[tuple[int, str]]
    tally: Tally


def read(source: str, content: bytes, *, app_id: int | None = APP, apps: tuple[App, ...] = (app(),)) -> Read:
    """Reads a file of records as an ingest does. Whatever is in it, no row and no line is lost."""
    options = RecordOptions(source=source, app_id=app_id, apps={each.id: each for each in apps})
    records = RecordFile(file=event_file(content, ".jsonl"), options=options)
    events: list[dict[str, object]] = []
    rejected: list[tuple[int, str]] = []
    rows = 0
    for batch in records.batches():
        good, bad = validate(batch.frame, apps=[each.id for each in apps], now_ms=NOW_MS)
        events += good.drop("row", "line").rows(named=True)
        rejected += zip(batch.frame["line"].gather(bad["position"]), bad["reason"], strict=True)
        raws = batch.raw(bad["position"].to_list())
        assert all(raw.text.encode() for raw in raws)
        assert batch.frame["row"].to_list() == list(range(rows + 1, rows + 1 + batch.frame.height))
        rows += batch.frame.height
    assert rows == len(events) + len(rejected)
    tally = records.tally
    assert tally.lines == tally.mapped + tally.ignored.total() + tally.unreadable
    assert tally.unreadable <= len(rejected)
    return Read(events=events, rejected=rejected, tally=tally)
