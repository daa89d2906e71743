"""The files that commands write: where an output may go, and that a file there is complete or as it was.

- `-` is standard output; a device or a pipe is written into; of a symbolic link the target is written.
- A regular file is replaced as a whole: the content goes to a file beside it, which takes its place once it is on the
  disk. Writers of one file wait for each other. A part that a killed process has left is removed by the next writer.
- Refused: a path inside the home, a file that the command reads, a directory, a file in a directory that is not there.
"""

import hashlib
import os
import re
import secrets
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock

from billing.errors import BillingError

STANDARD_OUTPUT = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """Where a command writes; `home` and `inputs` (files, and directories whose files are read) are not overwritten."""

    path: str | Path
    home: Path | None = None
    inputs: tuple[str | Path, ...] = ()

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """A file to write to; what is written counts once the block has ended. A `BillingError` when that fails."""
        if str(self.path) == STANDARD_OUTPUT:
            with _standard_output() as file:
                yield file
            return
        try:
            with self._opened() as file:
                yield file
        except OSError as error:
            raise self._refused(f"{error.strerror or error}; choose another file with -o") from error

    @contextmanager
    def _opened(self) -> Iterator[BinaryIO]:
        mode = self._mode()
        if mode is not None and not stat.S_ISREG(mode):
            if stat.S_ISDIR(mode):
                raise self._refused("it is a directory; give the name of a file in it")
            # Neither truncated nor replaced; opening a pipe waits for its reader.
            with open(self.path, "wb") as file:
                yield file
            return
        target = Path(os.path.realpath(self.path))
        self._check(target, exists=mode is not None)
        with FileLock(_lock_file(target)):
            _remove_parts(target)
            with _replacing(target) as file:
                yield file

    def _mode(self) -> int | None:
        """The mode of the file at the end of the path; None when there is no file yet."""
        try:
            return os.stat(self.path).st_mode
        except FileNotFoundError:
            return None

    def _check(self, target: Path, *, exists: bool) -> None:
        if not target.parent.is_dir():
            raise self._refused(f"the directory {target.parent} does not exist; create it first")
        if self.home is not None and target.is_relative_to(os.path.realpath(self.home)):
            raise self._refused(f"it is inside the home {self.home}; choose a file elsewhere")
        if exists and any(_is_read(target, Path(path)) for path in self.inputs):
            raise self._refused("the command reads it; choose another file")

    def _refused(self, reason: str) -> BillingError:
        return BillingError(f"cannot write {self.path}: {reason}")


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryOutput(Output):
    """A file that is not on any disk: what was written is `content`."""

    path: str | Path = "memory"
    content: BytesIO = field(default_factory=BytesIO)

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """The content, to write to."""
        yield self.content


def _is_read(target: Path, read: Path) -> bool:
    with suppress(FileNotFoundError):
        return target.samefile(read) or (read.is_dir() and target.is_relative_to(read.resolve()))
    return False


@contextmanager
def _standard_output() -> Iterator[BinaryIO]:
    sys.stdout.flush()
    yield sys.stdout.buffer
    sys.stdout.buffer.flush()


def _lock_file(target: Path) -> Path:
    """A user's lock on a path: it stays in the directory for temporary files, where it means nothing by itself."""
    key = hashlib.sha256(os.fsencode(target)).hexdigest()[:32]
    return Path(tempfile.gettempdir(), f"billing-output-{os.getuid()}-{key}.lock")


def _remove_parts(target: Path) -> None:
    """Remove what killed processes have left of the target. The lock is held: nobody is writing them."""
    left = re.compile(re.escape(os.fsencode(f".{target.name}.")) + rb"[0-9a-f]{16}\.part")
    for entry in os.scandir(os.fsencode(target.parent)):
        if left.fullmatch(entry.name):
            os.unlink(entry.path)


@contextmanager
def _replacing(target: Path) -> Iterator[BinaryIO]:
    # The name is new each time, so that a writer whose lock is elsewhere (another TMPDIR) never shares the file.
    part = target.with_name(f".{target.name}.{secrets.token_hex(8)}.part")
    try:
        with open(part, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileNotFoundError):
            os.chmod(part, stat.S_IMODE(target.stat().st_mode))
        os.replace(part, target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
