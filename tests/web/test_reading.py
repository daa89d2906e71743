"""What is read over HTTP is what the commands print."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.commands import Commands
from tests.documents_home import ingest, ok
from tests.sample_home import APP, EVENT, SAMPLE
from tests.web.site import Site, serving

DAYS = "from=2026-03-10&to=2026-03-10"
DAY_OPTIONS = "--from 2026-03-10 --to 2026-03-10"
# Each path beside the command that prints the same.
SAME = {
    "/v1/accounts": "account list",
    "/v1/accounts/academy": "account list academy",
    "/v1/accounts/academy/charges?month=2026-03": "charges academy --month 2026-03",
    "/v1/accounts/academy/charges?month=2026-03&provisional=true": "charges academy --month 2026-03 --provisional",
    "/v1/accounts/academy/charges?month=2026-02": "charges academy --month 2026-02",
    "/v1/accounts/academy/packages": "packages academy",
    "/v1/accounts/academy/packages?provisional=true": "packages academy --provisional",
    "/v1/accounts/academy/findings": "findings academy",
    f"/v1/accounts/academy/findings?app={APP}&month=2026-03": f"findings academy --app {APP} --month 2026-03",
    f"/v1/accounts/academy/findings?{DAYS}": f"findings academy {DAY_OPTIONS}",
    "/v1/accounts/academy/invoices": "invoice list academy",
    "/v1/accounts/academy/balance": "account balance academy",
    **{
        f"/v1/apps/{APP}/usage?{DAYS}&by={by}": f"usage {APP} {DAY_OPTIONS} --by {by}"
        for by in ("window", "day", "room", "user")
    },
    f"/v1/apps/{APP}/usage?{DAYS}&by=day&unit=minutes": f"usage {APP} {DAY_OPTIONS} --by day --unit minutes",
    f"/v1/apps/{APP}/usage?{DAYS}&unit=minutes": f"usage {APP} {DAY_OPTIONS} --unit minutes",
    f"/v1/apps/{APP}/usage?month=2026-03&provisional=true": f"usage {APP} --month 2026-03 --provisional",
    f"/v1/apps/{APP}/usage?{DAYS}&run=1&by=user": f"usage {APP} {DAY_OPTIONS} --run 1 --by user",
    f"/v1/apps/{APP}/admission": f"status {APP}",
    "/v1/runs": "runs",
    "/v1/runs/2": "runs 2",
    "/v1/runs?limit=1": "runs --limit 1",
    "/v1/quarantine": "quarantine list --rows",
    "/v1/quarantine?reason=no_offset&reason=bad_json": "quarantine list --rows --reason no_offset --reason bad_json",
    "/v1/quarantine?file=none": "quarantine list --rows --file none",
}


def at_work(homes: Path, folder: Path) -> Commands:
    """A home with a settled day, corrections of it, a quarantined row, and a day that is refreshed only."""
    run = Commands(home=Path(shutil.copytree(homes / "billed", folder / "home")))
    ok(run, f"quarantine retry --fixed {SAMPLE}/fixed.json")
    ok(run, "nightly")
    ingest(
        run,
        folder,
        json.dumps({**EVENT, "at": "2026-03-11T07:00:00+09:00"}) + "\n",
        json.dumps({**EVENT, "at": "2026-03-11T08:00:00+09:00", "type": "exit"}) + "\n",
        json.dumps({**EVENT, "at": "2026-03-11T08:00:00"}) + "\n",
        "no event\n",
    )
    ok(run, "refresh")
    return run


@pytest.fixture(scope="module")
def site(homes: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A service on such a home, for tests that change nothing."""
    with serving(at_work(homes, tmp_path_factory.mktemp("reading"))) as site:
        yield site


@pytest.fixture(scope="module")
def client(site: Site) -> httpx.Client:
    """The operator, who reads."""
    return site.client("read")


@pytest.fixture
def changing(homes: Path, tmp_path: Path) -> Iterator[Site]:
    """A service on a home of its own, for tests that change something."""
    with serving(at_work(homes, tmp_path)) as site:
        yield site


def problem(answer: httpx.Response, status: int) -> str:
    """The detail of a problem: one line."""
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, answer.json()["status"]) == (status, status), answer.text
    detail: str = answer.json()["detail"]
    assert "\n" not in detail
    return detail


