"""RFC 3339 times as epoch milliseconds; compiled.

`2026-03-01T18:00:00.9999+09:00`: `T` may be `t` or a space, `Z` may be `z`; any number of decimals, of which three
count; the offset must be there; there is no second 60.
"""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from billing.numba_cache import compiled, inlined

_MINUS, _PLUS, _COLON, _POINT, _ZERO = b"-+:.0"
_NO_TIME = np.iinfo(np.int64).min
_DAYS_BEFORE_1970 = 719_468  # since 0000-03-01: years are counted from March, so that a leap day is the last of a year


def epoch_ms(texts: pl.Series) -> pl.Series:
    """The instants of a column of texts in epoch milliseconds; null for what is not such a time."""
    _, offsets, content = texts.to_arrow(compat_level=pl.CompatLevel.oldest()).buffers()
    instants = np.full(len(texts), _NO_TIME)
    if content and len(texts):
        _read(np.frombuffer(offsets, np.int64)[-len(texts) - 1 :], np.frombuffer(content, np.uint8), instants)
    return pl.Series(instants).replace(_NO_TIME, None)


@compiled
def _read(ends: NDArray[np.int64], letters: NDArray[np.uint8], instants: NDArray[np.int64]) -> None:
    for i in range(len(instants)):
        at, end = ends[i], ends[i + 1]
        if end - at < len("2026-03-01T18:00:00Z"):
            continue
        year = _number(letters, at, 4)
        month, day = _number(letters, at + 5, 2), _number(letters, at + 8, 2)
        hour, minute, second = _number(letters, at + 11, 2), _number(letters, at + 14, 2), _number(letters, at + 17, 2)
        if min(year, month, day, hour, minute, second) < 0 or month > 12 or hour > 23 or minute > 59 or second > 59:
            continue
        if (
            letters[at + 4] != _MINUS or letters[at + 7] != _MINUS or letters[at + 10] not in (84, 116, 32)
        ):  # T, t, space
            continue
        if letters[at + 13] != _COLON or letters[at + 16] != _COLON or not 1 <= day <= _days_of(year, month):
            continue
        at += 19
        milliseconds = 0
        if letters[at] == _POINT:
            decimals = at + 1
            at = decimals
            while at < end and _is_digit(letters[at]):
                if at - decimals < 3:
                    milliseconds = milliseconds * 10 + letters[at] - _ZERO
                at += 1
            if at == decimals:
                continue
            for _ in range(at - decimals, 3):
                milliseconds *= 10
        if at + 1 == end and letters[at] in (90, 122):  # Z, z
            offset = 0
        elif at + 6 == end and letters[at] in (_PLUS, _MINUS) and letters[at + 3] == _COLON:
            hours, minutes = _number(letters, at + 1, 2), _number(letters, at + 4, 2)
            if not (0 <= hours <= 23 and 0 <= minutes <= 59):
                continue
            offset = (hours * 60 + minutes) * (-1 if letters[at] == _MINUS else 1)
        else:
            continue
        minutes = (_days_to(year, month, day) * 24 + hour) * 60 + minute - offset
        instants[i] = (minutes * 60 + second) * 1000 + milliseconds


@inlined
def _is_digit(letter: int) -> bool:
    return bool(_ZERO <= letter <= _ZERO + 9)


@inlined
def _number(letters: NDArray[np.uint8], at: int, digits: int) -> int:
    """So many digits as a number; -1 when one of them is none."""
    number = 0
    for place in range(at, at + digits):
        if not _is_digit(letters[place]):
            return -1
        number = number * 10 + letters[place] - _ZERO
    return number


@inlined
def _days_of(year: int, month: int) -> int:
    """How many days a month has; 0 where there is no such month."""
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    if month in (4, 6, 9, 11):
        return 30
    return 31 if month >= 1 else 0


@inlined
def _days_to(year: int, month: int, day: int) -> int:
    """The days from 1970-01-01 to a date of the Gregorian calendar."""
    if month <= 2:
        year, month = year - 1, month + 12
    of_year = (153 * (month - 3) + 2) // 5 + day - 1
    return year * 365 + year // 4 - year // 100 + year // 400 + of_year - _DAYS_BEFORE_1970
