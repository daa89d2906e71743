"""Lines of a text file, in blocks of bounded size.

A line ends at LF. One of more than 1 MiB (its line end, LF or CR LF, aside) is too long: it is counted, but only
its beginning is ever held. A UTF-8 byte order mark before the first line is dropped.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from billing.sources.rows import LINE_LIMIT_BYTES

BLOCK_BYTES = LINE_LIMIT_BYTES
KEPT_BYTES = 4096  # of a line that is too long
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Block(NamedTuple):
    """Consecutive lines without their LF. Of the first line only the beginning is here when `long_bytes` is not 0."""

    first: int  # number of the first line, from 1
    lines: list[bytes]
    long_bytes: int  # 0, or the length of a first line that is too long


def line_blocks(chunks: Iterable[bytes]) -> Iterator[Block]:
    """Bytes in pieces of at most `BLOCK_BYTES`, as blocks of lines. Only the first line of a block can be too long."""
    number, kept, size = 1, b"", 0  # the line that has not ended yet: what is held of it, and its length so far
    for chunk in chunks:
        head, *others = chunk.split(b"\n")
        size += len(head)
        kept += head[: LINE_LIMIT_BYTES + 1 - len(kept)]
        if others:
            yield _block(number, [kept, *others[:-1]], size)
            number += len(others)
            kept, size = others[-1], len(others[-1])
    if size:
        yield _block(number, [kept], size)


def too_long(size: int) -> tuple[str, str]:
    """Reason and detail of a line that has `size` bytes."""
    return "too_long", f"the line has {size:,} bytes; at most {LINE_LIMIT_BYTES:,} are read"


def _block(number: int, lines: list[bytes], size: int) -> Block:
    first = lines[0]
    if size <= LINE_LIMIT_BYTES or (size == len(first) and first.endswith(b"\r")):
        size = 0
        if number == 1 and first.startswith(_BYTE_ORDER_MARK):
            first = first[len(_BYTE_ORDER_MARK) :]
    else:
        first = first[:KEPT_BYTES]
    lines[0] = first
    return Block(number, lines, size)
