"""Packages: what is left of each, day by day, when it will run out, when it ends, and in which order they pay."""

from datetime import date

from litestar import Response, get
from litestar.di import NamedDependency
from markupsafe import Markup

from billing.reports.burn_down import PACE_DAYS, BurnDown, burn_downs
from billing.web.console.chosen import apps_of, chosen_account, today_of
from billing.web.console.line_chart import burn_chart
from billing.web.console.number_formats import count
from billing.web.console.page_frame import Asked, page, words_of
from billing.web.console.wording import Wording
from billing.web.installation import Installation


@get("/packages", sync_to_thread=True)
def packages_of_account(request: Asked, installation: NamedDependency[Installation]) -> Response[bytes]:
    """The packages and free minutes of an account."""
    account = chosen_account(request, installation)
    found, w = burn_downs(installation.engine, account.id), words_of(request)
    today = today_of(account)
    return page(
        request,
        "packages",
        account=account,
        paying=[(each, _chart(w, each, today)) for each in found if each.place],
        coming=[each for each in found if not each.place and each.balance.valid_from > today],
        ended=[each for each in found if not each.place and each.balance.valid_from <= today],
        names={app.id: app.name for app in apps_of(installation, account)},
        pace_days=PACE_DAYS,
    )


def _chart(w: Wording, found: BurnDown, today: date) -> Markup:
    balance = found.balance
    days = max((balance.valid_to - balance.valid_from).days + 1, 1)

    def place(day: date, left: float) -> tuple[float, float]:
        across = ((day - balance.valid_from).days + 1) / days
        return min(max(across, 0.0), 1.0), max(left, 0) / max(balance.granted, 1)

    points = [place(day, left) for day, left in found.points]
    last_day, left = found.points[-1]
    end: tuple[date, float] = (balance.valid_to, left - found.pace * (balance.valid_to - last_day).days)
    if found.runs_out_on:
        end = (found.runs_out_on, 0)
    projected = [place(last_day, left), place(*end)] if found.pace else []
    label = w("packages.chart", id=balance.id, left=count(balance.remaining), granted=count(balance.granted))
    return burn_chart(points, projected, today=place(today, 0)[0], label=label)
