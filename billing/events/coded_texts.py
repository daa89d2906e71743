"""Coded texts: rows whose rooms, users, streams and other texts are codes: places in a list of values.

These texts come again and again, so rules, keys and files need each value once. Event ids and times do not: they stay
texts. Example: the users `u-1, u-2, u-1, null` are the codes `0, 1, 0, null` and the values `u-1, u-2`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from billing.events.rows import TEXT_COLUMNS

CODED_COLUMNS = tuple(name for name in TEXT_COLUMNS if name != "event_id")
Values = Mapping[str, pl.Series]  # by column; what is not there is not coded
NOT_CODED: Values = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class CodedRows:
    """Rows in which the columns of `values` are codes (UInt32), null for an absent text. A value may be there more
    than once, and not all need be in use."""

    frame: pl.DataFrame
    values: Values

    @classmethod
    def of(cls, rows: pl.DataFrame, values: Values = NOT_CODED) -> "CodedRows":
        """Rows of which the columns of `values` are coded, and the others are texts."""
        columns = {name: _coded(rows[name]) for name in CODED_COLUMNS if name not in values}
        frame = rows.with_columns(codes for codes, _ in columns.values())
        return cls(frame=frame, values={**values, **{name: texts for name, (_, texts) in columns.items()}})

    def decoded(self) -> pl.DataFrame:
        """The rows with their texts."""
        names = [name for name in self.values if name in self.frame.columns]
        return self.frame.with_columns(self.values[name].gather(self.frame[name]).alias(name) for name in names)


def looked_up(rows: pl.DataFrame, values: Values, name: str, rule: pl.Expr) -> pl.Series:
    """A rule about one text column, for each row: where the column is coded, it looks at each value once."""
    if name not in values:
        return rows.select(rule).to_series()
    return values[name].alias(name).to_frame().select(rule).to_series().gather(rows[name])


def joined(parts: Sequence[CodedRows]) -> CodedRows:
    """The rows of all parts, which have the same columns."""
    if len(parts) == 1:
        return parts[0]
    frames = [part.frame for part in parts]
    values: dict[str, pl.Series] = {}
    for name, first in parts[0].values.items():
        if all(part.values[name].equals(first) for part in parts[1:]):
            values[name] = first
            continue
        codes, values[name] = _coded(pl.concat([part.values[name] for part in parts]))
        begin = 0
        for number, part in enumerate(parts):
            end = begin + len(part.values[name])
            new = codes[begin:end].gather(part.frame[name])
            frames[number] = frames[number].with_columns(new.alias(name))
            begin = end
    return CodedRows(frame=pl.concat(frames), values=values)


def _coded(texts: pl.Series) -> tuple[pl.Series, pl.Series]:
    import pyarrow as pa  # takes a while to load

    if texts.null_count() == len(texts):
        return pl.Series(texts.name, [None], dtype=pl.UInt32).new_from_index(0, len(texts)), texts.clear()
    coded: pa.DictionaryArray = texts.to_arrow(compat_level=pl.CompatLevel.oldest()).dictionary_encode()
    return pl.Series(texts.name, coded.indices).cast(pl.UInt32), pl.Series(coded.dictionary)
