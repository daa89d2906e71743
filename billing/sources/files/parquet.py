"""Rows of Parquet: columns by name, other columns ignored, read in batches whatever the size of the row groups.

Integers of any width, texts plain or dictionary-coded, `at` as epoch milliseconds, as a timestamp with a time zone
(finer parts are cut off) or as RFC 3339 text. A timestamp without a time zone is `no_offset`. Any other type of
column makes every row that has a value there `bad_type`. The raw text of a row is its event columns as JSON; a
value of a wrong type is written as `{"<type>": "<value>"}`, so that it stays wrong when the row is tried again.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import IO, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from billing.errors import BillingError
from billing.events.coded_texts import CODED_COLUMNS, CodedRows, Values, looked_up
from billing.events.rows import (
    INTEGER_COLUMNS,
    LINE_LIMIT_BYTES,
    ROW_SCHEMA,
    TEXT_COLUMNS,
    Batch,
    Problem,
    RawRow,
    first_problem,
)
from billing.events.schema import EVENT_SCHEMA
from billing.sources.files.csv import check_columns
from billing.sources.files.lines import KEPT_BYTES
from billing.sources.files.parquet_sizes import dictionaries, rows_at_once, without_views

MISFIT_CHARACTERS = 4096  # kept of a value of a wrong type
FOOTER_LIMIT_BYTES = 64 << 20  # a footer of a million columns would take gigabytes to read
_MAGIC = b"PAR1"
_MOST_SECONDS = 2**53
_TICKS_PER_MS = {"ms": 1, "us": 1000, "ns": 1_000_000}


def read_parquet(name: str, content: IO[bytes]) -> Iterator[Batch]:
    """The rows of an open file called `name`, or a `BillingError`."""
    _check_footer(name, content)
    try:
        file = pq.ParquetFile(content)
        check_columns(name, file.schema_arrow.names)
        columns = [column for column in file.schema_arrow.names if column in EVENT_SCHEMA]
        rows = rows_at_once(name, content, file.metadata, columns)
        coded = [column for column in dictionaries(file.metadata, columns) if column in CODED_COLUMNS]
        file, first = pq.ParquetFile(content, metadata=file.metadata, read_dictionary=coded), 1
        for batch in file.iter_batches(batch_size=rows, columns=columns):
            following = first + batch.num_rows
            yield replace(_batch(batch, first), share_read=(following - 1) / file.metadata.num_rows)
            first = following
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise BillingError(f"{name}: not a readable Parquet file: {str(error).splitlines()[0]}") from None


def _check_footer(name: str, content: IO[bytes]) -> None:
    size = content.seek(0, 2)
    content.seek(max(0, size - 8))
    end = content.read(8)
    content.seek(0)
    if size < 12 or content.read(4) != _MAGIC or end[4:] != _MAGIC:
        raise BillingError(f"{name}: not a Parquet file, or only a part of one")
    if int.from_bytes(end[:4], "little") > FOOTER_LIMIT_BYTES:
        raise BillingError(f"{name}: the description of its columns is too large: keep the columns of an event only")
    content.seek(0)


def _batch(batch: pa.RecordBatch, first: int) -> Batch:
    stored = {name: without_views(_sound(batch.column(name))) for name in EVENT_SCHEMA if name in batch.schema.names}
    columns: dict[str, pl.Series] = {"row": pl.int_range(first, first + batch.num_rows, eager=True)}
    columns["line"] = columns["row"]
    misfits: dict[str, pl.Series] = {}
    problems: list[Problem] = []
    values: dict[str, pl.Series] = {}
    for name, array in stored.items():
        if (texts := _values_of(name, array)) is not None:
            columns[name], values[name] = _series(array.indices).cast(pl.UInt32), texts
            continue
        column = _read(name, array)
        columns["at_text" if name == "at" and column.values.dtype == pl.String else name] = column.values
        if column.misfit is not None:
            misfits[name] = column.misfit
            problems.append(Problem.of(pl.lit(column.misfit), column.reason, column.detail))
    too_long = _too_long(pl.DataFrame(columns), values)
    if too_long.any():
        problems.insert(
            0, Problem.of(pl.lit(too_long), "too_long", f"the row has more than {LINE_LIMIT_BYTES:,} bytes")
        )
    problem, detail = first_problem(problems)
    frame = pl.DataFrame(columns).with_columns(problem=problem, problem_detail=detail)
    frame = frame.with_columns(
        pl.lit(None, ROW_SCHEMA[name]).alias(name) for name in ROW_SCHEMA if name not in frame.columns
    )
    types = pl.Schema({**ROW_SCHEMA, **dict.fromkeys(values, pl.UInt32())})
    frame = frame.select(pl.col(name).cast(dtype) for name, dtype in types.items())
    beginnings = {name: _beginnings(stored[name]) for name in misfits}  # `stored` itself may be large

    def raw(positions: Sequence[int]) -> list[RawRow]:
        texts = _texts_of(CodedRows(frame=frame[list(positions)], values=values).decoded())
        for place, position in enumerate(positions if misfits else ()):
            texts[place] = _with_misfits(texts[place], beginnings, misfits, position)
        return [
            RawRow(text[:KEPT_BYTES], None, None) if too_long[position] else RawRow(text, "ndjson", None)
            for text, position in zip(texts, positions, strict=True)
        ]

    return Batch(frame=frame, raw=raw, values=values, may_hold_nul=any(map(_may_hold_nul, stored.values())))


def _sound(column: pa.Array) -> pa.Array:
    """The column; an `ArrowInvalid` when it names a value that its dictionary lacks, which no library looks for."""
    if pa.types.is_dictionary(column.type) and len(column) > column.null_count:
        bounds = pc.min_max(column.indices)
        if bounds["min"].as_py() < 0 or bounds["max"].as_py() >= len(column.dictionary):
            raise pa.ArrowInvalid("a row names a value that the dictionary of its column does not have")
    return column


def _values_of(name: str, column: pa.Array) -> pl.Series | None:
    """The values of a column that stays coded; None where it does not."""
    if name not in CODED_COLUMNS or not pa.types.is_dictionary(column.type) or not _is_text(column.type.value_type):
        return None
    values = _read(name, column.dictionary)
    return None if values.misfit is not None else values.values


def _too_long(rows: pl.DataFrame, values: Values) -> pl.Series:
    """Which rows have more bytes of text than a line may have."""
    texts = [name for name, dtype in rows.schema.items() if dtype == pl.String]
    row_bytes = rows.select(pl.sum_horizontal(pl.lit(0), pl.col(texts).str.len_bytes())).to_series()
    lengths = {name: pl.col(name).str.len_bytes() for name in values}
    longest = sum(
        values[name].alias(name).to_frame().select(length.max()).item() or 0 for name, length in lengths.items()
    )
    if longest > LINE_LIMIT_BYTES or (row_bytes > LINE_LIMIT_BYTES - longest).any():
        for name, length in lengths.items():
            row_bytes += looked_up(rows, values, name, length).fill_null(0)
    return pl.Series(row_bytes > LINE_LIMIT_BYTES)


def _may_hold_nul(column: pa.Array) -> bool:
    """Whether there is a NUL where the texts are. To look at each text takes ten times as long."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary
    if not _is_text(column.type):
        return False
    letters = column.buffers()[-1]
    return bool(letters and letters.size and np.frombuffer(letters, np.uint8).min() == 0)


