"""Rows of JSON, one object a line.

A line ends at LF only; one CR before it is dropped. Blank lines are not rows. Whatever is not one object in valid
UTF-8, holds `NaN` or `Infinity`, repeats a key (at any depth) or is nested too deeply is `bad_json`. Unknown keys
are ignored; null counts as absent. Numbers must be integers: `12.0`, `true` and `"12"` are `bad_type`; a room id
may be an integer and becomes its decimal text.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import polars as pl

from billing.events.coded_texts import CodedRows
from billing.events.coded_texts import joined as joined_rows
from billing.events.rows import ROW_SCHEMA, Batch, RawRow
from billing.events.schema import EVENT_SCHEMA
from billing.sources.files.lines import line_blocks, too_long

ROWS_AT_ONCE = 20_000
_BEYOND_64_BITS = 1 << 64
_KINDS = {
    bool: "true or false",
    float: "a number with decimals",
    str: "text",
    list: "a list",
    dict: "an object",
    int: "a number",
}

Problems = dict[int, tuple[str, str]]  # position of a row → reason and detail, the first that was found


class UnreadableError(Exception):
    """A value or a line that cannot be read: reason and detail."""

    def __init__(self, reason: str, detail: str) -> None:
        self.found = (reason, detail)


def read_ndjson(chunks: Iterable[bytes]) -> Iterator[Batch]:
    """The rows of a file that comes in pieces, in batches of many lines: nearly all are read at once, the others one by
    one."""
    # Compiled code, which takes a while to load, is needed for files only.
    from billing.sources.files.fast_ndjson import plain_rows

    for lines, rows in plain_rows(line_blocks(chunks)):
        are_plain = bool(lines.is_plain.all())
        if not are_plain:
            others = np.flatnonzero(~lines.is_plain).tolist()
            numbers = lines.numbers[others].tolist()
            more, problems = parse_lines(map(lines.text, others), lines.long_bytes if others[0] == 0 else 0)
            both = joined_rows([rows, CodedRows.of(typed(numbers, numbers, more, problems))])
            rows = CodedRows(frame=both.frame.sort("row"), values=both.values)
        raw = partial(_raw, lines.text, lines.long_bytes)
        # Plain lines have no escapes and no control characters.
        yield Batch(frame=rows.frame, values=rows.values, raw=raw, may_hold_nul=not are_plain)


def read_ndjson_rows(texts: Sequence[str]) -> Iterator[Batch]:
    """The same for rows that stand on their own; they are numbered by their place, from 1."""
    for start in range(0, len(texts), ROWS_AT_ONCE):
        lines = [text.encode() for text in texts[start : start + ROWS_AT_ONCE]]
        numbers = range(start + 1, start + 1 + len(lines))
        yield Batch(frame=typed(numbers, numbers, *parse_lines(lines, 0)), raw=partial(_raw, lines.__getitem__, 0))


def line_of(event: Mapping[str, object]) -> str:
    """An event as one line of JSON in ASCII: its columns in schema order, without those that are absent."""
    present = {name: event[name] for name in EVENT_SCHEMA if event.get(name) is not None}
    return json.dumps(present, separators=(",", ":"))


def parse_lines(lines: Iterable[bytes], long_bytes: int) -> tuple[list[Mapping[str, object]], Problems]:
    """Lines as objects; the first is only the beginning of one when `long_bytes` is not 0."""
    rows: list[Mapping[str, object]] = []
    problems: Problems = {}
    for line in lines:
        try:
            rows.append({} if long_bytes and not rows else _event_columns(parse(line)))
        except UnreadableError as error:
            problems[len(rows)] = error.found
            rows.append({})
    if long_bytes:
        problems[0] = too_long(long_bytes)
    return rows, problems


def _event_columns(row: Mapping[str, object]) -> Mapping[str, object]:
    """The columns of an event, emptied where they are nested: many such rows are held at once, and brackets that take a
    megabyte in a line take tens of them in memory."""
    nested = (dict, list)
    return {
        name: type(value)() if isinstance(value, nested) else value
        for name, value in row.items()
        if name in EVENT_SCHEMA
    }


def _raw(line: Callable[[int], bytes], long_bytes: int, positions: Sequence[int]) -> list[RawRow]:
    """Rows as they were read; of the first, if it was too long, only the beginning."""
    return [
        RawRow(
            line(position).decode(errors="backslashreplace"), None if long_bytes and position == 0 else "ndjson", None
        )
        for position in positions
    ]


def parse(line: bytes) -> Mapping[str, object]:
    """One line as an object."""
    row = parse_value(line)
    if type(row) is not dict:
        raise UnreadableError("bad_json", "not an object")
    return row


def parse_value(text: bytes) -> object:
    """A text as one value of JSON."""
    try:
        decoded = text.decode()
        value, end = _scan(decoded, 0)
        if end == len(decoded):
            return value
    except (ValueError, StopIteration, RecursionError):
        pass
    return _parse_carefully(text)


def typed(
    numbers: Sequence[int], lines: Sequence[int], rows: Sequence[Mapping[str, object]], problems: Problems
) -> pl.DataFrame:
    """Objects as a frame in `ROW_SCHEMA`; what does not fit its column is null there and a problem of its row."""
    columns: dict[str, pl.Series] = {}
    for name in EVENT_SCHEMA:
        values = [row.get(name) for row in rows]
        if name == "at":
            texts = [value if type(value) is str else None for value in values]
            columns["at_text"] = _column(name, texts, pl.String(), problems)
            values = [None if type(value) is str else value for value in values]
        columns[name] = _column(name, values, ROW_SCHEMA[name], problems)
    found = [problems.get(position, (None, None)) for position in range(len(rows))] if problems else []
    columns["problem"] = pl.Series([reason for reason, _ in found] or [None] * len(rows), dtype=pl.String)
    columns["problem_detail"] = pl.Series([detail for _, detail in found] or [None] * len(rows), dtype=pl.String)
    columns["row"] = pl.Series(numbers, dtype=pl.Int64)
    columns["line"] = pl.Series(lines, dtype=pl.Int64)
    return pl.DataFrame({name: columns[name] for name in ROW_SCHEMA})


def _column(name: str, values: list[Any], dtype: pl.DataType, problems: Problems) -> pl.Series:
    fitting = str if dtype == pl.String else int
    if set(map(type, values)) <= {fitting, type(None)}:
        try:
            return pl.Series(name, values, dtype=dtype)
        # An integer beyond 64 bits, or half of a surrogate pair: find out where.
        except (TypeError, OverflowError, UnicodeEncodeError):
            pass
    read = _text if dtype == pl.String else _integer
    cleaned: list[object] = []
    for position, value in enumerate(values):
        try:
            cleaned.append(read(name, value))
        except UnreadableError as error:
            cleaned.append(None)
            problems.setdefault(position, error.found)
    return pl.Series(name, cleaned, dtype=dtype)


def _text(name: str, value: object) -> str | None:
    if name == "room_id" and type(value) is int:
        if abs(value) >= _BEYOND_64_BITS:
            raise UnreadableError("bad_value", "room_id is beyond 64 bits")
        return str(value)
    if value is None:
        return None
    if type(value) is not str:
        raise UnreadableError("bad_type", f"{name} must be text, not {_KINDS[type(value)]}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise UnreadableError("bad_value", f"{name} holds half of a surrogate pair") from None
    return value


def _integer(name: str, value: object) -> int | None:
    if value is None:
        return None
    if type(value) is not int:
        wanted = "an integer or an RFC 3339 time" if name == "at" else "an integer"
        raise UnreadableError("bad_type", f"{name} must be {wanted}, not {_KINDS[type(value)]}")
    if not -(1 << 63) <= value < 1 << 63:
        raise UnreadableError("bad_value", f"{name} is beyond 64 bits")
    return value


def _parse_carefully(text: bytes) -> object:
    """The same, slower: with spaces around, with numbers of any length, and with the reason of a failure."""
    try:
        return _careful.decode(text.decode())
    except UnicodeDecodeError as error:
        raise UnreadableError("bad_json", f"bad UTF-8 at byte {error.start + 1}") from None
    except json.JSONDecodeError as error:
        raise UnreadableError("bad_json", f"not JSON: {error.msg} at character {error.pos + 1}") from None
    except ValueError as error:
        raise UnreadableError("bad_json", str(error)) from None
    except RecursionError:
        raise UnreadableError("bad_json", "nested too deeply") from None


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key is repeated in one object")
    return made


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def _bounded_integer(digits: str) -> int:
    """Long runs of digits stand for one number beyond 64 bits: Python refuses to convert thousands of them."""
    return int(digits) if len(digits) <= 20 else _BEYOND_64_BITS


_quick = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_refuse_constant)
_scan = _quick.scan_once  # type: ignore[attr-defined]  # not in the stubs: one value, without `decode`'s search for spaces
_careful = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_refuse_constant, parse_int=_bounded_integer)
