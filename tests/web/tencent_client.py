"""Tencent's own SDK, unchanged, as a client of a running service; requests signed by hand; accounts with keys."""

import hashlib
import hmac
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from tencentcloud.common import credential
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile
from tencentcloud.trtc.v20190722 import models
from tencentcloud.trtc.v20190722.trtc_client import TrtcClient

from tests.commands import Commands
from tests.web.site import Site

NOW = "2026-11-02T09:00:00Z"
TOKYO, TOKYO_QUIET, BERLIN, SANTIAGO, OLD, TROLL, CASEY = range(1400000001, 1400000008)
OPERATOR = "AKIDoperator"
KEYS = {OPERATOR: None, "AKIDtokyo": "tokyo", "AKIDberlin": "berlin"}

_ACCOUNTS = {
    "tokyo": ("Asia/Tokyo", "trtc-intl", (TOKYO, TOKYO_QUIET)),
    "berlin": ("Europe/Berlin", "trtc-cn", (BERLIN,)),
    "santiago": ("America/Santiago", "trtc-intl", (SANTIAGO,)),
    "old": ("Asia/Tokyo", "trtc-intl-2021", (OLD,)),
    "troll": ("Antarctica/Troll", "trtc-intl", (TROLL,)),
    "casey": ("Antarctica/Casey", "trtc-intl", (CASEY,)),
}


def give_catalog(commands: Commands) -> None:
    """Accounts in five time zones, and a key for the operator and for two of them."""
    parts = []
    for account, (zone, policy, apps) in _ACCOUNTS.items():
        currency = "CNY" if policy == "trtc-cn" else "USD"
        parts.append(
            f'[[account]]\nid = "{account}"\nname = "{account}"\ncurrency = "{currency}"\ntimezone = "{zone}"\n'
            f'policy = "{policy}"\n'
        )
        parts += [f'[[app]]\nid = {app}\naccount = "{account}"\nname = "{app}"\n' for app in apps]
    catalog = commands.home.parent / "catalog.toml"
    catalog.write_text("\n".join(parts))
    run(commands, f"catalog apply {catalog}")
    secrets = commands.home / "secrets.toml"
    bound = {name: f'account = "{account}"\n' if account else "" for name, account in KEYS.items()}
    secrets.write_text(
        "".join(f'[[tencent]]\nsecret_id = "{name}"\nsecret_key = "key of {name}"\n{bound[name]}' for name in KEYS)
    )
    secrets.chmod(0o600)


def ingest(commands: Commands, app: int, *events: tuple[str, str, str, str], **more: Any) -> None:
    """Events as (time, room, user, type)."""
    lines = [
        {"app_id": app, "at": at, "room_id": room, "user_id": user, "type": kind, **(more if "video" in kind else {})}
        for at, room, user, kind in events
    ]
    file = Path(commands.home.parent / f"events-{app}-{events[0][0][:10]}-{len(events)}.ndjson")
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    run(commands, f"ingest {file}")


def run(commands: Commands, line: str) -> None:
    done = commands(line)
    assert done.exit_code == 0, done.output


def client(
    site: Site,
    owner: str = OPERATOR,
    *,
    key: str | None = None,
    session: str | None = None,
    is_unsigned: bool = False,
    **options: Any,
) -> TrtcClient:
    """The SDK's client with the key of an owner; `options` are those of its profile, `method` the HTTP method.

    `session`: the token of a temporary key. `is_unsigned`: the body is not signed.
    """
    http = HttpProfile(
        protocol="http",
        endpoint=site.address.removeprefix("http://"),
        reqMethod=options.pop("method", "POST"),
        reqTimeout=60,
    )
    profile = ClientProfile(httpProfile=http, **{"signMethod": "TC3-HMAC-SHA256", **options})
    profile.unsignedPayload = is_unsigned
    secret = f"key of {owner}" if key is None else key
    return TrtcClient(credential.Credential(owner, secret, session), "ap-singapore", profile)


def ask(asking: TrtcClient, action: str, **parameters: Any) -> Any:
    """What an action answers, as the model of the SDK."""
    request = getattr(models, f"{action}Request")()
    for name, value in parameters.items():
        setattr(request, name, value)
    return getattr(asking, action)(request)


def signed(
    host: str, action: str, body: bytes, *, at: int, key: str = f"key of {OPERATOR}", names: str = "content-type;host"
) -> dict[str, str]:
    """The headers of a request, signed as the vendor's page on TC3-HMAC-SHA256 describes it; `names`: those signed."""
    day = f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d}"
    headers = {"Host": host, "Content-Type": "application/json"}
    values = {name.lower(): value for name, value in headers.items()}
    lines = [f"{name}:{values[name]}" for name in names.split(";")]
    canonical = "\n".join(("POST", "/", "", *lines, "", names, hashlib.sha256(body).hexdigest()))
    text = f"TC3-HMAC-SHA256\n{at}\n{day}/trtc/tc3_request\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    secret = f"TC3{key}".encode()
    for part in (day, "trtc", "tc3_request", text):
        secret = hmac.new(secret, part.encode(), hashlib.sha256).digest()
    return headers | {
        "X-TC-Action": action,
        "X-TC-Version": "2019-07-22",
        "X-TC-Timestamp": str(at),
        "Authorization": (
            f"TC3-HMAC-SHA256 Credential={OPERATOR}/{day}/trtc/tc3_request, "
            f"SignedHeaders={names}, Signature={secret.hex()}"
        ),
    }


def posted(site: Site, action: str, body: bytes, *, late: int = 0, version: str = "2019-07-22") -> dict[str, Any]:
    """What a request signed by hand is answered; signed so many seconds ago."""
    headers = signed(site.address.removeprefix("http://"), action, body, at=int(time.time()) - late)
    answer = httpx.post(site.address, content=body, headers=headers | {"X-TC-Version": version})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    found: dict[str, Any] = answer.json()["Response"]
    return found