class _Column(NamedTuple):
    """What could be read of a column, null where nothing could; `misfit`: where there was something all the same, if
    anywhere."""

    values: pl.Series
    misfit: pl.Series | None
    reason: str
    detail: str


def _read(name: str, column: pa.Array) -> _Column:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    values, reason, detail = _values(name, column)
    misfit = None
    if column.null_count < values.null_count():
        misfit = pl.Series(column.is_valid().to_numpy(zero_copy_only=False)) & values.is_null()
    return _Column(values, misfit, reason, detail)


def _values(name: str, column: pa.Array) -> tuple[pl.Series, str, str]:
    """What could be read of a column, and the reason and detail of what could not."""
    kind = column.type
    if _is_text(kind) and (name in TEXT_COLUMNS or name == "at"):
        too_long = pc.greater(pc.binary_length(column), LINE_LIMIT_BYTES)
        detail = f"{name} is not valid UTF-8"
        if pc.any(too_long).as_py():
            column = pc.if_else(too_long, pa.scalar(None, column.type), column)
            detail = f"{name} has more than {LINE_LIMIT_BYTES:,} bytes, or is not valid UTF-8"
        return _texts(column), "bad_value", detail
    if pa.types.is_integer(kind) and name in INTEGER_COLUMNS:
        return _series(column).cast(pl.Int64, strict=False), "bad_value", f"{name} is beyond 64 bits"
    if pa.types.is_integer(kind) and name == "room_id":
        return _series(column).cast(pl.String), "bad_value", ""
    if pa.types.is_timestamp(kind) and name == "at":
        ticks = _series(column.cast(pa.int64()))
        # An instant that 64 bits cannot hold in milliseconds stays far out of bounds: polars would wrap it around.
        seconds = kind.unit == "s"
        milliseconds = (
            ticks.clip(-_MOST_SECONDS, _MOST_SECONDS) * 1000 if seconds else ticks // _TICKS_PER_MS[kind.unit]
        )
        if kind.tz is None:
            milliseconds = milliseconds.clear(len(milliseconds))
        return milliseconds, "no_offset", "at is a timestamp without a time zone"
    wanted = "text" if name in TEXT_COLUMNS else "an integer"
    return pl.Series([None] * len(column), dtype=ROW_SCHEMA[name]), "bad_type", f"{name} must be {wanted}, not {kind}"


