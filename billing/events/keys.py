"""Event keys: an event as the numbers that metering needs.

Rooms, users in a room and streams are identified by 64-bit hashes, because comparing texts takes longer than all the
rest of metering. The keys are computed once, when an event enters the log, and stored there; rows are stored room by
room. So they are a named hash with a fixed meaning, XXH64, not the hash of a dataframe library, which may change:

    room_key   = XXH64(room_id, seed = app_id)
    person_key = XXH64(user_id, seed = app_id ^ PERSON)     a user in any room; not stored
    user_key   = person_key ^ room_key                      a user in a room
    stream_key = XXH64(stream, seed = 0)
    connection_key = XXH64(connection, seed = 0)            null without a connection
    connection_key = XXH64(service NUL task_id, seed = TASK)    of an event of a task (no service: empty)

A hash is only safe if a collision is noticed: each key has a check, the high half of the same hash with the seed
changed by `CHECK` (a user's check combines those of the person and of the room). Equal keys with different checks are a
collision; then all keys are computed again with another `seed`, which is added to each of the seeds.
"""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from billing.events.coded_texts import NOT_CODED, Values, looked_up
from billing.events.schema import CONNECTION_KEYS_SCHEMA, EVENT_TYPES, SIZE_AND_TYPE
from billing.numba_cache import compiled, inlined

EXIT, DISCONNECT, DISMISS, ENTER, RECONNECT, VIDEO_OFF, VIDEO_ON, UNPUBLISH, PUBLISH, TASK_START, TASK_STOP = range(
    len(EVENT_TYPES)
)
SCREEN_BIT = 2**29  # above the largest area, 16384 x 16384 = 2**28
CODE_BITS = 4

CHECK = 0x9E3779B97F4A7C15
PERSON = 0xD1B54A32D192ED03
TASK = 0x2545F4914F6CDD1D
_ALL_BITS = 2**64 - 1
_P1 = np.uint64(0x9E3779B185EBCA87)
_P2 = np.uint64(0xC2B2AE3D27D4EB4F)
_P3 = np.uint64(0x165667B19E3779F9)
_P4 = np.uint64(0x85EBCA77C2B2AE63)
_P5 = np.uint64(0x27D4EB2F165667C5)
_IS_SCREEN, _RECEIVES_ALL = pl.col("stream").str.ends_with("/screen"), pl.col("receives") == "all"


def event_keys(
    events: pl.DataFrame, values: Values = NOT_CODED, *, seed: int = 0, mask: int = _ALL_BITS
) -> pl.DataFrame:
    """The keys of events (`app_id, room_id, user_id, type, stream, width, height, receives, connection`, and `task_id,
    service` where these may be), in `KEYS_SCHEMA` and `CONNECTION_KEYS_SCHEMA`.

    They are signed, as tables and files have them; the bits are those of the unsigned hashes. Texts may be coded, with
    these `values`.

    `mask` exists so that a test can make collisions likely.
    """
    # Among values there may be some of rows that were rejected.
    kind = pl.col("type").cast(pl.Enum(EVENT_TYPES), strict="type" not in values)
    code = looked_up(events, values, "type", kind.to_physical())
    is_screen = looked_up(events, values, "stream", _IS_SCREEN)
    receives_all = looked_up(events, values, "receives", _RECEIVES_ALL)
    numbers = events.select(size_and_type(pl.lit(code), pl.lit(is_screen), pl.lit(receives_all))).to_series()
    keys = name_keys(events, values, seed=seed, mask=mask).with_columns(numbers)
    connections = connection_keys(events["connection"], values.get("connection"), seed=seed, mask=mask)
    if "task_id" in events.columns and events["task_id"].null_count() < len(events):
        of_tasks = connection_keys(_task_names(events, values), seed=seed, mask=mask, first_seed=TASK)
        connections = of_tasks.select(pl.coalesce(name, connections[name]) for name in CONNECTION_KEYS_SCHEMA)
    return keys.hstack(connections)


def _task_names(events: pl.DataFrame, values: Values) -> pl.Series:
    """The service and the id of each event's task as one text; null where there is no task."""
    task, service = (
        values[name].gather(events[name]) if name in values else events[name] for name in ("task_id", "service")
    )
    return pl.select(pl.concat_str(pl.lit(service).fill_null(""), pl.lit(task), separator="\0")).to_series()


def connection_keys(
    connections: pl.Series,
    values: pl.Series | None = None,
    *,
    seed: int = 0,
    mask: int = _ALL_BITS,
    first_seed: int = 0,
) -> pl.DataFrame:
    """The keys of connections, in `CONNECTION_KEYS_SCHEMA`; with another `first_seed`, those of other names."""
    if connections.null_count() == len(connections):
        return pl.DataFrame(schema=CONNECTION_KEYS_SCHEMA).clear(len(connections))
    key, check = text_hashes(connections, np.full(len(connections), first_seed, np.uint64), seed, values)
    columns = {
        "connection_key": (key & np.uint64(mask)).view(np.int64),
        "connection_check": (check >> np.uint64(32)).astype(np.uint32).view(np.int32),
    }
    there = connections.is_not_null()
    return pl.DataFrame(columns).select(pl.when(there).then(pl.col(name)).alias(name) for name in columns)


