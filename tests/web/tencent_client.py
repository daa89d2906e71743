"""Tencent's own SDK, unchanged, as a client of a running service; and a home with what it asks for."""

import json
from pathlib import Path
from typing import Any

from tencentcloud.common import credential
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile
from tencentcloud.trtc.v20190722 import models
from tencentcloud.trtc.v20190722.trtc_client import TrtcClient

from tests.commands import Commands
from tests.web.site import Site

NOW = "2026-11-02T09:00:00Z"
TOKYO, TOKYO_QUIET, BERLIN, SANTIAGO, OLD = 1400000001, 1400000002, 1400000003, 1400000004, 1400000005
OPERATOR = "AKIDoperator"
KEYS = {OPERATOR: None, "AKIDtokyo": "tokyo", "AKIDberlin": "berlin"}

_ACCOUNTS = {
    "tokyo": ("Asia/Tokyo", "trtc-intl", (TOKYO, TOKYO_QUIET)),
    "berlin": ("Europe/Berlin", "trtc-cn", (BERLIN,)),
    "santiago": ("America/Santiago", "trtc-intl", (SANTIAGO,)),
    "old": ("Asia/Tokyo", "trtc-intl-2021", (OLD,)),
}


def give_catalog(commands: Commands) -> None:
    """Four accounts in three time zones, and a key for the operator and for two of them."""
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
    _run(commands, f"catalog apply {catalog}")
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
    file = Path(commands.home.parent / f"events-{app}.ndjson")
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    _run(commands, f"ingest {file}")


def _run(commands: Commands, line: str) -> None:
    done = commands(line)
    assert done.exit_code == 0, done.output


def client(
    site: Site, owner: str = OPERATOR, *, key: str | None = None, is_unsigned: bool = False, **options: Any
) -> TrtcClient:
    """The SDK's client with the key of an owner; `options` are those of its profile, `method` the HTTP method.

    `is_unsigned`: the body is not signed.
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
    return TrtcClient(credential.Credential(owner, secret), "ap-singapore", profile)


def ask(asking: TrtcClient, action: str, **parameters: Any) -> Any:
    """What an action answers, as the model of the SDK."""
    request = getattr(models, f"{action}Request")()
    for name, value in parameters.items():
        setattr(request, name, value)
    return getattr(asking, action)(request)
