"""The fields of a record, read with their types: what is absent, or is something else, is a problem of the record.

An empty text counts as absent. A number may stand where a text is wanted, and digits where a number is: servers of one
kind write ids both ways, `"RoomId": 42` and `"RoomId": "42"`.
"""

from collections.abc import Mapping
from typing import Any

from xxhash import xxh3_128_hexdigest

from billing.sources.files.ndjson import UnreadableError

Fields = Mapping[str, Any]
Event = dict[str, object]  # columns of an event

# Longer than any id that can be accepted. (A text may be as long as its line, and stand in thousands of events.)
LONGEST_TEXT = 1024
_LONGEST_NUMBER = 20  # digits


class NothingBillable(Exception):  # noqa: N818 - a state, not a fault
    """A record that is understood and says nothing that is billed; its kind."""

    def __init__(self, kind: str) -> None:
        self.kind = kind


def missing(name: str) -> UnreadableError:
    """The problem of a record that lacks a field."""
    return UnreadableError("missing_field", f"{name} is missing")


def table(value: object, name: str) -> Fields:
    """A field that is an object."""
    if isinstance(value, dict):
        return value
    raise missing(name) if value is None else UnreadableError("bad_type", f"{name} must be an object")


def array(value: object, name: str) -> list[object]:
    """A field that is a list; an absent one is empty."""
    if value is None or isinstance(value, list):
        return value or []
    raise UnreadableError("bad_type", f"{name} must be a list")


def optional_text(value: object, name: str) -> str | None:
    """A field that is a text or a whole number."""
    if value is None or value == "":
        return None
    if type(value) is int:
        return str(_bounded(value, name))
    if type(value) is not str:
        raise UnreadableError("bad_type", f"{name} must be text")
    if len(value) > LONGEST_TEXT:
        raise UnreadableError("bad_value", f"{name} has more than {LONGEST_TEXT:,} characters")
    return value


def text(value: object, name: str) -> str:
    """The same where it must be there."""
    found = optional_text(value, name)
    if found is None:
        raise missing(name)
    return found


def optional_integer(value: object, name: str) -> int | None:
    """A field that is a whole number or its digits."""
    if value is None or value == "":
        return None
    if type(value) is int:
        return _bounded(value, name)
    if type(value) is str and value.removeprefix("-").isdecimal() and value.isascii():
        return _bounded(int(value) if len(value) <= _LONGEST_NUMBER else 1 << 64, name)
    raise UnreadableError("bad_type", f"{name} must be a whole number")


def integer(value: object, name: str) -> int:
    """The same where it must be there."""
    found = optional_integer(value, name)
    if found is None:
        raise missing(name)
    return found


def instant(value: object, name: str) -> int | str:
    """A field that is a time, in either form; whether it is a time is checked with the event."""
    if type(value) is int:
        return _bounded(value, name)
    if type(value) is str and len(value) <= LONGEST_TEXT:
        return value
    raise missing(name) if value is None else UnreadableError("bad_type", f"{name} must be a time")


def flag(value: object, name: str) -> bool:
    """A field that is true or false."""
    if type(value) is bool:
        return value
    raise missing(name) if value is None else UnreadableError("bad_type", f"{name} must be true or false")


def hashed(*parts: str | int | None) -> str:
    """A name for a record whose server gives it none: XXH3-128 of what identifies it. It never changes."""
    joined = "\0".join("" if part is None else str(part) for part in parts)
    return xxh3_128_hexdigest(joined.encode(errors="surrogatepass"))


def _bounded(number: int, name: str) -> int:
    if not -(1 << 63) <= number < 1 << 63:
        raise UnreadableError("bad_value", f"{name} is beyond 64 bits")
    return number
