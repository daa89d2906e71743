import os
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from billing.errors import BillingError, UsageError
from billing.jobs.ingest import FileReport
from billing.jobs.refresh import Refreshed
from billing.jobs.watch import BroughtUp, PassedOver, Spool, Taken, Told, Trouble, Watch, watch

NOON = 1_772_452_800.0  # 2026-03-02T12:00:00Z
DAY = 86_400


@dataclass(slots=True, kw_only=True)
class Bench:
    """A spool directory and a home that does what a test wants. `ingested`: how often each file was, by name."""

    spool: Spool
    now: float = NOON
    home_fault: str = ""
    file_faults: dict[str, FileReport] = field(default_factory=dict)
    ingested: Counter[str] = field(default_factory=Counter)
    refreshed: int = 0
    watch: Watch = field(init=False)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """A new process, which knows nothing of the one before."""
        self.watch = Watch(
            spool=self.spool,
            ingest=self.ingest,
            check_home=self.check_home,
            clock=lambda: self.now,
            refresh=self.refresh,
        )

    def check_home(self) -> None:
        if self.home_fault:
            raise BillingError(self.home_fault)

    def ingest(self, path: Path) -> FileReport:
        self.check_home()
        if fault := self.file_faults.get(path.name):
            return fault
        rows = len(path.read_bytes().splitlines())
        self.ingested[path.name] += 1
        return FileReport(file=path.name, read=rows, accepted=rows)

    def refresh(self) -> list[Refreshed]:
        self.check_home()
        self.refreshed += 1
        return []

    def arrives(self, name: str, text: str = "row\n", *, seconds_ago: float = DAY) -> Path:
        path = self.spool.directory / name
        path.write_text(text)
        os.utime(path, (self.now, self.now - seconds_ago))
        return path

    def turn(self) -> list[Told]:
        return list(self.watch.turn())

    def taken(self) -> list[str]:
        """A turn, and the names under which files were put away."""
        return [str(told.path.relative_to(self.spool.directory)) for told in self.turn() if isinstance(told, Taken)]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A spool directory that is held."""
    (tmp_path / "spool").mkdir()
    spool = Spool(directory=tmp_path / "spool", done=tmp_path / "spool/done", failed=tmp_path / "spool/failed")
    with spool.held(tmp_path / "home"):
        yield Bench(spool=spool)


def test_a_file_is_ingested_and_moved(bench: Bench) -> None:
    bench.arrives("b.ndjson", "1\n2\n")
    bench.arrives("a.ndjson")
    assert bench.taken() == ["done/a.ndjson", "done/b.ndjson"]
    assert (bench.spool.done / "b.ndjson").read_text() == "1\n2\n"
    assert bench.turn() == []


@pytest.mark.parametrize("name", [".hidden.ndjson", "a.ndjson.tmp", "a.ndjson.part", "notes.txt.reason"])
def test_a_name_that_is_not_final_is_left_alone(bench: Bench, name: str) -> None:
    path = bench.arrives(name)
    assert bench.turn() == []
    path.rename(bench.spool.directory / "a.ndjson")
    assert bench.taken() == ["done/a.ndjson"]


def test_a_file_that_was_changed_a_moment_ago_is_left_until_it_settles(bench: Bench) -> None:
    bench.arrives("a.ndjson", seconds_ago=1)
    assert bench.taken() == []
    bench.now += 4
    assert bench.taken() == ["done/a.ndjson"]


def test_a_clock_that_was_wrong_when_a_file_was_written_does_not_hold_it_for_ever(bench: Bench) -> None:
    bench.arrives("a.ndjson", seconds_ago=-DAY)
    assert bench.taken() == ["done/a.ndjson"]


def test_a_name_that_comes_again_overwrites_nothing(bench: Bench) -> None:
    for number in range(3):
        bench.arrives("a.ndjson.gz", str(number))
        bench.turn()
    texts = {path.name: path.read_text() for path in bench.spool.done.iterdir()}
    assert texts == {"a.ndjson.gz": "0", "a-2.ndjson.gz": "1", "a-3.ndjson.gz": "2"}


def test_a_file_that_cannot_be_ingested_is_set_apart_with_the_reason(bench: Bench) -> None:
    bench.file_faults["notes.txt"] = FileReport(file="notes.txt", error="notes.txt: unknown kind of file")
    bench.arrives("notes.txt")
    bench.arrives("z.ndjson")
    assert bench.taken() == ["failed/notes.txt", "done/z.ndjson"]
    assert (bench.spool.failed / "notes.txt.reason").read_text() == "notes.txt: unknown kind of file\n"


def test_a_home_that_takes_no_files_is_named_once_and_the_files_wait(bench: Bench) -> None:
    path = bench.arrives("a.ndjson")
    bench.home_fault = "the database is locked"
    assert bench.turn() == [Trouble(message="the database is locked")]
    for _ in range(3):
        bench.now += 31
        assert bench.turn() == []
    assert path.exists()
    bench.home_fault = ""
    bench.now += 31
    (taken, over) = bench.turn()
    assert isinstance(taken, Taken)
    assert over == Trouble(message="the database is locked", is_over=True)


def test_the_home_is_tried_again_after_half_a_minute(bench: Bench) -> None:
    bench.arrives("a.ndjson")
    bench.home_fault = "the disk is full"
    bench.turn()
    bench.home_fault = ""
    assert bench.taken() == []
    bench.now += 30
    assert bench.taken() == ["done/a.ndjson"]


def test_a_full_disk_is_not_the_fault_of_the_file_and_other_files_come_first_then(bench: Bench) -> None:
    bench.file_faults["a.ndjson"] = FileReport(file="a.ndjson", error="a.ndjson: No space left", may_pass=True)
    for name in ("a.ndjson", "b.ndjson"):
        bench.arrives(name)
    assert bench.turn() == [Trouble(message="a.ndjson: No space left")]
    bench.now += 30
    assert bench.taken() == ["done/b.ndjson"]
    bench.file_faults.clear()
    bench.now += 30
    assert bench.taken() == ["done/a.ndjson"]


def test_an_app_that_is_not_in_the_catalog_is_not_the_fault_of_the_file(bench: Bench) -> None:
    def ingest(_: Path) -> FileReport:
        raise UsageError("there is no app 5")

    bench.watch.ingest = ingest
    path = bench.arrives("a.ndjson")
    assert bench.turn() == [Trouble(message="there is no app 5")]
    assert path.exists()


def test_a_file_that_changes_while_it_is_read_stays(bench: Bench) -> None:
    path = bench.arrives("a.ndjson")
    bench.file_faults["a.ndjson"] = FileReport(file="a.ndjson", error="a.ndjson: changed while it was read")
    check = bench.watch.check_home

    def write_meanwhile() -> None:
        check()
        path.write_text("row\nrow\n")

    bench.watch.check_home = write_meanwhile
    assert bench.turn() == []
    assert path.read_text() == "row\nrow\n"


def test_a_file_that_somebody_takes_away_is_forgotten(bench: Bench) -> None:
    path = bench.arrives("a.ndjson")

    def ingest(_: Path) -> FileReport:
        path.unlink(missing_ok=True)
        return FileReport(file="a.ndjson", error="a.ndjson: there is no such file")

    bench.watch.ingest = ingest
    assert bench.turn() == []


def test_a_file_that_cannot_be_moved_is_not_ingested_again(bench: Bench) -> None:
    bench.arrives("a.ndjson")
    bench.spool.done.rmdir()
    bench.spool.done.write_text("somebody's")
    assert [type(told) for told in bench.turn()] == [Trouble]
    bench.spool.done.unlink()
    bench.now += 30
    assert bench.taken() == ["done/a.ndjson"]
    assert bench.ingested == {"a.ndjson": 1}


def test_a_file_that_was_ingested_by_a_process_that_was_killed_is_taken_again(bench: Bench) -> None:
    bench.ingest(bench.arrives("a.ndjson"))
    bench.start()
    assert bench.taken() == ["done/a.ndjson"]
    assert bench.ingested == {"a.ndjson": 2}


def test_a_file_that_is_written_to_after_it_was_moved_is_brought_back(bench: Bench) -> None:
    path = bench.arrives("a.ndjson")
    with path.open("a") as still_open:
        assert bench.taken() == ["done/a.ndjson"]
        still_open.write("late row\n")
    bench.now += 30
    told = bench.turn()
    assert [type(each) for each in told] == [Trouble, Taken]
    assert (bench.spool.done / "a.ndjson").read_text() == "row\nlate row\n"
    assert bench.ingested == {"a.ndjson": 2}


def test_a_file_that_was_not_complete_is_brought_back_from_where_it_failed(bench: Bench) -> None:
    bench.file_faults["a.ndjson.gz"] = FileReport(file="a.ndjson.gz", error="a.ndjson.gz: ends too early")
    with bench.arrives("a.ndjson.gz").open("a") as still_open:
        assert bench.taken() == ["failed/a.ndjson.gz"]
        still_open.write("the rest\n")
    bench.file_faults.clear()
    bench.now += 30
    assert bench.taken() == ["done/a.ndjson.gz"]


def test_what_is_no_file_is_named_once_and_stays(bench: Bench, tmp_path: Path) -> None:
    (bench.spool.directory / "more").mkdir()
    os.mkfifo(bench.spool.directory / "pipe.ndjson")
    (tmp_path / "elsewhere.ndjson").write_text("row\n")
    (bench.spool.directory / "link.ndjson").symlink_to(tmp_path / "elsewhere.ndjson")
    assert bench.turn() == [
        PassedOver(name="link.ndjson", kind="a symbolic link"),
        PassedOver(name="more", kind="a directory"),
        PassedOver(name="pipe.ndjson", kind="a pipe"),
    ]
    assert bench.turn() == []
    assert (bench.spool.directory / "link.ndjson").is_symlink()


def test_a_name_that_is_not_utf_8_is_a_name(bench: Bench) -> None:
    bench.arrives(os.fsdecode(b"\xff.ndjson"))
    bench.turn()
    assert os.listdir(os.fsencode(bench.spool.done)) == [b"\xff.ndjson"]


def test_it_refreshes_after_five_minutes_in_which_something_came(bench: Bench) -> None:
    bench.turn()
    bench.now += 299
    bench.turn()
    assert bench.refreshed == 0
    bench.now += 1
    assert bench.turn() == [BroughtUp(days=[])]  # what came before it started
    bench.now += 300
    assert bench.turn() == []
    bench.arrives("a.ndjson")
    bench.turn()
    assert bench.refreshed == 1
    bench.now += 300
    bench.turn()
    assert bench.refreshed == 2


def test_a_refresh_that_fails_is_done_in_the_next_five_minutes(bench: Bench) -> None:
    bench.now += 300
    bench.home_fault = "the nightly is at work"
    assert bench.turn() == [Trouble(message="not refreshed: the nightly is at work")]
    bench.home_fault = ""
    assert bench.turn() == []
    bench.now += 300
    assert bench.turn() == [BroughtUp(days=[])]


def test_it_stops_after_the_file_in_hand(bench: Bench) -> None:
    bench.watch.is_stopping = lambda: bool(bench.ingested)
    for name in ("a.ndjson", "b.ndjson"):
        bench.arrives(name)
    told = list(watch(bench.watch, sleep=lambda: None, once=False))
    assert [each.path.name for each in told if isinstance(each, Taken)] == ["a.ndjson"]
    assert (bench.spool.directory / "b.ndjson").exists()
    assert bench.refreshed == 0


def test_once_is_one_turn_and_a_refresh(bench: Bench) -> None:
    bench.arrives("a.ndjson")
    assert [type(told) for told in watch(bench.watch, sleep=lambda: None, once=True)] == [Taken, BroughtUp]


def test_one_watch_of_a_directory_at_a_time(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(BillingError, match="by another `billing watch`"), bench.spool.held(tmp_path / "home"):
        pass


def test_a_directory_in_the_home_is_refused(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    for spool in (
        Spool(directory=home, done=tmp_path / "done", failed=tmp_path / "failed"),
        Spool(directory=tmp_path, done=home / "done", failed=tmp_path / "failed"),
    ):
        with pytest.raises(UsageError, match="is in the home"), spool.held(home):
            pass


def test_files_are_not_moved_to_where_they_arrive(tmp_path: Path) -> None:
    spool = Spool(directory=tmp_path, done=tmp_path, failed=tmp_path / "failed")
    with pytest.raises(UsageError, match="name another directory"), spool.held(tmp_path / "home"):
        pass


def test_a_directory_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    spool = Spool(directory=tmp_path / "spol", done=tmp_path / "done", failed=tmp_path / "failed")
    with pytest.raises(UsageError, match="is not a directory"), spool.held(tmp_path / "home"):
        pass


def test_the_second_signal_is_not_waited_for() -> None:
    from billing.cli.watch_commands import stopping

    before = signal.getsignal(signal.SIGTERM)
    with stopping() as stop:
        signal.raise_signal(signal.SIGTERM)
        assert stop.is_asked
        assert {signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)} == {signal.SIG_DFL}
    assert signal.getsignal(signal.SIGTERM) == before
