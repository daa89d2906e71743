"""Content encodings: a body as it was before gzip or zstd, never of more than 16 MiB."""

import zlib
from collections.abc import Callable

import zstandard

LARGEST_BODY = 16 * 1024 * 1024
ENCODINGS = ("gzip", "zstd")

_MOST_MEMBERS = 100
# So much of a zstd frame is unpacked before what came out is counted. At worst it becomes 32,000 times as much.
_STEP_BYTES = 1024


class TooLargeError(Exception):
    """The body is larger than is taken."""


class DamagedError(Exception):
    """The body is not what its encoding says."""


def decoded(body: bytes, encoding: str) -> bytes:
    """A body without its encoding, `gzip` or `zstd`; raises `TooLargeError`, or `DamagedError` when it is cut off or
    overwritten. It may have several members, as files have that were put one after the other."""
    read = _gzip_member if encoding == "gzip" else _zstd_frame
    parts: list[bytes] = []
    while body:
        if len(parts) == _MOST_MEMBERS:
            raise DamagedError(f"the body has more than {_MOST_MEMBERS} {encoding} members")
        part, body = _member(read, body, LARGEST_BODY - sum(map(len, parts)))
        parts.append(part)
    return b"".join(parts)


def _member(read: Callable[[bytes, int], tuple[bytes, bytes]], body: bytes, room: int) -> tuple[bytes, bytes]:
    try:
        part, rest = read(body, room)
    except (zlib.error, zstandard.ZstdError) as error:
        raise DamagedError(f"the body cannot be unpacked ({error})") from None
    if len(part) > room:
        raise TooLargeError
    return part, rest


def _gzip_member(body: bytes, room: int) -> tuple[bytes, bytes]:
    member = zlib.decompressobj(wbits=31)
    part = member.decompress(body, room + 1)
    if len(part) <= room and not member.eof:
        raise DamagedError("the gzip body is cut off")
    return part, member.unused_data


def _zstd_frame(body: bytes, room: int) -> tuple[bytes, bytes]:
    frame = zstandard.ZstdDecompressor(max_window_size=LARGEST_BODY).decompressobj()
    parts, size, start = [], 0, 0
    while start < len(body) and size <= room and not frame.eof:
        parts.append(frame.decompress(body[start : start + _STEP_BYTES]))
        size += len(parts[-1])
        start += _STEP_BYTES
    if size <= room and not frame.eof:
        raise DamagedError("the zstd body is cut off")
    return b"".join(parts), frame.unused_data + body[start:]
