"""Frames in and out of the database, at the speed of the driver.

SQLAlchemy's own insert takes a dict for each row; PostgreSQL receives many rows by COPY, SQLite by one prepared
statement.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from io import BytesIO
from typing import Any

import polars as pl
from sqlalchemy import BigInteger, Connection, Date, Select, String, Table, insert

_ROWS_AT_ONCE = 100_000
_FRAME_TYPES: dict[type, Any] = {BigInteger: pl.Int64, Date: pl.Date, String: pl.String}


def insert_rows(conn: Connection, table: Table, rows: Sequence[Mapping[str, object]]) -> None:
    """A few rows, as many columns as they name."""
    if rows:
        conn.execute(insert(table), rows)


def insert_frame(conn: Connection, table: Table, key: Mapping[str, object], frame: pl.DataFrame) -> None:
    """Many rows, each with the columns of `key`."""
    if frame.is_empty():
        return
    # A table in the order of its key is filled fastest in that order.
    ordered = frame.sort([column.name for column in table.primary_key if column.name in frame.columns])
    constants = [
        pl.lit(value.isoformat() if isinstance(value, date) else value).alias(name) for name, value in key.items()
    ]
    filled = ordered.select(*constants, pl.all())
    columns = ", ".join(f'"{name}"' for name in filled.columns)
    for part in filled.iter_slices(_ROWS_AT_ONCE):
        if conn.dialect.name == "postgresql":
            _copy(conn, f'COPY "{table.name}" ({columns}) FROM STDIN (FORMAT csv)', part)
        else:
            marks = ", ".join("?" * len(part.columns))
            conn.exec_driver_sql(f'INSERT INTO "{table.name}" ({columns}) VALUES ({marks})', part.rows())  # noqa: S608 - our own names


def schema_of(table: Table, *without: str) -> dict[str, Any]:
    """The columns of a table as those of a frame, but for the account and what else is left out."""
    return {
        column.name: _FRAME_TYPES[type(column.type)]
        for column in table.c
        if column.name != "account_id" and column.name not in without
    }


def read_frame(conn: Connection, query: Select[Any], schema: Mapping[str, Any]) -> pl.DataFrame:
    """The rows of a query whose columns are those of `schema`."""
    return pl.DataFrame(conn.execute(query).all(), schema=dict(schema), orient="row")


def storable(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame without NUL characters, which the text of events may hold and PostgreSQL cannot."""
    return frame.with_columns(pl.col(pl.String).str.replace_all("\0", "\N{SYMBOL FOR NULL}", literal=True))


def packed(frame: pl.DataFrame) -> bytes:
    """A frame as an Arrow IPC file."""
    return frame.write_ipc(None, compression="zstd").getvalue()


def unpacked(content: bytes) -> pl.DataFrame:
    """The frame in an Arrow IPC file."""
    return pl.read_ipc(BytesIO(content))


def _copy(conn: Connection, statement: str, rows: pl.DataFrame) -> None:
    # `cursor.copy` is psycopg's own, beyond what every driver has.
    cursor: Any = conn.connection.cursor()
    with cursor, cursor.copy(statement) as copy:
        copy.write(rows.write_csv(include_header=False, quote_style="non_numeric"))
