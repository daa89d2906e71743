"""What makes a row an event: the rules of every column, and the one reason of a row that breaks some."""

import json

import polars as pl
import pytest

from billing.events.validation import encoding, event_id_of
from tests.event_facts import ABSENT, AT, NOW_MS, csv, event, judged, ndjson, parquet, reasons


def accepted(**changes: object) -> dict[str, object]:
    """The event as it is accepted from NDJSON with these changes."""
    events, rejected = judged(ndjson([event(**changes)]))
    assert not rejected
    return events[0]


def rejected(**changes: object) -> tuple[str, str]:
    """Reason and detail with which the event is rejected."""
    events, found = judged(ndjson([event(**changes)]))
    assert not events
    return found[0][1:]


def test_a_valid_event_keeps_every_column() -> None:
    optional = {"seq": -3, "role": "anchor", "reason": "left", "source": "hook"}
    optional |= {"connection": "c1", "receives": "all", "assumed": "size,receives"}
    assert accepted(**optional) == event(**optional, task_id=None, service=None)
    of_task = {"type": "video_off", "stream": "a/camera", "task_id": "t", "service": "recording"}
    found = accepted(**of_task, seq=4)
    assert {name: value for name, value in found.items() if value is not None} == event(**of_task, seq=4)


def test_absent_seq_is_zero_and_other_absent_columns_are_null() -> None:
    absent = dict.fromkeys(["role", "reason", "source", "connection", "receives", "assumed"])
    assert accepted() == event(seq=0, **absent, task_id=None, service=None)
    assert accepted(**dict.fromkeys(absent, "")) == accepted()


def test_null_counts_as_absent_and_unknown_keys_are_ignored() -> None:
    assert accepted(seq=None, role=None, colour="red", nested={"a": [1.5, None]}) == accepted()


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("event_id", ["x", "x" * 128, "é" * 128]),
        ("app_id", [1400000001, 1400000002]),
        ("room_id", ["1", "r" * 255, "é" * 127, " "]),
        ("user_id", ["a", "u" * 255, "é" * 127, "=cmd", "a/b", "\u2028"]),
        ("seq", [0, -1, 2**63 - 1, -(2**63)]),
        ("stream", ["/camera", "a/camera", "a/b/screen", "x" * 248 + "/screen"]),
        ("connection", ["c", "x" * 128, "é" * 64]),
        ("receives", ["all"]),
        ("assumed", ["size", "receives", "size,receives"]),
        ("width", [1, 16384]),
        ("height", [1, 16384]),
        ("role", ["x", "x" * 1000]),
    ],
)
def test_values_within_their_bounds_are_accepted(column: str, values: list[object]) -> None:
    assert [accepted(**{column: value})[column] for value in values] == values


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("event_id", ["", "x" * 129, "a\0"]),
        ("app_id", [0, -1, 2**53 + 1, 2**63, -(2**63) - 1]),
        ("room_id", ["", "r" * 256, "é" * 128, "a\0b", 2**64]),
        ("user_id", ["", "u" * 256, "é" * 128, "\0", "\ud800"]),
        ("seq", [2**63, -(2**63) - 1]),
        ("type", ["", "Enter", "join", "enter\0"]),
        ("stream", ["", "camera", "a/Camera", "a/camera ", "a/video", "x" * 249 + "/camera"]),
        ("connection", ["x" * 129, "é" * 65, "a\0"]),
        ("receives", ["none", "All"]),
        ("assumed", ["width", "size,", "all"]),
        ("width", [0, -1, 16385]),
        ("height", [0, 16385, 2**64]),
        ("at", [AT // 1000, -1, 1_420_070_399_999, 2**63, "", "yesterday", "2026-03-10"]),
        ("role", ["a\0", "\udfff"]),
    ],
)
def test_values_out_of_bounds_are_bad_value(column: str, values: list[object]) -> None:
    for value in values:
        reason, detail = rejected(**{column: value})
        assert reason == "bad_value", value
        assert detail.startswith(column)


