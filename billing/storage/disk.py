"""The disk: what has been written reaches it only when it is asked to, and not in the order of writing."""

import os
from pathlib import Path


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
