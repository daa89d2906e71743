"""Delivery of one message to one webhook: an HTTPS POST signed by the Standard Webhooks rules.

The host is resolved once, every address must be public unless the webhook allows private ones, and the connection goes
to an address that was looked at: a name that resolves to something else a moment later gains nothing. Redirects are not
followed, proxies not used, certificates verified; `BILLING_CA_FILE` names further authorities. After 15 seconds it is
over, however slowly the other side answers.
"""

import base64
import binascii
import http.client
import ipaddress
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import standardwebhooks

from billing import __version__
from billing.catalog.alerts import Webhook
from billing.errors import BillingError

CA_FILE = "BILLING_CA_FILE"
TIMEOUT_SECONDS = 15
_PREFIX = "whsec_"
_PUBLIC_IPV6 = ipaddress.ip_network("2000::/3")
# An IPv6 address that stands for an IPv4 address behind a translator.
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The status that a webhook answered with; None: it gave no answer, and `detail` says why."""

    status: int | None
    detail: str


class _NoAnswerError(Exception):
    """There is no answer; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """What sends messages to a webhook: its secret, and whom it trusts."""

    webhook: Webhook
    signer: standardwebhooks.Webhook
    trusted: ssl.SSLContext

    @classmethod
    def of(cls, webhook: Webhook, directory: Path, trusted: ssl.SSLContext) -> "Sender":
        """A `BillingError` when the secret is missing or is none; `directory` is the home."""
        return cls(webhook=webhook, signer=standardwebhooks.Webhook(_secret(webhook, directory)), trusted=trusted)

    def send(self, message_id: str, payload: str) -> Answer:
        """Sends a message once."""
        try:
            return self._answer(urlsplit(self.webhook.url), message_id, payload)
        except _NoAnswerError as failed:
            return Answer(status=None, detail=str(failed))

    def _answer(self, url: SplitResult, message_id: str, payload: str) -> Answer:
        until = time.monotonic() + TIMEOUT_SECONDS
        addresses = _addresses(url, allow_private=self.webhook.allow_private)
        with _failures_named(until), _connected(url, addresses, until) as plain_socket, _cut_off(plain_socket, until):
            target = (url.path or "/") + (f"?{url.query}" if url.query else "")
            with closing(_connection(url, plain_socket, self.trusted)) as connection:
                connection.request("POST", target, payload.encode("ascii"), self._headers(message_id, payload))
                with connection.getresponse() as response:
                    redirect = ": redirects are not followed" if 300 <= response.status < 400 else ""
                    return Answer(status=response.status, detail=f"HTTP {response.status}{redirect}")

    def _headers(self, message_id: str, payload: str) -> dict[str, str]:
        # The receiver compares it with its own clock, which BILLING_NOW does not stop.
        sent_at = datetime.now(UTC)
        return {
            "content-type": "application/json",
            "user-agent": f"billing/{__version__}",
            "connection": "close",
            "webhook-id": message_id,
            "webhook-timestamp": str(int(sent_at.timestamp())),
            "webhook-signature": self.signer.sign(message_id, sent_at, payload),
        }


def trusted_authorities() -> ssl.SSLContext:
    """The authorities of this machine, and those in the file that `BILLING_CA_FILE` names."""
    context = ssl.create_default_context()
    if file := os.environ.get(CA_FILE):
        try:
            context.load_verify_locations(file)
        except OSError as error:
            reason = "holds no certificates" if isinstance(error, ssl.SSLError) else error.strerror
            raise BillingError(f"{CA_FILE}: {file} {reason}: name a file of certificates in PEM") from None
    return context


def is_public(text: str) -> bool:
    """Whether an IP address is one of the public internet, also where it carries another address in itself."""
    return all(_is_public(each) for each in _carried(ipaddress.ip_address(text)))


def _is_public(address: _Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address) and address not in _PUBLIC_IPV6:
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _carried(address: _Address) -> Iterator[_Address]:
    if isinstance(address, ipaddress.IPv4Address):
        yield address
    elif address.ipv4_mapped:
        yield address.ipv4_mapped
    elif address in _NAT64:
        yield ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    else:
        yield address
        yield from (address.teredo or ())
        yield from ([address.sixtofour] if address.sixtofour else ())


