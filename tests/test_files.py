"""Event files of every format: what is a row, where it stood, and which files are refused whole."""

import gzip
import io
import os
import socket
import sys
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from billing.errors import BillingError
from billing.events.rows import LINE_LIMIT_BYTES, RejectedRow, TraceLine
from billing.sources.files import parquet_sizes
from billing.sources.files.event_files import expand, open_event_file
from billing.sources.files.lines import KEPT_BYTES
from billing.sources.files.ndjson import parse_lines
from tests.event_facts import ABSENT, AT, EVENT, csv, event, event_file, judged, ndjson, parquet, reasons


def raws(content: bytes, ending: str) -> list[str]:
    """The texts of all rows."""
    batches = event_file(content, ending).batches()
    return [raw.text for batch in batches for raw in batch.raw(range(batch.frame.height))]


def lines(content: bytes, ending: str = ".ndjson") -> list[int]:
    """The lines on which rows begin."""
    return [line for batch in event_file(content, ending).batches() for line in batch.frame["line"]]


def arrow(**columns: pa.Array) -> bytes:
    """A Parquet file of one valid event, with these columns in place of its own."""
    own = {name: pa.array([value]) for name, value in EVENT.items()}
    buffer = io.BytesIO()
    pq.write_table(pa.table({**own, **columns}), buffer)
    return buffer.getvalue()


# NDJSON


def test_a_row_ends_at_lf_only_and_one_cr_before_it_is_dropped() -> None:
    """Line separators of Unicode, and a CR inside the line, are part of the text."""
    content = '{"a": "\u2028\u2029\x85"}\r\n{"b": 1}\r\r\n{"c":\r2}\n'.encode()
    assert raws(content, ".ndjson") == ['{"a": "\u2028\u2029\x85"}', '{"b": 1}\r', '{"c":\r2}']


def test_blank_lines_are_not_rows_but_count_as_lines() -> None:
    assert lines(b'\n{"a": 1}\n \t\r\n\n{"b": 1}') == [2, 5]


def test_a_byte_order_mark_is_dropped_at_the_start_of_a_file_only() -> None:
    row = ndjson([event()])
    assert not reasons(b"\xef\xbb\xbf" + row)
    assert reasons(row + b"\xef\xbb\xbf" + row) == ["bad_json"]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
def test_a_line_of_one_mebibyte_is_read_and_a_longer_one_is_too_long(end: bytes) -> None:
    row = ndjson([event()]).rstrip()
    fits = row[:-1] + b" " * (LINE_LIMIT_BYTES - len(row)) + b"}"
    assert not reasons(fits + end)
    assert reasons(b" " + fits + end) == ["too_long"]


def test_a_huge_line_costs_no_other_row_and_only_its_beginning_is_kept() -> None:
    row = ndjson([event()])
    content = row + b"x" * (5 * LINE_LIMIT_BYTES + 7) + b"\n" + row
    accepted, rejected = judged(content)
    assert len(accepted) == 2
    assert rejected == [(2, "too_long", "the line has 5,242,887 bytes; at most 1,048,576 are read")]
    assert raws(content, ".ndjson")[1] == "x" * KEPT_BYTES


def test_a_huge_line_of_spaces_is_no_blank_line() -> None:
    assert reasons(b" " * (2 * LINE_LIMIT_BYTES)) == ["too_long"]


def test_the_raw_text_shows_bytes_that_are_not_utf_8() -> None:
    assert raws(b'{"a": "\xff"}', ".ndjson") == ['{"a": "\\xff"}']


# CSV


def test_csv_gives_the_same_events_as_json() -> None:
    events = [event(), event(event_id="e-2", type="exit", stream=ABSENT, width=ABSENT, height=ABSENT)]
    assert judged(csv(events), ".csv") == judged(ndjson(events))


def test_csv_columns_go_by_name_and_others_are_ignored() -> None:
    columns = [*reversed(EVENT), "colour", ""]
    assert judged(csv([event(colour="red")], columns), ".csv") == judged(ndjson([event()]))


def test_csv_with_a_byte_order_mark_cr_lf_and_quotes_is_read() -> None:
    content = b"\xef\xbb\xbf" + csv([event(user_id='"a ""b"", c"')]).replace(b"\n", b"\r\n")
    assert judged(content, ".csv")[0][0]["user_id"] == 'a "b", c'


