"""Lines that machine code reads mean what the same lines mean one by one."""

from hypothesis import given
from hypothesis import strategies as st

from billing.events.coded_texts import CodedRows
from billing.events.schema import EVENT_SCHEMA
from billing.sources.files.ndjson import parse_lines, read_ndjson, typed

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


@given(st.lists(lines() | st.sampled_from([b"", b" ", b"\x0c", b"\r"]), max_size=6), st.booleans())
def test_lines_read_together_mean_what_each_means_alone(lines: list[bytes], ends: bool) -> None:
    content = b"\n".join(lines) + (b"\n" if ends else b"")
    rows = [(number, line.removesuffix(b"\r")) for number, line in enumerate(content.split(b"\n"), 1)]
    rows = [(number, line) for number, line in rows if line and not line.isspace()]
    numbers = [number for number, _ in rows]
    expected = typed(numbers, numbers, *parse_lines([line for _, line in rows], 0))
    batches = list(read_ndjson([content] if content else []))
    assert sum(batch.frame.height for batch in batches) == len(rows)
    for batch in batches:
        assert CodedRows(frame=batch.frame, values=batch.values).decoded().rows() == expected.rows()
        raw = batch.raw(range(len(rows)))
        assert [each.text for each in raw] == [line.decode(errors="backslashreplace") for _, line in rows]
