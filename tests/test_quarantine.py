"""The quarantine: rejected rows with their text, listed, corrected and tried again."""

import os
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from billing.errors import UsageError
from billing.events.quarantine import Quarantine, row_id
from billing.home import Home
from billing.jobs.ingest import FileReport, IngestContext, ingest_rows
from billing.jobs.quarantine_retry import retry_quarantine
from tests.event_facts import APPS, AT, NOW, counted, csv, event, ingest, logged, ndjson, new_home, parquet, written


def listed(home: Home, **wanted: object) -> list[tuple[int, str]]:
    """Line and reason of the rows in quarantine."""
    rows = Quarantine(directory=home.quarantine).rows(**wanted)  # type: ignore[arg-type]
    return list(zip(rows["line"], rows["reason"], strict=True))


def ids(home: Home) -> list[str]:
    """The ids of all rows in quarantine."""
    return Quarantine(directory=home.quarantine).rows()["id"].to_list()


def retry(home: Home, apps: Sequence[int], now: datetime = NOW, **wanted: Any) -> list[FileReport]:
    """The reports of a retry."""
    return retry_quarantine(IngestContext(home=home, apps=apps, now=now), **wanted)


def test_a_quarantine_without_rows_is_empty(tmp_path: Path) -> None:
    home = new_home(tmp_path / "home")
    assert listed(home) == []
    assert retry(home, APPS) == []


def test_a_rejected_row_keeps_its_text_file_line_and_reason(tmp_path: Path) -> None:
    home = new_home(tmp_path / "home")
    path = written(tmp_path / "a.ndjson", ndjson([event()]) + b"{oops\r\n")
    ingest(home, path)
    (row,) = Quarantine(directory=home.quarantine).rows().rows(named=True)
    assert (row["file"], row["line"], row["reason"], row["raw"]) == (str(path), 2, "bad_json", "{oops")
    assert row["detail"].startswith("not JSON: Expecting property name")
    assert row["id"] == row_id(row["file_hash"], 2, 0) == f"{row['file_hash'][:12]}-2"


def test_the_same_file_again_rewrites_its_rows_and_adds_none(tmp_path: Path) -> None:
    home = new_home(tmp_path / "home")
    path = written(tmp_path / "a.ndjson", ndjson([{}, event(), []]))
    ingest(home, path)
    before = Quarantine(directory=home.quarantine).rows()
    ingest(home, path, written(tmp_path / "b.ndjson", path.read_bytes()))
    assert ids(home) == before["id"].to_list()
    assert [path.suffix for path in home.quarantine.iterdir()] == [".parquet"]


def test_rows_are_listed_by_file_and_line_and_can_be_narrowed(tmp_path: Path) -> None:
    home = new_home(tmp_path / "home")
    first = written(tmp_path / "a.ndjson", ndjson([event(app_id=5), {}]))
    ingest(home, written(tmp_path / "b.ndjson", ndjson([event(width=0)])), first)
    assert listed(home) == [(1, "unknown_app"), (2, "missing_field"), (1, "bad_value")]
    assert listed(home, reasons=["bad_value", "unknown_app"]) == [(1, "unknown_app"), (1, "bad_value")]
    assert listed(home, files=[str(first)]) == [(1, "unknown_app"), (2, "missing_field")]
    assert listed(home, ids=ids(home)[1:2]) == [(2, "missing_field")]
    with pytest.raises(UsageError, match="no row xyz-1 in quarantine"):
        listed(home, ids=["xyz-1"])


