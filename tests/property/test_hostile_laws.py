"""Hostile files: bytes that nobody meant, and good files that were damaged, are read or refused, and nothing else."""

import gzip
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from billing.sources.files.parquet import _batch
from tests.event_facts import AT, EVENT, csv, event, judged, ndjson
from tests.fuzz.reading import ENDINGS, good, odd, read

COLUMNS = (*EVENT, "seq", "role", "reason", "source")

# Where in a file of any length, what stands there then, and how many bytes go.
_INSTEAD = st.binary(max_size=12) | st.sampled_from([b'"', b"\0", b"\n", b"\xff", b",", b"{"])
EDITS = st.lists(
    st.tuples(st.floats(0, 1), _INSTEAD, st.integers(0, 40)),
    min_size=1,
    max_size=4,
)


@pytest.mark.parametrize("ending", ENDINGS)
@given(edits=EDITS)
def test_a_good_file_with_damage_is_read_or_refused(ending: str, edits: list[tuple[float, bytes, int]]) -> None:
    content = good(ending)
    for where, instead, gone in edits:
        at = int(where * len(content))
        content = content[:at] + instead + content[at + gone :]
    read(content, ending)


def test_files_of_odd_values_are_read_or_refused() -> None:
    for ending, content in odd():
        read(content, ending)


@pytest.mark.parametrize("ending", ENDINGS)
@given(content=st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(ending: str, content: bytes) -> None:
    read(content, ending)
    if ending.endswith(".gz"):
        read(gzip.compress(content), ending)
    if ending.endswith(".zst"):
        read(zstandard.ZstdCompressor().compress(content), ending)


@pytest.mark.parametrize("ending", [".ndjson", ".csv", ".toml"])
@given(content=st.text(max_size=200))
def test_any_text_is_read_or_refused(ending: str, content: str) -> None:
    read(content.encode(errors="surrogatepass"), ending)


@given(
    fields=st.dictionaries(
        st.sampled_from(["event_id", "app_id", "room_id", "user_id", "at", "seq", "type", "stream", "width", "height"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("enter"),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
            max_leaves=5,
        ),
    )
)
def test_any_values_in_an_event_are_judged(fields: dict[str, object]) -> None:
    read(json.dumps(fields).encode() + b"\n", ".ndjson")


@st.composite
def integers(draw: st.DrawFn) -> str:
    """A whole number of 1 to 5,000 digits, or one beside a limit."""
    limits = st.sampled_from([2**31, 2**53, 2**63, 2**64, 10**300])
    beside = st.builds(lambda limit, change: str(limit + change), limits, st.integers(-1, 1))
    long = st.builds(
        lambda first, digits: first + digits, st.sampled_from("123456789"), st.text("0123456789", max_size=30)
    )
    repeated = st.builds(lambda digit, count: digit * count, st.sampled_from("123456789"), st.integers(1, 5000))
    return draw(st.sampled_from(["", "-"])) + draw(beside | long | repeated)


def _row(name: str, number: str, ending: str) -> bytes:
    """Two good events, and between them one with this number, whose digits stand in the file as they are."""
    rows = [event(event_id="a"), event(**{"event_id": "b", name: "@"}), event(event_id="c")]
    content = csv(rows, COLUMNS) if ending == ".csv" else ndjson(rows).replace(b'"@"', b"@")
    return content.replace(b"@", number.encode())


@pytest.mark.parametrize("ending", [".csv", ".ndjson"])
@given(name=st.sampled_from(COLUMNS), number=integers())
def test_a_whole_number_of_any_length_in_any_column_concerns_its_own_row_only(
    ending: str, name: str, number: str
) -> None:
    accepted, rejected = judged(_row(name, number, ending), ending)
    assert [row["event_id"] for row in accepted if row["event_id"] in ("a", "c")] == ["a", "c"]
    assert len(accepted) + len(rejected) == 3
    for line, reason, detail in rejected:
        assert line == 2 + (ending == ".csv")
        assert reason in ("bad_type", "bad_value", "future", "unknown_app")
        assert len(detail) < 200


@given(number=st.integers(-(2**63), 2**64 - 1), name=st.sampled_from(["app_id", "at", "seq", "width", "height"]))
def test_a_whole_number_of_any_size_in_a_parquet_column_is_judged_as_in_json(name: str, number: int) -> None:
    kind = pa.uint64() if number >= 2**63 else pa.int64()
    column = {name: pa.array([number], kind)}
    own = {key: pa.array([value]) for key, value in EVENT.items()}
    buffer = io.BytesIO()
    pq.write_table(pa.table({**own, **column}), buffer)
    assert judged(buffer.getvalue(), ".parquet") == judged(ndjson([event(**{name: number})]))


@given(seconds=st.integers(-(2**63), 2**63 - 1))
def test_an_instant_of_any_size_never_becomes_another(seconds: int) -> None:
    """Seconds that do not fit into 64 bits of milliseconds do not wrap around to an instant of ours."""
    batch = pa.record_batch(
        {**{k: pa.array([v]) for k, v in EVENT.items()}, "at": pa.array([seconds], pa.timestamp("s", "UTC"))}
    )
    at = _batch(batch, 1).frame["at"].item()
    assert at == seconds * 1000 or (abs(seconds) > 2**53 and abs(at) > AT * 1000)