@pytest.mark.parametrize("path", SAME)
def test_an_answer_is_what_the_command_prints(path: str, site: Site, client: httpx.Client) -> None:
    for form in ("json", "csv"):
        answer = client.get(path, headers={"Accept": {"json": "application/json", "csv": "text/csv"}[form]})
        assert answer.status_code == 200, answer.text
        assert answer.text == ok(site.commands, f"{SAME[path]} --format {form}")


def test_the_home_of_these_tests_has_something_of_everything(site: Site) -> None:
    kinds = {row["kind"] for row in json.loads(ok(site.commands, "charges academy --month 2026-03 --format json"))}
    assert kinds == {"usage", "correction"}
    settled = {
        row["settled"]
        for row in json.loads(ok(site.commands, f"usage {APP} --month 2026-03 --provisional --format json"))
    }
    assert settled == {True, False}
    assert len(json.loads(ok(site.commands, "quarantine list --format json"))) == 2


def test_a_form_is_chosen_by_name_or_by_weight(client: httpx.Client) -> None:
    path = "/v1/accounts/academy/packages"
    as_json, as_csv = "application/json", "text/csv; charset=utf-8"

    def form(accept: str, query: str = "") -> str:
        return str(client.get(path + query, headers={"Accept": accept}).headers["content-type"])

    assert form("*/*") == form("") == as_json
    assert form("text/html,application/xhtml+xml,*/*;q=0.8") == as_json
    assert form("text/*") == form("application/json;q=0.5, text/csv") == form("application/json;q=0, */*") == as_csv
    assert form("application/json", "?format=csv") == as_csv
    assert "application/pdf" in problem(client.get(path, headers={"Accept": "application/pdf"}), 406)
    assert problem(client.get(f"{path}?format=pdf"), 406) == "format: 'pdf' is not possible here: json or csv"


def test_the_pages_of_an_answer_are_the_whole(client: httpx.Client) -> None:
    path = f"/v1/apps/{APP}/usage?{DAYS}&by=window"
    whole, pages, url = client.get(path).json(), [], f"{path}&limit=5"
    while url:
        answer = client.get(url)
        pages.append(answer.json())
        link = answer.links.get("next")
        url = link["url"] if link else ""
    assert [len(page) for page in pages[:-1]] == [5] * (len(pages) - 1)
    assert len(pages) > 3
    assert [row for page in pages for row in page] == whole
    assert client.get(f"{path}&limit={len(whole)}").links == {}


def test_runs_are_paged_beyond_those_that_the_command_prints(client: httpx.Client) -> None:
    first = client.get("/v1/runs?limit=2")
    second = client.get(first.links["next"]["url"])
    assert [row["id"] for row in (*first.json(), *second.json())] == [3, 2, 1]
    assert second.links == {}


def test_a_cursor_is_refused_when_the_rows_have_changed(changing: Site) -> None:
    client = changing.client("read")
    first = client.get("/v1/runs?limit=1")
    ok(changing.commands, "refresh")
    assert "read again from the first page" in problem(client.get(first.links["next"]["url"]), 409)


def test_what_is_unchanged_is_not_sent_again(changing: Site, tmp_path: Path) -> None:
    client, run = changing.client("read"), changing.commands
    paths = (
        "/v1/accounts",
        "/v1/accounts/academy/charges?month=2026-03",
        f"/v1/apps/{APP}/usage?{DAYS}&by=user",
        "/v1/accounts/academy/invoices",
        "/v1/quarantine",
    )

    def tags() -> dict[str, str]:
        return {path: client.get(path).headers["etag"] for path in paths}

    def changed(before: dict[str, str]) -> list[str]:
        for path, tag in before.items():
            answer = client.get(path, headers={"If-None-Match": f'"other", W/{tag}'})
            assert answer.status_code in (200, 304)
            assert answer.headers["cache-control"] == "private, no-cache"
            assert answer.content == b"" or answer.status_code == 200
            if answer.status_code == 304:
                assert answer.headers["etag"] == tag
        return [
            path for path, tag in before.items() if client.get(path, headers={"If-None-Match": tag}).status_code == 200
        ]

    before = tags()
    assert changed(before) == []
    ingest(run, tmp_path, json.dumps({**EVENT, "at": "2026-03-11T08:30:00+09:00", "user_id": "v"}) + "\n", "bad\n")
    assert changed(before) == [paths[2], paths[4]]
    before = tags()
    ok(run, "refresh")
    assert changed(before) == [paths[0], paths[1], paths[2]]
    before = tags()
    (tmp_path / "name.toml").write_text('[[app]]\nid = 1400000009\naccount = "academy"\nname = "new"\n')
    ok(run, f"catalog apply {tmp_path / 'name.toml'}")
    assert changed(before) == [paths[0], paths[1], paths[2]]
    assert client.get("/v1/accounts/academy").json()[0]["apps"] == [APP, 1400000009]


