"""Callbacks of media servers: signed as the vendors sign, stored, and then what their records in a file would be."""

import base64
import gzip
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import httpx
import polars as pl
import pytest
from livekit.api import AccessToken

from tests.commands import Commands
from tests.record_facts import SAMPLES, sample
from tests.web.site import Site, serving

pytestmark = pytest.mark.thorough

APP, KEY, SECRET = 1400000042, "APIexample1", "a secret of at least thirty-two characters"
JANUS = Path(__file__).parents[1] / "janus" / "S1" / "events.jsonl.gz"
CATALOG = f"""
[[account]]
id = "school"
name = "School"
currency = "USD"
timezone = "UTC"
policy = "trtc-intl"

[[app]]
id = {APP}
account = "school"
name = "Classroom"
feed = ["livekit:{KEY}", "trtc:{APP}"]

[app.assume]
camera = "1280x720"
screen = "1920x1080"
"""
SENDERS = {"livekit": "livekit", "trtc": "trtc", "agora": "agora", "bbb": "bigbluebutton", "janus": "janus"}
BEARER = {"Authorization": f"Bearer {SECRET}", "Content-Type": "application/x-www-form-urlencoded"}
BASIC = {"Authorization": f"Basic {base64.b64encode(f'{KEY}:{SECRET}'.encode()).decode()}"}


def livekit(body: bytes) -> dict[str, str]:
    """Signed with LiveKit's own library, as its server does."""
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    signed = AccessToken(KEY, SECRET).with_sha256(digest).to_jwt()
    return {"Authorization": signed, "Content-Type": "application/webhook+json"}


def trtc(body: bytes) -> dict[str, str]:
    """Signed as TRTC's documentation says."""
    sign = base64.b64encode(hmac.digest(SECRET.encode(), body, "sha256")).decode()
    return {"SdkAppId": str(APP), "Sign": sign, "Content-Type": "application/json"}


def agora(body: bytes) -> dict[str, str]:
    return {"Agora-Signature-V2": hmac.digest(SECRET.encode(), body, "sha256").hex()}


SIGNED: Mapping[str, Callable[[bytes], dict[str, str]]] = {
    "livekit": livekit,
    "trtc": trtc,
    "agora": agora,
    "bbb": lambda _: BEARER,
    "janus": lambda _: BASIC,
}


def bodies(sender: str) -> list[bytes]:
    """What a server sends, request by request. Janus sends several events together."""
    if sender == "janus":
        events = [json.loads(line)["e"] for line in gzip.decompress(JANUS.read_bytes()).splitlines()]
        flat = [event for each in events for event in (each if isinstance(each, list) else [each])]
        return [json.dumps(flat[start : start + 20], indent=1).encode() for start in range(0, len(flat), 20)]
    lines = sample(SAMPLES[SENDERS[sender]])
    return [json.loads(line)["body"].encode() if b'"received_at"' in line else line for line in lines]


@pytest.fixture
def school(billing: Commands) -> Commands:
    """A home with an app whose callbacks are signed with `SECRET`."""
    catalog = billing.home.parent / "school.toml"
    catalog.write_text(CATALOG)
    assert billing(f"catalog apply {catalog}").exit_code == 0
    secrets = "".join(
        f'[[callback]]\nsource = "{sender}"\napp = {APP}\nsecret = "{SECRET}"\n'
        + (f'key = "{KEY}"\n' if sender in ("livekit", "janus") else "")
        for sender in SENDERS
    )
    file = billing.home / "secrets.toml"
    file.touch(mode=0o600)
    file.write_text(secrets)
    return replace(billing, now="2026-11-30T09:00:00Z")  # after all that the samples tell


@pytest.fixture
def site(school: Commands) -> Iterator[Site]:
    with serving(school) as site:
        yield site


def called_back(client: httpx.Client, sender: str, body: bytes, **headers: str) -> httpx.Response:
    signed = SIGNED[sender](body)
    return client.post(f"/callbacks/{sender}/{APP}", content=body, headers={**signed, **headers})


def events(home: Path) -> pl.DataFrame:
    """The event log without what says when, and from which line, something was ingested."""
    return pl.read_delta(str(home / "events")).drop("ingest_id", "line").sort("event_id", "at", "seq", "type")


