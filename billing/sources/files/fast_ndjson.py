"""Batches of lines of JSON: the plain ones as columns, all at once; of the others, where they stand.

The blocks of a file are read one by one, while they are in the processor's cache. A batch has one table of values for
all of its blocks, and the texts that are no values are copied next to each other: to look for them later, row by row
in the order of rooms, in all that was read would miss the cache for each.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from billing.events.arrow_arrays import series_of, validity
from billing.events.coded_texts import CODED_COLUMNS, CodedRows
from billing.events.rows import ROW_SCHEMA
from billing.sources.files.lines import CHUNK_BYTES, Block
from billing.sources.files.plain_lines import COLUMN_FACTS, COLUMNS, NUMBER, NUMBERS, TEXTS, Rows, read_lines
from billing.sources.files.value_tables import Tables, empty, value_tables

BATCH_ROWS, BATCH_BYTES = 250_000, 64 << 20
_MOST_BYTES = BATCH_BYTES + 2 * CHUNK_BYTES  # with the block that brings it to that size
_ASCII = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """The lines of a batch that are rows, in the order of the file."""

    numbers: NDArray[np.int64]
    is_plain: NDArray[np.bool_]
    long_bytes: int  # 0, or the length of the first line when it is too long
    contents: list[bytes]  # of the blocks
    first_rows: list[int]  # of each block
    begins: NDArray[np.int32]
    ends: NDArray[np.int32]

    def text(self, position: int) -> bytes:
        """A line without its line end."""
        block = bisect_right(self.first_rows, position) - 1
        return self.contents[block][self.begins[position] : self.ends[position]]


def plain_rows(blocks: Iterable[Block]) -> Iterator[tuple[Lines, CodedRows]]:
    """The lines of a file in batches, and those that are plain in `ROW_SCHEMA`, with coded texts."""
    memory = _Memory()
    batch, number = _Batch(memory), 1
    for block in blocks:
        if batch.size and (block.long_bytes or batch.held_bytes >= BATCH_BYTES):
            yield batch.finished()
            batch = _Batch(memory)
        begin = 0
        while begin <= len(block.content):
            if batch.size == BATCH_ROWS:
                yield batch.finished()
                batch = _Batch(memory)
            begin, number = batch.add(block, begin, number)
    if batch.size:
        yield batch.finished()


@dataclass(slots=True)
class _Memory:
    """What one batch after the other uses: new memory costs as much as to fill it."""

    lengths: NDArray[np.int32] = field(default_factory=lambda: np.empty((len(COLUMNS), BATCH_ROWS), np.int32))
    tables: Tables = field(default_factory=lambda: value_tables(len(CODED_COLUMNS), BATCH_ROWS, _MOST_BYTES))


class _Batch:
    """A batch that is being read."""

    def __init__(self, memory: _Memory) -> None:
        self.size = self.held_bytes = self._long_bytes = 0
        self._contents: list[bytes] = []
        self._first_rows: list[int] = []
        self._tables = memory.tables
        empty(self._tables)
        self._rows = Rows(
            numbers=np.empty(BATCH_ROWS, np.int64),
            begins=np.empty(BATCH_ROWS, np.int32),
            ends=np.empty(BATCH_ROWS, np.int32),
            is_plain=np.empty(BATCH_ROWS, np.bool_),
            lengths=memory.lengths,
            views=np.empty((len(TEXTS), BATCH_ROWS, 2), np.uint64),
            letters=np.empty(_MOST_BYTES, np.uint8),
            letters_end=np.zeros(1, np.int64),
            integers=np.empty((len(NUMBERS), BATCH_ROWS), np.int64),
        )

    def add(self, block: Block, begin: int, number: int) -> tuple[int, int]:
        """Takes the lines of a block from `begin`, where the line `number` begins; where it stopped, because the block
        ended or the batch is full."""
        letters, first = np.frombuffer(block.content, np.uint8), self.size
        has_long_line, is_utf8 = block.long_bytes > 0, _is_utf8(block.content, letters)
        end, following, self.size = read_lines(
            letters, begin, number, has_long_line, is_utf8, COLUMN_FACTS, first, self._rows, self._tables
        )
        if self.size > first:
            self._contents.append(block.content)
            self._first_rows.append(first)
            self.held_bytes += len(block.content)
            self._long_bytes = self._long_bytes or (block.long_bytes if begin == 0 else 0)
        return end, following

    def finished(self) -> tuple[Lines, CodedRows]:
        """All lines, and the plain ones in `ROW_SCHEMA`, in their order, with coded texts."""
        rows, size = self._rows, self.size
        lines = Lines(
            numbers=rows.numbers[:size],
            is_plain=rows.is_plain[:size],
            long_bytes=self._long_bytes,
            contents=self._contents,
            first_rows=self._first_rows,
            begins=rows.begins[:size],
            ends=rows.ends[:size],
        )
        frame = self._frame()
        plain = frame if lines.is_plain.all() else frame.filter(pl.Series(lines.is_plain))
        return lines, CodedRows(frame=plain, values=_values(self._tables))

    def _frame(self) -> pl.DataFrame:
        rows, size = self._rows, self.size
        numbers = _integers(rows.numbers[:size])
        columns = {"row": numbers, "line": numbers}
        for name, lengths in zip(COLUMNS, rows.lengths[:, :size], strict=True):
            if name in CODED_COLUMNS:
                columns[name] = _codes(lengths)
            if name in NUMBERS:
                columns[name] = _integers(rows.integers[NUMBERS.index(name), :size], lengths == NUMBER)
            if name in TEXTS:
                texts = _texts(rows.letters, rows.views[TEXTS.index(name), :size], lengths >= 0)
                columns["at_text" if name == "at" else name] = texts
        frame = pl.DataFrame(columns).with_columns(
            pl.lit(None, dtype).alias(name) for name, dtype in ROW_SCHEMA.items() if name not in columns
        )
        return frame.select(*ROW_SCHEMA)


def _values(tables: Tables) -> dict[str, pl.Series]:
    """The values of each coded column. They are copied, because the tables are used again."""
    letters = tables.letters[: tables.ends[0]].copy()
    counts = zip(CODED_COLUMNS, tables.counts, strict=True)
    return {name: _texts(letters, tables.views[place, :count].copy()) for place, (name, count) in enumerate(counts)}


def _is_utf8(content: bytes, letters: NDArray[np.uint8]) -> bool:
    if letters.max(initial=0) < _ASCII:
        return True
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _texts(
    letters: NDArray[np.uint8], views: NDArray[np.uint64], present: NDArray[np.bool_] | None = None
) -> pl.Series:
    """The texts of Arrow's views, where they stand among the letters."""
    if present is not None and not present.any():
        return pl.Series([None], dtype=pl.String).new_from_index(0, len(views))
    buffers = [validity(present), pa.py_buffer(views), pa.py_buffer(letters)]
    return series_of(pa.Array.from_buffers(pa.string_view(), len(views), buffers))


def _codes(codes: NDArray[np.int32]) -> pl.Series:
    buffers = [validity(codes >= 0), pa.py_buffer(np.maximum(codes, 0))]  # below a null no number out of bounds
    return series_of(pa.Array.from_buffers(pa.uint32(), len(codes), buffers))


def _integers(numbers: NDArray[np.int64], present: NDArray[np.bool_] | None = None) -> pl.Series:
    return series_of(pa.Array.from_buffers(pa.int64(), len(numbers), [validity(present), pa.py_buffer(numbers)]))
