"""The server: one process on one home.

SIGTERM and SIGINT end it: it takes nothing more, finishes what it has begun, and is gone within 10 seconds. A socket
that systemd hands over is used in place of an own one, so that no sender is refused while the service is restarted.
"""

import logging
import os
import signal
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import FrameType

import uvicorn
from filelock import FileLock, Timeout

from billing.errors import BillingError
from billing.home import Home
from billing.ledger.database import Engine
from billing.web.app import application
from billing.web.installation import Installation
from billing.web.intake import Intake
from billing.web.path_names import whole_names
from billing.web.rates import Rates

_GRACE_SECONDS = 6
_FIRST_SYSTEMD_SOCKET = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How the service is run: where it listens, the proxies that are believed who the client is, the requests a second
    that a token may send, whether it refreshes every five minutes, and for how many days it keeps segments."""

    host: str
    port: int
    proxies: Sequence[str]
    requests_per_second: float
    refreshes: bool
    keep_days: int


def serve(home: Home, engine: Engine, settings: Settings, *, listening: Callable[[str], None]) -> None:
    """Serves until it is told to end. `listening` gets the address.

    A `BillingError` when the address is taken, or another service runs on this home.
    """
    host, port, proxies = settings.host, settings.port, settings.proxies
    try:
        with FileLock(home.directory / "serve.lock", blocking=False):
            installation = Installation.of(home, engine)
            rates = Rates(per_second=settings.requests_per_second)
            intake = Intake.of(installation, refreshes=settings.refreshes, keep_days=settings.keep_days, rates=rates)
            app = application(installation, intake=intake)
            config = uvicorn.Config(
                whole_names(app),
                loop="uvloop",
                http="httptools",
                lifespan="on",
                access_log=False,
                log_config=None,
                server_header=False,
                proxy_headers=bool(proxies),
                forwarded_allow_ips=list(proxies),
                timeout_graceful_shutdown=_GRACE_SECONDS,
                timeout_keep_alive=75,
            )
            with _listening_socket(host, port) as listener:
                listening(_address(listener))
                _Server(config, ending=intake.stop_taking).run(sockets=[listener])
            if not intake.is_drained:
                # The ingest in hand would go on for longer than there is time. It may be killed anywhere.
                logging.shutdown()
                os._exit(0)
    except Timeout:
        raise BillingError(
            f"another `billing serve` runs on {home.directory}: stop that one first, or serve another home"
        ) from None


class _Server(uvicorn.Server):
    """A server that says at once that it is told to end."""

    def __init__(self, config: uvicorn.Config, *, ending: Callable[[], None]) -> None:
        super().__init__(config)
        self._ending = ending

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """What a signal calls; a second Ctrl-C waits for nothing. The process is to end with 0, not by the signal."""
        self._ending()
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True


def _listening_socket(host: str, port: int) -> socket.socket:
    if os.environ.get("LISTEN_PID") == str(os.getpid()) and os.environ.get("LISTEN_FDS") == "1":
        return _handed_over()
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2048)
    except OSError as error:
        raise BillingError(
            f"{host}:{port} cannot be listened on ({error.strerror}): name another --host or --port"
        ) from None
    return listener


def _handed_over() -> socket.socket:
    try:
        return socket.socket(fileno=_FIRST_SYSTEMD_SOCKET)
    except OSError as error:
        reason = f"descriptor {_FIRST_SYSTEMD_SOCKET} is no socket ({error.strerror})"
        raise BillingError(f"LISTEN_FDS is set, but {reason}: start the service by its socket unit") from None


def _address(listener: socket.socket) -> str:
    if listener.family not in (socket.AF_INET, socket.AF_INET6):
        return str(listener.getsockname())
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
