"""Every route of the application, asked by callers who may not: a route that this table does not know fails.

`Kind` says who may ask. A route that is added is classified here; what is of an account or an app must be not found for
every other account, whatever its token may do.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from litestar.routes import HTTPRoute
from sqlalchemy import create_engine

from billing.home import Home
from billing.web.app import application
from billing.web.installation import Installation
from tests.documents_home import APP, audio, catalog, home, ok, rows
from tests.web.site import Site, serving


class Kind(Enum):
    """Who may ask."""

    OPEN = "everybody"
    SIGNED = "whoever signs the request: a token is no help"
    LIST = "every token that reads; it lists what the caller sees"
    OWN = "tokens that read, of the account it is about"
    OPERATOR = "the operator's tokens that read"
    OPERATOR_ADMIN = "the operator's tokens that change things"
    EVENTS = "tokens that add events"
    BATCH = "tokens that add events or read, of the account it is about"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A route, with a query or a body that it understands."""

    kind: Kind
    query: str = ""
    body: object = None


ESTIMATE = {"kind": "call", "policy": "trtc-intl", "calls_per_day": 1, "users": 2, "minutes": 1}
ROUTES = {
    "GET /": Asked(kind=Kind.OPEN),
    "POST /": Asked(kind=Kind.SIGNED),
    "GET /healthz": Asked(kind=Kind.OPEN),
    "GET /readyz": Asked(kind=Kind.OPEN),
    "GET /metrics": Asked(kind=Kind.OPEN),
    "GET /openapi.json": Asked(kind=Kind.OPEN),
    "GET /openapi.json/openapi.json": Asked(kind=Kind.OPEN),
    "GET /openapi.json/{path}": Asked(kind=Kind.OPEN),
    "POST /v1/events": Asked(kind=Kind.EVENTS, body={}),
    "GET /v1/batches/{batch_id}": Asked(kind=Kind.BATCH),
    "POST /callbacks/{sender}/{app_id}": Asked(kind=Kind.SIGNED),
    "GET /v1/accounts": Asked(kind=Kind.LIST),
    "GET /v1/accounts/{account_id}": Asked(kind=Kind.OWN),
    "GET /v1/accounts/{account_id}/charges": Asked(kind=Kind.OWN, query="month=2026-03"),
    "GET /v1/accounts/{account_id}/packages": Asked(kind=Kind.OWN),
    "GET /v1/accounts/{account_id}/findings": Asked(kind=Kind.OWN),
    "GET /v1/accounts/{account_id}/balance": Asked(kind=Kind.OWN),
    "GET /v1/accounts/{account_id}/invoices": Asked(kind=Kind.OWN),
    "GET /v1/accounts/{account_id}/invoices/{number}": Asked(kind=Kind.OWN),
    "GET /v1/apps/{app_id}/usage": Asked(kind=Kind.OWN, query="month=2026-03"),
    "GET /v1/apps/{app_id}/admission": Asked(kind=Kind.OWN),
    "GET /v1/apps/{app_id}/rooms/{room_id}/timeline": Asked(kind=Kind.OWN, query="day=2026-03-10"),
    "GET /v1/explain": Asked(kind=Kind.OWN, query="account={account_id}&month=2026-03&app={app_id}"),
    "POST /v1/estimate": Asked(kind=Kind.LIST, body=ESTIMATE),
    "GET /v1/runs": Asked(kind=Kind.OPERATOR),
    "GET /v1/runs/{run_id}": Asked(kind=Kind.OPERATOR),
    "GET /v1/quarantine": Asked(kind=Kind.OPERATOR),
    "POST /v1/quarantine/{row_id}/retry": Asked(kind=Kind.OPERATOR_ADMIN),
    "GET /v1/tokens": Asked(kind=Kind.OPERATOR_ADMIN),
    "GET /v1/audit": Asked(kind=Kind.OPERATOR_ADMIN),
}


def registered() -> set[str]:
    """The routes of the application object, by method and path."""
    app = application(Installation(home=Home.at(Path("nowhere")), engine=create_engine("sqlite://")))
    routes = (route for route in app.routes if isinstance(route, HTTPRoute))
    return {f"{method} {route.path_format}" for route in routes for method in route.methods if method != "OPTIONS"}


def is_of_the_console(route: str) -> bool:
    """Whether a session is needed, not a token: the tests of the console ask for it."""
    return route.partition(" ")[2].startswith("/console")


REGISTERED = registered()


def routes_of(*kinds: Kind) -> list[str]:
    """The routes that there are of some kinds."""
    return [route for route, asked in ROUTES.items() if asked.kind in kinds and route in REGISTERED]


WITH_TOKEN = routes_of(*(set(Kind) - {Kind.OPEN, Kind.SIGNED}))
# What stands in the home about the account that is not the caller's.
RIVAL, RIVAL_APP, RIVAL_ROOM = "rival", 1400000002, "secret-2026-03-10"
SECRETS = (RIVAL, "Rival Ltd.", str(RIVAL_APP), RIVAL_ROOM, "R-2026-000002")
MORE = f"""
[[account]]
id = "{RIVAL}"
name = "Rival Ltd."
currency = "USD"
timezone = "Asia/Tokyo"
policy = "trtc-intl"
free_minutes = 0

[[app]]
id = {RIVAL_APP}
account = "{RIVAL}"
name = "Rival"
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A service on a home with two accounts, each with a billed month and an invoice, and a quarantined row."""
    folder = tmp_path_factory.mktemp("routes")
    theirs = audio("2026-03-10", 60, "secret").replace(str(APP), str(RIVAL_APP))
    run = home(folder, catalog(more=MORE), (audio("2026-03-10", 90), theirs, "bad\n"), now="2026-04-03T09:00:00+09:00")
    for account in ("acme", RIVAL):
        ok(run, f"invoice finalize {account} --month 2026-03")
    with serving(run) as site:
        yield site


