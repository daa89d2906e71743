"""Delivery to a webhook: what is sent, what counts as no answer, and which addresses are refused."""

import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import standardwebhooks

from billing.catalog.alerts import Webhook
from billing.errors import BillingError
from billing.jobs import webhook_delivery
from billing.jobs.webhook_delivery import Answer, Sender, is_public, trusted_authorities
from tests.webhook_server import SECRET, Receiver, listening

PAYLOAD = '{"data": {"name": "\\u30a2"}, "type": "invoice.issued"}'


def webhook(url: str, **changes: Any) -> Webhook:
    given: dict[str, Any] = {"id": "finance", "url": url, "secret_env": "HOOK_SECRET", "allow_private": True}
    return Webhook(**{**given, **changes})


def send(url: str, **changes: Any) -> Answer:
    return Sender.of(webhook(url, **changes), Path(), trusted_authorities()).send("msg_1", PAYLOAD)


def test_a_message_is_posted_and_its_signature_verifies(receiver: Receiver) -> None:
    assert send(receiver.url()) == Answer(status=204, detail="HTTP 204")
    [request] = receiver.requests
    assert request.verified() == {"data": {"name": "\u30a2"}, "type": "invoice.issued"}
    assert (request.path, request.body, request.id) == ("/hook?team=a", PAYLOAD, "msg_1")
    assert request.headers["content-type"] == "application/json"
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        replace(request, body=PAYLOAD.replace("issued", "paid")).verified()


def test_a_host_is_named_in_tls_and_in_the_request_and_each_of_its_addresses_is_tried(receiver: Receiver) -> None:
    """`localhost` may be ::1 first, where nobody listens."""
    assert send(receiver.url("localhost")).status == 204
    [request] = receiver.requests
    assert (request.name, request.headers["host"]) == ("localhost", f"localhost:{receiver.port}")


def test_the_host_is_resolved_once(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second look at the name could be answered with a private address."""
    asked, resolve = [], socket.getaddrinfo

    def counted(host: Any, *arguments: Any, **options: Any) -> Any:
        asked.append(host)
        return resolve(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", counted)
    assert send(receiver.url("localhost")).status == 204
    assert asked.count("localhost") == 1
    assert set(asked) <= {"localhost", "127.0.0.1", "::1"}


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1", "2130706433", "[::1]", "[::ffff:127.0.0.1]"])
def test_private_addresses_are_refused_before_anything_is_sent(receiver: Receiver, host: str) -> None:
    answer = send(receiver.url(host), allow_private=False)
    assert answer.status is None
    assert answer.detail.endswith("which is no public address: allow_private = true allows it")
    assert receiver.requests == []


@pytest.mark.parametrize(
    "address",
    [
        *("10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "127.0.0.1", "169.254.169.254", "0.0.0.0"),  # noqa: S104
        *("224.0.0.1", "239.1.1.1", "255.255.255.255", "240.0.0.1", "192.0.2.1", "198.18.0.1"),
        *("::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1", "2001:db8::1", "fec0::1"),
        *("::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "2002:c0a8:101::1"),
    ],
)
def test_no_private_address_passes_also_not_inside_another(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_public_addresses_pass(address: str) -> None:
    assert is_public(address)


def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    receiver.answer, receiver.location = lambda: 302, "/elsewhere"
    assert send(receiver.url()) == Answer(status=302, detail="HTTP 302: redirects are not followed")
    assert [request.path for request in receiver.requests] == ["/hook?team=a"]


def test_a_certificate_must_be_trusted_and_of_that_name(
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "its certificate is not accepted: " in send(receiver.url("127.1")).detail
    monkeypatch.delenv("BILLING_CA_FILE")
    assert send(receiver.url()).detail == "its certificate is not accepted: self-signed certificate"
    assert receiver.requests == []


def test_an_answer_that_drips_in_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte comes in time, the whole never."""
    monkeypatch.setattr(webhook_delivery, "TIMEOUT_SECONDS", 0.5)
    monkeypatch.setenv("HOOK_SECRET", SECRET)

    def drip(connected: socket.socket) -> None:
        for _ in range(100):
            try:
                connected.sendall(b"H")
            except OSError:
                return
            time.sleep(0.1)

    started = time.monotonic()
    with listening(drip) as port:
        answer = send(f"http://127.0.0.1:{port}")
    assert answer == Answer(status=None, detail="no answer within 0.5 seconds")
    assert time.monotonic() - started < 5


def speaking(answer: bytes) -> Callable[[socket.socket], None]:
    """Reads all of a request, and says something."""

    def speak(connected: socket.socket) -> None:
        connected.settimeout(0.2)
        with suppress(OSError):
            while connected.recv(65_536):
                pass
        connected.sendall(answer)

    return speak


def test_what_gives_no_answer_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert send(f"https://127.0.0.1:{port}").detail == "connection refused"
    assert send("https://nowhere.invalid").detail.startswith("nowhere.invalid is not found (")
    assert send(f"https://{'a' * 64}.example").detail == f"{'a' * 64}.example is no name of a host"
    for spoken, said in ((b"", "closed without an answer"), (b"nonsense\n\n", "is not HTTP (BadStatusLine)")):
        with listening(speaking(spoken)) as port:
            assert said in send(f"http://127.0.0.1:{port}").detail
    with listening(speaking(b"no TLS\n")) as port:
        assert send(f"https://127.0.0.1:{port}").detail.startswith("TLS failed: ")


def test_a_secret_is_read_from_a_file_of_the_home(receiver: Receiver, tmp_path: Path) -> None:
    (tmp_path / "hook.secret").write_text(f"{SECRET}\n")
    from_file = webhook(receiver.url(), secret_env=None, secret_file="hook.secret")  # noqa: S106
    assert Sender.of(from_file, tmp_path, trusted_authorities()).send("msg_1", PAYLOAD).status == 204
    receiver.requests[0].verified()


@pytest.mark.parametrize("secret", ["", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_no base64!", "whsec_a"])
def test_what_is_no_secret_is_refused_and_not_shown(secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK_SECRET", secret)
    with pytest.raises(BillingError) as refused:
        send("https://example.com")
    expected = 'webhook "finance": the environment variable HOOK_SECRET is not a secret: it must be whsec_ and base64'
    assert str(refused.value) == expected


def test_a_file_of_authorities_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("")
    for file, said in (("missing.pem", "No such file or directory"), ("empty.pem", "holds no certificates")):
        monkeypatch.setenv("BILLING_CA_FILE", str(tmp_path / file))
        with pytest.raises(BillingError, match=f"{file} {said}: name a file of certificates in PEM"):
            trusted_authorities()


def test_the_signature_has_the_time_of_this_machine(
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The receiver's clock is not stopped by BILLING_NOW."""
    monkeypatch.setenv("BILLING_NOW", "2026-03-11T09:00:00Z")
    assert send(receiver.url()).status == 204
    sent = datetime.fromtimestamp(int(receiver.requests[0].headers["webhook-timestamp"]), UTC)
    assert abs((datetime.now(UTC) - sent).total_seconds()) < 60
