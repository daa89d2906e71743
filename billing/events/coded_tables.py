"""Coded tables: coded rows as tables of Arrow, whose dictionaries a Parquet file takes as they are.

A dictionary has the values that the rows of the table use, and no others: with those of a whole part, a file would be
three times as large. Example: the codes `7, 2, 7` become `0, 1, 0`, with the values that were at 7 and 2.
"""

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from billing.events.arrow_arrays import validity
from billing.events.coded_texts import Values
from billing.numba_cache import compiled


def arrow_table(rows: pl.DataFrame, values: Values) -> pa.Table:
    """Rows as a table, coded columns as dictionaries."""
    table = rows.to_arrow(compat_level=pl.CompatLevel.oldest())
    for name, of_column in values.items():
        table = table.set_column(table.schema.get_field_index(name), name, _dictionary(rows[name], of_column))
    return table


def _dictionary(codes: pl.Series, values: pl.Series) -> pa.DictionaryArray:
    if codes.null_count() == len(codes):
        return pa.DictionaryArray.from_arrays(pa.nulls(len(codes), pa.int32()), pa.nulls(0, pa.large_string()))
    places = codes.fill_null(len(values)).to_numpy()
    new, used, found = np.full(len(values) + 1, -1, np.int32), np.empty(len(values), np.uint32), np.empty_like(places)
    count = _number_used(places, new, used, found.view(np.int32))
    indices = pa.Array.from_buffers(pa.int32(), len(found), [validity(places < len(values)), pa.py_buffer(found)])
    texts = values.gather(used[:count]).to_arrow(compat_level=pl.CompatLevel.oldest())
    return pa.DictionaryArray.from_arrays(indices, texts)


@compiled
def _number_used(
    codes: NDArray[np.uint32], new: NDArray[np.int32], used: NDArray[np.uint32], found: NDArray[np.int32]
) -> int:
    """Numbers the codes by their first use; how many there are. The code after the last stands for none."""
    count, none = 0, len(used)
    for row in range(len(codes)):
        code = codes[row]
        if new[code] < 0 and code != none:
            new[code], used[count] = count, code
            count += 1
        found[row] = new[code]
    return count