def test_a_quoted_cell_may_hold_line_ends_and_the_row_counts_where_it_begins() -> None:
    content = csv([event(user_id='"a\nb"'), event(event_id="e-2", app_id=5)])
    accepted, rejected = judged(content, ".csv")
    assert accepted[0]["user_id"] == "a\nb"
    assert rejected[0][:2] == (4, "unknown_app")
    assert raws(content, ".csv")[0].count("\n") == 1


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("1.0", "bad_type"),
        ("+1", "bad_type"),
        (" 1", "bad_type"),
        ("1e3", "bad_type"),
        ("true", "bad_type"),
        ("٣", "bad_type"),
        ("9" * 30, "bad_value"),
        ("0", "bad_value"),
        ("", "missing_field"),
    ],
)
def test_a_csv_number_is_digits(cell: str, reason: str) -> None:
    assert reasons(csv([event(width=cell)]), ".csv") == [reason]


@pytest.mark.parametrize(
    ("cell", "reason"), [("2026-03-10T00:00:00", "no_offset"), ("soon", "bad_value"), ("9" * 30, "bad_value")]
)
def test_a_csv_time_is_digits_or_rfc_3339(cell: str, reason: str) -> None:
    assert reasons(csv([event(at=cell)]), ".csv") == [reason]
    assert judged(csv([event(at="2026-03-10T09:00:00+09:00")]), ".csv")[0][0]["at"] == AT


def test_a_csv_row_with_too_many_or_too_few_cells_is_bad_value() -> None:
    content = csv([event()]) + b"1,2\n" + csv([event()]).split(b"\n")[1] + b",\n"
    assert judged(content, ".csv")[1] == [
        (3, "bad_value", "2 cells where the header has 9"),
        (4, "bad_value", "10 cells where the header has 9"),
    ]


def test_a_quote_that_never_ends_costs_its_own_line_only() -> None:
    content = csv([event(), event(user_id='"alice'), *(event(event_id=f"e-{n}") for n in range(2, 50_000))])
    accepted, rejected = judged(content, ".csv")
    assert len(accepted) == 49_999
    assert rejected == [(3, "bad_value", "not CSV: a quoted cell does not end as it should")]


def test_csv_lines_of_garbage_are_quarantined_one_by_one() -> None:
    long = b"x" * (2 * LINE_LIMIT_BYTES)
    row = csv([event()]).split(b"\n")[1]
    content = csv([event()]) + b'"a"b,\n\xff\xfe,\n\0\0\n' + long + b"\n \n" + row
    accepted, rejected = judged(content, ".csv")
    assert len(accepted) == 2
    assert [(line, reason) for line, reason, _ in rejected] == [
        (3, "bad_value"),
        (4, "bad_value"),
        (5, "bad_value"),
        (6, "too_long"),
    ]


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (b"event_id,app_id,at", "events.csv: no column room_id, type: the first line must name the columns"),
        (b"app_id,at,room_id,at,type", "the column at is there twice"),
        (b"\xff\xfe", "the header on line 1 cannot be read: bad UTF-8"),
        (b"x" * (2 * LINE_LIMIT_BYTES), "the header on line 1 cannot be read: the line has 2,097,152 bytes"),
        (b'"app_id', "the header on line 1 cannot be read"),
        (b"a," * 500_000, "no column app_id, room_id, at, type"),
    ],
    ids=["missing", "twice", "not text", "huge", "unclosed", "a million columns"],
)
def test_csv_without_a_usable_header_is_refused(header: bytes, message: str) -> None:
    with pytest.raises(BillingError, match=message):
        judged(header + b"\n1,2,3\n", ".csv")


# Parquet


def test_parquet_gives_the_same_events_as_json() -> None:
    events = [event(), event(event_id="e-2", type="exit", stream=ABSENT, width=ABSENT, height=ABSENT)]
    assert judged(parquet(events), ".parquet") == judged(ndjson(events))