def test_a_tag_is_of_one_form_and_of_one_page(client: httpx.Client) -> None:
    path = "/v1/accounts/academy/packages"
    tags = [client.get(path + more).headers["etag"] for more in ("", "?format=csv", "?limit=1", "?provisional=true")]
    assert len(set(tags)) == 4
    assert client.get(path, headers={"If-None-Match": "*"}).status_code == 304


@pytest.mark.parametrize(
    ("path", "detail"),
    [
        ("/v1/accounts/academy/charges", "month: is missing: give one such as month=2026-03"),
        ("/v1/accounts/academy/charges?month=March", "month: 'March' is not a month such as 2026-03"),
        ("/v1/accounts/academy/charges?month=2026-03&month=2026-04", "month: give it once"),
        ("/v1/accounts/academy/charges?month=2026-03&provisional=yes", "provisional: 'yes' is neither true nor false"),
        ("/v1/accounts?colour=red", "unknown parameter 'colour'; known here: format, limit, cursor"),
        ("/v1/accounts?limit=0", "limit: '0' is not a whole number from 1 to 100000"),
        ("/v1/accounts?limit=1_0", "limit: '1_0' is not a whole number from 1 to 100000"),
        ("/v1/accounts?cursor=7", "cursor: '7' is none that a Link of this service has"),
        (f"/v1/apps/{APP}/usage", "from: is missing: give from and to, or month"),
        (f"/v1/apps/{APP}/usage?from=2026-03-10", "to: is missing: give from and to, or month"),
        (f"/v1/apps/{APP}/usage?from=2026-02-30&to=2026-03-01", "from: '2026-02-30' is not a day such as 2026-03-01"),
        (f"/v1/apps/{APP}/usage?{DAYS}&month=2026-03", "month: give either from and to, or month"),
        (f"/v1/apps/{APP}/usage?from=2026-03-11&to=2026-03-10", "from: 2026-03-11 is after 2026-03-10"),
        (f"/v1/apps/{APP}/usage?{DAYS}&by=hour", "by: 'hour' is none of window, day, room, user"),
        (f"/v1/apps/{APP}/usage?{DAYS}&run=last", "run: 'last' is not a whole number from 1 to 9223372036854775807"),
        ("/v1/quarantine?reason=other", "reason: 'other' is none of bad_json"),
        ("/v1/accounts/academy/findings?app=0", "app: '0' is not a whole number from 1 to 9007199254740992"),
        ("/v1/accounts/academy/invoices?format=xlsx", "month: is missing"),
        ("/v1/accounts/academy/invoices?as_of=now", "as_of: 'now' is not an RFC 3339 time"),
    ],
)  # fmt: skip
def test_a_wrong_parameter_is_named_in_one_line(path: str, detail: str, client: httpx.Client) -> None:
    assert problem(client.get(path), 400).startswith(detail)


def test_what_the_command_refuses_is_refused_in_its_words(client: httpx.Client) -> None:
    usage = f"/v1/apps/{APP}/usage?{DAYS}"
    assert "there are no minutes by user" in problem(client.get(f"{usage}&by=user&unit=minutes"), 400)
    assert "give either --provisional or --run" in problem(client.get(f"{usage}&provisional=true&run=1"), 400)
    draft = "/v1/accounts/academy/invoices?month=2026-02&format=xlsx"
    assert "no day of 2026-02 is billed" in problem(client.get(draft), 409)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/accounts/nobody",
        "/v1/accounts/nobody/charges?month=2026-03",
        "/v1/accounts/academy/invoices/INV-1",
        "/v1/accounts/academy/invoices/%00",
        "/v1/accounts/academy%2Fpackages",
        "/v1/accounts/academy/findings?app=7",
        "/v1/apps/7/usage?month=2026-03",
        "/v1/apps/classroom/admission",
        "/v1/apps/99999999999999999999/admission",
        f"/v1/apps/{APP}/usage?{DAYS}&run=99",
        "/v1/runs/99",
        "/v1/runs/0",
        "/v1/nothing",
    ],
)
def test_a_name_that_does_not_exist_is_not_found(path: str, client: httpx.Client) -> None:
    problem(client.get(path), 404)


