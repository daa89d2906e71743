"""Arrays of Arrow out of numpy and into polars, without loading more libraries: 0.1 s of a small ingest.

`pyarrow.array` loads pandas, and a series of an array of pyarrow's loads `pyarrow.compute`, which is only needed to
code texts again (`billing.events.coded_texts`).
"""

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray


def series_of(array: pa.Array) -> pl.Series:
    """The same memory as a series, by Arrow's C interface."""
    return pl.Series(_Exported(array))


def validity(present: NDArray[np.bool_] | None) -> pa.Buffer | None:
    """The bits that say which values are there; None if all are."""
    return None if present is None or present.all() else pa.py_buffer(np.packbits(present, bitorder="little"))


class _Exported:
    """An array of which nothing shows that it is pyarrow's."""

    def __init__(self, array: pa.Array) -> None:
        self.__arrow_c_array__ = array.__arrow_c_array__
