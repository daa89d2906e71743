"""Compaction and the archive: fewer files, elsewhere, and nothing that is known changes."""

import json
import shutil
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from billing.errors import UsageError
from billing.events import day_files, log_table
from billing.events.archive import put_back
from billing.events.compaction import compact_day, days_to_compact, remove_replaced
from billing.events.log import EventLog
from billing.events.retractions import RETRACTS
from billing.home import Home
from billing.jobs.ingest import IngestContext, ingest_workspace
from billing.jobs.retract import Retraction, Selection, retract
from tests.commands import Commands
from tests.event_facts import APPS, AT, NOW, counted, event, ingest, ndjson, new_home, written

START = AT // 1000
SPAN = (START, START + 86_400)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A day in six files, with an event that was retracted."""
    home = new_home(tmp_path / "home")
    for number in range(6):
        rows = [event(event_id=f"e-{number}-{n}", room_id=f"r-{n}", at=AT + n) for n in range(20)]
        ingest(home, written(tmp_path / f"{number}.ndjson", ndjson(rows)))
    selection = Selection(app_id=APPS[0], event_ids=("e-2-3",))
    retract(context(home), Retraction(selection=selection, reason="why"))
    return home


def context(home: Home) -> IngestContext:
    """The context of a command in a home."""
    return IngestContext(home=home, apps=APPS, now=NOW)


def log_of(home: Home) -> EventLog:
    return EventLog(directory=home.events)


def compacted(home: Home) -> None:
    """Merges all days that need it."""
    log = log_of(home)
    for day in days_to_compact(log):
        with ingest_workspace(context(home)):
            compact_day(log, day)


def known(home: Home, ingest_id: int | None = None) -> pl.DataFrame:
    """All that stands as known at an ingest."""
    return log_of(home).scan(*SPAN, ingest_id=ingest_id).collect().sort("event_id")


def identities(home: Home) -> list[str | None]:
    """Of all ingests."""
    log = log_of(home)
    return [log.commit_identity(number) for number in range(1, log.last_ingest_id() + 1)]


def test_what_is_known_at_each_ingest_is_the_same_before_and_after(home: Home) -> None:
    before = [known(home, number) for number in range(1, 8)]
    ids = identities(home)
    changes = log_of(home).changes(*SPAN, after=2, upto=7).collect().sort("event_id", RETRACTS)
    compacted(home)
    assert len(log_of(home).files(*SPAN)) == 1
    for number, rows in enumerate(before, 1):
        assert_frame_equal(known(home, number), rows)
    assert_frame_equal(log_of(home).changes(*SPAN, after=2, upto=7).collect().sort("event_id", RETRACTS), changes)
    assert identities(home) == ids
    assert None not in ids
    assert len(log_of(home).ingests()) == 7


def test_rows_are_in_the_order_of_rooms_in_ranges_of_their_own(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(day_files, "ROWS_PER_RANGE", 60)
    compacted(home)
    files = log_of(home).files(*SPAN)
    assert len(files) == 2
    rooms = [pl.read_parquet(file)["room_key"] for file in files]
    assert all(each.is_sorted() for each in rooms)
    assert sum(each.n_unique() for each in rooms) == 20


def test_a_day_that_is_compact_is_left_alone(home: Home) -> None:
    compacted(home)
    assert days_to_compact(log_of(home)) == []
    version = log_of(home).version()
    compacted(home)
    assert log_of(home).version() == version


def test_ingest_retraction_and_undo_go_on_after_a_compaction(home: Home, tmp_path: Path) -> None:
    compacted(home)
    rows = [event(event_id="e-0-1", room_id="r-1", at=AT + 1), event(event_id="e-2-3", room_id="new"), event(width=1)]
    (report,) = ingest(home, written(tmp_path / "a.ndjson", ndjson(rows)))
    assert counted(report) == (3, 2, 1, 0)  # the key of the retracted event is free
    shutil.rmtree(home.events / "_keys")
    (report,) = ingest(home, written(tmp_path / "b.ndjson", ndjson(rows)))
    assert counted(report) == (3, 0, 3, 0)
    selection = Selection(app_id=APPS[0], ingest_id=1)
    assert retract(context(home), Retraction(selection=selection, reason="why")).events == 20
    assert retract(context(home), Retraction(selection=selection, reason=None, undo=True)).events == 20
    assert known(home).height == 121


def test_old_files_stay_for_those_who_read_them_and_are_removed_later(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = log_of(home).scan(*SPAN)
    compacted(home)
    assert remove_replaced(log_of(home)) == 0
    assert reader.collect().height == 119
    monkeypatch.setattr(log_table, "KEPT_HOURS", 0)
    assert remove_replaced(log_of(home)) == 7
    assert known(home).height == 119
    assert len(list(home.events.glob("day=*/*.parquet"))) == 1


def test_files_of_a_compaction_that_was_killed_are_removed(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("billing.events.compaction.commit_files", killed)
    with pytest.raises(KeyboardInterrupt):
        compacted(home)
    monkeypatch.undo()
    assert len(list(home.events.glob("day=*/compacted-*"))) == 1
    ingest(home, written(tmp_path / "a.ndjson", ndjson([event(event_id="next")])))
    assert not list(home.events.glob("day=*/compacted-*"))
    assert known(home).height == 120


# The archive, through the command.

CATALOG = """
[[account]]
id = "acme"
name = "Acme"
currency = "USD"
timezone = "UTC"
policy = "trtc-intl"

