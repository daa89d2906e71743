"""Plain lines of JSON, which nearly all rows are, read by compiled code.

A line is plain when it is one object whose keys are columns of the event schema, each at most once, and whose values
are strings without escapes, whole numbers of at most 18 digits, or null, each where the column can hold it. Any other
line is left to `billing.sources.files.ndjson.parse`, which says what JSON means; a plain line means the same to both.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from billing.events.coded_texts import CODED_COLUMNS
from billing.events.keys import eight_letters, four_letters, letter_at
from billing.events.rows import INTEGER_COLUMNS
from billing.events.schema import EVENT_SCHEMA
from billing.numba_cache import compiled, inlined
from billing.sources.files.value_tables import Tables, code_of, kept, view_of

Letters = NDArray[np.uint8]

COLUMNS = tuple(EVENT_SCHEMA)
TEXTS = ["at", *(name for name in COLUMNS if name not in CODED_COLUMNS and name not in INTEGER_COLUMNS)]
NUMBERS = ["at", *(name for name in INTEGER_COLUMNS if name != "at")]
# Lengths, or numbers of values, that are none.
ABSENT, NUMBER = -1, -2
# What the value of a column may be, beside null.
_TEXT, _INTEGER, _EITHER, _INTEGER_AS_TEXT = range(4)
_MOST_DIGITS = 18
_CLEARED_ROWS = 1000
_NAME_BYTES = 16
_QUOTE, _BACKSLASH, _MINUS, _ZERO, _NINE = b'"\\-09'
_OPEN, _CLOSE, _COLON, _COMMA = b"{}:,"
_TAB, _LINE_END, _RETURN, _SPACE = b"\t\n\r "
_ONES, _HIGHS = np.uint64(0x0101010101010101), np.uint64(0x8080808080808080)
# Shifted by so many letters, its highest byte is their number.
_PLACE_OF_LETTER = np.uint64(0x0001020304050607)
_NULL = np.uint64(int.from_bytes(b"null", "little"))


class Rows(NamedTuple):
    """The lines that are rows, in arrays that `read_lines` fills. Blank lines are no rows; a first line that is too
    long is one."""

    numbers: NDArray[np.int64]  # of lines
    begins: NDArray[np.int32]  # in the content of a block
    ends: NDArray[np.int32]
    is_plain: NDArray[np.bool_]
    lengths: NDArray[np.int32]  # by column: of its text, the number of its value in the tables, `ABSENT` or `NUMBER`
    views: NDArray[np.uint64]  # by column of `TEXTS`: Arrow's view of its text
    letters: Letters  # of those texts
    letters_end: NDArray[np.int64]
    integers: NDArray[np.int64]  # by column of `NUMBERS`


class _Columns(NamedTuple):
    """What is known of each column."""

    names: Letters  # each with the quotation mark after it
    name_ends: NDArray[np.int64]
    name_words: NDArray[np.uint64]  # the same as two words of eight letters, with masks of those that count
    kinds: NDArray[np.int64]
    is_coded: NDArray[np.bool_]
    places: NDArray[np.int64]  # among coded columns, texts or numbers; `at`, which may be either, is first of both


def _columns() -> _Columns:
    quoted = [f'{name}"'.encode() for name in COLUMNS]
    words = b"".join(part.ljust(_NAME_BYTES, b"\0") for name in quoted for part in (name, b"\xff" * len(name)))
    kinds = {"at": _EITHER, "room_id": _INTEGER_AS_TEXT}
    groups = [next(group for group in (CODED_COLUMNS, NUMBERS, TEXTS) if name in group) for name in COLUMNS]
    return _Columns(
        names=np.frombuffer(b"".join(quoted), np.uint8),
        name_ends=np.cumsum([0, *map(len, quoted)]),
        name_words=np.frombuffer(words, "<u8").reshape(len(COLUMNS), 4),
        kinds=np.array([kinds.get(name, _INTEGER if name in INTEGER_COLUMNS else _TEXT) for name in COLUMNS]),
        is_coded=np.array([name in CODED_COLUMNS for name in COLUMNS]),
        places=np.array([group.index(name) for group, name in zip(groups, COLUMNS, strict=True)]),
    )


COLUMN_FACTS = _columns()


@compiled
def read_lines(
    content: Letters,
    begin: int,
    number: int,
    has_long_line: bool,
    is_utf8: bool,
    columns: _Columns,
    row: int,
    rows: Rows,
    tables: Tables,
) -> tuple[int, int, int]:
    """Fills the rows from `row` on with the lines of a block from `begin` on, of which the first has this number, until
    the lines or the rows end; where it stopped: `begin`, `number` and `row`.

    In `tables` are the values of coded columns.
    """
    size = len(content)
    while begin <= size and row < len(rows.numbers):
        if row % _CLEARED_ROWS == 0:
            _clear(rows, row)
        is_long = has_long_line and begin == 0
        is_plain, seen, column = False, 0, -1
        at = _skip(content, begin, size)
        at = _skip(content, at + 1, size) if at < size and letter_at(content, at) == _OPEN else size
        while at < size and letter_at(content, at) == _QUOTE:
            column = _column_of(content, at + 1, column + 1, columns)
            if column < 0 or (seen >> column) & 1:
                break
            seen |= 1 << column
            at = _skip(content, at + 1 + columns.name_ends[column + 1] - columns.name_ends[column], size)
            if at == size or letter_at(content, at) != _COLON:
                break
            at = _skip(content, at + 1, size)
            if at == size:
                break
            if letter_at(content, at) == _QUOTE:
                start = at + 1
                at = _end_of_text(content, start, size, is_utf8)
                if at < 0 or columns.kinds[column] == _INTEGER:
                    break
                first, others = view_of(content, start, at - start)
                if columns.is_coded[column]:
                    rows.lengths[column, row] = code_of(tables, columns.places[column], content, first, others)
                else:
                    place, rows.lengths[column, row] = columns.places[column], at - start
                    others = kept(rows.letters, rows.letters_end, content, first, others)
                    rows.views[place, row, 0], rows.views[place, row, 1] = first, others
                at += 1
            elif at + 4 <= size and four_letters(content, at) == _NULL:
                at += 4
            else:
                start = at
                at, value = _integer(content, start, size)
                if at < 0 or columns.kinds[column] == _TEXT:
                    break
                if columns.kinds[column] == _INTEGER_AS_TEXT:
                    if value == 0 and letter_at(content, start) == _MINUS:  # -0 is 0
                        break
                    first, others = view_of(content, start, at - start)
                    rows.lengths[column, row] = code_of(tables, columns.places[column], content, first, others)
                else:
                    rows.integers[columns.places[column], row], rows.lengths[column, row] = value, NUMBER
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
            rows.numbers[row], rows.begins[row], rows.is_plain[row] = number, begin, is_plain
            rows.ends[row] = end - 1 if end > begin and letter_at(content, end - 1) == _RETURN else end
            row += 1
        begin, number = end + 1, number + 1
    return begin, number, row


@inlined
def _clear(rows: Rows, row: int) -> None:
    """Makes the next rows absent, all columns."""
    end = min(row + _CLEARED_ROWS, len(rows.numbers))
    for column in range(len(rows.lengths)):
        for at in range(row, end):
            rows.lengths[column, at] = ABSENT
    for place in range(len(rows.views)):
        for at in range(row, end):
            rows.views[place, at, 0] = rows.views[place, at, 1] = 0
    for place in range(len(rows.integers)):
        for at in range(row, end):
            rows.integers[place, at] = 0


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
def _column_of(content: Letters, at: int, likely: int, columns: _Columns) -> int:
    """The column whose name stands here; -1: there is none. Columns come mostly in the same order."""
    words, ends = columns.name_words, columns.name_ends
    count = len(words)
    column = likely if likely < count else 0
    for _ in range(count):
        if at + _NAME_BYTES <= len(content):
            differs = (eight_letters(content, at) ^ words[column, 0]) & words[column, 2]
            differs |= (eight_letters(content, at + 8) ^ words[column, 1]) & words[column, 3]
            if differs == 0:
                return column
        else:
            place, end = ends[column], ends[column + 1]
            here = at - place
            while place < end and here + place < len(content) and content[here + place] == columns.names[place]:
                place += 1
            if place == end:
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
