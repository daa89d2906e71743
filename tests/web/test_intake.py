"""Events over HTTP: what is taken, what is refused, and what became of it."""

import gzip
import json
import os
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import zstandard

from tests.commands import Commands
from tests.sample_home import APP, EVENT, rows
from tests.web.site import Site, serving

NDJSON = {"Content-Type": "application/x-ndjson"}
OTHER = """
[[account]]
id = "other"
name = "Other"
currency = "USD"
timezone = "UTC"
policy = "trtc-intl"

[[app]]
id = 77
account = "other"
name = "Other app"
"""


@pytest.fixture
def site(billing: Commands) -> Iterator[Site]:
    """A service on a home with the sample catalog, and the app 77 of the account `other`."""
    file = billing.home.parent / "other.toml"
    file.write_text(OTHER)
    assert billing(f"catalog apply {file}").exit_code == 0
    with serving(billing) as site:
        yield site


def event(number: int, **more: Any) -> dict[str, Any]:
    return EVENT | {"event_id": f"e{number}", "user_id": f"u{number}", **more}


def ndjson(*events: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(each).encode() + b"\n" for each in events)


def sent(client: httpx.Client, content: bytes, media_type: str = NDJSON["Content-Type"], **headers: str) -> Any:
    """The answer to a request that is taken."""
    done = client.post("/v1/events", content=content, headers={"Content-Type": media_type, **headers})
    assert done.status_code == 202, done.text
    return done.json()


def counts(answer: Any) -> tuple[int, int, int]:
    assert answer["state"] == "done", answer
    return answer["accepted"], answer["duplicates"], answer["quarantined"]


def ingested(site: Site, content: bytes, media_type: str = NDJSON["Content-Type"], **headers: str) -> Any:
    """What became of a request, by the operator's token."""
    return sent(site.client("ingest"), content, media_type, Prefer="wait=10", **headers)


def refused(client: httpx.Client, content: bytes, **headers: str) -> tuple[int, str]:
    done = client.post("/v1/events", content=content, headers=NDJSON | headers)
    assert done.headers["content-type"] == "application/problem+json"
    return done.status_code, done.json()["detail"]


def test_rows_are_stored_then_accepted_duplicates_or_quarantined(site: Site) -> None:
    client = site.client("ingest")
    taken = sent(client, ndjson(event(1), event(2)))
    assert taken.keys() == {"batch", "rows", "state"}
    assert (taken["rows"], taken["state"]) == (2, "stored")
    assert client.get(f"/v1/batches/{taken['batch']}").json() == taken
    mixed = ndjson(event(2), event(3), event(1, room_id="another"), {"app_id": 5}) + b"nonsense\n\n"
    after = sent(client, mixed, Prefer="wait=10")
    assert after["rows"] == 5
    assert counts(after) == (1, 1, 3)
    assert counts(client.get(f"/v1/batches/{taken['batch']}").json()) == (2, 0, 0)
    assert client.get(f"/v1/batches/{after['batch']}").json() == after
    reasons = sorted(row["reason"] for row in rows(site.commands, "quarantine list --rows"))
    assert reasons == ["bad_json", "conflict", "missing_field"]


def test_tasks_come_in_like_other_events(site: Site) -> None:
    """The same as NDJSON and as CloudEvents; a task without a service is quarantined."""
    task = {"app_id": APP, "room_id": "r", "task_id": "rec-1", "at": "2026-03-10T10:00:00+09:00"}
    events = [
        task | {"type": "task_start", "service": "recording"},
        task | {"type": "video_on", "stream": "anna/camera", "width": 1280, "height": 720},
        task | {"type": "task_stop", "at": "2026-03-10T10:10:00+09:00"},
    ]
    assert counts(ingested(site, ndjson(*events, task | {"type": "task_start", "task_id": "rec-2"}))) == (3, 0, 1)
    about = {"specversion": "1.0", "source": "s", "type": "t"}
    envelopes = [about | {"id": f"{number}", "data": each} for number, each in enumerate(events)]
    again = ingested(site, json.dumps(envelopes).encode(), "application/cloudevents-batch+json")
    assert counts(again) == (0, 3, 0)
    assert site.commands("nightly").exit_code == 0
    usage = rows(site.commands, f"usage {APP} --from 2026-03-10 --to 2026-03-10 --by day")
    assert [(row["item"], row["seconds"]) for row in usage] == [("recording:hd", 600)]
    [finding] = [row for row in rows(site.commands, "quarantine list --rows") if row["detail"] == "service is missing"]
    assert finding["reason"] == "missing_field"


