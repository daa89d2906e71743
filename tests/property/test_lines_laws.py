"""Laws of lines: however a file is read, it has the same lines, and too long is too long."""

from collections.abc import Iterator
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st

from billing.sources.files import lines
from billing.sources.files.lines import numbered_lines

LIMIT = 16
TEXTS = st.one_of(
    st.sampled_from([b"", b"\r", b"x" * LIMIT, b"y" * LIMIT + b"\r", b"z" * (LIMIT + 1), b"long" * LIMIT]),
    st.binary(max_size=12).map(lambda text: text.replace(b"\n", b"")),
)
CONTENT = st.tuples(
    st.sampled_from([b"", b"\xef\xbb\xbf"]), st.lists(TEXTS, max_size=30).map(b"\n".join), st.sampled_from([b"", b"\n"])
).map(b"".join)


def obvious(content: bytes) -> Iterator[tuple[int, bytes, int]]:
    texts = content.split(b"\n")
    if not texts[-1]:
        texts.pop()
    for number, text in enumerate(texts, 1):
        if len(text.removesuffix(b"\r")) > LIMIT:
            yield number, b"", len(text)
        else:
            yield number, text.removeprefix(b"\xef\xbb\xbf") if number == 1 else text, 0


@given(CONTENT, st.integers(1, LIMIT))
def test_a_file_has_the_same_lines_however_it_is_cut(content: bytes, chunk_bytes: int) -> None:
    chunks = [content[at : at + chunk_bytes] for at in range(0, len(content), chunk_bytes)]
    with mock.patch.multiple(lines, LINE_LIMIT_BYTES=LIMIT, KEPT_BYTES=0):
        assert list(numbered_lines(chunks)) == list(obvious(content))