def names(site: Site, *, is_mine: bool) -> dict[str, str]:
    """What stands for the names in paths: of the account acme, or of its rival."""
    row_id = rows(site.commands, "quarantine list")[0]["id"]
    mine = {"account_id": "acme", "app_id": str(APP), "number": "R-2026-000001", "room_id": "u-2026-03-10"}
    rival = {"account_id": RIVAL, "app_id": str(RIVAL_APP), "number": "R-2026-000002", "room_id": RIVAL_ROOM}
    common = {"run_id": "1", "row_id": row_id, "sender": "livekit", "batch_id": "b-1", "path": "x"}
    return {**common, **(mine if is_mine else rival)}


def ask(
    client: httpx.Client, site: Site, route: str, *, is_mine: bool = True, token: str | None = None
) -> httpx.Response:
    asked = ROUTES[route]
    method, _, path = route.partition(" ")
    target = f"{path}?{asked.query}"
    for name, value in names(site, is_mine=is_mine).items():
        target = target.replace(f"{{{name}}}", quote(value, safe=""))
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return client.request(method, target, json=asked.body, headers=headers)


def test_every_route_of_the_application_is_classified() -> None:
    assert {route for route in REGISTERED if not is_of_the_console(route)} - ROUTES.keys() == set()


@pytest.mark.parametrize("route", WITH_TOKEN)
def test_without_a_token_that_is_valid_nothing_is_answered(route: str, site: Site) -> None:
    revoked = site.token("admin")
    token_id = revoked.split("_")[1]
    ok(site.commands, f"token revoke {token_id}")
    for token in (None, "bk_wrong", f"bk_{'0' * 12}_{'A' * 43}", revoked):
        answer = ask(site.anybody, site, route, token=token)
        assert answer.status_code == 401, (route, token)
        assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("route", WITH_TOKEN)
def test_a_scope_that_is_not_enough_is_refused(route: str, site: Site) -> None:
    smaller = {
        Kind.EVENTS: ["read"],
        Kind.BATCH: [],
        Kind.OPERATOR_ADMIN: ["read", "ingest"],
    }.get(ROUTES[route].kind, ["ingest"])
    for scope in smaller:
        assert ask(site.client(scope), site, route).status_code == 403, (route, scope)


@pytest.mark.parametrize("route", routes_of(Kind.LIST, Kind.OWN))
def test_a_customer_reads_its_own(route: str, site: Site) -> None:
    answer = ask(site.client("read", "acme"), site, route)
    assert answer.status_code == 200, answer.text
    assert not [secret for secret in SECRETS if secret in answer.text]


@pytest.mark.parametrize("route", routes_of(Kind.OWN, Kind.BATCH))
def test_what_is_of_another_account_is_not_found(route: str, site: Site) -> None:
    for scope in ("read", "admin"):
        answer = ask(site.client(scope, "acme"), site, route, is_mine=False)
        assert answer.status_code == 404, (route, answer.text)


@pytest.mark.parametrize("route", routes_of(Kind.OPERATOR, Kind.OPERATOR_ADMIN))
def test_what_is_for_the_operator_is_refused_to_a_customer(route: str, site: Site) -> None:
    assert ask(site.client("admin", "acme"), site, route).status_code == 403
    assert ask(site.client("admin"), site, route).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        f"/v1/accounts/acme/findings?app={RIVAL_APP}",
        "/v1/accounts/acme/invoices/R-2026-000002",
        "/v1/accounts/acme/invoices/R-2026-000002?format=pdf",
        "/v1/accounts/acme/invoices/R-2026-000002?format=xlsx",
        "/v1/accounts/acme/invoices?month=2026-03&format=xlsx&as_of=2026-01-01T00:00:00Z",
        f"/v1/accounts/acme%2F..%2F{RIVAL}",
        f"/v1/accounts/acme/../{RIVAL}/charges?month=2026-03",
        f"/v1/accounts/{RIVAL.upper()}",
        f"/v1/accounts/{RIVAL}%00",
        f"/v1/apps/0{RIVAL_APP}/usage?month=2026-03",
        f"/v1/apps/{APP}/rooms/{RIVAL_ROOM}/timeline?day=2026-03-10",
        f"/v1/explain?account={RIVAL}&month=2026-03",
        f"/v1/explain?account=acme&month=2026-03&app={RIVAL_APP}",
        f"/v1/explain?account=acme&day=2026-03-10&room={RIVAL_ROOM}",
        f"/v1/explain?account=acme&day=2026-03-10&user={RIVAL_ROOM}",
    ],
)
def test_no_detour_leads_to_another_account(path: str, site: Site) -> None:
    answer = site.client("admin", "acme").get(path)
    assert answer.status_code == 404, answer.text
    named = json.loads(answer.text)["detail"]
    assert not [secret for secret in SECRETS if secret in named and secret not in path]


def test_an_estimate_for_another_account_is_not_found(site: Site) -> None:
    body = {**{name: value for name, value in ESTIMATE.items() if name != "policy"}, "account": RIVAL}
    assert site.client("read", "acme").post("/v1/estimate", json=body).status_code == 404
    assert site.client("read").post("/v1/estimate", json=body).status_code == 200


@pytest.mark.parametrize(
    "path", [f"/v1/accounts/{RIVAL}/charges?month=2026-03", f"/v1/explain?account={RIVAL}&month=2026-03"]
)
def test_the_known_tag_of_another_account_tells_nothing(path: str, site: Site) -> None:
    tag = site.client("read", RIVAL).get(path).headers["etag"]
    for known in (tag, "*"):
        assert site.client("read", "acme").get(path, headers={"If-None-Match": known}).status_code == 404