def name_keys(
    events: pl.DataFrame, values: Values = NOT_CODED, *, seed: int = 0, mask: int = _ALL_BITS
) -> pl.DataFrame:
    """The keys of `app_id, room_id, user_id, stream`: all of `KEYS_SCHEMA` but the size and type."""
    apps = events["app_id"].to_numpy().astype(np.uint64)
    seeds = {"room_id": apps, "user_id": apps ^ np.uint64(PERSON), "stream": np.zeros(len(apps), np.uint64)}
    (room_key, room_check), (person_key, person_check), (stream_key, stream_check) = (
        text_hashes(events[name], of_rows, seed, values.get(name)) for name, of_rows in seeds.items()
    )
    high, low = np.uint64(2**64 - 2**32), np.uint64(32)
    columns = {
        "room_key": (room_key & np.uint64(mask)).view(np.int64),
        "room_check": (room_check >> low).astype(np.uint32).view(np.int32),
        "user_key": ((person_key ^ room_key) & np.uint64(mask)).view(np.int64),
        "stream_key": (stream_key & np.uint64(mask)).view(np.int64),
        "checks": (((person_check ^ room_check) & high) | (stream_check >> low)).view(np.int64),
    }
    return pl.DataFrame(columns)


def size_and_type(code: pl.Expr, is_screen: pl.Expr = _IS_SCREEN, receives_all: pl.Expr = _RECEIVES_ALL) -> pl.Expr:
    """Size and type code of an event in one number."""
    screen = pl.when(is_screen).then(SCREEN_BIT).otherwise(0)
    area = pl.col("width").cast(pl.Int64) * pl.col("height") + screen
    receives = receives_all.fill_null(value=False) & code.is_in([ENTER, RECONNECT])
    size = pl.when(code.is_in([VIDEO_ON, PUBLISH])).then(area).otherwise(receives.cast(pl.Int64))
    number: pl.Expr = size * 2**CODE_BITS + code.cast(pl.Int64)
    return number.alias(SIZE_AND_TYPE)


def text_hashes(
    texts: pl.Series, seeds: NDArray[np.uint64], seed: int = 0, values: pl.Series | None = None
) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """XXH64 of each text (null: as the empty text) with its own seed, and the check of each. Texts may be the codes of
    these `values`; most values come with one seed, and are hashed once then."""
    if values is not None:
        codes, texts = texts.fill_null(len(values)).to_numpy(), pl.concat([values, pl.Series([""])])
    elif texts.null_count():
        texts = texts.fill_null("")  # below a null may be any text
    hashes, checks = np.empty(len(seeds), np.uint64), np.empty(len(seeds), np.uint64)
    if len(seeds):
        ends, letters = _letters(texts)
        with np.errstate(over="ignore"):
            moved = seeds + np.uint64(seed)
        if values is None:
            _hash_all(ends, letters, moved, hashes, checks)
        else:
            known = np.zeros(len(texts), np.bool_), np.empty((len(texts), 3), np.uint64)
            _hash_coded(codes, ends, letters, moved, *known, hashes, checks)
    return hashes, checks


def _letters(texts: pl.Series) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Where each text ends, after where the first begins; and all letters."""
    _, offsets, content = texts.to_arrow(compat_level=pl.CompatLevel.oldest()).buffers()
    ends = np.frombuffer(offsets, np.int64)[-len(texts) - 1 :]
    return ends, np.frombuffer(content, np.uint8) if content else np.zeros(1, np.uint8)


@compiled
def _hash_coded(
    codes: NDArray[np.uint32],
    ends: NDArray[np.int64],
    letters: NDArray[np.uint8],
    seeds: NDArray[np.uint64],
    is_known: NDArray[np.bool_],
    known: NDArray[np.uint64],
    hashes: NDArray[np.uint64],
    checks: NDArray[np.uint64],
) -> None:
    """`known`: of each value the last seed, and its hash and check with that."""
    for row in range(len(seeds)):
        code, seed = codes[row], seeds[row]
        if not is_known[code] or known[code, 0] != seed:
            is_known[code], known[code, 0] = True, seed
            known[code, 1] = _xxh64(letters, ends[code], ends[code + 1], seed)
            known[code, 2] = _xxh64(letters, ends[code], ends[code + 1], seed ^ np.uint64(CHECK))
        hashes[row], checks[row] = known[code, 1], known[code, 2]


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
def letter_at(letters: NDArray[np.uint8], at: int) -> int:
    """The letter at a place. A place is made unsigned, because a signed one may count from the end, which is looked at
    for each letter: so eight of them were not one instruction."""
    letter: int = letters[np.uint64(at)]
    return letter


@inlined
def four_letters(letters: NDArray[np.uint8], at: int) -> np.uint64:
    """Four letters as one number."""
    place = np.uint64(at)
    word = np.uint64(letters[place])
    for number in range(1, 4):
        word |= np.uint64(letters[place + np.uint64(number)]) << np.uint64(8 * number)
    return word


@inlined
def eight_letters(letters: NDArray[np.uint8], at: int) -> np.uint64:
    """Eight letters as one number."""
    place = np.uint64(at)
    word = np.uint64(letters[place])
    for number in range(1, 8):
        word |= np.uint64(letters[place + np.uint64(number)]) << np.uint64(8 * number)
    return word
