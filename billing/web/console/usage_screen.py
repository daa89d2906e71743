"""Usage: a day of an app in windows, some days side by side, or a month as a heat map of days and times of day."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from io import StringIO
from typing import Any, Literal

import polars as pl
from litestar import Response, get
from litestar.di import NamedDependency
from markupsafe import Markup

from billing import periods
from billing.catalog.catalog import Account, App
from billing.catalog.items import ITEMS
from billing.errors import UsageError
from billing.periods import WINDOW_SECONDS
from billing.reports.row_formats import frame_report, write_csv
from billing.reports.usage import app_usage
from billing.reports.usage_day import DayFacts, day_facts
from billing.reports.usage_heat import HALF_HOURS, HeatDay, usage_heat
from billing.web.console.bar_chart import Bar, Tick, bar_chart, largest
from billing.web.console.chosen import apps_of, chosen_account, chosen_app
from billing.web.console.forms import asked, choice_of, day_of, month_of, number_of
from billing.web.console.heat_chart import heat_chart
from billing.web.console.number_formats import clock, count
from billing.web.console.number_formats import month as month_text
from billing.web.console.page_frame import Asked, download, link, page, words_of
from billing.web.console.wording import Wording
from billing.web.installation import Installation

_LONGEST_DAYS = 366
# Kinds of seconds, in the order in which they are stacked: audio first.
_KINDS = ("no_video_received", "alone_in_room", "disconnect_grace", "camera", "screen_share", "connected")


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What is shown of an app: which days, by item or reason, in seconds or minutes, as known by which run."""

    app: App
    first: date
    last: date
    by: str
    unit: Literal["seconds", "minutes"]
    run: int | None
    span: Literal["day", "days", "month"]

    @property
    def order(self) -> tuple[str, ...]:
        """The parts in their order."""
        return ITEMS if self.by == "item" else _KINDS

    def query(self, **other: object) -> dict[str, object]:
        """The address of this view, with something else in it."""
        days: dict[str, dict[str, object]] = {
            "day": {"day": self.first},
            "days": {"from": self.first, "to": self.last},
            "month": {"month": month_text(self.first)},
        }
        shown = {"account": self.app.account, "app": self.app.id, "by": self.by, "unit": self.unit, "run": self.run}
        return {**shown, **days[self.span], **other}


@get("/usage", sync_to_thread=True)
def usage_of_app(request: Asked, installation: NamedDependency[Installation]) -> Response[bytes]:
    """The usage of an app on a day, on some days or in a month."""
    account = chosen_account(request, installation)
    app = chosen_app(request, installation, account)
    if app is None:
        return page(request, "usage_none", account=account)
    facts = day_facts(installation.engine, app.id, day_of(request, "day"))
    view = _view(request, app, facts)
    if asked(request, "format") == "csv":
        return _csv(installation, view, facts)
    common: dict[str, Any] = {
        "account": account,
        "spans": spans,
        "apps": apps_of(installation, account),
        "view": view,
        "facts": facts,
    }
    if view.span == "month":
        return page(request, "usage_month", **common, **_month(words_of(request), installation, view))
    rows = _rows(installation, view, facts)
    shown = _day(words_of(request), account, view, facts, rows) if view.span == "day" else _days(request, view, rows)
    return page(request, "usage", **common, **shown, sums=_sums(view, rows), neighbours=_neighbours(view))


def _view(request: Asked, app: App, facts: DayFacts) -> View:
    by = choice_of(request, "by", ("item", "reason"))
    unit = choice_of(request, "unit", ("seconds", "minutes"))
    first, last = day_of(request, "from"), day_of(request, "to")
    month = month_of(request)
    span: Literal["day", "days", "month"] = "month" if month else "days" if first or last else "day"
    if month:
        first, last = month, periods.month_days(month)[-1]
    elif span == "days":
        first, last = first or last, last or first
    chosen = (first or facts.day, last or facts.day)
    if not timedelta() <= chosen[1] - chosen[0] < timedelta(days=_LONGEST_DAYS):
        raise UsageError(
            f"{chosen[0]} to {chosen[1]} is not a range of 1 to {_LONGEST_DAYS} days, the earlier one first"
        )
    return View(
        app=app,
        first=chosen[0],
        last=chosen[1],
        by=by,
        unit="minutes" if unit == "minutes" and by == "item" else "seconds",
        run=number_of(request, "run"),
        span=span,
    )


