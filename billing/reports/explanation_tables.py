"""An explanation as tables to read: what is asked, then a table for each link, with sums that agree from one to the
next."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from billing.money import plain
from billing.reports.explain import Explanation
from billing.reports.explanation_rows import BOUNDARY_FIELDS, Links, question_row
from billing.reports.row_formats import Report, Row


def asked(explanation: Explanation) -> str:
    """`academy, 2026-03, app 1400000001, day 2026-03-10, room math`."""
    row = question_row(explanation)
    del row["currency"]
    named = (f"{name.removesuffix('_id')} {_short(name, value)}" for name, value in row.items() if value is not None)
    return ", ".join(each.removeprefix("account ").removeprefix("month ") for each in named)


def _short(name: str, value: object) -> str:
    return str(value)[11:19] if name in ("window", "at") else str(value)


def answer(explanation: Explanation) -> str:
    """`300 seconds; the share of these rooms is 0.19188 USD`."""
    question = explanation.scope.question
    is_share = question.room_id is not None or question.user_id is not None
    of_rooms = "; the share of these rooms is" if is_share else ","
    return f"{explanation.seconds:,} seconds{of_rooms} {plain(explanation.amount)} {explanation.currency}"


def explanation_tables(links: Links) -> Iterator[tuple[str, Report]]:
    """Each link that the question reaches, with its title."""
    yield "Lines: amount = payable minutes x price of a minute", _lines(links.lines)
    yield "Charges: what every day adds", links.charges
    if links.windows is not None:
        yield "Windows: seconds become minutes, and minutes are paid for", _windows(links.windows)
        yield "Payers, in the order in which they pay: package minutes and what is left of them", _payers(links.windows)
    if links.rooms is not None:
        yield "Rooms: the share of the amount is by seconds", _rooms(links.rooms)
    if links.intervals is not None:
        yield "Stretches", _stretches(links.intervals)
        yield "Streams received", _streams(links.intervals)
        yield "Events that begin and end them", _boundaries(links.intervals)


def _lines(lines: Sequence[Row]) -> Report:
    fields = ("app_id", "item", "kind", "policy", "policy_version", "contract", "list_price", "unit_price")
    return Report(
        fields=(*fields, "payable_minutes", "amount"),
        rows=lines,
        sums=("payable_minutes", "amount"),
        once=("app_id", "kind", "policy", "policy_version", "contract"),
        without=("contract",) if all(line["contract"] is None for line in lines) else (),
    )


def _windows(windows: Sequence[Mapping[str, Any]]) -> Report:
    fields = ("start", "item", "seconds", "seconds_so_far", "minutes_so_far", "minutes", "paid", "payable_minutes")
    rows = [
        {**row, "start": row["start"][11:16], "paid": sum(each["minutes"] for each in row["paid"])} for row in windows
    ]
    sums = ("seconds", "minutes", "paid", "payable_minutes", "amount")
    return Report(fields=(*fields, "amount"), rows=rows, sums=sums)


def _payers(windows: Sequence[Mapping[str, Any]]) -> Report:
    rows = [{"start": row["start"][11:16], "item": row["item"], **paid} for row in windows for paid in row["paid"]]
    return Report(fields=("start", "item", "payer", "minutes", "units", "left"), rows=rows, sums=("minutes", "units"))


def _rooms(rooms: Sequence[Row]) -> Report:
    return Report(fields=("room_id", "item", "reason", "seconds", "share"), rows=rooms, sums=("seconds", "share"))


def _stretches(intervals: Sequence[Mapping[str, Any]]) -> Report:
    fields = ("room_id", "user_id", "start", "end", "seconds", "item", "reason", "area")
    rows = [
        {**row, "start": row["start"][11:19], "end": row["end"][11:19], "area": row["area"] or None}
        for row in intervals
    ]
    return Report(fields=fields, rows=rows, sums=("seconds",), once=("room_id",))


def _streams(intervals: Sequence[Mapping[str, Any]]) -> Report:
    rows = [
        {"user_id": row["user_id"], "start": row["start"][11:19], **stream, "area": stream["width"] * stream["height"]}
        for row in intervals
        for stream in row["streams"]
    ]
    return Report(fields=("user_id", "start", "stream", "width", "height", "area"), rows=rows)


def _boundaries(intervals: Sequence[Mapping[str, Any]]) -> Report:
    """Each once, in order of time."""
    sides = [row[side] for row in intervals for side in ("begins", "ends")]
    found = {tuple(each[field] for field in BOUNDARY_FIELDS): each for each in sides}
    rows = sorted(found.values(), key=lambda each: (each["at"] or "", each["event_id"] or ""))
    fields = ("at", *(field for field in BOUNDARY_FIELDS if field != "at"))
    return Report(fields=fields, rows=rows, once=("file",))
