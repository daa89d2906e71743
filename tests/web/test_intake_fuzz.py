"""The intake against made-up requests: nothing is answered 500, and each row that is taken has one verdict."""

import gzip
import json
import time
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
import zstandard
from hypothesis import example, given, settings
from hypothesis import strategies as st

from billing.web.event_bodies import TYPES
from tests.commands import Commands
from tests.depth import SLOW_EXAMPLES
from tests.sample_home import EVENT, rows
from tests.web.site import serving

pytestmark = pytest.mark.thorough

PACKED = {"gzip": gzip.compress, "zstd": zstandard.ZstdCompressor().compress}
CE = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "s", "ce-type": "t"}
PRINTABLE = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20)
EVENTS = st.fixed_dictionaries(
    {"event_id": st.sampled_from(["e1", "e2", "e3", "\ud800"]), "room_id": st.sampled_from(["r", "s", 5, None])}
).map(lambda more: json.dumps(EVENT | more).encode())
LINES = st.one_of(
    EVENTS,
    st.binary(max_size=60),
    st.sampled_from([b"", b" ", b"\r", b"\x0b", b"\x00", b"\xa0", b"\xef\xbb\xbf", b"{}"]),
)
BODIES = st.one_of(
    st.binary(max_size=300),
    st.lists(LINES, max_size=8).map(b"\n".join),
    st.lists(EVENTS, max_size=5).map(lambda events: b"[" + b",".join(events) + b"]"),
    st.lists(EVENTS.map(b'{"specversion":"1.0","id":"1","source":"s","type":"t","data":%s}'.__mod__), max_size=5).map(
        lambda envelopes: b"[" + b",".join(envelopes) + b"]"
    ),
)
PATHS = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="?#/\\"), max_size=60)
HEADERS = st.fixed_dictionaries(
    {"Content-Type": st.one_of(st.sampled_from([*TYPES, "application/json; charset=utf-8"]), PRINTABLE)},
    optional={
        "Prefer": st.sampled_from(["wait=0", "wait=x", "wait", "respond-async", "wait=0, x"]),
        "ce-specversion": PRINTABLE,
        "ce-id": PRINTABLE,
    },
)


@st.composite
def requests(draw: st.DrawFn) -> tuple[bytes, dict[str, str]]:
    """A body with headers that are mostly true of it."""
    body, headers = draw(BODIES), draw(HEADERS) | draw(st.sampled_from([{}, {}, CE]))
    encoding = draw(st.sampled_from([None, None, "gzip", "zstd", "identity", "br", "GZIP", ""]))
    if encoding is not None:
        headers["Content-Encoding"] = encoding
        if encoding in PACKED and draw(st.booleans()):
            body = PACKED[encoding](body)
    return body, headers


def verdicts(client: httpx.Client, batch: str) -> Mapping[str, Any]:
    """What became of a batch, once it is known."""
    until = time.monotonic() + 60
    while (answer := client.get(f"/v1/batches/{batch}").json())["state"] != "done":
        assert time.monotonic() < until
        time.sleep(0.02)
    found: Mapping[str, Any] = answer
    return found


def test_any_request_is_taken_or_refused_and_each_row_has_a_verdict(billing: Commands) -> None:
    batches: dict[str, int] = {}
    with serving(billing, "--no-refresh") as site:
        client = site.client("ingest")

        @settings(max_examples=6 * SLOW_EXAMPLES)
        @given(request=requests())
        @example(request=(b"{}\n" * 50_001, {"Content-Type": TYPES[0]}))
        @example(request=(b"[" * 100_000, {"Content-Type": TYPES[1]}))
        @example(request=(b'{"a":' * 100_000, {"Content-Type": TYPES[0]}))
        @example(request=(b'[{"x": "\\ud800"}, ' + b"[" * 5000, {"Content-Type": TYPES[1]}))
        def ask(request: tuple[bytes, dict[str, str]]) -> None:
            body, headers = request
            done = client.post("/v1/events", content=body, headers=headers)
            assert done.status_code in (202, 400, 413, 415), done.text
            if done.status_code == 202:
                batches[done.json()["batch"]] = done.json()["rows"]
            else:
                assert done.headers["content-type"] == "application/problem+json"

        ask()
        last = client.post("/v1/events", content=b"{}", headers={"Content-Type": TYPES[0], "Prefer": "wait=30"}).json()
        found = [last, *(verdicts(client, batch) for batch in batches)]
        counted = site.anybody.get("/metrics").text
    assert sum(batches.values()) > SLOW_EXAMPLES
    for each in found:
        assert each["accepted"] + each["duplicates"] + each["quarantined"] == each["rows"]
    for name in ("accepted", "duplicates", "quarantined"):
        assert f'{{verdict="{name}"}} {sum(each[name] for each in found)}\n' in counted
    accepted = sum(each["accepted"] for each in rows(billing, "ingests"))
    assert accepted == sum(each["accepted"] for each in found)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_any_path_is_found_or_not(method: str, billing: Commands) -> None:
    with serving(billing, "--no-refresh") as site:
        client = site.client("ingest")

        @settings(max_examples=SLOW_EXAMPLES)
        @given(
            path=st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="?#/\\"), max_size=60)
        )
        @example(path="20261127T170651123-0001.1.1." + "0" * 32)
        @example(path="99999999T999999999-9999.999999999999.999999999999." + "f" * 32)
        def ask(path: str) -> None:
            for prefix in ("/v1/batches/", "/callbacks/", "/callbacks/livekit/"):
                assert client.request(method, f"{prefix}{path}").status_code in (400, 401, 404, 405)

        ask()
