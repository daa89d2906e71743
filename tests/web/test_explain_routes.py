"""Explanations over HTTP are what the command prints, and of nobody else's rooms."""

import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import httpx
import pytest
from openpyxl import load_workbook

from tests.documents_home import ok
from tests.sample_home import APP
from tests.web.site import Site, serving
from tests.web.test_reading import at_work, problem

ROOM = f"app={APP}&day=2026-03-10&room=math"
ROOM_OPTIONS = f"--app {APP} --day 2026-03-10 --room math"
TIMELINE = f"/v1/apps/{APP}/rooms/math/timeline?day=2026-03-10"
SAME = {
    "/v1/explain?account=academy&month=2026-03": "explain academy --month 2026-03",
    f"/v1/explain?account=academy&month=2026-03&app={APP}&item=2k": (
        f"explain academy --month 2026-03 --app {APP} --item 2k"
    ),
    f"/v1/explain?account=academy&app={APP}&day=2026-03-10": f"explain academy --app {APP} --day 2026-03-10",
    f"/v1/explain?account=academy&app={APP}&day=2026-03-10&window=10:05": (
        f"explain academy --app {APP} --day 2026-03-10 --window 10:05"
    ),
    f"/v1/explain?account=academy&{ROOM}": f"explain academy {ROOM_OPTIONS}",
    f"/v1/explain?account=academy&{ROOM}&run=1": f"explain academy {ROOM_OPTIONS} --run 1",
    f"/v1/explain?account=academy&{ROOM}&user=anna&at=2026-03-10T10:07:30%2B09:00&item=2k": (
        f"explain academy {ROOM_OPTIONS} --user anna --at 2026-03-10T10:07:30+09:00 --item 2k"
    ),
    TIMELINE: f"explain academy --month 2026-03 {ROOM_OPTIONS}",
    f"{TIMELINE}&user=anna&at=10:07:30": f"explain academy --month 2026-03 {ROOM_OPTIONS} --user anna --at 10:07:30",
}


@pytest.fixture(scope="module")
def site(homes: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A service on a home with a settled day and corrections of it."""
    with serving(at_work(homes, tmp_path_factory.mktemp("explain"))) as site:
        yield site


@pytest.fixture(scope="module")
def client(site: Site) -> httpx.Client:
    """The customer, who reads."""
    return site.client("read", "academy")


@pytest.mark.parametrize("path", SAME)
def test_an_explanation_is_what_the_command_prints(path: str, site: Site, client: httpx.Client) -> None:
    for form in ("json", "csv"):
        answer = client.get(path, headers={"Accept": {"json": "application/json", "csv": "text/csv"}[form]})
        assert answer.status_code == 200, answer.text
        assert answer.text == ok(site.commands, f"{SAME[path]} --format {form}")
    assert client.get(path, headers={"If-None-Match": client.get(path).headers["etag"]}).status_code == 304


def test_the_day_that_was_corrected_is_as_each_run_knew_it(client: httpx.Client) -> None:
    now, before = (client.get(f"/v1/explain?account=academy&{ROOM}{run}").json()[0] for run in ("", "&run=1"))
    assert now["rooms"] != before["rooms"]
    assert now["intervals"] != before["intervals"]
    for answer in (now, before):
        assert sum(each["seconds"] for each in answer["intervals"]) == answer["seconds"]
    assert {each["kind"] for each in now["charges"]} == {"usage", "correction"}
    assert {each["kind"] for each in before["charges"]} == {"usage"}


def test_the_same_comes_as_a_page_and_as_a_workbook(site: Site, client: httpx.Client) -> None:
    page = client.get(f"{TIMELINE}&format=html")
    assert page.headers["content-disposition"] == "attachment; filename*=UTF-8''academy-explained.html"
    assert page.text == ok(site.commands, f"explain academy {ROOM_OPTIONS} --format html")
    assert client.get(f"{TIMELINE}&format=html", headers={"If-None-Match": page.headers["etag"]}).status_code == 304
    answer = client.get(f"/v1/explain?account=academy&{ROOM}&format=xlsx")
    assert load_workbook(BytesIO(answer.content)).sheetnames[0] == "Question"


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        (f"/v1/apps/{APP}/rooms/maths/timeline?day=2026-03-10", 404, "did you mean 'math'?"),
        (f"/v1/apps/{APP}/rooms/math/timeline?day=2026-03-10&user=Anna", 404, "did you mean 'anna'?"),
        ("/v1/apps/7/rooms/math/timeline?day=2026-03-10", 404, "there is no app 7"),
        (f"/v1/apps/{APP}/rooms/math/timeline", 400, "day: is missing"),
        (f"/v1/apps/{APP}/rooms/math/timeline?day=2026-03-12", 400, "2026-03-12 was not billed"),
        (f"{TIMELINE}&at=10:7", 400, "10:7"),
        ("/v1/explain?account=nobody&month=2026-03", 404, "there is no account 'nobody'"),
        ("/v1/explain?account=academy&month=2026-03&app=7", 404, "there is no app 7"),
        ("/v1/explain?account=academy&day=2026-03-10&run=99", 404, "there is no run 99"),
        ("/v1/explain?account=academy", 400, "month"),
        ("/v1/explain?account=academy&month=2026-03&room=math", 400, "day"),
        ("/v1/explain?month=2026-03", 400, "account: is missing"),
        ("/v1/explain?account=academy&month=2026-03&item=8k", 400, "item: '8k' is none of"),
    ],
)
def test_what_is_not_there_is_not_found_and_what_is_wrong_is_said(
    path: str, status: int, says: str, client: httpx.Client
) -> None:
    assert says in problem(client.get(path), status)


def test_a_room_whose_name_has_a_slash_is_found(tmp_path: Path, homes: Path) -> None:
    run = at_work(homes, tmp_path)
    lines = [
        {"app_id": APP, "at": f"2026-03-11T09:0{minute}:00+09:00", "room_id": "a/b c", "user_id": "u/1", "type": kind}
        for minute, kind in ((0, "enter"), (5, "exit"))
    ]
    file = tmp_path / "more.ndjson"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    later = type(run)(home=run.home, now="2026-03-12T09:00:00+09:00")
    ok(later, f"ingest {file}")
    ok(later, "nightly")
    with serving(later) as site:
        answer = site.client("read").get(f"/v1/apps/{APP}/rooms/a%2Fb%20c/timeline?day=2026-03-11&user=u%2F1")
        assert answer.status_code == 200, answer.text
        assert [each["seconds"] for each in answer.json()[0]["intervals"]] == [300]
