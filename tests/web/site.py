"""A running service: `billing serve` in a process of its own, on a free port of 127.0.0.1, and clients of it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import httpx

from tests.commands import ROOT, Commands

_STARTED = "listening on "
_STOP_SECONDS = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A service that runs, with the commands on its home."""

    address: str
    process: subprocess.Popen[str]
    commands: Commands
    clients: ExitStack

    def token(self, scope: str = "admin", account: str | None = None) -> str:
        """A new token."""
        bound = f" --account {account}" if account else ""
        done = self.commands(f"token create --scope {scope}{bound} --format json")
        assert done.exit_code == 0, done.output
        return str(json.loads(done.stdout)[0]["token"])

    def client(self, scope: str = "admin", account: str | None = None) -> httpx.Client:
        """A client with a token of its own."""
        return self._client(Authorization=f"Bearer {self.token(scope, account)}")

    @property
    def anybody(self) -> httpx.Client:
        """A client without a token."""
        return self._client()

    def _client(self, **headers: str) -> httpx.Client:
        return self.clients.enter_context(httpx.Client(base_url=self.address, headers=headers, timeout=60))

    def kill(self) -> None:
        """Ends it as a crash does."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@contextmanager
def serving(commands: Commands, *options: str, env: dict[str, str] | None = None) -> Iterator[Site]:
    """A service on the home of the commands; it is told to end afterwards, and must."""
    words = [sys.executable, "-m", "cli", "--home", str(commands.home), "serve", "--port", "0", *options]
    environment = {**os.environ, "BILLING_NOW": commands.now, "PYTHONUNBUFFERED": "1", **(env or {})}
    with subprocess.Popen(words, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            with ExitStack() as clients:
                yield Site(address=_address(process), process=process, commands=commands, clients=clients)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            try:
                process.communicate(timeout=_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                raise


def _address(process: subprocess.Popen[str]) -> str:
    said = []
    assert process.stderr
    for line in process.stderr:
        said.append(line)
        if line.startswith(_STARTED):
            return line.removeprefix(_STARTED).split(";")[0].strip()
    raise AssertionError(f"the service did not start: {''.join(said)}")
