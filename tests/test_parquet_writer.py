"""A Parquet file that is given up stays as it is."""

import gc
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow
import pytest
from pyarrow.parquet import ParquetWriter

from billing.events.parquet_writer import PatientParquetWriter


@contextmanager
def full_disk() -> Iterator[None]:
    """No file of this process grows."""
    before, limits = signal.signal(signal.SIGXFSZ, signal.SIG_IGN), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)


@pytest.mark.parametrize(("writer", "failures"), [(PatientParquetWriter, 0), (ParquetWriter, 1)])
def test_a_file_that_is_given_up_on_a_full_disk_is_not_ended(
    writer: type[ParquetWriter], failures: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library's own writer fails where no error can be caught."""
    seen: list[object] = []
    monkeypatch.setattr("sys.unraisablehook", seen.append)
    rows = pyarrow.table({"number": list(range(100_000))})
    held = writer(tmp_path / "file.parquet", rows.schema, compression="NONE")
    held.write_table(rows)
    with full_disk():
        del held
        gc.collect()
    assert len(seen) == failures


def test_a_file_that_is_ended_is_whole(tmp_path: Path) -> None:
    rows = pyarrow.table({"number": list(range(1_000))})
    held = PatientParquetWriter(tmp_path / "file.parquet", rows.schema)
    held.write_table(rows)
    held.close()
    assert pyarrow.parquet.read_table(tmp_path / "file.parquet").equals(rows)
