"""Lines that machine code reads mean what the same lines mean one by one."""

from collections.abc import Iterator
from unittest import mock

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from billing.events.coded_texts import CodedRows
from billing.events.rows import Batch, RawRow
from billing.events.schema import EVENT_SCHEMA
from billing.sources.files import fast_ndjson
from billing.sources.files import lines as lines_module
from billing.sources.files.ndjson import parse_lines, read_ndjson, typed

LIMIT = 50  # bytes of a line
SPACES = st.sampled_from([b""] * 6 + [b" ", b"\t", b" \r ", b"\x0b", b"\xc2\xa0"])
NAMES = st.sampled_from([*EVENT_SCHEMA] * 3 + ["", "apps", "app_i", "app_id_", "App_id", "t\\u0079pe", "é"]).map(
    str.encode
)
WORDS = st.sampled_from(
    ["enter", "video_on", "a/camera", "2026-03-10T09:00:00+09:00", "", "é€𝄞", "\x7f", "null", "{", '\\"', "\\n"]
)
TEXTS = (WORDS | st.text(max_size=6)).map(lambda text: b'"' + text.encode(errors="replace") + b'"')
NUMBERS = st.one_of(
    st.integers(-(10**20), 10**20).map(str),
    st.sampled_from(
        ["0", "-0", "01", "-", "1.0", "1e3", "999999999999999999", "9999999999999999999", "-9223372036854775808", "+1"]
    ),
).map(str.encode)
OTHERS = st.sampled_from(
    [b"null"] * 4
    + [b"nul", b"nulls", b"true", b"NaN", b"[1]", b"{}", b'"\xff"', b'"\xed\xa0\x80"', b'"\x1f"', b'"\0"', b'"']
)
VALUES = TEXTS | NUMBERS | OTHERS


@st.composite
def lines(draw: st.DrawFn) -> bytes:
    """An object, more or less; one in a few has something cut out or put in."""
    parts = [draw(SPACES), b"{"]
    for number in range(draw(st.integers(0, 5))):
        parts += [b"," if number else b"", draw(SPACES), b'"', draw(NAMES), b'"', draw(SPACES), b":", draw(SPACES)]
        parts += [draw(VALUES), draw(SPACES)]
    line = b"".join([*parts, b"}", draw(SPACES)])
    if draw(st.integers(0, 3)) == 0:
        begin = draw(st.integers(0, len(line)))
        instead = draw(st.sampled_from([b"", b",", b'"', b"}", b"\\", b"\n", b"\r", b"\xff"]))
        line = line[:begin] + instead + line[begin + draw(st.integers(0, 3)) :]
    return line


@given(
    st.lists(lines() | st.sampled_from([b"", b" ", b"\x0c", b"\r"]), max_size=6).map(b"\n".join),
    st.sampled_from([b"", b"\n"]),
    *(st.integers(1, most) for most in (LIMIT, 4, 300)),
)
def test_lines_read_together_mean_what_each_means_alone(
    content: bytes, end: bytes, chunk_bytes: int, batch_rows: int, batch_bytes: int
) -> None:
    rows = list(rows_of(content))
    chunks = [(content + end)[at : at + chunk_bytes] for at in range(0, len(content + end), chunk_bytes)]
    with (
        mock.patch.object(lines_module, "LINE_LIMIT_BYTES", LIMIT),
        mock.patch.multiple(fast_ndjson, BATCH_ROWS=batch_rows, BATCH_BYTES=batch_bytes),
    ):
        batches = list(read_ndjson(chunks))
        expected = [
            (*typed([number], [number], *parse_lines([line], size)).rows(), line.decode(errors="backslashreplace"))
            for number, line, size in rows
        ]
    found = [(row, raw.text) for each in batches for row, raw in zip(decoded(each).rows(), raws(each), strict=True)]
    assert found == expected
    assert all(0 < batch.frame.height <= batch_rows for batch in batches)


def rows_of(content: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Lines that are rows: number, text, and 0 or the length of one that is too long, cut off."""
    for number, line in enumerate(content.split(b"\n"), 1):
        text = line.removesuffix(b"\r")
        if len(text) > LIMIT:
            yield number, line[: LIMIT + 1].removesuffix(b"\r"), len(line)
        elif text and not text.isspace():
            yield number, text, 0


def raws(batch: Batch) -> list[RawRow]:
    return batch.raw(range(batch.frame.height))


def decoded(batch: Batch) -> pl.DataFrame:
    """The rows of a batch with their texts."""
    return CodedRows(frame=batch.frame, values=batch.values).decoded()
