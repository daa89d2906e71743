"""Retraction: a retracted event never came, one given back was never gone, and what was known then stays."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from deltalake import DeltaTable

from billing.events import log as event_log
from billing.events.log import EventLog
from billing.events.retractions import RETRACTS
from tests.commands import Commands
from tests.sample_home import APP, EVENT, SAMPLE, contents, rows

END = 1_773_187_200  # 2026-03-11T00:00:00Z
CHARGES = "charges academy --month 2026-03"


def ingested(run: Commands, *events: dict[str, Any]) -> dict[str, Any]:
    """The counts of an ingest of these events."""
    file = run.home.parent / "events.ndjson"
    file.write_text("".join(json.dumps(EVENT | event) + "\n" for event in events))
    (report,) = rows(run, f"ingest {file}")
    return report


def done(run: Commands, line: str) -> str:
    """What a retraction says; it must succeed."""
    result = run(f"retract --app {APP} {line}")
    assert result.exit_code == 0, result.output
    return result.output


def refused(run: Commands, line: str, exit_code: int = 2) -> str:
    """The one line that refuses a retraction, which changes nothing."""
    before = contents(run.home)
    result = run(f"retract --app {APP} {line}")
    assert (result.exit_code, contents(run.home)) == (exit_code, before), result.output
    assert result.output.count("\n") == 1
    return result.output


def standing(run: Commands, ingest_id: int | None = None) -> list[str]:
    """The ids of the events that stand."""
    log = EventLog(directory=run.home / "events")
    return sorted(log.scan(0, END, ingest_id=ingest_id).collect()["event_id"])


def test_an_event_stands_until_it_is_retracted_and_again_when_it_is_given_back(billing: Commands) -> None:
    ingested(billing, {"event_id": "a"}, {"event_id": "b"})
    assert done(billing, "--event-id a --reason why").startswith("events retracted: 1\nthe next `billing nightly`")
    assert standing(billing) == ["b"]
    assert done(billing, "--event-id a --undo").startswith("events given back: 1\n")
    done(billing, "--ingest 1 --reason why")
    assert [standing(billing, known) for known in (1, 2, 3, 4)] == [["a", "b"], ["b"], ["a", "b"], []]
    done(billing, "--ingest 1 --undo")
    assert standing(billing) == ["a", "b"]


def test_what_is_done_is_done_once(billing: Commands) -> None:
    ingested(billing, {"event_id": "a"}, {"event_id": "b"})
    done(billing, "--event-id a --reason why")
    retracted = contents(billing.home)
    assert done(billing, "--event-id a --reason why") == "already retracted: nothing to do\n"
    assert contents(billing.home) == retracted
    assert "events retracted: 1, and 1 before" in done(billing, "--ingest 1 --reason why")
    done(billing, "--ingest 1 --undo")
    given_back = contents(billing.home)
    assert done(billing, "--ingest 1 --undo") == "already given back: nothing to do\n"
    assert contents(billing.home) == given_back


def test_a_retracted_event_does_not_hold_its_key(billing: Commands) -> None:
    """It may come again; a row that was in conflict with it is accepted; and then there is no undo."""
    ingested(billing, {"event_id": "a"}, {"event_id": "b"})
    assert ingested(billing, {"event_id": "a", "user_id": "another"})["quarantined"] == 1
    done(billing, "--event-id a --event-id b --reason why")
    (retried,) = rows(billing, "quarantine retry")
    assert (retried["accepted"], retried["quarantined"]) == (1, 0)
    assert ingested(billing, {"event_id": "b"}, {"event_id": "b"})["accepted"] == 1
    for line in ("--event-id a", "--event-id b", "--ingest 1"):
        assert "used again on 2026-03-10 (UTC)" in refused(billing, f"{line} --undo", 1)
    done(billing, "--event-id a --reason why")
    done(billing, "--event-id a --undo")
    assert "used again" in refused(billing, "--ingest 1 --undo", 1)
    done(billing, "--event-id a --event-id b --reason why")
    done(billing, "--ingest 1 --undo")
    stands = EventLog(directory=billing.home / "events").scan(0, END).collect()
    assert stands.select("event_id", "user_id", "ingest_id").sort("event_id").rows() == [("a", "u", 1), ("b", "u", 1)]


def test_an_id_on_several_days_needs_the_day(billing: Commands) -> None:
    ingested(billing, {"event_id": "a"}, {"event_id": "a", "at": "2026-03-10T08:00:00+09:00"})
    assert "is on 2026-03-09, 2026-03-10 (UTC): give --day" in refused(billing, "--event-id a --reason why")
    done(billing, "--event-id a --day 2026-03-09 --reason why")
    assert "give --day" in refused(billing, "--event-id a --reason why")
    assert standing(billing) == ["a"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--event-id a", "give a --reason"),
        ("--event-id a --reason ' '", "give a --reason"),
        ("--reason why", "give either --event-id or --ingest"),
        ("--event-id a --ingest 1 --reason why", "give either --event-id or --ingest"),
        ("--event-id a --event-id x --reason why", f"app {APP} has no accepted event 'x'"),
        ("--event-id a --day 2026-03-11 --reason why", "no accepted event 'a' on 2026-03-11"),
        ("--ingest 2 --reason why", f"ingest 2 has no events of app {APP}"),
        ("--ingest 1 --day 2026-03-11 --reason why", "has no events of app"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(billing: Commands, line: str, message: str) -> None:
    ingested(billing, {"event_id": "a"})
    assert message in refused(billing, line)


def test_what_was_never_retracted_cannot_be_given_back(billing: Commands) -> None:
    ingested(billing, {"event_id": "a"})
    assert "never retracted" in refused(billing, "--event-id a --undo", 1)
    assert billing("retract --app 7 --event-id a --reason why").exit_code == 2


def test_an_empty_log_has_nothing_to_retract(billing: Commands) -> None:
    assert "no accepted event 'a'" in refused(billing, "--event-id a --reason why")
    assert "ingest 1 has no events" in refused(billing, "--ingest 1 --reason why")


def test_a_retracted_day_is_corrected_to_nothing_and_back(billed: Commands) -> None:
    """Original and correction together; what was known before the retraction can still be shown."""
    views = [f"usage {APP} --month 2026-03 --by {by} --run 1" for by in ("window", "user", "room")]
    then, charges = [rows(billed, view) for view in views], rows(billed, CHARGES)
    done(billed, "--ingest 1 --reason 'a test server'")
    assert [row["result"] for row in rows(billed, "nightly")] == ["already_billed", "corrected"]
    corrected = rows(billed, CHARGES)
    assert sum(row["seconds"] for row in corrected) == 0 < len(corrected)
    assert {row["cause"] for row in corrected} == {None, "retracted events of ingest 2"}
    assert {row["deducted"] for row in rows(billed, "packages academy")} == {0}
    users = rows(billed, f"usage {APP} --month 2026-03 --by user")
    assert sum(row["seconds"] for row in users) == 0 < len(users)
    done(billed, "--ingest 1 --undo")
    assert rows(billed, "nightly")[1]["result"] == "corrected"
    assert sum(row["seconds"] for row in rows(billed, CHARGES)) == sum(row["seconds"] for row in charges)
    assert [rows(billed, view) for view in views] == then


def test_what_came_and_went_between_two_nights_is_no_correction(billed: Commands) -> None:
    ingested(billed, {"event_id": "late"})
    done(billed, "--event-id late --reason why")
    done(billed, "--event-id e-10 --reason why")
    done(billed, "--event-id e-10 --undo")
    done(billed, "--event-id e-11 --reason why")
    assert billed(f"ingest {SAMPLE}/events.ndjson").exit_code == 0
    assert [row["result"] for row in rows(billed, "nightly")] == ["already_billed"]


def test_an_account_that_is_not_billed_begins_with_its_oldest_event_that_stands(billing: Commands) -> None:
    """What the refresh showed of the days before goes with them."""
    ingested(billing, {"event_id": "a", "at": "2026-03-08T10:00:00+09:00"})
    ingested(billing, {"event_id": "b"}, {"event_id": "c", "type": "exit", "at": "2026-03-10T10:01:00+09:00"})
    billing("refresh")
    done(billing, "--event-id a --reason why")
    billing("refresh")
    assert {row["day"] for row in rows(billing, f"{CHARGES} --provisional")} == {"2026-03-10"}
    assert [row["day"] for row in rows(billing, "nightly")] == ["2026-03-10"]
    assert rows(billing, CHARGES)[0]["seconds"] == 60


def test_an_account_whose_events_are_all_retracted_has_nothing_to_bill(billing: Commands) -> None:
    ingested(billing, {"event_id": "a"})
    billing("refresh")
    done(billing, "--event-id a --reason why")
    billing("refresh")
    assert rows(billing, f"{CHARGES} --provisional") == rows(billing, "nightly") == []
    assert "events of it were accepted" in billing(f"catalog remove app {APP}").output


def test_a_log_that_was_compacted_by_others_knows_its_retractions(billing: Commands) -> None:
    """Before, between and after."""
    ingested(billing, {"event_id": "a"}, {"event_id": "b"})
    ingested(billing, {"event_id": "c"}, {"event_id": "d"})
    for line in ("--event-id a --reason why", "--ingest 2 --reason why", "--event-id c --undo"):
        table = DeltaTable(billing.home / "events")
        table.optimize.compact()
        table.vacuum(0, dry_run=False, enforce_retention_duration=False)
        done(billing, line)
    assert [standing(billing, known) for known in (2, 3, 4, 5)] == [list("abcd"), list("bcd"), ["b"], ["b", "c"]]
    assert ingested(billing, {"event_id": "a"}, {"event_id": "b"}, {"event_id": "d"})["accepted"] == 2


def test_the_log_says_which_files_have_retractions(billing: Commands) -> None:
    """So a day without any is read as ever."""
    ingested(billing, {"event_id": "a"})
    done(billing, "--event-id a --reason why")
    log = EventLog(directory=billing.home / "events")
    files = {file: pl.read_parquet(file)[RETRACTS].to_list() for file in log.files(0, END)}
    assert {tuple(retracts): log.may_retract([file]) for file, retracts in files.items()} == {
        (None,): False,
        (1,): True,
    }
    (*_, commit) = sorted((log.directory / "_delta_log").glob("*.json"))
    described = json.loads(commit.read_text().splitlines()[0])["commitInfo"]
    assert (described["reason"], described["app_id"], described["events"]) == ("why", APP, 1)


def test_a_large_ingest_is_retracted_room_by_room(billing: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("billing.events.day_files.ROWS_PER_RANGE", 100)
    monkeypatch.setattr(event_log, "ROWS_PER_RANGE", 100)
    ids = [f"e-{number}" for number in range(900)]
    ingested(billing, *({"event_id": name, "room_id": name} for name in ids))
    assert "events retracted: 900" in done(billing, "--ingest 1 --reason why")
    assert standing(billing) == []
    assert len(list((billing.home / "events").rglob("0000000002-*.parquet"))) == 8
    assert "events given back: 900" in done(billing, "--ingest 1 --undo")
    assert standing(billing) == sorted(ids)


def test_other_apps_and_days_are_left_alone(billing: Commands, tmp_path: Path) -> None:
    catalog = tmp_path / "more.toml"
    catalog.write_text('[[app]]\nid = 2\naccount = "academy"\nname = "Two"\n')
    assert billing(f"catalog apply {catalog}").exit_code == 0
    ingested(billing, {"event_id": "a"}, {"event_id": "a", "app_id": 2}, {"event_id": "b"})
    done(billing, "--ingest 1 --reason why")
    assert standing(billing) == ["a"]
    assert done(billing, "--event-id a --undo").startswith("events given back: 1")
    assert standing(billing) == ["a", "a"]
