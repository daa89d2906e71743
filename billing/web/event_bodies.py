"""Bodies of events: what a request holds, as lines of NDJSON.

| Content-Type | is |
|---|---|
| `application/x-ndjson` | one event a line |
| `application/json` | an array of events, or one event |
| `application/json` with the header `ce-specversion` | CloudEvents 1.0, binary: one event |
| `application/cloudevents+json` | CloudEvents 1.0, structured: an envelope with an event as its `data` |
| `application/cloudevents-batch+json` | an array of such envelopes |

Rows keep every byte: `[{"at": 1.0}, {"x": 1e3}]` is two lines, `{"at": 1.0}` and `{"x": 1e3}`. What cannot be read is a
row too, which the ingest will put into quarantine: nothing that was sent is lost. Blank lines are no rows.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from billing.sources.files.ndjson import UnreadableError, parse

NDJSON_TYPES = ("application/x-ndjson", "application/ndjson", "application/jsonl")
JSON, CLOUD_EVENT, CLOUD_EVENTS = (
    "application/json",
    "application/cloudevents+json",
    "application/cloudevents-batch+json",
)
TYPES = (NDJSON_TYPES[0], JSON, CLOUD_EVENT, CLOUD_EVENTS)

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# In place of the LF of a body that is not JSON: it is not JSON either, and one line.
_NEVER_JSON = b"\x0b"
_BINARY = "ce-"
_VERSION = "specversion"
_SPACES = re.compile(r"[ \t\n\r]*")


class _Named(msgspec.Struct):
    """The app that a row names."""

    app_id: Any = None


class _Envelope(msgspec.Struct):
    """A CloudEvent around its data."""

    specversion: Any = None
    id: Any = None
    source: Any = None
    type: Any = None
    data: msgspec.Raw = msgspec.Raw(b"")
    data_base64: Any = None


_named = msgspec.json.Decoder(_Named)
_envelope = msgspec.json.Decoder(_Envelope)
_array = msgspec.json.Decoder(list[msgspec.Raw])
_any = msgspec.json.Decoder(msgspec.Raw)
_UNREADABLE = (msgspec.MsgspecError, ValueError, RecursionError)


class UnknownTypeError(Exception):
    """No body of this type is taken."""


def lines_of(body: bytes, media_type: str, headers: Mapping[str, str]) -> list[bytes]:
    """The rows of a body; `headers` with names in small letters. An `UnknownTypeError` for another media type."""
    if media_type in NDJSON_TYPES:
        return _lines(body)
    if media_type == JSON:
        return [_binary(body, headers)] if f"{_BINARY}{_VERSION}" in headers else _values(body)
    if media_type == CLOUD_EVENT:
        return [_data(value) for value in _one(body)]
    if media_type == CLOUD_EVENTS:
        return [_data(value) for value in _values(body)]
    raise UnknownTypeError


def joined(lines: Iterable[bytes]) -> bytes:
    """Rows as they stand in a segment."""
    return b"\n".join((*lines, b""))


def apps_named(lines: list[bytes]) -> set[int]:
    """The apps that rows name. A row that the ingest cannot read names none."""
    try:
        rows = _named.decode_lines(b"\n".join(lines))
    except _UNREADABLE:
        return {app for line in lines for app in _app_of(line)}
    return {row.app_id for row in rows if type(row.app_id) is int}


def _app_of(line: bytes) -> Iterator[int]:
    """The app of a row, read as the ingest does where that is more patient."""
    try:
        app = _named.decode(line).app_id
    except _UNREADABLE:
        try:
            app = parse(line).get("app_id")
        except UnreadableError:
            return
    if type(app) is int:
        yield app


def _lines(body: bytes) -> list[bytes]:
    while body.startswith(_BYTE_ORDER_MARK):
        body = body.removeprefix(_BYTE_ORDER_MARK)
    return [line for line in body.split(b"\n") if line and not line.isspace()]


def _values(body: bytes) -> list[bytes]:
    """The elements of an array, or the one value of a body that is none."""
    if not body.lstrip().startswith(b"["):
        return _one(body)
    try:
        return [_one_line(bytes(value)) for value in _array.decode(body)]
    except _UNREADABLE:
        return _patient_values(body)


def _patient_values(body: bytes) -> list[bytes]:
    """The elements of an array in which a text holds half of a surrogate pair; else the body as one row."""
    values: list[bytes] = []
    scan = json.JSONDecoder().raw_decode
    try:
        text = body.decode()
        place = _SPACES.match(text, text.index("[") + 1).end()  # type: ignore[union-attr]
        while text[place] != "]" or values:
            end = scan(text, place)[1]
            values.append(_one_line(text[place:end].encode()))
            place = _SPACES.match(text, end).end()  # type: ignore[union-attr]
            if text[place] == "]":
                break
            if text[place] != ",":
                return [_unreadable(body)]
            place = _SPACES.match(text, place + 1).end()  # type: ignore[union-attr]
    except (ValueError, IndexError, RecursionError):
        return [_unreadable(body)]
    return values if not text[place + 1 :].strip() else [_unreadable(body)]


def _one(body: bytes) -> list[bytes]:
    """A body that is one value; none if it is blank."""
    if not body or body.isspace():
        return []
    try:
        return [_one_line(bytes(_any.decode(body)))]
    except _UNREADABLE:
        return [_unreadable(body)]


def _data(value: bytes) -> bytes:
    """The data of an envelope; of one that is no CloudEvent 1.0 with data the envelope itself."""
    try:
        envelope = _envelope.decode(value)
    except _UNREADABLE:
        return value
    data = bytes(envelope.data)
    named = (envelope.id, envelope.source, envelope.type)
    if envelope.specversion != "1.0" or not all(isinstance(name, str) and name for name in named):
        return value
    if envelope.data_base64 is None:
        return _one_line(data) if data else value
    return _unpacked(envelope.data_base64) or value if not data else value


def _unpacked(text: object) -> bytes:
    try:
        rows = _one(msgspec.convert(text, bytes, builtin_types=()))
    except _UNREADABLE:
        return b""
    return rows[0] if rows else b""


def _binary(body: bytes, headers: Mapping[str, str]) -> bytes:
    """The body of a CloudEvent whose envelope is the headers; with the headers if they are no envelope."""
    named = {name.removeprefix(_BINARY): value for name, value in headers.items() if name.startswith(_BINARY)}
    rows = _one(body)
    if named.get(_VERSION) == "1.0" and all(named.get(name) for name in ("id", "source", "type")) and rows:
        return rows[0]
    return json.dumps(named | {"data": body.decode(errors="backslashreplace")}).encode()


def _one_line(value: bytes) -> bytes:
    """A value of JSON on one line: outside of texts an LF is a space."""
    return value.replace(b"\n", b" ")


def _unreadable(body: bytes) -> bytes:
    """What is not JSON as one line that is not either."""
    return body.strip().replace(b"\n", _NEVER_JSON)
