"""Spark: metering on a cluster instead of on this machine, with the same functions.

    files of the event log -> events by room -> `meter_rooms` -> usage, state, findings, stays
                           -> usage by window, the rest by user -> sums, `concurrent_rooms` -> this process

Each "by" is a shuffle: rows that belong together come to one worker process. Between the shuffles there is one pass
over the events, and nothing of it is kept on the driver. A partition is metered as a whole, in memory, so it has about
`BYTES_PER_PARTITION` of the log, or more where a single room has more.

Workers need this program in the same version, and must see the event log under the same path.
"""

import os
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyspark
from polars.datatypes import DataTypeClass
from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as f
from pyspark.sql.pandas.types import from_arrow_schema

from billing.errors import BillingError
from billing.events.log import EventLog
from billing.events.retractions import RETRACTS, ROW
from billing.events.schema import BILLED_COLUMNS, EVENT_SCHEMA
from billing.metering.findings import concurrent_rooms
from billing.metering.meter import Span, meter_rooms
from billing.metering.schemas import FINDINGS_SCHEMA, STATE_SCHEMA, STAY_SCHEMA, USAGE_SCHEMA, Metered, state_in_order
from billing.metering.spans import Metering

BYTES_PER_PARTITION = 64 * 2**20

_Batches = Iterable[pa.RecordBatch]
_LOOPBACK = "127.0.0.1"
_ON_THIS_MACHINE = {
    "spark.driver.host": _LOOPBACK,
    "spark.driver.bindAddress": _LOOPBACK,
    "spark.ui.enabled": "false",
}
_SETTINGS = {
    "spark.app.name": "billing",
    "spark.log.level": "ERROR",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.execution.arrow.maxRecordsPerBatch": "100000",
    # No limit: to keep one, Spark would look at all lists of a batch again after each row.
    "spark.sql.execution.arrow.maxBytesPerBatch": str(2**31 - 1),
}
# One process for each task: threads of their own would only be in each other's way.
_ENVIRONMENT = {"POLARS_MAX_THREADS": "1"}

_ARROW_TYPES = {
    pl.Int64(): pa.int64(),
    pl.Int32(): pa.int32(),
    pl.String(): pa.string(),
    pl.Boolean(): pa.bool_(),
}


def _arrow_schema(*schemas: Mapping[str, pl.DataType]) -> pa.Schema:
    columns = {name: dtype for schema in schemas for name, dtype in schema.items()}
    return pa.schema([(name, _arrow_type(dtype)) for name, dtype in columns.items()])


def _arrow_type(dtype: pl.DataType | DataTypeClass) -> pa.DataType:
    if isinstance(dtype, pl.List):
        return pa.list_(_arrow_type(dtype.inner))
    if isinstance(dtype, pl.Struct):
        return pa.struct([(field.name, _arrow_type(field.dtype)) for field in dtype.fields])
    return _ARROW_TYPES[dtype() if isinstance(dtype, DataTypeClass) else dtype]


_EVENTS = {name: EVENT_SCHEMA[name] for name in ("event_id", *BILLED_COLUMNS)}
_FOUND = {"usage": USAGE_SCHEMA, "state": STATE_SCHEMA, "finding": FINDINGS_SCHEMA, "stay": STAY_SCHEMA}
_LOG_ARROW = _arrow_schema(_EVENTS, {"ingest_id": pl.Int64(), RETRACTS: pl.Int64()})
_STATE_ARROW = _arrow_schema(STATE_SCHEMA)
# Events, and the carried stays of their rooms: those have no type.
_ROOMS_ARROW = _arrow_schema(_EVENTS, STATE_SCHEMA)
_FOUND_ARROW = _arrow_schema({"kind": pl.String()}, *_FOUND.values())


@contextmanager
def spark_metering(master: str | None) -> Iterator[Metering]:
    """Metering on the cluster at `master`, by default that of spark-submit or else this machine; see
    `billing.jobs.metered_days.meter_log`. The session begins with the first span that is metered."""
    session = cache(partial(_session, master))
    with warnings.catch_warnings():
        # Spark goes by the version of pandas even where pandas has no part in it.
        warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)
        try:
            yield partial(_meter, session)
        finally:
            if session.cache_info().currsize:
                session().stop()


def _session(master: str | None) -> SparkSession:
    if master is None and "PYSPARK_GATEWAY_PORT" not in os.environ:  # which spark-submit sets
        master = "local[*]"
    os.environ.setdefault("SPARK_HOME", str(Path(pyspark.__file__).parent))
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    settings = _SETTINGS | {f"spark.executorEnv.{name}": value for name, value in _ENVIRONMENT.items()}
    if master:
        settings["spark.master"] = master
        if master.startswith("local"):
            os.environ.setdefault("SPARK_LOCAL_IP", _LOOPBACK)
            settings |= _ON_THIS_MACHINE
    try:
        return SparkSession.builder.config(map=settings).getOrCreate()
    except (PySparkException, Py4JError) as error:
        reason = str(error).strip().splitlines()[0]
        raise BillingError(
            f"Spark cannot be started ({reason}): it needs Java 17 or newer, in PATH or JAVA_HOME, "
            f"and {master or 'its master'} must be reachable from here"
        ) from error


