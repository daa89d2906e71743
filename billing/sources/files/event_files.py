"""Event files: the ending of the name gives the format; a damaged file is refused as a whole.

| ending | format |
|---|---|
| `.ndjson`, `.jsonl`, `.json` | one JSON object a line |
| `.csv` | comma-separated, with a header |
| `.parquet` | Parquet |

The text formats may be compressed as well: `.gz`, `.zst`. `-` is standard input, which is first copied to an unnamed
file in `spool` that disappears with this process. Only `-` may wait for a writer: a pipe or device that is named as a
file is refused.
"""

import glob
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from billing.errors import BillingError
from billing.events.rows import Batch, RejectedRow, TraceLine, display_name
from billing.sources.files.compression import COMPRESSIONS, decompressed
from billing.sources.files.csv import read_csv
from billing.sources.files.hashed_reads import HashedReads
from billing.sources.files.lines import CHUNK_BYTES, Line, numbered_lines, too_long
from billing.sources.files.ndjson import read_ndjson

STANDARD_STREAM = "-"
_FORMATS = {".ndjson": "ndjson", ".jsonl": "ndjson", ".json": "ndjson", ".csv": "csv", ".parquet": "parquet"}


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFile:
    """An open file. `name` is as the user gave it."""

    name: str
    ending: str  # such as ".csv" or ".ndjson.gz"
    content: IO[bytes]
    reads: HashedReads  # of that content
    stamp: tuple[int, int]  # size and time of last change

    @property
    def digest(self) -> str:
        """The SHA-256 of its bytes as they are stored. Once the rows were read, it costs nothing more."""
        return self.reads.digest()

    def batches(self) -> Iterator[Batch]:
        """All rows, from the first; a `BillingError` when the file is damaged or of no known format."""
        suffix, compression = _split_ending(self.ending)
        kind = _FORMATS.get(suffix)
        if kind is None or (kind == "parquet" and compression):
            raise BillingError(
                f"{self.name}: unknown kind of file: its name must end in .parquet, or in .ndjson or .csv, "
                "which .gz or .zst may follow"
            )
        if self.content.seek(0, os.SEEK_END) == 0:
            return
        self.content.seek(0)
        if kind == "parquet":
            # A library, which takes a while to load.
            from billing.sources.files.parquet import read_parquet

            yield from read_parquet(self.name, self.content)
            return
        for batch in read_csv(self.name, self.lines()) if kind == "csv" else read_ndjson(self._chunks()):
            yield replace(batch, share_read=max(self.content.tell(), 1) / max(self.stamp[0], 1))

    def lines(self) -> Iterator[Line]:
        """All lines of a text file. (One of foreign records may have any ending.)"""
        return numbered_lines(self._chunks())

    def trace_lines(self, rejected: list[RejectedRow]) -> Iterator[TraceLine]:
        """The lines of a foreign trace; one that is too long goes to `rejected` instead."""
        for number, text, long_bytes in self.lines():
            if long_bytes:
                raw = text.decode(errors="backslashreplace")
                rejected.append(RejectedRow(self.name, number, *too_long(long_bytes), raw))
            else:
                yield TraceLine(self.name, number, text.removesuffix(b"\r"))

    def check_unchanged(self) -> None:
        """A `BillingError` when the file was written to since it was opened."""
        if _stamp(self.content) != self.stamp:
            raise BillingError(f"{self.name}: changed while it was read: ingest it again when it is complete")

    def _chunks(self) -> Iterator[bytes]:
        self.reads.restart()
        return decompressed(self.name, self.reads, _split_ending(self.ending)[1], CHUNK_BYTES)


@contextmanager
def open_event_file(path: str, *, spool: Path, standard_input: str = ".ndjson") -> Iterator[EventFile]:
    """Opens a file, or standard input for `-`, which is read as if its name ended in `standard_input`."""
    name = display_name(path)
    with _spooled(spool) if path == STANDARD_STREAM else _open(path, name) as content:
        stamp = _stamp(content)
        ending = standard_input if path == STANDARD_STREAM else "".join(Path(path).suffixes[-2:]).lower()
        yield EventFile(name=name, ending=ending, content=content, reads=HashedReads(content), stamp=stamp)


def expand(patterns: Sequence[str]) -> list[str]:
    """File names in place of patterns that the shell has left as they are, sorted; other names as they are."""
    names: list[str] = []
    for pattern in patterns:
        is_pattern = glob.has_magic(pattern) and not os.path.lexists(pattern)
        names.extend((sorted(glob.glob(pattern, recursive=True)) or [pattern]) if is_pattern else [pattern])
    return names


def _open(path: str, name: str) -> IO[bytes]:
    """A regular file, opened without waiting for the other end of a pipe."""
    try:
        content = open(path, "rb", opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK))  # noqa: SIM115 - the caller closes it
    except FileNotFoundError:
        raise BillingError(f"{name}: there is no such file") from None
    except IsADirectoryError:
        raise BillingError(
            f"{name}: is a directory: give the files in it, such as {name.rstrip('/')}/*.ndjson"
        ) from None
    except (OSError, ValueError) as error:
        raise BillingError(f"{name}: cannot be opened: {getattr(error, 'strerror', None) or error}") from None
    if not stat.S_ISREG(os.fstat(content.fileno()).st_mode):
        content.close()
        raise BillingError(f"{name}: is a pipe or a device, not a file: send its content to standard input, and give -")
    return content


@contextmanager
def _spooled(directory: Path) -> Iterator[IO[bytes]]:
    """Standard input, copied to a file that can be read more than once."""
    with tempfile.TemporaryFile(dir=directory) as copy:
        shutil.copyfileobj(sys.stdin.buffer, copy, CHUNK_BYTES)
        copy.seek(0)
        yield copy


def _stamp(content: IO[bytes]) -> tuple[int, int]:
    status = os.fstat(content.fileno())
    return status.st_size, status.st_mtime_ns


def _split_ending(ending: str) -> tuple[str, str]:
    """`.csv.gz` as (`.csv`, `.gz`), `.csv` as (`.csv`, ``)."""
    first, dot, last = ending.rpartition(".")
    if dot + last in COMPRESSIONS:
        return "." + first.rpartition(".")[2], dot + last
    return dot + last, ""
