"""Files that must survive a loss of power, and what is said when one did not.

Content that is written reaches the disk only on request, and not in the order of writing.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from billing.errors import BillingError

# The ledger knows commits by this module, and need not load polars for that.
if TYPE_CHECKING:
    import polars as pl

_PARQUET = b"PAR1"  # what a Parquet file begins and ends with


def sync(path: Path, root: Path) -> None:
    """Waits until a file is on the disk, with its name and those of the directories above it, `root` the last."""
    for place in (path, *path.parents):
        descriptor = os.open(place, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if place == root:
            return


def replace_file(path: Path, content: bytes, root: Path) -> None:
    """Puts a file with this content in its place at once, on the disk with the directories above it up to `root`. A
    process that is killed leaves no more than `PATH.new` behind."""
    beside = path.with_name(f"{path.name}.new")
    beside.write_bytes(content)
    sync(beside, beside)
    os.replace(beside, path)
    sync(path, root)


def whole_parquet(path: Path) -> Path:
    """The same path; a `BillingError` if the file was cut off or overwritten, an `OSError` if it is not there."""
    with path.open("rb") as file:
        begins = file.read(len(_PARQUET))
        file.seek(-min(len(_PARQUET), path.stat().st_size), os.SEEK_END)
        if begins != _PARQUET or file.read() != _PARQUET:
            raise BillingError(f"{path} is damaged: restore it from a backup")
    return path


def scan_files(paths: Sequence[Path], schema: "pl.Schema", *, number: str | None = None) -> "pl.LazyFrame":
    """The rows of Parquet files in `schema`; columns that files of an older version lack are null. With `number`, the
    first column has this name and numbers the rows."""
    import polars as pl

    if not paths:
        return pl.LazyFrame(schema={number: pl.UInt32, **schema} if number else schema)
    return pl.scan_parquet(
        list(paths),
        schema=schema,
        glob=False,
        hive_partitioning=False,
        missing_columns="insert",
        row_index_name=number,
    )


@contextmanager
def naming_damage(files: Callable[[], Sequence[Path]], schema: "pl.Schema") -> Iterator[None]:
    """When the rows of some of the `files` cannot be read, says which of them is damaged, or is a foreign file."""
    import polars as pl

    try:
        yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        for rows in (0, None):  # all their schemas first, because that is quick
            for path in files():
                if reason := _unreadable(path, schema, rows):
                    raise BillingError(f"{path} is damaged: restore it from a backup ({reason})") from error
        raise


def _unreadable(path: Path, schema: "pl.Schema", rows: int | None) -> str | None:
    import polars as pl

    rows_of_file = scan_files([path], schema)
    try:
        (rows_of_file if rows is None else rows_of_file.head(rows)).select(pl.all().null_count()).collect()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        return str(error).partition("\n")[0]
    return None