def test_every_form_of_body_gives_the_same_events(site: Site) -> None:
    """The same three events in each form: the first is new, all others are its duplicates."""
    three = [event(1), event(2), event(3)]
    client, array = site.client("ingest"), json.dumps(three, indent=2).encode()
    about = {"specversion": "1.0", "source": "s", "type": "t"}
    envelopes = [about | {"id": f"{number}", "data": each} for number, each in enumerate(three)]
    forms = [
        (ndjson(*three), "application/x-ndjson", {}),
        (array, "application/json; charset=utf-8", {}),
        (gzip.compress(array), "application/json", {"Content-Encoding": "gzip"}),
        (zstandard.ZstdCompressor().compress(ndjson(*three)), "application/x-ndjson", {"Content-Encoding": "zstd"}),
        (json.dumps(envelopes).encode(), "application/cloudevents-batch+json", {}),
    ]
    found = [counts(sent(client, body, kind, Prefer="wait=10", **more)) for body, kind, more in forms]
    assert found == [(3, 0, 0), *[(0, 3, 0)] * 4]
    one = json.dumps(envelopes[0]).encode()
    assert counts(ingested(site, one, "application/cloudevents+json")) == (0, 1, 0)
    headers = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "s", "ce-type": "t"}
    assert counts(ingested(site, json.dumps(three[0]).encode(), "application/json", **headers)) == (0, 1, 0)
    assert counts(ingested(site, json.dumps(three[0]).encode(), "application/json")) == (0, 1, 0)


def test_an_app_of_another_account_is_refused_and_nothing_is_stored(site: Site) -> None:
    mine, operator = site.client("ingest", "other"), site.client("ingest")
    assert refused(mine, ndjson(event(1, app_id=77), event(2, app_id=APP)))[0] == 404
    hidden = b'{"\\u0061pp_id": %d, "x": "\\ud800"}\n' % APP
    assert refused(mine, ndjson(event(1, app_id=77)) + hidden)[0] == 404
    assert counts(sent(mine, ndjson(event(1, app_id=77)), Prefer="wait=10")) == (1, 0, 0)
    assert counts(sent(operator, ndjson(event(2)), Prefer="wait=10")) == (1, 0, 0)
    accepted = sum(row["accepted"] for row in rows(site.commands, "ingests"))
    assert accepted == 2


def test_an_app_that_nobody_has_goes_to_quarantine(site: Site) -> None:
    assert counts(sent(site.client("ingest", "other"), ndjson(event(1, app_id=4711)), Prefer="wait=10")) == (0, 0, 1)
    assert [row["reason"] for row in rows(site.commands, "quarantine list --rows")] == ["unknown_app"]


def test_a_batch_is_known_to_the_account_that_sent_it_and_to_the_operator(site: Site) -> None:
    taken = sent(site.client("ingest", "other"), ndjson(event(1, app_id=77)))["batch"]
    paths = (f"/v1/batches/{taken}", f"/v1/batches/{taken[:-1]}x", f"/v1/batches/{taken.replace('.1.1.', '.1.2.')}")
    for client in (site.client("read", "other"), site.client("ingest")):
        assert [client.get(path).status_code for path in paths] == [200, 404, 404]
    assert [site.client("admin", "academy").get(path).status_code for path in paths] == [404, 404, 404]
    assert site.anybody.get(paths[0]).status_code == 401


def test_only_size_type_and_access_refuse_a_request(site: Site) -> None:
    client = site.client("ingest")
    assert refused(site.anybody, ndjson(event(1)))[0] == 401
    assert refused(site.client("read"), ndjson(event(1)))[0] == 403
    assert refused(client, b"a,b\n", **{"Content-Type": "text/csv"})[0] == 415
    assert refused(client, b"x", **{"Content-Encoding": "br"})[0] == 415
    assert refused(client, b"x" * (16 * 1024 * 1024 + 1))[0] == 413
    assert refused(client, gzip.compress(b" " * (16 * 1024 * 1024 + 1)), **{"Content-Encoding": "gzip"})[0] == 413
    assert refused(client, b"{}\n" * 50_001)[0] == 413
    assert refused(client, b"this is not gzip", **{"Content-Encoding": "gzip"})[0] == 400
    assert rows(site.commands, "ingests") == []


def test_what_cannot_be_read_is_quarantined_and_not_refused(site: Site) -> None:
    long = ndjson(event(1, role="x" * (1 << 20)))
    assert counts(ingested(site, long + ndjson(event(2)))) == (1, 0, 1)
    assert counts(ingested(site, b"[1, 2", "application/json")) == (0, 0, 1)
    assert counts(ingested(site, b'{"specversion": "0.3"}', "application/cloudevents+json")) == (0, 0, 1)
    assert counts(ingested(site, b" \n\n", NDJSON["Content-Type"])) == (0, 0, 0)
    reasons = sorted(row["reason"] for row in rows(site.commands, "quarantine list --rows"))
    assert reasons == ["bad_json", "missing_field", "too_long"]


def test_numbers_and_unknown_keys_are_kept_as_they_were_sent(site: Site) -> None:
    body = b'[{"event_id": "n1",\n "app_id": 1.0, "unknown": 1e3, "long": 123456789012345678901234567890}]'
    assert counts(ingested(site, body, "application/json")) == (0, 0, 1)
    (row,) = rows(site.commands, "quarantine list --rows")
    assert row["raw"] == body[1:-1].replace(b"\n", b" ").decode()


