"""Signatures of webhooks: whether a body is what a server signed with a secret that only it and we know.

| server | header | is |
|---|---|---|
| LiveKit | `Authorization` | a JWT (HS256) and no more: `iss` the API key, `sha256` the base64 of the body's SHA-256 |
| TRTC | `Sign` | base64 of HMAC-SHA256 of the body |
| Agora | `Agora-Signature-V2` | hexadecimal HMAC-SHA256 of the body |
| BigBlueButton | `checksum` in the URL | hexadecimal SHA-1 (or SHA-2) of callback URL, body and secret |
| BigBlueButton | `Authorization` | `Bearer` and the secret, if it is set up so |
| Janus | `Authorization` | `Basic` with the user and password of its event handler |

They are for whoever receives webhooks. Files are read as they are: who can write them can write anything.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl

_LEEWAY_SECONDS = 60
_BY_LENGTH = {40: "sha1", 64: "sha256", 96: "sha384", 128: "sha512"}  # hexadecimal digits


def livekit_issuer(authorization: str) -> str | None:
    """The API key that a token names, whether it is signed with its secret or not."""
    try:
        issuer = _segment(authorization.encode().split(b".")[1]).get("iss")
    except (LookupError, ValueError, RecursionError):
        return None
    return issuer if isinstance(issuer, str) and issuer else None


def is_signed_by_livekit(body: bytes, authorization: str, *, key: str, secret: str, now: float) -> bool:
    """Whether a webhook of the API key `key` is signed with its secret; `now` in epoch seconds.

    A token holds a minute longer, and begins a minute earlier, than it says.
    """
    try:
        signed, _, signature = authorization.encode().rpartition(b".")
        header, claims = (_segment(part) for part in signed.split(b".", 1))
        mac = hmac.digest(secret.encode(), signed, "sha256")
        return (
            header.get("alg") == "HS256"
            and "crit" not in header
            and hmac.compare_digest(mac, _decoded(signature))
            and _holds(claims, key, now)
            and hmac.compare_digest(hashlib.sha256(body).digest(), base64.b64decode(claims["sha256"]))
        )
    except (LookupError, TypeError, ValueError, OverflowError, RecursionError):
        return False


def is_signed_by_trtc(body: bytes, sign: str, *, key: str) -> bool:
    """Whether a callback is signed with the key of its application."""
    mac = base64.b64encode(hmac.digest(key.encode(), body, "sha256"))
    return hmac.compare_digest(mac, sign.encode(errors="replace"))


def is_signed_by_agora(body: bytes, signature: str, *, secret: str) -> bool:
    """Whether a notification is signed with the secret of its project."""
    mac = hmac.digest(secret.encode(), body, "sha256").hex()
    return hmac.compare_digest(mac.encode(), signature.lower().encode(errors="replace"))


def is_signed_by_bigbluebutton(body: bytes, checksum: str, *, urls: Iterable[str], secret: str) -> bool:
    """Whether a webhook to one of these callback URLs is signed with the secret of its server.

    What stands between URL and secret depends on the version of bbb-webhooks: the body as it is sent, its fields as
    JSON, or `{}`, because the last versions sign no body. The length of the checksum tells its algorithm.
    """
    algorithm = _BY_LENGTH.get(len(checksum))
    if algorithm is None:
        return False
    fields = dict(parse_qsl(body.decode(errors="replace")))
    in_order = {name: fields[name] for name in ("event", "timestamp", "domain") if name in fields}
    if in_order.get("timestamp", "").isdecimal():
        in_order |= {"timestamp": int(in_order["timestamp"])}  # type: ignore[dict-item]
    as_json = json.dumps(in_order, separators=(",", ":"), ensure_ascii=False).encode(errors="replace")
    macs = [
        hashlib.new(algorithm, url.encode() + signed + secret.encode()).hexdigest()
        for url in urls
        for signed in (body, as_json, b"{}")
    ]
    given = checksum.lower().encode(errors="replace")
    return any(hmac.compare_digest(mac.encode(), given) for mac in macs)


def is_bearer(authorization: str, *, secret: str) -> bool:
    """Whether a header is `Bearer` and the secret."""
    scheme, _, given = authorization.partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), secret.encode())


def is_basic(authorization: str, *, user: str | None, secret: str) -> bool:
    """Whether a header is `Basic` with this user (any, if None) and this password."""
    scheme, _, given = authorization.partition(" ")
    try:
        name, _, password = base64.b64decode(given.strip(), validate=True).partition(b":")
    except ValueError:
        return False
    is_user = user is None or hmac.compare_digest(name, user.encode())
    return scheme.lower() == "basic" and hmac.compare_digest(password, secret.encode()) and is_user


def _holds(claims: dict[str, Any], key: str, now: float) -> bool:
    """Whether a token is of this key and of this time."""
    begins = [int(claims[name]) for name in ("nbf", "iat") if name in claims]
    return (
        claims["iss"] == key
        and int(claims["exp"]) > now - _LEEWAY_SECONDS
        and all(instant <= now + _LEEWAY_SECONDS for instant in begins)
        and not claims.get("aud")
        and all(isinstance(claims.get(name, ""), str) for name in ("sub", "jti"))
    )


def _segment(text: bytes) -> dict[str, Any]:
    found = json.loads(_decoded(text))
    if not isinstance(found, dict):
        raise ValueError("a segment of a token is an object")
    return found


def _decoded(text: bytes) -> bytes:
    return base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))