def _series(column: pa.Array) -> pl.Series:
    return pl.Series(pl.from_arrow(column))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _texts(column: pa.Array) -> pl.Series:
    """A column of text; null where it is not valid UTF-8, which a Parquet file does not promise."""
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        return pl.Series([_decoded(value) for value in column.cast(pa.large_binary()).to_pylist()], dtype=pl.String)
    return _series(column)


def _decoded(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None


def _texts_of(frame: pl.DataFrame) -> list[str]:
    """Rows in `ROW_SCHEMA` as JSON of their event columns; a time that is text is written as it is."""
    row = pl.struct(list(EVENT_SCHEMA)).struct.json_encode()
    if frame["at_text"].null_count() == frame.height:
        return frame.select(row).to_series().to_list()
    at = pl.when(pl.col("at").is_null()).then("at_text").alias("at")
    timed = pl.struct(*(at if name == "at" else name for name in EVENT_SCHEMA)).struct.json_encode()
    return frame.select(pl.when(pl.col("at").is_null()).then(timed).otherwise(row)).to_series().to_list()


def _beginnings(column: pa.Array) -> pa.Array:
    """The column, with no more of its texts than a misfit shows."""
    if not (_is_text(column.type) or _is_binary(column.type)):
        return column
    cut = pc.binary_slice(column.cast(pa.large_binary()), 0, MISFIT_CHARACTERS)
    return pc.cast(cut, options=pc.CastOptions(target_type=column.type, allow_invalid_utf8=True))


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _with_misfits(text: str, values: Mapping[str, pa.Array], misfits: Mapping[str, pl.Series], position: int) -> str:
    """The text of a row, with the values that do not fit their columns."""
    written = {name: _misfit(values[name][position]) for name, misfit in misfits.items() if misfit[position]}
    return json.dumps(json.loads(text) | written, ensure_ascii=False) if written else text


def _misfit(value: pa.Scalar) -> object:
    if _is_text(value.type) or _is_binary(value.type):
        return {str(value.type): value.as_buffer().to_pybytes().decode(errors="backslashreplace")}
    if pa.types.is_timestamp(value.type) and value.type.tz is None:
        return value.cast(pa.string()).as_py()  # read again, it still has no offset
    try:
        text = str(value.as_py())
    except (ValueError, OverflowError):
        text = "unreadable"
    return {str(value.type): text[:MISFIT_CHARACTERS]}
