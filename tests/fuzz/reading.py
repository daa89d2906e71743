"""What must hold for any bytes whatever: they are read to the end, or refused with one clear error.

Every row is accepted or rejected, has a line number that does not fall, and a text to be kept.
"""

import gzip
import io
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from billing.catalog.reading import parse_catalog
from billing.cli.messages import printable
from billing.errors import BillingError
from billing.events.coded_texts import CodedRows
from billing.events.rows import ROW_SCHEMA, RejectedRow
from billing.events.validation import validate
from billing.sources import janus
from billing.sources.record_files import RECORDS
from tests.event_facts import APPS, AT, EVENT, csv, event, event_file, ndjson, parquet
from tests.record_facts import SAMPLES, sample
from tests.record_facts import read as read_records

TERMINAL = "\x1b[2J\x1b]0;title\x07\x9b31m\r\u202e"  # clears it, names it, colours it, turns the writing around
ENDINGS = (
    ".ndjson",
    ".csv",
    ".parquet",
    ".ndjson.gz",
    ".csv.zst",
    ".janus",
    ".toml",
    *(f".{source}" for source in RECORDS),
)

_EVENTS = [
    event(type="enter", stream=None, width=None, height=None),
    event(event_id="e-2", user_id='ü "quoted", with\ncomma', seq=3),
    event(event_id="e-3", type="dismiss", user_id=None, stream=None, width=None, height=None),
]
_TRACE = (
    b'{"emitter":"a","type":1,"timestamp":1773136800000000,"session_id":1,"event":{"name":"created"}}\n'
    b'{"type":64,"timestamp":1773136801000000,"session_id":1,"handle_id":2,"opaque_id":"x",'
    b'"event":{"plugin":"janus.plugin.videoroom","data":{"event":"joined","room":1234,"id":5,"display":"u"}}}\n'
)
_CATALOG = b"""
[[account]]
id = "a"
name = "A"
currency = "USD"
timezone = "Asia/Tokyo"
policy = "trtc-intl"
[[app]]
id = 1
account = "a"
name = "One"
[[package]]
id = "p"
account = "a"
minutes = 100
purchased_at = "2026-03-01T00:00:00+09:00"
[[contract]]
account = "a"
valid_from = "2026-03-01"
discount = "0.85"
"""


def good(ending: str) -> bytes:
    """A file of this kind with nothing wrong in it."""
    rows = [{**each, "seq": each.get("seq", 0)} for each in _EVENTS]
    match ending:
        case ".csv":
            return csv(rows)
        case ".csv.zst":
            return zstandard.ZstdCompressor().compress(csv(rows))
        case ".ndjson.gz":
            return gzip.compress(ndjson(rows))
        case ".parquet":
            return parquet(rows)
        case ".janus":
            return _TRACE
        case ".toml":
            return _CATALOG
    if ending[1:] in RECORDS:
        return b"\n".join(sample(SAMPLES[ending[1:]]))
    return ndjson(rows)


def read(content: bytes, ending: str) -> None:
    """Reads a file of this kind, and crashes where something does not hold."""
    try:
        if ending == ".toml":
            parse_catalog(content.decode(errors="replace"), "catalog.toml")
        elif ending == ".janus":
            rejected: list[RejectedRow] = []
            janus.derive(event_file(content).trace_lines(rejected), app_id=1, camera_size=None, screen_size=None)
        elif ending[1:] in RECORDS:
            read_records(ending[1:], content)
        else:
            _check(content, ending)
    except BillingError as error:
        _check_message(f"{TERMINAL}: {error}")


def _check_message(message: str) -> None:
    """What is shown of a message moves nothing on a terminal."""
    assert all(line.isprintable() for line in printable(message).split("\n"))


def _check(content: bytes, ending: str) -> None:
    last = 0
    for batch in event_file(content, ending).batches():
        assert CodedRows(frame=batch.frame, values=batch.values).decoded().schema == ROW_SCHEMA
        accepted, rejected = validate(batch.frame, batch.values, apps=APPS, now_ms=AT + 60_000)
        assert accepted.height + rejected.height == batch.frame.height
        for line in batch.frame["line"]:
            assert line >= last
            last = line
        texts = batch.raw(range(batch.frame.height))
        assert all(isinstance(raw.text, str) for raw in texts)


def corpus() -> Iterator[tuple[str, bytes]]:
    """A good file of each kind, and odd ones."""
    for ending in ENDINGS:
        yield ending, good(ending)
    yield from odd()


def odd() -> Iterator[tuple[str, bytes]]:
    """Files of values that have been trouble: long integers, one text for many rows, sequences of a terminal."""
    for digits in (19, 20, 60, 4_300, 4_301, 5_000):
        for sign in ("", "-"):
            number = (sign + "9" * digits).encode()
            yield ".ndjson", b'{"app_id":@,"at":@,"x":@}\n'.replace(b"@", number)
            yield ".csv", csv([event(width="@", at="@", room_id="@")]).replace(b"@", number)
            yield ".janus", _TRACE.replace(b"1234", number).replace(b'n_id":1', b'n_id":' + number)
            yield ".toml", _CATALOG.replace(b"minutes = 100", b"minutes = " + number)
    yield ".parquet", one_text_for_many_rows(2_000, 1 << 16)
    yield ".ndjson", ndjson([event(room_id=TERMINAL, user_id=TERMINAL, **{TERMINAL: TERMINAL})])
    yield ".csv", csv([event(room_id=TERMINAL)], [*EVENT, TERMINAL])
    yield ".toml", _CATALOG.replace(b'name = "A"', b'"\\u001b[2J" = 1')


def one_text_for_many_rows(rows: int, size: int) -> bytes:
    """A Parquet file whose dictionary has one long text, which each row names."""
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array(["x" * size]))
    columns = {name: pa.array([value] * rows) for name, value in EVENT.items()}
    buffer = io.BytesIO()
    pq.write_table(pa.table({**columns, "role": texts}), buffer, compression="zstd")
    return buffer.getvalue()
