"""The last event of each app: found in the newest days, without reading the others."""

import shutil
from datetime import date
from pathlib import Path

from billing.events.last_events import last_event_at, last_events_since
from billing.events.log import EventLog
from tests.event_facts import APPS, AT
from tests.test_log import appended, events

DAY_MS = 86_400_000


def test_the_last_events_of_apps_are_read_from_the_newest_days_only(tmp_path: Path) -> None:
    """The first app is heard until the second day, the second on the first day; a third has no event."""
    log = EventLog(directory=tmp_path / "events")
    appended(log, events({"at": AT + 5}, {"at": AT + 7, "app_id": APPS[1], "event_id": "e-2"}))
    last = appended(log, events({"at": AT + DAY_MS + 1}, {"at": AT + DAY_MS + 9}), date(2026, 3, 11))
    appended(log, events({"at": AT + 2 * DAY_MS, "app_id": APPS[1] + 5}), date(2026, 3, 12))
    assert last_event_at(log, [*APPS, 7]) == {APPS[0]: AT + DAY_MS + 9, APPS[1]: AT + 7}
    assert last_event_at(log, [APPS[0]], ingest_id=last - 1) == {APPS[0]: AT + 5}
    shutil.rmtree(log.directory / "day=2026-03-10")
    assert last_event_at(log, [APPS[0]]) == {APPS[0]: AT + DAY_MS + 9}


def test_the_last_events_since_an_instant_are_those_of_all_apps_that_were_heard(tmp_path: Path) -> None:
    log = EventLog(directory=tmp_path / "events")
    log.create()
    assert last_events_since(log, AT // 1000, ingest_id=0) == {}
    first = appended(log, events({"at": AT + 5}, {"at": AT + 7_000, "app_id": APPS[1], "event_id": "e-2"}))
    last = appended(log, events({"at": AT + DAY_MS + 1}), date(2026, 3, 11))
    assert last_events_since(log, AT // 1000, ingest_id=last) == {APPS[0]: AT + DAY_MS + 1, APPS[1]: AT + 7_000}
    assert last_events_since(log, AT // 1000, ingest_id=first) == {APPS[0]: AT + 5, APPS[1]: AT + 7_000}
    assert last_events_since(log, AT // 1000 + 8, ingest_id=last) == {APPS[0]: AT + DAY_MS + 1}
