"""Coded rows: joined, written and read again, they have the texts that they had."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from billing.events.coded_texts import CODED_COLUMNS, CodedRows, joined
from billing.events.data_files import DataFileWriter
from billing.events.schema import EVENT_SCHEMA
from tests.event_facts import event, judged, parquet, reasons

DAY = date(2026, 3, 10)


def rows(users: Sequence[str | None]) -> pl.DataFrame:
    """Events of these users."""
    numbered = {name: [None] * len(users) for name in EVENT_SCHEMA} | {"user_id": list(users)}
    return pl.DataFrame(numbered, schema=EVENT_SCHEMA)


def coded(codes: Sequence[int | None], values: Sequence[str]) -> CodedRows:
    """Events whose users are coded so."""
    frame = rows([None] * len(codes)).with_columns(user_id=pl.Series(codes, dtype=pl.UInt32))
    return CodedRows.of(frame, {"user_id": pl.Series(values, dtype=pl.String)})


def test_coded_rows_are_decoded_to_what_they_were() -> None:
    texts = rows(["u-1", "u-2", "u-1", None, "", "é" * 200])
    made = CodedRows.of(texts)
    assert set(made.values) == set(CODED_COLUMNS)
    assert made.frame["user_id"].to_list() == [0, 1, 0, None, 2, 3]
    assert made.decoded().equals(texts)


@pytest.mark.parametrize(
    "parts",
    [
        [([0, 1, None], ["u-1", "u-2"]), ([1, 0], ["u-1", "u-2"])],
        [([0, 1, None], ["u-1", "u-2"]), ([2, 0, 1], ["u-9", "u-2", "u-1"])],
        [([None, None], []), ([0], ["u-1"]), ([None], [])],
        [([0, 1, 2], ["same", "same", "other"]), ([1, 0], ["same", "unused"])],
    ],
    ids=["the same values", "other values", "no values", "a value twice"],
)
def test_joined_parts_have_all_texts_in_their_order(parts: list[tuple[list[int | None], list[str]]]) -> None:
    together = joined([coded(codes, values) for codes, values in parts])
    expected = [None if code is None else values[code] for codes, values in parts for code in codes]
    assert together.decoded()["user_id"].to_list() == expected


def test_a_file_has_the_texts_of_values_that_are_there_twice(tmp_path: Path) -> None:
    codes = [number % 7 for number in range(1000)] + [None]
    made = coded(codes, ["a", "b", "a", "c", "b", "a", "unused twice", "unused twice"])
    writer = DataFileWriter(tmp_path, "a.parquet", DAY)
    bounded = dict.fromkeys(("ingest_id", "room_key", "connection_key", "retracts"), 1)
    writer.write(made.frame.with_columns(pl.lit(value).alias(name) for name, value in bounded.items()), made.values)
    writer.close()
    assert pl.read_parquet(tmp_path / "a.parquet")["user_id"].to_list() == made.decoded()["user_id"].to_list()


def test_a_value_that_breaks_a_rule_rejects_only_the_rows_that_have_it() -> None:
    content = parquet([event(), event(event_id="e-2", type="en\0ter"), event(event_id="e-3", room_id="a\0b")])
    accepted, rejected = judged(content, ".parquet")
    assert [each["event_id"] for each in accepted] == ["e-1"]
    assert [(line, reason) for line, reason, _ in rejected] == [(2, "bad_value"), (3, "bad_value")]
    assert reasons(parquet([event(user_id="u" * 256)]), ".parquet") == ["bad_value"]
