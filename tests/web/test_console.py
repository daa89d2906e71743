"""The console over HTTP: sessions, forms, who sees what, and that pages are safe."""

import json
import re
import tomllib
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from string import Formatter

import pytest
from litestar import Litestar
from litestar.exceptions import LitestarDeprecationWarning
from litestar.routes import HTTPRoute

from billing.home import Home
from billing.invoicing.words import LANGUAGES
from billing.ledger.database import open_database
from billing.web.app import application
from billing.web.console import wording
from billing.web.console.wording import chosen_language
from billing.web.installation import Installation
from tests import documents_home
from tests.commands import Commands
from tests.sample_home import SAMPLE
from tests.web.browsing import OPERATOR_SCREENS, SCREENS, csrf_of, log_in, logged_in, send, text_of
from tests.web.site import Site, serving

WORDS = Path(wording.__file__).with_name("words")


@pytest.fixture
def routes(console_home: Commands) -> Litestar:
    """The application, to be asked for its routes."""
    installation = Installation.of(Home.at(console_home.home), open_database(console_home.home / "billing.db"))
    with warnings.catch_warnings():  # dependencies are found by name
        warnings.simplefilter("ignore", LitestarDeprecationWarning)
        return application(installation)


def paths(app: Litestar, method: str) -> list[str]:
    """The paths of the console that need a session."""
    return sorted(
        route.path
        for route in app.routes
        if isinstance(route, HTTPRoute) and route.path.startswith("/console")
        for handler in route.route_handlers
        if method in handler.http_methods and not handler.opt.get("is_open")
    )


# Sessions -------------------------------------------------------------------------------------------------------------


def test_a_page_asks_for_the_login_and_comes_back_after_it(console: Site) -> None:
    client = console.anybody
    page = "/console/usage?account=academy&app=1400000001&day=2026-03-12"
    asked = client.get(page)
    assert asked.status_code == 303
    assert asked.headers["location"].startswith("/console/login?next=%2Fconsole%2Fusage%3F")
    form = client.get(asked.headers["location"])
    answer = log_in(
        client,
        console.token("read"),
        next=re.findall(r'name="next" value="([^"]+)"', form.text)[0].replace("&amp;", "&"),
    )
    assert (answer.status_code, answer.headers["location"]) == (303, page)
    assert client.get(page).status_code == 200


@pytest.mark.parametrize(
    "place", ["https://evil.example", "//evil.example", "/console/\\evil", "/consoleX", "/v1/accounts"]
)
def test_the_login_leads_to_pages_of_the_console_only(console: Site, place: str) -> None:
    answer = log_in(console.anybody, console.token("read"), next=place)
    assert answer.headers["location"] == "/console"


def test_the_session_cookie_is_for_the_console_and_for_no_script(console: Site) -> None:
    (cookie,) = (
        each for each in log_in(console.anybody, console.token()).headers.get_list("set-cookie") if "session" in each
    )
    parts = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert {"httponly", "samesite=strict", "path=/console"} <= parts
    assert "secure" not in parts


def test_behind_a_proxy_with_tls_the_cookies_are_secure(billing: Commands) -> None:
    with serving(billing, "--proxy", "127.0.0.1") as site:
        client = site.anybody
        client.headers["X-Forwarded-Proto"] = "https"
        form = client.get("/console/login")
        (cookie,) = form.headers.get_list("set-cookie")
        assert "; secure" in cookie.lower()


@pytest.mark.parametrize(("token", "line"), [("bk_nobody", "unknown or revoked"), (None, "only adds events")])
def test_a_token_that_reads_nothing_is_refused_with_one_line(console: Site, token: str | None, line: str) -> None:
    client = console.anybody
    answer = log_in(client, token or console.token("ingest"))
    assert answer.status_code == 401
    assert line in text_of(answer)
    assert client.get("/console").status_code == 303


def test_logging_out_ends_the_session_and_not_only_the_cookie(console: Site) -> None:
    client = logged_in(console)
    secret = client.cookies["billing_session"]
    assert client.post("/console/logout", data={"csrf": csrf_of(client.get("/console"))}).status_code == 303
    again = console.anybody
    again.cookies.set("billing_session", secret, path="/console")
    assert again.get("/console").status_code == 303


