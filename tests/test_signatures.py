"""Signatures: ours accept and refuse what the vendors' own code accepts and refuses."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from livekit.api import TokenVerifier, WebhookReceiver

from billing.sources.signatures import (
    is_signed_by_agora,
    is_signed_by_livekit,
    is_signed_by_trtc,
    livekit_issuer,
)
from tests.record_facts import sample

KEY, SECRET = "APIexample1", "a secret of at least thirty-two characters"
OTHER = SECRET[::-1]
BODY = '{"event":"room_started","id":"EV_1"}'


def token(body: str = BODY, *, secret: str = SECRET, headers: dict[str, Any] | None = None, **claims: Any) -> str:
    digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
    now = int(time.time())
    held = {"iss": KEY, "sub": "", "nbf": now, "exp": now + 300, "sha256": digest, **claims}
    return jwt.encode({name: value for name, value in held.items() if value is not None}, secret, headers=headers)


def is_ours(body: str, authorization: str) -> bool:
    return is_signed_by_livekit(body.encode(), authorization, key=KEY, secret=SECRET, now=time.time())


def is_theirs(body: str, authorization: str) -> bool:
    """Whether LiveKit's receiver takes it, whatever it raises."""
    try:
        WebhookReceiver(TokenVerifier(KEY, SECRET)).receive(body, authorization)
    except Exception:
        return False
    return True


def test_livekits_own_receiver_takes_what_we_take() -> None:
    assert is_theirs(BODY, token())
    assert is_ours(BODY, token())
    assert livekit_issuer(token()) == KEY


@pytest.mark.parametrize(
    "made",
    [
        lambda: token(secret=OTHER),
        lambda: token(BODY + " "),
        lambda: token(iss="another"),
        lambda: token(iss=None),
        lambda: token(sha256=None),
        lambda: token(sha256=""),
        lambda: token(exp=None),
        lambda: token(exp=int(time.time()) - 300),
        lambda: token(exp="soon"),
        lambda: token(nbf=int(time.time()) + 300),
        lambda: token(iat=int(time.time()) + 300),
        lambda: token(aud="somebody"),
        lambda: token(jti="1", headers={"crit": ["exp"]}),
        lambda: f"Bearer {token()}",
        lambda: jwt.encode({"iss": KEY, "exp": int(time.time()) + 300}, "", algorithm="none"),
        lambda: "",
        lambda: "a.b.c",
        lambda: "..",
        lambda: token()[:-2],
    ],
    ids=range(19),
)
def test_livekits_own_receiver_refuses_what_we_refuse(made: Callable[[], str]) -> None:
    """Made within the test: a token holds the present time, and the tests may run long after they were collected."""
    authorization = made()
    assert not is_theirs(BODY, authorization)
    assert not is_ours(BODY, authorization)


@given(
    place=st.integers(0, 400),
    letter=st.characters(min_codepoint=32, max_codepoint=126),
    skew=st.integers(-400, 400).filter(lambda skew: abs(skew + 60) > 3 and abs(skew - 60) > 3),
    changed=st.booleans(),
)
@example(place=0, letter="e", skew=0, changed=False)
def test_both_agree_on_damaged_tokens_at_any_time(place: int, letter: str, skew: int, changed: bool) -> None:
    """`skew`: seconds by which the token is early or late."""
    now = int(time.time())
    made = token(nbf=now + skew, exp=now + skew + 30)
    if changed:
        made = made[: place % len(made)] + letter + made[place % len(made) + 1 :]
    assert is_ours(BODY, made) == is_theirs(BODY, made)


def test_the_captured_webhooks_are_signed_by_their_key_alone() -> None:
    """They were signed by LiveKit's library; a body that has changed by one letter is not."""
    for line in sample("livekit-captured.jsonl"):
        frame = json.loads(line)
        authorization, body = frame["headers"]["Authorization"], frame["body"].encode()
        claims = jwt.decode(authorization, options={"verify_signature": False})
        assert livekit_issuer(authorization) == claims["iss"] == KEY
        assert base64.b64decode(claims["sha256"]) == hashlib.sha256(body).digest()


def test_trtc_signs_the_raw_body_with_the_key_of_the_application() -> None:
    """As Tencent publishes it: Sign = base64(HMAC-SHA256(key, body))."""
    body = b'{\n\t"EventGroupId":\t1,\n\t"EventType":\t103\n}'
    sign = base64.b64encode(hmac.new(b"123654", body, hashlib.sha256).digest()).decode()
    assert is_signed_by_trtc(body, sign, key="123654")
    assert not is_signed_by_trtc(body, sign, key="123655")
    assert not is_signed_by_trtc(body.replace(b"\t", b" "), sign, key="123654")
    assert not is_signed_by_trtc(body, sign + "é", key="123654")
    assert not is_signed_by_trtc(body, "", key="123654")


def test_agora_signs_the_raw_body_with_the_secret_of_the_project() -> None:
    body = b'{"eventType":103}'
    signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    assert is_signed_by_agora(body, signature, secret=SECRET)
    assert not is_signed_by_agora(body + b" ", signature, secret=SECRET)
    assert not is_signed_by_agora(body, signature[:-1], secret=SECRET)
