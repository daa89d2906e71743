"""The keys of events: a named hash of fixed meaning, the same for every version of the program."""

import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from billing import numba_cache
from billing.events.keys import CHECK, PERSON, SCREEN_BIT, event_keys, name_keys, text_hashes
from billing.events.schema import CONNECTION_KEYS_SCHEMA, EVENT_SCHEMA, KEYS_SCHEMA
from tests.event_facts import event


@given(
    rows=st.lists(st.tuples(st.text(max_size=80), st.integers(0, 2**64 - 1)), max_size=20), skipped=st.integers(0, 5)
)
def test_a_hash_is_xxh64_of_the_text_in_utf_8(rows: list[tuple[str, int]], skipped: int) -> None:
    """Also of a column that does not begin at the beginning of its memory."""
    texts = pl.Series([text for text, _ in rows], dtype=pl.String)[skipped:]
    seeds = np.array([seed for _, seed in rows], np.uint64)[skipped:]
    hashes, checks = text_hashes(texts, seeds)
    for text, seed, found, check in zip(texts, seeds, hashes, checks, strict=True):
        assert found == xxhash.xxh64_intdigest(text.encode(), int(seed))
        assert check == xxhash.xxh64_intdigest(text.encode(), int(seed) ^ CHECK)


def test_texts_of_every_length_are_hashed_to_their_last_letter() -> None:
    """The hash goes by pieces of 32, 8, 4 and 1; the extra seed is added to each."""
    texts = pl.Series([bytes(range(32, 32 + length)).decode() for length in range(90)])
    for part in (texts, texts[7:]):
        hashes, checks = text_hashes(part, np.full(len(part), 2**64 - 3, np.uint64), seed=5)
        assert hashes.tolist() == [xxhash.xxh64_intdigest(text.encode(), 2) for text in part]
        assert checks.tolist() == [xxhash.xxh64_intdigest(text.encode(), 2 ^ CHECK) for text in part]


def test_an_absent_text_is_hashed_like_an_empty_one() -> None:
    hashes, _ = text_hashes(pl.Series(["", None], dtype=pl.String), np.zeros(2, np.uint64))
    assert hashes[0] == hashes[1]


def test_what_stored_keys_are_made_of_never_changes() -> None:
    assert (CHECK, PERSON, SCREEN_BIT) == (0x9E3779B97F4A7C15, 0xD1B54A32D192ED03, 2**29)


def test_the_keys_of_an_event_are_those_that_are_written_down() -> None:
    rows = [
        event(app_id=7, room_id="r", user_id="u", type="video_on", stream="a/screen", width=640, height=360, seq=0),
        event(app_id=7, room_id="r", user_id="u", type="enter", stream=None, width=None, height=None, seq=0),
        event(app_id=7, type="publish", stream="u/camera", seq=0, connection="c1"),
        event(app_id=7, type="reconnect", receives="all", seq=0, connection=""),
        event(app_id=7, type="unpublish", receives="all", seq=0, connection="c1"),
    ]
    keys = event_keys(pl.DataFrame(rows, schema=EVENT_SCHEMA))
    assert keys.schema == {**KEYS_SCHEMA, **CONNECTION_KEYS_SCHEMA}
    assert name_keys(pl.DataFrame(rows, schema=EVENT_SCHEMA)).equals(keys.drop("what", *CONNECTION_KEYS_SCHEMA))
    room = xxhash.xxh64_intdigest(b"r", 7)
    unsigned = {
        "room_key": room,
        "user_key": xxhash.xxh64_intdigest(b"u", 7 ^ PERSON) ^ room,
        "stream_key": xxhash.xxh64_intdigest(b"a/screen", 0),
    }
    assert {name: keys[name][0] % 2**64 for name in unsigned} == unsigned
    assert keys["room_check"][0] % 2**32 == xxhash.xxh64_intdigest(b"r", 7 ^ CHECK) >> 32
    user_check = xxhash.xxh64_intdigest(b"u", 7 ^ PERSON ^ CHECK) ^ xxhash.xxh64_intdigest(b"r", 7 ^ CHECK)
    stream_check = xxhash.xxh64_intdigest(b"a/screen", CHECK)
    assert keys["checks"][0] % 2**64 == (user_check >> 32 << 32) + (stream_check >> 32)
    assert keys["what"].to_list() == [(640 * 360 + SCREEN_BIT) * 16 + 6, 3, 640 * 360 * 16 + 8, 16 + 4, 7]
    connections = [
        (xxhash.xxh64_intdigest(name, 0), xxhash.xxh64_intdigest(name, CHECK) >> 32) for name in (b"c1", b"")
    ]
    found = [keys["connection_key"].to_list(), keys["connection_check"].to_list()]
    assert [key if key is None else key % 2**64 for key in found[0]] == [
        *(None, None),
        *(connections[place][0] for place in (0, 1, 0)),
    ]
    assert [check if check is None else check % 2**32 for check in found[1]] == [
        *(None, None),
        *(connections[place][1] for place in (0, 1, 0)),
    ]


@pytest.mark.parametrize("seed", [1, 2**63])
def test_another_seed_gives_other_keys(seed: int) -> None:
    rows = pl.DataFrame([event(seq=0)], schema=EVENT_SCHEMA)
    one, other = event_keys(rows), event_keys(rows, seed=seed)
    for name in ("room_key", "room_check", "user_key", "stream_key", "checks"):
        assert one[name][0] != other[name][0]
    assert one["what"][0] == other["what"][0]


def test_functions_are_compiled_again_when_a_file_changes_that_is_part_of_them() -> None:
    """The files with compiled functions, and all that these import, near or far, belong to what names the cache."""
    package = Path(numba_cache.__file__).parent
    known = {file for pattern in numba_cache.COMPILED_SOURCES for file in package.glob(pattern)}
    files = {file for file in package.rglob("*.py") if "numba_cache import" in file.read_text()}
    assert len(files) > 3
    while files - known == set():
        found = re.findall(r"^from (billing\.\S+) import", "\n".join(file.read_text() for file in files), re.MULTILINE)
        more = files | {package.parent / f"{name.replace('.', '/')}.py" for name in found}
        if more == files:
            return
        files = more
    assert files <= known