def test_a_session_ends_when_its_token_is_revoked(console: Site) -> None:
    client, operator = logged_in(console, "read", "clinic"), logged_in(console)
    (newest,) = re.findall(r'name="id" value="([0-9a-f]{12})"', operator.get("/console/tokens").text)[1:2] or [""]
    rows = json.loads(console.commands("token list --format json").stdout)
    (mine,) = [row["id"] for row in rows if row["account"] == "clinic"][-1:]
    assert newest
    assert client.get("/console").status_code == 200
    assert send(operator, "/console/tokens", id=mine).status_code == 400  # a form of that page, but no scope
    revoked = operator.post("/console/tokens/revoke", data={"csrf": csrf_of(operator.get("/console")), "id": mine})
    assert revoked.status_code == 303
    assert client.get("/console").status_code == 303


def test_the_api_does_not_take_the_session_of_the_console(console: Site) -> None:
    client = logged_in(console)
    secret = client.cookies["billing_session"]
    assert console.anybody.get("/v1/accounts", headers={"Cookie": f"billing_session={secret}"}).status_code == 401


# Forms ----------------------------------------------------------------------------------------------------------------


def test_no_form_is_taken_without_its_token_or_from_another_site(console: Site, routes: Litestar) -> None:
    client = logged_in(console)
    token = csrf_of(client.get("/console"))
    writes = paths(routes, "POST")
    assert len(writes) >= 7
    for path in [*writes, "/console/login"]:
        for fields, headers in (
            ({}, {}),
            ({"csrf": "0" * 64}, {}),
            ({"csrf": token}, {"Sec-Fetch-Site": "cross-site"}),
            ({"csrf": token}, {"Sec-Fetch-Site": "same-site"}),
        ):
            answer = client.post(path, data=fields, headers=headers)
            assert answer.status_code == 403, path
            assert "was not sent by a page of this console" in text_of(answer)
    assert client.get("/console").status_code == 200  # and nobody was logged out


def test_a_token_of_scope_read_changes_nothing(console: Site) -> None:
    reader = logged_in(console, "read")
    for path, fields in (
        ("/console/tokens", {"scope": "read"}),
        ("/console/tokens/revoke", {"id": "0" * 12}),
        ("/console/catalog", {"text": "", "action": "apply"}),
        ("/console/quarantine", {}),
        ("/console/quarantine/row", {"id": "x"}),
        ("/console/finalize", {"account": "academy", "month": "2026-03"}),
    ):
        answer = reader.post(path, data={"csrf": csrf_of(reader.get("/console")), **fields})
        assert answer.status_code == 403, path
        assert "admin is needed" in text_of(answer)


# Who sees what --------------------------------------------------------------------------------------------------------


def test_a_customer_finds_no_other_account_on_any_screen(console: Site, routes: Litestar) -> None:
    customer = logged_in(console, "admin", "clinic")
    for path in paths(routes, "GET"):
        if path in ("/console", "/console/{rest:path}", "/console/calculator", "/console/calculator/estimate"):
            continue
        for query in ("account=academy", "account=nobody"):
            answer = customer.get(f"{path}?{query}&month=2026-03&number=R-2026-000001&format=xlsx")
            assert answer.status_code in (403, 404), (path, query)
            assert "Academy" not in answer.text
    assert customer.get("/console/usage?app=1400000001").status_code == 404
    assert customer.get("/console/calculator?tariff=account:academy").status_code == 404
    for screen in OPERATOR_SCREENS:
        assert customer.get(screen).status_code == 403, screen


def test_a_foreign_account_and_one_that_does_not_exist_are_answered_alike(console: Site) -> None:
    customer = logged_in(console, "read", "clinic")
    foreign, missing = (customer.get(f"/console/month?account={name}") for name in ("academy", "nobody"))
    assert foreign.status_code == missing.status_code == 404
    assert text_of(foreign).replace("academy", "nobody") == text_of(missing)


def test_a_customer_sees_its_own_account_without_naming_it(console: Site) -> None:
    customer = logged_in(console, "read", "clinic")
    for path in ("/console", "/console/month", "/console/usage", "/console/packages", "/console/invoices"):
        answer = customer.get(path)
        assert answer.status_code == 200
        assert "Clinic Ltd." in answer.text
        assert "Academy" not in answer.text
        assert "/console/quarantine" not in answer.text


# Pages are safe -------------------------------------------------------------------------------------------------------


