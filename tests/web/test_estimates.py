"""Estimates over HTTP are those of the commands, with their checks."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.commands import Commands
from tests.documents_home import ok
from tests.web.site import Site, serving

CALL = {"kind": "call", "policy": "trtc-intl", "calls_per_day": 20, "users": 3, "minutes": 45}
LIVE = {"kind": "live", "account": "academy", "rooms_per_day": 2, "anchors": 1, "audience": 500, "minutes": 90}


SCENARIO = {
    "kind": "scenario",
    "policy": "trtc-intl",
    "days": 22,
    "free_minutes": 500,
    "room": [
        {"kind": "call", "calls_per_day": 20, "users": 3, "minutes": 45, "camera": ["1280x720", "640x360"]},
        {"kind": "live", "rooms_per_day": 1, "anchors": 2, "audience": 500, "minutes": 90, "days": 4},
    ],
}
SCENARIO_FILE = """
policy = "trtc-intl"
days = 22
free_minutes = 500

[[room]]
kind = "call"
calls_per_day = 20
users = 3
minutes = 45
camera = ["1280x720", "640x360"]

[[room]]
kind = "live"
rooms_per_day = 1
anchors = 2
audience = 500
minutes = 90
days = 4
"""


@pytest.fixture(scope="module")
def commands(homes: Path, tmp_path_factory: pytest.TempPathFactory) -> Commands:
    """A home with the sample catalog."""
    return Commands(home=Path(shutil.copytree(homes / "new", tmp_path_factory.mktemp("estimates") / "home")))


@pytest.fixture(scope="module")
def site(commands: Commands) -> Iterator[Site]:
    """A service on it."""
    with serving(commands) as site:
        yield site


@pytest.fixture(scope="module")
def client(site: Site) -> httpx.Client:
    """The customer of the sample, who reads."""
    return site.client("read", "academy")


@pytest.mark.parametrize(
    "body",
    [
        CALL,
        {**CALL, "camera": ["1280x720", "640x360"], "screen": "1920x1080"},
        {**CALL, "policy": "trtc-cn", "days": 1},
        {**LIVE, "camera": ["1280x720"]},
        {**LIVE, "camera": []},
    ],
)
def test_an_estimate_is_what_the_command_prints(body: dict[str, Any], client: httpx.Client, commands: Commands) -> None:
    options = ""
    for name, value in body.items():
        for each in value if isinstance(value, list) else [value]:
            options += "" if name == "kind" else f" --{name.replace('_', '-')} {each}"
    for form in ("json", "csv"):
        answer = client.post(f"/v1/estimate?format={form}", json=body)
        assert answer.text == ok(commands, f"estimate {body['kind']}{options} --format {form}")


def test_a_scenario_is_what_the_command_prints_of_its_file(
    client: httpx.Client, commands: Commands, tmp_path: Path
) -> None:
    file = tmp_path / "scenario.toml"
    file.write_text(SCENARIO_FILE, encoding="utf-8")
    answer = client.post("/v1/estimate?format=json", json=SCENARIO)
    assert answer.text == ok(commands, f"estimate scenario {file} --format json")


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({**CALL, "policy": None}, "give either --policy or --account"),
        ({**CALL, "account": "academy"}, "give either --policy or --account"),
        ({**CALL, "policy": "trtc"}, "unknown policy 'trtc'"),
        ({**CALL, "calls_per_day": 0}, "calls_per_day: 0 is not from 1 to 1000000000"),
        ({**CALL, "users": 0}, "users: 0 is not from 1 to 1000000000"),
        ({**CALL, "minutes": 1441}, "minutes: 1441 is not from 1 to 1440"),
        ({**CALL, "minutes": "45"}, "minutes: Expected `int`, got `str`"),
        ({**CALL, "minutes": 45.5}, "minutes: Expected `int`, got `float`"),
        ({**CALL, "days": 32}, "days: 32 is not from 1 to 31"),
        ({**CALL, "camera": ["big"]}, "camera: 'big' is not a size in pixels such as 1280x720"),
        ({**CALL, "camera": "1280x720"}, "camera: Expected `array`, got `str`"),
        ({**CALL, "camera": ["1x1"] * 4}, "4 cameras, but users: 3; each camera belongs to one of them"),
        ({**CALL, "screen": "20000x1"}, "screen: '20000x1' is not a size in pixels such as 1280x720"),
        ({**CALL, "rooms_per_day": 1}, "the body: Object contains unknown field `rooms_per_day`"),
        ({**CALL, "kind": "show"}, "kind: Invalid value 'show'"),
        ({**LIVE, "anchors": 0}, "anchors: 0 is not from 1 to 1000000000"),
        ({**LIVE, "audience": -1}, "audience: -1 is not from 0 to 1000000000"),
        ({"kind": "live"}, "the body: Object missing required field `minutes`"),
        ({**SCENARIO, "room": []}, "room: 0 is not from 1 to 200"),
        ({**SCENARIO, "free_minutes": -1}, "free_minutes: -1 is not from 0 to"),
        ({**SCENARIO, "days": 32, "room": [CALL]}, "room[0]: Object contains unknown field `policy`"),
        ({**SCENARIO, "account": "academy"}, "give either --policy or --account"),
        ({**SCENARIO, "room": [{**SCENARIO["room"][1], "days": 0}]}, "days: 0 is not from 1 to 31"),
        ([], "the body: Expected `object`, got `array`"),
    ],
)
def test_what_cannot_be_estimated_is_named_in_one_line(body: object, detail: str, client: httpx.Client) -> None:
    answer = client.post("/v1/estimate", json=body)
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, "\n" in answer.json()["detail"]) == (400, False)
    assert answer.json()["detail"].startswith(detail)


def test_a_body_that_is_no_json_is_refused(client: httpx.Client) -> None:
    for content in (b"{", b"\xff\xfe", b"calls"):
        answer = client.post("/v1/estimate", content=content)
        assert answer.status_code == 400
        assert answer.json()["detail"].startswith("the body is not JSON")


def test_an_estimate_is_kept_by_nobody_and_not_on_record(client: httpx.Client, site: Site) -> None:
    answer = client.post("/v1/estimate", json=CALL, headers={"If-None-Match": "*"})
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert "etag" not in answer.headers
    assert client.post("/v1/estimate", json={**CALL, "policy": None, "account": "other"}).status_code == 404
    assert site.client("admin").get("/v1/audit").json() == []
