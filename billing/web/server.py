"""The server: one process on one home.

SIGTERM and SIGINT end it: it takes nothing more, finishes what it has begun, and is gone within 10 seconds. A socket
that systemd hands over is used in place of an own one, so that no sender is refused while the service is restarted.
"""

import os
import socket
from collections.abc import Callable, Sequence

import uvicorn
from filelock import FileLock, Timeout

from billing.errors import BillingError
from billing.home import Home
from billing.ledger.database import Engine
from billing.web.app import application
from billing.web.installation import Installation
from billing.web.path_names import whole_names

_GRACE_SECONDS = 8
_FIRST_SYSTEMD_SOCKET = 3


def serve(
    home: Home, engine: Engine, *, host: str, port: int, proxies: Sequence[str], listening: Callable[[str], None]
) -> None:
    """Serves until it is told to end. `listening` gets the address; `proxies` are believed who the client is.

    A `BillingError` when the address is taken, or another service runs on this home.
    """
    try:
        with FileLock(home.directory / "serve.lock", blocking=False):
            app = application(Installation.of(home, engine))
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
                uvicorn.Server(config).run(sockets=[listener])
    except Timeout:
        raise BillingError(
            f"another `billing serve` runs on {home.directory}: stop that one first, or serve another home"
        ) from None


def _listening_socket(host: str, port: int) -> socket.socket:
    if os.environ.get("LISTEN_PID") == str(os.getpid()) and os.environ.get("LISTEN_FDS") == "1":
        return socket.socket(fileno=_FIRST_SYSTEMD_SOCKET)
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


def _address(listener: socket.socket) -> str:
    if listener.family not in (socket.AF_INET, socket.AF_INET6):
        return str(listener.getsockname())
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
