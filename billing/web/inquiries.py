"""Inquiries: what a request asks, checked, and the answer in the form that it wants.

A route declares what it offers (`offers`): its parameters, the forms of its answer and what a row looks like. From that
come the checks of the query, the choice of the form, and what `/openapi.json` says. An account or an app in the path,
or else the account in the query, is looked up before anything else, so that no route can forget it: what the caller
does not see is 404.

An answer has an ETag that follows from the state it was made of. `If-None-Match` with it is 304, and nothing is
computed. What also follows from the clock (an invoice is overdue, a balance has its instant) has an ETag of its bytes.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal
from urllib.parse import urlencode

from anyio import to_thread
from litestar import Request, Response
from litestar.di import NamedDependency
from litestar.exceptions import NotFoundException

from billing import __version__
from billing.catalog.catalog import Account, App
from billing.events.log import EventLog
from billing.ledger.books_version import books_version
from billing.ledger.database import Engine, reading
from billing.ledger.tokens import Caller
from billing.reports.row_formats import Report
from billing.web.answers import CACHING, file_answer, formatted, rows_answer
from billing.web.installation import Installation
from billing.web.media_types import chosen_form
from billing.web.pages_of_rows import page_of
from billing.web.parameters import CURSOR, LIMIT, Parameter, read_query
from billing.web.path_names import path_name

Follows = Literal["books", "log", "clock"]
_OFFER = "offer"
_NOT_OF_THE_STATE = ("format", "limit", "cursor")


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What a route offers: `rows` is the JSON schema of a row, `body` the structure of what it is asked with."""

    rows: Mapping[str, Any] | None = None
    forms: tuple[str, ...] = ("json", "csv")
    own_parameters: tuple[Parameter, ...] = ()
    is_paged: bool = True
    body: Any = None

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """All parameters."""
        form = Parameter(
            name="format",
            parse=str,
            schema={"type": "string", "enum": list(self.forms)},
            about="The form of the answer, if the header Accept does not say it.",
            example=self.forms[0],
        )
        return (*self.own_parameters, form, *((LIMIT, CURSOR) if self.is_paged else ()))


def offers(
    *parameters: Parameter,
    rows: Mapping[str, Any] | None = None,
    forms: tuple[str, ...] = ("json", "csv"),
    is_paged: bool = True,
    body: Any = None,
) -> dict[str, Any]:
    """The `opt` of a route that answers inquiries."""
    return {_OFFER: Offer(rows=rows, forms=forms, own_parameters=parameters, is_paged=is_paged, body=body)}


