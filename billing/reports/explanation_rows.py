"""An explanation as rows with named fields: one object with a table for each link, or one table to read or to sum.

    line -> charges -> windows and who paid -> rooms -> stretches of users -> events, with file and line

As CSV it is the narrowest of the links that the question reaches: stretches, else rooms, else charges.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from billing.periods import local_iso, local_iso_ms
from billing.reports.account_reports import charges_report
from billing.reports.explain import Explanation
from billing.reports.explained_rooms import Boundary, ExplainedInterval, RoomShare
from billing.reports.row_formats import Report, Row
from billing.reports.window_payments import WindowPayment

QUESTION_FIELDS = ("account", "month", "currency", "run", "app_id", "item", "day", "window", "room_id", "user_id", "at")
LINE_FIELDS = (
    *("app_id", "item", "kind", "policy", "policy_version", "contract", "list_price", "unit_price"),
    *("seconds", "minutes", "deducted_minutes", "payable_minutes", "amount"),
)
WINDOW_FIELDS = (
    *("app_id", "item", "start", "seconds", "seconds_so_far", "minutes_so_far", "minutes", "paid"),
    *("payable_minutes", "amount"),
)
PAYMENT_FIELDS = ("payer", "minutes", "units", "left")
ROOM_FIELDS = ("app_id", "day", "room_id", "item", "reason", "seconds", "share")
STREAM_FIELDS = ("stream", "width", "height")
BOUNDARY_FIELDS = ("cause", "event_id", "type", "user_id", "at", "file", "line")
INTERVAL_FIELDS = (
    *("app_id", "room_id", "user_id", "start", "end", "seconds", "item", "reason", "area", "streams"),
    *("begins", "ends"),
)
LINKS = ("lines", "charges", "windows", "rooms", "intervals")
EXPLANATION_FIELDS = (*QUESTION_FIELDS, "seconds", "amount", *LINKS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """The links of an explanation as rows; None where the question is too wide."""

    lines: Sequence[Row]
    charges: Report
    windows: Sequence[Row] | None
    rooms: Sequence[Row] | None
    intervals: Sequence[Row] | None


def explanation_report(explanation: Explanation) -> Report:
    """The explanation as one row with its links as arrays: `EXPLANATION_FIELDS`."""
    links = explanation_links(explanation)
    row = {
        **question_row(explanation),
        "seconds": explanation.seconds,
        "amount": explanation.amount,
        **{name: getattr(links, name) for name in LINKS},
        "charges": _whole_rows(links.charges),
    }
    return Report(fields=EXPLANATION_FIELDS, rows=[row])


def narrowest_report(explanation: Explanation) -> Report:
    """The rows of the narrowest link that the question reaches."""
    links = explanation_links(explanation)
    if links.intervals is not None:
        return Report(fields=INTERVAL_FIELDS, rows=links.intervals)
    if links.rooms is not None:
        return Report(fields=ROOM_FIELDS, rows=links.rooms)
    return links.charges


def printed_report(explanation: Explanation, form: str) -> Report:
    """What is printed as `json` or as `csv`."""
    return explanation_report(explanation) if form == "json" else narrowest_report(explanation)


def question_row(explanation: Explanation) -> dict[str, object]:
    """What is asked; None where that is open."""
    scope, question = explanation.scope, explanation.scope.question
    return {
        "account": question.account_id,
        "month": f"{scope.month:%Y-%m}",
        "currency": explanation.currency,
        "run": question.run,
        "app_id": scope.app_id,
        "item": scope.item,
        "day": scope.day,
        "window": _instant(explanation, scope.window),
        "room_id": question.room_id,
        "user_id": question.user_id,
        "at": _instant(explanation, scope.at),
    }


def explanation_links(explanation: Explanation) -> Links:
    """All links as rows."""
    return Links(
        lines=[asdict(each) for each in explanation.lines],
        charges=charges_report(explanation.charges, empty="no charges"),
        windows=_rows(explanation, explanation.windows, _window_row),
        rooms=_rows(explanation, explanation.rooms, _room_row),
        intervals=_rows(explanation, explanation.intervals, _interval_row),
    )


def _rows(
    explanation: Explanation, values: Sequence[Any] | None, row: Callable[[Explanation, Any], Row]
) -> list[Row] | None:
    return None if values is None else [row(explanation, value) for value in values]


def _whole_rows(report: Report) -> list[Mapping[str, object]]:
    return [{field: row[field] for field in report.fields} for row in report.rows]


def _window_row(explanation: Explanation, window: WindowPayment) -> Row:
    return {**asdict(window), "start": _instant(explanation, window.start)}


def _room_row(explanation: Explanation, room: RoomShare) -> Row:
    return {"app_id": explanation.scope.app_id, "day": explanation.scope.day, **asdict(room)}


def _interval_row(explanation: Explanation, interval: ExplainedInterval) -> Row:
    return {
        "app_id": explanation.scope.app_id,
        "room_id": interval.room_id,
        "user_id": interval.user_id,
        "start": _instant(explanation, interval.start),
        "end": _instant(explanation, interval.end),
        "seconds": interval.seconds,
        "item": interval.item,
        "reason": interval.reason,
        "area": interval.area,
        "streams": [stream._asdict() for stream in interval.streams],
        "begins": _boundary_row(explanation, interval.begins),
        "ends": _boundary_row(explanation, interval.ends),
    }


def _boundary_row(explanation: Explanation, boundary: Boundary) -> dict[str, object]:
    at = None if boundary.at is None else local_iso_ms(boundary.at, explanation.zone)
    return {**asdict(boundary), "at": at}


def _instant(explanation: Explanation, second: int | None) -> str | None:
    return None if second is None else local_iso(second, explanation.zone)
