"""The service killed while it acknowledges, and on disks that are full: what it acknowledged is ingested, once."""

import json
import os
import random
import resource
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest
from filelock import FileLock

from tests.commands import Commands
from tests.sample_home import EVENT
from tests.web.site import Site, serving

pytestmark = pytest.mark.thorough

KILLS = 8 if os.environ.get("BILLING_KILLS") == "all" else 2
SENDERS = 8
NDJSON = {"Content-Type": "application/x-ndjson"}
NO_LIMIT = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)


@dataclass(slots=True)
class Sender:
    """Sends batches of events until it fails or is stopped. `acknowledged`: batches by id, with their event ids."""

    name: str
    site: Site
    token: str
    rows: int
    acknowledged: dict[str, list[str]] = field(default_factory=dict)
    statuses: set[int] = field(default_factory=set)
    sent: int = 0

    def run(self, stop: threading.Event) -> None:
        """What its thread does."""
        headers = {"Authorization": f"Bearer {self.token}", **NDJSON}
        with httpx.Client(base_url=self.site.address, headers=headers, timeout=30) as client:
            while not stop.is_set():
                try:
                    self.send(client)
                except httpx.TransportError:
                    return

    def send(self, client: httpx.Client) -> httpx.Response:
        """One request."""
        ids = [f"{self.name}-{self.sent}-{row}" for row in range(self.rows)]
        self.sent += 1
        events = (EVENT | {"event_id": each, "user_id": each} for each in ids)
        done = client.post("/v1/events", content="".join(f"{json.dumps(event)}\n" for event in events))
        self.statuses.add(done.status_code)
        if done.status_code == 202:
            self.acknowledged[done.json()["batch"]] = ids
        return done


def until(is_so: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.05)


def accepted(home: Path) -> list[str]:
    """The ids of all events of the log."""
    found: list[str] = pl.scan_delta(str(home / "events")).select("event_id").collect()["event_id"].to_list()
    return found


def check_ingested(commands: Commands, acknowledged: dict[str, list[str]]) -> None:
    """A service that is started now knows every batch at once, and ingests each of its rows once."""
    with serving(commands) as site:
        client = site.client("read")
        states = [client.get(f"/v1/batches/{batch}") for batch in acknowledged]
        assert {answer.status_code for answer in states} <= {200}
        until(lambda: site.anybody.get("/readyz").json()["waiting_rows"] == 0)
        until(lambda: not list((commands.home / "spool").glob("*.ndjson")))
        for batch, ids in acknowledged.items():
            answer = client.get(f"/v1/batches/{batch}").json()
            assert answer["state"] == "done"
            assert answer["accepted"] + answer["duplicates"] == len(ids), answer
            assert answer["quarantined"] == 0
    found = accepted(commands.home)
    assert len(found) == len(set(found))
    assert {event for ids in acknowledged.values() for event in ids} <= set(found)


def senders(site: Site, name: str) -> list[Sender]:
    token = site.token("ingest")
    return [Sender(f"{name}-{number}", site, token, rows=random.choice([1, 10, 100])) for number in range(SENDERS)]


def test_killed_while_it_acknowledges_it_loses_nothing(billing: Commands, record_property: Any) -> None:
    acknowledged: dict[str, list[str]] = {}
    for kill in range(KILLS):
        with serving(billing) as site:
            sending, stop = senders(site, f"kill-{kill}"), threading.Event()
            threads = [threading.Thread(target=sender.run, args=(stop,)) for sender in sending]
            for thread in threads:
                thread.start()
            until(lambda sending=sending: any(sender.acknowledged for sender in sending))  # type: ignore[misc]
            if kill % 2:  # in the midst of an ingest
                site.client("ingest").post("/v1/events", content=b"{}\n", headers={**NDJSON, "Prefer": "wait=0"})
            time.sleep(random.uniform(0.1, 1.5))
            site.kill()
            stop.set()
            for thread in threads:
                thread.join()
            assert {status for sender in sending for status in sender.statuses} == {202}
            acknowledged |= {batch: ids for sender in sending for batch, ids in sender.acknowledged.items()}
    record_property("kills", KILLS)
    check_ingested(billing, acknowledged)


@pytest.fixture
def lock(billing: Commands) -> Iterator[FileLock]:
    """While it is held, as if by another process, nothing is ingested."""
    with FileLock(billing.home / "ingest.lock") as lock:
        yield lock


@pytest.fixture
def held_site(billing: Commands, lock: FileLock) -> Iterator[Site]:
    """A service that takes events, and cannot ingest them for now."""
    assert lock.is_locked
    with serving(billing) as site:
        yield site


def limit_files(site: Site, size_bytes: int) -> None:
    """From now on no file of the service can grow beyond this: its disk is full."""
    resource.prlimit(site.process.pid, resource.RLIMIT_FSIZE, (size_bytes, resource.RLIM_INFINITY))


def test_a_write_that_is_cut_short_is_refused_and_nothing_of_it_stays(held_site: Site, lock: FileLock) -> None:
    client, (sender, *_) = held_site.client("ingest"), senders(held_site, "short")
    client.headers.update(NDJSON)
    assert sender.send(client).status_code == 202
    spool = held_site.commands.home / "spool"
    (segment,) = spool.glob("*.open")
    whole = segment.read_bytes()
    limit_files(held_site, len(whole) + 10)
    refused = sender.send(client)
    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "10"
    assert "could not be stored (File too large)" in refused.json()["detail"]
    (sealed,) = spool.glob("*.ndjson")
    assert sealed.read_bytes() == whole
    resource.prlimit(held_site.process.pid, resource.RLIMIT_FSIZE, NO_LIMIT)
    assert sender.send(client).status_code == 202
    assert len(sender.acknowledged) == 2
    check_released(held_site, lock, sender)


def check_released(site: Site, lock: FileLock, sender: Sender) -> None:
    """What was acknowledged is ingested, and nothing else."""
    site.process.terminate()
    site.process.wait(timeout=10)
    lock.release()
    check_ingested(site.commands, sender.acknowledged)
    assert set(accepted(site.commands.home)) == {event for ids in sender.acknowledged.values() for event in ids}


def test_a_full_disk_is_told_and_the_service_goes_on_when_there_is_room(held_site: Site, lock: FileLock) -> None:
    client, (sender, *_) = held_site.client("ingest"), senders(held_site, "full")
    client.headers.update(NDJSON)
    assert sender.send(client).status_code == 202
    limit_files(held_site, 0)
    for _ in range(3):
        assert sender.send(client).status_code == 503
    ready = held_site.anybody.get("/readyz")
    assert (ready.status_code, ready.json()["reason"]) == (503, "File too large")
    resource.prlimit(held_site.process.pid, resource.RLIMIT_FSIZE, NO_LIMIT)
    until(lambda: held_site.anybody.get("/readyz").status_code == 200)
    assert sender.send(client).status_code == 202
    check_released(held_site, lock, sender)