def drained(commands: Commands) -> None:
    """Starts a service that ingests what an ended one has sealed."""
    with serving(commands) as site:
        until = time.monotonic() + 60
        while site.anybody.get("/readyz").json()["waiting_rows"]:
            assert time.monotonic() < until
            time.sleep(0.05)


@pytest.mark.parametrize("sender", SENDERS)
def test_callbacks_become_what_the_same_records_in_a_file_become(sender: str, school: Commands, tmp_path: Path) -> None:
    sent = bodies(sender)
    with serving(school) as site:
        client = site.anybody
        answers = [called_back(client, sender, body) for body in [*sent, sent[0]]]
        assert {(answer.status_code, answer.text) for answer in answers} == {(200, '{"code":0}')}
    drained(school)
    assert not list((school.home / "spool" / "failed").glob("*"))
    another = replace(school, home=tmp_path / "another")
    file = JANUS if sender == "janus" else tmp_path / "records"
    if sender != "janus":
        file.write_bytes(b"\n".join(sample(SAMPLES[SENDERS[sender]])) + b"\n")
    for line in ("init", f"catalog apply {school.home.parent / 'school.toml'}"):
        assert another(line).exit_code == 0
    assert another(f"ingest --source {SENDERS[sender]} --app {APP} {file}").exit_code == 0
    assert len(events(school.home))
    assert events(school.home).equals(events(another.home))


@pytest.mark.parametrize("sender", SENDERS)
def test_a_callback_that_is_not_signed_with_the_secret_of_its_app_is_refused(sender: str, site: Site) -> None:
    client, body = site.anybody, bodies(sender)[0]
    path, signed = f"/callbacks/{sender}/{APP}", SIGNED[sender](body)
    for name in ("Authorization", "Sign", "Agora-Signature-V2"):
        if name in signed:
            changed = signed | {name: signed[name][:-3] + "xyz"}
            assert client.post(path, content=body, headers=changed).status_code == 401
    assert client.post(path, content=body).status_code == 401
    assert client.post(f"/callbacks/{sender}/77", content=body, headers=signed).status_code == 401
    if sender in ("livekit", "trtc", "agora"):  # whose signatures are of the raw body
        assert client.post(path, content=body + b" ", headers=signed).status_code == 401
    assert not list((site.commands.home / "spool").glob("*.open"))
    assert called_back(client, sender, body).status_code == 200


def test_a_token_is_no_signature_and_other_senders_are_not_found(site: Site) -> None:
    admin, body = site.client("admin"), bodies("trtc")[0]
    assert admin.post(f"/callbacks/trtc/{APP}", content=body).status_code == 401
    assert admin.post(f"/callbacks/zoom/{APP}", content=body).status_code == 404


def test_a_bigbluebutton_checksum_is_of_the_url_that_was_called(site: Site) -> None:
    body = bodies("bbb")[0]
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    url = f"{site.address}/callbacks/bbb/{APP}"
    checksum = hashlib.sha256(url.encode() + body + SECRET.encode()).hexdigest()
    right, wrong = (f"{url}?checksum={quote(each)}" for each in (checksum, checksum[::-1]))
    assert site.anybody.post(right, content=body, headers=form).status_code == 200
    assert site.anybody.post(wrong, content=body, headers=form).status_code == 401


def test_passwords_are_not_kept_and_callbacks_have_no_rate(school: Commands) -> None:
    with serving(school, "--requests-per-second", "0.1") as site:
        client = site.anybody
        for sender in ("janus", "bbb"):
            for body in bodies(sender)[:5]:
                assert called_back(client, sender, body).status_code == 200
        kept = b"".join(path.read_bytes() for path in (school.home / "spool").glob("*.open"))
    assert kept.count(b"received_at") == 10
    assert SECRET.encode() not in kept
    assert BASIC["Authorization"].encode() not in kept


def test_what_is_signed_and_no_record_is_stored_and_quarantined(school: Commands) -> None:
    with serving(school) as site:
        for sender in ("trtc", "agora"):
            assert called_back(site.anybody, sender, b"\xff\x00 no JSON\nat all").status_code == 200
        assert called_back(site.anybody, "trtc", b"x" * (1 << 20)).status_code == 413
    drained(school)
    assert not list((school.home / "spool").glob("*.ndjson*"))
    done = school("quarantine list --rows --format json")
    assert [row["reason"] for row in json.loads(done.stdout)] == ["bad_json", "bad_json"]
