"""Tokens, scopes and the edges of the service."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.commands import ROOT, Commands
from tests.sample_home import rows
from tests.web.site import Site, serving


@pytest.fixture
def site(billing: Commands) -> Iterator[Site]:
    """A service on a home with the sample catalog."""
    with serving(billing) as site:
        yield site


def problem(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == answer.status_code
    return answer.status_code, body["detail"]


def test_only_a_token_that_is_valid_is_answered(site: Site) -> None:
    assert site.anybody.get("/healthz").json() == {"alive": True}
    assert problem(site.anybody.get("/v1/accounts"))[0] == 401
    wrong = {"Authorization": f"Bearer {site.token()[:-1]}?"}
    assert problem(site.anybody.get("/v1/accounts", headers=wrong))[0] == 401
    assert site.client("read").get("/v1/accounts").status_code == 200
    assert problem(site.client("ingest").get("/v1/accounts"))[0] == 403


def test_a_token_is_refused_at_once_when_it_is_revoked(site: Site) -> None:
    client = site.client("read")
    assert client.get("/v1/accounts").status_code == 200
    (token,) = (row for row in rows(site.commands, "token list") if row["revoked_at"] is None)
    assert site.commands(f"token revoke {token['id']}").exit_code == 0
    assert client.get("/v1/accounts").status_code == 401


def test_the_secret_of_a_token_is_nowhere_in_the_home(site: Site) -> None:
    secret = site.token().split("_", 2)[2].encode()
    assert not any(secret in file.read_bytes() for file in site.commands.home.rglob("*") if file.is_file())


def test_a_foreign_account_is_as_if_it_did_not_exist(site: Site, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text(
        '[[account]]\nid = "other"\nname = "Other"\ncurrency = "USD"\ntimezone = "UTC"\npolicy = "trtc-intl"\n'
    )
    assert site.commands(f"catalog apply {other}").exit_code == 0
    client = site.client("admin", "other")
    assert [row["id"] for row in client.get("/v1/accounts").json()] == ["other"]
    foreign, missing = (problem(client.get(f"/v1/accounts/{name}")) for name in ("academy", "nobody"))
    assert foreign == (404, "there is no account 'academy'")
    assert missing == (404, "there is no account 'nobody'")


def test_accounts_are_answered_as_the_command_prints_them(site: Site) -> None:
    done = site.commands("account list --format json")
    assert site.client("read").get("/v1/accounts").text == done.stdout
    assert site.client("read").get("/v1/accounts/academy").json() == json.loads(done.stdout)


def test_a_second_service_on_a_home_is_refused(site: Site) -> None:
    assert "another `billing serve` runs" in _refused(site.commands, "0")


def test_an_address_that_is_taken_is_refused_in_one_line(billing: Commands) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert "name another --host or --port" in _refused(billing, str(taken.getsockname()[1]))


def _refused(commands: Commands, port: str) -> str:
    words = [sys.executable, "-m", "cli", "--home", str(commands.home), "serve", "--port", port]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_secrets_that_others_may_read_are_refused(billing: Commands) -> None:
    file = billing.home / "secrets.toml"
    file.write_text('[[tencent]]\nsecret_id = "a"\nsecret_key = "b"\n')
    file.chmod(0o644)
    assert "chmod 600" in _refused(billing, "0")
    file.chmod(0o600)
    with serving(billing) as site:
        assert site.anybody.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[[tencent]]\nsecret_id = 1\nsecret_key = 'b'\n", "secret_id must be text"),
        ("[[callback]]\nsource = 'zoom'\napp = 1\nsecret = 'b'\n", "unknown source 'zoom'"),
        ("[[callback]]\nsource = 'trtc'\nsecret = 'b'\n", "app is missing"),
        ("[[callback]]\nsource = 'trtc'\napp = 1\nsecret_env = 'BILLING_NOT_SET'\n", "BILLING_NOT_SET"),
        ("[tencent]\nsecret_id = 'a'\n", "double brackets"),
        ("tencent = ", "is not TOML"),
    ],
)
def test_secrets_with_a_fault_are_refused_in_one_line(billing: Commands, text: str, fault: str) -> None:
    file = billing.home / "secrets.toml"
    file.write_text(text)
    file.chmod(0o600)
    assert fault in _refused(billing, "0")