@pytest.mark.parametrize("column", ["app_id", "at", "seq", "width", "height"])
@pytest.mark.parametrize("value", [12.0, 1e3, True, [], {}, [1]])
def test_a_number_must_be_an_integer(column: str, value: object) -> None:
    assert rejected(**{column: value})[0] == "bad_type"


@pytest.mark.parametrize("column", ["app_id", "seq", "width", "height"])
def test_digits_in_json_text_are_no_number(column: str) -> None:
    assert rejected(**{column: "12"}) == ("bad_type", f"{column} must be an integer, not text")


@pytest.mark.parametrize("column", ["event_id", "user_id", "type", "stream", "role", "reason", "source"])
@pytest.mark.parametrize("value", [12, 1.5, False, [], {}])
def test_a_text_must_be_text(column: str, value: object) -> None:
    assert rejected(**{column: value})[0] == "bad_type"


def test_a_room_id_may_be_an_integer_and_becomes_its_decimal_text() -> None:
    assert [accepted(room_id=room)["room_id"] for room in (7, 2**64 - 1, -1)] == ["7", str(2**64 - 1), "-1"]
    assert rejected(room_id=7.0)[0] == rejected(room_id=True)[0] == "bad_type"


@pytest.mark.parametrize("column", ["app_id", "room_id", "user_id", "at", "type", "stream", "width", "height"])
def test_what_is_required_of_video_on(column: str) -> None:
    assert rejected(**{column: ABSENT}) == rejected(**{column: None}) == ("missing_field", f"{column} is missing")


def test_video_off_needs_its_stream_but_no_size() -> None:
    assert accepted(type="video_off", width=ABSENT, height=ABSENT)["width"] is None
    assert rejected(type="video_off", stream=ABSENT)[0] == "missing_field"


@pytest.mark.parametrize("kind", ["enter", "exit", "disconnect", "reconnect"])
def test_other_events_need_a_user_but_no_stream(kind: str) -> None:
    nothing = {"stream": ABSENT, "width": ABSENT, "height": ABSENT}
    assert accepted(type=kind, **nothing)["type"] == kind
    assert rejected(type=kind, user_id=ABSENT, **nothing)[0] == "missing_field"


def test_only_dismiss_needs_no_user() -> None:
    assert accepted(type="dismiss", user_id=ABSENT)["user_id"] is None
    assert rejected(type="dismiss", user_id="")[0] == "bad_value"


def test_a_value_is_checked_also_where_the_type_has_no_use_for_it() -> None:
    assert rejected(type="enter", width=0)[0] == "bad_value"


@pytest.mark.parametrize(
    ("text", "after_midnight_ms"),
    [
        ("2026-03-10T00:00:00Z", 0),
        ("2026-03-10t00:00:00z", 0),
        ("2026-03-10 00:00:00Z", 0),
        ("2026-03-10T09:00:00+09:00", 0),
        ("2026-03-09T18:30:00-05:30", 0),
        ("2026-03-10T00:00:00-00:00", 0),
        ("2026-03-10T00:00:00.5Z", 500),
        ("2026-03-10T00:00:00.05Z", 50),
        ("2026-03-10T00:00:00.9999999999Z", 999),
        ("2026-03-10T00:00:01.001+00:00", 1001),
    ],
)
def test_an_rfc_3339_time_is_taken_to_the_millisecond_it_is_in(text: str, after_midnight_ms: int) -> None:
    assert accepted(at=text)["at"] == AT + after_midnight_ms


@pytest.mark.parametrize(
    "text",
    [
        "2026-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-03-10T24:00:00Z",
        "2026-03-10T23:59:60Z",
        "2026-03-10T00:60:00Z",
        "2026-03-10T00:00Z",
        "2026-03-10T00:00:00+0900",
        "2026-03-10T00:00:00+24:00",
        "2026-03-10T00:00:00+09:60",
        "2026-03-10T00:00:00.Z",
        "2026-03-10T00:00:00Z\n",
        " 2026-03-10T00:00:00Z",
        "٢٠٢٦-03-10T00:00:00Z",
        "1773100800000",
        "2014-12-31T23:59:59.999Z",
    ],
)
def test_other_texts_are_no_time(text: str) -> None:
    assert rejected(at=text)[0] == "bad_value"


