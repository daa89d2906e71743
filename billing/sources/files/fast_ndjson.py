"""Plain lines of JSON, which nearly all rows are, read by compiled code.

A line is plain when it is one object whose keys are columns of the event schema, each at most once, and whose values
are strings without escapes, whole numbers of at most 18 digits, or null, each where the column can hold it. Any other
line is left to `billing.sources.files.ndjson.parse`, which says what JSON means; a plain line means the same to both.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from billing.events.keys import eight_letters, four_letters
from billing.events.rows import INTEGER_COLUMNS, ROW_SCHEMA
from billing.events.schema import EVENT_SCHEMA
from billing.numba_cache import compiled, inlined
from billing.sources.files.lines import Block

Letters = NDArray[np.uint8]

_COLUMNS = tuple(EVENT_SCHEMA)
# What the value of a column may be, beside null.
_TEXT, _INTEGER, _EITHER, _INTEGER_AS_TEXT = range(4)
_KINDS = np.array(
    [
        {"at": _EITHER, "room_id": _INTEGER_AS_TEXT}.get(name, _INTEGER if name in INTEGER_COLUMNS else _TEXT)
        for name in _COLUMNS
    ]
)
_NAMES = np.frombuffer("".join(_COLUMNS).encode(), np.uint8)
_NAME_ENDS = np.cumsum([0, *map(len, _COLUMNS)])
_MOST_DIGITS = 18
_INLINE, _PREFIX = 12, 4  # of Arrow's views of texts
# Lengths that are none.
_ABSENT, _NUMBER = -1, -2
_QUOTE, _BACKSLASH, _MINUS, _ZERO, _NINE = b'"\\-09'
_OPEN, _CLOSE, _COLON, _COMMA = b"{}:,"
_TAB, _LINE_END, _RETURN, _SPACE = b"\t\n\r "
_ONES, _HIGHS = np.uint64(0x0101010101010101), np.uint64(0x8080808080808080)
_NULL = np.frombuffer(b"null", np.uint8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """The lines of a block that are not blank: their numbers, and where each begins and ends in its content."""

    numbers: NDArray[np.int64]
    begins: NDArray[np.int32]
    ends: NDArray[np.int32]


def rows_of(block: Block) -> Lines:
    """The lines that are rows; a first line that is too long is one."""
    content, size = _letters(block.content), block.size
    line_ends = np.append(np.flatnonzero(content == _LINE_END), len(content))
    numbers, begins, ends = np.empty(size, np.int64), np.empty(size, np.int32), np.empty(size, np.int32)
    count = _find_rows(content, line_ends, block.long_bytes > 0, numbers, begins, ends)
    return Lines(numbers=numbers[:count] + block.first, begins=begins[:count], ends=ends[:count])


def read_plain(block: Block, lines: Lines) -> tuple[pl.DataFrame, NDArray[np.bool_]]:
    """The plain lines in `ROW_SCHEMA`, in their order, and which of the lines they are."""
    content, count = _letters(block.content), len(lines.numbers)
    plain = np.zeros(count, np.bool_)
    starts = np.empty((len(_COLUMNS), count), np.int32)
    lengths = np.full((len(_COLUMNS), count), _ABSENT, np.int32)
    numbers = np.zeros((len(_COLUMNS), count), np.int64)
    _read_rows(
        content, lines.begins, lines.ends, _is_utf8(block.content), _NAMES, _NAME_ENDS, _KINDS, _NULL,
        plain, starts, lengths, numbers,
    )  # fmt: skip
    if block.long_bytes:
        plain[0] = False
    columns = {"row": pl.Series(lines.numbers), "line": pl.Series(lines.numbers)}
    for place, name in enumerate(_COLUMNS):
        if _KINDS[place] != _INTEGER:
            texts = _texts(content, starts[place], lengths[place])
            columns["at_text" if _KINDS[place] == _EITHER else name] = texts
        if ROW_SCHEMA[name] == pl.Int64:
            columns[name] = _integers(numbers[place], lengths[place])
    frame = pl.DataFrame(columns).with_columns(
        pl.lit(None, dtype).alias(name) for name, dtype in ROW_SCHEMA.items() if name not in columns
    )
    frame = frame.select(*ROW_SCHEMA)
    return frame if plain.all() else frame.filter(pl.Series(plain)), plain


def _letters(content: bytes) -> Letters:
    return np.frombuffer(content, np.uint8)


def _is_utf8(content: bytes) -> bool:
    if content.isascii():
        return True
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _texts(content: Letters, starts: NDArray[np.int32], lengths: NDArray[np.int32]) -> pl.Series:
    """The texts where they stand: as views of the content, without a copy."""
    present = lengths >= 0
    if not present.any():
        return pl.Series([None], dtype=pl.String).new_from_index(0, len(lengths))
    views = np.zeros((len(lengths), 4), np.uint32)
    _view(content, starts, lengths, views.view(np.uint8), views)
    validity = None if present.all() else pa.py_buffer(np.packbits(present, bitorder="little"))
    buffers = [validity, pa.py_buffer(views), pa.py_buffer(content)]
    return pl.Series(pa.Array.from_buffers(pa.string_view(), len(lengths), buffers))


def _integers(numbers: NDArray[np.int64], lengths: NDArray[np.int32]) -> pl.Series:
    column, present = pl.Series(numbers), lengths == _NUMBER
    if present.all():
        return column
    return column.to_frame("number").select(pl.when(pl.Series(present)).then("number")).to_series()


@compiled
def _find_rows(
    content: Letters,
    line_ends: NDArray[np.int64],
    has_long_line: bool,
    numbers: NDArray[np.int64],
    begins: NDArray[np.int32],
    ends: NDArray[np.int32],
) -> int:
    """Fills the place of each row, numbered from 0; the number of rows."""
    found = begin = 0
    for number in range(len(line_ends)):
        end = line_ends[number]
        at = begin
        while at < end and (content[at] == _SPACE or _TAB <= content[at] <= _RETURN):
            at += 1
        if at < end or (has_long_line and number == 0):
            numbers[found], begins[found] = number, begin
            ends[found] = end - 1 if content[end - 1] == _RETURN else end
            found += 1
        begin = end + 1
    return found


@compiled
def _read_rows(
    content: Letters,
    begins: NDArray[np.int32],
    ends: NDArray[np.int32],
    is_utf8: bool,
    names: Letters,
    name_ends: NDArray[np.int64],
    kinds: NDArray[np.int64],
    null: Letters,
    plain: NDArray[np.bool_],
    starts: NDArray[np.int32],
    lengths: NDArray[np.int32],
    numbers: NDArray[np.int64],
) -> None:
    """Fills, for each row, whether it is plain, and for each column where its text begins and how long it is, or its
    number."""
    for row in range(len(begins)):
        end = ends[row]
        at = _skip(content, begins[row], end)
        if at == end or content[at] != _OPEN:
            continue
        at = _skip(content, at + 1, end)
        seen, column = 0, -1
        while at < end and content[at] == _QUOTE:
            name = at + 1
            at = _end_of_text(content, name, end, is_utf8)
            if at < 0:
                break
            column = _column_of(content, name, at - name, column + 1, names, name_ends)
            if column < 0 or (seen >> column) & 1:
                break
            seen |= 1 << column
            at = _skip(content, at + 1, end)
            if at == end or content[at] != _COLON:
                break
            at = _skip(content, at + 1, end)
            if at == end:
                break
            if content[at] == _QUOTE:
                start = at + 1
                at = _end_of_text(content, start, end, is_utf8)
                if at < 0 or kinds[column] == _INTEGER:
                    break
                starts[column, row], lengths[column, row] = start, at - start
                at += 1
            elif content[at] == null[0]:
                if not _is_at(content, at, end, null):
                    break
                at += len(null)
            else:
                start = at
                at, value = _integer(content, start, end)
                if at < 0 or kinds[column] == _TEXT:
                    break
                if kinds[column] == _INTEGER_AS_TEXT:
                    if value == 0 and content[start] == _MINUS:  # -0 is 0
                        break
                    starts[column, row], lengths[column, row] = start, at - start
                else:
                    numbers[column, row], lengths[column, row] = value, _NUMBER
            at = _skip(content, at, end)
            if at == end:
                break
            if content[at] == _CLOSE:
                plain[row] = _skip(content, at + 1, end) == end
                break
            if content[at] != _COMMA:
                break
            at = _skip(content, at + 1, end)


@inlined
def _skip(content: Letters, at: int, end: int) -> int:
    """Past JSON's white space."""
    while at < end and (content[at] == _SPACE or content[at] == _TAB or content[at] == _RETURN):
        at += 1
    return at


