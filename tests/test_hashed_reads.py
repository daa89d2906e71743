"""Hashed reads: the hash of a file comes from reading its rows, and is the same when these were not read to the end."""

from contextlib import AbstractContextManager
from hashlib import sha256
from pathlib import Path

import pytest

from billing.sources.files.event_files import EventFile, open_event_file
from billing.sources.files.hashed_reads import HashedReads

CONTENT = b"".join(b'{"app_id":%d}\n' % number for number in range(1000))


def test_a_file_that_was_read_whole_is_not_read_again_for_its_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HashedReads, "_read_for_hash", lambda _: "read again")
    with opened(tmp_path) as file:
        assert sum(batch.frame.height for batch in file.batches()) == 1000
        assert file.digest == sha256(CONTENT).hexdigest()


def test_the_hash_is_of_all_bytes_when_only_some_were_read_or_some_twice(tmp_path: Path) -> None:
    for sizes in ((), (0,), (10,), (100, 7), (len(CONTENT),), (len(CONTENT) + 1, 1)):
        with (tmp_path / "some.ndjson").open("w+b") as content:
            content.write(CONTENT)
            content.flush()
            reads = HashedReads(content)
            for size in sizes:
                reads.restart()
                assert reads.read(size) == CONTENT[:size]
            position = content.tell()
            assert reads.digest() == sha256(CONTENT).hexdigest()
            assert content.tell() == position
            assert reads.read(5) == CONTENT[position : position + 5]


def test_a_file_whose_hash_is_known_is_not_hashed_once_more_as_its_rows_are_read(tmp_path: Path) -> None:
    with opened(tmp_path) as file:
        assert file.digest == sha256(CONTENT).hexdigest()
        assert sum(batch.frame.height for batch in file.batches()) == 1000
        assert file.digest == sha256(CONTENT).hexdigest()
        assert file.reads._hashed == 0


def opened(directory: Path) -> AbstractContextManager[EventFile]:
    path = directory / "events.ndjson"
    path.write_bytes(CONTENT)
    return open_event_file(str(path), spool=directory)