@pytest.mark.parametrize("text", ["2026-03-10T00:00:00", "2026-03-10 00:00:00.123", "2099-01-01T00:00:00"])
def test_a_time_without_an_offset_is_no_offset(text: str) -> None:
    assert rejected(at=text)[0] == "no_offset"


def test_time_is_bounded_by_2015_and_five_minutes_ahead_of_now() -> None:
    assert accepted(at="2015-01-01T00:00:00Z")["at"] == 1_420_070_400_000
    assert accepted(at=NOW_MS + 300_000)["at"] == NOW_MS + 300_000
    assert rejected(at=NOW_MS + 300_001)[0] == "future"
    assert rejected(at="9999-12-31T23:59:59Z")[0] == "future"


def test_an_app_must_be_known() -> None:
    reason, detail = rejected(app_id=5)
    assert reason == "unknown_app"
    assert detail.startswith("app 5 is not in the catalog")


def test_a_row_has_the_first_reason_in_a_fixed_order() -> None:
    """Each change is repaired after the reason that it caused was given."""
    broken = {"width": 1.0, "stream": ABSENT, "user_id": "u" * 256, "at": NOW_MS * 2, "app_id": 5}
    found = []
    for column in broken:
        found.append(rejected(**broken)[0])
        broken[column] = event()[column]
    assert found == ["bad_type", "missing_field", "bad_value", "future", "unknown_app"]
    assert accepted(**broken)


def test_an_event_without_an_id_has_the_same_id_in_every_format() -> None:
    row = event(event_id=ABSENT, room_id="7", role="", source="x")
    columns = [name for name in (*row, "seq", "reason") if name != "event_id"]
    ids = [
        judged(content, ending)[0][0]["event_id"]
        for content, ending in [
            (ndjson([row]), ".ndjson"),
            (ndjson([{**row, "room_id": 7, "seq": 0, "at": "2026-03-10T09:00:00+09:00"}]), ".ndjson"),
            (parquet([row]), ".parquet"),
            (csv([row], columns), ".csv"),
        ]
    ]
    assert len(set(ids)) == 1


def test_the_id_of_an_event_without_one_never_changes() -> None:
    assert accepted(event_id=ABSENT)["event_id"] == "2ca30eb89830e205d0f8709b5e966ea1"


def test_an_empty_role_reason_or_source_is_absent() -> None:
    assert accepted(role="", reason="", source="") == accepted()


def test_the_encoding_holds_every_column_but_the_id() -> None:
    columns = ["1400000001", "room", "alice", str(AT), "0", "video_on", "bob/camera", "640", "360", "", "left", ""]
    assert pl.DataFrame([accepted(reason="left")]).select(encoding()).item() == "\0".join(columns)
    assert event_id_of("") == "99aa06d3014798d86001c324468d497f"  # XXH3-128 of nothing, as published


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"hello",
        b"[]",
        b'"text"',
        b"12",
        b"null",
        b"{} {}",
        b"{'a': 1}",
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": 1, "a": 1}',
        b'{"a": {"b": 1, "b": 2}}',
        b'{"a": "\xff"}',
        b'{"a": "\xed\xa0\x80"}',
        b'{"a": "tab\tin text"}',
        b'{"a": 01}',
        b"\x00\x01\x02",
        b"\xff\xfe{\x00}\x00",
        b'{"a":' * 100_000,
        b"[" * 200_000,
    ],
    ids=lambda line: line[:20].decode("ascii", "backslashreplace"),
)
def test_a_line_that_is_not_one_json_object_is_bad_json(line: bytes) -> None:
    assert reasons(line + b"\n") == ["bad_json"]


def test_numbers_of_any_length_are_json() -> None:
    line = json.dumps(event()).encode()
    assert not reasons(line.replace(b"{", b'{"unknown": ' + b"9" * 5000 + b", ", 1))
    assert reasons(line.replace(b": 640", b": -" + b"9" * 5000)) == ["bad_value"]
    assert reasons(line.replace(b": 640", b": 1e400")) == ["bad_type"]