@inlined
def _end_of_text(content: Letters, at: int, end: int, is_utf8: bool) -> int:
    """The place of the closing quotation mark; -1: there is none, or the text is not plain."""
    while at + 8 <= end and _stops(eight_letters(content, at), is_utf8) == 0:
        at += 8
    while at < end:
        letter = content[at]
        if letter == _QUOTE:
            return at
        if letter == _BACKSLASH or letter < _SPACE or (letter > 127 and not is_utf8):
            return -1
        at += 1
    return -1


@inlined
def _stops(word: np.uint64, is_utf8: bool) -> np.uint64:
    """0 when eight letters are plain: no quote, backslash or control character (and no letter beyond ASCII)."""
    quote, backslash = word ^ (_ONES * np.uint64(_QUOTE)), word ^ (_ONES * np.uint64(_BACKSLASH))
    found = (quote - _ONES) & ~quote
    found |= (backslash - _ONES) & ~backslash
    found |= (word - _ONES * np.uint64(_SPACE)) & ~word
    return (found if is_utf8 else found | word) & _HIGHS


@inlined
def _column_of(
    content: Letters, start: int, length: int, likely: int, names: Letters, name_ends: NDArray[np.int64]
) -> int:
    """The column with this name; -1: there is none. Columns come mostly in the same order."""
    count = len(name_ends) - 1
    column = likely if likely < count else 0
    for _ in range(count):
        begin = name_ends[column]
        if name_ends[column + 1] - begin == length:
            same = 0
            while same + 4 <= length and four_letters(content, start + same) == four_letters(names, begin + same):
                same += 4
            while same < length and content[start + same] == names[begin + same]:
                same += 1
            if same == length:
                return column
        column = column + 1 if column + 1 < count else 0
    return -1


