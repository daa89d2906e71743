"""Self-contained records: each says by itself who did what in which room, and becomes events by itself.

A source is a map of one record to events; nothing is remembered from one record to the next. So records may come late,
twice, in any order and in any cut into files: what they mean together is worked out by the event log and by metering.
Every line of a file is mapped, ignored (it says nothing billable) or unreadable:

    lines = mapped + ignored + unreadable

A line holds a body as the server sent it, or a captured request, `{"received_at": …, "headers": {…}, "body": "…"}`,
which keeps what only the header knows.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from billing.sources.files.ndjson import UnreadableError, parse
from billing.sources.record_apps import RecordApps, Terms
from billing.sources.record_fields import Event, Fields, NothingBillable

NO_HEADERS: Mapping[str, str] = {}


class Record(NamedTuple):
    """The body of a record, and the headers that it came with, in small letters."""

    body: Fields
    headers: Mapping[str, str] = NO_HEADERS


def one_item(record: Record) -> Iterable[Fields]:
    """What most records hold: one thing that happened."""
    return (record.body,)


def nothing_dropped(_: Record) -> int:
    """What most records say of lost ones."""
    return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordSource:
    """How the records of a server are read.

    `events` maps one thing that happened to events, whose `app_id` and `source` are added later; `items` has all that
    a record tells of; `app_name` is how it names its app. `dropped`: how many records were lost before it, as it says.
    """

    name: str
    events: Callable[[Fields, Terms], list[Event]]
    app_name: Callable[[Record], str | None] = lambda _: None
    read_body: Callable[[bytes], Fields] = parse
    items: Callable[[Record], Iterable[Fields]] = one_item
    dropped: Callable[[Record], int] = nothing_dropped


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What a line became: events, and its kind if it was ignored, or the first problem that it has."""

    events: list[Event] = field(default_factory=list)
    ignored: str | None = None
    problem: tuple[str, str] | None = None  # reason and detail
    dropped: int = 0


def outcome(source: RecordSource, apps: RecordApps, line: bytes) -> Outcome:
    """What one line becomes. Of a record that tells of several things, each that can be read is."""
    found = Outcome()
    try:
        record = read_record(source, line)
        found.dropped = source.dropped(record)
        terms = apps.of(source.app_name(record))
        kinds = [_add(found, source, item, terms) for item in source.items(record)]
    except UnreadableError as error:
        found.problem = error.found
        return found
    if not found.events and not found.problem:
        found.ignored = next(filter(None, kinds), "nothing")
    return found


def read_record(source: RecordSource, line: bytes) -> Record:
    """A line as a record."""
    if line.lstrip()[:1] != b"{":
        return Record(source.read_body(line))
    fields = parse(line)
    body, headers = fields.get("body"), fields.get("headers")
    if type(body) is str and type(headers) is dict:
        return Record(source.read_body(_encoded(body)), _small_letters(headers))
    return Record(fields)


def _add(found: Outcome, source: RecordSource, item: Fields, terms: Terms) -> str | None:
    """Adds the events of an item, or its problem; its kind if it is ignored."""
    try:
        events = source.events(item, terms)
    except NothingBillable as nothing:
        return nothing.kind
    except UnreadableError as error:
        found.problem = found.problem or error.found
        return None
    for event in events:
        event["app_id"], event["source"] = terms.app_id, source.name
    found.events += events
    return None


def _encoded(body: str) -> bytes:
    try:
        return body.encode()
    except UnicodeEncodeError:
        raise UnreadableError("bad_value", "body holds half of a surrogate pair") from None


def _small_letters(headers: Fields) -> dict[str, str]:
    """Headers by their names in small letters; of a list of values the first."""
    found = {}
    for name, value in headers.items():
        first = value[0] if isinstance(value, list) and value else value
        if isinstance(first, str):
            found[name.lower()] = first
    return found
