"""How many rows of a Parquet file are read at once, so that a few kilobytes on disk cannot fill the memory.

The metadata give the uncompressed size of a column, but its values may take far more: with a dictionary of one text of
1 MiB every row is 1 MiB long, and prefix coding (`DELTA_BYTE_ARRAY`) has the same effect. So the longest value of each
text column is looked up first. A batch has at most 250,000 rows, and at most 64 MiB if all rows had the longest values:
with that text, 64 rows.
"""

from collections.abc import Iterator, Sequence
from typing import IO, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from billing.errors import BillingError

BATCH_ROWS = 250_000
BATCH_BYTES = 64 << 20
ROW_GROUP_LIMIT_BYTES = 512 << 20  # uncompressed, of the columns that are read
DICTIONARY_LIMIT_BYTES = 192 << 20  # uncompressed: a dictionary is copied when its longest value is looked up
NESTED_LIMIT_BYTES = 64 << 20
_PROBE_BYTES = 256 << 20
_NUMBER_BYTES = 16  # no number is longer


class _Chunk(NamedTuple):
    """The values of a column in a row group."""

    group: int
    path: str
    details: pq.ColumnChunkMetaData
    column: pq.ColumnSchema

    @property
    def has_texts(self) -> bool:
        return bool(self.details.physical_type == "BYTE_ARRAY")


def rows_at_once(name: str, content: IO[bytes], metadata: pq.FileMetaData, columns: Sequence[str]) -> int:
    """The number of rows to read at once from the file `name`; a `BillingError` when a single row may be too large."""
    groups = [list(_chunks(metadata, group, columns)) for group in range(metadata.num_row_groups)]
    for group, chunks in enumerate(groups):
        _check_sizes(name, group, chunks)
    file = pq.ParquetFile(content, metadata=metadata, read_dictionary=dictionaries(metadata, columns))
    longest = max((sum(_longest(file, chunk) for chunk in chunks) for chunks in groups), default=0)
    stored: int = sum(metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))
    row_bytes: int = max(longest, stored // max(1, metadata.num_rows) + 1)
    return max(1, min(BATCH_ROWS, BATCH_BYTES // row_bytes))


def dictionaries(metadata: pq.FileMetaData, columns: Sequence[str]) -> list[str]:
    """The columns that can be read as codes and their dictionaries."""
    chunks = (chunk for group in range(metadata.num_row_groups) for chunk in _chunks(metadata, group, columns))
    flat = [chunk for chunk in chunks if not _is_nested(chunk)]
    texts = {chunk.path for chunk in flat if chunk.has_texts} - {chunk.path for chunk in flat if _has_prefixes(chunk)}
    return sorted(texts)


def _chunks(metadata: pq.FileMetaData, group: int, columns: Sequence[str]) -> Iterator[_Chunk]:
    row_group = metadata.row_group(group)
    for place in range(row_group.num_columns):
        details = row_group.column(place)
        if details.path_in_schema.split(".")[0] in columns:
            yield _Chunk(group, details.path_in_schema, details, metadata.schema.column(place))


def _check_sizes(name: str, group: int, chunks: Sequence[_Chunk]) -> None:
    size = sum(chunk.details.total_uncompressed_size for chunk in chunks)
    if size > ROW_GROUP_LIMIT_BYTES:
        raise BillingError(
            f"{name}: row group {group} has {size:,} bytes when it is uncompressed, and at most "
            f"{ROW_GROUP_LIMIT_BYTES:,} are read at once: write the file with smaller row groups"
        )
    for chunk in chunks:
        size = chunk.details.total_uncompressed_size
        if chunk.has_texts and chunk.details.has_dictionary_page and size > DICTIONARY_LIMIT_BYTES:
            raise BillingError(
                f"{name}: {chunk.path} has {size:,} bytes in row group {group} when it is uncompressed, and with a "
                f"dictionary at most {DICTIONARY_LIMIT_BYTES:,} are read: write the file with smaller row groups"
            )
        if _is_nested(chunk) and chunk.details.num_values * _most_bytes(chunk) > NESTED_LIMIT_BYTES:
            raise BillingError(
                f"{name}: {chunk.path} is nested, and too large to be read: a column holds one value a row"
            )


def _is_nested(chunk: _Chunk) -> bool:
    return bool(chunk.column.max_repetition_level)


def _has_prefixes(chunk: _Chunk) -> bool:
    return "DELTA_BYTE_ARRAY" in chunk.details.encodings


def _most_bytes(chunk: _Chunk) -> int:
    """No value is longer, but values may be far shorter."""
    if chunk.details.physical_type == "FIXED_LEN_BYTE_ARRAY":
        return int(chunk.column.length)
    return int(chunk.details.total_uncompressed_size) if chunk.has_texts else _NUMBER_BYTES


def _longest(file: pq.ParquetFile, chunk: _Chunk) -> int:
    """The length of the longest value in a dictionary or with prefix coding. (Values that are stored one by one take no
    more than the metadata say; nested ones have a limit of their own.)"""
    if _is_nested(chunk):
        return 0
    if not chunk.has_texts:
        return _most_bytes(chunk)
    longest = 0
    step = max(1, _PROBE_BYTES // (_most_bytes(chunk) + 1)) if _has_prefixes(chunk) else 1
    for batch in file.iter_batches(batch_size=step, row_groups=[chunk.group], columns=[chunk.path]):
        values = batch.column(0)
        while pa.types.is_struct(values.type):
            values = values.field(0)
        has_dictionary = pa.types.is_dictionary(values.type)
        lengths = pc.binary_length(without_views(values.dictionary if has_dictionary else values))
        longest = max(longest, pc.max(lengths).as_py() or 0)
        if has_dictionary:  # all of it is there with the first row
            break
    return longest


def without_views(values: pa.Array) -> pa.Array:
    """Texts and bytes in the form that every function knows; pyarrow has few for views."""
    if pa.types.is_string_view(values.type):
        return values.cast(pa.large_string())
    return values.cast(pa.large_binary()) if pa.types.is_binary_view(values.type) else values