def test_every_page_forbids_foreign_and_inline_content_and_has_none(console: Site) -> None:
    client = logged_in(console)
    for path in (*SCREENS, *OPERATOR_SCREENS, "/console/nothing", "/console/month?account=nobody", "/console/login"):
        answer = client.get(path)
        text = answer.text.replace('xmlns="http://www.w3.org/2000/svg"', "")  # a name, not an address
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; style-src 'self'; script-src 'self'; ")
        assert "unsafe" not in policy
        assert policy.endswith("form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert not re.findall(r"<style|\sstyle=|\son[a-z]+=|<script(?! src=)|javascript:|https?://", text), path
        assert all(form in answer.text for form in re.findall(r'<form[^>]*method="post"[^>]*>', answer.text))
        for form in re.findall(r'<form[^>]*method="post".*?</form>', answer.text, flags=re.DOTALL):
            assert 'name="csrf"' in form


def test_text_of_others_is_shown_and_never_becomes_markup(billing: Commands, tmp_path: Path) -> None:
    sly = "<img src=x onerror=alert(1)>\"'&"
    catalog = tmp_path / "sly.toml"
    catalog.write_text(
        f"[[account]]\nid = 'sly/1'\nname = '''{sly}'''\ncurrency = 'USD'\ntimezone = 'UTC'\npolicy = 'trtc-intl'\n"
    )
    assert billing(f"catalog apply {catalog}").exit_code == 0
    with serving(billing) as site:
        client = logged_in(site)
        for path in (
            "/console",
            "/console/month?account=sly%2F1",
            "/console/catalog",
            "/console/invoices?account=sly%2F1",
        ):
            answer = client.get(path)
            assert answer.status_code == 200
            assert "<img src=x" not in answer.text
            assert sly in text_of(answer)
        assert "<b>" not in client.get("/console/month?account=<b>").text


def test_a_problem_is_a_page_with_one_line(console: Site) -> None:
    client = logged_in(console)
    for path, status, line in (
        ("/console/nothing", 404, "there is no page"),
        ("/console/usage?account=academy&day=yesterday", 400, "yesterday"),
        ("/console/usage?account=academy&from=2026-03-12&to=2026-03-10", 400, "is not a range"),
        ("/console/usage?account=academy&by=room", 400, "is not one of item, reason"),
        ("/console/usage?account=academy&run=9999", 404, "there is no run 9999"),
        ("/console/invoice/file?number=R-2026-000002&format=xml", 409, "R-2026-000002"),
        ("/console/run?id=9999", 404, "there is no run 9999"),
        ("/console/invoice?number=X", 404, "there is no document 'X'"),
        ("/console/quarantine?reason=bad", 400, "unknown reason"),
        ("/console/quarantine/row?id=nothing-1", 404, "no row nothing-1"),
    ):
        answer = client.get(path)
        assert (answer.status_code, line in text_of(answer)) == (status, True), (path, text_of(answer))
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert "Traceback" not in answer.text


def test_files_of_the_console_are_kept_by_their_stamp(console: Site) -> None:
    page = console.anybody.get("/console/login").text
    for address in re.findall(r'(?:href|src)="(/console/static/[^"]+)"', page):
        answer = console.anybody.get(address)
        assert (answer.status_code, "immutable" in answer.headers["cache-control"]) == (200, True)
    assert console.anybody.get("/console/static/x/console.css").headers["cache-control"] == "no-cache"
    assert console.anybody.get("/console/static/x/nothing.css").status_code == 404


def test_the_script_is_short() -> None:
    script = WORDS.parent / "static" / "console.js"
    assert len(script.read_text().splitlines()) <= 300


# Languages ------------------------------------------------------------------------------------------------------------


def test_the_files_of_words_have_the_same_keys_and_facts() -> None:
    words = {each: tomllib.loads((WORDS / f"{each}.toml").read_text(encoding="utf-8")) for each in LANGUAGES}
    assert {path.stem for path in WORDS.iterdir()} == set(LANGUAGES)
    for language in LANGUAGES:
        assert list(words[language]) == list(words["en"])
        for key, text in words[language].items():
            assert text
            facts, expected = (
                {name for _, name, _, _ in Formatter().parse(each) if name} for each in (text, words["en"][key])
            )
            assert facts == expected, (language, key)


@pytest.mark.parametrize(
    ("cookie", "accepted", "language"),
    [
        (None, "", "en"),
        (None, "fr, ja;q=0.9, en;q=0.8", "ja"),
        (None, "zh-CN,zh;q=0.9", "zh"),
        (None, "en;q=0.1, ja;q=0.2", "ja"),
        (None, "ja;q=0, en", "en"),
        (None, "ja;q=x, zh;q=0.5", "zh"),
        ("zh", "ja", "zh"),
        ("xx", "ja", "ja"),
    ],
)
def test_a_cookie_goes_before_what_the_browser_accepts(cookie: str | None, accepted: str, language: str) -> None:
    assert chosen_language(cookie, accepted) == language


def test_the_language_is_switched_by_a_link_and_kept(console: Site) -> None:
    client = logged_in(console)
    assert '<html lang="en">' in client.get("/console").text
    assert '<html lang="ja">' in client.get("/console", headers={"Accept-Language": "ja"}).text
    switched = client.get("/console/language/zh?back=/console/packages?account=academy")
    assert switched.headers["location"] == "/console/packages?account=academy"
    page = client.get("/console/packages?account=academy")
    assert '<html lang="zh">' in page.text
    assert "套餐包" in page.text
    assert client.get("/console/language/fr").status_code == 404


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_screen_has_words_in_every_language(console: Site, language: str) -> None:
    client = logged_in(console)
    client.cookies.set("billing_language", language, path="/console")
    for path in (*SCREENS, *OPERATOR_SCREENS):
        answer = client.get(path)
        assert (answer.status_code, f'<html lang="{language}">' in answer.text) == (200, True), path


# Forms do their work without a script ---------------------------------------------------------------------------------


def test_a_token_is_made_by_a_form_and_shown_once(console: Site) -> None:
    client = logged_in(console)
    answer = send(client, "/console/tokens", scope="read", account="clinic", name="of the clinic")
    (token,) = re.findall(r"bk_[0-9a-f]{12}_[A-Za-z0-9_-]{43}", answer.text)
    assert token not in client.get("/console/tokens").text
    assert "of the clinic" in client.get("/console/tokens").text
    found = console.anybody.get("/v1/accounts", headers={"Authorization": f"Bearer {token}"}).json()
    assert [row["id"] for row in found] == ["clinic"]
    assert send(client, "/console/tokens", scope="everything").status_code == 400
    assert send(client, "/console/tokens", scope="read", account="nobody").status_code == 400


def test_a_write_and_a_download_stand_in_the_record_of_access(console: Site) -> None:
    client = logged_in(console)
    assert client.get("/console/usage?account=academy&day=2026-03-13&format=csv").status_code == 200
    send(client, "/console/tokens", scope="ingest", name="recorded")
    text = text_of(client.get("/console/audit"))
    assert "GET /console/usage 200" in text
    assert "POST /console/tokens 200" in text


def test_a_row_in_quarantine_is_edited_tried_and_retried(tmp_path: Path, billing: Commands) -> None:
    event = {"app_id": 1400000001, "room_id": "r", "user_id": "u", "type": "enter"}
    file = tmp_path / "events.ndjson"
    file.write_text(
        json.dumps({**event, "at": "2026-03-10T10:00:00"}) + "\n" + json.dumps({**event, "at": "soon"}) + "\n"
    )
    assert billing(f"ingest {file}").exit_code == 0
    good = json.dumps({**event, "at": "2026-03-10T10:00:00+09:00"})
    with serving(billing) as site:
        client = logged_in(site)
        listed = client.get("/console/quarantine?reason=no_offset")
        (row,) = re.findall(r"row\?id=([0-9a-f]+-\d+)", listed.text)
        page = f"/console/quarantine/row?id={row}"
        assert "It would stay here" in text_of(send(client, page, id=row, raw="{}", action="try"))
        tried = send(client, page, id=row, raw=good, action="try")
        assert "It would be accepted now" in text_of(tried)
        assert "no_offset" in client.get("/console/quarantine").text  # nothing is stored
        done = send(client, page, id=row, raw=good, action="retry")
        assert done.headers["location"] == "/console/quarantine?accepted=1&duplicates=0&quarantined=0"
        assert "accepted 1" in text_of(client.get(done.headers["location"]))
        assert "has left" in text_of(client.get(page))
        again = send(client, "/console/quarantine", reason="", file="")
        assert again.headers["location"].endswith("accepted=0&duplicates=0&quarantined=1")


def test_a_catalog_is_looked_at_before_it_is_applied(billing: Commands) -> None:
    text = '[[account]]\nid = "new"\nname = "New"\ncurrency = "USD"\ntimezone = "UTC"\npolicy = "trtc-intl"\n'
    with serving(billing) as site:
        client = logged_in(site)
        checked = send(client, "/console/catalog", text=text, action="check")
        assert "nothing is applied yet" in text_of(checked)
        assert "new" not in [row["id"] for row in site.client().get("/v1/accounts").json()]
        broken = send(client, "/console/catalog", text="[[account]]\nid = 1\n", action="apply")
        assert (broken.status_code, "Traceback" in broken.text) == (409, False)
        assert "Applied." in text_of(send(client, "/console/catalog", text=text, action="apply"))
        assert "new" in [row["id"] for row in site.client().get("/v1/accounts").json()]


@pytest.fixture
def due(tmp_path: Path) -> Iterator[Site]:
    """A service on a home whose March is billed and not finalized."""
    days = [f"2026-03-{day:02}" for day in range(1, 32)]
    events = [documents_home.audio(day, 10) for day in days]
    run = documents_home.home(tmp_path, documents_home.catalog(), events, now="2026-04-01T09:00:00+09:00")
    with serving(run) as site:
        yield site


def test_a_month_is_finalized_after_a_look_at_what_would_be_issued(due: Site) -> None:
    client = logged_in(due)
    page = "/console/finalize?account=acme&month=2026-03"
    looked = client.get(page)
    assert "Would issue: Invoice, 310.00 USD" in text_of(looked)
    assert json.loads(due.commands("invoice list --format json").stdout) == []
    issued = send(client, page, account="acme", month="2026-03")
    assert issued.headers["location"] == "/console/invoice?number=R-2026-000001"
    document = client.get(issued.headers["location"])
    assert "310.00" in text_of(document)
    assert "is closed already" in text_of(client.get(page))
    for file_format, start in (("xlsx", b"PK"), ("pdf", b"%PDF")):
        file = client.get(f"/console/invoice/file?number=R-2026-000001&format={file_format}")
        assert file.content.startswith(start)
        assert f"R-2026-000001.{file_format}" in file.headers["content-disposition"]
    refused = client.get("/console/invoice/file?number=R-2026-000001&format=xml")
    assert refused.status_code == 409  # without tax and addresses there is no such XML


def test_the_calculator_shows_what_the_command_computes(console: Site) -> None:
    client = logged_in(console, "read")
    query = "kind=call&tariff=policy:trtc-intl&per_day=20&users=3&minutes=45&days=30&cameras=1280x720+640x360&screen="
    line = (
        "estimate call --policy trtc-intl --calls-per-day 20 --users 3 --minutes 45 --camera 1280x720 --camera 640x360"
    )
    (expected,) = json.loads(console.commands(f"{line} --format json").stdout)
    for path in ("/console/calculator", "/console/calculator/estimate"):
        text = text_of(client.get(f"{path}?{query}")) or client.get(f"{path}?{query}").text
        assert f"{float(expected['pay_as_you_go']):,.2f}" in text
        for item in expected["items"]:
            assert f"{item['minutes']:,}" in text
    assert "is not a size in pixels" in text_of(client.get("/console/calculator?cameras=big"))
    assert "is not a whole number" in text_of(client.get("/console/calculator?users=many"))


def test_usage_is_downloaded_as_the_command_prints_it(console: Site) -> None:
    client = logged_in(console, "read", "academy")
    for query, options in (
        ("day=2026-03-12", "--from 2026-03-12 --to 2026-03-12"),
        ("from=2026-03-10&to=2026-03-14&unit=minutes", "--from 2026-03-10 --to 2026-03-14 --by day --unit minutes"),
    ):
        answer = client.get(f"/console/usage?app=1400000001&{query}&format=csv")
        assert answer.text == console.commands(f"usage 1400000001 {options} --format csv").stdout
        assert "attachment" in answer.headers["content-disposition"]


def test_a_service_without_accounts_says_what_to_do(tmp_path: Path) -> None:
    empty = Commands(home=tmp_path / "home")
    assert empty("init").exit_code == 0
    with serving(empty) as site:
        client = logged_in(site)
        assert "billing catalog apply" in text_of(client.get("/console"))
        assert client.get("/console/month").status_code == 404
        for screen in OPERATOR_SCREENS[:2]:
            assert client.get(screen).status_code == 200
        assert replace(empty, now="2026-03-11T09:00:00+09:00")(f"catalog apply {SAMPLE}/catalog.toml").exit_code == 0
        for screen in ("month", "usage", "packages", "invoices"):
            assert client.get(f"/console/{screen}?account=academy").status_code == 200, screen
