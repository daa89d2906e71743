"""Rooms: those of a day, the largest first; and one room, a lane for each user with every stretch and its events."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from anyio import to_thread
from litestar import Response, get
from litestar.di import NamedDependency
from litestar.response import Redirect
from markupsafe import Markup

from billing import periods
from billing.catalog.catalog import Account, App
from billing.catalog.items import ITEMS, short_name
from billing.errors import UnknownNameError
from billing.reports.account import findings
from billing.reports.day_rooms import day_rooms
from billing.reports.explain import Explanation, explain
from billing.reports.explained_rooms import ExplainedInterval
from billing.reports.question import Question
from billing.reports.room_lanes import lane_legend, room_lanes
from billing.reports.usage_day import DayFacts, day_facts
from billing.web.console.chosen import apps_of, chosen_account, chosen_app
from billing.web.console.file_names import without_folders
from billing.web.console.finding_marks import Mark, finding_marks
from billing.web.console.forms import asked, day_of, name_of, number_of
from billing.web.console.page_frame import Asked, link, page, words_of
from billing.web.installation import Installation

_ROOMS_ON_A_PAGE = 50
_LANES_ON_A_PAGE = 40
_MOST_MARKS = 500


@get("/rooms")
async def rooms_of_day(request: Asked, installation: NamedDependency[Installation]) -> Response[bytes]:
    """The rooms of a day."""
    return await to_thread.run_sync(partial(_rooms, request, installation), limiter=installation.heavy_work)


@get("/room")
async def one_room(request: Asked, installation: NamedDependency[Installation]) -> Response[Any]:
    """A room on a day."""
    return await to_thread.run_sync(partial(_room, request, installation), limiter=installation.heavy_work)


def _rooms(request: Asked, installation: Installation) -> Response[bytes]:
    account = chosen_account(request, installation)
    app = chosen_app(request, installation, account)
    if app is None:
        return page(request, "usage_none", account=account)
    facts, start, run = _facts(request, installation, app), number_of(request, "start") or 0, number_of(request, "run")
    found = None
    if facts.run is not None:
        found = day_rooms(
            installation.home,
            installation.engine,
            app.id,
            facts.day,
            wanted=asked(request, "q"),
            skip=start,
            limit=_ROOMS_ON_A_PAGE,
            run=run,
        )
    return page(
        request,
        "rooms",
        **_of_day(installation, account, app, facts, run),
        found=found,
        items=ITEMS,
        q=asked(request, "q"),
        start=start,
        step=_ROOMS_ON_A_PAGE,
    )


def _room(request: Asked, installation: Installation) -> Response[Any] | Redirect:
    account = chosen_account(request, installation)
    app = chosen_app(request, installation, account)
    if app is None:
        return page(request, "usage_none", account=account)
    room_id, run = name_of(request, "room"), number_of(request, "run")
    facts = _facts(request, installation, app)
    common = {**_of_day(installation, account, app, facts, run), "room_id": room_id}
    if facts.run is None or not room_id:
        return page(request, "room_none", **common)
    question = Question(account_id=account.id, app_id=app.id, day=facts.day, room_id=room_id, run=run)
    try:
        found = explain(installation.home, installation.engine, question)
    except UnknownNameError:
        return page(request, "room_none", status=404, **common)
    return page(request, "room", **common, **_lanes(request, installation, found))


def _facts(request: Asked, installation: Installation, app: App) -> DayFacts:
    return day_facts(installation.engine, app.id, day_of(request, "day"))


def _of_day(installation: Installation, account: Account, app: App, facts: DayFacts, run: int | None) -> dict[str, Any]:
    return {
        "account": account,
        "app": app,
        "apps": apps_of(installation, account),
        "facts": facts,
        "run": run,
        "days": [facts.day - timedelta(days=1), facts.day + timedelta(days=1)],
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    """The users and tasks whose lanes are on the page; `people` are all users without tasks."""

    users: list[str]
    found: int
    all_users: int
    people: int
    start: int


def _lanes(request: Asked, installation: Installation, found: Explanation) -> dict[str, Any]:
    """The lanes of the users that are shown, their stretches as a table, and the findings of the room."""
    every, zone = [without_folders(each) for each in found.intervals or []], found.zone
    shown = _shown(request, every)
    intervals = [each for each in every if each.user_id in set(shown.users)]
    marks = _marks(installation, found) if found.scope.question.run is None else []
    span = _span(every, marks)
    label = words_of(request)("room.chart", room=found.scope.question.room_id)
    lanes = room_lanes(intervals, zone, label=label, span=span, link=lambda each: _link(found, each))
    return {
        "found": found,
        "shown": shown,
        "step": _LANES_ON_A_PAGE,
        "q": asked(request, "q"),
        "lanes": Markup(lanes),  # noqa: S704 - its texts are escaped there
        "marks": marks,
        "marks_chart": finding_marks(marks, span, label=words_of(request)("room.findings")),
        "legend": [(name, Markup(fill + hatch)) for name, fill, hatch in lane_legend(every)],  # noqa: S704 - of names of items
        "rows": [_row(found, each) for each in intervals],
        "seconds": found.seconds,
        "first_and_last": [_clock(second, zone) for second in span] if span else [],
    }


def _shown(request: Asked, intervals: Sequence[ExplainedInterval]) -> _Shown:
    users = sorted({each.user_id for each in intervals})
    wanted = asked(request, "q").casefold()
    found = [user for user in users if wanted in user.casefold()]
    start = min(number_of(request, "start") or 0, max(len(found) - 1, 0))
    people = {each.user_id for each in intervals if each.item == short_name(each.item)}
    return _Shown(
        users=found[start : start + _LANES_ON_A_PAGE],
        found=len(found),
        all_users=len(users),
        people=len(people),
        start=start,
    )


def _span(intervals: Sequence[ExplainedInterval], marks: Sequence[Mark]) -> tuple[int, int] | None:
    """The epoch seconds that the picture shows."""
    if not intervals:
        return None
    instants = [each.second for each in marks]
    first = min([each.start for each in intervals] + instants)
    last = max([each.end for each in intervals] + [second + 1 for second in instants])
    return first, last


def _marks(installation: Installation, found: Explanation) -> list[Mark]:
    """The findings of the room, in order of time."""
    scope = found.scope
    day: date = scope.day or date.min
    frame = findings(installation.engine, app_id=scope.app_id, first=day, last=day)
    rows = [row for row in frame.iter_rows(named=True) if row["room_id"] == scope.question.room_id and row["at"]]
    return [
        Mark(
            second=int(periods.parse_instant(row["at"]).timestamp()),
            clock=row["at"][11:19],
            user_id=row["user_id"] or "",
            finding=row["finding"],
            detail=row["detail"] or "",
        )
        for row in sorted(rows, key=lambda row: str(row["at"]))[:_MOST_MARKS]
    ]


def _row(found: Explanation, each: ExplainedInterval) -> dict[str, Any]:
    return {
        "user_id": each.user_id,
        "start": _clock(each.start, found.zone),
        "end": _clock(each.end, found.zone),
        "seconds": each.seconds,
        "item": each.item,
        "reason": each.reason,
        "streams": [f"{one.stream} {one.width}\N{MULTIPLICATION SIGN}{one.height}" for one in each.streams],
        "area": each.area,
        "begins": each.begins,
        "href": _link(found, each),
    }


def _link(found: Explanation, each: ExplainedInterval) -> str:
    """Where a stretch is explained: the second in which it begins."""
    scope = found.scope
    return link(
        "/explain",
        account=scope.question.account_id,
        app=scope.app_id,
        day=scope.day,
        room=each.room_id,
        user=each.user_id,
        item=each.item,
        at=periods.local_iso(max(each.start, (found.bounds or (each.start, 0))[0]), found.zone),
        run=scope.question.run,
    )


def _clock(second: int, zone: ZoneInfo) -> str:
    return periods.local_iso(second, zone)[11:19]