def _meter(
    opened: Callable[[], SparkSession], log: EventLog, ingest_id: int, carried: pl.DataFrame, span: Span
) -> Metered:
    """Meters a span from the first `ingest_id` ingests of the log and the stays open at its start (`STATE_SCHEMA`)."""
    session = opened()
    files = log.files(span.start, span.end, ingest_id=ingest_id)
    size = sum(file.stat().st_size for file in files)
    count = max(session.sparkContext.defaultParallelism, size // BYTES_PER_PARTITION)
    stays = _uploaded(session, _table(carried, _STATE_ARROW))
    known = _known(session, files, ingest_id, span)
    events = _standing(known) if log.may_retract(files) else known
    rooms = events.select(*_EVENTS).unionByName(stays, allowMissingColumns=True)

    def of_rooms(batches: _Batches) -> Iterator[pa.RecordBatch]:
        return _of_rooms(batches, span)

    def of_users(batches: _Batches) -> Iterator[pa.RecordBatch]:
        return _of_users(batches, span.start)

    found = (
        rooms.select(_ROOMS_ARROW.names)
        .repartition(count, "app_id", "room_id")
        .mapInArrow(of_rooms, from_arrow_schema(_FOUND_ARROW))
        .repartition(count, "kind", "app_id", "user_id", "window_start")
        .mapInArrow(of_users, from_arrow_schema(_FOUND_ARROW))
    )
    parts = _parts(found.toArrow())
    return Metered(
        usage=parts["usage"].sort("app_id", "window_start", "item", "reason"),
        state=state_in_order(parts["state"]),
        findings=parts["finding"].sort(list(FINDINGS_SCHEMA)),
    )


def _known(session: SparkSession, files: list[Path], ingest_id: int, span: Span) -> DataFrame:
    """The rows of a span up to an ingest. (In files of an older version no event is retracted: the column is null.)"""
    if not files:
        return _uploaded(session, _LOG_ARROW.empty_table())
    rows = session.read.schema(from_arrow_schema(_LOG_ARROW)).parquet(*map(_address, files))
    return rows.where(
        (f.col("at") >= span.start * 1000)
        & (f.col("at") < span.end * 1000)
        & (f.col("ingest_id") <= ingest_id)
        & f.col("app_id").isin(sorted(span.rules))
    )


def _standing(rows: DataFrame) -> DataFrame:
    """The events that stand, by the rule of `billing.events.retractions`."""
    taken = (
        rows.where(f.col(RETRACTS).isNotNull())
        .select("app_id", "event_id", "at", f.abs(RETRACTS).alias("ingest_id"), f.signum(RETRACTS).alias("sign"))
        .groupBy(*ROW)
        .agg(f.sum("sign").alias("sign"))
        .where(f.col("sign") > 0)
    )
    return rows.where(f.col(RETRACTS).isNull()).join(taken.select(*ROW), on=ROW, how="left_anti")


def _address(file: Path) -> str:
    """The file as Spark reads it, which takes some letters for those of a pattern."""
    return "file://" + re.sub(r"([\[\]{}*?\\])", r"\\\1", str(file))


def _uploaded(session: SparkSession, table: pa.Table) -> DataFrame:
    return session.createDataFrame(table if table.num_rows else [], from_arrow_schema(table.schema))


def _of_rooms(batches: _Batches, span: Span) -> Iterator[pa.RecordBatch]:
    """Meters the rooms of a partition."""
    rows = _frame(pa.Table.from_batches(batches, _ROOMS_ARROW))
    if rows.height:
        events, carried = rows.filter(pl.col("type").is_not_null()), rows.filter(pl.col("type").is_null())
        found, stays = meter_rooms(events.select(*_EVENTS).lazy(), carried.select(*STATE_SCHEMA), span)
        yield from _batches(usage=found.usage, state=found.state, finding=found.findings, stay=stays)


def _of_users(batches: _Batches, start: int) -> Iterator[pa.RecordBatch]:
    """Sums the usage of a partition's windows, and adds the findings across the rooms of its users."""
    parts = _parts(pa.Table.from_batches(batches, _FOUND_ARROW))
    names = [name for name in USAGE_SCHEMA if name != "seconds"]
    yield from _batches(
        usage=parts["usage"].group_by(names).agg(pl.col("seconds").sum()),
        state=parts["state"],
        finding=pl.concat([parts["finding"], concurrent_rooms(parts["stay"], start)]),
    )


def _batches(**frames: pl.DataFrame) -> Iterator[pa.RecordBatch]:
    """Rows of all kinds, in the columns of all."""
    rows = [frame.select(pl.lit(kind).alias("kind"), *_FOUND[kind]) for kind, frame in frames.items()]
    for frame in rows:
        missing = [pl.lit(None).alias(name) for name in _FOUND_ARROW.names if name not in frame.columns]
        yield from _table(frame.with_columns(missing), _FOUND_ARROW).to_batches()


def _parts(rows: pa.Table) -> dict[str, pl.DataFrame]:
    """The rows of each kind, in its columns."""
    frame = _frame(rows)
    return {kind: frame.filter(pl.col("kind") == kind).select(*schema) for kind, schema in _FOUND.items()}


def _table(frame: pl.DataFrame, schema: pa.Schema) -> pa.Table:
    return frame.select(schema.names).to_arrow().cast(schema)


def _frame(table: pa.Table) -> pl.DataFrame:
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)  # noqa: S101 - what a table becomes
    return frame