def _rows(installation: Installation, view: View, facts: DayFacts) -> pl.DataFrame:
    return app_usage(
        installation.home,
        installation.engine,
        view.app.id,
        view.first,
        view.last,
        by="window" if view.span == "day" else "day",
        unit=view.unit,
        provisional=view.run is None and (facts.settled_through is None or view.last > facts.settled_through),
        run=view.run,
    )


def _csv(installation: Installation, view: View, facts: DayFacts) -> Response[bytes]:
    text = StringIO()
    write_csv(frame_report(_rows(installation, view, facts)), text)
    name = f"usage-{view.app.id}-{view.first}-{view.last}.csv"
    return download(text.getvalue().encode(), name=name, form="csv")


def _sums(view: View, rows: pl.DataFrame) -> list[dict[str, Any]]:
    """What is settled, corrected and provisional of each item or reason."""
    key = view.by
    kinds = pl.when(pl.col("settled")).then("kind").otherwise(pl.lit("provisional")).alias("state")
    sums = rows.group_by(key, kinds).agg(pl.col(view.unit).sum())
    values = {(name, state): value for name, state, value in sums.iter_rows()}
    names = [name for name in view.order if any(known == name for known, _ in values)]
    return [
        {
            "name": name,
            **{state: values.get((name, state), 0) for state in ("usage", "correction", "provisional")},
            "net": sum(value for (known, _), value in values.items() if known == name),
        }
        for name in names
    ]


def _day(w: Wording, account: Account, view: View, facts: DayFacts, rows: pl.DataFrame) -> dict[str, Any]:
    """The chart of the windows of a day, and the windows as a table."""
    zone = periods.time_zone(account.timezone)
    parts: dict[int, Counter[str]] = {}
    for start, name, value in rows.select("start", view.by, view.unit).iter_rows():
        parts.setdefault(_window(start, facts), Counter())[name] += value
    open_windows = {_window(start, facts) for start in rows.filter(~pl.col("settled"))["start"].unique()}
    labels = [_clock_of(facts.start + place * WINDOW_SECONDS, zone) for place in range(facts.windows)]
    bars = [
        _bar(w, view, labels[place], parts.get(place, {}), is_provisional=place in open_windows)
        for place in range(facts.windows)
    ]
    ticks = [Tick(at=place / facts.windows, text=labels[place]) for place in range(0, facts.windows, 36)]
    table = [(labels[place], parts[place]) for place in sorted(parts)]
    return {"chart": _chart(w, view, bars, ticks), "table": table, "is_settled": facts.run is not None}


