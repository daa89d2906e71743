"""The server as systemd runs it: a socket that is handed over, and an end in time."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.commands import ROOT, Commands
from tests.web.site import serving

# As systemd does: the descriptor is 3, and the process is named that it is meant for.
ACTIVATED = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
os.execv(sys.executable, [sys.executable, "-m", "cli", *sys.argv[2:]])
"""


@contextlib.contextmanager
def activated(commands: Commands, listener: socket.socket) -> Iterator[subprocess.Popen[str]]:
    """A service that is given a listening socket."""
    options = ["--home", str(commands.home), "serve", "--port", "1"]
    words = [sys.executable, "-c", ACTIVATED, str(listener.fileno()), *options]
    environment = {**os.environ, "BILLING_NOW": commands.now}
    with subprocess.Popen(
        words, cwd=ROOT, env=environment, pass_fds=[listener.fileno()], stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.communicate(timeout=10)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        yield listener


def test_a_socket_that_is_handed_over_is_served(billing: Commands, listener: socket.socket) -> None:
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with activated(billing, listener):
        assert httpx.get(f"{address}/healthz", timeout=60).json() == {"alive": True}


def test_who_calls_while_the_service_is_restarted_waits_and_is_answered(
    billing: Commands, listener: socket.socket
) -> None:
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    answers: list[int] = []

    def call() -> None:
        answers.append(httpx.get(f"{address}/healthz", timeout=60).status_code)

    for _ in range(2):
        with activated(billing, listener):
            call()
        caller = threading.Thread(target=call)  # now nobody is there
        caller.start()
        time.sleep(0.2)
        assert caller.is_alive()
    with activated(billing, listener):
        caller.join(60)
    assert answers == [200] * len(answers)
    assert len(answers) == 4


def test_a_descriptor_that_is_no_socket_is_refused_in_one_line(billing: Commands) -> None:
    words = [sys.executable, "-c", ACTIVATED, "0", "--home", str(billing.home), "serve"]
    done = subprocess.run(words, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "descriptor 3 is no socket" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_in_time_though_callers_are_slow_or_wait(sign: signal.Signals, billing: Commands) -> None:
    from filelock import FileLock

    with FileLock(billing.home / "ingest.lock"), serving(billing) as site:
        host, port = site.address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as slow:
            slow.sendall(b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
            client = site.client("ingest")
            answers: list[httpx.Response] = []

            def wait() -> None:
                headers = {"Content-Type": "application/x-ndjson", "Prefer": "wait=30"}
                answers.append(client.post("/v1/events", content=b"{}\n", headers=headers))

            caller = threading.Thread(target=wait)
            caller.start()
            while not list((billing.home / "spool").glob("*.ndjson*")):
                time.sleep(0.02)
            started = time.monotonic()
            site.process.send_signal(sign)
            assert site.process.wait(timeout=15) == 0
            assert time.monotonic() - started < 10
            caller.join(10)
    assert [(answer.status_code, answer.json()["state"]) for answer in answers] == [(202, "stored")]
    assert len(list((billing.home / "spool").glob("*.ndjson"))) == 1
