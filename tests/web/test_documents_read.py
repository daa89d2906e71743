"""Documents over HTTP are the files that `invoice export` writes; drafts too."""

import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import httpx
import openpyxl
import pytest

from tests.documents_home import at, audio, catalog, home, ok
from tests.web.site import Site, serving

INVOICES = "/v1/accounts/acme/invoices"
NUMBER = "R-2026-000001"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A service on a home in which March is issued and April is open."""
    folder = tmp_path_factory.mktemp("documents")
    events = (audio("2026-03-10", 90), audio("2026-04-01", 30))
    run = home(folder, catalog('tax = "jp-10"'), events, now="2026-04-03T09:00:00+09:00")
    ok(run, "invoice finalize acme --month 2026-03")
    with serving(at(run, "2026-05-20T09:00:00+09:00")) as site:
        yield site


@pytest.fixture(scope="module")
def client(site: Site) -> httpx.Client:
    """The customer, who reads."""
    return site.client("read", "acme")


def exported(site: Site, words: str, file: Path) -> bytes:
    ok(site.commands, f"invoice export {words} -o {file}")
    return file.read_bytes()


def cells(content: bytes) -> dict[str, list[tuple[object, ...]]]:
    book = openpyxl.load_workbook(BytesIO(content))
    return {sheet.title: list(sheet.iter_rows(values_only=True)) for sheet in book}


def test_the_list_and_a_document_are_what_the_commands_print(site: Site, client: httpx.Client) -> None:
    for path, line in (
        (INVOICES, "invoice list acme"),
        (f"{INVOICES}?month=2026-03", "invoice list acme --month 2026-03"),
        (f"{INVOICES}?month=2026-04", "invoice list acme --month 2026-04"),
        (f"{INVOICES}/{NUMBER}", f"invoice show {NUMBER}"),
    ):
        for form in ("json", "csv"):
            separator = "&" if "?" in path else "?"
            answer = client.get(f"{path}{separator}format={form}")
            assert answer.text == ok(site.commands, f"{line} --format {form}"), path
    assert client.get(INVOICES).json()[0]["state"] == "overdue"


@pytest.mark.parametrize("form", ["xlsx", "pdf"])
def test_a_file_of_a_document_is_the_one_that_is_exported(
    form: str, site: Site, client: httpx.Client, tmp_path: Path
) -> None:
    answer = client.get(f"{INVOICES}/{NUMBER}?format={form}")
    assert answer.status_code == 200, answer.text
    assert answer.content == exported(site, NUMBER, tmp_path / f"document.{form}")
    assert answer.headers["content-disposition"] == f"attachment; filename*=UTF-8''{NUMBER}.{form}"
    tag = {"If-None-Match": answer.headers["etag"]}
    assert client.get(f"{INVOICES}/{NUMBER}?format={form}", headers=tag).status_code == 304


def test_a_document_without_an_xml_says_why(site: Site, client: httpx.Client, tmp_path: Path) -> None:
    done = site.commands(f"invoice export {NUMBER} -o {tmp_path / 'document.xml'}")
    answer = client.get(f"{INVOICES}/{NUMBER}", headers={"Accept": "application/xml"})
    if done.exit_code:
        assert answer.status_code == 409
        assert answer.json()["detail"] in done.stderr
    else:
        assert answer.content == (tmp_path / "document.xml").read_bytes()


def test_the_workbook_of_a_month_is_the_document_or_the_draft(site: Site, client: httpx.Client, tmp_path: Path) -> None:
    xlsx = {"Accept": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"}
    for month in ("2026-03", "2026-04"):
        answer = client.get(f"{INVOICES}?month={month}", headers=xlsx)
        assert answer.status_code == 200, answer.text
        assert cells(answer.content) == cells(exported(site, f"acme --month {month}", tmp_path / f"{month}.xlsx"))
    then = "2026-04-03T00:00:00Z"
    answer = client.get(INVOICES, params={"month": "2026-04", "as_of": then, "format": "xlsx"})
    written = exported(site, f"acme --month 2026-04 --as-of {then}", tmp_path / "then.xlsx")
    assert cells(answer.content) == cells(written)
    assert client.get(f"{INVOICES}?month=2026-04&format=pdf").status_code == 406
    before = client.get(INVOICES, params={"month": "2026-04", "as_of": "2026-04-01T00:00:00Z", "format": "xlsx"})
    assert before.json()["detail"] == "there was no account 'acme' at 2026-04-01T00:00:00+00:00"
    assert before.status_code == 404


def test_less_of_the_annex_is_a_smaller_workbook(client: httpx.Client) -> None:
    sheets = [
        len(cells(client.get(f"{INVOICES}/{NUMBER}?format=xlsx&detail={detail}").content))
        for detail in ("full", "daily", "none")
    ]
    assert sheets == sorted(sheets, reverse=True)
    assert sheets[0] > sheets[2]


def test_a_document_of_nobody_is_not_found_and_no_other_number_is_named(client: httpx.Client) -> None:
    answer = client.get(f"{INVOICES}/R-2026-000002")
    assert answer.status_code == 404
    assert NUMBER not in answer.text
    assert json.loads(answer.text)["detail"] == "account 'acme' has no document 'R-2026-000002'"
