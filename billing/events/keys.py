"""Event keys: an event as the numbers that metering needs.

Rooms, users in a room and streams are identified by 64-bit hashes, because comparing texts takes longer than all the
rest of metering. The keys are computed once, when an event enters the log, and stored there; rows are stored room by
room. So they are a named hash with a fixed meaning, XXH64, not the hash of a dataframe library, which may change:

    room_key   = XXH64(room_id, seed = app_id)
    person_key = XXH64(user_id, seed = app_id ^ PERSON)     a user in any room; not stored
    user_key   = person_key ^ room_key                      a user in a room
    stream_key = XXH64(stream, seed = 0)
    connection_key = XXH64(connection, seed = 0)            null without a connection

A hash is only safe if a collision is noticed: each key has a check, the high half of the same hash with the seed
changed by `CHECK` (a user's check combines those of the person and of the room). Equal keys with different checks are a
collision; then all keys are computed again with another `seed`, which is added to each of the seeds.
"""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from billing.events.schema import CONNECTION_KEYS_SCHEMA, EVENT_TYPES, SIZE_AND_TYPE
from billing.numba_cache import compiled, inlined

EXIT, DISCONNECT, DISMISS, ENTER, RECONNECT, VIDEO_OFF, VIDEO_ON, UNPUBLISH, PUBLISH = range(len(EVENT_TYPES))
SCREEN_BIT = 2**29  # above the largest area, 16384 x 16384 = 2**28
CODE_BITS = 4

CHECK = 0x9E3779B97F4A7C15
PERSON = 0xD1B54A32D192ED03
_ALL_BITS = 2**64 - 1
_P1 = np.uint64(0x9E3779B185EBCA87)
_P2 = np.uint64(0xC2B2AE3D27D4EB4F)
_P3 = np.uint64(0x165667B19E3779F9)
_P4 = np.uint64(0x85EBCA77C2B2AE63)
_P5 = np.uint64(0x27D4EB2F165667C5)


def event_keys(events: pl.DataFrame, *, seed: int = 0, mask: int = _ALL_BITS) -> pl.DataFrame:
    """The keys of events (`app_id, room_id, user_id, type, stream, width, height, receives, connection`), in
    `KEYS_SCHEMA` and `CONNECTION_KEYS_SCHEMA`.

    They are signed, as tables and files have them; the bits are those of the unsigned hashes.

    `mask` exists so that a test can make collisions likely.
    """
    coded = events.with_columns(code=pl.col("type").cast(pl.Enum(EVENT_TYPES)).to_physical())
    numbers = coded.select(size_and_type(pl.col("code"))).to_series()
    keys = name_keys(events, seed=seed, mask=mask).with_columns(numbers)
    return keys.hstack(connection_keys(events["connection"], seed=seed, mask=mask))


def connection_keys(connections: pl.Series, *, seed: int = 0, mask: int = _ALL_BITS) -> pl.DataFrame:
    """The keys of connections, in `CONNECTION_KEYS_SCHEMA`."""
    if connections.null_count() == len(connections):
        return pl.DataFrame(schema=CONNECTION_KEYS_SCHEMA).clear(len(connections))
    key, check = text_hashes(connections, np.zeros(len(connections), np.uint64), seed)
    columns = {
        "connection_key": (key & np.uint64(mask)).view(np.int64),
        "connection_check": (check >> np.uint64(32)).astype(np.uint32).view(np.int32),
    }
    there = connections.is_not_null()
    return pl.DataFrame(columns).select(pl.when(there).then(pl.col(name)).alias(name) for name in columns)


def name_keys(events: pl.DataFrame, *, seed: int = 0, mask: int = _ALL_BITS) -> pl.DataFrame:
    """The keys of `app_id, room_id, user_id, stream`: all of `KEYS_SCHEMA` but the size and type."""
    apps = events["app_id"].to_numpy().astype(np.uint64)
    room_key, room_check = text_hashes(events["room_id"], apps, seed)
    person_key, person_check = text_hashes(events["user_id"], apps ^ np.uint64(PERSON), seed)
    stream_key, stream_check = text_hashes(events["stream"], np.zeros(len(apps), np.uint64), seed)
    high, low = np.uint64(2**64 - 2**32), np.uint64(32)
    columns = {
        "room_key": (room_key & np.uint64(mask)).view(np.int64),
        "room_check": (room_check >> low).astype(np.uint32).view(np.int32),
        "user_key": ((person_key ^ room_key) & np.uint64(mask)).view(np.int64),
        "stream_key": (stream_key & np.uint64(mask)).view(np.int64),
        "checks": (((person_check ^ room_check) & high) | (stream_check >> low)).view(np.int64),
    }
    return pl.DataFrame(columns)


