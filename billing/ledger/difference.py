"""Signed differences of frames: what is to be added to what was billed to give what is right.

    before  40 s, 90 s    after  40 s, 60 s    difference  -30 s

Whatever is compared in the program, seconds, deductions or findings, is compared here.
"""

from collections.abc import Sequence

import polars as pl


def summed(frame: pl.DataFrame, key: Sequence[str], values: Sequence[str]) -> pl.DataFrame:
    """Sums of `values` by `key`, in the order of the key, without rows that are zero in all of them."""
    sums = frame.group_by(key).agg(pl.col(values).sum())
    return sums.filter(pl.any_horizontal(pl.col(values) != 0)).select(*key, *values).sort(key, nulls_last=False)


def signed_difference(
    before: pl.DataFrame, after: pl.DataFrame, key: Sequence[str], values: Sequence[str]
) -> pl.DataFrame:
    """After minus before: sums of `values` by `key`, in the order of the key, without rows that are zero in all."""
    minus = before.select(*key, *(-pl.col(value) for value in values))
    return summed(pl.concat([after.select(*key, *values), minus]), key, values)
