"""Signatures: Tencent's own SDK is believed when its key and clock are right; all else is refused in a line."""

import json
import re
import socket
import time
from collections.abc import Iterator
from http.client import HTTPResponse
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException

from billing.web.secrets_file import TencentKey
from billing.web.tencent.call_errors import CallError
from billing.web.tencent.call_signatures import signer
from billing.web.tencent.calls import Call
from tests.commands import Commands
from tests.web.site import Site, serving
from tests.web.tencent_client import NOW, OPERATOR, TOKYO, ask, client, give_catalog, posted, run, signed

DAY = {"StartTime": "2026-10-30", "EndTime": "2026-10-30", "SdkAppId": TOKYO}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Accounts with keys, and without usage."""
    commands = Commands(home=tmp_path_factory.mktemp("signatures") / "home", now=NOW)
    run(commands, "init")
    give_catalog(commands)
    with serving(commands) as running:
        yield running


def test_a_wrong_key_and_an_unknown_one_are_refused(site: Site) -> None:
    for owner, key, code in (
        (OPERATOR, "another", "AuthFailure.SignatureFailure"),
        ("AKIDnobody", "x", "AuthFailure.SecretIdNotFound"),
    ):
        for options in ({}, {"method": "GET"}, {"is_unsigned": True}, {"signMethod": "HmacSHA1"}):
            with pytest.raises(TencentCloudSDKException) as refused:
                ask(client(site, owner, key=key, **options), "DescribeTrtcUsage", **DAY)
            assert refused.value.code == code


@pytest.mark.parametrize("late", [-330, 330])
@pytest.mark.parametrize("method", ["POST", "GET"])
def test_a_client_with_a_wrong_clock_is_told_so(
    site: Site, method: str, late: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = time.time() + late
    monkeypatch.setattr("tencentcloud.common.abstract_client.time.time", lambda: at)
    with pytest.raises(TencentCloudSDKException) as refused:
        ask(client(site, method=method), "DescribeTrtcUsage", **DAY)
    assert refused.value.code == "AuthFailure.SignatureExpire"
    assert "put the clock right" in refused.value.message


def test_a_temporary_key_is_refused(site: Site) -> None:
    for options in ({}, {"method": "GET"}, {"signMethod": "HmacSHA256"}):
        asking = client(site, session="temporary", **options)
        with pytest.raises(TencentCloudSDKException) as refused:
            ask(asking, "DescribeTrtcUsage", **DAY)
        assert refused.value.code == "AuthFailure.TokenFailure"


BODY = json.dumps(DAY).encode()


@pytest.mark.parametrize(
    ("action", "body", "more", "code"),
    [
        ("DescribeTrtcUsage", BODY, {"late": 301}, "AuthFailure.SignatureExpire"),
        ("DescribeTrtcUsage", BODY, {"late": -310}, "AuthFailure.SignatureExpire"),
        ("DescribeNothing", BODY, {}, "InvalidAction"),
        ("DescribeTrtcUsage", BODY, {"version": "2017-01-01"}, "NoSuchVersion"),
        ("DescribeTrtcUsage", b"[", {}, "InvalidParameter"),
        ("DescribeTrtcUsage", b"[" * 100_000, {}, "InvalidParameter"),
        ("DescribeTrtcUsage", b'{"SdkAppID": 1}', {}, "UnknownParameter"),
        ("DescribeTrtcUsage", b'{"StartTime": 5, "EndTime": [], "SdkAppId": {}}', {}, "InvalidParameter"),
    ],
)
def test_what_no_client_would_send_is_an_error_in_its_shape(
    site: Site, action: str, body: bytes, more: dict[str, Any], code: str
) -> None:
    assert posted(site, action, body, **more)["Error"]["Code"] == code


def test_a_request_of_a_minute_ago_is_answered(site: Site) -> None:
    assert len(posted(site, "DescribeTrtcUsage", BODY, late=60)["UsageList"]) == 288


def test_a_body_that_was_changed_on_the_way_is_refused(site: Site) -> None:
    host = site.address.removeprefix("http://")
    headers = signed(host, "DescribeTrtcUsage", BODY, at=int(time.time()))
    changed = httpx.post(site.address, content=BODY.replace(b"-30", b"-29"), headers=headers).json()
    assert changed["Response"]["Error"]["Code"] == "AuthFailure.SignatureFailure"


KEY = TencentKey(secret_id="AKIDlaw", secret_key="key of the law")  # noqa: S106 - made up
_TEXT = st.text(max_size=30)
_AUTHORIZATIONS = st.builds(
    "TC3-HMAC-SHA256 Credential={}/{}/{}/tc3_request, SignedHeaders={}, Signature={}".format,
    st.just("AKIDlaw") | _TEXT,
    st.sampled_from(["1970-01-01", "1970-01-1", "-", "9999-99-99"]),
    st.sampled_from(["trtc", "cvm"]),
    st.sampled_from(
        ["content-type;host", "host", "host;content-type;x-tc-action", ";", "x-not-sent;content-type;host"]
    ),
    st.just(64 * "0") | st.text("0123456789abcdefg", min_size=60, max_size=70),
)
_HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "authorization": _AUTHORIZATIONS | _TEXT,
        "x-tc-action": st.just("DescribeTrtcUsage") | _TEXT,
        "x-tc-timestamp": st.just("1") | _TEXT,
        "x-tc-token": _TEXT,
        "x-tc-content-sha256": st.just("UNSIGNED-PAYLOAD") | _TEXT,
        "content-type": st.just("application/json") | _TEXT,
        "host": _TEXT,
    },
)
_FIELDS = st.lists(
    st.tuples(
        st.sampled_from(["Action", "Timestamp", "SecretId", "Signature", "SignatureMethod", "Token", "Nonce"]) | _TEXT,
        st.sampled_from(["1", "AKIDlaw", "HmacSHA1", "HmacSHA256", "%C3%A9", "%ff", ""]) | _TEXT,
    ).map("=".join)
).map("&".join)


@given(
    method=st.sampled_from(["GET", "POST"]), headers=_HEADERS, query=_FIELDS, body=st.binary(max_size=60) | st.none()
)
def test_whatever_is_not_signed_is_refused_in_a_line(
    method: str, headers: dict[str, str], query: str, body: bytes | None
) -> None:
    form = query.encode() if body is None else body
    call = Call(method=method, headers=headers, query=query, body=form)
    with pytest.raises(CallError) as refused:
        signer(call, lambda name: KEY if name == KEY.secret_id else None, 1.0)
    assert refused.value.message.isprintable()
    assert re.fullmatch(r"[A-Z][A-Za-z]+(\.[A-Z][A-Za-z]+)?", refused.value.code)


@given(action=st.sampled_from(["DescribeTrtcUsage", "X"]), body=st.binary(max_size=200), at=st.integers(0, 4 * 10**9))
def test_what_is_signed_as_the_vendor_says_is_believed_for_five_minutes(action: str, body: bytes, at: int) -> None:
    headers = {name.lower(): value for name, value in signed("h:1", action, body, at=at, key=KEY.secret_key).items()}
    call = Call(method="POST", headers=headers, query="", body=body)
    for now in (max(at - 300, 0), at, at + 300):
        assert signer(call, lambda _: KEY, now) is KEY
    with pytest.raises(CallError, match="SignatureExpire"):
        signer(call, lambda _: KEY, at + 301)
    changed = Call(method="POST", headers=headers, query="", body=body + b" ")
    with pytest.raises(CallError, match="SignatureFailure"):
        signer(changed, lambda _: KEY, at)


@pytest.mark.parametrize(
    ("names", "is_enough"), [("content-type;host", True), ("content-type", False), ("host", False)]
)
def test_the_host_and_the_content_type_must_be_signed(names: str, is_enough: bool) -> None:
    headers = signed("h:1", "X", b"", at=60, key=KEY.secret_key, names=names)
    call = Call(method="POST", headers={name.lower(): value for name, value in headers.items()}, query="", body=b"")
    if is_enough:
        assert signer(call, lambda _: KEY, 60) is KEY
        return
    with pytest.raises(CallError, match="must name content-type and host"):
        signer(call, lambda _: KEY, 60)


@pytest.mark.parametrize("in_signature", ["Billing.Example:8080", "billing.example:8080"])
def test_values_of_headers_may_be_signed_in_lower_case(in_signature: str) -> None:
    headers = signed(in_signature, "X", b"", at=60, key=KEY.secret_key) | {"Host": "Billing.Example:8080"}
    call = Call(method="POST", headers={name.lower(): value for name, value in headers.items()}, query="", body=b"")
    assert signer(call, lambda _: KEY, 60) is KEY


_OCTETS = st.binary(max_size=40).map(lambda octets: bytes(octet for octet in octets if octet > 32 and octet != 127))
_IN_A_PATH = st.text([chr(number) for number in range(33, 127)], max_size=40).map(str.encode)
_OVER_HTTP = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(
        (b"Authorization", b"X-TC-Action", b"X-TC-Timestamp", b"X-TC-Content-SHA256", b"Content-Type"), _OCTETS
    ),
)


@given(method=st.sampled_from([b"GET", b"POST"]), headers=_OVER_HTTP, query=_IN_A_PATH, body=st.binary(max_size=60))
def test_no_request_makes_the_service_fail(
    site: Site, method: bytes, headers: dict[bytes, bytes], query: bytes, body: bytes
) -> None:
    answer, content = sent(site, method + b" /?" + query + b" HTTP/1.1", headers, body)
    if answer.status == 302:
        assert (method, answer.headers["location"]) == (b"GET", "/console")
        return
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert json.loads(content)["Response"]["Error"]["Code"] not in ("InternalError", "FailedOperation")


def sent(site: Site, line: bytes, headers: dict[bytes, bytes], body: bytes) -> tuple[HTTPResponse, bytes]:
    """The answer to these octets, which no HTTP client would send."""
    always = {b"Host": b"h", b"Connection": b"close", b"Content-Length": str(len(body)).encode()}
    head = b"".join(name + b": " + value + b"\r\n" for name, value in (always | headers).items())
    url = httpx.URL(site.address)
    with socket.create_connection((url.host, url.port), timeout=60) as connection:
        connection.sendall(line + b"\r\n" + head + b"\r\n" + body)
        answer = HTTPResponse(connection)
        answer.begin()
        return answer, answer.read()