@pytest.mark.parametrize(("ending", "write"), [(".ndjson", ndjson), (".csv", csv), (".parquet", parquet)])
def test_rows_that_are_right_by_now_leave_when_tried_again(
    tmp_path: Path, ending: str, write: Callable[[list[dict[str, object]]], bytes]
) -> None:
    """An app that is in the catalog now, and a time that has come."""
    home = new_home(tmp_path / "home")
    soon = AT + 13 * 3_600_000
    events = [event(width=0), event(event_id="e-2", app_id=5, user_id="b"), event(event_id="e-3", at=soon)]
    ingest(home, written(tmp_path / f"a{ending}", write(events)))
    (report,) = retry(home, [*APPS, 5], NOW + timedelta(hours=1))
    assert (report.file, counted(report)) == (str(tmp_path / f"a{ending}"), (3, 2, 0, 1))
    assert [reason for _, reason in listed(home)] == ["bad_value"]
    assert logged(home)["event_id"].to_list() == ["e-2", "e-3"]


def test_a_row_that_is_still_wrong_stays_with_the_reason_of_now(tmp_path: Path) -> None:
    home = new_home(tmp_path / "home")
    ingest(home, written(tmp_path / "a.ndjson", ndjson([event(), event(app_id=5), event(width=1)])), apps=[APPS[0]])
    assert listed(home) == [(2, "unknown_app"), (3, "conflict")]
    assert [counted(report) for report in retry(home, [*APPS, 5])] == [(2, 1, 0, 1)]
    assert listed(home) == [(3, "conflict")]


def test_only_the_rows_that_are_named_are_tried(tmp_path: Path) -> None:
    home = new_home(tmp_path / "home")
    rows = [event(event_id=f"e-{n}", app_id=5) for n in range(3)]
    ingest(home, written(tmp_path / "a.ndjson", ndjson(rows)))
    (report,) = retry(home, [5], ids=ids(home)[1:2])
    assert counted(report) == (1, 1, 0, 0)
    assert listed(home) == [(1, "unknown_app"), (3, "unknown_app")]


def test_a_corrected_text_is_tried_in_place_of_the_row(tmp_path: Path) -> None:
    home = new_home(tmp_path / "home")
    ingest(home, written(tmp_path / "a.csv", csv([event(width="wide"), event(event_id="e-2", height="")])))
    wide, _ = Quarantine(directory=home.quarantine).rows().rows(named=True)
    (report,) = retry(home, APPS, corrected={wide["id"]: wide["raw"].replace("wide", "640")})
    assert counted(report) == (1, 1, 0, 0)
    assert listed(home) == [(3, "missing_field")]
    assert logged(home)["width"].to_list() == [640]


def test_a_correction_that_is_wrong_is_kept_with_its_text(tmp_path: Path) -> None:
    home = new_home(tmp_path / "home")
    ingest(home, written(tmp_path / "a.ndjson", b"{\n"))
    retry(home, APPS, corrected={ids(home)[0]: "{}\ud800"})
    (row,) = Quarantine(directory=home.quarantine).rows().rows(named=True)
    assert (row["reason"], row["raw"]) == ("bad_json", "{}\\ud800")


def test_a_row_of_which_only_the_beginning_is_kept_is_left_alone_until_it_is_corrected(tmp_path: Path) -> None:
    home = new_home(tmp_path / "home")
    ingest(home, written(tmp_path / "a.ndjson", b"x" * (2 << 20)))
    assert retry(home, APPS) == []
    assert listed(home) == [(1, "too_long")]
    retry(home, APPS, corrected={ids(home)[0]: ndjson([event()]).decode()})
    assert listed(home) == []
    assert logged(home).height == 1


