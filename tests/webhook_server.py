"""A receiver of webhooks: a real HTTPS server on this machine, which answers as it is told and keeps what it gets."""

import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import standardwebhooks

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 - of the tests


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What came in, and the name by which TLS was asked for."""

    path: str
    headers: dict[str, str]
    body: str
    name: str | None = None

    def verified(self) -> Any:
        """The message, by the library that a receiver would use; it raises when the signature is wrong."""
        return standardwebhooks.Webhook(SECRET).verify(self.body, self.headers)

    @property
    def id(self) -> str:
        """The message's id."""
        return self.headers["webhook-id"]


@dataclass(slots=True, kw_only=True)
class Receiver:
    """A server; `answer` makes the status of the request at hand, and may have a `location` to redirect to."""

    port: int = 0
    requests: list[Request] = field(default_factory=list)
    answer: Callable[[], int] = lambda: 204
    location: str | None = None

    def url(self, host: str = "127.0.0.1") -> str:
        """Its address."""
        return f"https://{host}:{self.port}/hook?team=a"


@contextmanager
def receiving(certificate: Path) -> Iterator[Receiver]:
    """A server with a certificate, on a free port."""
    receiver = Receiver()
    names: dict[Any, str | None] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            headers = {name.lower(): value for name, value in self.headers.items()}
            name = names.get(self.connection)
            receiver.requests.append(Request(path=self.path, headers=headers, body=body, name=name))
            self.send_response(receiver.answer())
            if receiver.location:
                self.send_header("location", receiver.location)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Says nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            """Clients that hang up are part of the tests."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.sni_callback = lambda connection, name, _: names.update({connection: name})
    server = Server(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    receiver.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate of `localhost` and 127.0.0.1, signed by itself, in one file."""
    if shutil.which("openssl") is None:
        pytest.skip("install openssl to test the delivery to webhooks")
    folder = tmp_path_factory.mktemp("certificate")
    key, file = folder / "key.pem", folder / "certificate.pem"
    extensions = ("subjectAltName=DNS:localhost,IP:127.0.0.1", "keyUsage=critical,digitalSignature,keyCertSign")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-keyout", str(key), "-out", str(file), "-days", "2", "-subj", "/CN=localhost"),
            *(part for each in extensions for part in ("-addext", each)),
        ],
        check=True,
        capture_output=True,
    )
    file.write_bytes(key.read_bytes() + file.read_bytes())
    return file


@pytest.fixture
def receiver(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """A server whose certificate is trusted, and its secret in the environment."""
    monkeypatch.setenv("BILLING_CA_FILE", str(certificate))
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    with receiving(certificate) as running:
        yield running


@contextmanager
def listening(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server that takes one connection and does with it whatever is asked; its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connected, _ = server.accept()
            with connected:
                answer(connected)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield int(server.getsockname()[1])
        thread.join()
