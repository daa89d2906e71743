"""Callbacks of media servers: whether one is signed, and the line that is kept of it.

A signed callback is kept as a captured frame, `{"received_at": …, "headers": {…}, "body": "raw text"}`, as if a
receiver had written it to a file; Janus' records, which are read together, as `{"received_at": …, "e": [ … ]}`.
Passwords are not kept.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from billing.sources.signatures import (
    is_basic,
    is_bearer,
    is_signed_by_agora,
    is_signed_by_bigbluebutton,
    is_signed_by_livekit,
    is_signed_by_trtc,
)
from billing.web.secrets_file import CallbackSecret
from billing.web.segments import Feed

_any = msgspec.json.Decoder(msgspec.Raw)


@dataclass(frozen=True, slots=True, kw_only=True)
class Callback:
    """A request as it came. `headers` with names in small letters; `urls` are those that the sender may have called,
    without a `checksum`."""

    body: bytes
    headers: Mapping[str, str]
    checksum: str = ""
    urls: Sequence[str] = ()

    def header(self, name: str) -> str:
        """A header, or nothing."""
        return self.headers.get(name, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sender:
    """A media server: the source that reads its records, how its callbacks are checked, and the headers that are kept,
    as they are written in frames."""

    source: str
    is_signed: Callable[[Callback, CallbackSecret], bool]
    kept: tuple[str, ...] = ()


def _livekit(callback: Callback, secret: CallbackSecret) -> bool:
    authorization = callback.header("authorization")
    return secret.key is not None and is_signed_by_livekit(
        callback.body, authorization, key=secret.key, secret=secret.secret, now=time.time()
    )


def _trtc(callback: Callback, secret: CallbackSecret) -> bool:
    return is_signed_by_trtc(callback.body, callback.header("sign"), key=secret.secret)


def _agora(callback: Callback, secret: CallbackSecret) -> bool:
    return is_signed_by_agora(callback.body, callback.header("agora-signature-v2"), secret=secret.secret)


def _bigbluebutton(callback: Callback, secret: CallbackSecret) -> bool:
    """`key`: the callback URL as it was registered, where a proxy changes it."""
    urls = callback.urls if secret.key is None else (secret.key,)
    return is_bearer(callback.header("authorization"), secret=secret.secret) or is_signed_by_bigbluebutton(
        callback.body, callback.checksum, urls=urls, secret=secret.secret
    )


def _janus(callback: Callback, secret: CallbackSecret) -> bool:
    return is_basic(callback.header("authorization"), user=secret.key, secret=secret.secret)


SENDERS = {
    "livekit": _Sender(source="livekit", is_signed=_livekit, kept=("Content-Type", "Authorization")),
    "trtc": _Sender(source="trtc", is_signed=_trtc, kept=("Content-Type", "SdkAppId", "Sign")),
    "agora": _Sender(source="agora", is_signed=_agora, kept=("Content-Type", "Agora-Signature-V2")),
    "bbb": _Sender(source="bigbluebutton", is_signed=_bigbluebutton, kept=("Content-Type",)),
    "janus": _Sender(source="janus", is_signed=_janus),
}


def is_signed(sender: str, callback: Callback, secrets: Sequence[CallbackSecret]) -> bool:
    """Whether a callback is signed with one of the secrets of its app."""
    return any(SENDERS[sender].is_signed(callback, secret) for secret in secrets)


def feed_of(sender: str, app_id: int) -> Feed:
    """The feed of an app's callbacks."""
    return Feed(source=SENDERS[sender].source, app_id=app_id)


def frame(sender: str, callback: Callback) -> bytes:
    """The line that is kept of a callback."""
    kept = SENDERS[sender].kept
    received = {"received_at": datetime.now(UTC).isoformat(timespec="milliseconds")}
    if sender == "janus":
        return _joined(received | {"e": _value(callback.body)})
    headers = {name: callback.header(name.lower()) for name in kept if callback.header(name.lower())}
    return _joined(received | {"headers": headers, "body": callback.body.decode(errors="backslashreplace")})


def _value(body: bytes) -> object:
    """A body as the value of JSON that it is, else as its text, which the ingest will refuse."""
    try:
        return msgspec.Raw(bytes(_any.decode(body)).replace(b"\n", b" "))
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return body.decode(errors="backslashreplace")


def _joined(fields: Mapping[str, object]) -> bytes:
    return msgspec.json.encode(fields) + b"\n"
