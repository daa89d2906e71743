"""Overview: what accounts cost this month, and what needs doing; and the month of one account, day by day."""

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from litestar import Response, get
from litestar.di import NamedDependency
from markupsafe import Markup

from billing.catalog.catalog import Account
from billing.ledger.daily_sums import LineSum
from billing.money import round_to_minor_unit, to_scaled
from billing.periods import month_days, next_month
from billing.reports.attention import Need, needs
from billing.reports.month_overview import MonthOverview, month_lines, month_overviews
from billing.web.console.bar_chart import Bar, Tick, bar_chart, largest
from billing.web.console.chosen import apps_of, chosen_account, chosen_month, visible_accounts
from billing.web.console.forms import asked, number_of
from billing.web.console.line_chart import sparkline
from billing.web.console.number_formats import money
from billing.web.console.number_formats import month as month_text
from billing.web.console.page_frame import Asked, link, page, words_of
from billing.web.console.wording import Wording
from billing.web.installation import Installation

_ON_A_PAGE = 40


@get("/", sync_to_thread=True)
def overview(request: Asked, installation: NamedDependency[Installation]) -> Response[bytes]:
    """The accounts that the caller sees, and what needs doing."""
    wanted = asked(request, "q").casefold()
    visible = visible_accounts(request, installation)
    found = [each for each in visible if wanted in f"{each.id} {each.name}".casefold()]
    start = min(number_of(request, "from") or 0, max(len(found) - 1, 0))
    shown = found[start : start + _ON_A_PAGE]
    months = month_overviews(installation.engine, [each.id for each in shown])
    return page(
        request,
        "overview",
        rows=[(each, _sparkline(words_of(request), each)) for each in months],
        todo=needs(installation.home, installation.engine, _whose(request)),
        q=asked(request, "q"),
        total=len(found),
        start=start,
        step=_ON_A_PAGE,
        need_link=_need_link,
    )


@get("/month", sync_to_thread=True)
def month_of_account(request: Asked, installation: NamedDependency[Installation]) -> Response[bytes]:
    """A month of an account."""
    account = chosen_account(request, installation)
    month = chosen_month(request, account)
    (found,) = month_overviews(installation.engine, [account.id], month)
    w = words_of(request)
    return page(
        request,
        "month",
        account=account,
        month=month,
        before=_month_link(account, month - timedelta(days=1)),
        after=_month_link(account, next_month(month)),
        found=found,
        chart=_daily_chart(w, found),
        lines=month_lines(installation.engine, account.id, month),
        names={app.id: app.name for app in apps_of(installation, account)},
        total=_total(month_lines(installation.engine, account.id, month)),
    )


def _whose(request: Asked) -> list[str] | None:
    return None if request.user.account_id is None else [request.user.account_id]


def _sparkline(w: Wording, found: MonthOverview) -> Markup:
    amounts = [each.amount + each.corrected for each in found.days]
    label = w("overview.sparkline", account=found.account.name)
    provisional = sum(each.is_provisional for each in found.days)
    return sparkline(amounts, places=len(month_days(found.month)), provisional=provisional, label=label)


def _daily_chart(w: Wording, found: MonthOverview) -> Markup:
    days = {each.day: each for each in found.days}
    currency, all_days = found.account.currency, month_days(found.month)
    bars = [_bar(w, found.account, day, days) for day in all_days]
    ticks = [
        Tick(at=(day.day - 0.5) / len(all_days), text=str(day.day), is_middle=True)
        for day in all_days
        if day.day in (1, 8, 15, 22, 29)
    ]
    most = max((each.amount + max(each.corrected, Decimal(0)) for each in found.days), default=Decimal(0))
    top = f"{money(round_to_minor_unit(most, currency), currency)} {currency}" if largest(bars) else ""
    return bar_chart(bars, ticks, label=w("month.chart"), top_label=top)


def _bar(w: Wording, account: Account, day: date, days: dict[date, Any]) -> Bar:
    found = days.get(day)
    if found is None:
        return Bar(title=f"{day}", parts=())
    title = f"{day}: {money(found.amount + found.corrected, account.currency)} {account.currency}"
    return Bar(
        title=f"{title} ({w('provisional')})" if found.is_provisional else title,
        parts=(
            ("usage", to_scaled(found.amount)),
            ("correction", to_scaled(max(found.corrected, Decimal(0)))),
        ),
        href=link("/usage", account=account.id, day=day),
        is_provisional=found.is_provisional,
    )


def _month_link(account: Account, day: date) -> tuple[str, str]:
    return link("/month", account=account.id, month=month_text(day)), month_text(day)


def _total(lines: Sequence[LineSum]) -> dict[str, Any]:
    names = ("minutes", "deducted_minutes", "payable_minutes", "amount")
    return {name: sum(getattr(line, name) for line in lines) for name in names}


def _need_link(need: Need) -> str | None:
    """Where something is put right, or at least seen."""
    match need.kind:
        case "quarantine":
            return link("/quarantine", reason=need.subject)
        case "failed":
            return link("/run", id=need.run)
        case "package":
            return link("/packages", account=need.account)
        case "arrears" | "overdue":
            return link("/invoices", account=need.account)
        case "silent":
            return link("/usage", account=need.account, app=need.subject)
        case "due" | "held":
            return link("/runs")
    return None
