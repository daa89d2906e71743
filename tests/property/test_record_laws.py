"""The laws of self-contained records: each line is accounted for, whatever is in it, and means the same anywhere.

`test_hostile_laws` reads damaged files of them.
"""

import copy
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.sources.record_files import RECORDS
from tests.record_facts import APP, SAMPLES, read, sample

# Values that nobody meant: too large for any column, half of a surrogate pair, a NUL, a deep nest, another type.
NESTED: Any = []
for _ in range(300):
    NESTED = [NESTED]
HOSTILE = st.sampled_from(
    [
        *(10**59, -(10**59), 2**64, 2**63, -(2**63), 0, -1, 1.5, 1e300, True, False, None, "", " ", "0", "1" * 60, "-"),
        *("\ud800", "a\0b", "ü" * 200, "x" * 2000, "\u202e", [], {}, [[]], {"a": {}}, [None], NESTED, {"sid": NESTED}),
    ]
)
VALUES = HOSTILE | st.text(max_size=20) | st.integers()


def _places(value: Any, *path: Any) -> Iterator[tuple[Any, ...]]:
    """Where the values in a value stand."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield (*path, key)
        yield from _places(each, *path, key)


def _opened(source: str, line: bytes) -> tuple[Any, Any]:
    """A line as the body in it and what is around that."""
    if source == "bigbluebutton":
        around = {name: values[0] for name, values in parse_qs(line.decode()).items()}
        return json.loads(around["event"]), around
    around = json.loads(line)
    return (json.loads(around["body"]), around) if "body" in around else (around, None)


def _closed(source: str, body: Any, around: Any) -> bytes:
    text = json.dumps(body)
    if source == "bigbluebutton":
        return urlencode({**around, "event": text}).encode()
    return (text if around is None else json.dumps({**around, "body": text})).encode()


@pytest.mark.parametrize("source", RECORDS)
@given(data=st.data())
def test_a_record_with_any_value_in_any_place_is_one_row_or_ignored_or_mapped(source: str, data: st.DataObject) -> None:
    """Never a failure; and what was read beside it is what is read without it."""
    lines = sample(SAMPLES[source])
    number = data.draw(st.integers(0, len(lines) - 1))
    body, around = _opened(source, lines[number])
    body = copy.deepcopy(body)
    place = data.draw(st.sampled_from(list(_places(body))))
    inner = body
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = data.draw(VALUES)
    changed = _closed(source, body, around)
    alone, whole = read(source, changed), read(source, b"\n".join([*lines[:number], changed, *lines[number + 1 :]]))
    others = read(source, b"\n".join([*lines[:number], *lines[number + 1 :]]))
    assert alone.tally.lines == 1
    assert alone.tally.unreadable <= 1
    assert _sorted(whole.events) == _sorted([*others.events, *alone.events])


def _sorted(events: list[dict[str, object]]) -> list[dict[str, object]]:
    return sorted(events, key=str)


@pytest.mark.parametrize("source", RECORDS)
@given(data=st.data())
def test_order_and_repetition_and_cuts_change_no_event(source: str, data: st.DataObject) -> None:
    lines = sample(SAMPLES[source])
    again = data.draw(st.lists(st.sampled_from(lines), max_size=5))
    shuffled = data.draw(st.permutations([*lines, *again]))
    cut = data.draw(st.integers(0, len(shuffled)))
    parts = [read(source, b"\n".join(part)).events for part in (shuffled[:cut], shuffled[cut:])]
    whole = read(source, b"\n".join(lines)).events
    assert {str(event) for part in parts for event in part} == {str(event) for event in whole}


@pytest.mark.parametrize("source", RECORDS)
def test_a_sample_is_read_without_a_problem(source: str) -> None:
    found = read(source, b"\n".join(sample(SAMPLES[source])))
    assert found.rejected == []
    assert found.events
    assert {event["app_id"] for event in found.events} == {APP}


@pytest.mark.parametrize("source", RECORDS)
def test_nests_of_any_depth_are_one_row(source: str) -> None:
    for depth in (10, 900, 5_000, 100_000):
        for line in (b'{"event":' + b"[" * depth + b"]" * depth + b"}", b"[" * depth):
            assert len(read(source, line).rejected) == 1