def _secret(webhook: Webhook, directory: Path) -> str:
    where, text = _secret_text(webhook, directory)
    secret = text.strip()
    try:
        is_secret = secret.startswith(_PREFIX) and base64.b64decode(secret.removeprefix(_PREFIX) + "==", validate=True)
    except (binascii.Error, ValueError):
        is_secret = b""
    if not is_secret:
        raise BillingError(f'webhook "{webhook.id}": {where} is not a secret: it must be {_PREFIX} and base64')
    return secret


def _secret_text(webhook: Webhook, directory: Path) -> tuple[str, str]:
    """Where the secret is, and what is there."""
    if webhook.secret_env is not None:
        where = f"the environment variable {webhook.secret_env}"
        text = os.environ.get(webhook.secret_env)
        if text is None:
            raise BillingError(f'webhook "{webhook.id}": {where} is not set: put its secret there')
        return where, text
    file = directory / str(webhook.secret_file)
    try:
        return str(file), file.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise BillingError(
            f'webhook "{webhook.id}": its secret cannot be read from {file} ({error.strerror}): put it there'
        ) from None


def _addresses(url: SplitResult, *, allow_private: bool) -> list[str]:
    """The addresses of the host; none of them may be private, unless that is allowed."""
    try:
        found = socket.getaddrinfo(url.hostname, _port(url), type=socket.SOCK_STREAM)
    except OSError as error:
        raise _NoAnswerError(f"{url.hostname} is not found ({error.strerror})") from None
    except UnicodeError:
        raise _NoAnswerError(f"{url.hostname} is no name of a host") from None
    addresses = list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))
    for address in addresses:
        if not allow_private and not is_public(address):
            raise _NoAnswerError(
                f"{url.hostname} is {address}, which is no public address: allow_private = true allows it"
            )
    return addresses


def _port(url: SplitResult) -> int:
    return url.port or (443 if url.scheme == "https" else 80)


@contextmanager
def _connected(url: SplitResult, addresses: list[str], until: float) -> Iterator[socket.socket]:
    """A connection to the first of the addresses that takes one."""
    refused = OSError("no address")
    for address in addresses:
        try:
            connected = socket.create_connection((address, _port(url)), max(until - time.monotonic(), 0.001))
        except OSError as error:
            refused = error
        else:
            with connected:
                yield connected
            return
    raise refused


@contextmanager
def _cut_off(connected: socket.socket, until: float) -> Iterator[None]:
    """Ends a connection when its time is over; a limit for single reads would let an answer drip in for hours."""
    same = connected.dup()  # TLS takes the other one over

    def shut_down() -> None:
        with suppress(OSError):
            same.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(max(until - time.monotonic(), 0), shut_down)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        same.close()


def _connection(url: SplitResult, connected: socket.socket, trusted: ssl.SSLContext) -> http.client.HTTPConnection:
    """HTTP on a connection that is made, with the name of the host in TLS and in the request."""
    name = str(url.hostname)
    if url.scheme == "https":
        secured = http.client.HTTPSConnection(name, _port(url), context=trusted)
        secured.sock = trusted.wrap_socket(connected, server_hostname=name)
        return secured
    plain = http.client.HTTPConnection(name, _port(url))
    plain.sock = connected
    return plain


@contextmanager
def _failures_named(until: float) -> Iterator[None]:
    """What goes wrong on the way, in words."""
    try:
        yield
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _NoAnswerError(_reason(error, is_late=time.monotonic() >= until)) from error


def _reason(error: Exception, *, is_late: bool) -> str:
    if is_late or isinstance(error, TimeoutError):
        return f"no answer within {TIMEOUT_SECONDS} seconds"
    match error:
        case ssl.SSLCertVerificationError():
            return f"its certificate is not accepted: {error.verify_message}"
        case ssl.SSLError():
            return f"TLS failed: {error.reason or error}"
        case http.client.RemoteDisconnected():
            return "the connection was closed without an answer"
        case http.client.HTTPException():
            return f"its answer is not HTTP ({type(error).__name__})"
        case OSError():
            return (error.strerror or str(error)).lower()
    return str(error)
