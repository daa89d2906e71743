"""Content encodings: bodies are what they were, and never larger than is taken."""

import gzip
import zlib
from collections.abc import Callable
from contextlib import suppress

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from billing.web.content_encodings import ENCODINGS, LARGEST_BODY, DamagedError, TooLargeError, decoded

PACK: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "zstd": zstandard.ZstdCompressor().compress}
EACH = pytest.mark.parametrize("encoding", ENCODINGS)


@EACH
@given(parts=st.lists(st.binary(max_size=5000), min_size=1, max_size=3))
def test_members_one_after_the_other_are_one_body(encoding: str, parts: list[bytes]) -> None:
    assert decoded(b"".join(map(PACK[encoding], parts)), encoding) == b"".join(parts)


@EACH
def test_exactly_the_largest_body_is_taken_and_one_byte_more_is_not(encoding: str) -> None:
    assert len(decoded(PACK[encoding](bytes(LARGEST_BODY)), encoding)) == LARGEST_BODY
    with pytest.raises(TooLargeError):
        decoded(PACK[encoding](bytes(LARGEST_BODY + 1)), encoding)
    halves = PACK[encoding](bytes(LARGEST_BODY // 2))
    with pytest.raises(TooLargeError):
        decoded(halves + halves + PACK[encoding](b"x"), encoding)


@EACH
@given(body=st.binary(min_size=1, max_size=200), data=st.data())
def test_a_body_that_is_cut_off_is_damaged(encoding: str, body: bytes, data: st.DataObject) -> None:
    packed = PACK[encoding](body)
    with pytest.raises(DamagedError):
        decoded(packed[: data.draw(st.integers(1, len(packed) - 1))], encoding)


@EACH
@given(body=st.binary(min_size=1, max_size=200))
def test_what_is_not_packed_is_damaged_or_by_chance_a_body(encoding: str, body: bytes) -> None:
    with suppress(DamagedError, TooLargeError):
        assert isinstance(decoded(body, encoding), bytes)


@EACH
def test_thousands_of_empty_members_are_refused(encoding: str) -> None:
    with pytest.raises(DamagedError, match="more than 100"):
        decoded(PACK[encoding](b"") * 101, encoding)


def test_a_window_larger_than_a_body_is_not_kept_in_memory() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=27, enable_ldm=True)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    packed = packer.compress(b"x") + packer.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK) + packer.flush()
    with pytest.raises((DamagedError, TooLargeError)):
        decoded(packed, "zstd")


def test_bytes_after_a_gzip_member_are_not_ignored() -> None:
    with pytest.raises(DamagedError):
        decoded(gzip.compress(b"x") + b"rest", "gzip")
    with pytest.raises(DamagedError):
        decoded(zlib.compress(b"x"), "gzip")