def test_a_name_may_have_any_character(changing: Site, tmp_path: Path) -> None:
    name = 'a/b?c#d%2F é "+'
    account = {"id": name, "name": "Any", "currency": "USD", "timezone": "UTC", "policy": "trtc-intl"}
    lines = "".join(f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in account.items())
    (tmp_path / "any.toml").write_text(f"[[account]]\n{lines}", encoding="utf-8")
    ok(changing.commands, f"catalog apply {tmp_path / 'any.toml'}")
    quoted = "a%2Fb%3Fc%23d%252F%20%C3%A9%20%22%2B"
    client = changing.client("read")
    assert [row["id"] for row in client.get(f"/v1/accounts/{quoted}").json()] == [name]
    assert client.get(f"/v1/accounts/{quoted}/balance").json()[0]["account"] == name


def test_a_quarantined_row_is_corrected_and_judged_again(changing: Site) -> None:
    client = changing.client("admin")
    rows = {row["reason"]: row for row in client.get("/v1/quarantine").json()}
    fixed = rows["no_offset"]["raw"].replace("08:00:00", "08:00:00+09:00")
    path = f"/v1/quarantine/{rows['no_offset']['id']}/retry"
    assert client.post(path).json() == [
        {"file": rows["no_offset"]["file"], "read": 1, "accepted": 0, "duplicates": 0, "quarantined": 1}
    ]
    assert client.post(path, json={"raw": fixed}).json()[0]["accepted"] == 1
    assert [row["reason"] for row in client.get("/v1/quarantine").json()] == ["bad_json"]
    assert "no row none-1 in quarantine" in problem(client.post("/v1/quarantine/none-1/retry"), 404)
    assert "raw: Expected `str | null`" in problem(client.post(path, json={"raw": 1}), 400)
    problem(changing.client("read").post(path), 403)
    on_record = [(row["method"], row["path"], row["status"]) for row in client.get("/v1/audit").json()]
    assert ("POST", path, 200) in on_record


def test_a_download_goes_on_record_and_a_report_does_not(changing: Site) -> None:
    client = changing.client("admin")
    assert client.get("/v1/accounts/academy/packages").status_code == 200
    draft = client.get("/v1/accounts/academy/invoices?month=2026-03&format=xlsx")
    assert draft.headers["content-disposition"] == "attachment; filename*=UTF-8''academy-2026-03.xlsx"
    records = client.get("/v1/audit").json()
    assert [(row["method"], row["path"]) for row in records] == [("GET", "/v1/accounts/academy/invoices")]
    assert client.get(f"/v1/audit?before={records[0]['id']}").json() == []


def test_tokens_are_listed_as_the_command_does(changing: Site) -> None:
    client = changing.client("admin")
    assert client.get("/v1/tokens").text == ok(changing.commands, "token list --format json")


def test_the_same_is_read_from_postgresql(tmp_path: Path, postgresql_server: str) -> None:
    run = Commands(home=tmp_path / "home")
    url = f"--database-url {postgresql_server}"
    for line in ("init", f"catalog apply {SAMPLE}/catalog.toml", f"ingest {SAMPLE}/events.ndjson", "nightly"):
        ok(run, f"{url} {line}")
    with serving(run, env={"BILLING_DATABASE_URL": postgresql_server}) as site:
        token = json.loads(ok(run, f"{url} token create --scope read --format json"))[0]["token"]
        client = httpx.Client(base_url=site.address, headers={"Authorization": f"Bearer {token}"})
        for path, line in SAME.items():
            if "run" not in path:
                assert client.get(path).text == ok(run, f"{url} {line} --format json"), path
        tag = client.get("/v1/accounts").headers["etag"]
        assert client.get("/v1/accounts", headers={"If-None-Match": tag}).status_code == 304
        problem(client.get("/v1/accounts/academy/invoices/%00"), 404)
        client.close()
