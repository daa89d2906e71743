import csv
from datetime import date
from decimal import Decimal
from io import StringIO

import pandas as pd
import pytest

from billing.cli.report_tables import write_table
from billing.reports.row_formats import Report, write_csv, write_json


def table(report: Report, width: int = 80) -> str:
    stream = StringIO()
    write_table(report, stream, width)
    return stream.getvalue()


def json_text(report: Report) -> str:
    stream = StringIO()
    write_json(report, stream)
    return stream.getvalue()


def csv_text(report: Report) -> str:
    stream = StringIO()
    write_csv(report, stream)
    return stream.getvalue()


ROWS = [
    {"day": date(2026, 3, 1), "app_id": 1400000001, "seconds": 1200, "unit_price": Decimal("0.00099000"), "note": None},
    {"day": date(2026, 3, 2), "app_id": 1400000001, "seconds": 30, "unit_price": Decimal("12.5"), "note": "a,b\n"},
]
FIELDS = ("day", "app_id", "seconds", "unit_price", "note")


def test_json_is_one_array_of_objects_with_exact_decimals() -> None:
    assert json_text(Report(fields=FIELDS, rows=ROWS)) == (
        '[{"day": "2026-03-01", "app_id": 1400000001, "seconds": 1200, "unit_price": "0.00099", "note": null},\n'
        ' {"day": "2026-03-02", "app_id": 1400000001, "seconds": 30, "unit_price": "12.5", "note": "a,b\\n"}]\n'
    )


def test_json_of_no_rows_is_an_empty_array() -> None:
    assert json_text(Report(fields=FIELDS, rows=[])) == "[]\n"


def test_json_is_ascii_and_cuts_nothing() -> None:
    text = json_text(Report(fields=["raw"], rows=[{"raw": "部屋" * 500}]))
    assert text.isascii()
    assert text.count("\\u90e8") == 500


def test_csv_has_a_header_even_without_rows() -> None:
    assert csv_text(Report(fields=FIELDS, rows=[])) == "day,app_id,seconds,unit_price,note\n"


def test_csv_quotes_and_leaves_absent_values_empty() -> None:
    assert csv_text(Report(fields=FIELDS, rows=ROWS)) == (
        'day,app_id,seconds,unit_price,note\n2026-03-01,1400000001,1200,0.00099,\n2026-03-02,1400000001,30,12.5,"a,b\n"\n'
    )


TEXTS = ("a,b", 'a"b', "a\rb", "a\nb\r\n", " ", "é部屋\U0001f600", "\u2028", "'", "x'y", "-", "-5", "+1.50", "1=2")


def test_csv_is_read_back_as_it_was_by_python_and_pandas() -> None:
    rows = [{"user_id": text, "amount": Decimal("-0.003"), "last": "z"} for text in TEXTS]
    text = csv_text(Report(fields=("user_id", "amount", "last"), rows=rows))
    read = list(csv.DictReader(StringIO(text, newline="")))
    assert read == [{"user_id": text, "amount": "-0.003", "last": "z"} for text in TEXTS]
    frame = pd.read_csv(StringIO(text, newline=""), dtype={"user_id": str}, keep_default_na=False)
    assert tuple(frame["user_id"]) == TEXTS
    assert frame["amount"].sum() < 0


@pytest.mark.parametrize("text", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(1)", "\t=1", "\r=1", "'=1", "''-1+1"])
def test_text_cannot_become_a_formula_in_csv_and_one_apostrophe_undoes_it(text: str) -> None:
    (row,) = list(csv.reader(StringIO(csv_text(Report(fields=["room_id"], rows=[{"room_id": text}])), newline="")))[1:]
    assert row == [f"'{text}"]


def test_rows_inside_of_a_row_are_json_in_csv() -> None:
    report = Report(fields=["items"], rows=[{"items": ({"price": Decimal("1.50")},)}])
    assert csv_text(report) == 'items\n"[{""price"": ""1.5""}]"\n'


def test_a_table_aligns_numbers_sums_them_and_says_once_what_is_always_the_same() -> None:
    report = Report(fields=FIELDS, rows=ROWS, sums=("seconds", "unit_price"), once=("app_id",))
    assert table(report) == (
        "app_id 1400000001\n"
        "\n"
        "                         unit\n"
        "day         seconds     price  note\n"
        "----------  -------  --------  -----\n"
        "2026-03-01    1,200   0.00099\n"
        "2026-03-02       30  12.50000  a,b\\n\n"
        "----------  -------  --------  -----\n"
        "total         1,230  12.50099\n"
    )


def test_one_row_has_no_total() -> None:
    assert table(Report(fields=("day", "seconds"), rows=ROWS[:1], sums=("seconds",))) == (
        "day         seconds\n----------  -------\n2026-03-01    1,200\n"
    )


def test_long_text_is_cut_to_the_width_and_ids_are_not() -> None:
    rows = [{"id": "0123456789abcdef-1", "detail": "d" * 40, "raw": "r" * 500}]
    lines = table(Report(fields=("id", "detail", "raw"), rows=rows)).splitlines()
    assert max(map(len, lines)) == 80
    assert lines[-1].startswith("0123456789abcdef-1 ")
    assert lines[-1].endswith("r…")


@pytest.mark.parametrize("text", ["部" * 100, "\x1b[31m" * 20, "á" * 90])
def test_wide_and_unprintable_characters_keep_a_table_in_shape(text: str) -> None:
    wide = [{"raw": text, "line": 7}]
    row = table(Report(fields=("raw", "line"), rows=wide), width=40).splitlines()[-1]
    assert row.isprintable()
    assert row.endswith("7")
    assert len(row) + sum(character == "部" for character in row) == 40


def test_a_table_shows_text_that_looks_like_markup_as_it_is() -> None:
    for text in ("[bold]x[/bold]", "[/]", ":smile:", "http://x.example", "\\[red]"):
        assert table(Report(fields=["raw"], rows=[{"raw": text}])).splitlines()[-1] == text


def test_all_text_is_cut_when_long_text_alone_does_not_make_room_but_no_number() -> None:
    rows = [{"id": "i" * 90, "detail": "d" * 90, "amount": 10**30}]
    lines = table(Report(fields=("id", "detail", "amount"), rows=rows), width=70).splitlines()
    assert max(map(len, lines)) == 70
    assert lines[-1].endswith(f" ddddddddd… {10**30:,}")


def test_a_terminal_shows_the_head_in_bold_and_nothing_else_in_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = StringIO()
    stream.isatty = lambda: True  # type: ignore[method-assign]
    write_table(Report(fields=("day", "seconds"), rows=ROWS[:1]), stream, 80)
    head, *rows = stream.getvalue().splitlines()
    assert "\x1b[1m" in head
    assert rows == table(Report(fields=("day", "seconds"), rows=ROWS[:1])).splitlines()[1:]


def test_an_instant_that_is_a_midnight_shows_its_day() -> None:
    rows = [{"expires_at": "2026-04-01T00:00:00+09:00"}]
    assert table(Report(fields=["expires_at"], rows=rows)) == "expires_at\n----------\n2026-04-01\n"
    rows.append({"expires_at": "2026-04-01T00:05:00+09:00"})
    assert "2026-04-01T00:00:00+09:00" in table(Report(fields=["expires_at"], rows=rows))
