"""Bodies of events as rows; CloudEvents are made by the `cloudevents` client."""

import base64
import json
from collections.abc import Mapping
from typing import Any

import pytest
from cloudevents.core.bindings.http import HTTPMessage, to_binary_event, to_structured_event
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given
from hypothesis import strategies as st

from billing.web.event_bodies import CLOUD_EVENT, CLOUD_EVENTS, JSON, TYPES, UnknownTypeError, apps_named, lines_of

NDJSON = TYPES[0]
EVENT = {"event_id": "e1", "app_id": 5, "room_id": "教室", "at": 1.5, "nested": {"a": [1, None]}}
ATTRIBUTES = {"id": "1", "source": "/media", "type": "rtc.enter", "specversion": "1.0"}
ENVELOPE = ATTRIBUTES | {"data": EVENT}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


def one(message: HTTPMessage) -> Any:
    """The row that a request of the client is, as a value."""
    headers = {name.lower(): value for name, value in message.headers.items()}
    media_type = headers["content-type"].partition(";")[0]
    (line,) = lines_of(message.body, media_type, headers)
    return json.loads(line)


def test_an_event_of_the_client_is_its_data_in_each_mode() -> None:
    event = CloudEvent(attributes=ATTRIBUTES | {"datacontenttype": "application/json"}, data=EVENT)
    assert one(to_structured_event(event)) == EVENT
    assert one(to_binary_event(event)) == EVENT


def test_a_batch_is_the_data_of_each_envelope() -> None:
    envelopes = [JSONFormat().write(CloudEvent(attributes=ATTRIBUTES | {"id": id_}, data=EVENT)) for id_ in "123"]
    batch = b"[" + b",\n".join(envelopes) + b"]"
    assert [json.loads(line) for line in lines_of(batch, CLOUD_EVENTS, {})] == [EVENT] * 3


@given(data=VALUES.filter(lambda value: value is not None))
def test_whatever_the_data_is_the_client_and_we_agree(data: Any) -> None:
    event = CloudEvent(attributes=ATTRIBUTES | {"datacontenttype": "application/json"}, data=data)
    assert one(to_structured_event(event)) == data


def test_data_in_base64_is_unpacked() -> None:
    packed = base64.b64encode(json.dumps(EVENT).encode()).decode()
    body = json.dumps(ATTRIBUTES | {"data_base64": packed}).encode()
    assert json.loads(lines_of(body, CLOUD_EVENT, {})[0]) == EVENT


@pytest.mark.parametrize(
    "change",
    [
        {"specversion": "0.3"},
        {"specversion": None},
        {"id": ""},
        {"source": 5},
        {"type": None},
        {"data_base64": "e30="},
    ],
)
def test_an_envelope_that_is_none_is_a_row_itself(change: Mapping[str, Any]) -> None:
    """The ingest quarantines it: it has no app."""
    envelope = ENVELOPE | change
    assert [json.loads(line) for line in lines_of(json.dumps(envelope).encode(), CLOUD_EVENT, {})] == [envelope]


def test_headers_that_are_no_envelope_are_kept_with_the_body() -> None:
    headers = {"ce-specversion": "1.0", "ce-id": "1"}
    (line,) = lines_of(b'{"app_id": 5}', JSON, headers)
    assert json.loads(line) == {"specversion": "1.0", "id": "1", "data": '{"app_id": 5}'}


@given(rows=st.lists(VALUES, max_size=5), indent=st.sampled_from([None, 0, 2]))
def test_the_elements_of_an_array_are_rows_of_one_line(rows: list[Any], indent: int | None) -> None:
    body = json.dumps(rows, indent=indent).encode()
    lines = lines_of(body, JSON, {})
    assert [json.loads(line) for line in lines] == rows
    assert not any(b"\n" in line for line in lines)


def test_an_array_with_half_of_a_surrogate_pair_has_its_elements_all_the_same() -> None:
    assert lines_of(b'[{"x": "\\ud800"}, 5 ]', JSON, {}) == [b'{"x": "\\ud800"}', b"5"]
    for broken in (b'[{"x": "\\ud800"} 5]', b'[{"x": "\\ud800"}]]', b'[{"x": "\\ud800"},]', b'["\\ud800"'):
        assert lines_of(broken, JSON, {}) == [broken]


@given(body=st.binary(max_size=200), media_type=st.sampled_from(TYPES), is_binary=st.booleans())
def test_any_bytes_are_rows_of_one_line_and_none_is_blank(body: bytes, media_type: str, is_binary: bool) -> None:
    headers = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "s", "ce-type": "t"} if is_binary else {}
    lines = lines_of(body, media_type, headers)
    assert all(line and not line.isspace() and b"\n" not in line for line in lines)
    assert lines or not body.strip() or body.strip().startswith((b"[", b"\xef\xbb\xbf"))
    assert apps_named(lines) is not None


def test_other_types_are_unknown() -> None:
    for media_type in ("text/csv", "", "application/xml"):
        with pytest.raises(UnknownTypeError):
            lines_of(b"x", media_type, {})


def test_the_apps_of_rows_are_found_however_they_are_written() -> None:
    rows = [b'{"app_id": 1}', b'{"\\u0061pp_id": 2, "x": "\\ud800"}', b"no JSON", b"[3]", b'{"app_id": "4"}', b"5"]
    assert apps_named(rows) == {1, 2}
    assert apps_named([b'{"app_id": 1, "x": 1e400}', b'{"app_id": 99999999999999999999999}']) >= {1}
