"""Laws of lines: however a file is read, it has the same lines, and too long is too long."""

from collections.abc import Iterable, Iterator
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st

from billing.sources.files import lines
from billing.sources.files.lines import Block, line_blocks

LIMIT = 16
TEXTS = st.one_of(
    st.sampled_from([b"", b"\r", b"x" * LIMIT, b"y" * LIMIT + b"\r", b"z" * (LIMIT + 1), b"long" * LIMIT]),
    st.binary(max_size=12).map(lambda text: text.replace(b"\n", b"")),
)
CONTENT = st.tuples(
    st.sampled_from([b"", b"\xef\xbb\xbf"]), st.lists(TEXTS, max_size=30).map(b"\n".join), st.sampled_from([b"", b"\n"])
).map(b"".join)


def numbered(blocks: Iterable[Block]) -> Iterator[tuple[int, bytes, int]]:
    for block in blocks:
        assert len(block.lines) == block.size
        for number, line in enumerate(block.lines, block.first):
            yield number, line, block.long_bytes if number == block.first else 0


def obvious(content: bytes) -> Iterator[tuple[int, bytes, int]]:
    texts = content.split(b"\n")
    if not texts[-1]:
        texts.pop()
    for number, text in enumerate(texts, 1):
        if len(text.removesuffix(b"\r")) > LIMIT:
            yield number, b"", len(text)
        else:
            yield number, text.removeprefix(b"\xef\xbb\xbf") if number == 1 else text, 0


@given(CONTENT, st.integers(1, LIMIT), st.integers(1, 90), st.integers(1, 9))
def test_a_file_has_the_same_lines_however_it_is_cut_and_put_together(
    content: bytes, chunk_bytes: int, most_bytes: int, most_lines: int
) -> None:
    chunks = [content[at : at + chunk_bytes] for at in range(0, len(content), chunk_bytes)]
    with mock.patch.multiple(lines, LINE_LIMIT_BYTES=LIMIT, KEPT_BYTES=0):
        pieces = list(numbered(line_blocks(chunks)))
        blocks = list(numbered(line_blocks(chunks, most_bytes=most_bytes, most_lines=most_lines)))
    assert pieces == blocks == list(obvious(content))
