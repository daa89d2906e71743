"""The disk: what has been written reaches it only when it is asked to, and not in the order of writing."""

import os
from pathlib import Path

from billing.errors import BillingError

_PARQUET = b"PAR1"  # what a Parquet file begins and ends with


def sync(path: Path, root: Path) -> None:
    """Waits until a file is on the disk, with its name and those of the directories above it, `root` the last."""
    for each in (path, *path.parents):
        descriptor = os.open(each, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if each == root:
            return


def whole_parquet(path: Path) -> Path:
    """The same path; a `BillingError` if the file was cut off or overwritten, an `OSError` if it is not there."""
    with path.open("rb") as file:
        begins = file.read(len(_PARQUET))
        file.seek(-min(len(_PARQUET), path.stat().st_size), os.SEEK_END)
        if begins != _PARQUET or file.read() != _PARQUET:
            raise BillingError(f"{path} is damaged: restore it from a backup")
    return path
