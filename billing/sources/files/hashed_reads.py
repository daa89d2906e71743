"""A file that is hashed while it is read: to read it once more for its hash would take half as long as the hash."""

import os
from hashlib import sha256
from typing import IO

_BYTES_AT_ONCE = 1 << 20


class HashedReads:
    """Reads a file, from the start each time, and knows the SHA-256 of its bytes."""

    def __init__(self, content: IO[bytes]) -> None:
        self._content = content
        self._hash, self._hashed, self._at = sha256(), 0, 0
        self._digest = ""

    def restart(self) -> None:
        """The next bytes that are read are the first."""
        self._content.seek(0)
        self._at = 0

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes, at most so many; none at the end."""
        found = self._content.read(size)
        if self._at == self._hashed and not self._digest:
            self._hash.update(found)
            self._hashed += len(found)
        self._at += len(found)
        return found

    def digest(self) -> str:
        """The hash of all bytes. If they were not all read, they are for this, beside another thread that is at it."""
        if not self._digest:
            whole = self._hashed == os.fstat(self._content.fileno()).st_size
            self._digest = self._hash.hexdigest() if whole else self._read_for_hash()
        return self._digest

    def _read_for_hash(self) -> str:
        found, at = sha256(), 0
        while piece := os.pread(self._content.fileno(), _BYTES_AT_ONCE, at):
            found.update(piece)
            at += len(piece)
        return found.hexdigest()
