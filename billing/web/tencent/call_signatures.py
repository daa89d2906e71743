"""Signatures of calls: who signed a request, and when.

Version 3 (`TC3-HMAC-SHA256`) signs the method, the query, the headers it names (always content-type and host, the host
with its port), the SHA-256 of the body, the time and the day:

    key = HMAC(HMAC(HMAC("TC3" + secret key, "2026-03-10"), "trtc"), "tc3_request")

With the header `X-TC-Content-SHA256: UNSIGNED-PAYLOAD` this word takes the place of the body. Version 1 (`HmacSHA1`,
`HmacSHA256`) signs the method, the host and all parameters by name. The time of a request may differ from the machine's
clock by 5 minutes. Signatures are compared in constant time.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from billing.web.secrets_file import TencentKey
from billing.web.tencent.call_errors import CallError, invalid, not_signed
from billing.web.tencent.calls import Call

KeyOf = Callable[[str], TencentKey | None]

OLDEST_SECONDS = 300
SERVICE = "trtc"
_ALGORITHM = "TC3-HMAC-SHA256"
_AUTHORIZATION = re.compile(
    rf"{_ALGORITHM} +Credential=(?P<id>[^/,\s]+)/(?P<day>[0-9-]+)/(?P<service>[a-z0-9]+)/tc3_request, *"
    r"SignedHeaders=(?P<headers>[A-Za-z0-9;_-]+), *Signature=(?P<signature>[0-9a-f]{64})"
)
_UNSIGNED = "UNSIGNED-PAYLOAD"
_ALWAYS_SIGNED = {"content-type", "host"}
_METHODS = {"HmacSHA1": "sha1", "HmacSHA256": "sha256"}
_WRONG = "the signature is wrong: check the secret key, and that proxies leave the header Host as it was sent"


def signer(call: Call, key_of: KeyOf, now: float) -> TencentKey:
    """The key that a call is signed with; a `CallError` when it is not, or too long ago."""
    signed_at = _timely(call.common("Timestamp"), now)
    if call.headers.get("x-tc-token") or (not call.is_version_3 and call.form().get("Token")):
        raise CallError("AuthFailure.TokenFailure", "there are no temporary keys here: sign with a key of secrets.toml")
    return _signer_of_3(call, key_of, signed_at) if call.is_version_3 else _signer_of_1(call, key_of)


def _timely(timestamp: str, now: float) -> int:
    if not re.fullmatch("[0-9]{1,11}", timestamp):
        raise invalid("Timestamp is not a time in whole seconds since 1970")
    signed_at = int(timestamp)
    if abs(now - signed_at) > OLDEST_SECONDS:
        raise CallError(
            "AuthFailure.SignatureExpire",
            f"the request was signed at {signed_at}, and it is {int(now)}: put the clock right, and sign again",
        )
    return signed_at


def _known(key_of: KeyOf, secret_id: str) -> TencentKey:
    key = key_of(secret_id)
    if key is None:
        raise CallError("AuthFailure.SecretIdNotFound", "this SecretId is in no [[tencent]] of secrets.toml")
    return key


def _signer_of_3(call: Call, key_of: KeyOf, signed_at: int) -> TencentKey:
    found = _AUTHORIZATION.fullmatch(call.headers.get("authorization", ""))
    if not found:
        raise CallError("AuthFailure.InvalidAuthorization", f"the header Authorization is not one of {_ALGORITHM}")
    key = _known(key_of, found["id"])
    if found["day"] != datetime.fromtimestamp(signed_at, UTC).date().isoformat() or found["service"] != SERVICE:
        raise not_signed(f"Credential does not name the UTC day of the timestamp and the service {SERVICE}")
    names = found["headers"].lower().split(";")
    if _ALWAYS_SIGNED - set(names) or set(names) - call.headers.keys():
        raise not_signed("SignedHeaders must name content-type and host, and only headers that were sent")
    scope = f"{found['day']}/{SERVICE}/tc3_request"
    signing_key = _chained(f"TC3{key.secret_key}".encode(), found["day"], SERVICE, "tc3_request")
    expected = [
        _hmac(signing_key, f"{_ALGORITHM}\n{signed_at}\n{scope}\n{_sha256(request)}").hex()
        for request in _canonical(call, names)
    ]
    # Both are compared, so that the time tells nothing.
    if not sum(hmac.compare_digest(found["signature"], each) for each in expected):
        raise not_signed(_WRONG)
    return key


def _canonical(call: Call, names: list[str]) -> Iterator[bytes]:
    """The text that version 3 signs. Some clients put the values of headers in lower case before, others do not."""
    is_get = call.method == "GET"
    payload = b"" if is_get else call.body
    if call.headers.get("x-tc-content-sha256") == _UNSIGNED:
        payload = _UNSIGNED.encode()
    for written in (str, str.lower):
        headers = "".join(f"{name}:{written(call.headers[name].strip())}\n" for name in names)
        parts = (call.method, "/", call.query if is_get else "", headers, ";".join(names), _sha256(payload))
        yield "\n".join(parts).encode()


def _signer_of_1(call: Call, key_of: KeyOf) -> TencentKey:
    form = call.form()
    key = _known(key_of, call.common("SecretId"))
    method = _METHODS.get(form.get("SignatureMethod", "HmacSHA1"))
    if method is None:
        raise not_signed(f"SignatureMethod must be one of {', '.join(_METHODS)}")
    named = {name.replace("_", "."): value for name, value in form.items() if name != "Signature"}
    parameters = "&".join(f"{name}={named[name]}" for name in sorted(named))
    text = f"{call.method}{call.headers.get('host', '')}/?{parameters}"
    expected = base64.b64encode(hmac.digest(key.secret_key.encode(), text.encode("utf-8", "replace"), method))
    if not hmac.compare_digest(call.common("Signature").encode("utf-8", "replace"), expected):
        raise not_signed(_WRONG)
    return key


def _chained(key: bytes, *texts: str) -> bytes:
    for text in texts:
        key = _hmac(key, text)
    return key


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