@inlined
def _is_at(content: Letters, at: int, end: int, word: Letters) -> bool:
    same = 0
    while same < len(word) and at + same < end and content[at + same] == word[same]:
        same += 1
    return bool(same == len(word))


@inlined
def _integer(content: Letters, at: int, end: int) -> tuple[int, int]:
    """The place after a whole number of at most 18 digits, and its value; a place of -1: it is something else."""
    sign = 1
    if content[at] == _MINUS:
        sign, at = -1, at + 1
    begin, value = at, 0
    while at < end and _ZERO <= content[at] <= _NINE:
        value = value * 10 + (content[at] - _ZERO)
        at += 1
        if at - begin > _MOST_DIGITS:
            return -1, 0
    if at == begin or (content[begin] == _ZERO and at - begin > 1):
        return -1, 0
    return at, sign * value


@compiled
def _view(
    content: Letters,
    starts: NDArray[np.int32],
    lengths: NDArray[np.int32],
    letters: NDArray[np.uint8],
    views: NDArray[np.uint32],
) -> None:
    """Fills Arrow's views of texts: the length, then 12 letters at most, or 4 and where in the content it begins."""
    for row in range(len(starts)):
        length, start = lengths[row], starts[row]
        if length >= 0:
            views[row, 0] = length
            for at in range(length if length <= _INLINE else _PREFIX):
                letters[row, 4 + at] = content[start + at]
            if length > _INLINE:
                views[row, 3] = start
