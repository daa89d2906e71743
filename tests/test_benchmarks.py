"""The engine's rivals in the benchmark must give its rows: otherwise their times say nothing."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.rooms import Shape, write_ndjson, write_parquet
from billing.events.data_files import day_of
from billing.events.log import EventLog
from billing.events.schema import EVENT_SCHEMA
from billing.metering.meter import Span, meter
from billing.metering.schemas import STATE_SCHEMA
from billing.metering.tiers import TierRule
from tests import oracle
from tests.property.rooms import rooms

START = int(datetime(2026, 3, 1, tzinfo=UTC).timestamp())
INTL = TierRule(per_stream=False, tiers=(("hd", 921_600), ("fhd", 2_073_600), ("2k", 3_686_400), ("4k", None)))
POLICY = oracle.Policy(per_stream=False, tiers=list(INTL.tiers))
needs_clickhouse = pytest.mark.skipif(
    find_spec("chdb") is None, reason="ClickHouse (chdb) is not installed: `make bench` installs it"
)
RIVALS = pytest.mark.parametrize("rival", ["duckdb", pytest.param("clickhouse", marks=needs_clickhouse), "pandas"])


def usage_of(rival: str) -> Callable[[Sequence[Path], int, int], pl.DataFrame]:
    usage: Callable[[Sequence[Path], int, int], pl.DataFrame] = import_module(f"benchmarks.{rival}_metering").usage
    return usage


def files_of_log(events: pl.DataFrame, directory: Path) -> list[Path]:
    """The events in data files of an event log, one for each day."""
    log = EventLog(directory=directory)
    days = events.with_columns(day=pl.col("at").map_elements(day_of, pl.Date)).partition_by("day")
    log.create()
    written = [log.write(day, day["day"][0], ingest_id=1, number=number) for number, day in enumerate(days)]
    return [log.directory / file.path for file in written]


def made_up(shape: Shape, path: Path) -> pl.DataFrame:
    """The rows of a file of the columns that most feeds have, with the others."""
    write_parquet(shape, path)
    day = pl.read_parquet(path)
    return day.with_columns(
        pl.lit(None, EVENT_SCHEMA[name]).alias(name) for name in EVENT_SCHEMA.keys() - {*day.columns}
    ).select(*EVENT_SCHEMA)


def test_one_shape_and_seed_always_make_the_same_day(tmp_path: Path) -> None:
    shape = Shape(events=3_000)
    day = made_up(shape, tmp_path / "a.parquet")
    assert day.equals(made_up(shape, tmp_path / "b.parquet"))
    assert not day.equals(made_up(Shape(events=3_000, seed=2), tmp_path / "c.parquet"))
    assert day.schema == EVENT_SCHEMA


def test_the_made_up_day_has_everything_a_day_has(tmp_path: Path) -> None:
    day = made_up(Shape(events=50_000), tmp_path / "day.parquet")
    assert set(day["type"]) == set(oracle.ORDER) - {"publish", "unpublish"}
    assert day["app_id"].n_unique() == 10
    assert 0 < day.height - day["event_id"].n_unique() < 500
    assert not day["at"].is_sorted()
    assert {stream.rpartition("/")[2] for stream in day["stream"].drop_nulls()} == {"camera", "screen"}


def test_a_file_can_be_one_room_of_many_users(tmp_path: Path) -> None:
    room = made_up(Shape(rooms=1, room_size=2_000), tmp_path / "room.parquet")
    assert room.n_unique(["app_id", "room_id"]) == 1
    assert room["user_id"].drop_nulls().n_unique() == 2_000


def test_ndjson_holds_the_same_rows(tmp_path: Path) -> None:
    shape = Shape(events=1_000)
    write_ndjson(shape, tmp_path / "day.ndjson")
    rows = pl.read_ndjson(tmp_path / "day.ndjson", schema=EVENT_SCHEMA)
    assert rows.equals(made_up(shape, tmp_path / "day.parquet"))


@RIVALS
def test_a_rival_gives_the_rows_of_the_engine_on_a_made_up_day(rival: str, tmp_path: Path) -> None:
    shape = Shape(events=30_000)
    day = made_up(shape, tmp_path / "day.parquet").unique("event_id")
    rules = dict.fromkeys(day["app_id"].unique(), INTL)
    span = Span(start=shape.start, end=shape.end, rules=rules)
    ours = meter(day.lazy(), pl.DataFrame(schema=STATE_SCHEMA), span).usage
    theirs = usage_of(rival)(files_of_log(day, tmp_path / "log"), shape.start, shape.end)
    assert ours.sort(pl.all()).equals(theirs.sort(pl.all()))


@RIVALS
@settings(max_examples=10)
@given(rows=rooms(start=START), days=st.integers(1, 3))
def test_a_rival_obeys_the_rules(
    rival: str, rows: list[dict[str, Any]], days: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    files = files_of_log(pl.DataFrame(rows, schema=EVENT_SCHEMA), tmp_path_factory.mktemp("rival"))
    end = START + days * 86_400
    expected: Counter[tuple[Any, ...]] = Counter()
    slow = oracle.meter(rows, {}, START, end, defaultdict(lambda: POLICY))
    for (app, _, _, window, item, reason), seconds in slow.seconds.items():
        expected[app, window, item, reason] += seconds
    assert {row[:4]: row[4] for row in usage_of(rival)(files, START, end).iter_rows()} == expected
