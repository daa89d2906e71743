"""`/openapi.json`: what Litestar knows of the routes, and what they declare themselves.

A route that offers something (`inquiries.Offer`) has its parameters, the body it is asked with, and its answer in each
form. Every route has its errors, as problem+json, and, unless it is open to everybody, the bearer token.
"""

import json
from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

from litestar import Litestar, Request
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.routes import HTTPRoute

from billing.web.access import is_open
from billing.web.bodies import body_schema
from billing.web.inquiries import Offer, offer_of
from billing.web.media_types import MEDIA_TYPES
from billing.web.parameters import Parameter
from billing.web.problems import PROBLEM_JSON
from billing.web.row_schemas import array

_PROBLEM = {
    "type": "object",
    "description": "RFC 9457: what is wrong and what to do next.",
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string"},
    },
    "required": ["type", "title", "status", "detail"],
    "examples": [{"type": "about:blank", "title": "Not Found", "status": 404, "detail": "there is no app 7"}],
}
_ERRORS = {
    400: "The request cannot be meant as it was sent; the detail names the parameter.",
    401: "There is no token, or it is unknown or revoked.",
    403: "The scope of the token is not enough, or the route is for the operator.",
    404: "What is named does not exist, or is not the caller's.",
    406: "The answer does not exist in this form.",
    409: "The home refuses it as it is now, or the rows have changed since the cursor was given.",
    413: "The body is too large.",
    500: "A fault of the service.",
    503: "The database cannot be reached, or the service is too busy; try again.",
}
_OF_OPEN_ROUTES = (500, 503)
_NAMES = {
    "account_id": ("The id of an account.", {"type": "string", "minLength": 1}, "academy"),
    "app_id": ("The number of an app.", {"type": "integer", "minimum": 1, "maximum": 2**53}, 1400000001),
    "room_id": ("The id of a room; a slash in it is written %2F.", {"type": "string", "minLength": 1}, "class-7"),
    "number": ("The number of a document.", {"type": "string", "minLength": 1}, "INV-2026-000001"),
    "run_id": ("The number of a run.", {"type": "integer", "minimum": 1, "maximum": 2**63 - 1}, 1),
    "row_id": ("The id of a quarantined row.", {"type": "string", "minLength": 1}, "db5461ca64ba-25"),
}


class DescribedRoutes(JsonRenderPlugin):
    """Renders the document; it is made once."""

    def __init__(self) -> None:
        super().__init__(path="/")
        self._document: bytes | None = None

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """The document as JSON."""
        if self._document is None:
            plain = json.loads(super().render(request, deepcopy(openapi_schema)))
            self._document = json.dumps(described(request.app, plain)).encode()
        return self._document


def described(app: Litestar, document: dict[str, Any]) -> dict[str, Any]:
    """The document with all that the routes declare."""
    components = document.setdefault("components", {})
    components.setdefault("schemas", {})["Problem"] = _PROBLEM
    components["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer", "description": "A token of `billing token create`."}
    }
    for path, method, handler in _documented(app):
        operation = document["paths"].get(path, {}).get(method)
        if operation is not None:
            _describe(operation, path, handler, components["schemas"])
    return document


def _documented(app: Litestar) -> Iterator[tuple[str, str, HTTPRouteHandler]]:
    for route in app.routes:
        if isinstance(route, HTTPRoute):
            for method, (handler, _) in route.route_handler_map.items():
                yield route.path_format, method.lower(), handler


def _describe(operation: dict[str, Any], path: str, handler: HTTPRouteHandler, schemas: dict[str, Any]) -> None:
    offer = offer_of(handler.opt)
    about = " ".join((handler.fn.__doc__ or "").split())
    operation["summary"] = about.partition(". ")[0].removesuffix(".")
    operation["description"] = about
    if offer:
        operation["parameters"] = [*_path_parameters(path), *map(_query_parameter, offer.parameters)]
        operation["responses"] = _answers(offer)
        if offer.body is not None:
            schema, components = body_schema(offer.body)
            schemas.update(components)
            operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    if is_open(handler):
        operation["security"] = []
    else:
        operation["security"] = [{"bearer": []}]
    for status in _OF_OPEN_ROUTES if is_open(handler) else _ERRORS:
        operation["responses"][str(status)] = _problem_answer(status)


def _path_parameters(path: str) -> Iterator[dict[str, Any]]:
    for part in path.split("/"):
        if part.startswith("{"):
            name = part.strip("{}")
            about, schema, example = _NAMES[name]
            yield {
                "name": name,
                "in": "path",
                "required": True,
                "description": about,
                "schema": schema,
                "example": example,
            }


def _query_parameter(parameter: Parameter) -> dict[str, Any]:
    schema = dict(parameter.schema)
    if parameter.default is not None:
        schema["default"] = parameter.default
    if parameter.is_many:
        schema = {"type": "array", "items": schema}
    return {
        "name": parameter.name,
        "in": "query",
        "required": parameter.is_required,
        "description": parameter.about,
        "schema": schema,
        "example": [parameter.example] if parameter.is_many else parameter.example,
    }


def _answers(offer: Offer) -> dict[str, Any]:
    content = {MEDIA_TYPES[form]: {"schema": _content_schema(offer, form)} for form in offer.forms}
    answers: dict[str, Any] = {"200": {"description": "The answer.", "content": content}}
    if offer.body is None:
        tag = {"description": "The state that the answer was made of.", "schema": {"type": "string"}}
        headers: dict[str, Any] = {"ETag": tag}
        if offer.is_paged:
            headers["Link"] = {"description": 'The next page: <…>; rel="next".', "schema": {"type": "string"}}
        answers["200"]["headers"] = headers
        answers["304"] = {"description": "Unchanged: If-None-Match has the ETag.", "headers": {"ETag": tag}}
    return answers


def _content_schema(offer: Offer, form: str) -> Mapping[str, Any]:
    if form == "json":
        return array(offer.rows or {"type": "object"})
    return {"type": "string"} if form in ("csv", "xml", "html") else {"type": "string", "format": "binary"}


def _problem_answer(status: int) -> dict[str, Any]:
    content = {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    answer: dict[str, Any] = {"description": _ERRORS[status], "content": content}
    if status == 401:
        answer["headers"] = {"WWW-Authenticate": {"schema": {"type": "string"}}}
    return answer
