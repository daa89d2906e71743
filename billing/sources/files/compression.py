"""Decompression of gzip and Zstandard, in bounded memory. A file that is damaged or cut off is an error."""

import gzip
import io
import zlib
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, cast

import zstandard

from billing.errors import BillingError

if TYPE_CHECKING:
    from _typeshed import SupportsRead, WriteableBuffer

COMPRESSIONS = (".gz", ".zst")
WINDOW_BYTES = 128 << 20  # what `zstd` itself accepts without `--long`


def decompressed(name: str, content: "SupportsRead[bytes]", compression: str, chunk_bytes: int) -> Iterator[bytes]:
    """The content of the file `name` in chunks; `compression` is one of `COMPRESSIONS`, or empty."""
    stream = content
    if compression == ".gz":
        stream = gzip.GzipFile(fileobj=cast(IO[bytes], content))  # which only reads it
    elif compression == ".zst":
        stream = io.BufferedReader(_Zstandard(content), chunk_bytes)
    try:
        while chunk := stream.read(chunk_bytes):
            yield chunk
    except _WindowError:
        raise BillingError(
            f"{name}: was compressed with a window of more than {WINDOW_BYTES >> 20} MiB, which takes too much memory: "
            f"recompress it with `zstd -d --long=31 -c FILE | zstd -o NEW.zst`"
        ) from None
    except (EOFError, gzip.BadGzipFile, zlib.error, zstandard.ZstdError) as error:
        raise BillingError(f"{name}: damaged or cut off: {error}") from None


class _WindowError(Exception):
    """A frame needs more memory than may be used."""


class _Zstandard(io.RawIOBase):
    """Decompresses frame after frame in bounded memory, and notices when the last frame is cut off."""

    # 1 KiB can hold 256 blocks of 128 KiB each: no more than 32 MiB come out of one step.
    STEP_BYTES = 1024

    def __init__(self, content: "SupportsRead[bytes]") -> None:
        self._content = content
        self._frame = zstandard.ZstdDecompressor(max_window_size=WINDOW_BYTES).decompressobj()
        self._begun = False
        self._input = b""
        self._output = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        while not self._output:
            self._input = self._input or self._content.read(self.STEP_BYTES)
            if not self._input:
                if self._begun:
                    raise EOFError("the compressed data ends too early")
                return 0
            self._output = memoryview(self._decompressed(self._input))
            self._begun = not self._frame.eof
            self._input = self._frame.unused_data if self._frame.eof else b""
            if self._frame.eof:
                self._frame = zstandard.ZstdDecompressor(max_window_size=WINDOW_BYTES).decompressobj()
        view = memoryview(buffer).cast("B")
        size = min(len(view), len(self._output))
        view[:size] = self._output[:size]
        self._output = self._output[size:]
        return size

    def _decompressed(self, content: bytes) -> bytes:
        try:
            return self._frame.decompress(content)
        except zstandard.ZstdError as error:
            if "too much memory" in str(error):
                raise _WindowError from None
            raise
