"""The OpenAPI document is true: what it says of every route is tried against the service, with requests that it allows
and with such that it forbids."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.schemas import BaseSchema

from tests.documents_home import APP, audio, catalog, home, ok
from tests.web.site import Site, serving

pytestmark = pytest.mark.thorough

EXAMPLES = 12
ALWAYS = (
    *("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance"),
    "response_schema_conformance",
)
# Where parameters depend on each other, which a schema of each cannot say.
DEPENDENT = (
    "GET /v1/apps/{app_id}/usage",
    "GET /v1/accounts/{account_id}/findings",
    "GET /v1/accounts/{account_id}/invoices",
    "POST /v1/estimate",
    "GET /v1/explain",
    "GET /v1/apps/{app_id}/rooms/{room_id}/timeline",
)
# The routes of reading; those that take events and callbacks have tests of their own.
OURS = re.compile(r"/healthz|/v1/(accounts|apps|estimate|runs|quarantine|tokens|audit|explain)\b.*")
NAMES = {"account_id": "acme", "app_id": APP, "number": "R-2026-000001", "run_id": 1, "room_id": "u-2026-03-10"}

# The same in the query of an explanation, with what goes together.
QUESTION = {
    "account": "acme",
    "app": APP,
    "month": "2026-03",
    "day": "2026-03-10",
    "room": "u-2026-03-10",
    "user": "u",
    "item": "audio",
    "window": "10:05",
    "at": "10:07:30",
    "run": 1,
}


def asks_why(path: str) -> bool:
    """Whether an explanation is asked for."""
    return path.endswith(("/explain", "/timeline"))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A service on a home with a billed month and its invoice."""
    folder = tmp_path_factory.mktemp("openapi")
    events = (audio("2026-03-10", 90), "no event\n")
    run = home(folder, catalog(), events, now="2026-04-03T09:00:00+09:00")
    ok(run, "invoice finalize acme --month 2026-03")
    with serving(run) as site:
        yield site


@pytest.fixture(scope="module")
def schema(site: Site) -> BaseSchema:
    """The document as the service gives it."""
    load_all_checks()
    return schemathesis.openapi.from_url(f"{site.address}/openapi.json").include(path_regex=OURS.pattern)


def plausible(case: Any) -> None:
    """Names that exist take the place of those that were made up, so that more than 404 is answered."""
    for name in set(case.path_parameters or ()) & NAMES.keys():
        case.path_parameters[name] = NAMES[name]
    if case.query:
        case.query.pop("cursor", None)
        if asks_why(case.path):
            case.query |= {name: QUESTION[name] for name in case.query.keys() & QUESTION.keys()}
    if isinstance(case.body, dict) and "minutes" in case.body:
        case.body.pop("account", None)
        case.body |= {"policy": "trtc-intl", "camera": case.body.get("camera", [])[:1], "users": 3, "anchors": 3}
        case.body.pop("anchors" if case.body["kind"] == "call" else "users")


def statuses(operation: Any, mode: GenerationMode, headers: dict[str, str]) -> set[int]:
    """What an operation was answered with, in every way that the document allows, or forbids."""
    names = [*ALWAYS, "negative_data_rejection"]
    if operation.label not in DEPENDENT:
        names.append("positive_data_acceptance")
    checks, found = CHECKS.get_by_names(names), set()

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        if mode is GenerationMode.POSITIVE:
            plausible(case)
        answer = case.call(headers=headers)
        found.add(answer.status_code)
        case.validate_response(answer, checks=checks)

    ask()
    return found


def test_what_the_document_allows_is_answered_as_it_says(schema: BaseSchema, site: Site) -> None:
    headers = {"Authorization": f"Bearer {site.token('admin')}"}
    operations = [result.ok() for result in schema.get_all_operations()]
    answered = {operation.label: statuses(operation, GenerationMode.POSITIVE, headers) for operation in operations}
    assert len(answered) > 15
    assert [label for label, found in answered.items() if 200 not in found and "{row_id}" not in label] == []


def test_what_the_document_forbids_is_refused(schema: BaseSchema, site: Site) -> None:
    headers = {"Authorization": f"Bearer {site.token('admin')}"}
    operations = [result.ok() for result in schema.get_all_operations()]
    answered = [statuses(each, GenerationMode.NEGATIVE, headers) for each in operations if each.path != "/healthz"]
    assert all(found & {400, 404, 406} for found in answered)


def test_the_document_describes_every_parameter_answer_and_error(site: Site) -> None:
    document = site.anybody.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    operations = [
        (path, operation)
        for path, item in document["paths"].items()
        if OURS.fullmatch(path) and path != "/healthz"
        for operation in item.values()
    ]
    assert len(operations) > 15
    for path, operation in operations:
        assert operation["security"] == [{"bearer": []}], path
        assert operation["summary"]
        assert operation["description"]
        for parameter in operation["parameters"]:
            assert parameter.keys() >= {"description", "example", "schema"}, path
        assert set(re.findall(r"{(\w+)}", path)) == {
            parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "path"
        }
        for status in ("400", "401", "403", "404", "406", "409", "500", "503"):
            content = operation["responses"][status]["content"]
            assert content == {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
        rows = operation["responses"]["200"]["content"]["application/json"]["schema"]
        assert rows["type"] == "array"
        assert rows["items"]["properties"], path


def test_an_example_of_the_document_is_answered(site: Site) -> None:
    client, document = site.client("admin"), site.anybody.get("/openapi.json").json()
    tried = 0
    for path, item in document["paths"].items():
        if OURS.fullmatch(path) and "get" in item and path != "/healthz":
            parameters = item["get"]["parameters"]
            own = {**{each["name"]: each["example"] for each in parameters if each["in"] == "path"}, **NAMES}
            query = _examples(parameters)
            if asks_why(path):
                query |= {name: QUESTION[name] for name in query.keys() & QUESTION.keys()}
            answer = client.get(path.format(**own), params=query)
            assert answer.status_code == 200, (path, answer.text)
            tried += 1
    assert tried > 12


def _examples(parameters: list[dict[str, Any]]) -> dict[str, Any]:
    """The examples of a query, without those that exclude others."""
    shown = {each["name"]: each["example"] for each in parameters if each["in"] == "query"}
    excluded = {"cursor", "month"} if "from" in shown else {"cursor"}
    if "run" in shown:
        excluded.add("provisional")
    return {
        name: str(value).lower() if isinstance(value, bool) else value
        for name, value in shown.items()
        if name not in excluded
    }
