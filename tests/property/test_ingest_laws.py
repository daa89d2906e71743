"""Laws of ingest: order, split and repetition change nothing, no row is lost, and no bytes make a reader fail."""

import gzip
import io
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.errors import BillingError
from billing.events.quarantine import Quarantine
from billing.events.validation import validate
from billing.home import Home
from tests.event_facts import (
    APPS,
    AT,
    EVENT,
    NOW_MS,
    csv,
    event,
    event_file,
    ingest,
    judged,
    logged,
    ndjson,
    new_home,
    parquet,
    written,
)

WRITERS: dict[str, Callable[[list[dict[str, object]]], bytes]] = {".ndjson": ndjson, ".csv": csv, ".parquet": parquet}

FEWER = settings().max_examples // 4  # of the laws that write a log for each example

# What an event is about; whether it has an id of its own.
CONTENT = st.tuples(
    st.sampled_from(APPS), st.sampled_from(["r1", "r2"]), st.sampled_from(["a", "b"]), st.integers(-4, 0), st.booleans()
)
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=40),
    st.sampled_from(["\0", "\ud800", "a/camera", "enter", "2026-03-10T00:00:00Z", "2026-03-10T00:00:00"]),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=2),
)


def made(content: tuple[int, str, str, int, bool]) -> dict[str, object]:
    """The event with this content, and an id of it or none."""
    app, room, user, day, named = content
    at = AT + day * 86_400_000 // 2
    return event(event_id=f"{room}-{user}" if named else None, app_id=app, room_id=room, user_id=f"{user}{at}", at=at)


def distinct(contents: Sequence[tuple[int, str, str, int, bool]]) -> list[dict[str, object]]:
    """Their events, without those that would be conflicts: one for each key."""
    events = [made(content) for content in contents]
    keys = {
        (row["app_id"], int(str(row["at"])) // 86_400_000, row["event_id"] or json.dumps(row)): row for row in events
    }
    return list(keys.values())


def in_home(directory: str, files: Sequence[tuple[str, bytes]]) -> tuple[pl.DataFrame, int, int]:
    """The log, and how many rows were read and accepted, after an ingest of these files, one after the other."""
    home = new_home(Path(directory) / "home")
    paths = [written(Path(directory) / f"{n}{ending}", content) for n, (ending, content) in enumerate(files)]
    reports = ingest(home, *paths)
    assert all(report.error is None for report in reports)
    assert all(report.read == report.accepted + report.duplicates + report.quarantined for report in reports)
    return logged(home), sum(report.read for report in reports), sum(report.accepted for report in reports)


@settings(max_examples=FEWER)
@given(contents=st.lists(CONTENT, min_size=1, max_size=20), data=st.data())
def test_order_split_repetition_and_format_of_input_change_nothing(contents: Any, data: st.DataObject) -> None:
    events = distinct(contents)
    again = events + data.draw(st.lists(st.sampled_from(events), max_size=10), label="repeated")
    shuffled = data.draw(st.permutations(again), label="order")
    cut = data.draw(st.integers(0, len(shuffled)), label="cut")
    endings = data.draw(st.lists(st.sampled_from(sorted(WRITERS)), min_size=2, max_size=2), label="formats")
    parts = [part for part in (shuffled[:cut], shuffled[cut:]) if part]
    with tempfile.TemporaryDirectory() as plain, tempfile.TemporaryDirectory() as mixed:
        expected, _, accepted = in_home(plain, [(".ndjson", ndjson(events))])
        files = [(ending, WRITERS[ending](part)) for ending, part in zip(endings, parts, strict=False)]
        found, read, accepted_mixed = in_home(mixed, files)
    assert found.equals(expected)
    assert (read, accepted_mixed) == (len(again), accepted)
    assert accepted == len(events)


@given(rows=st.lists(st.fixed_dictionaries({}, optional=dict.fromkeys([*EVENT, "seq", "role"], VALUES)), max_size=20))
def test_every_json_row_is_accepted_or_rejected_with_a_reason(rows: list[dict[str, object]]) -> None:
    accepted, rejected = judged(ndjson(rows))
    assert len(accepted) + len(rejected) == len(rows)
    assert all(reason and detail for _, reason, detail in rejected)


@given(name=st.sampled_from([*EVENT, "seq", "role"]), value=VALUES)
def test_a_batch_is_judged_row_by_row(name: str, value: object) -> None:
    """What one row holds changes nothing for the others of its batch."""
    changed = event(**{name: value})
    alone, alone_rejected = judged(ndjson([changed]))
    accepted, rejected = judged(ndjson([event(), changed, event()]))
    plain = judged(ndjson([event()]))[0]
    assert accepted == plain + alone + plain
    assert [found[1:] for found in rejected] == [found[1:] for found in alone_rejected]


@pytest.mark.parametrize("ending", [".ndjson", ".csv", ".parquet", ".ndjson.gz", ".ndjson.zst"])
@given(data=st.data())
def test_no_bytes_make_a_reader_fail(ending: str, data: st.DataObject) -> None:
    """Valid files with bytes put in, taken out or turned over, and plain garbage: rows, or one clear refusal."""
    valid = {
        ".ndjson": ndjson([event(), event(role='"x"', at="2026-03-10T00:00:00Z")]),
        ".csv": csv([event(), event(user_id='"a ""b""\nc"')]),
        ".parquet": parquet([event(), event(event_id="e-2")]),
        ".ndjson.gz": gzip.compress(ndjson([event()]), mtime=0),
        ".ndjson.zst": b"\x28\xb5\x2f\xfd\x04\x00\x11\x00\x00{}\n{}"[:13],
    }[ending]
    start = data.draw(st.integers(0, len(valid)), label="start")
    length = data.draw(st.integers(0, 20), label="length")
    inserted = data.draw(st.binary(max_size=20), label="inserted")
    content = data.draw(st.sampled_from([valid[:start] + inserted + valid[start + length :], inserted]))
    try:
        for batch in event_file(content, ending).batches():
            accepted, rejected = validate(batch.frame, batch.values, apps=APPS, now_ms=NOW_MS)
            assert accepted.height + rejected.height == batch.frame.height
            assert len(batch.raw(range(batch.frame.height))) == batch.frame.height
    except BillingError as refused:
        message = str(refused)
        assert message.startswith(f"events{ending}: ")
        assert "\n" not in message


@settings(max_examples=FEWER)
@given(lines=st.lists(st.sampled_from([b"{}", b"oops", json.dumps(EVENT).encode(), b""]), max_size=10))
def test_a_file_twice_leaves_log_and_quarantine_as_once(lines: list[bytes]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        home: Home = new_home(Path(directory) / "home")
        path = written(Path(directory) / "a.ndjson", b"\n".join(lines))
        (first,) = ingest(home, path)
        once = logged(home), Quarantine(directory=home.quarantine).rows()
        (second,) = ingest(home, path)
        twice = logged(home), Quarantine(directory=home.quarantine).rows()
    assert all(before.equals(after) for before, after in zip(once, twice, strict=True))
    assert second.duplicates == first.accepted + first.duplicates
    assert second.quarantined == first.quarantined


@given(text=st.text(max_size=60))
def test_any_text_that_is_accepted_comes_back_as_it_was(text: str) -> None:
    buffer = io.BytesIO()
    pl.DataFrame([event(user_id=text)]).write_parquet(buffer)
    found = [judged(ndjson([event(user_id=text)])), judged(buffer.getvalue(), ".parquet")]
    assert found[0][0] == found[1][0]
    assert [row["user_id"] for row in found[0][0]] == (
        [text] if 0 < len(text.encode()) <= 255 and "\0" not in text else []
    )
