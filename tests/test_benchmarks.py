"""The rival of the benchmark must give the engine's rows: otherwise its time says nothing."""

from collections import Counter, defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import duckdb_metering
from benchmarks.rooms import Shape, write_ndjson, write_parquet
from billing.event_schema import EVENT_SCHEMA
from billing.metering.meter import meter
from billing.metering.rows import STATE_SCHEMA
from billing.metering.tiers import TierRule
from tests import oracle
from tests.property.rooms import rooms

START = int(datetime(2026, 3, 1, tzinfo=UTC).timestamp())
INTL = TierRule(per_stream=False, tiers=(("hd", 921_600), ("fhd", 2_073_600), ("2k", 3_686_400), ("4k", None)))
POLICY = oracle.Policy(per_stream=False, tiers=list(INTL.tiers))


def made_up(shape: Shape, path: Path) -> pl.DataFrame:
    write_parquet(shape, path)
    return pl.read_parquet(path)


def test_one_shape_and_seed_always_make_the_same_day(tmp_path: Path) -> None:
    shape = Shape(events=3_000)
    day = made_up(shape, tmp_path / "a.parquet")
    assert day.equals(made_up(shape, tmp_path / "b.parquet"))
    assert not day.equals(made_up(Shape(events=3_000, seed=2), tmp_path / "c.parquet"))
    assert day.schema == EVENT_SCHEMA


def test_the_made_up_day_has_everything_a_day_has(tmp_path: Path) -> None:
    day = made_up(Shape(events=50_000), tmp_path / "day.parquet")
    assert set(day["type"]) == set(oracle.ORDER)
    assert day["app_id"].n_unique() == 10
    assert 0 < day.height - day["event_id"].n_unique() < 500
    assert not day["at"].is_sorted()
    assert {stream.rpartition("/")[2] for stream in day["stream"].drop_nulls()} == {"camera", "screen"}


def test_ndjson_holds_the_same_rows(tmp_path: Path) -> None:
    shape = Shape(events=1_000)
    write_ndjson(shape, tmp_path / "day.ndjson")
    rows = pl.read_ndjson(tmp_path / "day.ndjson", schema=EVENT_SCHEMA)
    assert rows.equals(made_up(shape, tmp_path / "day.parquet"))


def test_the_rival_gives_the_rows_of_the_engine_on_a_made_up_day(tmp_path: Path) -> None:
    shape, path = Shape(events=30_000), tmp_path / "day.parquet"
    day = made_up(shape, path).unique("event_id")
    day.write_parquet(path)
    start, end = shape.start, shape.start + 86_400
    rules = dict.fromkeys(day["app_id"].unique(), INTL)
    ours = meter(day.lazy(), pl.DataFrame(schema=STATE_SCHEMA), start, end, rules).usage
    theirs = duckdb_metering.usage([str(path)], start, end)
    assert ours.sort(pl.all()).equals(theirs.sort(pl.all()))


@settings(max_examples=25)
@given(rows=rooms(start=START), days=st.integers(1, 3))
def test_the_rival_obeys_the_rules(
    rows: list[dict[str, Any]], days: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("rival") / "events.parquet"
    pl.DataFrame(rows, schema=EVENT_SCHEMA).write_parquet(path)
    end = START + days * 86_400
    expected: Counter[tuple[Any, ...]] = Counter()
    slow = oracle.meter(rows, {}, START, end, defaultdict(lambda: POLICY))
    for (app, _, _, window, item, reason), seconds in slow.seconds.items():
        expected[app, window, item, reason] += seconds
    assert {row[:4]: row[4] for row in duckdb_metering.usage([str(path)], START, end).iter_rows()} == expected
