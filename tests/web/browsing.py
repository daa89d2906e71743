"""A browser without a browser: a client that has logged in to the console, and its forms."""

import html
import re

import httpx

from tests.web.site import Site

_CSRF = re.compile(r'name="csrf" value="([0-9a-f]{64})"')

# Every screen, as the operator opens it on the console's home.
SCREENS = (
    "/console",
    "/console/month?account=academy",
    "/console/usage?account=academy&app=1400000001&day=2026-03-12",
    "/console/usage?account=academy&app=1400000001&day=2026-03-12&by=reason",
    "/console/usage?account=academy&from=2026-03-10&to=2026-03-22&unit=minutes",
    "/console/usage?account=academy&month=2026-03",
    "/console/rooms?account=academy&app=1400000001&day=2026-03-12",
    "/console/room?account=academy&app=1400000001&day=2026-03-12&room=math",
    "/console/explain?account=academy&month=2026-03",
    "/console/explain?account=academy&app=1400000001&day=2026-03-12&room=math&user=anna&at=10:15:00",
    "/console/packages?account=academy",
    "/console/invoices?account=academy",
    "/console/invoice?number=R-2026-000001",
    "/console/draft?account=academy&month=2026-03",
    "/console/finalize?account=academy&month=2026-03",
    "/console/calculator",
)
OPERATOR_SCREENS = (
    "/console/quarantine",
    "/console/runs",
    "/console/run?id=3",
    "/console/catalog",
    "/console/tokens",
    "/console/audit",
)


def logged_in(site: Site, scope: str = "admin", account: str | None = None) -> httpx.Client:
    """A client with a session."""
    client = site.anybody
    answer = log_in(client, site.token(scope, account))
    assert answer.status_code == 303, answer.text
    return client


def log_in(client: httpx.Client, token: str, **fields: str) -> httpx.Response:
    """What the login form answers."""
    form = client.get("/console/login")
    return client.post("/console/login", data={"csrf": csrf_of(form), "token": token, **fields})


def csrf_of(page: httpx.Response) -> str:
    """The token in the forms of a page."""
    found = _CSRF.search(page.text)
    assert found, page.text
    return found[1]


def send(client: httpx.Client, path: str, **fields: str) -> httpx.Response:
    """Sends a form of a page to its own address."""
    return client.post(path.split("?")[0], data={"csrf": csrf_of(client.get(path)), **fields})


def text_of(page: httpx.Response) -> str:
    """What a reader of a page sees, with single spaces."""
    body = re.sub(r"<title>.*?</title>|<script.*?</script>", " ", page.text.partition("<main")[2], flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())
