"""Lines of a text file, in blocks of bounded size.

A line ends at LF. One of more than 1 MiB (its line end, LF or CR LF, aside) is too long: it is counted, but only
its beginning is ever held. A UTF-8 byte order mark before the first line is dropped.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from billing.events.rows import LINE_LIMIT_BYTES

CHUNK_BYTES = LINE_LIMIT_BYTES
KEPT_BYTES = 4096  # of a line that is too long
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Block(NamedTuple):
    """Consecutive lines, with the LF between them but not the last. Of the first line only the beginning is here when
    `long_bytes` is not 0."""

    content: bytes
    long_bytes: int  # 0, or the length of a first line that is too long


class Line(NamedTuple):
    """One line without its LF; of one that is too long only the beginning."""

    number: int  # from 1
    content: bytes
    long_bytes: int  # 0, or the length of a line that is too long


def line_blocks(chunks: Iterable[bytes]) -> Iterator[Block]:
    """A block of the lines that end in each chunk; chunks have `CHUNK_BYTES` at most. Only the first line of a block
    can be too long."""
    kept, size = b"", 0  # the line that has not ended yet: what is held of it, and its length so far
    mark = _BYTE_ORDER_MARK
    for chunk in chunks:
        end = chunk.find(b"\n")
        head = chunk if end < 0 else chunk[:end]
        size += len(head)
        kept += head[: LINE_LIMIT_BYTES + 1 - len(kept)]
        if end >= 0:
            last = chunk.rfind(b"\n")
            yield _block(kept, memoryview(chunk)[end:last], size, mark)
            kept, mark = chunk[last + 1 :], b""
            size = len(kept)
    if size:
        yield _block(kept, memoryview(b""), size, mark)


def numbered_lines(chunks: Iterable[bytes]) -> Iterator[Line]:
    """All lines, one by one."""
    first = 1
    for block in line_blocks(chunks):
        lines = block.content.split(b"\n")
        for number, line in enumerate(lines, first):
            yield Line(number, line, block.long_bytes if number == first else 0)
        first += len(lines)


def too_long(size: int) -> tuple[str, str]:
    """Reason and detail of a line that has `size` bytes."""
    return "too_long", f"the line has {size:,} bytes; at most {LINE_LIMIT_BYTES:,} are read"


def _block(first: bytes, others: memoryview, size: int, mark: bytes) -> Block:
    """A first line of `size` bytes, and the others with the LF before each."""
    if size <= LINE_LIMIT_BYTES or (size == len(first) and first.endswith(b"\r")):
        return Block(b"".join((first.removeprefix(mark), others)), 0)
    return Block(b"".join((first[:KEPT_BYTES], others)), size)