[[app]]
id = 1400000001
account = "acme"
name = "Class"
"""


@pytest.fixture
def billing(tmp_path: Path) -> Commands:
    """A home with two billed days."""
    billing = Commands(home=tmp_path / "home", now="2026-03-12T09:00:00+00:00")
    billing("init")
    billing(f"catalog apply {written(tmp_path / 'c.toml', CATALOG.encode())}")
    for day in range(2):
        for hour in range(3):
            at = AT + day * 86_400_000 + hour * 3_600_000
            rows = [
                event(event_id=f"{hour}-in", type="enter", at=at, stream=None, width=None, height=None),
                event(event_id=f"{hour}-out", type="exit", at=at + 60_000, stream=None, width=None, height=None),
            ]
            billing(f"ingest {written(tmp_path / f'{day}-{hour}.ndjson', ndjson(rows))}")
    billing("nightly")
    return billing


def test_the_nightly_merges_the_files_of_settled_days(billing: Commands) -> None:
    assert len(EventLog(directory=billing.home / "events").files(START, START + 2 * 86_400)) == 2


def test_archived_days_stay_billed_and_what_needs_their_events_says_where_they_are(
    billing: Commands, tmp_path: Path
) -> None:
    archive = tmp_path / "archive"
    usage = "usage 1400000001 --from 2026-03-10 --to 2026-03-10 --by user --format json"
    before, charges = billing(usage).stdout, billing("charges acme --month 2026-03 --format json").stdout
    assert "archived: 1 days" in billing(f"compact --archive-before 2026-03-11 -o {archive}").output
    assert billing("charges acme --month 2026-03 --format json").stdout == charges
    refused = billing(usage)
    assert refused.exit_code == 1
    assert f"put them back with `billing compact --restore {archive}`" in refused.stderr
    late = written(tmp_path / "late.ndjson", ndjson([event(event_id="late"), event(event_id="0-in")]))
    assert "2 archived" in billing(f"ingest {late}").stderr
    assert "put back: 1 days" in billing(f"compact --restore {archive}").output
    assert billing(usage).stdout == before
    retried = billing("quarantine retry --format json")
    assert [(row["accepted"], row["duplicates"], row["quarantined"]) for row in json.loads(retried.stdout)] == [
        (1, 0, 1)
    ]


def test_a_day_that_is_not_settled_is_not_archived(billing: Commands, tmp_path: Path) -> None:
    refused = billing(f"compact --archive-before 2026-03-13 -o {tmp_path / 'archive'}")
    assert refused.exit_code == 2
    assert "only settled days can be archived, and days before 2026-03-12 are settled" in refused.stderr


def test_events_that_are_not_billed_yet_are_not_archived(billing: Commands, tmp_path: Path) -> None:
    """Late ones of a settled day, which the next nightly bills, and those of an account that was never billed."""
    archive = f"compact --archive-before 2026-03-11 -o {tmp_path / 'archive'}"
    late = written(tmp_path / "late.ndjson", ndjson([event(event_id="late")]))
    assert billing(f"ingest {late}").exit_code == 0
    refused = billing(archive)
    assert (refused.exit_code, refused.stderr) == (
        1,
        f"Error: app {APPS[0]} has events before 2026-03-11 that are not billed yet: run `billing nightly` first\n",
    )
    assert billing("nightly").exit_code == 0
    assert billing(archive).exit_code == 0


def test_an_archive_of_another_home_is_refused(home: Home, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not the archive of this home: nothing is archived"):
        put_back(log_of(home), tmp_path / "archive")
