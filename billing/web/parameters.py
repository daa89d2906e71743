"""Parameters of a query: the options of the commands, with their checks.

A parameter is declared once; what it may be, how it is read and what `/openapi.json` says of it follow. One that is
unknown, missing, repeated or wrong is 400, and the message names it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from litestar.exceptions import ClientException

from billing.errors import UsageError
from billing.events.quarantine import REASONS
from billing.limits import LARGEST_APP_ID, LARGEST_NUMBER
from billing.periods import next_month, parse_day, parse_instant, parse_month

MOST_ROWS = 100_000  # on a page

_YEAR = "(19[7-9][0-9]|2[0-9]{3})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A parameter; `parse` raises a `UsageError` for what it cannot be. `is_many`: it may be repeated."""

    name: str
    parse: Callable[[str], Any]
    schema: Mapping[str, Any]
    about: str
    example: str | int | bool
    default: Any = None
    is_required: bool = False
    is_many: bool = False

    def read(self, texts: Sequence[str]) -> Any:
        """The value of what stands in the query."""
        if len(texts) > 1 and not self.is_many:
            raise ClientException(f"{self.name}: give it once")
        if not texts:
            if self.is_required:
                raise ClientException(f"{self.name}: is missing: give one such as {self.name}={self.example}")
            return () if self.is_many else self.default
        try:
            values = tuple(map(self.parse, texts))
        except UsageError as error:
            raise ClientException(f"{self.name}: {error}") from None
        return values if self.is_many else values[0]


def read_query(parameters: Iterable[Parameter], query: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """The values of all parameters by name."""
    known = {parameter.name: parameter for parameter in parameters}
    texts: dict[str, list[str]] = {name: [] for name in known}
    for name, text in query:
        if name not in known:
            raise ClientException(f"unknown parameter {name!r}; known here: {', '.join(known) or 'none'}")
        texts[name].append(text)
    return {name: parameter.read(texts[name]) for name, parameter in known.items()}


def days_of(values: Mapping[str, Any], *, default: tuple[date, date] | None = None) -> tuple[date, date]:
    """The first and the last day of `from` and `to`, or of a month; `default` has the ends that may be left out."""
    first, last, month = values["from"], values["to"], values["month"]
    if month is not None:
        if first or last:
            raise ClientException("month: give either from and to, or month")
        return month, next_month(month) - timedelta(days=1)
    first, last = first or (default and default[0]), last or (default and default[1])
    if first is None or last is None:
        raise ClientException(f"{'from' if first is None else 'to'}: is missing: give from and to, or month")
    if last < first:
        raise ClientException(f"from: {first} is after {last}: give the earlier day first")
    return first, last


def app_number(text: str) -> int:
    """The number of an app, from 1 to 2^53."""
    return _whole(text, LARGEST_APP_ID)


def _number(text: str) -> int:
    return _whole(text, LARGEST_NUMBER)


def _page_rows(text: str) -> int:
    return _whole(text, MOST_ROWS)


def _whole(text: str, most: int) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and 1 <= int(text) <= most):
        raise UsageError(f"{text!r} is not a whole number from 1 to {most}")
    return int(text)


def number(name: str, about: str) -> Parameter:
    """A number of something that is counted from 1."""
    return Parameter(name=name, parse=_number, schema=_NUMBER_SCHEMA, about=about, example=1)


def _yes_or_no(text: str) -> bool:
    if text not in ("true", "false"):
        raise UsageError(f"{text!r} is neither true nor false")
    return text == "true"


def _one_of(*choices: str) -> Callable[[str], str]:
    def chosen(text: str) -> str:
        if text not in choices:
            raise UsageError(f"{text!r} is none of {', '.join(choices)}")
        return text

    return chosen


def choice(name: str, choices: Sequence[str], about: str, **more: Any) -> Parameter:
    """A parameter that is one of some words."""
    schema = {"type": "string", "enum": list(choices)}
    return Parameter(name=name, parse=_one_of(*choices), schema=schema, about=about, example=choices[0], **more)


_MONTH_SCHEMA = {"type": "string", "pattern": f"^{_YEAR}-(0[1-9]|1[0-2])$"}
_DAY_SCHEMA = {"type": "string", "format": "date", "pattern": f"^{_YEAR}-"}
_APP_SCHEMA = {"type": "integer", "minimum": 1, "maximum": LARGEST_APP_ID}
_NUMBER_SCHEMA = {"type": "integer", "minimum": 1, "maximum": LARGEST_NUMBER}


def month(about: str, *, is_required: bool = False) -> Parameter:
    """A month where the account is."""
    return Parameter(
        name="month", parse=parse_month, schema=_MONTH_SCHEMA, about=about, example="2026-03", is_required=is_required
    )


def day(name: str, about: str, *, is_required: bool = False) -> Parameter:
    """A day where the account is."""
    return Parameter(
        name=name, parse=parse_day, schema=_DAY_SCHEMA, about=about, example="2026-03-10", is_required=is_required
    )


def instant(name: str, about: str) -> Parameter:
    """An instant with its offset."""
    schema = {"type": "string", "format": "date-time", "pattern": f"^{_YEAR}-"}
    return Parameter(name=name, parse=parse_instant, schema=schema, about=about, example="2026-03-11T09:00:00+09:00")


def text(name: str, about: str, example: str, *, is_required: bool = False, is_many: bool = False) -> Parameter:
    """Any text."""
    schema = {"type": "string", "minLength": 1}
    return Parameter(
        name=name,
        parse=_some_text,
        schema=schema,
        about=about,
        example=example,
        is_required=is_required,
        is_many=is_many,
    )


def _some_text(given: str) -> str:
    if not given:
        raise UsageError("'' is empty")
    return given


FROM = day("from", "The first day.")
TO = day("to", "The last day, included.")
MONTH = month("Instead of from and to: a month.")
APP = Parameter(name="app", parse=app_number, schema=_APP_SCHEMA, about="Only this app.", example=1400000001)
BY = choice("by", ("window", "day", "room", "user"), "One row for each.", default="window")
UNIT = choice("unit", ("seconds", "minutes"), "What is counted.", default="seconds")
PROVISIONAL = Parameter(
    name="provisional",
    parse=_yes_or_no,
    schema={"type": "boolean"},
    about="Include the days that are not billed yet, up to the last refresh.",
    example=True,
    default=False,
)
RUN = number("run", "As it was known when this run had ended.")
REASON = choice("reason", REASONS, "Only rows with this reason; repeat it for several.", is_many=True)
LIMIT = Parameter(
    name="limit",
    parse=_page_rows,
    schema={"type": "integer", "minimum": 1, "maximum": MOST_ROWS},
    about="How many rows a page has; the header Link leads to the next one. Without it: all.",
    example=100,
)
CURSOR = Parameter(
    name="cursor",
    parse=str,
    schema={"type": "string", "pattern": r"^[0-9]{1,12}\.[0-9a-f]{12}$"},
    about="Where the page begins, from the Link of the page before.",
    example="100.0f3a5c7e9b1d",
)