def size_and_type(code: pl.Expr) -> pl.Expr:
    """Size and type code of an event in one number."""
    screen = pl.when(pl.col("stream").str.ends_with("/screen")).then(SCREEN_BIT).otherwise(0)
    area = pl.col("width").cast(pl.Int64) * pl.col("height") + screen
    receives = (pl.col("receives") == "all").fill_null(value=False) & code.is_in([ENTER, RECONNECT])
    size = pl.when(code.is_in([VIDEO_ON, PUBLISH])).then(area).otherwise(receives.cast(pl.Int64))
    number: pl.Expr = size * 2**CODE_BITS + code.cast(pl.Int64)
    return number.alias(SIZE_AND_TYPE)


def text_hashes(
    texts: pl.Series, seeds: NDArray[np.uint64], seed: int = 0
) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """XXH64 of each text (null: as the empty text) with its own seed, and the check of each."""
    if texts.null_count():
        texts = texts.fill_null("")  # below a null may be any text
    _, offsets, content = texts.to_arrow(compat_level=pl.CompatLevel.oldest()).buffers()
    hashes, checks = np.empty(len(texts), np.uint64), np.empty(len(texts), np.uint64)
    if len(texts):
        ends = np.frombuffer(offsets, np.int64)[-len(texts) - 1 :]
        letters = np.frombuffer(content, np.uint8) if content else np.zeros(1, np.uint8)
        with np.errstate(over="ignore"):
            moved = seeds + np.uint64(seed)
        _hash_all(ends, letters, moved, hashes, checks)
    return hashes, checks


@compiled
def _hash_all(
    ends: NDArray[np.int64],
    letters: NDArray[np.uint8],
    seeds: NDArray[np.uint64],
    hashes: NDArray[np.uint64],
    checks: NDArray[np.uint64],
) -> None:
    for i in range(len(seeds)):
        hashes[i] = _xxh64(letters, ends[i], ends[i + 1], seeds[i])
        checks[i] = _xxh64(letters, ends[i], ends[i + 1], seeds[i] ^ np.uint64(CHECK))


@inlined
def _xxh64(letters: NDArray[np.uint8], at: int, end: int, seed: np.uint64) -> np.uint64:
    """XXH64 of a piece of `letters` (the algorithm is specified with xxHash)."""
    length = np.uint64(end - at)
    if end - at >= 32:
        one, two = seed + _P1 + _P2, seed + _P2
        three, four = seed, seed - _P1
        while end - at >= 32:
            one = _round(one, eight_letters(letters, at))
            two = _round(two, eight_letters(letters, at + 8))
            three = _round(three, eight_letters(letters, at + 16))
            four = _round(four, eight_letters(letters, at + 24))
            at += 32
        mixed = _turned(one, 1) + _turned(two, 7) + _turned(three, 12) + _turned(four, 18)
        mixed = _merged(mixed, one)
        mixed = _merged(mixed, two)
        mixed = _merged(mixed, three)
        mixed = _merged(mixed, four)
    else:
        mixed = seed + _P5
    mixed += length
    while end - at >= 8:
        mixed = _turned(mixed ^ _round(np.uint64(0), eight_letters(letters, at)), 27) * _P1 + _P4
        at += 8
    if end - at >= 4:
        mixed = _turned(mixed ^ (four_letters(letters, at) * _P1), 23) * _P2 + _P3
        at += 4
    while at < end:
        mixed = _turned(mixed ^ (np.uint64(letters[at]) * _P5), 11) * _P1
        at += 1
    mixed = (mixed ^ (mixed >> np.uint64(33))) * _P2
    mixed = (mixed ^ (mixed >> np.uint64(29))) * _P3
    return mixed ^ (mixed >> np.uint64(32))


@inlined
def _round(lane: np.uint64, word: np.uint64) -> np.uint64:
    return _turned(lane + word * _P2, 31) * _P1


@inlined
def _merged(mixed: np.uint64, lane: np.uint64) -> np.uint64:
    return (mixed ^ _round(np.uint64(0), lane)) * _P1 + _P4


@inlined
def _turned(word: np.uint64, bits: int) -> np.uint64:
    return (word << np.uint64(bits)) | (word >> np.uint64(64 - bits))


@inlined
def four_letters(letters: NDArray[np.uint8], at: int) -> np.uint64:
    """Four letters as one number."""
    low = np.uint64(letters[at]) | (np.uint64(letters[at + 1]) << np.uint64(8))
    return low | (np.uint64(letters[at + 2]) << np.uint64(16)) | (np.uint64(letters[at + 3]) << np.uint64(24))


@inlined
def eight_letters(letters: NDArray[np.uint8], at: int) -> np.uint64:
    """Eight letters as one number."""
    return four_letters(letters, at) | (four_letters(letters, at + 4) << np.uint64(32))
