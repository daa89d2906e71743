"""Value tables: the different texts of a column, numbered as they come, so that each row of lines needs a number only.

A table has slots, each free or with the number of a value, and a text is looked for from the slot that its hash names.
Rooms, users and streams come again and again: `u-1, u-2, u-1` are the numbers `0, 1, 0`. Where many hashes fall on the
same slots, a text may get a second number: a file cannot make the search long.

Texts are Arrow's views: the length and 4 letters in one word, then 8 more letters, or, of a text of more than 12
letters, where it begins. The letters of values are kept next to each other, because a look at the place in a file where
a value came first would miss the cache.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from billing.events.keys import eight_letters, four_letters
from billing.numba_cache import inlined

_INLINE, _PREFIX = 12, 4  # letters of a view
FIRST_SLOTS, _GROWTH = 1024, 2
_MOST_STEPS = 32
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_ALL = np.uint64(2**64 - 1)
_HALF, _LOW = np.uint64(32), np.uint64(2**32 - 1)


class Tables(NamedTuple):
    """The tables of all columns. `slots`: half of a hash, and the number of a value and 1, or 0. `sizes`: how many of
    the slots are in use; `counts`: how many values there are; `ends`: the letters of all columns that are kept."""

    slots: NDArray[np.uint64]
    sizes: NDArray[np.int64]
    counts: NDArray[np.int64]
    hashes: NDArray[np.uint64]
    views: NDArray[np.uint64]
    letters: NDArray[np.uint8]
    ends: NDArray[np.int64]


def value_tables(columns: int, rows: int, letters: int) -> Tables:
    """Empty tables for so many rows, with so many letters in all."""
    most = max(FIRST_SLOTS, 1 << (_GROWTH * rows).bit_length())
    return Tables(
        slots=np.zeros((columns, most), np.uint64),
        sizes=np.full(columns, FIRST_SLOTS, np.int64),
        counts=np.zeros(columns, np.int64),
        hashes=np.empty((columns, rows), np.uint64),
        views=np.empty((columns, rows, 2), np.uint64),
        letters=np.empty(letters, np.uint8),
        ends=np.zeros(1, np.int64),
    )


def empty(tables: Tables) -> None:
    """Empties tables for the next rows. Their memory stays: new memory costs as much as to fill it."""
    for column, size in enumerate(tables.sizes):
        tables.slots[column, :size] = 0
    tables.sizes[:], tables.counts[:], tables.ends[:] = FIRST_SLOTS, 0, 0


@inlined
def view_of(content: NDArray[np.uint8], start: int, length: int) -> tuple[np.uint64, np.uint64]:
    """Arrow's view of a text: the length, then 12 letters at most, or 4 and where in the content it begins."""
    first, others = np.uint64(0), np.uint64(0)
    if start + _INLINE <= len(content):
        first, others = four_letters(content, start), eight_letters(content, start + _PREFIX)
    else:
        for at in range(min(length, _PREFIX)):
            first |= np.uint64(content[start + at]) << np.uint64(8 * at)
        for at in range(_PREFIX, min(length, _INLINE)):
            others |= np.uint64(content[start + at]) << np.uint64(8 * (at - _PREFIX))
    if length > _INLINE:
        others = np.uint64(start) << np.uint64(32)
    elif length > _PREFIX:
        others &= _ALL >> np.uint64(8 * (_INLINE - length))
    else:
        others = np.uint64(0)
        first &= (np.uint64(1) << np.uint64(8 * length)) - np.uint64(1)
    return np.uint64(length) | (first << np.uint64(32)), others


@inlined
def code_of(tables: Tables, column: int, content: NDArray[np.uint8], first: np.uint64, others: np.uint64) -> int:
    """The number of the text with this view in the table of a column."""
    mixed = hash_of(content, first, others)
    mask = np.uint64(tables.sizes[column] - 1)
    slot = mixed & mask
    for _ in range(_MOST_STEPS):
        held = tables.slots[column, slot]
        if held == 0:
            break
        if (held ^ mixed) >> _HALF == 0:
            code = int(held & _LOW) - 1
            view_first, view_others = tables.views[column, code, 0], tables.views[column, code, 1]
            if first == view_first and _is_same(content, first, others, tables.letters, view_others):
                return code
        slot = (slot + np.uint64(1)) & mask
    code = int(tables.counts[column])
    tables.views[column, code, 0] = first
    tables.views[column, code, 1] = kept(tables.letters, tables.ends, content, first, others)
    tables.hashes[column, code], tables.counts[column] = mixed, code + 1
    if tables.slots[column, slot] == 0:
        tables.slots[column, slot] = _slot_of(mixed, code)
    if 2 * (code + 1) > tables.sizes[column]:
        _grow(tables, column)
    return code


@inlined
def kept(
    letters: NDArray[np.uint8], ends: NDArray[np.int64], content: NDArray[np.uint8], first: np.uint64, others: np.uint64
) -> np.uint64:
    """The second word of the view of a text, once its letters are with the others; `ends` is where these end."""
    length = int(first & _LOW)
    if length <= _INLINE:
        return others
    begin, end = int(others >> _HALF), ends[0]
    for at in range(length):
        letters[end + at] = content[begin + at]
    ends[0] = end + length
    return np.uint64(end) << _HALF


@inlined
def _grow(tables: Tables, column: int) -> None:
    tables.sizes[column] *= _GROWTH
    for place in range(tables.sizes[column]):
        tables.slots[column, place] = 0
    mask = np.uint64(tables.sizes[column] - 1)
    for code in range(tables.counts[column]):
        mixed = tables.hashes[column, code]
        slot = mixed & mask
        for _ in range(_MOST_STEPS):
            if tables.slots[column, slot] == 0:
                tables.slots[column, slot] = _slot_of(mixed, code)
                break
            slot = (slot + np.uint64(1)) & mask


@inlined
def _slot_of(mixed: np.uint64, code: int) -> np.uint64:
    return (mixed & ~_LOW) | np.uint64(code + 1)


@inlined
def hash_of(content: NDArray[np.uint8], first: np.uint64, others: np.uint64) -> np.uint64:
    """A hash of the text with this view: quick, and no secret."""
    length = int(first & _LOW)
    mixed = _mixed(_MULTIPLIER, first)
    if length <= _INLINE:
        return _mixed(mixed, others)
    at = int(others >> _HALF)
    end = at + length
    at += _PREFIX
    while at + 8 < end:
        mixed = _mixed(mixed, eight_letters(content, at))
        at += 8
    return _mixed(mixed, eight_letters(content, end - 8))


@inlined
def _mixed(mixed: np.uint64, word: np.uint64) -> np.uint64:
    product = (mixed ^ word) * _MULTIPLIER
    return product ^ (product >> _HALF)


@inlined
def _is_same(
    content: NDArray[np.uint8], first: np.uint64, others: np.uint64, letters: NDArray[np.uint8], view_others: np.uint64
) -> bool:
    """Whether two texts with the same first word are the same."""
    length = int(first & _LOW)
    if length <= _INLINE:
        return bool(others == view_others)
    one, two = int(others >> _HALF), int(view_others >> _HALF)
    at = _PREFIX
    while at + 8 < length:
        if eight_letters(content, one + at) != eight_letters(letters, two + at):
            return False
        at += 8
    return bool(eight_letters(content, one + length - 8) == eight_letters(letters, two + length - 8))
