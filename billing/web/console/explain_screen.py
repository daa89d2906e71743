"""Explain: where an amount comes from, step by step, each with its sum and whether it agrees with the step before."""

import heapq
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from io import StringIO
from typing import Any

from anyio import to_thread
from litestar import Response, get
from litestar.di import NamedDependency
from litestar.exceptions import NotFoundException

from billing import periods
from billing.catalog.catalog import Account
from billing.catalog.items import ITEM_RANK, ITEMS
from billing.errors import UnknownNameError, UsageError
from billing.output_files import MemoryOutput
from billing.reports.explain import Explanation, explain
from billing.reports.explanation_rows import explanation_links, printed_report
from billing.reports.explanation_steps import explanation_steps
from billing.reports.explanation_workbook import write_explanation
from billing.reports.question import Question
from billing.reports.row_formats import write_csv
from billing.web.console.chosen import apps_of, chosen_account, chosen_app, chosen_month
from billing.web.console.file_names import without_folders
from billing.web.console.forms import asked, choice_of, day_of, month_of, name_of, number_of
from billing.web.console.number_formats import month as month_text
from billing.web.console.page_frame import Asked, download, link, page
from billing.web.installation import Installation

_MOST_ROWS = 100


@get("/explain")
async def explained(request: Asked, installation: NamedDependency[Installation]) -> Response[bytes]:
    """The answer to a question, or why there is none."""
    return await to_thread.run_sync(partial(_explained, request, installation), limiter=installation.heavy_work)


def _explained(request: Asked, installation: Installation) -> Response[bytes]:
    account = chosen_account(request, installation)
    if asked(request, "app"):
        chosen_app(request, installation, account)
    question = _question(request, account)
    common: dict[str, Any] = {
        "account": account,
        "apps": apps_of(installation, account),
        "items": ITEMS,
        "question": question,
        "month": question.month,
        "here": partial(_address, question),
    }
    try:
        found = explain(installation.home, installation.engine, question)
    except UnknownNameError as error:
        return page(request, "explain_none", status=404, fault=str(error), **common)
    except UsageError as error:
        return page(request, "explain_none", status=400, fault=str(error), **common)
    found = replace(found, intervals=found.intervals and list(map(without_folders, found.intervals)))
    form = choice_of(request, "format", ("page", "csv", "xlsx"))
    if form != "page":
        return _file(found, form)
    return page(request, "explain", **common, **_answer(found))


def _question(request: Asked, account: Account) -> Question:
    """What the address asks; without a month, a day or an instant it is the present month."""
    texts = {name: asked(request, name) or None for name in ("window", "at")}
    day, month = day_of(request, "day"), month_of(request)
    # A day decides the month, so that the form can leave the other behind.
    month = None if day is not None or any(texts.values()) else month or chosen_month(request, account)
    room_id, user_id = (name_of(request, name) for name in ("room", "user"))
    if month is not None and (room_id or user_id):
        raise NotFoundException("a room or a user is explained for one day: choose the day as well")
    return Question(
        account_id=account.id,
        month=month,
        app_id=number_of(request, "app"),
        item=asked(request, "item") or None,
        day=day,
        room_id=room_id,
        user_id=user_id,
        run=number_of(request, "run"),
        **texts,
    )


def _address(question: Question, **other: object) -> str:
    """The address of a question, with something else in it."""
    asked_for: dict[str, object] = {
        "account": question.account_id,
        "month": None if question.month is None else month_text(question.month),
        "app": question.app_id,
        "item": question.item,
        "day": question.day,
        "window": question.window,
        "room": question.room_id,
        "user": question.user_id,
        "at": question.at,
        "run": question.run,
    }
    if other.get("day"):
        asked_for["month"] = None
    return link("/explain", **{**asked_for, **other})


def _answer(found: Explanation) -> dict[str, Any]:
    """The steps with the sums of all rows, and as many rows of each as a page has room for."""
    links, question = explanation_links(_shortened(found)), found.scope.question
    charges = links.charges.rows[:_MOST_ROWS]
    rows = {"lines": sorted(links.lines, key=_place)[:_MOST_ROWS], "charges": charges}
    return {
        "found": found,
        "steps": explanation_steps(found),
        "rows": {**rows, "windows": links.windows, "rooms": links.rooms, "intervals": links.intervals},
        "at_clock": _clock(found, found.scope.at),
        "window_clock": _clock(found, found.scope.window),
        "is_narrow": question.user_id is not None or found.scope.at is not None,
        "most": _MOST_ROWS,
    }


def _shortened(found: Explanation) -> Explanation:
    """Without the rows that no page shows: a day may have 100,000 rooms."""
    rooms = None if found.rooms is None else heapq.nlargest(_MOST_ROWS, found.rooms, key=lambda each: each.seconds)
    windows, intervals = found.windows and found.windows[:_MOST_ROWS], found.intervals and found.intervals[:_MOST_ROWS]
    return replace(found, rooms=rooms, windows=windows, intervals=intervals)


def _place(line: Mapping[str, Any]) -> tuple[Any, ...]:
    return line["app_id"], ITEM_RANK[line["item"]], line["kind"] != "usage"


def _clock(found: Explanation, second: int | None) -> str | None:
    return None if second is None else periods.local_iso(second, found.zone)[11:19]


def _file(found: Explanation, form: str) -> Response[bytes]:
    """The narrowest link as CSV, or all of them as a workbook."""
    name = f"explain-{found.scope.question.account_id}-{found.scope.day or month_text(found.scope.month)}.{form}"
    if form == "xlsx":
        output = MemoryOutput()
        write_explanation(found, output)
        return download(output.content.getvalue(), name=name, form=form)
    text = StringIO()
    write_csv(printed_report(found, "csv"), text)
    return download(text.getvalue().encode(), name=name, form=form)
