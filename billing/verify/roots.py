"""Roots once more: the leaves, roots and heads of sealed days from plain events and rows, in plain Python.

The format is that of `billing.events.room_leaves` and `billing.ledger.day_seals`; nothing of their code is used, so
that a bundle proves what it holds to somebody who has none of this program. Names become keys by XXH64, which is
written out here because the standard library lacks it.
"""

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

MASK = 2**64 - 1
PRIMES = (
    0x9E3779B185EBCA87,
    0xC2B2AE3D27D4EB4F,
    0x165667B19E3779F9,
    0x85EBCA77C2B2AE63,
    0x27D4EB2F165667C5,
)
CHECK, PERSON, TASK = 0x9E3779B97F4A7C15, 0xD1B54A32D192ED03, 0x2545F4914F6CDD1D
CODES = (
    *("exit", "disconnect", "dismiss", "enter", "reconnect", "video_off", "video_on", "unpublish", "publish"),
    *("task_start", "task_stop"),
)
SCREEN_AREA = 2**29
BEFORE_ALL = bytes(32)
LEAF_NAMES = ("events", "usage", "deductions", "charges", "state", "run")


# XXH64 ----------------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=200_000)
def xxh64(text: str, seed: int) -> int:
    """XXH64 of a text in UTF-8."""
    one, two, three, four, five = PRIMES
    letters, at = text.encode(), 0
    length = len(letters)
    if length >= 32:
        lanes = [seed + one + two, seed + two, seed, seed - one]
        while length - at >= 32:
            for lane in range(4):
                lanes[lane] = _round(lanes[lane], _word(letters, at + 8 * lane, 8))
            at += 32
        mixed = sum(_turned(lane, bits) for lane, bits in zip(lanes, (1, 7, 12, 18), strict=True))
        for lane in lanes:
            mixed = ((mixed ^ _round(0, lane)) * one + four) & MASK
    else:
        mixed = seed + five
    mixed = (mixed + length) & MASK
    while length - at >= 8:
        mixed = (_turned(mixed ^ _round(0, _word(letters, at, 8)), 27) * one + four) & MASK
        at += 8
    if length - at >= 4:
        mixed = (_turned(mixed ^ (_word(letters, at, 4) * one), 23) * two + three) & MASK
        at += 4
    for letter in letters[at:]:
        mixed = (_turned(mixed ^ (letter * five), 11) * one) & MASK
    mixed = ((mixed ^ (mixed >> 33)) * two) & MASK
    mixed = ((mixed ^ (mixed >> 29)) * three) & MASK
    return mixed ^ (mixed >> 32)


def _word(letters: bytes, at: int, size: int) -> int:
    return int.from_bytes(letters[at : at + size], "little")


def _round(lane: int, word: int) -> int:
    return (_turned(lane + word * PRIMES[1], 31) * PRIMES[0]) & MASK


def _turned(word: int, bits: int) -> int:
    word &= MASK
    return ((word << bits) | (word >> (64 - bits))) & MASK


# Leaves ---------------------------------------------------------------------------------------------------------------


def room_leaf(app_id: int, room_id: str, events: Iterable[Mapping[str, Any]]) -> tuple[int, bytes]:
    """The key of a room, by which leaves are sorted, and its leaf."""
    room_key, room_check = xxh64(room_id, app_id), xxh64(room_id, app_id ^ CHECK) >> 32
    words = [_signed(app_id), _signed(room_key), _signed(room_check, 32)]
    for row in sorted(_event_words(app_id, room_id, event) for event in events):
        at, seq, what, *keys = row
        more = bool(seq or keys[3])
        words += [at, 2 * what + more, *keys[:3]]
        words += [seq, *keys[3:]] if more else []
    content = b"".join(word.to_bytes(8, "little", signed=True) for word in words)
    return _signed(room_key), leaf_of(content)


def _event_words(app_id: int, room_id: str, event: Mapping[str, Any]) -> tuple[int, ...]:
    user, stream = event.get("user_id"), event.get("stream")
    person, person_check = xxh64(user or "", app_id ^ PERSON), xxh64(user or "", app_id ^ PERSON ^ CHECK) >> 32
    room, room_check = xxh64(room_id, app_id), xxh64(room_id, app_id ^ CHECK) >> 32
    stream_key, stream_check = xxh64(stream or "", 0), xxh64(stream or "", CHECK) >> 32
    return (
        event["at"],
        event["seq"],
        _size_and_type(event),
        _signed(person ^ room),
        _signed(stream_key),
        _signed((person_check ^ room_check) << 32 | stream_check),
        *_connection_words(event),
    )


def _connection_words(event: Mapping[str, Any]) -> tuple[int, int]:
    """The key and the check of the connection of an event, or of its task; 0 without either."""
    name, task_id, seed = event.get("connection"), event.get("task_id"), 0
    if task_id is not None:
        name, seed = f"{event.get('service') or ''}\0{task_id}", TASK
    if name is None:
        return 0, 0
    return _signed(xxh64(name, seed)), _signed(xxh64(name, seed ^ CHECK) >> 32, 32)


def _size_and_type(event: Mapping[str, Any]) -> int:
    kind = event["type"]
    if kind in ("video_on", "publish"):
        size = event["width"] * event["height"] + SCREEN_AREA * str(event["stream"]).endswith("/screen")
    else:
        size = int(event.get("receives") == "all" and kind in ("enter", "reconnect"))
    return int(size) * 16 + CODES.index(kind)


def _signed(number: int, bits: int = 64) -> int:
    return number - 2**bits if number >= 2 ** (bits - 1) else number


# Trees ----------------------------------------------------------------------------------------------------------------


def leaf_of(content: bytes) -> bytes:
    """The hash of a leaf (RFC 6962)."""
    return hashlib.sha256(b"\0" + content).digest()


def tree_root(leaves: Sequence[bytes]) -> bytes:
    """The root over hashed leaves (RFC 6962): the left half is the largest power of two below their number."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    half = 1 << ((len(leaves) - 1).bit_length() - 1)
    return hashlib.sha256(b"\1" + tree_root(leaves[:half]) + tree_root(leaves[half:])).digest()


def day_root(events_root: bytes, contents: Mapping[str, bytes]) -> bytes:
    """The root of a day over its events and the SHA-256 of its other contents."""
    leaves = [leaf_of(b"events\0" + events_root)]
    leaves += [leaf_of(name.encode() + b"\0" + contents[name]) for name in LEAF_NAMES[1:]]
    return tree_root(leaves)


def next_head(head: bytes, root: bytes) -> bytes:
    """The head of a chain after one more root."""
    return hashlib.sha256(head + root).digest()


def row_lines(rows: Iterable[Sequence[Any]]) -> bytes:
    """Rows as they are sealed: text in quotes, whole numbers plain."""
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def run_line(said: Mapping[str, Any]) -> bytes:
    """What a day was computed with, as it is sealed."""
    return json.dumps(said, sort_keys=True, separators=(",", ":")).encode()
