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

from billing.events.arrow_arrays import series_of, validity
from billing.events.coded_texts import CODED_COLUMNS, CodedRows
from billing.events.keys import eight_letters, four_letters, letter_at
from billing.events.rows import INTEGER_COLUMNS, ROW_SCHEMA
from billing.events.schema import EVENT_SCHEMA
from billing.numba_cache import compiled, inlined
from billing.sources.files.lines import Block
from billing.sources.files.value_tables import Tables, ValueTables, code_of, view_of

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
_IS_CODED = np.array([name in CODED_COLUMNS for name in _COLUMNS])
_UNCODED = ["at", *(name for name in _COLUMNS if name not in CODED_COLUMNS and name not in INTEGER_COLUMNS)]
_NUMBERS = ["at", *(name for name in INTEGER_COLUMNS if name != "at")]
# Where the texts or numbers of a column are; of `at`, which may be either, both.
_PLACES = np.array([(_NUMBERS if name in _NUMBERS else [*_UNCODED, name]).index(name) for name in _COLUMNS])
# Names, each with the quotation mark after it; and as two words of eight letters, with masks of those that count.
_QUOTED = [f'{name}"'.encode() for name in _COLUMNS]
_NAMES, _NAME_ENDS = np.frombuffer(b"".join(_QUOTED), np.uint8), np.cumsum([0, *map(len, _QUOTED)])
_NAME_BYTES = 16
_NAME_WORDS = np.frombuffer(
    b"".join(part.ljust(_NAME_BYTES, b"\0") for name in _QUOTED for part in (name, b"\xff" * len(name))), "<u8"
).reshape(len(_COLUMNS), 4)
_MOST_DIGITS = 18
# Lengths, or numbers of values, that are none.
_ABSENT, _NUMBER = -1, -2
_QUOTE, _BACKSLASH, _MINUS, _ZERO, _NINE = b'"\\-09'
_OPEN, _CLOSE, _COLON, _COMMA = b"{}:,"
_TAB, _LINE_END, _RETURN, _SPACE = b"\t\n\r "
_ONES, _HIGHS = np.uint64(0x0101010101010101), np.uint64(0x8080808080808080)
# Shifted by so many letters, its highest byte is their number.
_PLACE_OF_LETTER = np.uint64(0x0001020304050607)
_NULL = np.uint64(int.from_bytes(b"null", "little"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """The lines of a block that are rows: their numbers, where each begins and ends, and whether it is plain. Blank
    lines are no rows; a first line that is too long is one."""

    numbers: NDArray[np.int64]
    begins: NDArray[np.int32]
    ends: NDArray[np.int32]
    plain: NDArray[np.bool_]


def value_tables() -> ValueTables:
    """For the lines of one file."""
    return ValueTables(len(_COLUMNS))


def read_plain(block: Block, tables: ValueTables) -> tuple[Lines, CodedRows]:
    """All lines, and the plain ones in `ROW_SCHEMA`, in their order, with coded texts."""
    content, size = _letters(block.content), block.size
    lines = Lines(
        numbers=np.empty(size, np.int64),
        begins=np.empty(size, np.int32),
        ends=np.empty(size, np.int32),
        plain=np.zeros(size, np.bool_),
    )
    lengths = np.full((len(_COLUMNS), size), _ABSENT, np.int32)
    views, numbers = np.zeros((len(_UNCODED), size, 2), np.uint64), np.zeros((len(_NUMBERS), size), np.int64)
    found = tables.emptied(size, len(content))
    names = _NAMES, _NAME_ENDS, _NAME_WORDS
    count = _read_lines(
        content, block.first, block.long_bytes > 0, _is_utf8(block.content), *names, _KINDS, _IS_CODED, _PLACES,
        lines.numbers, lines.begins, lines.ends, lines.plain, views, lengths, numbers, found,
    )  # fmt: skip
    frame = _frame(content, lines.numbers[:count], views[:, :count], lengths[:, :count], numbers[:, :count])
    lines = Lines(**{name: getattr(lines, name)[:count] for name in ("numbers", "begins", "ends", "plain")})
    plain = frame if lines.plain.all() else frame.filter(pl.Series(lines.plain))
    return lines, CodedRows(frame=plain, values=_values(found))


def _frame(
    content: Letters,
    line_numbers: NDArray[np.int64],
    views: NDArray[np.uint64],
    lengths: NDArray[np.int32],
    numbers: NDArray[np.int64],
) -> pl.DataFrame:
    columns = {"row": pl.Series(line_numbers), "line": pl.Series(line_numbers)}
    for place, name in enumerate(_COLUMNS):
        if _IS_CODED[place]:
            columns[name] = _codes(lengths[place])
        if name in _NUMBERS:
            columns[name] = _integers(numbers[_PLACES[place]], lengths[place])
        if name in _UNCODED:
            texts = _texts(content, views[_PLACES[place]], lengths[place] >= 0)
            columns["at_text" if name == "at" else name] = texts
    frame = pl.DataFrame(columns).with_columns(
        pl.lit(None, dtype).alias(name) for name, dtype in ROW_SCHEMA.items() if name not in columns
    )
    return frame.select(*ROW_SCHEMA)


def _values(tables: Tables) -> dict[str, pl.Series]:
    """The values of each coded column. They are copied, because the tables are used again."""
    letters = tables.letters[: tables.ends[0]].copy()
    counts = zip(_COLUMNS, tables.counts, strict=True)
    views = {name: tables.views[place, :count].copy() for place, (name, count) in enumerate(counts)}
    return {name: _texts(letters, views[name]) for name in CODED_COLUMNS}


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


def _texts(content: Letters, views: NDArray[np.uint64], present: NDArray[np.bool_] | None = None) -> pl.Series:
    """The texts where they stand, without a copy: Arrow's views of the content."""
    if present is not None and not present.any():
        return pl.Series([None], dtype=pl.String).new_from_index(0, len(views))
    buffers = [validity(present), pa.py_buffer(views), pa.py_buffer(content)]
    return series_of(pa.Array.from_buffers(pa.string_view(), len(views), buffers))


def _codes(codes: NDArray[np.int32]) -> pl.Series:
    buffers = [validity(codes >= 0), pa.py_buffer(np.maximum(codes, 0))]  # below a null no number out of bounds
    return series_of(pa.Array.from_buffers(pa.uint32(), len(codes), buffers))


def _integers(numbers: NDArray[np.int64], lengths: NDArray[np.int32]) -> pl.Series:
    column, present = pl.Series(numbers), lengths == _NUMBER
    if present.all():
        return column
    return column.to_frame("number").select(pl.when(pl.Series(present)).then("number")).to_series()


@compiled
def _read_lines(
    content: Letters,
    first_number: int,
    has_long_line: bool,
    is_utf8: bool,
    names: Letters,
    name_ends: NDArray[np.int64],
    name_words: NDArray[np.uint64],
    kinds: NDArray[np.int64],
    is_coded: NDArray[np.bool_],
    places: NDArray[np.int64],
    line_numbers: NDArray[np.int64],
    begins: NDArray[np.int32],
    ends: NDArray[np.int32],
    plain: NDArray[np.bool_],
    views: NDArray[np.uint64],
    lengths: NDArray[np.int32],
    numbers: NDArray[np.int64],
    tables: Tables,
) -> int:
    """Fills, for each row, its number and place, and whether it is plain; for each column the view and the length of
    its text, or its number, or instead of the length the number of its value in `tables`. The number of rows."""
    size = len(content)
    row, begin, number = 0, 0, first_number
    while begin <= size and row < len(begins):
        is_long = has_long_line and number == first_number
        is_plain, seen, column = False, 0, -1
        at = _skip(content, begin, size)
        at = _skip(content, at + 1, size) if at < size and letter_at(content, at) == _OPEN else size
        while at < size and letter_at(content, at) == _QUOTE:
            column = _column_of(content, at + 1, column + 1, names, name_ends, name_words)
            if column < 0 or (seen >> column) & 1:
                break
            seen |= 1 << column
            at = _skip(content, at + 1 + name_ends[column + 1] - name_ends[column], size)
            if at == size or letter_at(content, at) != _COLON:
                break
            at = _skip(content, at + 1, size)
            if at == size:
                break
            if letter_at(content, at) == _QUOTE:
                start = at + 1
                at = _end_of_text(content, start, size, is_utf8)
                if at < 0 or kinds[column] == _INTEGER:
                    break
                first, others = view_of(content, start, at - start)
                if is_coded[column]:
                    lengths[column, row] = code_of(tables, column, content, first, others)
                else:
                    lengths[column, row] = at - start
                    views[places[column], row, 0], views[places[column], row, 1] = first, others
                at += 1
            elif at + 4 <= size and four_letters(content, at) == _NULL:
                at += 4
            else:
                start = at
                at, value = _integer(content, start, size)
                if at < 0 or kinds[column] == _TEXT:
                    break
                if kinds[column] == _INTEGER_AS_TEXT:
                    if value == 0 and letter_at(content, start) == _MINUS:  # -0 is 0
                        break
                    first, others = view_of(content, start, at - start)
                    lengths[column, row] = code_of(tables, column, content, first, others)
                else:
                    numbers[places[column], row], lengths[column, row] = value, _NUMBER
            at = _skip(content, at, size)
            if at == size:
                break
            if letter_at(content, at) == _CLOSE:
                at = _skip(content, at + 1, size)
                is_plain = not is_long and (at == size or letter_at(content, at) == _LINE_END)
                break
            if letter_at(content, at) != _COMMA:
                break
            at = _skip(content, at + 1, size)
        # A line that is not plain was left somewhere on the way: nothing above goes past the end of a line.
        end = at if is_plain else _end_of_line(content, begin, size)
        if is_plain or is_long or not _is_blank(content, begin, end):
            line_numbers[row], begins[row], plain[row] = number, begin, is_plain
            ends[row] = end - 1 if end > begin and letter_at(content, end - 1) == _RETURN else end
            row += 1
        begin, number = end + 1, number + 1
    return row


@inlined
def _end_of_line(content: Letters, at: int, size: int) -> int:
    while at < size and letter_at(content, at) != _LINE_END:
        at += 1
    return at


@inlined
def _is_blank(content: Letters, at: int, end: int) -> bool:
    while at < end and (letter_at(content, at) == _SPACE or _TAB <= letter_at(content, at) <= _RETURN):
        at += 1
    return bool(at == end)


@inlined
def _skip(content: Letters, at: int, end: int) -> int:
    """Past JSON's white space."""
    while at < end:
        letter = letter_at(content, at)
        if letter != _SPACE and letter != _TAB and letter != _RETURN:
            break
        at += 1
    return at


@inlined
def _end_of_text(content: Letters, at: int, end: int, is_utf8: bool) -> int:
    """The place of the closing quotation mark; -1: there is none, or the text is not plain."""
    while at + 8 <= end:
        stops = _stops(eight_letters(content, at), is_utf8)
        if stops != 0:
            at += _first_of(stops)
            return at if letter_at(content, at) == _QUOTE else -1
        at += 8
    while at < end:
        letter = letter_at(content, at)
        if letter == _QUOTE:
            return at
        if letter == _BACKSLASH or letter < _SPACE or (letter > 127 and not is_utf8):
            return -1
        at += 1
    return -1


@inlined
def _stops(word: np.uint64, is_utf8: bool) -> np.uint64:
    """0 when eight letters are plain: no quote, backslash or control character (and no letter beyond ASCII). The lowest
    bit is that of the first one that is not; those above may be wrong."""
    quote, backslash = word ^ (_ONES * np.uint64(_QUOTE)), word ^ (_ONES * np.uint64(_BACKSLASH))
    found = (quote - _ONES) & ~quote
    found |= (backslash - _ONES) & ~backslash
    found |= (word - _ONES * np.uint64(_SPACE)) & ~word
    return (found if is_utf8 else found | word) & _HIGHS


@inlined
def _first_of(stops: np.uint64) -> int:
    """Which of eight letters has the lowest bit."""
    lowest = stops & (~stops + np.uint64(1))
    return int(((lowest >> np.uint64(7)) * _PLACE_OF_LETTER) >> np.uint64(56))


@inlined
def _column_of(
    content: Letters,
    at: int,
    likely: int,
    names: Letters,
    name_ends: NDArray[np.int64],
    name_words: NDArray[np.uint64],
) -> int:
    """The column whose name stands here; -1: there is none. Columns come mostly in the same order."""
    count = len(name_words)
    column = likely if likely < count else 0
    for _ in range(count):
        if at + _NAME_BYTES <= len(content):
            differs = (eight_letters(content, at) ^ name_words[column, 0]) & name_words[column, 2]
            differs |= (eight_letters(content, at + 8) ^ name_words[column, 1]) & name_words[column, 3]
            if differs == 0:
                return column
        else:
            same, begin, length = 0, name_ends[column], name_ends[column + 1] - name_ends[column]
            while same < length and at + same < len(content) and letter_at(content, at + same) == names[begin + same]:
                same += 1
            if same == length:
                return column
        column = column + 1 if column + 1 < count else 0
    return -1


@inlined
def _integer(content: Letters, at: int, end: int) -> tuple[int, int]:
    """The place after a whole number of at most 18 digits, and its value; a place of -1: it is something else."""
    sign = 1
    if letter_at(content, at) == _MINUS:
        sign, at = -1, at + 1
    begin, value = at, 0
    while at < end and _ZERO <= letter_at(content, at) <= _NINE:
        value = value * 10 + (letter_at(content, at) - _ZERO)
        at += 1
        if at - begin > _MOST_DIGITS:
            return -1, 0
    if at == begin or (letter_at(content, begin) == _ZERO and at - begin > 1):
        return -1, 0
    return at, sign * value
