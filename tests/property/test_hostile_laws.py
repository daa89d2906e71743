"""Hostile files: bytes that nobody meant, and good files that were damaged, are read or refused, and nothing else."""

import gzip
import json

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.reading import ENDINGS, good, read

# Where in a file of any length, what stands there then, and how many bytes go.
_INSTEAD = st.binary(max_size=12) | st.sampled_from([b'"', b"\0", b"\n", b"\xff", b",", b"{"])
EDITS = st.lists(
    st.tuples(st.floats(0, 1), _INSTEAD, st.integers(0, 40)),
    min_size=1,
    max_size=4,
)


@pytest.mark.parametrize("ending", ENDINGS)
@given(edits=EDITS)
def test_a_good_file_with_damage_is_read_or_refused(ending: str, edits: list[tuple[float, bytes, int]]) -> None:
    content = good(ending)
    for where, instead, gone in edits:
        at = int(where * len(content))
        content = content[:at] + instead + content[at + gone :]
    read(content, ending)


@pytest.mark.parametrize("ending", ENDINGS)
@given(content=st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(ending: str, content: bytes) -> None:
    read(content, ending)
    if ending.endswith(".gz"):
        read(gzip.compress(content), ending)
    if ending.endswith(".zst"):
        read(zstandard.ZstdCompressor().compress(content), ending)


@pytest.mark.parametrize("ending", [".ndjson", ".csv", ".toml"])
@given(content=st.text(max_size=200))
def test_any_text_is_read_or_refused(ending: str, content: str) -> None:
    read(content.encode(errors="surrogatepass"), ending)


@given(
    fields=st.dictionaries(
        st.sampled_from(["event_id", "app_id", "room_id", "user_id", "at", "seq", "type", "stream", "width", "height"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("enter"),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
            max_leaves=5,
        ),
    )
)
def test_any_values_in_an_event_are_judged(fields: dict[str, object]) -> None:
    read(json.dumps(fields).encode() + b"\n", ".ndjson")
