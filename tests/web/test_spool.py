"""The spool: what is told to be durable is in a segment, whole and once, whatever happened before or after."""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.web.batches import Batch, Batches, batch_of, ranges
from billing.web.segments import EVENTS, Feed, SegmentName, recover, stamp
from billing.web.spool import Entry, FullError, Spool

ROW = b'{"event_id": "e1"}\n'
NAME = "events-20261127T170651123-0001.ndjson"


@contextmanager
def opened(directory: Path, **settings: object) -> Iterator[Spool]:
    told: list[Entry] = []
    spool = Spool(directory=directory, tell=told.extend, **settings)  # type: ignore[arg-type]
    spool.open()
    try:
        yield spool
    finally:
        spool.close()


def until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.005)


def stored(spool: Spool, *lines: bytes, feed: Feed = EVENTS) -> list[Entry]:
    """Adds entries, and waits until they are told."""
    entries = [Entry(feed=feed, lines=line, rows=line.count(b"\n")) for line in lines]
    all_told, waiting = threading.Event(), set(map(id, entries))

    def tell(told: Sequence[Entry]) -> None:
        waiting.difference_update(map(id, told))
        if not waiting:
            all_told.set()

    spool.tell = tell
    for entry in entries:
        spool.add(entry)
    assert all_told.wait(20)
    return entries


def sealed(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(directory.glob("*.ndjson"))}


def test_what_is_told_is_in_the_segment_at_its_place(tmp_path: Path) -> None:
    with opened(tmp_path / "spool") as spool:
        entries = stored(spool, ROW, ROW * 3, ROW)
        assert [(entry.first, entry.rows, entry.error) for entry in entries] == [
            (1, 1, None),
            (2, 3, None),
            (5, 1, None),
        ]
        (file,) = (tmp_path / "spool").glob("*.open")
        assert file.read_bytes() == ROW * 5
        assert spool.waiting().rows == 5
    (name,) = sealed(tmp_path / "spool")
    found = SegmentName.of(name)
    assert found is not None
    assert (found.feed, found.stamp) == (EVENTS, entries[0].stamp)


def test_a_segment_is_sealed_when_it_is_large_old_or_wanted(tmp_path: Path) -> None:
    with opened(tmp_path / "large", segment_bytes=100) as spool:
        first, second = stored(spool, *[ROW] * 10), stored(spool, ROW)
        assert first[0].stamp in "".join(sealed(tmp_path / "large"))
        assert first[0].stamp != second[0].stamp
    assert b"".join(sealed(tmp_path / "large").values()) == ROW * 11
    with opened(tmp_path / "old", segment_seconds=0.2) as spool:
        stored(spool, ROW)
        until(lambda: len(sealed(tmp_path / "old")) == 1)
    with opened(tmp_path / "wanted") as spool:
        (entry,) = stored(spool, ROW)
        spool.await_segments(True)
        spool.want(entry.stamp)
        until(lambda: len(sealed(tmp_path / "wanted")) == 1)