@pytest.mark.parametrize(
    "dtypes",
    [
        {"width": pl.Int8(), "height": pl.UInt64(), "app_id": pl.UInt32()},
        {"room_id": pl.Categorical(), "type": pl.Enum(["video_on"]), "user_id": pl.Categorical()},
        {"room_id": pl.UInt64()},
        {"at": pl.Datetime("ms", "Asia/Tokyo")},
        {"at": pl.Datetime("us", "UTC")},
        {"at": pl.Datetime("ns", "UTC")},
    ],
    ids=str,
)
def test_parquet_columns_may_have_any_type_that_fits(dtypes: dict[str, pl.DataType]) -> None:
    row = event(room_id="7", width=100, height=100)
    units = {"us": 1000, "ns": 1_000_000}
    at = dtypes.get("at")
    stored = {**row, "at": AT * units.get(at.time_unit if isinstance(at, pl.Datetime) else "", 1)}
    if "room_id" in dtypes and dtypes["room_id"] == pl.UInt64():
        stored["room_id"] = 7
    assert judged(parquet([stored], **dtypes), ".parquet") == judged(ndjson([row]))


@pytest.mark.parametrize(
    "dtype", [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())], ids=str
)
@pytest.mark.parametrize("name", ["event_id", "room_id", "user_id", "role"])
@pytest.mark.parametrize("text", ["\0", "a\0b", "of more than twelve bytes\0"])
def test_a_parquet_text_with_a_nul_is_seen_whatever_the_kind_of_column(
    name: str, dtype: pa.DataType, text: str
) -> None:
    assert reasons(arrow(**{name: pa.array([text]).cast(dtype)}), ".parquet") == ["bad_value"]


def test_a_finer_timestamp_is_cut_to_the_millisecond() -> None:
    content = arrow(at=pa.array([AT * 1_000_000 + 1_999_999], pa.timestamp("ns", "UTC")))
    assert judged(content, ".parquet")[0][0]["at"] == AT + 1


@pytest.mark.parametrize(
    ("column", "values", "reason"),
    [
        ("width", pa.array([640.0]), "bad_type"),
        ("width", pa.array(["640"]), "bad_type"),
        ("width", pa.array([True]), "bad_type"),
        ("width", pa.array([Decimal(640)]), "bad_type"),
        ("app_id", pa.array([2**64 - 1], pa.uint64()), "bad_value"),
        ("user_id", pa.array([7]), "bad_type"),
        ("user_id", pa.array([b"alice"]), "bad_type"),
        ("user_id", pa.array([["alice"]]), "bad_type"),
        ("user_id", pa.array([{"name": "alice"}]), "bad_type"),
        ("room_id", pa.array([date(2026, 3, 10)]), "bad_type"),
        ("at", pa.array([date(2026, 3, 10)]), "bad_type"),
        ("at", pa.array([1.5]), "bad_type"),
        ("at", pa.array([datetime(2026, 3, 10)], pa.timestamp("us")), "no_offset"),  # noqa: DTZ001
        ("at", pa.array(["2026-03-10T00:00:00"]), "no_offset"),
        ("room_id", pa.nulls(1), "missing_field"),
        ("user_id", pa.array([b"\xff"]).view(pa.string()), "bad_value"),
    ],
    ids=str,
)
def test_a_parquet_column_of_another_type_rejects_its_rows(column: str, values: pa.Array, reason: str) -> None:
    content = arrow(**{column: values})
    assert reasons(content, ".parquet") == [reason]
    # The raw text is wrong in the same way when it is read again as JSON.
    again = reasons(raws(content, ".parquet")[0].encode())
    assert again == (
        [reason] if (column, reason) not in {("app_id", "bad_value"), ("user_id", "bad_value")} else ["bad_type"]
    )


def test_a_parquet_row_is_numbered_and_kept_as_json() -> None:
    content = parquet([event(), event(app_id=5, room_id="é")])
    assert judged(content, ".parquet")[1][0][0] == 2
    assert judged(raws(content, ".parquet")[0].encode()) == (judged(content, ".parquet")[0], [])


def test_parquet_without_a_needed_column_is_refused() -> None:
    with pytest.raises(BillingError, match=r"events\.parquet: no column app_id, at"):
        judged(parquet([event(app_id=ABSENT, at=ABSENT)]), ".parquet")