def test_a_retry_that_was_killed_between_two_files_is_run_again_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows of the first file have left; their ids are done, and not unknown."""
    home = new_home(tmp_path / "home")
    files = [written(tmp_path / f"{n}.ndjson", ndjson([event(event_id=f"e-{n}", width=0), {}])) for n in range(2)]
    ingest(home, *files)
    corrected = {row: ndjson([event(event_id=row)]).decode() for row in ids(home) if row.endswith("-1")}

    class KilledError(BaseException):
        pass

    done = []

    def killed_at_the_second(*arguments: Any) -> FileReport:
        if done:
            raise KilledError
        done.append(ingest_rows(*arguments))
        return done[0]

    with monkeypatch.context() as patch:
        patch.setattr("billing.jobs.quarantine_retry.ingest_rows", killed_at_the_second)
        with pytest.raises(KilledError):
            retry(home, APPS, corrected=corrected)
    assert sum(reason == "bad_value" for _, reason in listed(home)) == 1
    (report,) = retry(home, APPS, corrected=corrected)
    assert counted(report) == (1, 1, 0, 0)
    assert [reason for _, reason in listed(home)] == ["missing_field"] * 2
    assert logged(home)["event_id"].sort().to_list() == sorted(corrected)
    assert retry(home, APPS, corrected=corrected) == []
    assert listed(home, ids=list(corrected)) == []
    with pytest.raises(UsageError, match="no row xyz-1 in quarantine"):
        retry(home, APPS, corrected={**corrected, "xyz-1": "{}"})


def test_a_row_that_has_left_keeps_only_its_id_and_can_come_back(tmp_path: Path) -> None:
    home = new_home(tmp_path / "home")
    path = written(tmp_path / "a.ndjson", ndjson([event(app_id=5), event(event_id="e-2", app_id=6)]))
    ingest(home, path)
    first, second = ids(home)
    retry(home, [5])
    (file,) = home.quarantine.iterdir()
    left = pl.read_parquet(file).filter(id=first)
    assert left.select("line", "raw", "reason", "detail").row(0) == (1, None, None, None)
    assert left["left_at"].item() is not None
    assert ids(home) == [second]
    ingest(home, path)  # without the app 5
    assert ids(home) == [first, second]
    assert pl.read_parquet(file)["left_at"].null_count() == 2


def test_a_quarantine_of_an_older_version_is_read_and_rows_leave_it(tmp_path: Path) -> None:
    home = new_home(tmp_path / "home")
    ingest(home, written(tmp_path / "a.ndjson", ndjson([event(app_id=5), {}])))
    (file,) = home.quarantine.iterdir()
    pl.read_parquet(file).drop("left_at").write_parquet(file)
    assert listed(home) == [(1, "unknown_app"), (2, "missing_field")]
    (row, _) = ids(home)
    retry(home, [5])
    assert listed(home) == [(2, "missing_field")]
    assert retry(home, [5], ids=[row]) == []


def test_names_that_are_not_utf_8_are_looked_for_as_they_are_listed(tmp_path: Path) -> None:
    home = new_home(tmp_path / "home")
    name = tmp_path / os.fsdecode(b"\xff.ndjson")
    ingest(home, written(name, b"{}\n"))
    assert listed(home, files=[str(name)]) == [(1, "missing_field")]
    assert listed(home, reasons=["\udcff"]) == []
    for text in ("\udcff", "\ud800"):
        with pytest.raises(UsageError, match=r"no row \\"):
            listed(home, ids=[text])


def test_csv_rows_are_tried_one_by_one_whatever_their_text(tmp_path: Path) -> None:
    """A quote that never ends does not swallow the row after it; a quoted cell with a line end is still one row."""
    home = new_home(tmp_path / "home")
    rows = [event(app_id=5, user_id='"a\nb"'), event(user_id='"alice'), event(event_id="e-3", app_id=5)]
    ingest(home, written(tmp_path / "a.csv", csv(rows)))
    assert listed(home) == [(2, "unknown_app"), (4, "bad_value"), (5, "unknown_app")]
    retry(home, [5])
    assert listed(home) == [(4, "bad_value")]
    assert logged(home)["user_id"].to_list() == ["a\nb", "alice"]


def test_a_file_that_is_right_by_now_empties_its_quarantine_when_ingested_again(tmp_path: Path) -> None:
    home = new_home(tmp_path / "home")
    path = written(tmp_path / "a.ndjson", ndjson([event(app_id=5)]))
    ingest(home, path)
    ingest(home, path, apps=[5])
    assert listed(home) == []
