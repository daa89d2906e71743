"""Lines of a text file, in blocks of bounded size.

A line ends at LF. One of more than 1 MiB (its line end, LF or CR LF, aside) is too long: it is counted, but only
its beginning is ever held. A UTF-8 byte order mark before the first line is dropped.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from billing.events.rows import LINE_LIMIT_BYTES

BLOCK_BYTES = LINE_LIMIT_BYTES
KEPT_BYTES = 4096  # of a line that is too long
_COUNTED_BYTES = 128 << 10
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Block(NamedTuple):
    """Consecutive lines, with the LF between them but not the last. Of the first line only the beginning is here when
    `long_bytes` is not 0."""

    first: int  # number of the first line, from 1
    content: bytes
    size: int  # how many lines there are
    long_bytes: int  # 0, or the length of a first line that is too long

    @property
    def lines(self) -> list[bytes]:
        """The lines without their LF."""
        return self.content.split(b"\n")


def line_blocks(chunks: Iterable[bytes], *, most_bytes: int = 0, most_lines: int = 0) -> Iterator[Block]:
    """Bytes in pieces of at most `BLOCK_BYTES`, as blocks of lines. A block ends with the piece that brings it to one
    of these sizes. Only the first line of a block can be too long."""
    held: list[_Piece] = []
    size = lines = 0
    for piece in _pieces(chunks):
        if held and (piece.long_bytes or size >= most_bytes or lines >= most_lines):
            yield _block(held)
            held, size, lines = [], 0, 0
        held.append(piece)
        size += len(piece.first) + len(piece.others)
        lines += piece.size
    if held:
        yield _block(held)


def too_long(size: int) -> tuple[str, str]:
    """Reason and detail of a line that has `size` bytes."""
    return "too_long", f"the line has {size:,} bytes; at most {LINE_LIMIT_BYTES:,} are read"


class _Piece(NamedTuple):
    """The lines that end in one piece of a file, where they stand in memory."""

    number: int  # of the first line
    first: bytes
    others: memoryview  # begins with the LF of the first line, if it is not empty
    size: int  # how many lines there are
    long_bytes: int  # 0, or the length of a first line that is too long


def _pieces(chunks: Iterable[bytes]) -> Iterator[_Piece]:
    number, kept, size = 1, b"", 0  # the line that has not ended yet: what is held of it, and its length so far
    for chunk in chunks:
        end = chunk.find(b"\n")
        head = chunk if end < 0 else chunk[:end]
        size += len(head)
        kept += head[: LINE_LIMIT_BYTES + 1 - len(kept)]
        if end >= 0:
            last = chunk.rfind(b"\n")
            piece = _piece(number, kept, memoryview(chunk)[end:last], size)
            yield piece
            number += piece.size
            kept = chunk[last + 1 :]
            size = len(kept)
    if size:
        yield _piece(number, kept, memoryview(b""), size)


def _piece(number: int, first: bytes, others: memoryview, size: int) -> _Piece:
    if size <= LINE_LIMIT_BYTES or (size == len(first) and first.endswith(b"\r")):
        size = 0
        if number == 1 and first.startswith(_BYTE_ORDER_MARK):
            first = first[len(_BYTE_ORDER_MARK) :]
    else:
        first = first[:KEPT_BYTES]
    return _Piece(number, first, others, _line_ends(others) + 1, size)


def _line_ends(content: memoryview) -> int:
    """How many there are; numpy counts faster than `bytes`, in pieces that stay in the cache."""
    letters = np.frombuffer(content, np.uint8)
    pieces = (letters[at : at + _COUNTED_BYTES] for at in range(0, len(letters), _COUNTED_BYTES))
    return sum(int(np.count_nonzero(piece == ord("\n"))) for piece in pieces)


def _block(pieces: Sequence[_Piece]) -> Block:
    """The lines of pieces, copied once."""
    parts = [part for piece in pieces for part in (b"\n", piece.first, piece.others)]
    size = sum(piece.size for piece in pieces)
    return Block(pieces[0].number, b"".join(parts[1:]), size, pieces[0].long_bytes)