def offer_of(opt: Mapping[str, Any]) -> Offer | None:
    """What a route offers; None: it answers no inquiries of this kind."""
    found: Offer | None = opt.get(_OFFER)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Inquiry:
    """A request to a route that offers something: who asks, of what, in which form."""

    installation: Installation
    caller: Caller
    names: Mapping[str, str]
    values: Mapping[str, Any]
    form: str
    path: str
    query: tuple[tuple[str, str], ...]
    known_tags: str

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    @property
    def engine(self) -> Engine:
        """The database of the installation."""
        return self.installation.engine

    def account(self, account_id: str) -> Account:
        """An account that the caller sees."""
        return self.installation.account(self.caller, account_id)

    def own_app(self, app_id: int, account: Account) -> App:
        """An app of this account."""
        found = self.installation.app(self.caller, app_id)
        if found.account != account.id:
            raise NotFoundException(f"there is no app {app_id} of account {account.id!r}")
        return found

    def rows(self, make: Callable[[Any], Report], *, follows: Follows = "books") -> Response[bytes]:
        """The rows that `make` gives for the account or the app in the path, or the account that is asked about; for
        None where there is neither."""
        about = self._about()
        state = self._state(follows)
        if state and self._knows(self._tag(state)):
            return self._unchanged(state)
        report = make(about)
        state = state or self._digest(formatted(report, "json"))
        page = page_of(report.rows, state, limit=self.values.get("limit"), cursor=self.values.get("cursor"))
        if self._knows(self._tag(state)):
            return self._unchanged(state)
        body = formatted(replace(report, rows=page.rows), self.form)
        headers = {"Link": self._link(page.next_cursor)} if page.next_cursor else {}
        return rows_answer(body, self.form, {**CACHING, "ETag": self._tag(state), **headers})

    def file(self, make: Callable[[Any], tuple[str, bytes]], *, follows: Follows = "books") -> Response[bytes]:
        """The file that `make` gives, by its name and content."""
        about = self._about()
        state = self._state(follows)
        if state and self._knows(self._tag(state)):
            return self._unchanged(state)
        name, content = make(about)
        state = state or self._digest(content)
        if self._knows(self._tag(state)):
            return self._unchanged(state)
        return file_answer(content, self.form, name, {**CACHING, "ETag": self._tag(state)})

    def result(self, report: Report) -> Response[bytes]:
        """The rows of what was done or worked out; nobody keeps them."""
        return rows_answer(formatted(report, self.form), self.form, {"Cache-Control": "no-store"})

    async def at_once(self, answer: Callable[[], Response[bytes]]) -> Response[bytes]:
        """The answer to a light one."""
        return await to_thread.run_sync(answer)

    async def in_turn(self, answer: Callable[[], Response[bytes]], *, follows: Follows = "books") -> Response[bytes]:
        """The answer to a heavy one: few are worked on at once. What is known already needs no turn."""
        known = await to_thread.run_sync(self._known_answer, follows)
        if known is not None:
            return known
        return await to_thread.run_sync(answer, limiter=self.installation.heavy_work)

    def _known_answer(self, follows: Follows) -> Response[bytes] | None:
        self._about()
        state = self._state(follows)
        return self._unchanged(state) if state and self._knows(self._tag(state)) else None

    def _about(self) -> Account | App | None:
        if "account_id" in self.names:
            return self.account(self.names["account_id"])
        if "app_id" in self.names:
            return self.installation.app_named(self.caller, self.names["app_id"])
        if self.values.get("account") is not None:
            return self.account(self.values["account"])
        return None

    def _state(self, follows: Follows) -> str | None:
        """What the answer is made of, read before it: so no answer is older than its tag says."""
        if follows == "clock":
            return None
        with reading(self.engine) as conn:
            books = books_version(conn)
        log = EventLog(directory=self.installation.home.events).version() if follows == "log" else None
        return self._digest(f"{books}/{log}".encode())

    def _digest(self, content: bytes) -> str:
        asked = sorted(pair for pair in self.query if pair[0] not in _NOT_OF_THE_STATE)
        facts = repr((__version__, self.caller.account_id, self.path, asked))
        return hashlib.sha256(facts.encode(errors="backslashreplace") + b"\0" + content).hexdigest()

    def _tag(self, state: str) -> str:
        page = repr((state, self.form, self.values.get("limit"), self.values.get("cursor")))
        return f'"{hashlib.sha256(page.encode(errors="backslashreplace")).hexdigest()[:32]}"'

    def _knows(self, tag: str) -> bool:
        tags = {each.strip().removeprefix("W/") for each in self.known_tags.split(",")}
        return tag in tags or "*" in tags

    def _unchanged(self, state: str) -> Response[bytes]:
        return Response(b"", status_code=304, headers={**CACHING, "ETag": self._tag(state)})

    def _link(self, cursor: str) -> str:
        query = [*(pair for pair in self.query if pair[0] != "cursor"), ("cursor", cursor)]
        return f'<{self.path}?{urlencode(query)}>; rel="next"'


Asked = NamedDependency[Inquiry]


def give_inquiry(request: Request[Caller, Any, Any], installation: NamedDependency[Installation]) -> Inquiry:
    """The dependency `inquiry` of routes that offer something."""
    offer = offer_of(request.route_handler.opt)
    if offer is None:
        raise AssertionError(f"{request.route_handler} offers nothing")
    query = tuple(request.query_params.multi_items())
    values = read_query(offer.parameters, query)
    return Inquiry(
        installation=installation,
        caller=request.user,
        names={name: path_name(str(part)) for name, part in request.path_params.items()},
        values=values,
        form=chosen_form(offer.forms, asked=values["format"], accept=request.headers.get("accept")),
        path=request.scope["raw_path"].decode("ascii"),
        query=query,
        known_tags=request.headers.get("if-none-match", ""),
    )
