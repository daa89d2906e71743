"""`python -m benchmarks.intake [--seconds 10]`: events a second over HTTP, and how fast they are ingested.

A service runs on a home of its own, and this process sends requests of 1, 10 and 100 events on many connections, each
with the next one when the last is answered: so when it is durable. First nothing is ingested meanwhile, another
process having the lock, and the ingest of what was taken is timed alone; then both go on at the same time.

Targets: 30,000 events a second at 10 a request, 100,000 at 100, and an ingest that is at least as fast as the intake.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import httpx
import uvloop
from filelock import FileLock
from tabulate import tabulate

from benchmarks.timing import use_few_processors
from sample_data.demo import SAMPLE_DATA

SIZES = (1, 10, 100)
TARGETS = {10: 30_000, 100: 100_000}
CONNECTIONS = 64
STARTED = "listening on "
HEAD = (
    "POST /v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
    "Content-Type: application/x-ndjson\r\nContent-Length: {length}\r\n\r\n"
)
EVENT = (
    '{{"event_id":"{run}-{number:09d}","app_id":1400000001,"at":"2026-03-10T10:{minute:02d}:{second:02d}+09:00",'
    '"room_id":"room-{room:04d}","user_id":"user-{user:06d}","type":"{kind}"}}\n'
)
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(slots=True)
class Load:
    """Requests of so many events each, and what became of them."""

    run: str
    size: int
    token: str
    until: float
    number: int = 0
    acknowledged: int = 0
    refused: int = 0

    def request(self) -> bytes:
        """The next one: each event enters or leaves one of 1,000 rooms."""
        lines = [self._event(number) for number in range(self.number, self.number + self.size)]
        self.number += self.size
        body = "".join(lines).encode()
        return HEAD.format(token=self.token, length=len(body)).encode() + body

    def _event(self, number: int) -> str:
        kind = "exit" if number % 2 else "enter"
        user, second = number // 2 % 100_000, number // 1000 % 3600
        return EVENT.format(
            run=self.run, number=number, minute=second // 60, second=second % 60, room=user % 1000, user=user, kind=kind
        )


class Connection(asyncio.Protocol):
    """One connection: a request, its answer, the next request."""

    def __init__(self, load: Load, ended: asyncio.Future[None]) -> None:
        self._load, self._ended, self._answer = load, ended, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Sends the first request."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._load.request())

    def data_received(self, data: bytes) -> None:
        """Sends the next request when an answer, which is an object of JSON, is complete."""
        self._answer += data
        if not self._answer.endswith(b"}"):
            return
        is_taken = self._answer.startswith(b"HTTP/1.1 202")
        self._load.acknowledged += self._load.size * is_taken
        self._load.refused += not is_taken
        self._answer = b""
        if time.perf_counter() < self._load.until:
            self._transport.write(self._load.request())
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing more comes."""
        if not self._ended.done():
            self._ended.set_result(None) if exc is None else self._ended.set_exception(exc)


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service that runs."""

    home: Path
    port: int
    token: str
    process: subprocess.Popen[str]

    def send(self, run: str, size: int, seconds: float) -> tuple[int, float]:
        """How many events were acknowledged, and in how many seconds."""
        began = time.perf_counter()
        load = Load(run=run, size=size, token=self.token, until=began + seconds)
        uvloop.run(self._send(load))
        assert not load.refused, f"{load.refused} requests were refused"
        return load.acknowledged, time.perf_counter() - began

    async def _send(self, load: Load) -> None:
        loop = asyncio.get_running_loop()
        ended = [loop.create_future() for _ in range(CONNECTIONS)]
        for each in ended:
            await loop.create_connection(lambda each=each: Connection(load, each), "127.0.0.1", self.port)  # type: ignore[misc]
        await asyncio.gather(*ended)

    def drain(self) -> float:
        """Seconds until all is ingested."""
        began = time.perf_counter()
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/x-ndjson", "Prefer": "wait=30"}
        with httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=60) as client:
            client.post("/v1/events", content=b"{}\n", headers=headers)  # seals what is open
            while client.get("/readyz").json()["waiting_rows"]:
                time.sleep(0.02)
        return time.perf_counter() - began

    def cpu_seconds(self) -> float:
        """Of all threads so far, user and system."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS


@contextmanager
def running(home: Path) -> Iterator[Service]:
    """A service on a new home with the sample catalog."""
    billing = [sys.executable, "-m", "cli", "--home", str(home)]
    environment = {**os.environ, "BILLING_NOW": "2026-03-11T09:00:00+09:00"}
    for words in (["init"], ["catalog", "apply", str(SAMPLE_DATA / "catalog.toml")]):
        subprocess.run([*billing, *words], env=environment, check=True, capture_output=True)
    made = subprocess.run(
        [*billing, "token", "create", "--scope", "ingest", "--format", "csv"],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    token = next(word for word in made.stdout.replace(",", " ").split() if word.startswith("bk_"))
    serve = [*billing, "serve", "--port", "0", "--no-refresh", "--requests-per-second", "1000000"]
    with subprocess.Popen(serve, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        line = next(line for line in process.stderr if line.startswith(STARTED))
        port = int(line.removeprefix(STARTED).split(";")[0].rpartition(":")[2])
        try:
            yield Service(home=home, port=port, token=token, process=process)
        finally:
            process.terminate()


def measured(size: int, seconds: float) -> tuple[object, ...]:
    """The row of a size of requests."""
    with TemporaryDirectory() as directory, running(Path(directory) / "home") as service:
        service.drain()  # the first ingest loads what is compiled
        with FileLock(service.home / "ingest.lock"):
            before = service.cpu_seconds()
            taken, intake_seconds = service.send("alone", size, seconds)
            cpu = service.cpu_seconds() - before
        before = service.cpu_seconds()
        drain_seconds = service.drain()
        drain_cpu = service.cpu_seconds() - before
        together, together_seconds = service.send("together", size, seconds)
        rest_seconds = service.drain()
    return (
        size,
        taken / intake_seconds,
        TARGETS.get(size, ""),
        cpu / taken * 1e6,
        taken / drain_seconds,
        drain_cpu / taken * 1e6,
        together / together_seconds,
        together / (together_seconds + rest_seconds),
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.intake", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10, help="how long each size is sent")
    arguments = parser.parse_args()
    use_few_processors()
    rows = []
    for size in SIZES:
        rows.append(measured(size, arguments.seconds))
        print(f"{size} events a request: {rows[-1][1]:,.0f}/s", file=sys.stderr)
    headers = (
        "events a request",
        "taken/s, alone",
        "target",
        "CPU µs an event",
        "ingested/s, alone",
        "CPU µs an event",
        "taken/s, together",
        "taken and ingested/s",
    )
    print(
        tabulate(
            rows, headers=headers, tablefmt="github", floatfmt=("", ",.0f", ",", ",.1f", ",.0f", ",.1f", ",.0f", ",.0f")
        )
    )
    return 0 if all(row[1] >= TARGETS.get(row[0], 0) for row in rows) else 1  # type: ignore[operator, call-overload]


if __name__ == "__main__":
    sys.exit(main())