def test_a_token_that_sends_too_often_is_told_when_to_come_back(billing: Commands) -> None:
    with serving(billing, "--requests-per-second", "0.5") as site:
        client, other = site.client("ingest"), site.client("ingest")
        sent(client, ndjson(event(1)))
        done = client.post("/v1/events", content=ndjson(event(2)), headers=NDJSON)
        assert done.status_code == 429
        assert 1 <= int(done.headers["retry-after"]) <= 2
        sent(other, ndjson(event(3)))


def test_a_service_that_ends_seals_what_it_has_and_the_next_one_ingests_it(billing: Commands) -> None:
    with serving(billing) as site:
        taken = sent(site.client("ingest"), ndjson(event(1)))["batch"]
        (segment,) = (billing.home / "spool").glob("*.ndjson.open")
        started = time.monotonic()
        site.process.terminate()
        site.process.wait(timeout=10)
        assert time.monotonic() - started < 10
        assert not segment.exists()
    with serving(billing) as site:
        client = site.client("ingest")
        until = time.monotonic() + 20
        while (answer := client.get(f"/v1/batches/{taken}").json())["state"] != "done" and time.monotonic() < until:
            time.sleep(0.05)
        assert counts(answer) == (1, 0, 0)
        assert site.anybody.get("/readyz").json() == {"ready": True, "waiting_rows": 0, "oldest_s": 0}


def test_what_waits_is_told_and_what_is_done_is_counted(site: Site) -> None:
    sent(site.client("ingest"), ndjson(event(1), event(2)))
    ready = site.anybody.get("/readyz")
    assert ready.status_code == 200
    assert ready.json()["waiting_rows"] == 2
    assert counts(ingested(site, ndjson(event(2), event(3)))) == (1, 1, 0)
    done = site.anybody.get("/metrics")
    assert done.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    samples = openmetrics(done.text)
    assert samples["billing_intake_rows_total"] == 4
    assert samples['billing_ingested_rows_total{verdict="accepted"}'] == 3
    assert samples['billing_ingested_rows_total{verdict="duplicates"}'] == 1
    assert (samples["billing_ready"], samples["billing_spool_rows"]) == (1, 0)


def openmetrics(text: str) -> dict[str, float]:
    """Samples by name and labels. Every line must be one of OpenMetrics, of a family that was announced."""
    lines = text.split("\n")
    assert lines[-2:] == ["# EOF", ""]
    samples: dict[str, float] = {}
    name = kind = unit = ""
    for line in lines[:-2]:
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert kind in ("counter", "gauge")
            unit = ""
        elif line.startswith("# UNIT "):
            unit = line.split(" ")[3]
            assert line == f"# UNIT {name} {unit}"
            assert name.endswith(f"_{unit}")
        elif line.startswith("# HELP "):
            assert line.startswith(f"# HELP {name} ")
        else:
            sample, value = line.rsplit(" ", 1)
            assert sample.partition("{")[0] == (f"{name}_total" if kind == "counter" else name)
            assert sample not in samples
            samples[sample] = float(value)
    return samples


@pytest.mark.parametrize("wait", ["wait=0", "respond-async, wait=1"])
def test_a_wait_ends_in_time_when_the_ingest_is_held_up(site: Site, wait: str) -> None:
    from filelock import FileLock

    with FileLock(site.commands.home / "ingest.lock"):
        started = time.monotonic()
        taken = sent(site.client("ingest"), ndjson(event(1)), Prefer=wait)
        assert taken["state"] == "stored"
        assert time.monotonic() - started < 5
    until = time.monotonic() + 20
    client = site.client("ingest")
    while client.get(f"/v1/batches/{taken['batch']}").json()["state"] != "done":
        assert time.monotonic() < until
        time.sleep(0.05)


def test_what_was_ingested_is_kept_for_some_days_if_it_should_be(billing: Commands) -> None:
    spool, body = billing.home / "spool", ndjson(event(1))
    with serving(billing, "--keep-days", "2") as site:
        ingested(site, body)
        until = time.monotonic() + 20
        while not (kept := list(spool.glob("kept/*.ndjson"))):
            assert time.monotonic() < until
            time.sleep(0.02)
    assert [path.read_bytes() for path in kept] == [body]
    (days_3, more) = (time.time() - 3 * 86_400, spool / "kept" / "events-20260301T000000000-0001.ndjson")
    more.write_bytes(body)
    os.utime(more, (days_3, days_3))
    with serving(billing, "--keep-days", "2"):
        until = time.monotonic() + 20
        while more.exists():
            assert time.monotonic() < until
            time.sleep(0.02)
    assert kept[0].exists()
    with serving(billing) as site:
        ingested(site, ndjson(event(2)))
    assert list(spool.rglob("*.ndjson")) == kept