@pytest.mark.parametrize(
    "content",
    [
        b"hello",
        b"PAR1",
        b"PAR1" + b"\0" * 100,
        parquet([event()])[:-1],
        b"PAR1" + b"\xff" * 100 + b"\xff\xff\xff\x7fPAR1",
    ],
    ids=["text", "beginning", "cut", "cut by one byte", "huge footer"],
)
def test_what_is_not_parquet_is_refused(content: bytes) -> None:
    with pytest.raises(BillingError, match=r"events\.parquet: "):
        judged(content, ".parquet")


def test_a_damaged_parquet_file_is_refused() -> None:
    whole = parquet([event(user_id=f"user-{n}") for n in range(1000)])
    with pytest.raises(BillingError, match=r"events\.parquet: not a readable Parquet file"):
        judged(whole[:100] + b"\xff" * 500 + whole[600:], ".parquet")


def test_a_parquet_column_whose_name_is_not_utf_8_makes_the_file_unreadable() -> None:
    """Found by fuzzing."""
    content = parquet([event(zzzz=1)]).replace(b"zzzz", b"z\xd0zz")
    with pytest.raises(BillingError, match=r"events\.parquet: not a readable Parquet file"):
        judged(content, ".parquet")


def test_a_row_group_that_would_become_all_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a megabyte of one letter takes a hundred bytes on disk."""
    monkeypatch.setattr("billing.sources.files.parquet_sizes.ROW_GROUP_LIMIT_BYTES", 500_000)
    content = parquet([event(room_id="x" * 500_000)])
    assert len(content) < 20_000
    with pytest.raises(BillingError, match=r"row group 0 has 500,\d+ bytes when it is uncompressed"):
        judged(content, ".parquet")


LONG = "x" * (1 << 20)


@pytest.mark.parametrize(
    ("column", "options"),
    [
        (pa.DictionaryArray.from_arrays(pa.array([0] * 300, pa.int32()), pa.array([LONG])), {}),
        (pa.DictionaryArray.from_arrays(pa.array([0] * 300, pa.int32()), pa.array([LONG.encode()])), {}),
        (pa.array([LONG] * 300), {"store_schema": False}),
        (pa.array([LONG] * 300), {"use_dictionary": False, "column_encoding": {"role": "DELTA_BYTE_ARRAY"}}),
        (pa.array([LONG.encode()] * 300, pa.binary(1 << 20)), {}),
    ],
    ids=["dictionary", "binary dictionary", "plain", "prefixes", "fixed length"],
)
def test_a_few_kilobytes_of_parquet_are_read_in_bounded_pieces(column: pa.Array, options: dict[str, Any]) -> None:
    """One text of a megabyte, of which every row is made."""
    rows = {name: pa.array([value] * 300) for name, value in EVENT.items()}
    buffer = io.BytesIO()
    pq.write_table(pa.table({**rows, "role": column}), buffer, compression="zstd", **options)
    assert len(buffer.getvalue()) < 20_000
    heights = [batch.frame.height for batch in event_file(buffer.getvalue(), ".parquet").batches()]
    assert sum(heights) == 300
    assert max(heights) <= parquet_sizes.BATCH_BYTES >> 20
    assert {reason for _, reason, _ in judged(buffer.getvalue(), ".parquet")[1]} <= {"too_long", "bad_type"}


def test_a_dictionary_that_is_too_large_to_be_measured_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_sizes, "DICTIONARY_LIMIT_BYTES", 500_000)
    column = pa.DictionaryArray.from_arrays(pa.array([0], pa.int32()), pa.array(["x" * 500_000]))
    with pytest.raises(BillingError, match=r"role has 500,\d+ bytes in row group 0"):
        judged(arrow(role=column), ".parquet")


def test_a_list_that_is_too_large_to_be_shown_is_refused_and_a_short_one_is_a_bad_type() -> None:
    with pytest.raises(BillingError, match=r"role.list.element is nested, and too large to be read"):
        judged(arrow(role=pa.array([[7] * 5_000_000])), ".parquet")
    assert reasons(arrow(role=pa.array([[7]])), ".parquet") == ["bad_type"]


def test_texts_of_usual_length_are_read_in_large_batches() -> None:
    content = parquet([event(event_id=f"e-{n}") for n in range(100_000)])
    assert [batch.frame.height for batch in event_file(content, ".parquet").batches()] == [100_000]


def test_a_parquet_row_of_more_than_a_mebibyte_is_too_long_and_only_its_beginning_is_kept() -> None:
    row = event(role="x" * 600_000, source="y" * 600_000)
    content = parquet([row, event(event_id="e-2")])
    accepted, rejected = judged(content, ".parquet")
    assert [each["event_id"] for each in accepted] == ["e-2"]
    assert rejected == [(1, "too_long", "the row has more than 1,048,576 bytes")]
    (raw,) = next(event_file(content, ".parquet").batches()).raw([0])
    assert (len(raw.text), raw.format) == (KEPT_BYTES, None)


def test_brackets_are_not_held_in_memory_with_their_row() -> None:
    """A line of 600 kB of empty objects takes 13 MB when it is read; hundreds of such lines are read at once."""
    line = b'{"event_id": "e", "app_id": [' + b"{}," * 200_000 + b'{}], "other": [[], []]}'
    (row,), problems = parse_lines([line], 0)
    assert (row, problems) == ({"event_id": "e", "app_id": []}, {})


def test_a_parquet_text_of_more_than_a_mebibyte_rejects_its_row_only() -> None:
    content = parquet([event(user_id="x" * (2**20 + 1)), event()])
    accepted, rejected = judged(content, ".parquet")
    assert len(accepted) == 1
    assert [reason for _, reason, _ in rejected] == ["bad_value"]
    assert len(raws(content, ".parquet")[0]) < 10_000


# All


@pytest.mark.parametrize("ending", [".ndjson", ".jsonl", ".json", ".csv", ".parquet"])
def test_an_empty_file_has_no_rows(ending: str) -> None:
    assert judged(b"", ending) == ([], [])


@pytest.mark.parametrize("ending", [".ndjson.gz", ".ndjson.zst", ".csv.gz", ".csv.zst"])
def test_compressed_files_are_read_in_all_their_parts(ending: str) -> None:
    compress = gzip.compress if ending.endswith(".gz") else zstandard.ZstdCompressor().compress
    content = csv([event(), event()]) if ".csv" in ending else ndjson([event(), event()])
    parts = compress(content[:50]) + compress(b"") + compress(content[50:])
    assert len(judged(parts, ending)[0]) == 2


@pytest.mark.parametrize("ending", [".ndjson.gz", ".ndjson.zst"])
@pytest.mark.parametrize("damage", ["cut", "garbage", "flipped", "trailing"])
def test_a_damaged_compressed_file_is_refused(ending: str, damage: str) -> None:
    compress = gzip.compress if ending.endswith(".gz") else zstandard.ZstdCompressor(write_checksum=True).compress
    whole = compress(ndjson(event(user_id=f"user-{n}") for n in range(1000)))
    middle = len(whole) // 2
    content = {
        "cut": whole[:-3],
        "garbage": b"hello",
        "flipped": whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :],
        "trailing": whole + b"hello",
    }[damage]
    with pytest.raises(BillingError, match=f"events{ending}: damaged or cut off"):
        judged(content, ending)


@pytest.mark.parametrize(("window_log", "is_read"), [(27, True), (28, False), (31, False)])
def test_a_window_that_takes_too_much_memory_is_the_reason_that_is_given(window_log: int, is_read: bool) -> None:
    """As `zstd --long=28` makes it; a smaller frame before it is no matter."""
    parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=window_log, enable_ldm=True)
    stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    frame = stream.compress(ndjson([event()])) + stream.flush()
    content = zstandard.ZstdCompressor().compress(ndjson([event(event_id="e-0")])) + frame
    if is_read:
        assert len(judged(content, ".ndjson.zst")[0]) == 2
        return
    with pytest.raises(BillingError, match=r"a window of more than 128 MiB.*recompress it with `zstd -d --long=31"):
        judged(content, ".ndjson.zst")


@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_a_bomb_is_read_in_bounded_pieces(ending: str) -> None:
    """256 MiB of zeros: one line that is too long."""
    if ending == ".gz":
        buffer = io.BytesIO()
        with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=1) as stream:
            for _ in range(256):
                stream.write(b"\0" * (1 << 20))
        content = buffer.getvalue()
    else:
        content = zstandard.ZstdCompressor().compress(b"\0" * (256 << 20))
    assert judged(content, f".ndjson{ending}")[1][0][2].startswith("the line has 268,435,456 bytes")


@pytest.mark.parametrize(
    "name", ["events", "events.txt", "events.gz", "events.parquet.gz", "events.xlsx", "events.tar.gz"]
)
def test_a_file_of_another_kind_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"x")
    with open_event_file(str(path), spool=tmp_path) as file, pytest.raises(BillingError, match="unknown kind of file"):
        list(file.batches())


def test_a_directory_and_a_missing_file_are_named(tmp_path: Path) -> None:
    with (
        pytest.raises(BillingError, match="is a directory: give the files in it"),
        open_event_file(str(tmp_path), spool=tmp_path),
    ):
        pass
    with pytest.raises(BillingError, match="there is no such file"), open_event_file("no.csv", spool=tmp_path):
        pass


def test_standard_input_is_json_unless_told_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for content, ending in ((ndjson([event()]), ".ndjson"), (csv([event()]), ".csv")):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        with open_event_file("-", spool=tmp_path, standard_input=ending) as file:
            assert [batch.frame.height for batch in file.batches()] == [1]
            assert [batch.frame.height for batch in file.batches()] == [1]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["pipe with a writer", "pipe", "socket", "/dev/zero", "/dev/null"])
def test_what_is_no_file_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    """Nobody may ever write to a pipe, and a device never ends: only standard input may wait."""
    path, held = kind, None
    if not kind.startswith("/dev"):
        path = str(tmp_path / "events.ndjson")
        if kind == "socket":
            held = socket.socket(socket.AF_UNIX)
            held.bind(path)
        else:
            os.mkfifo(path)
        if kind == "pipe with a writer":
            held = open(path, "r+b", buffering=0)  # noqa: SIM115 - both ends, so that opening does not wait
            held.write(ndjson([event()]))
    try:
        with pytest.raises(BillingError) as refused, open_event_file(path, spool=tmp_path):
            pass
    finally:
        if held:
            held.close()
    assert str(refused.value).startswith(f"{path}: ")
    assert "\n" not in str(refused.value)


def test_a_file_that_grows_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    path.write_bytes(ndjson([event()]))
    with open_event_file(str(path), spool=tmp_path) as file:
        file.check_unchanged()
        with path.open("ab") as more:
            more.write(b"\n")
        with pytest.raises(BillingError, match="changed while it was read"):
            file.check_unchanged()


def test_patterns_are_expanded_in_order_and_names_are_left_alone(tmp_path: Path) -> None:
    for name in ("b.ndjson", "a.ndjson", "[x].ndjson", "c.csv"):
        (tmp_path / name).touch()
    found = expand([f"{tmp_path}/*.ndjson", f"{tmp_path}/[x].ndjson", f"{tmp_path}/*.zip", "-"])
    names = ["[x].ndjson", "a.ndjson", "b.ndjson", "[x].ndjson", "*.zip"]
    assert found == [*(f"{tmp_path}/{name}" for name in names), "-"]


def test_the_lines_of_a_trace_keep_their_numbers_and_one_that_is_too_long_is_set_aside() -> None:
    content = b"first\r\n\n" + b"x" * (2 * LINE_LIMIT_BYTES) + b"\nlast"
    rejected: list[RejectedRow] = []
    found = list(event_file(content).trace_lines(rejected))
    name = "events.ndjson"
    assert found == [TraceLine(name, 1, b"first"), TraceLine(name, 2, b""), TraceLine(name, 4, b"last")]
    assert [(row.line, row.reason) for row in rejected] == [(3, "too_long")]


def test_a_parquet_file_whose_rows_name_values_that_its_dictionary_lacks_is_damaged() -> None:
    content = (Path(__file__).parent / "damaged" / "index-beyond-dictionary.parquet").read_bytes()
    with pytest.raises(BillingError, match="not a readable Parquet file: a row names a value that the dictionary"):
        list(event_file(content, ".parquet").batches())