def _days(request: Asked, view: View, rows: pl.DataFrame) -> dict[str, Any]:
    """The chart of some days, and the days as a table."""
    w, all_days = words_of(request), periods.days_between(view.first, view.last)
    parts: dict[date, Counter[str]] = {}
    for day, name, value in rows.select("day", view.by, view.unit).iter_rows():
        parts.setdefault(day, Counter())[name] += value
    open_days = set(rows.filter(~pl.col("settled"))["day"])
    bars = [
        _bar(w, view, str(day), parts.get(day, {}), is_provisional=day in open_days, href=_day_link(view, day))
        for day in all_days
    ]
    gap = max(1, -(-len(all_days) // 8))
    ticks = [
        Tick(at=(place + 0.5) / len(all_days), text=f"{day:%m-%d}", is_middle=True)
        for place, day in enumerate(all_days)
        if place % gap == 0
    ]
    table = [(str(day), parts[day]) for day in sorted(parts)]
    return {"chart": _chart(w, view, bars, ticks), "table": table, "is_settled": not open_days}


def _bar(
    w: Wording, view: View, label: str, parts: Mapping[str, int], *, is_provisional: bool, href: str | None = None
) -> Bar:
    shown = [(name, parts[name]) for name in view.order if parts.get(name, 0) > 0]
    texts = (f"{w.named(view.by, name)} {count(value)}" for name, value in shown)
    state = f" ({w('provisional')})" if is_provisional else ""
    return Bar(title=f"{label}: {', '.join(texts)}{state}", parts=shown, href=href, is_provisional=is_provisional)


def _chart(w: Wording, view: View, bars: Sequence[Bar], ticks: Sequence[Tick]) -> Markup:
    most = largest(bars)
    top = f"{count(most)} {w('unit.min' if view.unit == 'minutes' else 'unit.s')}" if most else ""
    return bar_chart(bars, ticks, label=w("usage.chart", app=view.app.name, unit=w(view.unit)), top_label=top)


def _month(w: Wording, installation: Installation, view: View) -> dict[str, Any]:
    days = usage_heat(installation.engine, view.app.id, view.first)
    chart = heat_chart(
        days,
        label=w("usage.heat", app=view.app.name, month=month_text(view.first)),
        day_text=lambda day: f"{day.day.day:02} {w(f'weekday.{day.day.weekday()}')}",
        cell_text=lambda day, half: f"{day.day} {_half_hour(half)}: {clock(day.seconds[half])}",
        href=lambda day: _day_link(view, day.day),
    )
    return {"chart": chart, "days": days, "hours": _by_hours(days), "neighbours": _neighbours(view), "clock": clock}


def _by_hours(days: Sequence[HeatDay]) -> list[tuple[HeatDay, list[int]]]:
    """Each day in eight parts of three hours, for the table."""
    size = HALF_HOURS // 8
    return [(day, [sum(day.seconds[part : part + size]) for part in range(0, HALF_HOURS, size)]) for day in days]


def _neighbours(view: View) -> list[tuple[str, str] | None]:
    """The view before and the one after."""
    if view.span == "month":
        found = [view.first - timedelta(days=1), periods.next_month(view.first)]
        return [(link("/usage", **view.query(month=month_text(day), run=None)), month_text(day)) for day in found]
    length = view.last - view.first + timedelta(days=1)
    return [_moved(view, -length), _moved(view, length)]


def _moved(view: View, by: timedelta) -> tuple[str, str]:
    first, last = view.first + by, view.last + by
    if view.span == "day":
        return link("/usage", **view.query(day=first)), f"{first}"
    return link("/usage", **view.query(**{"from": first, "to": last})), f"{first:%m-%d} \N{EN DASH} {last:%m-%d}"


def _day_link(view: View, day: date) -> str:
    return link("/usage", account=view.app.account, app=view.app.id, day=day, by=view.by, unit=view.unit)


def _window(start: str, facts: DayFacts) -> int:
    return (int(datetime.fromisoformat(start).timestamp()) - facts.start) // WINDOW_SECONDS


def _clock_of(second: int, zone: Any) -> str:
    return f"{datetime.fromtimestamp(second, zone):%H:%M}"


def _half_hour(half: int) -> str:
    return f"{half // 2:02}:{half % 2 * 30:02}"


def spans(view: View, facts: DayFacts) -> Iterator[tuple[str, str, bool]]:
    """The ways to look at an app: a day, the last days, a month."""
    day = min(view.last, facts.settled_through or view.last) if view.span != "day" else view.first
    week = {"from": day - timedelta(days=6), "to": day}
    base = {"account": view.app.account, "app": view.app.id, "by": view.by, "unit": view.unit}
    yield "usage.one_day", link("/usage", **base, day=day), view.span == "day"
    yield "usage.days", link("/usage", **base, **week), view.span == "days"
    yield "usage.month", link("/usage", **base, month=month_text(day)), view.span == "month"