def test_each_feed_has_segments_of_its_own(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        stored(spool, ROW)
        stored(spool, b"{}\n", feed=Feed(source="livekit", app_id=5))
    names = [SegmentName.of(name) for name in sealed(tmp_path)]
    assert [name and name.feed.name for name in names] == ["events", "livekit-5"]


def test_many_who_come_together_share_a_sync(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        with spool._lock:  # so that all are there when the thread looks
            threads = [
                threading.Thread(target=spool.add, args=(Entry(feed=EVENTS, lines=ROW, rows=1),)) for _ in range(50)
            ]
            for thread in threads:
                thread.start()
        for thread in threads:
            thread.join()
        until(lambda: spool.stored_rows == 50)
        assert spool.syncs < 25


@given(content=st.binary(max_size=200), is_cut=st.booleans())
def test_what_a_killed_process_left_open_is_cut_at_its_last_line(
    content: bytes, is_cut: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = tmp_path_factory.mktemp("left")
    (directory / f"{NAME}.open").write_bytes(content if is_cut else content + b"\n")
    recover(directory)
    whole = content[: content.rfind(b"\n") + 1] if is_cut else content + b"\n"
    assert sealed(directory) == ({NAME: whole} if whole else {})
    assert not list(directory.glob("*.open"))


def test_a_long_rest_is_cut_too(tmp_path: Path) -> None:
    (tmp_path / f"{NAME}.open").write_bytes(ROW + b"x" * (3 << 20))
    recover(tmp_path)
    assert sealed(tmp_path) == {NAME: ROW}


def test_segments_of_an_earlier_process_are_counted(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(ROW * 7)
    with opened(tmp_path, clock=lambda: 1795799211.123 + 5) as spool:
        waiting = spool.waiting()
        assert (waiting.rows, waiting.bytes, waiting.segments) == (7, 7 * len(ROW), 1)
        assert waiting.oldest_seconds == pytest.approx(5, abs=0.01)
        spool.drained(NAME)
        assert spool.waiting().rows == 0


@pytest.mark.parametrize(
    ("settings", "message", "seconds"),
    [
        ({"backlog_bytes": 10}, "too much waits to be ingested", 60),
        ({"free_bytes": 1 << 60}, "the disk is nearly full", 60),
    ],
)
def test_nothing_is_taken_without_room(settings: dict[str, int], message: str, seconds: int, tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(ROW)
    with opened(tmp_path, **settings) as spool:
        with pytest.raises(FullError, match=message) as refused:
            spool.add(Entry(feed=EVENTS, lines=ROW, rows=1))
        assert refused.value.retry_seconds == seconds
        assert spool.refusal() == message


def test_nothing_is_taken_when_32_mebibytes_wait_for_the_disk(tmp_path: Path) -> None:
    spool = Spool(directory=tmp_path)  # whose thread was not started: nothing is written
    spool._free = spool.free_bytes
    for _ in range(2):
        spool.add(Entry(feed=EVENTS, lines=bytes(16 << 20), rows=1))
    with pytest.raises(FullError, match="waits for the disk"):
        spool.add(Entry(feed=EVENTS, lines=ROW, rows=1))


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes into every directory")
def test_a_directory_that_cannot_be_written_is_trouble_until_it_can(tmp_path: Path) -> None:
    with opened(tmp_path / "spool") as spool:
        (tmp_path / "spool").chmod(0o500)
        assert stored(spool, ROW)[0].error
        (tmp_path / "spool").chmod(0o700)
        until(lambda: not spool.refusal())
        assert not stored(spool, ROW)[0].error


def test_a_directory_that_is_gone_is_trouble_and_no_end(tmp_path: Path) -> None:
    with opened(tmp_path / "spool") as spool:
        (tmp_path / "spool").rename(tmp_path / "away")
        assert stored(spool, ROW)[0].error
        until(lambda: bool(spool.refusal()))
        (tmp_path / "away").rename(tmp_path / "spool")
        until(lambda: not spool.refusal())
        assert not stored(spool, ROW)[0].error


@pytest.mark.parametrize("name", ["events.ndjson", "batch.key", f"{NAME}.open", "x" + NAME + "x", "EVENTS" + NAME[6:]])
def test_other_files_are_no_segments(name: str) -> None:
    assert SegmentName.of(name) is None


@given(now=st.floats(0, 4e9), number=st.integers(1, 10**6))
def test_the_name_of_a_segment_says_when_it_was_begun(now: float, number: int) -> None:
    name = SegmentName(feed=Feed(source="trtc", app_id=5), stamp=stamp(now, number))
    assert SegmentName.of(str(name)) == name
    assert abs(name.begun_at - now) < 0.002


KEY = b"k" * 32


def opened_batches(directory: Path) -> Batches:
    batches = Batches(spool=directory / "spool")
    batches.open()
    return batches


@given(
    rows=st.integers(0, 10**6),
    first=st.integers(1, 10**6),
    account=st.none() | st.text(max_size=5),
    other=st.none() | st.text(max_size=5),
)
def test_the_id_of_a_batch_is_known_to_its_account_only(
    rows: int, first: int, account: str | None, other: str | None
) -> None:
    batch = Batch(stamp=stamp(1e9, 1), first=first, rows=rows)
    known = batch.sealed_id(KEY, account)
    assert batch_of(known, KEY, [account]) == batch
    assert batch_of(known, b"j" * 32, [account]) is None
    if (other or "") != (account or ""):
        assert batch_of(known, KEY, [other]) is None


@given(numbers=st.sets(st.integers(1, 60)), first=st.integers(1, 60), rows=st.integers(1, 60))
def test_the_counts_of_a_batch_are_those_of_its_rows(
    numbers: set[int], first: int, rows: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    batches = opened_batches(tmp_path_factory.mktemp("batches"))
    batch = Batch(stamp=stamp(1e9, 1), first=first, rows=rows)
    duplicates = {number for number in numbers if number % 2}
    batches.keep(batch.stamp, duplicates=sorted(duplicates), quarantined=sorted(numbers - duplicates))
    mine = set(range(first, first + rows))
    answer = batches.answer("b", batch)
    assert answer is not None
    assert (answer["duplicates"], answer["quarantined"]) == (len(duplicates & mine), len((numbers - duplicates) & mine))
    assert answer["accepted"] == rows - len(numbers & mine)
    assert [number for start, end in ranges(sorted(numbers)) for number in range(start, end + 1)] == sorted(numbers)


def test_a_batch_is_forgotten_after_7_days_and_keeps_what_it_first_was(tmp_path: Path) -> None:
    batches = opened_batches(tmp_path)
    batch = Batch(stamp=stamp(1e9, 1), first=1, rows=2)
    assert batches.answer("b", batch) is None
    batches.keep(batch.stamp, duplicates=[], quarantined=[])
    batches.keep(batch.stamp, duplicates=[1, 2], quarantined=[])  # ingested again after a crash
    (kept,) = batches.done.iterdir()
    for age, is_known in ((7 * 86_400 - 60, True), (7 * 86_400 + 60, False)):
        os.utime(kept, (time.time() - age,) * 2) if kept.exists() else None
        batches.forget_old()
        answer = batches.answer("b", batch)
        assert (answer is not None) == is_known
        assert answer is None or answer["accepted"] == 2


def test_the_key_of_ids_is_made_once_and_is_secret(tmp_path: Path) -> None:
    first, again = opened_batches(tmp_path), opened_batches(tmp_path)
    assert first.key == again.key
    assert (tmp_path / "spool" / "batch.key").stat().st_mode & 0o077 == 0
